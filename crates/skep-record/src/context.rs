//! What a program's context is to a recording: bytes to copy, or fields that only the kernel can
//! read, each recorded where it is read.

use skep_abi::{AttachType, ProgramType};
use skep_object::{AttachKind, ImageProgram};

/// Bytes of `struct pt_regs`, as programs on this machine see it.
const REGISTERS: u32 = if cfg!(target_arch = "aarch64") {
    272
} else if cfg!(target_arch = "x86_64") {
    168
} else {
    512
};

/// The most words that a function or a raw tracepoint hands on.
pub(crate) const WORDS: u32 = 12;

/// The kind of a program's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContextKind {
    /// Memory of this many bytes; 0: as many as the program looks at.
    Bytes(u32),
    /// Words, as many as the program looks at, if the attached function does not say.
    Words,
    /// Fields of a struct that the kernel makes up as they are read.
    Fields,
    /// The same, with a packet behind the fields of `struct xdp_md`.
    Frame,
    /// The same of `struct __sk_buff`.
    Buffer,
}

impl ContextKind {
    /// Of a program; the error says what it is that can't be recorded.
    pub(crate) fn of(program: &ImageProgram) -> Result<Self, &'static str> {
        use ProgramType as Kind;
        Ok(match program.program_type {
            Kind::Kprobe => Self::Bytes(REGISTERS),
            Kind::Tracepoint => Self::Bytes(0),
            Kind::RawTracepoint | Kind::RawTracepointWritable | Kind::Lsm => Self::Words,
            Kind::Tracing if program.attach_type == Some(AttachType::TraceIter) => {
                return Err("iterators write into a file of the kernel");
            }
            Kind::Tracing => Self::Words,
            Kind::PerfEvent
            | Kind::CgroupSock
            | Kind::CgroupSockAddr
            | Kind::SockOps
            | Kind::CgroupDevice
            | Kind::CgroupSysctl => Self::Fields,
            Kind::Xdp => Self::Frame,
            Kind::SocketFilter | Kind::SchedCls | Kind::SchedAct | Kind::CgroupSkb => Self::Buffer,
            Kind::Syscall => return Err("it runs when it is asked to, and sees no event"),
            Kind::StructOps => return Err("its functions change structures of the kernel"),
            Kind::Ext => return Err("it is a part of another program"),
            _ => return Err("its context has memory behind pointers"),
        })
    }

    /// Whether the program reads a packet's address at this offset.
    pub(crate) const fn is_packet_pointer(self, offset: i32) -> bool {
        match self {
            // data, data_end, data_meta
            Self::Frame => matches!(offset, 0 | 4 | 8),
            Self::Buffer => matches!(offset, 76 | 80 | 140),
            Self::Bytes(_) | Self::Words | Self::Fields => false,
        }
    }

    /// Whether reads of the context itself are recorded one by one.
    pub(crate) const fn by_field(self) -> bool {
        matches!(self, Self::Fields | Self::Frame | Self::Buffer)
    }

    /// Whether there is a packet.
    pub(crate) const fn has_packet(self) -> bool {
        matches!(self, Self::Frame | Self::Buffer)
    }
}

/// Whether programs of this type run for a task that is worth to be named, and can name it on
/// every kernel that has rings.
pub(crate) const fn names_task(program_type: ProgramType) -> bool {
    matches!(
        program_type,
        ProgramType::Kprobe
            | ProgramType::Tracepoint
            | ProgramType::RawTracepoint
            | ProgramType::RawTracepointWritable
            | ProgramType::Tracing
            | ProgramType::Lsm
            | ProgramType::PerfEvent
    )
}

/// Whether a second run of a program on the same CPU ends before the first goes on, if there is
/// one: hooks that run with preemption off, or that leave a run out while there is another.
pub(crate) fn nests(program: &ImageProgram) -> bool {
    names_task(program.program_type)
        && !program.flags.contains(skep_abi::ProgLoadFlags::SLEEPABLE)
        && !matches!(program.section.kind(), AttachKind::LsmCgroup)
}
