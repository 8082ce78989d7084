//! What an object says, as plain data: programs, functions, maps, variables, externs. Read by
//! [`Object::parse`](crate::Object::parse); changed only by options given to a link.

use std::fmt;

use skep_abi::{AttachType, MapCreateFlags, MapType, ProgramType};
use skep_btf::TypeId;
use skep_isa::{InsnIndex, RawInsn};

use crate::{SectionName, core::CoreRelocation, ext::LineRecord};

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index into a slice.
            pub fn as_usize(self) -> usize {
                usize::try_from(self.0).unwrap_or(usize::MAX)
            }

            pub(crate) fn from_usize(index: usize) -> Self {
                Self(u32::try_from(index).unwrap_or(u32::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

index! {
    /// A function of an object: into [`Object::functions`](crate::Object::functions).
    FunctionIndex
}
index! {
    /// A program: into [`Object::programs`](crate::Object::programs).
    ProgramIndex
}
index! {
    /// A map: into [`Object::maps`](crate::Object::maps), and in an image into
    /// [`Image::maps`](crate::Image::maps).
    MapIndex
}
index! {
    /// An extern: into [`Object::externs`](crate::Object::externs).
    ExternIndex
}
index! {
    /// A jump table: into [`Object::jump_tables`](crate::Object::jump_tables).
    JumpTableIndex
}

/// A program: an entry function and how its section's name says to load and attach it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Program {
    /// The name of its function.
    pub name: String,
    /// Its section's name.
    pub section: SectionName,
    /// Its function.
    pub function: FunctionIndex,
    /// The functions that it calls or takes the address of, directly or not, in the order in which
    /// they are put behind it.
    pub subprograms: Vec<FunctionIndex>,
}

impl Program {
    /// Its type.
    pub fn program_type(&self) -> ProgramType {
        self.section.program_type()
    }

    /// What it is loaded to be attached as.
    pub fn attach_type(&self) -> Option<AttachType> {
        self.section.attach_type()
    }
}

/// A function: a program's entry or a subprogram.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// Its symbol's name.
    pub name: String,
    /// The section it stands in.
    pub section: String,
    /// Slots from its section's start to its own.
    pub section_offset: u32,
    /// Its instructions as the compiler wrote them.
    pub instructions: Vec<RawInsn>,
    /// What its instructions refer to, by instruction.
    pub references: Vec<Reference>,
    /// Who sees it.
    pub linkage: Linkage,
    /// Its type (`FUNC`), if the object has BTF for it.
    pub type_id: Option<TypeId>,
    /// Lines of source, relative to its start.
    pub lines: Vec<LineRecord>,
    /// CO-RE relocations, relative to its start.
    pub core_relocations: Vec<CoreRelocation>,
}

/// Who sees a function or variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linkage {
    /// Its own object.
    Static,
    /// Other objects, too.
    Global,
    /// Other objects, too; another definition of the name wins.
    Weak,
    /// The objects it is linked with, but not the kernel: verified as if static.
    Hidden,
}

/// What an instruction refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The instruction, from the function's start.
    pub insn: InsnIndex,
    /// What it refers to.
    pub kind: ReferenceKind,
}

/// The things that instructions refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferenceKind {
    /// A map, in a `ld_imm64`.
    Map(MapIndex),
    /// A place in the value of a map of global data, in a `ld_imm64`.
    MapValue {
        /// The map.
        map: MapIndex,
        /// Bytes from the value's start.
        offset: u32,
    },
    /// A call of a function of the object.
    Call(FunctionIndex),
    /// The address of a function of the object, in a `ld_imm64`.
    FunctionAddress(FunctionIndex),
    /// A call of a kernel function.
    ExternCall(ExternIndex),
    /// The address or value of something outside, in a `ld_imm64`.
    ExternAddress(ExternIndex),
    /// A jump table, in a `ld_imm64`; a `gotox` jumps by it. Since 6.19.
    JumpTable(JumpTableIndex),
}

/// The places that a `gotox` may jump to (section `.jumptables`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JumpTable {
    /// Bytes from the start of `.jumptables`.
    pub offset: u32,
    /// Slots from the start of the section that the referring function stands in.
    pub targets: Vec<u32>,
}

/// A map, as the object defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Map {
    /// Its variable's name; for global data, as libbpf names it (`prog.bss`, `.data.mine`).
    pub name: String,
    /// The section that defines it.
    pub section: String,
    /// Whether it is created unless the options say otherwise: not if its section's name begins
    /// with `?` (`?.struct_ops`).
    pub autocreate: bool,
    /// Its type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries; bytes for ring buffers, pages for arenas. 0 where the host decides (the
    /// number of CPUs, for perf event arrays).
    pub max_entries: u32,
    /// How it is made.
    pub flags: MapCreateFlags,
    /// What the type defines (bloom filter: hash functions; arena: address). Since 5.16.
    pub map_extra: u64,
    /// The NUMA node to allocate on.
    pub numa_node: Option<u32>,
    /// Whether it is shared by its name.
    pub pinning: Pinning,
    /// The type of a key, if it was given (`__type(key, …)`).
    pub key_type: Option<TypeId>,
    /// The type of a value, if it was given. For ring buffers and perf buffers: of an event. For
    /// global data: the section (`DATASEC`).
    pub value_type: Option<TypeId>,
    /// What maps in it look like, for maps of maps.
    pub inner: Option<Box<Map>>,
    /// What is in it from the start.
    pub contents: Contents,
    /// Whether user space can't write to it once it is filled (`.rodata`). Since 5.2.
    #[doc(alias = "BPF_MAP_FREEZE")]
    pub frozen: bool,
    /// The map's variable in BTF: what its tags hang on.
    pub variable: Option<TypeId>,
}

impl Map {
    pub(crate) fn new(name: &str, section: &str, map_type: MapType) -> Self {
        Self {
            name: name.to_owned(),
            section: section.to_owned(),
            autocreate: true,
            map_type,
            key_size: 0,
            value_size: 0,
            max_entries: 0,
            flags: MapCreateFlags::empty(),
            map_extra: 0,
            numa_node: None,
            pinning: Pinning::None,
            key_type: None,
            value_type: None,
            inner: None,
            contents: Contents::Empty,
            frozen: false,
            variable: None,
        }
    }

    /// Whether it holds the object's global variables and nothing else.
    pub fn is_global_data(&self) -> bool {
        matches!(
            self.contents,
            Contents::Data(_) | Contents::Zeroes | Contents::PerCpu(_)
        )
    }
}

/// What is in a map from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contents {
    /// Nothing.
    Empty,
    /// Global data, as the one value of an array.
    Data(Vec<u8>),
    /// Global data, all zero (`.bss`).
    Zeroes,
    /// Global data of which each CPU has its own (`.percpu`), as the one value of a per-CPU array:
    /// what every CPU starts with. Linux 7.3 lets programs refer to such; 6.18 does not.
    PerCpu(Vec<u8>),
    /// Global data in an arena (`.addr_space.1`). Since 6.9.
    Arena(Vec<u8>),
    /// Maps or programs in slots.
    Slots(Vec<Slot>),
    /// A struct of functions for the kernel (`.struct_ops`), as bytes and the programs in it.
    StructOps {
        /// The struct's bytes.
        data: Vec<u8>,
        /// Byte offsets of function pointers, and the programs they are to point to.
        programs: Vec<(u32, ProgramIndex)>,
        /// Whether a link holds it (`.struct_ops.link`).
        by_link: bool,
    },
}

impl Contents {
    /// The bytes of global data; `None` where there are none, or all are zero.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Data(bytes) | Self::PerCpu(bytes) | Self::Arena(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Data(bytes) | Self::PerCpu(bytes) | Self::Arena(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// One slot of a map of maps or a program array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The key.
    pub key: u32,
    /// What is in it.
    pub value: SlotValue,
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotValue {
    /// A map.
    Map(MapIndex),
    /// A program.
    Program(ProgramIndex),
}

/// Whether a map is shared by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pinning {
    /// It is not.
    #[default]
    #[doc(alias = "LIBBPF_PIN_NONE")]
    None,
    /// It is pinned under its name in a folder, and taken from there if it is there.
    #[doc(alias = "LIBBPF_PIN_BY_NAME")]
    ByName,
}

/// A global variable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The section it stands in, such as `.rodata`.
    pub section: String,
    /// The map whose value holds it.
    pub map: MapIndex,
    /// Bytes from that value's start; in an arena, from the start of its variables.
    pub offset: u32,
    /// Bytes that it takes.
    pub size: u32,
    /// Its type, if the object has BTF for it.
    pub type_id: Option<TypeId>,
    /// Who sees it.
    pub linkage: Linkage,
    /// Whether only the loader can set it, before the load (`.rodata`).
    pub read_only: bool,
}

/// Something that the target provides.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extern {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub kind: ExternKind,
    /// Whether the object can do without it.
    pub weak: bool,
    /// The type it is declared with: of the variable, or the `FUNC`.
    pub type_id: TypeId,
}

/// Where an extern comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExternKind {
    /// The kernel's configuration (`CONFIG_HZ`, `LINUX_KERNEL_VERSION`; section `.kconfig`).
    Kconfig,
    /// A variable of the kernel (section `.ksyms`); typed unless it is declared as `void`.
    KernelVariable {
        /// Whether it has a type, and is found by the kernel's BTF.
        typed: bool,
    },
    /// A function of the kernel (section `.ksyms`). Since 5.13.
    KernelFunction,
}

/// Prints as a noun: `a typed kernel variable`.
impl fmt::Display for ExternKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kconfig => "a configuration value",
            Self::KernelVariable { typed: true } => "a typed kernel variable",
            Self::KernelVariable { typed: false } => "an untyped kernel symbol",
            Self::KernelFunction => "a kernel function",
        })
    }
}
