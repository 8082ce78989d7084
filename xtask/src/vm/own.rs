//! `--image`: a kernel of the user's own in place of one of Debian's, as it comes out of a kernel's
//! tree, for hooks that no distribution's kernel has.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::kernel::{self, Kernel};
use crate::Result;

/// Behind the version, in the names of such kernels.
const MARK: &str = "(image)";

/// What was said of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    /// A `bzImage`, or a `vmlinux` that can be started by itself (`CONFIG_PVH`).
    pub(super) image: PathBuf,
    /// Where nothing is said, the file `.config` of the tree that the image is in.
    pub(super) config: Option<PathBuf>,
    /// Modules are looked for in it and below. Without, the image has what tests need built in.
    pub(super) modules: Option<PathBuf>,
}

impl Own {
    /// Looks at the files.
    pub(super) fn kernel(&self) -> Result<Kernel> {
        let image = self.image.canonicalize();
        let image = image.map_err(|error| format!("{}: {error}", self.image.display()))?;
        let bytes = fs::read(&image)?;
        let release = release(&bytes).ok_or_else(|| {
            format!(
                "{}: not a kernel of this machine's architecture: it is to be a bzImage, as in \
                 `arch/x86/boot/bzImage` of a kernel's tree",
                image.display()
            )
        })?;
        let config = match &self.config {
            Some(config) => config.clone(),
            None => config(&image).ok_or_else(|| {
                format!(
                    "{}: it is in no kernel's tree with a `.config`: name that (`--config FILE`)",
                    image.display()
                )
            })?,
        };
        let mut files = Vec::new();
        if let Some(modules) = &self.modules {
            if !modules.is_dir() {
                return Err(format!("{}: no folder of modules", modules.display()).into());
            }
            kernel::walk(modules, &mut files).map_err(super::stopped)?;
        }
        Ok(Kernel {
            name: format!("{} {MARK}", version(&release)),
            modules: kernel::modules(&files),
            release,
            image,
            config,
        })
    }
}

/// Whether a kernel of this name is one's own.
pub(super) fn is_own(name: &str) -> bool {
    name.ends_with(MARK)
}

/// The nearest `.config` above the image.
fn config(image: &Path) -> Option<PathBuf> {
    let folders = image.ancestors().skip(1);
    let mut configs = folders.map(|folder| folder.join(".config"));
    configs.find(|config| config.is_file())
}

/// The release: where a bzImage's header says that it is (the kernel's boot protocol from 2.00 on), or
/// in the line that the kernel begins its log with.
fn release(image: &[u8]) -> Option<String> {
    let text = if image.get(0x202..0x206) == Some(b"HdrS") {
        let place = u16::from_le_bytes(*image.get(0x20e..)?.first_chunk()?);
        image.get(usize::from(place) + 0x200..)?
    } else {
        const BANNER: &[u8] = b"Linux version ";
        let at = |start: &usize| {
            image
                .get(*start..)
                .is_some_and(|rest| rest.starts_with(BANNER))
        };
        let starts = (0..image.len()).find(at)?;
        image.get(starts + BANNER.len()..)?
    };
    let end = text.iter().position(|byte| matches!(byte, b' ' | 0))?;
    let release = std::str::from_utf8(text.get(..end)?).ok()?;
    release
        .starts_with(|first: char| first.is_ascii_digit())
        .then(|| release.to_owned())
}

/// `6.12` of `6.12.117-mine`.
fn version(release: &str) -> String {
    let numbers: Vec<&str> = release.splitn(3, ['.', '-']).take(2).collect();
    numbers.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x180_u16.to_le_bytes());
        let text = format!("{release} (me@here) #1 SMP");
        image[0x380..0x380 + text.len()].copy_from_slice(text.as_bytes());
        image
    }

    #[test]
    fn releases_are_read_from_images() {
        let bytes = image("6.12.117-mine");
        assert_eq!(release(&bytes), Some("6.12.117-mine".into()));
        let whole = b"\x7fELF LLinux version 7.3.0-rc1+ (me@here)\0";
        assert_eq!(release(whole), Some("7.3.0-rc1+".into()));
        for other in [
            &b""[..],
            b"\x7fELF Linux version %s",
            &bytes[..0x300],
            &bytes[..0x385],
        ] {
            assert_eq!(release(other), None);
        }
        assert_eq!(version("6.12.117-mine"), "6.12");
        assert_eq!(version("7.3-rc1"), "7.3");
    }

    #[test]
    fn what_is_no_kernel_says_what_is_wanted() {
        let folder = std::env::temp_dir().join(format!("xtask-own-{}", std::process::id()));
        let boot = folder.join("arch/x86/boot");
        fs::create_dir_all(&boot).unwrap();
        let file = boot.join("bzImage");
        let own = |config: Option<PathBuf>| Own {
            image: file.clone(),
            config,
            modules: None,
        };
        let missing = own(None).kernel().map(drop);
        fs::write(&file, "text").unwrap();
        let text = own(None).kernel().map(drop);
        fs::write(&file, image("6.12.117-mine")).unwrap();
        let alone = own(None).kernel().map(drop);
        let named = own(Some("/proc/version".into())).kernel();
        fs::write(folder.join(".config"), "").unwrap();
        let found = own(None).kernel();
        fs::remove_dir_all(&folder).unwrap();
        for (outcome, part) in [(missing, "bzImage"), (text, "bzImage"), (alone, "--config")] {
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let named = named.unwrap();
        assert_eq!(named.name, "6.12 (image)");
        assert!(is_own(&named.name) && named.modules.is_empty());
        assert!(found.unwrap().config.ends_with(".config"));
    }
}
