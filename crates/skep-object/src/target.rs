//! What a machine offers to a program, as a value: types, version, configuration. A link asks
//! nothing else, so that its answer is the same wherever it runs.

use std::{collections::BTreeMap, sync::Arc};

use skep_abi::KernelVersion;
use skep_btf::Btf;
use skep_isa::Endian;

/// The machine that an object is linked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Target {
    /// The types of the kernel; `None` where it has none.
    pub kernel_btf: Option<Arc<Btf>>,
    /// The types of its modules: split BTF upon the kernel's.
    pub modules: Vec<ModuleBtf>,
    /// Its version.
    pub version: KernelVersion,
    /// Its configuration: names with `CONFIG_`, values as `.config` spells them (`y`, `1000`,
    /// `"text"`).
    pub config: BTreeMap<String, String>,
    /// Addresses of kernel symbols, for untyped `.ksyms` variables; only those asked for need be
    /// there.
    pub symbols: BTreeMap<String, u64>,
    /// Bytes of a pointer in the kernel: 4 or 8.
    pub pointer_size: u8,
    /// Its byte order.
    pub endian: Endian,
    /// What its BTF loader takes.
    pub btf_features: BtfFeatures,
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
    /// A machine like this one of the given kernel version, without BTF.
    pub fn new(version: KernelVersion) -> Self {
        Self {
            kernel_btf: None,
            modules: Vec::new(),
            version,
            config: BTreeMap::new(),
            symbols: BTreeMap::new(),
            pointer_size: 8,
            endian: Endian::NATIVE,
            btf_features: BtfFeatures::of(version),
        }
    }

    /// The same with the kernel's types, and the pointer size and byte order that they say.
    #[must_use]
    pub fn with_kernel_btf(mut self, btf: Arc<Btf>) -> Self {
        self.pointer_size = btf.pointer_size();
        self.endian = crate::endian_of(&btf);
        self.kernel_btf = Some(btf);
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

/// Which kinds of types a kernel's BTF loader takes; others are replaced before the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BtfFeatures {
    /// Global functions. Since 5.6.
    pub global_functions: bool,
    /// Floating-point types. Since 5.13.
    pub floats: bool,
    /// Tags of declarations. Since 5.16.
    pub decl_tags: bool,
    /// Tags of types. Since 5.17.
    pub type_tags: bool,
    /// Enumerations of 64 bits, and signed ones. Since 6.0.
    pub enum64: bool,
    /// Tags that are whole attributes. Since 6.15.
    pub tag_attributes: bool,
}

impl BtfFeatures {
    /// What a kernel of this version takes.
    pub fn of(version: KernelVersion) -> Self {
        let since = |major, minor| version >= KernelVersion::new(major, minor);
        Self {
            global_functions: since(5, 6),
            floats: since(5, 13),
            decl_tags: since(5, 16),
            type_tags: since(5, 17),
            enum64: since(6, 0),
            tag_attributes: since(6, 15),
        }
    }
}
