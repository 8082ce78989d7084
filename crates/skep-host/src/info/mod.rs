//! What a host tells of the things it holds (`BPF_OBJ_GET_INFO_BY_FD`).
//!
//! Numbers that a newer kernel may extend stay numbers (`*_raw`); the typed view is a method.

mod device;
mod link;
mod program;

use skep_abi::{Command, MapType, ProgramType};

pub use device::DeviceXdp;
pub use link::{IterScope, LinkDetails, LinkInfo};
pub use program::{ProgramDetails, ProgramInfo, ProgramParts, Records};

/// Which list an id belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectId {
    /// A program.
    Program(u32),
    /// A map.
    Map(u32),
    /// A BTF object.
    Btf(u32),
    /// A link.
    Link(u32),
}

/// A map, as the host tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "bpf_map_info")]
pub struct MapInfo {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The number of its type.
    pub type_raw: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// `BPF_F_*` it was made with.
    pub flags: u32,
    /// The device it lives on, or 0.
    pub ifindex: u32,
    /// The id of its BTF, or 0.
    pub btf_id: u32,
    /// Type id of the key, or 0.
    pub key_type: u32,
    /// Type id of the value, or 0.
    pub value_type: u32,
    /// For struct_ops: type id of the value in the kernel's BTF, or 0.
    #[doc(alias = "btf_vmlinux_value_type_id")]
    pub kernel_value_type: u32,
    /// The id of the BTF in which that counts, or 0. Since 6.9.
    #[doc(alias = "btf_vmlinux_id")]
    pub kernel_btf_id: u32,
    /// The device number of the network namespace of the device it lives on, or 0.
    pub netns_device: u64,
    /// The inode of that namespace, or 0.
    pub netns_inode: u64,
    /// Type-specific extra. Since 5.16.
    pub map_extra: u64,
}

impl MapInfo {
    /// Its type, when this version of Skep knows it.
    pub fn map_type(&self) -> Option<MapType> {
        MapType::from_raw(self.type_raw)
    }
}

/// A BTF object, as the host tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "bpf_btf_info")]
pub struct BtfInfo {
    /// Its id.
    pub id: u32,
    /// Its name: `vmlinux`, a module's, or empty.
    pub name: String,
    /// The kernel's own, not a program's.
    pub kernel: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a task's perf event or raw tracepoint carries (`BPF_TASK_FD_QUERY`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskAttachment {
    /// The program's id.
    pub program_id: u32,
    /// What it is (`TaskFdType`, raw).
    pub kind: u32,
    /// The tracepoint, function or binary.
    pub name: String,
    /// The offset within it.
    pub offset: u64,
    /// The address, where the host shows it.
    pub address: u64,
}

/// What the host tells of a map elsewhere than in its info (the kernel: in `/proc/<pid>/fdinfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MapStatus {
    /// User space can't write to it any more. Since 5.2.
    pub frozen: bool,
    /// Bytes of memory that it takes, roughly.
    #[doc(alias = "memlock")]
    pub memory: u64,
    /// For program arrays: the number of the type of the programs that use it. Since 4.11.
    #[doc(alias = "owner_prog_type")]
    pub owner_type: Option<u32>,
    /// For program arrays: those programs are compiled. Since 4.11.
    pub owner_jited: Option<bool>,
}

/// What a token delegates, as bit sets: bit *n* stands for the command, map type, program type or
/// attach type of number *n*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "bpf_token_info")]
pub struct TokenInfo {
    /// Commands.
    #[doc(alias = "allowed_cmds")]
    pub commands: u64,
    /// Map types.
    #[doc(alias = "allowed_maps")]
    pub map_types: u64,
    /// Program types.
    #[doc(alias = "allowed_progs")]
    pub program_types: u64,
    /// Attach types.
    #[doc(alias = "allowed_attachs")]
    pub attach_types: u64,
}

impl TokenInfo {
    /// It delegates this command.
    pub fn allows_command(&self, command: Command) -> bool {
        bit(self.commands, command.raw())
    }

    /// It delegates maps of this type.
    pub fn allows_map(&self, map_type: MapType) -> bool {
        bit(self.map_types, map_type.raw())
    }

    /// It delegates programs of this type.
    pub fn allows_program_type(&self, program_type: ProgramType) -> bool {
        bit(self.program_types, program_type.raw())
    }

    /// It delegates programs that are loaded as this attach type (raw, 0 for none).
    pub fn allows_attach_type(&self, attach_type: u32) -> bool {
        bit(self.attach_types, attach_type)
    }
}

fn bit(set: u64, number: u32) -> bool {
    set.checked_shr(number).is_some_and(|rest| rest & 1 == 1)
}
