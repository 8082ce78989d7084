//! Prototypes of helpers that are not the same for all program types.
//!
//! A helper's number can stand for several functions in a kernel, of which each program type gets
//! one: that which reads the socket out of this very context, say. The generated table has the main
//! one of each; here are the others.

use super::{ArgKind, Helper, Parameter, ValueFlags};
use crate::{AttachType, ProgramType};

const NONE: ValueFlags = ValueFlags::empty();
const NULL: ValueFlags = ValueFlags::MAYBE_NULL;
const READ: ValueFlags = ValueFlags::READ_ONLY;
const OUT: ValueFlags = ValueFlags::UNINIT.union(ValueFlags::WRITE);

const fn parameter(
    c_type: &'static str,
    name: &'static str,
    kind: ArgKind,
    flags: ValueFlags,
) -> Parameter {
    Parameter {
        c_type,
        name,
        kind,
        flags,
        size: None,
        btf_type: None,
    }
}

const fn structure(name: &'static str, of: &'static str) -> Parameter {
    Parameter {
        c_type: "void *",
        name,
        kind: ArgKind::BtfId,
        flags: NONE,
        size: None,
        btf_type: Some(of),
    }
}

const fn context() -> Parameter {
    parameter("void *", "ctx", ArgKind::Ctx, NONE)
}

const fn number(c_type: &'static str, name: &'static str) -> Parameter {
    parameter(c_type, name, ArgKind::Anything, NONE)
}

static SOCKET_OR_NULL: [Parameter; 1] =
    [parameter("void *", "ctx", ArgKind::BtfIdSockCommon, NULL)];
static XDP_BUFFER: [Parameter; 1] = [structure("xdp_md", "xdp_buff")];
static NOTHING: [Parameter; 0] = [];

static SET_OPTION: [Parameter; 5] = [
    context(),
    number("int", "level"),
    number("int", "optname"),
    parameter("void *", "optval", ArgKind::Mem, READ),
    parameter("int", "optlen", ArgKind::MemSize, NONE),
];
static GET_OPTION: [Parameter; 5] = [
    context(),
    number("int", "level"),
    number("int", "optname"),
    parameter("void *", "optval", ArgKind::Mem, OUT),
    parameter("int", "optlen", ArgKind::MemSize, NONE),
];

static STORAGE_OF_CONTEXT: [Parameter; 4] = [
    parameter("void *", "map", ArgKind::ConstMapPtr, NONE),
    context(),
    parameter("void *", "value", ArgKind::MapValue, NULL),
    number("__u64", "flags"),
];
static STORAGE_OF_SOCKET: [Parameter; 4] = [
    parameter("void *", "map", ArgKind::ConstMapPtr, NONE),
    Parameter {
        flags: NULL,
        ..structure("sk", "sock_common")
    },
    parameter("void *", "value", ArgKind::MapValue, NULL),
    number("__u64", "flags"),
];
static STORAGE_DELETE_OF_SOCKET: [Parameter; 2] = [
    parameter("void *", "map", ArgKind::ConstMapPtr, NONE),
    Parameter {
        flags: NULL,
        ..structure("sk", "sock_common")
    },
];

static ASSIGN: [Parameter; 3] = [
    context(),
    parameter("void *", "sk", ArgKind::Socket, NULL),
    number("__u64", "flags"),
];

impl Helper {
    /// The parameters that the helper has for programs of a type.
    ///
    /// ```
    /// use skep_abi::{ArgKind, Helper, ProgramType};
    ///
    /// let cookie = Helper::by_name("get_socket_cookie").unwrap();
    /// let of = |program| cookie.parameters_for(program, None)[0].kind;
    /// assert_eq!(of(ProgramType::SchedCls), ArgKind::Ctx);
    /// assert_eq!(of(ProgramType::Tracing), ArgKind::BtfIdSockCommon);
    /// ```
    #[must_use]
    pub fn parameters_for(
        &self,
        program: ProgramType,
        attach: Option<AttachType>,
    ) -> &'static [Parameter] {
        use ProgramType as P;
        let _ = attach;
        // What is told apart by name here is a handful; most helpers leave at once.
        let tracing = matches!(program, P::Tracing | P::Lsm | P::Syscall);
        match self.short_name() {
            "get_socket_cookie" if tracing || program == P::SkReuseport => &SOCKET_OR_NULL,
            "xdp_get_buff_len" if tracing => &XDP_BUFFER,
            "setsockopt" if matches!(program, P::CgroupSockAddr | P::SockOps) => &SET_OPTION,
            "getsockopt" if matches!(program, P::CgroupSockAddr | P::SockOps) => &GET_OPTION,
            "sk_storage_get" if program == P::CgroupSock => &STORAGE_OF_CONTEXT,
            "sk_storage_get" if program == P::Tracing => &STORAGE_OF_SOCKET,
            "sk_storage_delete" if program == P::Tracing => &STORAGE_DELETE_OF_SOCKET,
            "sk_assign" if program == P::SkLookup => &ASSIGN,
            "get_cgroup_classid"
                if !matches!(
                    program,
                    P::SchedCls | P::SchedAct | P::LwtIn | P::LwtOut | P::LwtXmit | P::LwtSeg6local
                ) =>
            {
                &NOTHING
            }
            _ => self.parameters(),
        }
    }
}
