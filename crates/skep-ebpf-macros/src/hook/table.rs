//! The attributes: one row a hook. What sections there are is not said here but in
//! `generated/sections.rs`, which comes from the one table of section names.

/// What may stand in the attribute as a string.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing.
    None,
    /// What to attach to, such as `do_unlinkat`; without it the program is attached by options.
    Optional(&'static str),
    /// What to attach to, without which the program cannot be loaded, or never attached.
    Required(&'static str),
}

/// What a program's parameters are: the context, if it is wanted, and then what this says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameters {
    /// Nothing.
    Context,
    /// The arguments of what is hooked, by position, out of as many registers.
    Registers,
    /// The arguments of a probe or tracepoint, by position: numbers, and addresses as numbers.
    Words,
    /// The arguments of what is hooked, by position, with types that the verifier knows.
    Typed,
    /// What a function returned.
    Returned,
    /// Fields of a tracepoint's record, by name; of a system call's, by position.
    Fields,
    /// Those of the function that is replaced, as they are, and no context.
    Replaced,
}

impl Parameters {
    /// How many there are at most, the context not counted.
    pub(crate) const fn most(self) -> usize {
        match self {
            Self::Context => 0,
            Self::Returned => 1,
            Self::Registers => 6,
            Self::Words => 12,
            // What a function returned comes behind its arguments.
            Self::Typed => 13,
            Self::Fields | Self::Replaced => usize::MAX,
        }
    }
}

/// How a program's result becomes the number that the kernel sees.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returns {
    /// It watches: 0, with or without an error.
    Watch,
    /// It permits: 0, or the error.
    Permit,
    /// It decides: a verdict, whose type is named.
    Verdict(&'static str),
    /// It answers for the kernel: a number, 0 for nothing.
    Answer,
    /// A number, as it is.
    Number,
}

/// One attribute.
pub(crate) struct Hook {
    /// The attribute's name.
    pub(crate) name: &'static str,
    /// How its sections' names begin.
    pub(crate) head: &'static str,
    /// Words that choose among the hook's places, and how the section's name ends for them; a
    /// first one with an empty word is for no word.
    pub(crate) places: &'static [(&'static str, &'static str)],
    pub(crate) target: Target,
    pub(crate) parameters: Parameters,
    /// The context's type, in `skep_ebpf::context`.
    pub(crate) context: &'static str,
    pub(crate) returns: Returns,
}

/// Options that stand in a section's name behind a dot: the word, and what is written, in the
/// order in which they follow each other.
pub(crate) const OPTIONS: [(&str, &str); 5] = [
    ("multi", ".multi"),
    ("session", ".session"),
    ("writable", ".w"),
    ("frags", ".frags"),
    ("sleepable", ".s"),
];

const NO_PLACES: &[(&str, &str)] = &[("", "")];
const FUNCTION: Target = Target::Optional("a function, such as \"do_unlinkat\"");
const IN_BINARY: Target = Target::Optional("a file and a function, such as \"/bin/bash:readline\"");

/// Reads `name head target parameters context returns [word tail, …];`.
macro_rules! hooks {
    ($($name:ident $head:literal ($target:expr) $parameters:ident $context:ident ($returns:expr) $places:expr;)*) => {
        &[$(Hook {
            name: stringify!($name),
            head: $head,
            places: $places,
            target: $target,
            parameters: Parameters::$parameters,
            context: stringify!($context),
            returns: $returns,
        }),*]
    };
}

use Returns::{Answer, Number, Permit, Verdict, Watch};
use Target::{None, Required};

/// All attributes, in the order of the documentation.
pub(crate) static HOOKS: &[Hook] = hooks! {
    kprobe "kprobe" (FUNCTION) Registers KprobeContext (Watch) NO_PLACES;
    kretprobe "kretprobe" (FUNCTION) Returned KretprobeContext (Watch) NO_PLACES;
    ksyscall "ksyscall" (Target::Optional("a system call, such as \"openat\"")) Registers KsyscallContext (Watch) NO_PLACES;
    kretsyscall "kretsyscall" (Target::Optional("a system call, such as \"openat\"")) Returned KretprobeContext (Watch) NO_PLACES;
    uprobe "uprobe" (IN_BINARY) Registers UprobeContext (Watch) NO_PLACES;
    uretprobe "uretprobe" (IN_BINARY) Returned UretprobeContext (Watch) NO_PLACES;
    usdt "usdt" (Target::Optional("a file, a provider and a probe, such as \"/usr/bin/python3:python:line\"")) Words UsdtContext (Watch) NO_PLACES;
    tracepoint "tracepoint" (Target::Optional("a category and a name, such as \"sched/sched_switch\"")) Fields TracepointContext (Watch) NO_PLACES;
    raw_tracepoint "raw_tracepoint" (Target::Optional("a tracepoint, such as \"sched_switch\"")) Words RawTracepointContext (Watch) NO_PLACES;
    tp_btf "tp_btf" (Required("a tracepoint, such as \"sched_switch\"")) Typed TpBtfContext (Watch) NO_PLACES;
    fentry "fentry" (FUNCTION) Typed FentryContext (Watch) NO_PLACES;
    fexit "fexit" (FUNCTION) Typed FexitContext (Watch) NO_PLACES;
    fmod_ret "fmod_ret" (FUNCTION) Typed FmodRetContext (Permit) NO_PLACES;
    fsession "fsession" (FUNCTION) Typed FsessionContext (Watch) NO_PLACES;
    freplace "freplace" (Target::Optional("a function of the replaced program, such as \"filter\"")) Replaced FreplaceContext (Number) NO_PLACES;
    lsm "lsm" (Required("a hook, such as \"file_open\"")) Typed LsmContext (Permit) NO_PLACES;
    lsm_cgroup "lsm_cgroup" (Required("a hook, such as \"socket_bind\"")) Typed LsmCgroupContext (Verdict("Access")) NO_PLACES;
    iter "iter" (Required("what to go over, such as \"task\"")) Typed IterContext (Watch) NO_PLACES;
    perf_event "perf_event" (None) Context PerfEventContext (Watch) NO_PLACES;
    syscall "syscall" (None) Context SyscallContext (Watch) NO_PLACES;
    struct_ops "struct_ops" (Target::Optional("a member's name")) Typed StructOpsContext (Answer) NO_PLACES;

    socket_filter "socket" (None) Context SocketFilterContext (Verdict("Keep")) NO_PLACES;
    sk_reuseport "sk_reuseport" (None) Context ReuseportContext (Verdict("SkAction")) &[("", ""), ("migrate", "/migrate")];
    tc "tc" (None) Context TcContext (Verdict("TcAction")) &[("", ""), ("ingress", "/ingress"), ("egress", "/egress")];
    tcx "tcx" (None) Context TcContext (Verdict("TcAction")) &[("ingress", "/ingress"), ("egress", "/egress")];
    action "action" (None) Context TcContext (Verdict("TcAction")) NO_PLACES;
    netkit "netkit" (None) Context TcContext (Verdict("TcAction")) &[("primary", "/primary"), ("peer", "/peer")];
    xdp "xdp" (None) Context XdpContext (Verdict("XdpAction")) &[("", ""), ("devmap", "/devmap"), ("cpumap", "/cpumap")];
    lwt_in "lwt_in" (None) Context LwtContext (Verdict("LwtAction")) NO_PLACES;
    lwt_out "lwt_out" (None) Context LwtContext (Verdict("LwtAction")) NO_PLACES;
    lwt_xmit "lwt_xmit" (None) Context LwtContext (Verdict("LwtAction")) NO_PLACES;
    lwt_seg6local "lwt_seg6local" (None) Context LwtContext (Verdict("LwtAction")) NO_PLACES;
    sock_ops "sockops" (None) Context SockOpsContext (Verdict("Handled")) NO_PLACES;
    sk_skb "sk_skb" (None) Context SkSkbContext (Verdict("SkAction")) &[("", ""), ("stream_verdict", "/stream_verdict"), ("verdict", "/verdict")];
    sk_skb_parser "sk_skb" (None) Context SkSkbContext (Verdict("Parsed")) &[("", "/stream_parser")];
    sk_msg "sk_msg" (None) Context SkMsgContext (Verdict("SkAction")) NO_PLACES;
    lirc_mode2 "lirc_mode2" (None) Context LircContext (Watch) NO_PLACES;
    flow_dissector "flow_dissector" (None) Context FlowDissectorContext (Verdict("Dissected")) NO_PLACES;
    sk_lookup "sk_lookup" (None) Context SkLookupContext (Verdict("SkAction")) NO_PLACES;
    netfilter "netfilter" (None) Context NetfilterContext (Verdict("NetfilterVerdict")) NO_PLACES;

    cgroup_skb "cgroup_skb" (None) Context CgroupSkbContext (Verdict("Access")) &[("ingress", "/ingress"), ("egress", "/egress")];
    cgroup_sock "cgroup" (None) Context SockContext (Verdict("Access")) &[
        ("create", "/sock_create"),
        ("release", "/sock_release"),
        ("post_bind4", "/post_bind4"),
        ("post_bind6", "/post_bind6"),
    ];
    cgroup_sock_addr "cgroup" (None) Context SockAddrContext (Verdict("Access")) &[
        ("bind4", "/bind4"),
        ("bind6", "/bind6"),
        ("connect4", "/connect4"),
        ("connect6", "/connect6"),
        ("connect_unix", "/connect_unix"),
        ("sendmsg4", "/sendmsg4"),
        ("sendmsg6", "/sendmsg6"),
        ("sendmsg_unix", "/sendmsg_unix"),
        ("recvmsg4", "/recvmsg4"),
        ("recvmsg6", "/recvmsg6"),
        ("recvmsg_unix", "/recvmsg_unix"),
        ("getpeername4", "/getpeername4"),
        ("getpeername6", "/getpeername6"),
        ("getpeername_unix", "/getpeername_unix"),
        ("getsockname4", "/getsockname4"),
        ("getsockname6", "/getsockname6"),
        ("getsockname_unix", "/getsockname_unix"),
    ];
    cgroup_sysctl "cgroup" (None) Context SysctlContext (Verdict("Access")) &[("", "/sysctl")];
    cgroup_sockopt "cgroup" (None) Context SockoptContext (Verdict("Access")) &[("get", "/getsockopt"), ("set", "/setsockopt")];
    cgroup_device "cgroup" (None) Context DeviceContext (Verdict("Access")) &[("", "/dev")];
};
