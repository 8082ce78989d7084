//! What a user chooses before a link: which programs, how large the maps, what values the global
//! variables start with. Checked against the object when it is linked.

use std::collections::BTreeMap;

use skep_abi::{AttachType, MapType};

use crate::{Pinning, SectionHandlers};

/// Choices for [`Object::parse_with`](crate::Object::parse_with).
///
/// ```no_run
/// use skep_abi::ProgramType;
/// use skep_object::{Object, ParseOptions, SectionHandler, SectionHandlers};
///
/// let plugin = SectionHandler::new(ProgramType::Syscall).sleepable();
/// let options = ParseOptions::new("tool").handlers(SectionHandlers::new().exact("plugin", plugin));
/// let object = Object::parse_with(&std::fs::read("tool.bpf.o")?, &options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ParseOptions {
    pub(crate) name: String,
    pub(crate) file: Option<String>,
    pub(crate) handlers: SectionHandlers,
}

impl ParseOptions {
    /// An object of this name, which the names of its maps of global data start with.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            file: None,
            handlers: SectionHandlers::new(),
        }
    }

    /// What errors call it, of reading and of linking ([`Error::InFile`](crate::Error::InFile)):
    /// the file's path, or that of its source.
    #[must_use]
    pub fn file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// What sections of the caller's own names hold.
    #[must_use]
    pub fn handlers(mut self, handlers: SectionHandlers) -> Self {
        self.handlers = handlers;
        self
    }
}

/// Choices for [`Object::link`](crate::Object::link). Names that the object does not have are
/// errors of the link.
///
/// ```
/// use skep_object::LinkOptions;
/// let mut options = LinkOptions::default();
/// options.program("debug_only").autoload(false);
/// options.map("events").max_entries(1 << 20);
/// options.variable("target_pid", 812_u32.to_ne_bytes());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkOptions {
    pub(crate) programs: BTreeMap<String, ProgramOptions>,
    pub(crate) maps: BTreeMap<String, MapOptions>,
    pub(crate) variables: BTreeMap<String, Vec<u8>>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) only: Option<Vec<String>>,
}

impl LinkOptions {
    /// No choices: what the object says.
    pub fn new() -> Self {
        Self::default()
    }

    /// The choices for a program.
    pub fn program(&mut self, name: impl Into<String>) -> &mut ProgramOptions {
        self.programs.entry(name.into()).or_default()
    }

    /// The choices for a map.
    pub fn map(&mut self, name: impl Into<String>) -> &mut MapOptions {
        self.maps.entry(name.into()).or_default()
    }

    /// The bytes that a global variable starts with, in the target's byte order; their number must
    /// be the variable's size.
    pub fn variable(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// What a variable is to start with, if that was chosen.
    pub fn variable_of(&self, name: &str) -> Option<&[u8]> {
        self.variables.get(name).map(Vec::as_slice)
    }

    /// What an extern of `.kconfig` is, whatever the target's configuration says; spelled as there
    /// (`y`, `1000`, `"text"`).
    pub fn config(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.config.insert(name.into(), value.into());
        self
    }

    /// What was chosen for an extern of `.kconfig`.
    pub fn config_of(&self, name: &str) -> Option<&str> {
        self.config.get(name).map(String::as_str)
    }

    /// Whether a program was chosen or left out; `None` where its section decides.
    pub fn asks_for(&self, program: &str) -> Option<bool> {
        match &self.only {
            Some(only) => Some(only.iter().any(|name| name == program)),
            None => self.programs.get(program)?.autoload,
        }
    }

    /// Whether [`only_programs`](Self::only_programs) chose.
    pub fn chooses_programs(&self) -> bool {
        self.only.is_some()
    }

    /// Loads one of several programs that are forms of one thing, and not the others.
    pub fn choose_among(&mut self, forms: &[String], chosen: &str) -> &mut Self {
        if let Some(only) = &mut self.only {
            only.retain(|name| !forms.contains(name));
            only.push(chosen.to_owned());
        } else {
            for name in forms {
                self.program(name).autoload(name == chosen);
            }
        }
        self
    }

    /// Loads these programs and no others, whatever their sections say.
    pub fn only_programs<N: Into<String>>(
        &mut self,
        names: impl IntoIterator<Item = N>,
    ) -> &mut Self {
        self.only = Some(names.into_iter().map(Into::into).collect());
        self
    }
}

/// Choices for one program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramOptions {
    pub(crate) autoload: Option<bool>,
    pub(crate) autoattach: Option<bool>,
    pub(crate) attach_type: Option<AttachType>,
    pub(crate) attach_target: Option<String>,
    pub(crate) of_program: bool,
    pub(crate) device: Option<u32>,
}

impl ProgramOptions {
    /// Whether it is loaded.
    pub fn autoload(&mut self, load: bool) -> &mut Self {
        self.autoload = Some(load);
        self
    }

    /// Whether attaching all programs attaches it.
    pub fn autoattach(&mut self, attach: bool) -> &mut Self {
        self.autoattach = Some(attach);
        self
    }

    /// What it is loaded to be attached as, in place of what its section says.
    pub fn attach_type(&mut self, attach_type: AttachType) -> &mut Self {
        self.attach_type = Some(attach_type);
        self
    }

    /// What it is attached to, in place of what follows the slash in its section's name.
    pub fn attach_target(&mut self, target: impl Into<String>) -> &mut Self {
        self.attach_target = Some(target.into());
        self
    }

    /// What [`attach_target`](Self::attach_target) said.
    pub fn chosen_target(&self) -> Option<&str> {
        self.attach_target.as_deref()
    }

    /// Whether its target is a function of another program: then it is looked for in no kernel's
    /// types, and whoever loads it says which program it is.
    #[doc(alias = "bpf_program__set_attach_target")]
    pub fn of_program(&mut self, of_program: bool) -> &mut Self {
        self.of_program = of_program;
        self
    }

    /// Binds an XDP program to the device with this index (`BPF_F_XDP_DEV_BOUND_ONLY`): it may ask
    /// the device about packets (`bpf_xdp_metadata_rx_hash` and its like), runs on no other one,
    /// and not in generic mode or test runs. Since Linux 6.3.
    #[doc(alias = "bpf_program__set_ifindex")]
    pub fn bound_to(&mut self, ifindex: u32) -> &mut Self {
        self.device = Some(ifindex);
        self
    }
}

/// Choices for one map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapOptions {
    pub(crate) autocreate: Option<bool>,
    pub(crate) exclusive: Option<String>,
    pub(crate) map_type: Option<MapType>,
    pub(crate) max_entries: Option<u32>,
    pub(crate) value_size: Option<u32>,
    pub(crate) key_size: Option<u32>,
    pub(crate) numa_node: Option<u32>,
    pub(crate) map_extra: Option<u64>,
    pub(crate) pinning: Option<Pinning>,
    pub(crate) pin_path: Option<String>,
}

impl MapOptions {
    /// Whether it is created. Instructions that refer to one that is not are made invalid, so
    /// that a program loads as long as it never comes to them. A struct_ops map that is not
    /// created takes the programs that only it uses with it.
    #[doc(alias = "bpf_map__set_autocreate")]
    pub fn autocreate(&mut self, create: bool) -> &mut Self {
        self.autocreate = Some(create);
        self
    }

    /// Lets only this program of the object use it: the kernel refuses others by the hash of
    /// their instructions. Since 6.18.
    #[doc(alias = "excl_prog_hash")]
    pub fn exclusive(&mut self, program: impl Into<String>) -> &mut Self {
        self.exclusive = Some(program.into());
        self
    }

    /// Another type, such as a ring buffer's in place of a perf buffer's.
    pub fn map_type(&mut self, map_type: MapType) -> &mut Self {
        self.map_type = Some(map_type);
        self
    }

    /// Most entries; bytes for ring buffers.
    pub fn max_entries(&mut self, entries: u32) -> &mut Self {
        self.max_entries = Some(entries);
        self
    }

    /// Bytes of a value. The value's type no longer counts then, unless it is as large.
    pub fn value_size(&mut self, bytes: u32) -> &mut Self {
        self.value_size = Some(bytes);
        self
    }

    /// Bytes of a key.
    pub fn key_size(&mut self, bytes: u32) -> &mut Self {
        self.key_size = Some(bytes);
        self
    }

    /// What the type defines: of a bloom filter the hash functions, of an arena the address, in
    /// this process as well. Since 5.16.
    pub fn map_extra(&mut self, extra: u64) -> &mut Self {
        self.map_extra = Some(extra);
        self
    }

    /// The NUMA node to allocate on.
    pub fn numa_node(&mut self, node: u32) -> &mut Self {
        self.numa_node = Some(node);
        self
    }

    /// Whether it is shared by its name.
    #[doc(alias = "LIBBPF_PIN_BY_NAME")]
    pub fn pinning(&mut self, pinning: Pinning) -> &mut Self {
        self.pinning = Some(pinning);
        self
    }

    /// Not pinned, whatever the object or an earlier choice says.
    pub fn unpinned(&mut self) -> &mut Self {
        self.pinning = Some(Pinning::None);
        self.pin_path = None;
        self
    }

    /// The path it is pinned at, in place of one made from its name.
    pub fn pin_path(&mut self, path: impl Into<String>) -> &mut Self {
        self.pin_path = Some(path.into());
        self
    }
}
