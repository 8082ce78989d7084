//! The 211 helpers: their C prototypes, what the verifier asks of each argument, and who may
//! call them. The kernel has frozen this table; growth is in kfuncs.

mod caller;
mod maps;
mod variants;

pub use caller::HelperCaller;

use std::fmt::{self, Write as _};

use bitflags::bitflags;

use crate::generated::helper_sets::{self, ALLOWED};
use crate::generated::helpers::{BY_NAME, HELPERS, SIGNATURES};
use crate::{Capability, KernelVersion, ProgramType};

/// A set of helpers: bit `n` is the helper with number `n`.
pub(crate) type HelperBits = [u64; 4];

/// A function of the kernel that programs call by number.
///
/// ```
/// use skep_abi::{ArgKind, Helper};
///
/// let update = Helper::by_name("map_update_elem").unwrap();
/// assert_eq!(update.id, 2);
/// assert_eq!(update.parameters()[2].kind, ArgKind::MapValue);
/// assert_eq!(
///     update.c_declaration().to_string(),
///     "static long (* const bpf_map_update_elem)(void *map, const void *key, \
///      const void *value, __u64 flags) = (void *) 2;"
/// );
/// ```
#[doc(alias = "bpf_func_id")]
#[doc(alias = "bpf_func_proto")]
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Helper {
    /// The number in the `imm` field of a call instruction.
    pub id: u32,
    /// The name, with `bpf_`.
    pub name: &'static str,
    /// The first kernel that has it, for any program type.
    pub since: KernelVersion,
    /// What the kernel asks of its callers, and what it does to them.
    pub properties: HelperProperties,
}

/// What a helper takes and gives. In a table of its own, so that a program that only knows
/// helpers by name and number has none of it.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) returns: Return,
    pub(crate) parameters: &'static [Parameter],
}

bitflags! {
    /// What the kernel asks of a helper's callers, and what it does to them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct HelperProperties: u8 {
        /// Only programs with a GPL-compatible licence may call it.
        const GPL_ONLY = 1 << 0;
        /// Only sleepable programs may call it.
        const MAY_SLEEP = 1 << 1;
        /// Its memory arguments may point into a packet.
        const PACKET_ACCESS = 1 << 2;
        /// It can move packet data: pointers into the packet end their life at the call.
        const CHANGES_PACKET = 1 << 3;
        /// It leaves R1–R5 alone where the kernel inlines it (`__bpf_fastcall`, since 6.12).
        const FASTCALL = 1 << 4;
    }
}

/// A parameter of a [`Helper`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameter {
    /// The C type in the words of programs, such as `const void *`; `...` if variadic.
    pub c_type: &'static str,
    /// The C name; empty if variadic.
    pub name: &'static str,
    /// What the verifier wants.
    pub kind: ArgKind,
    /// More of what the verifier wants.
    pub flags: ValueFlags,
    /// Bytes that a [`Mem`](ArgKind::Mem) must have, when that does not come from the size
    /// argument that follows (`MEM_FIXED_SIZE`).
    pub size: Option<u16>,
    /// The kernel structure of a [`BtfId`](ArgKind::BtfId), where it is one.
    pub btf_type: Option<&'static str>,
}

/// What a [`Helper`] returns in R0.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Return {
    /// The C type in the words of programs.
    pub c_type: &'static str,
    /// What the verifier takes it for.
    pub kind: ReturnKind,
    /// More of what the verifier takes it for.
    pub flags: ValueFlags,
    /// The kernel structure of a [`BtfId`](ReturnKind::BtfId), where it is one.
    pub btf_type: Option<&'static str>,
}

/// What the verifier wants of an argument: the kernel's `enum bpf_arg_type`.
#[doc(alias = "bpf_arg_type")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArgKind {
    /// A map, known when the program is loaded (`ARG_CONST_MAP_PTR`).
    ConstMapPtr,
    /// Memory of the map's key size (`ARG_PTR_TO_MAP_KEY`).
    MapKey,
    /// Memory of the map's value size (`ARG_PTR_TO_MAP_VALUE`).
    MapValue,
    /// Memory of the size in the next argument, or in `size` (`ARG_PTR_TO_MEM`).
    Mem,
    /// The size of the memory before it, not zero (`ARG_MEM_SIZE`, once `ARG_CONST_SIZE`).
    MemSize,
    /// The size of the memory before it (`ARG_MEM_SIZE_OR_ZERO`).
    MemSizeOrZero,
    /// The program's context (`ARG_PTR_TO_CTX`).
    Ctx,
    /// Any initialised value (`ARG_ANYTHING`).
    Anything,
    /// Any number (`ARG_SCALAR`).
    Scalar,
    /// A `bpf_spin_lock` (`ARG_PTR_TO_SPIN_LOCK`).
    SpinLock,
    /// A `bpf_sock` that may be a request or time-wait socket (`ARG_PTR_TO_SOCK_COMMON`).
    SockCommon,
    /// A full `bpf_sock` (`ARG_PTR_TO_SOCKET`).
    Socket,
    /// A kernel structure (`ARG_PTR_TO_BTF_ID`).
    BtfId,
    /// A record that was reserved in a ring buffer (`ARG_PTR_TO_RINGBUF_MEM`).
    RingbufMem,
    /// How many bytes to allocate, a constant (`ARG_CONST_ALLOC_SIZE_OR_ZERO`).
    ConstAllocSizeOrZero,
    /// A kernel socket or a `bpf_sock` (`ARG_PTR_TO_BTF_ID_SOCK_COMMON`).
    BtfIdSockCommon,
    /// A per-CPU variable of the kernel (`ARG_PTR_TO_PERCPU_BTF_ID`).
    PercpuBtfId,
    /// A subprogram of the caller (`ARG_PTR_TO_FUNC`).
    Func,
    /// The caller's stack (`ARG_PTR_TO_STACK`).
    Stack,
    /// A constant string in a read-only map (`ARG_PTR_TO_CONST_STR`).
    ConstStr,
    /// A `bpf_timer` (`ARG_PTR_TO_TIMER`).
    Timer,
    /// A field for kernel pointers (`ARG_KPTR_XCHG_DEST`).
    KptrXchgDest,
    /// A `bpf_dynptr` (`ARG_PTR_TO_DYNPTR`).
    Dynptr,
    /// In the C prototype, but the verifier does not look at it (`ARG_DONTCARE`).
    DontCare,
    /// The rest of a variadic helper: registers that the verifier does not look at.
    Variadic,
}

/// What the verifier takes a return value for: the kernel's `enum bpf_return_type`.
#[doc(alias = "bpf_return_type")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReturnKind {
    /// A number (`RET_INTEGER`).
    Integer,
    /// Nothing (`RET_VOID`).
    Void,
    /// A value of the map argument (`RET_PTR_TO_MAP_VALUE`).
    MapValue,
    /// A full `bpf_sock` (`RET_PTR_TO_SOCKET`).
    Socket,
    /// A `bpf_tcp_sock` (`RET_PTR_TO_TCP_SOCK`).
    TcpSock,
    /// A `bpf_sock` that may be a request or time-wait socket (`RET_PTR_TO_SOCK_COMMON`).
    SockCommon,
    /// Memory of the size in an argument (`RET_PTR_TO_MEM`).
    Mem,
    /// The variable that the argument names, as memory or as a structure
    /// (`RET_PTR_TO_MEM_OR_BTF_ID`).
    MemOrBtfId,
    /// A kernel structure (`RET_PTR_TO_BTF_ID`).
    BtfId,
}

bitflags! {
    /// More about an argument or a return value: the kernel's `enum bpf_type_flag`.
    #[doc(alias = "bpf_type_flag")]
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct ValueFlags: u16 {
        /// May be null (`PTR_MAYBE_NULL`).
        const MAYBE_NULL = 1 << 0;
        /// Read only (`MEM_RDONLY`).
        const READ_ONLY = 1 << 1;
        /// Need not be initialised (`MEM_UNINIT`).
        const UNINIT = 1 << 2;
        /// The helper writes to it (`MEM_WRITE`).
        const WRITE = 1 << 3;
        /// Must be aligned to its size (`MEM_ALIGNED`).
        const ALIGNED = 1 << 4;
        /// The helper takes the reference away (`OBJ_RELEASE`).
        const RELEASE = 1 << 5;
        /// A dynptr to memory of the program (`DYNPTR_TYPE_LOCAL`).
        const DYNPTR_LOCAL = 1 << 6;
        /// Of a ring buffer (`MEM_RINGBUF`, `DYNPTR_TYPE_RINGBUF`).
        const RINGBUF = 1 << 7;
        /// Valid without further proof (`PTR_TRUSTED`).
        const TRUSTED = 1 << 8;
    }
}

/// Whether programs of a type may call a helper, as of Linux 7.3. Older kernels may allow less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HelperAccess {
    /// Never.
    No,
    /// It depends on the attach type, the hook, the replaced program, the architecture, or the
    /// kernel's version, configuration or lockdown.
    Sometimes,
    /// Yes, with the [capability](Helper::capability) that the helper needs.
    Yes,
}

impl Helper {
    /// Every helper, by number. The first has number 1.
    #[must_use]
    pub fn all() -> &'static [Self] {
        HELPERS
    }

    /// The helper with a number. Constant time.
    #[must_use]
    pub fn by_id(id: u32) -> Option<&'static Self> {
        HELPERS.get(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    /// The helper with a name: `bpf_loop`, `loop` or `BPF_FUNC_loop`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        let name = ["bpf_", "BPF_FUNC_"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name);
        let at =
            BY_NAME.binary_search_by(|&place| HELPERS[usize::from(place)].short_name().cmp(name));
        at.ok().map(|at| &HELPERS[usize::from(BY_NAME[at])])
    }

    /// The name without `bpf_`.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name.strip_prefix("bpf_").unwrap_or(self.name)
    }

    /// The value that it returns.
    #[must_use]
    pub fn returns(&self) -> &'static Return {
        &self.signature().returns
    }

    /// Its parameters, at most five that the verifier looks at.
    #[must_use]
    pub fn parameters(&self) -> &'static [Parameter] {
        self.signature().parameters
    }

    fn signature(&self) -> &'static Signature {
        // Helpers are made by the table alone, whose numbers have no gap.
        &SIGNATURES[self.id as usize - 1]
    }

    /// Whether only programs with a GPL-compatible licence may call it.
    #[must_use]
    pub const fn gpl_only(&self) -> bool {
        self.properties.contains(HelperProperties::GPL_ONLY)
    }

    /// The capability that the loader needs for this helper, beside those that the program type
    /// needs. As of Linux 7.3, and for the program types that get the helper from the common
    /// sets: a type that offers a helper itself may ask for less.
    #[must_use]
    pub fn capability(&self) -> Option<Capability> {
        helper_sets::capability(self.id)
    }

    /// Whether programs of a type may call it.
    #[must_use]
    pub fn access_from(&self, program: ProgramType) -> HelperAccess {
        let (word, bit) = (self.id as usize / 64, 1_u64 << (self.id % 64));
        match ALLOWED.get(program.raw() as usize) {
            Some((_, sometimes)) if sometimes[word] & bit != 0 => HelperAccess::Sometimes,
            Some((all, _)) if all[word] & bit != 0 => HelperAccess::Yes,
            _ => HelperAccess::No,
        }
    }

    /// The declaration that a header for programs holds: a constant pointer with the helper's
    /// number as its address, which clang turns into a call of that number.
    #[must_use]
    pub const fn c_declaration(&self) -> CDeclaration<'_> {
        CDeclaration(self)
    }
}

/// Prints the name, with `bpf_`.
impl fmt::Display for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// Prints as a C declaration. See [`Helper::c_declaration`].
#[derive(Debug, Clone, Copy)]
pub struct CDeclaration<'a>(&'a Helper);

impl fmt::Display for CDeclaration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Helper { id, name, .. } = self.0;
        let parameters = self.0.parameters();
        f.write_str("static ")?;
        declarator(f, self.0.returns().c_type, "(* const ")?;
        write!(f, "{name})(")?;
        if parameters.is_empty() {
            f.write_str("void")?;
        }
        for (index, parameter) in parameters.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            declarator(f, parameter.c_type, parameter.name)?;
        }
        write!(f, ") = (void *) {id};")
    }
}

/// A type and what it declares: no space after a star.
fn declarator(f: &mut fmt::Formatter<'_>, c_type: &str, name: &str) -> fmt::Result {
    f.write_str(c_type)?;
    if !(name.is_empty() || c_type.ends_with('*')) {
        f.write_char(' ')?;
    }
    f.write_str(name)
}
