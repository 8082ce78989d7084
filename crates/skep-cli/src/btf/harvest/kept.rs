//! What a harvest leaves: a JSON file with a kernel's release, version and configuration, and the
//! name of the file with its types beside it.

use std::{collections::BTreeMap, ffi::OsStr, fs, path::Path, sync::Arc};

use anyhow::{Context, anyhow};
use serde_json::{Value, json};
use skep::{btf::Btf, spec::Target};

use super::kernel::Kernel;

/// A kernel that was harvested.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its release.
    pub(crate) release: String,
    /// All that is known of it.
    pub(crate) target: Target,
}

/// The JSON of a kernel.
pub(super) fn json(release: &str, kernel: &Kernel, types: Option<&OsStr>) -> String {
    let config: BTreeMap<&str, &str> = kernel
        .config
        .as_deref()
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| name.starts_with("CONFIG_"))
        .collect();
    let value = json!({
        "release": release,
        "version": kernel.version.as_deref().unwrap_or_else(|| version_in(release)),
        "machine": kernel.machine,
        "btf": types.map(|name| name.to_string_lossy()),
        "config": config,
    });
    format!("{value:#}\n")
}

/// The numbers that a release starts with.
fn version_in(release: &str) -> &str {
    let end = release.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    release[..end.unwrap_or(release.len())].trim_end_matches('.')
}

impl Kept {
    /// Reads what was harvested: the JSON file, or the file of types beside it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let path = path.with_extension("json");
        let shown = || path.display().to_string();
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let value: Value = serde_json::from_str(&text).with_context(shown)?;
        let field = |name: &str| {
            let text = value.get(name).and_then(Value::as_str);
            text.ok_or_else(|| anyhow!("{}: it has no `{name}`", path.display()))
        };
        let release = field("release")?.to_owned();
        let mut target = Target::of_release(field("version")?).with_context(shown)?;
        if let Some(name) = value.get("btf").and_then(Value::as_str) {
            let types = path.with_file_name(name);
            target = target.with_kernel_btf(Arc::new(types_in(&types)?));
        }
        if let Some(Value::Object(config)) = value.get("config") {
            target.config = config
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect();
        }
        Ok(Self { release, target })
    }

    /// Whether a file is one that was harvested, or stands beside such.
    pub(crate) fn is_at(path: &Path) -> bool {
        let json = path.with_extension("json");
        (path.extension() == Some(OsStr::new("json"))
            || path.extension() == Some(OsStr::new("btf")))
            && json.is_file()
    }
}

/// The types in a file.
pub(crate) fn types_in(path: &Path) -> anyhow::Result<Btf> {
    Ok(skep::open_btf(path)?)
}

#[cfg(test)]
mod tests {
    use skep::abi::KernelVersion;

    use super::*;

    #[test]
    fn a_release_begins_with_its_version() {
        assert_eq!(version_in("6.1.0-50-amd64"), "6.1.0");
        assert_eq!(version_in("6.12.117+deb13"), "6.12.117");
        assert_eq!(version_in("6.18"), "6.18");
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = std::env::temp_dir().join(format!("skep-kept-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let kernel = Kernel {
            version: Some("6.1.176".into()),
            config: Some("CONFIG_BPF=y\n# CONFIG_X is not set\nCONFIG_HZ=250\n".into()),
            ..Kernel::default()
        };
        let path = folder.join("6.1.0-50-amd64.json");
        fs::write(&path, json("6.1.0-50-amd64", &kernel, None)).unwrap();
        let kept = Kept::open(&path).unwrap();
        assert_eq!(kept.release, "6.1.0-50-amd64");
        assert_eq!(kept.target.version, KernelVersion::new(6, 1));
        assert_eq!(kept.target.config["CONFIG_HZ"], "250");
        assert_eq!(kept.target.config.len(), 2);
        assert!(kept.target.kernel_btf.is_none());
        assert!(Kept::is_at(&path) && !Kept::is_at(Path::new("6.1")));
        fs::write(&path, "{}").unwrap();
        assert!(
            Kept::open(&path)
                .unwrap_err()
                .to_string()
                .contains("release")
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
