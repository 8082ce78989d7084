//! What loading and running programs takes.

use skep_abi::{AttachType, ProgLoadFlags, ProgramType, TestRunFlags};

use crate::{BtfFd, ProgramFd, TokenFd};

/// How much the verifier writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// Nothing, unless the load fails: then the host asks again, for the whole log.
    #[default]
    OnFailure,
    /// The statistics alone, and on failure its reason: the least that tells how long it took.
    Statistics,
    /// The log of the failing path, and the statistics, also on success.
    Verbose,
    /// Every state.
    States,
}

/// A program to load.
#[derive(Debug, Clone)]
#[doc(alias = "BPF_PROG_LOAD")]
pub struct ProgramLoad<'a> {
    /// Its type.
    pub program_type: ProgramType,
    /// What it will be attached as, where the type leaves a choice.
    pub expected_attach_type: Option<AttachType>,
    /// For struct_ops: which member of the kernel's structure it implements. The kernel reads it
    /// from the field of the attach type, so it stands in the place of `expected_attach_type`.
    pub attach_member: Option<u32>,
    /// Its name; hosts keep the first 15 bytes.
    pub name: &'a str,
    /// Instructions, 8 bytes each, in the host's byte order, map references resolved.
    pub instructions: &'a [u8],
    /// The licence that GPL-only helpers ask for.
    pub license: &'a str,
    /// `LINUX_VERSION_CODE`, for kprobes on kernels before 5.0.
    pub kernel_version: u32,
    /// How it is loaded.
    pub flags: ProgLoadFlags,
    /// Debug records.
    pub btf: Option<ProgramBtf<'a>>,
    /// The BTF id of what it attaches to, or 0.
    pub attach_btf_id: u32,
    /// Where that id counts, when not in the kernel's own BTF.
    pub attach_target: Option<AttachTarget<'a>>,
    /// Descriptors that instructions name by index (maps, module BTF).
    pub fd_array: &'a [i32],
    /// The maps of `fd_array` live as long as the program, also those that no instruction names;
    /// then all of it must be maps and BTF. Since 6.14.
    #[doc(alias = "fd_array_cnt")]
    pub bind_fd_array: bool,
    /// The device that an offloaded or device-bound program runs on, or 0.
    pub ifindex: u32,
    /// How much of the verifier's log to keep.
    pub log_level: LogLevel,
    /// The right to load it, from a delegated bpffs. Since 6.9.
    pub token: Option<&'a TokenFd>,
    /// Who vouches for the instructions. Since 6.18.
    pub signature: Option<Signature<'a>>,
}

impl<'a> ProgramLoad<'a> {
    /// A program with a GPL licence and nothing else set.
    pub fn new(program_type: ProgramType, name: &'a str, instructions: &'a [u8]) -> Self {
        Self {
            program_type,
            expected_attach_type: None,
            attach_member: None,
            name,
            instructions,
            license: "GPL",
            kernel_version: 0,
            flags: ProgLoadFlags::empty(),
            btf: None,
            attach_btf_id: 0,
            attach_target: None,
            fd_array: &[],
            bind_fd_array: false,
            ifindex: 0,
            log_level: LogLevel::OnFailure,
            token: None,
            signature: None,
        }
    }
}

/// A signature over a program's instructions (PKCS #7, detached).
#[derive(Debug, Clone, Copy)]
pub struct Signature<'a> {
    /// The signature's bytes.
    pub bytes: &'a [u8],
    /// The keyring that must hold the signer's key: a serial number, or one of the kernel's own
    /// (0 builtin, 1 secondary, 2 platform; negative: a special keyring of this process).
    pub keyring: i32,
}

/// Debug records of a program, as `bpf_func_info`, `bpf_line_info` and `bpf_core_relo` lay them
/// out.
#[derive(Debug, Clone, Copy)]
pub struct ProgramBtf<'a> {
    /// The BTF that their type ids and strings are in.
    pub btf: &'a BtfFd,
    /// Function records.
    pub func_info: &'a [u8],
    /// Bytes of one.
    pub func_info_record_size: u32,
    /// Line records.
    pub line_info: &'a [u8],
    /// Bytes of one.
    pub line_info_record_size: u32,
    /// CO-RE relocations for the kernel to resolve; empty where they are resolved already, as
    /// Skep's loader does. Since 5.17.
    pub core_relocations: &'a [u8],
    /// Bytes of one.
    pub core_relocation_record_size: u32,
}

impl<'a> ProgramBtf<'a> {
    /// The BTF alone, with no records.
    pub fn new(btf: &'a BtfFd) -> Self {
        Self {
            btf,
            func_info: &[],
            func_info_record_size: 0,
            line_info: &[],
            line_info_record_size: 0,
            core_relocations: &[],
            core_relocation_record_size: 0,
        }
    }
}

/// What a tracing or extension program attaches to, when it is not the kernel proper.
#[derive(Debug, Clone, Copy)]
pub enum AttachTarget<'a> {
    /// Another program (freplace, fentry on programs).
    Program(&'a ProgramFd),
    /// The BTF of a module.
    Module(&'a BtfFd),
}

/// A run of a program on given input.
#[derive(Debug, Default)]
#[doc(alias = "BPF_PROG_TEST_RUN")]
pub struct TestRun<'a> {
    /// The packet.
    pub data_in: &'a [u8],
    /// Where the packet is put afterwards.
    pub data_out: &'a mut [u8],
    /// The context, as its uapi struct.
    pub context_in: &'a [u8],
    /// Where the context is put afterwards.
    pub context_out: &'a mut [u8],
    /// How often; 0 and 1 are once.
    pub repeat: u32,
    /// How it is run.
    pub flags: TestRunFlags,
    /// The CPU to run on with `BPF_F_TEST_RUN_ON_CPU`.
    pub cpu: u32,
    /// Packets a batch, for live XDP frames.
    pub batch_size: u32,
}

/// What a test run gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TestRunOutcome {
    /// The program's return value.
    pub return_value: u32,
    /// Mean time of a run, in nanoseconds.
    pub duration: u32,
    /// Bytes of packet written; more than fit when the buffer was short.
    pub data_out_size: u32,
    /// Bytes of context written.
    pub context_out_size: u32,
}

/// One of a program's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProgramStream {
    /// What it prints.
    #[doc(alias = "BPF_STREAM_STDOUT")]
    Output,
    /// What it, or the kernel about it, reports: faults in arenas, deadlocks, timeouts.
    #[doc(alias = "BPF_STREAM_STDERR")]
    Error,
}
