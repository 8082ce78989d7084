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
            .and_then(|file| text_of(flate2::read::GzDecoder::new(file)));
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

fn text_of(file: impl Read) -> io::Result<String> {
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

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
