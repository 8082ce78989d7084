//! The running kernel's build configuration, from `/proc/config.gz` or `/boot`.

use std::{
    fs::File,
    io::{self, Read},
};

use skep_host::Errno;

use crate::sys::errno_of;

/// Longest configuration that is read: the usual one has some 300 kB.
const LIMIT: u64 = 8 << 20;

/// A kernel's build options.
#[derive(Debug)]
pub(crate) struct KernelConfig {
    text: String,
}

impl KernelConfig {
    /// Reads the configuration of the kernel with this release.
    pub(crate) fn read(release: &str) -> Result<Self, Errno> {
        let places = [
            format!("/boot/config-{release}"),
            format!("/usr/lib/modules/{release}/config"),
            format!("/lib/modules/{release}/config"),
            format!("/lib/modules/{release}/build/.config"),
        ];
        let packed = File::open("/proc/config.gz")
            .and_then(bytes_of)
            .and_then(|packed| unpacked(&packed).ok_or(io::ErrorKind::InvalidData.into()));
        let mut last = match packed {
            Ok(text) => return Ok(Self { text }),
            Err(error) => error,
        };
        for place in places {
            match File::open(place).and_then(text_of) {
                Ok(text) => return Ok(Self { text }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => last = error,
            }
        }
        Err(errno_of(&last))
    }

    /// An option's value as the file spells it (`y`, `m`, a number, `"text"`); `None` when not set.
    pub(crate) fn spelling(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.trim()))
    }

    /// An option's value, a text without its quotes; `None` when not set.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let value = self.spelling(name)?;
        let text = value
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        Some(text.unwrap_or(value))
    }

    /// The option is built in or a module.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        matches!(self.option(name), Some("y" | "m"))
    }
}

fn bytes_of(file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text in a gzip member (RFC 1952). Its check sum is left alone: this comes out of the
/// kernel's own memory.
fn unpacked(member: &[u8]) -> Option<String> {
    const EXTRA: u8 = 1 << 2;
    const NAME: u8 = 1 << 3;
    const COMMENT: u8 = 1 << 4;
    const HEADER_SUM: u8 = 1 << 1;
    let (head, mut rest) = member.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *head else {
        return None;
    };
    if flags & EXTRA != 0 {
        let (len, behind) = rest.split_first_chunk::<2>()?;
        rest = behind.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & HEADER_SUM != 0 {
        rest = rest.get(2..)?;
    }
    let bytes = miniz_oxide::inflate::decompress_to_vec_with_limit(rest, LIMIT as usize).ok()?;
    String::from_utf8(bytes).ok()
}

fn text_of(file: impl Read) -> io::Result<String> {
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gzip_member_is_unpacked_whatever_its_header_has() {
        // A stored block of five bytes.
        let stored = [1, 5, 0, 0xfa, 0xff, b'A', b'=', b'y', b' ', b'\n'];
        let member = |flags: u8, header: &[u8]| {
            let mut bytes = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
            bytes.extend(header);
            bytes.extend(stored);
            bytes.extend([0; 8]);
            bytes
        };
        let plain = member(0, b"");
        assert_eq!(unpacked(&plain).as_deref(), Some("A=y \n"));
        let full = member(0x1e, b"\x03\0abcconfig\0made\0\0\0");
        assert_eq!(unpacked(&full).as_deref(), Some("A=y \n"));
        for len in 0..plain.len() - 8 {
            assert_eq!(unpacked(&plain[..len]), None, "{len} bytes");
        }
        assert_eq!(unpacked(b"no gzip, but long enough"), None);
    }

    #[test]
    fn options_are_found_whole() {
        let config = KernelConfig {
            text:
                "CONFIG_BPF=y\n# CONFIG_KPROBES is not set\nCONFIG_HZ=250\nCONFIG_LSM=\"a,bpf\"\n"
                    .into(),
        };
        assert_eq!(config.option("CONFIG_BPF"), Some("y"));
        assert_eq!(config.option("CONFIG_KPROBES"), None);
        assert_eq!(config.option("CONFIG_B"), None);
        assert_eq!(config.option("CONFIG_HZ"), Some("250"));
        assert_eq!(config.option("CONFIG_LSM"), Some("a,bpf"));
        assert_eq!(config.spelling("CONFIG_LSM"), Some("\"a,bpf\""));
        assert!(config.is_set("CONFIG_BPF") && !config.is_set("CONFIG_HZ"));
    }
}
