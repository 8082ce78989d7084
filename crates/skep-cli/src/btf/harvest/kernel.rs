//! A kernel's file: the ELF file `vmlinux`, or the image that a machine boots, which has it packed
//! inside.

use anyhow::{Context, anyhow, bail};
use object::{Object as _, ObjectSection as _, elf::ELFMAG};

use super::decompress::decompressed;

/// What a kernel's file says.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    /// Its types: the bytes of the section `.BTF`.
    pub(super) btf: Option<Vec<u8>>,
    /// Its release: `6.1.0-49-amd64`.
    pub(super) release: Option<String>,
    /// The version of the banner, where a distribution's release says less: `6.1.174`.
    pub(super) version: Option<String>,
    /// Its configuration, if it is built in.
    pub(super) config: Option<String>,
    /// The machine, by ELF's name for it.
    pub(super) machine: Option<&'static str>,
}

/// Reads a `vmlinux` or a boot image.
pub(super) fn kernel(bytes: &[u8]) -> anyhow::Result<Kernel> {
    if bytes.starts_with(ELFMAG.as_slice()) {
        return vmlinux(bytes);
    }
    if let Some(payload) = x86_payload(bytes) {
        let plain = decompressed(payload).context("the packed kernel")?;
        let plain =
            plain.ok_or_else(|| anyhow!("the kernel is packed in a way Skep does not know"))?;
        let mut kernel = vmlinux(&plain).context("the kernel in the image")?;
        kernel.release = kernel.release.or_else(|| x86_release(bytes));
        return Ok(kernel);
    }
    // Images of other machines: packed as a whole, or with the packed kernel somewhere inside.
    if let Some(plain) = decompressed(bytes)? {
        return match plain.starts_with(ELFMAG.as_slice()) {
            true => vmlinux(&plain),
            false => raw(&plain),
        };
    }
    raw(bytes)
}

/// An image that is neither ELF nor packed, such as arm64's: its BTF and banner stand in it.
fn raw(bytes: &[u8]) -> anyhow::Result<Kernel> {
    const ARM64: &[u8] = b"ARM\x64";
    if bytes.get(56..60) != Some(ARM64) {
        bail!("neither an ELF file nor an image of a kernel that Skep knows");
    }
    let (release, version) = banner(bytes);
    Ok(Kernel {
        btf: btf_inside(bytes).map(<[u8]>::to_vec),
        release,
        version,
        config: config_inside(bytes),
        machine: Some("aarch64"),
    })
}

fn vmlinux(bytes: &[u8]) -> anyhow::Result<Kernel> {
    let elf = object::File::parse(bytes)?;
    let section = elf.section_by_name(".BTF");
    let btf = match section {
        Some(section) => Some(section.uncompressed_data()?.into_owned()),
        // A vmlinux that was stripped of its section headers has the bytes all the same.
        None => btf_inside(bytes).map(<[u8]>::to_vec),
    };
    let (release, version) = banner(bytes);
    Ok(Kernel {
        btf,
        release,
        version,
        config: config_inside(bytes),
        machine: Some(match elf.architecture() {
            object::Architecture::X86_64 => "x86_64",
            object::Architecture::Aarch64 => "aarch64",
            object::Architecture::Riscv64 => "riscv64",
            object::Architecture::S390x => "s390x",
            object::Architecture::PowerPc64 => "powerpc64",
            _ => "unknown",
        }),
    })
}

/// The packed kernel in a bzImage (`Documentation/arch/x86/boot.rst`).
fn x86_payload(bytes: &[u8]) -> Option<&[u8]> {
    const SETUP_SECTORS: usize = 0x1f1;
    const MAGIC: usize = 0x202;
    const PAYLOAD_OFFSET: usize = 0x248;
    const PAYLOAD_LENGTH: usize = 0x24c;
    if bytes.get(MAGIC..MAGIC + 4)? != b"HdrS" {
        return None;
    }
    let sectors = match *bytes.get(SETUP_SECTORS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512;
    let offset = word(bytes, PAYLOAD_OFFSET)? as usize;
    let length = word(bytes, PAYLOAD_LENGTH)? as usize;
    bytes.get(start..)?.get(offset..)?.get(..length)
}

/// The release in a bzImage's header.
fn x86_release(bytes: &[u8]) -> Option<String> {
    let at = usize::from(u16::from_le_bytes(*bytes.get(0x20e..)?.first_chunk()?));
    let text = text_at(bytes.get(at.checked_add(0x200)?..)?, 200)?;
    Some(text.split(' ').next()?.to_owned())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Printable text until a zero.
fn text_at(bytes: &[u8], most: usize) -> Option<&str> {
    let bytes = bytes.get(..most.min(bytes.len()))?;
    let end = bytes.iter().position(|byte| matches!(*byte, 0 | b'\n'))?;
    std::str::from_utf8(bytes.get(..end)?).ok()
}

/// Release and version, by the banner: `Linux version 6.1.0-49-amd64 (…) … Debian 6.1.174-1 (…)`.
fn banner(bytes: &[u8]) -> (Option<String>, Option<String>) {
    const START: &[u8] = b"Linux version ";
    let mut from = 0;
    while let Some(at) = find(bytes.get(from..).unwrap_or_default(), START) {
        let text = bytes.get(from + at + START.len()..).unwrap_or_default();
        // The first hit may be the format that the banner is made by.
        if let Some(text) = text_at(text, 1024)
            .filter(|text| text.starts_with(|first: char| first.is_ascii_digit()))
        {
            let release = text.split(' ').next().map(str::to_owned);
            let version = text
                .rsplit_once("Debian ")
                .and_then(|(_, rest)| rest.split('-').next());
            return (release, version.map(str::to_owned));
        }
        from += at + START.len();
    }
    (None, None)
}

/// The configuration of a kernel that is built with it (`CONFIG_IKCONFIG`).
fn config_inside(bytes: &[u8]) -> Option<String> {
    const START: &[u8] = b"IKCFG_ST";
    const END: &[u8] = b"IKCFG_ED";
    let start = find(bytes, START)? + START.len();
    let packed = bytes.get(start..)?;
    let packed = packed.get(..find(packed, END)?)?;
    let plain = decompressed(packed).ok()??;
    String::from_utf8(plain).ok()
}

/// BTF somewhere in bytes: by its header, all of which must make sense.
fn btf_inside(bytes: &[u8]) -> Option<&[u8]> {
    /// Magic, version, no flags, the header's length.
    const HEADER: [u8; 8] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    /// Less is no kernel's.
    const LEAST: usize = 1 << 16;
    let mut from = 0;
    while let Some(at) = find(bytes.get(from..)?, &HEADER) {
        let start = from + at;
        let field = |index: usize| Some(word(bytes, start + 8 + 4 * index)? as usize);
        let (types_at, types, strings_at, strings) = (field(0)?, field(1)?, field(2)?, field(3)?);
        let length = 24usize.checked_add(strings_at)?.checked_add(strings)?;
        let sound = types_at == 0 && strings_at >= types && length >= LEAST;
        if let Some(found) = bytes.get(start..)?.get(..length).filter(|_| sound) {
            return Some(found);
        }
        from = start + HEADER.len();
    }
    None
}

/// Where `needle` begins: its first byte is looked for first, which is fast where it is rare.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| *byte == first)?;
        if bytes.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_tells_release_and_version() {
        let bytes = b"\0Linux version %s (%s)\0Linux version 6.1.0-50-amd64 (someone@somewhere) \
                      (gcc (Debian 12.2.0-14) 12.2.0) #1 SMP Debian 6.1.176-1 (2026-01-01)\n\0";
        let (release, version) = banner(bytes);
        assert_eq!(release.as_deref(), Some("6.1.0-50-amd64"));
        assert_eq!(version.as_deref(), Some("6.1.176"));
        let (release, version) = banner(b"Linux version 6.18.44 (a@b) #1 SMP\0");
        assert_eq!((release.as_deref(), version), (Some("6.18.44"), None));
        assert_eq!(banner(b"Linux version "), (None, None));
    }

    #[test]
    fn a_built_in_configuration_is_unpacked() {
        let packed = crate::btf::harvest::decompress::tests::GZIP;
        let bytes = [b"..IKCFG_ST", &packed[..], b"IKCFG_ED.."].concat();
        let config = config_inside(&bytes).unwrap();
        assert!(config.starts_with("hello"));
        assert_eq!(config_inside(&bytes[..30]), None);
    }

    #[test]
    fn the_payload_of_a_boot_image_is_found_and_its_bounds_are_kept() {
        let mut image = vec![0; 0x1000];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&0x10_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&4_u32.to_le_bytes());
        image[0x410..0x414].copy_from_slice(b"here");
        assert_eq!(x86_payload(&image), Some(&b"here"[..]));
        image[0x24c..0x250].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(x86_payload(&image), None);
        assert!(kernel(&image).is_err() && kernel(b"").is_err());
    }

    #[test]
    fn types_are_found_by_a_header_that_makes_sense() {
        let mut btf = vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
        let (types, strings) = (1_u32 << 16, 8_u32);
        for field in [0, types, types, strings] {
            btf.extend(field.to_le_bytes());
        }
        btf.resize(24 + (types + strings) as usize, 7);
        let bytes = [&[0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 9, 9][..], &btf, b"behind"].concat();
        assert_eq!(btf_inside(&bytes), Some(&btf[..]));
        assert_eq!(btf_inside(&bytes[..bytes.len() - 7]), None);
    }
}
