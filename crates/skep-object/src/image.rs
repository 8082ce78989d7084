//! An object made ready for one target: what a host creates and loads, in order, with nothing
//! left to decide but file descriptors.

use std::collections::BTreeMap;

use std::sync::Arc;

use skep_abi::{AttachType, KernelVersion, MapCreateFlags, MapType, ProgLoadFlags, ProgramType};
use skep_btf::{Btf, StringOffset, TypeId};
use skep_isa::{Endian, InsnIndex, RawInsn};

use crate::{
    Contents, Downgrade, LineRecord, MapIndex, Pinning, ProgramIndex, SectionName,
    source::SourceTable,
};

/// An object linked for a target.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Image {
    /// The object's name.
    pub name: String,
    /// The byte order of instructions and data.
    pub endian: Endian,
    /// The BTF to load first, if the object has any.
    pub btf: Option<Vec<u8>>,
    /// The maps, in the order to create them; indices are those of the object.
    pub maps: Vec<ImageMap>,
    /// The programs to load, in order.
    pub programs: Vec<ImageProgram>,
    /// What the configuration values are that the object asks for (`CONFIG_HZ`), spelled as in
    /// `.config`; without those that the target does not have.
    pub settings: BTreeMap<String, String>,
    /// What the target is too old for and was made less of.
    pub downgrades: Vec<Downgrade>,
    /// Whether the target's BTF has all that was looked for in it. If not, a link with the BTF of
    /// more modules may find it.
    pub complete: bool,
}

impl Image {
    /// An image without maps and programs, for tools that read them from elsewhere.
    pub fn new(name: &str, endian: Endian) -> Self {
        Self {
            name: name.to_owned(),
            endian,
            btf: None,
            maps: Vec::new(),
            programs: Vec::new(),
            settings: BTreeMap::new(),
            downgrades: Vec::new(),
            complete: true,
        }
    }

    /// The program with this name.
    pub fn program(&self, name: &str) -> Option<&ImageProgram> {
        self.programs.iter().find(|program| program.name == name)
    }

    /// The map with this name.
    pub fn map(&self, name: &str) -> Option<&ImageMap> {
        self.maps.iter().find(|map| map.name == name)
    }
}

/// A map to create.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageMap {
    /// Its name in the object.
    pub name: String,
    /// Its name for the kernel: at most 15 bytes, of letters, digits, `_` and `.`.
    pub load_name: String,
    /// Whether to create it; no loaded program reaches one that is not.
    pub create: bool,
    /// Its type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries; 0 where the host decides (the number of CPUs, for perf event arrays).
    pub max_entries: u32,
    /// How it is made.
    pub flags: MapCreateFlags,
    /// What the type defines.
    pub map_extra: u64,
    /// The NUMA node to allocate on.
    pub numa_node: Option<u32>,
    /// Whether it is shared by its name.
    pub pinning: Pinning,
    /// The path it is pinned at, where the options named one.
    pub pin_path: Option<String>,
    /// The type of a key in the image's BTF, where the kernel takes it.
    pub key_type: Option<TypeId>,
    /// The type of a value in the image's BTF, where the kernel takes it.
    pub value_type: Option<TypeId>,
    /// The type of the value in the target's BTF (`bpf_struct_ops_…`), for struct_ops maps. Their
    /// [`contents`](Self::contents) are laid out as that type.
    pub kernel_value_type: Option<AttachBtf>,
    /// The only program that may use the map. Since 6.18.
    pub exclusive: Option<ProgramIndex>,
    /// The template of the maps in it.
    pub inner: Option<Box<ImageMap>>,
    /// What to put in it after it was created (programs: after they were loaded).
    pub contents: Contents,
    /// Whether to freeze it after it was filled.
    pub frozen: bool,
}

impl ImageMap {
    /// An empty map of a tool's own, to be created beside those of the object.
    pub fn new(
        name: &str,
        map_type: MapType,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> Self {
        Self {
            name: name.to_owned(),
            load_name: name.chars().take(15).collect(),
            create: true,
            map_type,
            key_size,
            value_size,
            max_entries,
            flags: MapCreateFlags::empty(),
            map_extra: 0,
            numa_node: None,
            pinning: Pinning::None,
            pin_path: None,
            key_type: None,
            value_type: None,
            kernel_value_type: None,
            exclusive: None,
            inner: None,
            contents: Contents::Empty,
            frozen: false,
        }
    }

    /// Whether it holds the object's global variables.
    pub fn is_global_data(&self) -> bool {
        matches!(self.contents, Contents::Data(_) | Contents::Zeroes)
    }
}

/// A program to load.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImageProgram {
    /// Its place in the object.
    pub index: ProgramIndex,
    /// Its name in the object.
    pub name: String,
    /// Its name for the kernel: at most 15 bytes, of letters, digits, `_` and `.`.
    pub load_name: String,
    /// Its section.
    pub section: SectionName,
    /// Its type.
    pub program_type: ProgramType,
    /// What it is loaded to be attached as.
    pub attach_type: Option<AttachType>,
    /// What it is attached to: what follows the slash in its section's name, or what the options
    /// put in its place.
    pub attach_target: Option<String>,
    /// The type in the target's BTF that it attaches to, for programs that are loaded for one.
    pub attach_btf: Option<AttachBtf>,
    /// The member of that struct which it is, for struct_ops programs.
    pub attach_member: Option<u32>,
    /// How it is loaded.
    pub flags: ProgLoadFlags,
    /// The index of the device that it is bound to; 0: none.
    pub ifindex: u32,
    /// Whether attaching all programs attaches it.
    pub autoattach: bool,
    /// Its licence: the object's.
    pub license: String,
    /// The version of the target, which kernels before 5.0 ask of kprobes.
    pub kernel_version: KernelVersion,
    /// Its instructions, subprograms behind it.
    pub instructions: Vec<RawInsn>,
    /// Instructions that refer to maps: the host puts descriptors in.
    pub map_references: Vec<MapReference>,
    /// Instructions that refer to a module's BTF: the host puts descriptors in.
    pub module_references: Vec<ModuleReference>,
    /// Its jump tables: the host makes a map of each and puts descriptors in.
    pub jump_tables: Vec<ImageJumpTable>,
    /// The functions in it, by their first instruction.
    pub functions: Vec<ImageFunction>,
    /// Function records for the kernel.
    pub func_info: InfoRecords,
    /// Line records for the kernel.
    pub line_info: InfoRecords,
    /// Instructions that can't run on this target, made invalid: harmless where they are not
    /// reached.
    pub poisoned: Vec<Poisoned>,
    pub(crate) source: SourceTable,
}

impl ImageProgram {
    /// A program without instructions, for tools that read them from elsewhere.
    pub fn new(
        index: ProgramIndex,
        name: &str,
        section: SectionName,
        program_type: ProgramType,
    ) -> Self {
        Self {
            index,
            name: name.to_owned(),
            load_name: name.chars().take(15).collect(),
            section,
            program_type,
            attach_type: None,
            attach_target: None,
            attach_btf: None,
            attach_member: None,
            flags: ProgLoadFlags::empty(),
            ifindex: 0,
            autoattach: true,
            license: String::new(),
            kernel_version: KernelVersion::new(0, 0),
            instructions: Vec::new(),
            map_references: Vec::new(),
            module_references: Vec::new(),
            jump_tables: Vec::new(),
            functions: Vec::new(),
            func_info: InfoRecords::default(),
            line_info: InfoRecords::default(),
            poisoned: Vec::new(),
            source: SourceTable::default(),
        }
    }

    /// Finds lines of source again by the program's line records, whose texts are in this BTF:
    /// the image's.
    pub fn restore_source(&mut self, btf: &Arc<Btf>, endian: Endian) {
        let size = usize::try_from(self.line_info.record_size).unwrap_or(usize::MAX);
        let records = self.line_info.bytes.chunks_exact(size.max(1));
        let lines = records.filter_map(|record| {
            let word = |at: usize| {
                let bytes = record.get(at..)?.first_chunk()?;
                Some(endian.u32(*bytes))
            };
            Some(LineRecord {
                insn: InsnIndex(word(0)?),
                file: StringOffset(word(4)?),
                text: StringOffset(word(8)?),
                line_and_column: word(12)?,
            })
        });
        let functions = self.functions.iter();
        self.source = SourceTable {
            btf: Some(Arc::clone(btf)),
            functions: functions
                .map(|function| (function.start, function.name.clone()))
                .collect(),
            lines: lines.collect(),
        };
    }

    /// Its instructions as bytes in the image's byte order.
    pub fn instruction_bytes(&self, endian: Endian) -> Vec<u8> {
        skep_isa::encode_slots(&self.instructions, endian)
    }

    /// The line of source that an instruction comes from, if the object says it.
    pub fn source_at(&self, insn: InsnIndex) -> Option<SourceLine<'_>> {
        self.source.at(insn)
    }

    /// The function that an instruction is in.
    pub fn function_at(&self, insn: InsnIndex) -> Option<&ImageFunction> {
        self.functions
            .iter()
            .rev()
            .find(|function| function.start <= insn)
    }

    /// Why an instruction was made invalid, if it was.
    pub fn poisoned_at(&self, insn: InsnIndex) -> Option<&Poisoned> {
        self.poisoned.iter().find(|poisoned| poisoned.insn == insn)
    }
}

/// A function in a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFunction {
    /// Its name.
    pub name: String,
    /// Its first instruction in the program.
    pub start: InsnIndex,
    /// Its type in the image's BTF.
    pub type_id: Option<TypeId>,
}

/// Something in the target's BTF that a program attaches to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachBtf {
    /// The type's id.
    pub type_id: TypeId,
    /// The module whose BTF it is in; `None` for the kernel's own.
    pub module: Option<String>,
}

/// An instruction (`ld_imm64`) that refers to a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapReference {
    /// The instruction: its immediate becomes the map's descriptor.
    pub insn: InsnIndex,
    /// The map.
    pub map: MapIndex,
    /// The map itself, or its value.
    pub kind: MapReferenceKind,
}

/// What of a map an instruction refers to. The instruction says it already, in its source
/// register and its second immediate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapReferenceKind {
    /// The map.
    #[doc(alias = "BPF_PSEUDO_MAP_FD")]
    Map,
    /// A place in its first value, in bytes.
    #[doc(alias = "BPF_PSEUDO_MAP_VALUE")]
    Value {
        /// From the value's start.
        offset: u32,
    },
}

/// An instruction that refers to the BTF of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleReference {
    /// A kernel function's call: its offset becomes the descriptor's index in the load's array of
    /// descriptors (from 1 on). Or a `ld_imm64`: its second immediate becomes the descriptor.
    pub insn: InsnIndex,
    /// The module.
    pub module: String,
}

/// A jump table of a program. Since 6.19.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageJumpTable {
    /// The instructions (`ld_imm64`) that refer to it: their immediate becomes the descriptor of
    /// a map of its targets.
    pub references: Vec<InsnIndex>,
    /// The instructions that a `gotox` may jump to by it.
    #[doc(alias = "BPF_MAP_TYPE_INSN_ARRAY")]
    pub targets: Vec<InsnIndex>,
}

/// Records as the kernel takes them (`bpf_func_info`, `bpf_line_info`), in the image's byte order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InfoRecords {
    /// Bytes of a record.
    pub record_size: u32,
    /// The records.
    pub bytes: Vec<u8>,
}

impl InfoRecords {
    /// The number of records.
    pub fn len(&self) -> usize {
        let size = usize::try_from(self.record_size).unwrap_or(usize::MAX);
        self.bytes.len().checked_div(size).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// An instruction that was made invalid, since what it needs is not in the target.
///
/// It stands as a call of helper 195896080 (`0xbad2310`, as libbpf writes it), which a verifier
/// refuses where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poisoned {
    /// The instruction.
    pub insn: InsnIndex,
    /// What it needs and why that is not there, such as `byte_offset of struct task_struct.nope
    /// (0:5): no candidate has the field `nope``.
    pub description: String,
}

/// A line of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceLine<'a> {
    /// The function that the instruction is in.
    pub function: &'a str,
    /// The file's path, as the compiler was given it.
    pub file: &'a str,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1; 0 where it is not known.
    pub column: u32,
    /// The line's text; empty where the compiler left it out.
    pub text: &'a str,
}
