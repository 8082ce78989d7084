//! The perf event sources `kprobe` and `uprobe`, as the kernel describes them (4.17).

use std::fs;

use skep_host::Errno;

use crate::{attr, perf};

/// An event source.
pub(super) struct Source {
    name: &'static str,
    kind: u32,
}

impl Source {
    /// # Errors
    /// The kernel has no such source (`ENOENT`).
    pub(super) fn open(name: &'static str) -> Result<Self, Errno> {
        let kind = number(name, "type").ok_or(Errno::ENOENT)?;
        let kind = u32::try_from(kind).map_err(|_| Errno::EIO)?;
        Ok(Self { name, kind })
    }

    /// An event of this source, at a function's return or at an instruction; where is the
    /// caller's to fill in.
    pub(super) fn attributes(&self, at_return: bool) -> Result<attr::PerfEvent, Errno> {
        let mut config = 0;
        if at_return {
            let bit = number(self.name, "format/retprobe").ok_or(Errno::EIO)?;
            let bit = u32::try_from(bit).map_err(|_| Errno::EIO)?;
            config = 1u64.checked_shl(bit).ok_or(Errno::EIO)?;
        }
        let mut attr = perf::attributes(self.kind, config);
        attr.sample_period = 1;
        attr.flags = perf::FLAG_DISABLED;
        Ok(attr)
    }
}

/// A number in a file of the source; `config:5` and `config:32-63` give their first bit.
fn number(source: &str, file: &str) -> Option<u64> {
    let path = format!("/sys/bus/event_source/devices/{source}/{file}");
    let text = fs::read_to_string(path).ok()?;
    let digits = text.trim().rsplit(':').next()?;
    digits.split('-').next()?.parse().ok()
}
