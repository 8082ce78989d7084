//! Kernel versions: what `since` answers, and what `uname` and `LINUX_VERSION_CODE` say.
//! Only major and minor count: stable releases add no BPF features.

use std::fmt;
use std::str::FromStr;

/// A release of Linux, such as 6.18.
///
/// ```
/// use skep_abi::KernelVersion;
///
/// let running: KernelVersion = "6.18.44-fc-v657".parse()?;
/// assert_eq!(running, KernelVersion::new(6, 18));
/// assert!(running >= KernelVersion::new(6, 9));
/// # Ok::<(), skep_abi::ParseKernelVersionError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// The first number.
    pub major: u8,
    /// The second number.
    pub minor: u8,
}

impl KernelVersion {
    /// A version from its two numbers.
    #[must_use]
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }

    /// From the kernel's packed form, `major << 16 | minor << 8 | patch`.
    ///
    /// Bits above the major number are dropped.
    #[doc(alias = "LINUX_VERSION_CODE")]
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        let [_, minor, major, _] = code.to_le_bytes();
        Self { major, minor }
    }

    /// The kernel's packed form with a patch level of zero, as `kern_version` of
    /// `BPF_PROG_LOAD` wants it from old kernels.
    #[doc(alias = "KERNEL_VERSION")]
    #[must_use]
    pub const fn code(self) -> u32 {
        u32::from_le_bytes([0, self.minor, self.major, 0])
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Through a string, so that `{:>6}` pads the whole.
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

/// A text that does not start with a kernel version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseKernelVersionError {
    text: String,
}

impl fmt::Display for ParseKernelVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a kernel version such as 6.18 or 6.18.44-1",
            self.text
        )
    }
}

impl std::error::Error for ParseKernelVersionError {}

impl FromStr for KernelVersion {
    type Err = ParseKernelVersionError;

    /// Reads `5.10` and release names such as `6.18.44-fc-v657`, `6.1-rc3` or `7.3.4+deb14`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (major, rest) = text.split_once('.')?;
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (minor, rest) = rest.split_at(end);
            // What follows is a patch level or a local name, not more of the number.
            if !(rest.is_empty() || rest.starts_with(['.', '-', '+', '_', '~'])) {
                return None;
            }
            Some(Self {
                major: number(major)?,
                minor: number(minor)?,
            })
        };
        parse().ok_or_else(|| ParseKernelVersionError {
            text: text.to_owned(),
        })
    }
}

/// Digits only: `u8::from_str` would take a sign.
fn number(digits: &str) -> Option<u8> {
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_names_parse() {
        for (text, major, minor) in [
            ("6.18.44-fc-v657", 6, 18),
            ("5.10", 5, 10),
            ("6.1-rc3", 6, 1),
            ("7.3.4+deb14-amd64", 7, 3),
            ("5.15.153.1-microsoft-standard-WSL2", 5, 15),
        ] {
            assert_eq!(text.parse(), Ok(KernelVersion { major, minor }), "{text}");
        }
        for text in ["", "6", "6.", ".1", "+6.1", "6.-1", "6.1x", "999.1", "a.b"] {
            let error = text.parse::<KernelVersion>().expect_err(text);
            assert!(error.to_string().contains(&format!("`{text}`")));
        }
    }

    #[test]
    fn packed_form_round_trips() {
        assert_eq!(KernelVersion::from_code(459_524), KernelVersion::new(7, 3));
        assert_eq!(KernelVersion::new(7, 3).code(), 459_520);
        assert!(KernelVersion::new(5, 9) < KernelVersion::new(5, 10));
        assert_eq!(format!("{:>6}|", KernelVersion::new(5, 4)), "   5.4|");
    }
}
