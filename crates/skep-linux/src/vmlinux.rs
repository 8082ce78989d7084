//! The types of a kernel that does not show them itself: those in its `vmlinux`, where
//! distributions put that file.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use object::{Object as _, ObjectSection as _, ReadCache};
use skep_host::{BtfBytes, Cause, Errno, Error, Result};

/// Where the `vmlinux` of a release can be, the usual places first. Files of debug symbols count,
/// too.
fn places(release: &str) -> [PathBuf; 8] {
    [
        format!("/boot/vmlinux-{release}"),
        format!("/lib/modules/{release}/vmlinux-{release}"),
        format!("/lib/modules/{release}/vmlinux"),
        format!("/lib/modules/{release}/build/vmlinux"),
        format!("/usr/lib/modules/{release}/kernel/vmlinux"),
        format!("/usr/lib/debug/boot/vmlinux-{release}"),
        format!("/usr/lib/debug/boot/vmlinux-{release}.debug"),
        format!("/usr/lib/debug/lib/modules/{release}/vmlinux"),
    ]
    .map(PathBuf::from)
}

/// The BTF of the first `vmlinux` that has some.
pub(crate) fn btf(missing: &Path, release: &str) -> Result<BtfBytes> {
    let places = places(release);
    if let Some(bytes) = places.iter().find_map(|path| in_elf(path)) {
        return Ok(Box::new(bytes));
    }
    let looked: Vec<_> = places
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let missing = missing.display().to_string();
    Err(
        Error::system("open", missing, Errno::ENOENT).because(Some(Cause::Other {
            what: format!(
                "this kernel does not show its types (it is built without CONFIG_DEBUG_INFO_BTF), \
                 and no file has them: {}",
                looked.join(", ")
            ),
            fix: "give a BTF file of this kernel (`--btf FILE`), or use a kernel built with \
                  CONFIG_DEBUG_INFO_BTF=y"
                .into(),
        })),
    )
}

/// The section `.BTF` of an ELF file. Only that much of the file is read: with debug information
/// it has hundreds of megabytes.
fn in_elf(path: &Path) -> Option<Vec<u8>> {
    let file = ReadCache::new(File::open(path).ok()?);
    let elf = object::File::parse(&file).ok()?;
    let bytes = elf.section_by_name(".BTF")?.data().ok()?;
    (!bytes.is_empty()).then(|| bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_was_looked() {
        let error = btf(Path::new("/sys/kernel/btf/vmlinux"), "0.0-none");
        let error = error.err().expect("no such release");
        let cause = error.cause().expect("a cause").to_string();
        for place in [
            "/boot/vmlinux-0.0-none",
            "/lib/modules/0.0-none/build/vmlinux",
        ] {
            assert!(cause.contains(place), "{cause}");
        }
    }

    /// An ELF file with nothing in it but a section `.BTF`.
    fn elf(content: &[u8]) -> Vec<u8> {
        const NAMES: &[u8] = b"\0.BTF\0.shstrtab\0";
        let names_at = 64 + content.len() as u64;
        let sections_at = names_at + NAMES.len() as u64;
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        // An executable of x86-64, version 1, without an entry and program headers.
        bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        bytes.extend([0; 16]);
        bytes.extend(sections_at.to_le_bytes());
        // Flags; sizes of the headers; three sections, the last with the names.
        bytes.extend([0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0, 3, 0, 2, 0]);
        bytes.extend(content);
        bytes.extend(NAMES);
        let mut section = |name: u32, kind: u32, at: u64, len: u64| {
            bytes.extend(name.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            for word in [0, 0, at, len, 0, 1, 0] {
                bytes.extend(word.to_le_bytes());
            }
        };
        section(0, 0, 0, 0);
        section(1, 1, 64, content.len() as u64);
        section(6, 3, names_at, NAMES.len() as u64);
        bytes
    }

    #[test]
    fn the_section_of_an_elf_file_is_found() {
        let path = std::env::temp_dir().join(format!("skep-vmlinux-{}", std::process::id()));
        let found = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("a file");
            in_elf(&path)
        };
        assert_eq!(found(&elf(b"types")).as_deref(), Some(&b"types"[..]));
        assert_eq!(found(&elf(b"")), None);
        assert_eq!(found(&elf(b"types")[..100]), None);
        assert_eq!(found(b"no ELF file"), None);
        std::fs::remove_file(&path).expect("the file");
        assert_eq!(in_elf(&path), None);
    }
}
