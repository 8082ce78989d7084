//! What is known about one register: what kind of value it holds, and which.

use bitflags::bitflags;

use skep_btf::TypeId;

use crate::{MapId, Scalar};

/// A name for a value that several registers share: equal ids mean the same (unknown) thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Id(pub(crate) u32);

impl Id {
    /// No id.
    pub(crate) const NONE: Self = Self(0);

    /// Whether there is one.
    pub(crate) fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// What a register holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Register {
    /// What kind of value.
    pub(crate) kind: Kind,
    /// More about a pointer.
    pub(crate) flags: PointerFlags,
    /// A pointer's constant offset from what it points to, in bytes; for scalars, the constant
    /// difference to the scalar with the same id ([`Register::id`]).
    pub(crate) offset: i32,
    /// A scalar's value, or the variable part of a pointer's offset.
    pub(crate) value: Scalar,
    /// Packet pointers: bytes behind the pointer minus its offset that are known to be in the packet.
    pub(crate) range: u16,
    /// The same for copies of one value: a nullable pointer, a packet pointer with a variable
    /// part, a scalar, a lookup's value with a lock in it.
    pub(crate) id: Id,
    /// The reference it is part of ([`Held::id`](super::Held)), or that it must be checked with.
    pub(crate) reference: Id,
    /// Memory that a dynptr gave: the dynptr's id. It dies with the dynptr (`dynptr_id`).
    pub(crate) parent: Id,
    /// Scalars: the difference to the scalar of the same id is in 32 bits (`BPF_ADD_CONST32`).
    pub(crate) linked: bool,
    /// Scalars: whether the value decided something, so that pruning must compare it.
    pub(crate) precise: bool,
    /// Scalars: written by a 32-bit instruction, so that the upper half is known zero and must be
    /// made so by the JIT (`subreg_def`); the instruction's index plus one.
    pub(crate) subreg_def: u32,
}

/// What kind of value a register holds, with what belongs to the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Kind {
    /// Nothing readable (`NOT_INIT`).
    #[default]
    Uninit,
    /// A number (`SCALAR_VALUE`).
    Scalar,
    /// The context (`PTR_TO_CTX`).
    Context,
    /// A map itself (`CONST_PTR_TO_MAP`); `inner`: one looked up in that map of maps (lookups give
    /// it with `MAYBE_NULL` at once), with `uid` (`map_uid`) not 0 where lookups must be told apart.
    ConstMap { map: MapId, inner: bool, uid: u32 },
    /// A map's key, in a callback (`PTR_TO_MAP_KEY`).
    MapKey { map: MapId },
    /// A map's value (`PTR_TO_MAP_VALUE`). `inner`: of a map in that map of maps, with the `uid` that
    /// its map has.
    MapValue { map: MapId, inner: bool, uid: u32 },
    /// A frame's stack (`PTR_TO_STACK`): offsets are from its end, and negative.
    Stack { frame: u8 },
    /// The metadata before a packet (`PTR_TO_PACKET_META`).
    PacketMeta,
    /// A packet (`PTR_TO_PACKET`).
    Packet,
    /// The end of a packet (`PTR_TO_PACKET_END`).
    PacketEnd,
    /// A flow dissector's keys (`PTR_TO_FLOW_KEYS`).
    FlowKeys,
    /// A full `bpf_sock` (`PTR_TO_SOCKET`).
    Socket,
    /// A `bpf_sock` that may be no full one (`PTR_TO_SOCK_COMMON`).
    SockCommon,
    /// A `bpf_tcp_sock` (`PTR_TO_TCP_SOCK`).
    TcpSock,
    /// A `bpf_xdp_sock` (`PTR_TO_XDP_SOCK`).
    XdpSock,
    /// The buffer of a writable raw tracepoint (`PTR_TO_TP_BUFFER`).
    TracepointBuffer,
    /// A kernel structure, or one the program allocated with its own type (`PTR_TO_BTF_ID`).
    Btf(BtfRef),
    /// Memory of a known size (`PTR_TO_MEM`).
    Mem { size: u32 },
    /// Memory whose size its giver knows at run time; accesses are counted up (`PTR_TO_BUF`).
    Buffer,
    /// A subprogram (`PTR_TO_FUNC`), by its index.
    Function { subprogram: u32 },
    /// A dynptr argument (`CONST_PTR_TO_DYNPTR`).
    Dynptr { kind: DynptrKind },
    /// An arena (`PTR_TO_ARENA`).
    Arena,
    /// An address for `gotox` (`PTR_TO_INSN`), out of a jump table's map.
    JumpTarget { map: MapId },
}

/// A type in some BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BtfRef {
    /// Which BTF, by [`Verifier::btf`](crate::verifier::Verifier::btf): the program's, the kernel's, a
    /// module's.
    pub(crate) btf: BtfSource,
    /// The type: a struct or union, without modifiers.
    pub(crate) type_id: TypeId,
}

/// Whose BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BtfSource {
    /// The program's own.
    Program,
    /// The kernel's.
    Kernel,
    /// A module's, by its place in `Target::modules`.
    Module(u16),
}

/// What a dynptr points into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DynptrKind {
    /// Not known (arguments of global functions, callbacks).
    Any,
    /// Memory of the program (`BPF_DYNPTR_TYPE_LOCAL`).
    Local,
    /// A reserved record of a ring buffer (`BPF_DYNPTR_TYPE_RINGBUF`).
    Ringbuf,
    /// A socket buffer (`BPF_DYNPTR_TYPE_SKB`).
    Skb,
    /// An XDP frame (`BPF_DYNPTR_TYPE_XDP`).
    Xdp,
    /// A socket buffer's metadata (6.18).
    SkbMeta,
    /// A file (6.19).
    File,
}

bitflags! {
    /// More about a pointer: the kernel's `enum bpf_type_flag`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub(crate) struct PointerFlags: u16 {
        /// May be null (`PTR_MAYBE_NULL`).
        const MAYBE_NULL = 1 << 0;
        /// Not to be written (`MEM_RDONLY`).
        const READ_ONLY = 1 << 1;
        /// A record of a ring buffer (`MEM_RINGBUF`).
        const RINGBUF = 1 << 2;
        /// User memory (`MEM_USER`).
        const USER = 1 << 3;
        /// A per-CPU variable (`MEM_PERCPU`).
        const PERCPU = 1 << 4;
        /// May be stale or wrong: loads by it are probed (`PTR_UNTRUSTED`).
        const UNTRUSTED = 1 << 5;
        /// An object the program allocated (`MEM_ALLOC`).
        const ALLOCATED = 1 << 6;
        /// Valid without further proof (`PTR_TRUSTED`).
        const TRUSTED = 1 << 7;
        /// Valid inside an RCU section (`MEM_RCU`).
        const RCU = 1 << 8;
        /// Not owned: in a list or tree, valid while its lock is held (`NON_OWN_REF`).
        const NON_OWNING = 1 << 9;
        /// Not initialised (`MEM_UNINIT`).
        const UNINIT = 1 << 10;
        /// Packet pointers: beyond the packet's end, after a comparison said so (`BEYOND_PKT_END`);
        /// of `range`: one byte beyond for sure.
        const BEYOND_END = 1 << 11;
        /// The same, at the end or beyond it (`AT_PKT_END`).
        const AT_END = 1 << 12;
        /// The dynptr's owner holds a reference.
        const REFERENCED = 1 << 13;
        /// Memory that is part of a packet, through a dynptr: gone when the packet's data move
        /// (`DYNPTR_TYPE_SKB`, `DYNPTR_TYPE_XDP` of a slice).
        const PACKET_SLICE = 1 << 14;
    }
}

impl Register {
    /// A register with nothing in it.
    pub(crate) const UNINIT: Self = Self {
        kind: Kind::Uninit,
        flags: PointerFlags::empty(),
        offset: 0,
        value: Scalar::UNKNOWN,
        range: 0,
        id: Id::NONE,
        reference: Id::NONE,
        parent: Id::NONE,
        linked: false,
        precise: false,
        subreg_def: 0,
    };

    /// A number.
    pub(crate) fn scalar(value: Scalar) -> Self {
        Self {
            kind: Kind::Scalar,
            value,
            ..Self::UNINIT
        }
    }

    /// A constant.
    pub(crate) fn constant(value: u64) -> Self {
        Self::scalar(Scalar::constant(value))
    }

    /// A number of which nothing is known.
    pub(crate) fn unknown() -> Self {
        Self::scalar(Scalar::UNKNOWN)
    }

    /// A pointer to the start of something.
    pub(crate) fn pointer(kind: Kind) -> Self {
        Self {
            kind,
            value: Scalar::ZERO,
            ..Self::UNINIT
        }
    }

    /// The same with flags.
    pub(crate) fn with(mut self, flags: PointerFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// Forgets which number it is a copy of.
    pub(crate) fn unlink(&mut self) {
        self.id = Id::NONE;
        self.offset = 0;
        self.linked = false;
    }

    /// Packet pointers: forgets what is known about the packet behind them.
    pub(crate) fn forget_range(&mut self) {
        self.range = 0;
        self.flags
            .remove(PointerFlags::BEYOND_END | PointerFlags::AT_END);
    }

    /// Whether it holds a number.
    pub(crate) fn is_scalar(&self) -> bool {
        self.kind == Kind::Scalar
    }

    /// Whether it holds a pointer of any kind.
    pub(crate) fn is_pointer(&self) -> bool {
        !matches!(self.kind, Kind::Uninit | Kind::Scalar)
    }

    /// Whether it may be a null pointer.
    pub(crate) fn may_be_null(&self) -> bool {
        self.flags.contains(PointerFlags::MAYBE_NULL)
    }

    /// Whether it is the constant zero.
    pub(crate) fn is_null(&self) -> bool {
        self.is_scalar() && self.value.as_constant() == Some(0)
    }

    /// Whether it points into a packet or its metadata.
    pub(crate) fn is_packet(&self) -> bool {
        matches!(self.kind, Kind::Packet | Kind::PacketMeta)
    }

    /// The value it has for certain, if it is a number.
    pub(crate) fn as_constant(&self) -> Option<u64> {
        if self.is_scalar() {
            self.value.as_constant()
        } else {
            None
        }
    }
}

impl Kind {
    /// The kind in a user's words, with its article.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Uninit => "nothing",
            Self::Scalar => "a number",
            Self::Context => "the context",
            Self::ConstMap { .. } => "a map",
            Self::MapKey { .. } => "a map's key",
            Self::MapValue { .. } => "a map's value",
            Self::Stack { .. } => "the stack",
            Self::PacketMeta => "a packet's metadata",
            Self::Packet => "a packet",
            Self::PacketEnd => "the end of a packet",
            Self::FlowKeys => "a flow dissector's keys",
            Self::Socket => "a socket",
            Self::SockCommon => "a socket of any state",
            Self::TcpSock => "a TCP socket",
            Self::XdpSock => "an XDP socket",
            Self::TracepointBuffer => "a tracepoint's buffer",
            Self::Btf(_) => "a kernel structure",
            Self::Mem { .. } => "memory",
            Self::Buffer => "a buffer",
            Self::Function { .. } => "a function",
            Self::Dynptr { .. } => "a dynptr",
            Self::Arena => "an arena",
            Self::JumpTarget { .. } => "a jump target",
        }
    }
}
