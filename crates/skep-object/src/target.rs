//! What a machine offers to a program, as a value: types, version, configuration. A link asks
//! nothing else, so that its answer is the same wherever it runs.

use std::{collections::BTreeMap, sync::Arc};

use skep_abi::{KernelVersion, ParseKernelVersionError};
use skep_btf::Btf;
use skep_isa::Endian;

use crate::Features;

/// The machine that an object is linked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Target {
    /// What errors call it: `kernel`, or `vm`.
    pub name: &'static str,
    /// The types of the kernel; `None` where it has none.
    pub kernel_btf: Option<Arc<Btf>>,
    /// Types that describe the kernel where it has none itself, or in place of its own: CO-RE
    /// relocations are made by these, and nothing else is, since a kernel knows only its own ids.
    pub core_btf: Option<Arc<Btf>>,
    /// The types of its modules: split BTF upon the kernel's.
    pub modules: Vec<ModuleBtf>,
    /// Its version.
    pub version: KernelVersion,
    /// The third number of its version, 0 where it is not known: the updates of long-term kernels
    /// bring some of what later versions have.
    pub patch: u16,
    /// Its configuration: names with `CONFIG_`, values as `.config` spells them (`y`, `1000`,
    /// `"text"`).
    pub config: BTreeMap<String, String>,
    /// Addresses of kernel symbols, for untyped `.ksyms` variables; only those asked for need be
    /// there. Names of static functions and variables can have several.
    pub symbols: BTreeMap<String, Vec<u64>>,
    /// Bytes of a pointer in the kernel: 4 or 8.
    pub pointer_size: u8,
    /// Its byte order.
    pub endian: Endian,
    /// What it has of what objects can do without.
    pub features: Features,
}

/// The types of a kernel module.
#[derive(Debug, Clone)]
pub struct ModuleBtf {
    /// The module's name.
    pub name: String,
    /// Its types.
    pub btf: Arc<Btf>,
}

impl Target {
    /// Functions of which a kernel has one if its system calls take their registers in memory, in
    /// its BTF or its symbols.
    pub const SYSCALL_WRAPPERS: [&str; 4] = [
        "__x64_sys_bpf",
        "__arm64_sys_bpf",
        "__s390x_sys_bpf",
        "__riscv_sys_bpf",
    ];

    /// A machine like this one of the given kernel version, without BTF.
    pub fn new(version: KernelVersion) -> Self {
        Self {
            name: "kernel",
            kernel_btf: None,
            core_btf: None,
            modules: Vec::new(),
            version,
            patch: 0,
            config: BTreeMap::new(),
            symbols: BTreeMap::new(),
            pointer_size: 8,
            endian: Endian::NATIVE,
            features: Features::of(version),
        }
    }

    /// A machine like this one of the version that a text such as `6.1.192` begins with.
    ///
    /// # Errors
    /// It does not begin with one.
    pub fn of_release(text: &str) -> Result<Self, ParseKernelVersionError> {
        let mut target = Self::new(text.parse()?);
        let third = text.split('.').nth(2).unwrap_or_default();
        let end = third.find(|letter: char| !letter.is_ascii_digit());
        let digits = third.get(..end.unwrap_or(third.len()));
        target.patch = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
        Ok(target)
    }

    /// The same with the kernel's types, and the pointer size and byte order that they say.
    #[must_use]
    pub fn with_kernel_btf(mut self, btf: Arc<Btf>) -> Self {
        self.pointer_size = btf.pointer_size();
        self.endian = btf.endianness();
        self.kernel_btf = Some(btf);
        self
    }

    /// The same with types that CO-RE relocations are made by, such as those of a BTF file for
    /// this very kernel.
    #[must_use]
    pub fn with_core_btf(mut self, btf: Arc<Btf>) -> Self {
        if self.kernel_btf.is_none() {
            self.pointer_size = btf.pointer_size();
            self.endian = btf.endianness();
        }
        self.core_btf = Some(btf);
        self
    }

    /// The same with a module's types.
    #[must_use]
    pub fn with_module(mut self, name: impl Into<String>, btf: Arc<Btf>) -> Self {
        self.modules.push(ModuleBtf {
            name: name.into(),
            btf,
        });
        self
    }

    /// The same with a configuration in the form of `/proc/config.gz` and `/boot/config-*`:
    /// `CONFIG_X=value` lines, comments and others skipped.
    #[must_use]
    pub fn with_config_text(mut self, text: &str) -> Self {
        let settings = text.lines().filter_map(|line| line.trim().split_once('='));
        let known = settings.filter(|(name, _)| name.starts_with("CONFIG_"));
        self.config
            .extend(known.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_a_patch_level_or_none() {
        for (text, patch) in [
            ("6.1.192", 192),
            ("6.12.117+deb12-cloud-amd64", 117),
            ("5.10", 0),
            ("6.18-rc1", 0),
            ("7.3.x", 0),
        ] {
            assert_eq!(Target::of_release(text).expect(text).patch, patch, "{text}");
        }
        assert!(Target::of_release("six").is_err());
    }
}
