//! A kernel module: its types, which continue its kernel's, and what kernel it is for.

use anyhow::{Context, anyhow};
use object::{Object as _, ObjectSection as _};

use super::decompress::decompressed;

/// What a module's file says.
#[derive(Debug)]
pub(super) struct Module {
    /// Its name.
    pub(super) name: String,
    /// Its types.
    pub(super) btf: Vec<u8>,
    /// The kernel that it is for.
    pub(super) release: String,
}

/// The name of the module in a file of this name, if it is one: `nf_nat` of `nf_nat.ko.xz`.
pub(super) fn name(file: &str) -> Option<String> {
    let (name, ending) = file.split_once(".ko")?;
    // Files are named with `-` where modules have `_`.
    matches!(ending, "" | ".xz" | ".zst" | ".gz").then(|| name.replace('-', "_"))
}

/// Reads a module, packed or not.
pub(super) fn module(name: &str, bytes: Vec<u8>) -> anyhow::Result<Module> {
    let bytes = decompressed(&bytes)?.unwrap_or(bytes);
    let elf = object::File::parse(&*bytes)?;
    let section = |name| {
        let section = elf.section_by_name(name)?;
        section.uncompressed_data().ok()
    };
    let btf = section(".BTF").ok_or_else(|| anyhow!("the module has no types (section .BTF)"))?;
    let info = section(".modinfo").context("the module has no section .modinfo")?;
    let info = String::from_utf8_lossy(&info).into_owned();
    let release = info
        .split('\0')
        .find_map(|field| field.strip_prefix("vermagic="))
        .and_then(|magic| magic.split(' ').next())
        .context("the module does not say what kernel it is for")?;
    Ok(Module {
        name: name.to_owned(),
        btf: btf.into_owned(),
        release: release.replace('/', "_"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_known_by_their_names() {
        assert_eq!(name("nf-nat.ko.xz").as_deref(), Some("nf_nat"));
        assert_eq!(name("veth.ko").as_deref(), Some("veth"));
        assert_eq!(name("vmlinuz-6.1"), None);
        assert_eq!(name("veth.kof"), None);
    }
}
