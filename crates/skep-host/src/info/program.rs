//! What a host tells of a program: its numbers in one cheap call, and its code and debug records
//! for whoever asks for them.

use std::time::Duration;

use skep_abi::ProgramType;

/// A program, as the host tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "bpf_prog_info")]
pub struct ProgramInfo {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The number of its type.
    pub type_raw: u32,
    /// The hash of its instructions.
    pub tag: [u8; 8],
    /// When it was loaded, since boot.
    pub loaded_at: Duration,
    /// Who loaded it.
    pub created_by_uid: u32,
    /// The ids of its maps.
    pub maps: Vec<u32>,
    /// Its licence is GPL-compatible.
    pub gpl_compatible: bool,
    /// The device that it is offloaded or bound to, or 0.
    pub ifindex: u32,
    /// The device number of that device's network namespace, or 0.
    pub netns_device: u64,
    /// The inode of that device's network namespace, or 0.
    pub netns_inode: u64,
    /// Bytes of translated instructions; 0 without `CAP_BPF`.
    pub translated_size: u32,
    /// Bytes of machine code; 0 without a JIT and without `CAP_BPF`.
    pub jited_size: u32,
    /// The id of its BTF, or 0. Since 5.0.
    pub btf_id: u32,
    /// Time spent running, while statistics were on. Since 5.1.
    pub run_time: Duration,
    /// Runs, while statistics were on. Since 5.1.
    pub run_count: u64,
    /// Runs that the host left out because the program was already running on that CPU.
    /// Since 5.12.
    pub recursion_misses: u64,
    /// Instructions that the verifier processed. Since 5.16.
    pub verified_instructions: u32,
    /// The id of the BTF that holds what it attaches to, or 0. Since 6.0.
    pub attach_btf_object: u32,
    /// The type id of what it attaches to, in that BTF, or 0. Since 6.0.
    pub attach_btf_id: u32,
}

impl ProgramInfo {
    /// Its type, when this version of Skep knows it.
    pub fn program_type(&self) -> Option<ProgramType> {
        ProgramType::from_raw(self.type_raw)
    }
}

/// Which parts of a program [`Host::prog_details`](crate::Host::prog_details) shall bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProgramParts {
    /// The translated instructions.
    pub translated: bool,
    /// The machine code.
    pub jited: bool,
    /// Address and length of each function's machine code.
    pub symbols: bool,
    /// The function records.
    pub functions: bool,
    /// The line records.
    pub lines: bool,
    /// The address of each line record's machine code.
    pub jited_lines: bool,
    /// The hash of each function's instructions.
    pub tags: bool,
}

impl ProgramParts {
    /// Everything.
    pub const ALL: Self = Self {
        translated: true,
        jited: true,
        symbols: true,
        functions: true,
        lines: true,
        jited_lines: true,
        tags: true,
    };
}

/// A program with the parts that were asked for.
///
/// A part is `None` when it was not asked for, and when the host hides it: machine code and
/// addresses need `CAP_SYSLOG` and a `kernel.kptr_restrict` that allows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProgramDetails {
    /// Its numbers.
    pub info: ProgramInfo,
    /// Translated instructions, 8 bytes each, as the host runs or compiles them.
    #[doc(alias = "xlated_prog_insns")]
    pub translated: Option<Vec<u8>>,
    /// Machine code, one function behind the other.
    #[doc(alias = "jited_prog_insns")]
    pub jited: Option<Vec<u8>>,
    /// Where each function's machine code begins. Since 4.18.
    #[doc(alias = "jited_ksyms")]
    pub symbols: Option<Vec<u64>>,
    /// Bytes of each function's machine code. Since 4.18.
    #[doc(alias = "jited_func_lens")]
    pub symbol_lengths: Option<Vec<u32>>,
    /// Function records (`bpf_func_info`). Since 5.0.
    pub functions: Option<Records>,
    /// Line records (`bpf_line_info`). Since 5.0.
    pub lines: Option<Records>,
    /// Where each line record's machine code begins. Since 5.0.
    #[doc(alias = "jited_line_info")]
    pub jited_lines: Option<Vec<u64>>,
    /// The hash of each function's instructions. Since 5.0.
    #[doc(alias = "prog_tags")]
    pub tags: Option<Vec<[u8; 8]>>,
}

/// Records of one size, behind one another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// All of them.
    pub bytes: Vec<u8>,
    /// Bytes of one.
    pub record_size: usize,
}

impl Records {
    /// The records, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.record_size.max(1))
    }
}
