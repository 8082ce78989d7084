//! Names of what registers hold, for messages.

use super::{Access, Span};
use crate::state::{Kind, PointerFlags, Register};

/// What a register holds, as it stands in a sentence: "a map value".
pub(crate) fn kind(register: &Register) -> &'static str {
    match register.kind {
        Kind::Uninit => "nothing",
        Kind::Scalar => "a number",
        Kind::Context => "the context",
        Kind::ConstMap { .. } => "a map itself",
        Kind::MapKey { .. } => "a map's key",
        Kind::MapValue { .. } => "a map value",
        Kind::Stack { .. } => "a stack address",
        Kind::PacketMeta => "packet metadata",
        Kind::Packet => "packet data",
        Kind::PacketEnd => "the packet's end",
        Kind::FlowKeys => "flow keys",
        Kind::Socket => "a socket",
        Kind::SockCommon => "a socket that may not be a full one",
        Kind::TcpSock => "a TCP socket",
        Kind::XdpSock => "an XDP socket",
        Kind::TracepointBuffer => "a tracepoint's buffer",
        Kind::Btf(_) if register.flags.contains(PointerFlags::ALLOCATED) => {
            "an object that the program allocated"
        }
        Kind::Btf(_) => "a kernel structure",
        Kind::Mem { .. } => "memory",
        Kind::Buffer => "a buffer",
        Kind::Function { .. } => "a function",
        Kind::Dynptr { .. } => "a dynptr",
        Kind::Arena => "arena memory",
        Kind::JumpTarget { .. } => "a jump target",
    }
}

/// An access as it stands in a sentence: "read of 8 bytes".
pub(super) fn doing(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
    }
}

/// A number of bytes.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        1 => "1 byte".into(),
        count => format!("{count} bytes"),
    }
}

/// A managed field as it stands in a sentence.
pub(crate) fn field(kind: &crate::state::FieldKind) -> &'static str {
    use crate::state::FieldKind as F;
    match kind {
        F::SpinLock => "the spin lock",
        F::ResilientSpinLock => "the resilient spin lock",
        F::Timer => "the timer",
        F::Workqueue => "the work queue",
        F::TaskWork => "the task work",
        F::Refcount => "the reference count",
        F::KernelPointer { .. } => "the kernel pointer",
        F::ListHead { .. } => "the list's head",
        F::ListNode => "the list's node",
        F::TreeRoot { .. } => "the tree's root",
        F::TreeNode => "the tree's node",
        _ => "the field",
    }
}

/// An access as it stands in a sentence: "read of 8 bytes".
pub(super) fn span(span: Span) -> String {
    format!("{} of {}", doing(span.access), bytes(span.size))
}
