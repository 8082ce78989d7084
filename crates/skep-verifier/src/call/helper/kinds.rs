//! Which registers are good for which kind of argument, and the words for those that are not.

use skep_abi::{ArgKind, Parameter, ValueFlags};

use crate::state::{Kind, PointerFlags, Register};

/// The flags that make another type of a pointer; the others only tell more about it.
pub(super) const TYPE_FLAGS: PointerFlags = PointerFlags::all()
    .difference(PointerFlags::BEYOND_END)
    .difference(PointerFlags::AT_END)
    .difference(PointerFlags::REFERENCED)
    .difference(PointerFlags::PACKET_SLICE)
    .difference(PointerFlags::UNINIT);

/// Whether a register is of a kind that an argument may have.
pub(super) fn fits(parameter: &Parameter, kind: ArgKind, register: &Register) -> bool {
    let mut flags = register.flags & TYPE_FLAGS;
    if parameter.flags.contains(ValueFlags::READ_ONLY) {
        flags -= PointerFlags::READ_ONLY;
    }
    if parameter.flags.contains(ValueFlags::MAYBE_NULL) {
        flags -= PointerFlags::MAYBE_NULL;
    }
    let plain = flags.is_empty();
    match kind {
        // Keys and values may be in any memory; that of a packet's dynptr is for sized memory only.
        ArgKind::MapKey | ArgKind::MapValue | ArgKind::Mem => {
            if kind == ArgKind::Mem {
                flags -= PointerFlags::PACKET_SLICE;
            }
            match register.kind {
                Kind::Mem { .. } => flags.is_empty() || flags == PointerFlags::RINGBUF,
                Kind::Buffer => flags.is_empty(),
                Kind::Btf(_) => {
                    flags == PointerFlags::TRUSTED
                        && parameter.flags.contains(ValueFlags::READ_ONLY)
                }
                other => plain && is_memory(other),
            }
        }
        ArgKind::MemSize
        | ArgKind::MemSizeOrZero
        | ArgKind::ConstAllocSizeOrZero
        | ArgKind::Scalar => register.kind == Kind::Scalar,
        ArgKind::ConstMapPtr => plain && matches!(register.kind, Kind::ConstMap { .. }),
        ArgKind::Ctx => plain && register.kind == Kind::Context,
        ArgKind::SockCommon => plain && is_socket(register.kind),
        ArgKind::Socket => plain && register.kind == Kind::Socket,
        ArgKind::BtfIdSockCommon => match register.kind {
            Kind::Btf(_) => plain || flags == PointerFlags::TRUSTED,
            other => plain && is_socket(other),
        },
        ArgKind::BtfId => {
            matches!(register.kind, Kind::Btf(_))
                && (plain || flags == PointerFlags::TRUSTED || flags == PointerFlags::RCU)
        }
        ArgKind::PercpuBtfId => {
            matches!(register.kind, Kind::Btf(_))
                && flags.contains(PointerFlags::PERCPU)
                && (flags - PointerFlags::PERCPU - PointerFlags::TRUSTED - PointerFlags::RCU)
                    .is_empty()
        }
        ArgKind::RingbufMem => {
            matches!(register.kind, Kind::Mem { .. }) && flags == PointerFlags::RINGBUF
        }
        ArgKind::SpinLock | ArgKind::KptrXchgDest => match register.kind {
            Kind::MapValue { .. } => plain,
            Kind::Btf(_) => flags == PointerFlags::ALLOCATED,
            _ => false,
        },
        ArgKind::Timer | ArgKind::ConstStr => {
            plain && matches!(register.kind, Kind::MapValue { .. })
        }
        ArgKind::Func => matches!(register.kind, Kind::Function { .. }),
        ArgKind::Stack => plain && matches!(register.kind, Kind::Stack { .. }),
        ArgKind::Dynptr => {
            matches!(register.kind, Kind::Stack { .. } | Kind::Dynptr { .. })
        }
        ArgKind::Anything | ArgKind::DontCare | ArgKind::Variadic => true,
        _ => false,
    }
}

/// Memory that keys and values may be in.
fn is_memory(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Stack { .. }
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::MapKey { .. }
            | Kind::MapValue { .. }
    )
}

fn is_socket(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::SockCommon | Kind::Socket | Kind::TcpSock | Kind::XdpSock
    )
}

/// Pointers that may be passed with an offset that varies: the checks of what they point to know
/// about it. (Kernel structures may have a constant one, all others none.)
pub(super) fn may_vary(kind: Kind) -> bool {
    is_memory(kind)
        || matches!(
            kind,
            Kind::Mem { .. } | Kind::Buffer | Kind::Arena | Kind::Scalar
        )
}

/// What an argument must be, as it stands in a sentence: "a pointer to a map".
pub(super) fn wanted(parameter: &Parameter, kind: ArgKind) -> String {
    let text = match kind {
        ArgKind::ConstMapPtr => "a map",
        ArgKind::MapKey => "the address of a key",
        ArgKind::MapValue => "the address of a value",
        ArgKind::Mem => "the address of memory",
        ArgKind::MemSize | ArgKind::MemSizeOrZero => "a size",
        ArgKind::ConstAllocSizeOrZero => "a constant size",
        ArgKind::Scalar => "a number",
        ArgKind::Ctx => "the context",
        ArgKind::SpinLock => "a `struct bpf_spin_lock` in a map value",
        ArgKind::SockCommon | ArgKind::BtfIdSockCommon => "a socket",
        ArgKind::Socket => "a full socket",
        ArgKind::BtfId => {
            return match parameter.btf_type {
                Some(name) => format!("a `struct {name}`"),
                None => "a kernel structure".into(),
            };
        }
        ArgKind::PercpuBtfId => "a per-CPU variable of the kernel",
        ArgKind::RingbufMem => "a record that was reserved in a ring buffer",
        ArgKind::Func => "a function of the program",
        ArgKind::Stack => "a stack address",
        ArgKind::ConstStr => "a constant string in a read-only map",
        ArgKind::Timer => "a `struct bpf_timer` in a map value",
        ArgKind::KptrXchgDest => "a kernel pointer field in a map value",
        ArgKind::Dynptr => "a `struct bpf_dynptr` on the stack",
        _ => "a value",
    };
    text.into()
}
