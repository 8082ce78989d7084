//! The data of a light form, as generated code spells it: all of an image that a kernel is told, and
//! nothing that would have to be read.
//!
//! These are written by `skep gen light` of the same version, and not meant to be written by hand.

use skep_abi::{AttachType, MapType, ProgramType};

use crate::MadeFor;

/// An object, linked for a kernel.
#[derive(Debug)]
pub struct Image {
    /// Its name.
    pub name: &'static str,
    /// The kernel that it was linked for.
    pub made_for: MadeFor,
    /// Its BTF for the kernel; empty if it has none.
    pub btf: &'static [u8],
    /// Modules whose types it refers to.
    pub modules: &'static [&'static str],
    /// The maps, in the order to create them.
    pub maps: &'static [MapImage],
    /// The programs.
    pub programs: &'static [ProgramImage],
}

/// A map to create.
#[derive(Debug)]
pub struct MapImage {
    /// Its name in the object.
    pub name: &'static str,
    /// How it is made.
    pub inner: Inner,
    /// The template of the maps in it.
    pub template: Option<&'static Inner>,
    /// What to put in it.
    pub contents: Contents,
    /// Whether user space can't write to it once it is filled.
    pub frozen: bool,
    /// Where it is pinned, and taken from if it is there.
    pub pin: Pin,
}

/// Where a map is pinned.
#[derive(Debug, Clone, Copy)]
pub enum Pin {
    /// Nowhere.
    None,
    /// In the folder of pins ([`Open::set_pin_folder`](crate::Open::set_pin_folder)), by its name.
    ByName,
    /// At this path.
    At(&'static str),
}

/// How a map is made, also one that is only the template of others.
#[derive(Debug)]
pub struct Inner {
    /// Its name for the kernel.
    pub load_name: &'static str,
    /// Its type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries; 0 for one a CPU.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// What the type defines.
    pub map_extra: u64,
    /// The NUMA node to allocate on.
    pub numa_node: Option<u32>,
    /// The type of a key in the image's BTF, or 0.
    pub key_type: u32,
    /// The type of a value in the image's BTF, or 0.
    pub value_type: u32,
    /// For structs of functions: the value's type in the kernel's BTF.
    pub kernel_value: Option<KernelValue>,
}

/// A type of a kernel's BTF.
#[derive(Debug, Clone, Copy)]
pub struct KernelValue {
    /// Its id.
    pub type_id: u32,
    /// The module, an index into those of the image; `None`: the kernel proper.
    pub module: Option<usize>,
}

/// What is in a map from the start.
#[derive(Debug, Clone, Copy)]
pub enum Contents {
    /// Nothing, or zeroes.
    Empty,
    /// Its one value.
    Data(&'static [u8]),
    /// Its one value, for each CPU.
    PerCpu(&'static [u8]),
    /// The variables in an arena.
    Arena(&'static [u8]),
    /// Maps and programs.
    Slots(&'static [Slot]),
    /// A struct of functions: its bytes, and where in it which program's descriptor goes.
    StructOps {
        /// The bytes.
        data: &'static [u8],
        /// Offsets, and indices of programs.
        programs: &'static [(usize, usize)],
        /// A link registers it.
        by_link: bool,
    },
}

/// A slot of a map of maps or a program array.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// The key.
    pub key: u32,
    /// What is in it.
    pub value: SlotValue,
}

/// What a slot holds, by index.
#[derive(Debug, Clone, Copy)]
pub enum SlotValue {
    /// A map.
    Map(usize),
    /// A program.
    Program(usize),
}

/// A program to load.
#[derive(Debug)]
pub struct ProgramImage {
    /// Its name in the object.
    pub name: &'static str,
    /// Its name for the kernel.
    pub load_name: &'static str,
    /// Its type.
    pub program_type: ProgramType,
    /// What it is attached as.
    pub attach_type: Option<AttachType>,
    /// The member of a struct of functions that it is.
    pub attach_member: Option<u32>,
    /// What it attaches to, in the kernel's BTF, or 0.
    pub attach_btf_id: u32,
    /// The module of that, an index into those of the image.
    pub attach_module: Option<usize>,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Its licence.
    pub license: &'static str,
    /// `LINUX_VERSION_CODE`
    pub kernel_version: u32,
    /// Its instructions, in this machine's byte order.
    pub instructions: &'static [u8],
    /// Those that refer to maps.
    pub map_references: &'static [MapReference],
    /// Those that refer to the BTF of modules.
    pub module_references: &'static [ModuleReference],
    /// A signature of the instructions, or empty. Signed ones are never changed: they name maps and
    /// modules by their places in the load's array of descriptors. Since 6.18.
    pub signature: &'static [u8],
    /// Its functions, by name, with the ids of their types in the image's BTF.
    pub functions: &'static [(&'static str, u32)],
    /// It is on a function of a program that is told at the load.
    pub on_program: bool,
    /// Function records.
    pub func_info: Records,
    /// Line records.
    pub line_info: Records,
    /// What its section's name says of the place to attach it to.
    pub place: Place,
}

/// Records and the size of each.
#[derive(Debug, Clone, Copy)]
pub struct Records {
    /// Bytes of a record.
    pub size: u32,
    /// The records.
    pub bytes: &'static [u8],
}

/// An instruction whose immediate becomes a map's descriptor.
#[derive(Debug, Clone, Copy)]
pub struct MapReference {
    /// Its index.
    pub insn: usize,
    /// The map's.
    pub map: usize,
    /// If it refers to the map's value: to which of its bytes, counted from the image's variables.
    pub offset: Option<u32>,
}

/// An instruction that names the BTF of a module: a call by its offset, an index into the load's
/// descriptors; a `ld_imm64` by its second immediate.
#[derive(Debug, Clone, Copy)]
pub struct ModuleReference {
    /// Its index.
    pub insn: usize,
    /// The module's.
    pub module: usize,
    /// Whether it is a call.
    pub call: bool,
}

/// Where a program is attached, as far as its section's name says it.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// A tracepoint, by category and name.
    Tracepoint(&'static str, &'static str),
    /// A raw tracepoint.
    RawTracepoint(&'static str),
    /// What the load fixed: tp_btf, fentry, fexit, fmod_ret, lsm. For errors, the section's name.
    Tracing(AttachType, &'static str),
    /// A function of the kernel, an offset in it, and whether at its return.
    Kprobe(&'static str, u64, bool),
    /// In the place of this function of another program.
    Replace(&'static str),
    /// An iterator over all that its kind has.
    Iterator,
    /// Nothing: how else it can be attached, for errors.
    Open(&'static str),
    /// It is not attached by itself.
    Never,
}
