//! The table of section names: one row a name, the only place where each is written down.

use std::borrow::Cow;

use skep_abi::{AttachType, KernelVersion, ProgramType};

use super::AttachKind;

/// What may follow the name in a section's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Nothing.
    None,
    /// `/` and what to attach to, or nothing.
    Optional,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags {
    pub(super) sleepable: bool,
    pub(super) frags: bool,
}

/// One known name, or one that a caller gave a handler for.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: Cow<'static, str>,
    pub(super) program_type: ProgramType,
    pub(super) attach_type: Option<AttachType>,
    pub(super) kind: AttachKind,
    pub(super) target: Target,
    pub(super) flags: Flags,
    /// The first kernel that takes it, where it is newer than its types are.
    pub(super) since: Option<KernelVersion>,
}

/// Reads `"name" Type AttachType Kind [marks];`, with `-` for no attach type. Marks are `+` (a
/// target may follow), `sleepable`, `frags`, and `(6 0)` for a first kernel that does not follow
/// from the types: that of a flag.
macro_rules! table {
    ($($name:literal $program:ident $attach:tt $kind:ident [$($mark:tt)*];)*) => {
        &[$({
            let row = Row {
                name: Cow::Borrowed($name),
                program_type: ProgramType::$program,
                attach_type: table!(@attach $attach),
                kind: AttachKind::$kind,
                target: Target::None,
                flags: Flags { sleepable: false, frags: false },
                since: None,
            };
            $(let row = table!(@mark $mark row);)*
            row
        }),*]
    };
    (@attach -) => { None };
    (@attach $attach:ident) => { Some(AttachType::$attach) };
    (@mark + $row:ident) => { Row { target: Target::Optional, ..$row } };
    (@mark sleepable $row:ident) => {
        Row { flags: Flags { sleepable: true, ..$row.flags }, ..$row }
    };
    (@mark frags $row:ident) => { Row { flags: Flags { frags: true, ..$row.flags }, ..$row } };
    (@mark ($major:literal $minor:literal) $row:ident) => {
        Row { since: Some(KernelVersion::new($major, $minor)), ..$row }
    };
}

/// All names, grouped as users meet them.
pub(super) static TABLE: &[Row] = table! {
    "kprobe" Kprobe - Kprobe [+];
    "kretprobe" Kprobe - Kretprobe [+];
    "uprobe" Kprobe - Uprobe [+];
    "uprobe.s" Kprobe - Uprobe [+ sleepable (6 0)];
    "uretprobe" Kprobe - Uretprobe [+];
    "uretprobe.s" Kprobe - Uretprobe [+ sleepable (6 0)];
    "kprobe.multi" Kprobe TraceKprobeMulti KprobeMulti [+];
    "kretprobe.multi" Kprobe TraceKprobeMulti KretprobeMulti [+];
    "kprobe.session" Kprobe TraceKprobeSession KprobeSession [+];
    "uprobe.multi" Kprobe TraceUprobeMulti UprobeMulti [+];
    "uprobe.multi.s" Kprobe TraceUprobeMulti UprobeMulti [+ sleepable];
    "uretprobe.multi" Kprobe TraceUprobeMulti UretprobeMulti [+];
    "uretprobe.multi.s" Kprobe TraceUprobeMulti UretprobeMulti [+ sleepable];
    "uprobe.session" Kprobe TraceUprobeSession UprobeSession [+];
    "uprobe.session.s" Kprobe TraceUprobeSession UprobeSession [+ sleepable];
    "ksyscall" Kprobe - Ksyscall [+];
    "kretsyscall" Kprobe - Kretsyscall [+];
    "usdt" Kprobe - Usdt [+];
    "usdt.s" Kprobe - Usdt [+ sleepable (6 0)];

    "tracepoint" Tracepoint - Tracepoint [+];
    "tracepoint.s" Tracepoint - Tracepoint [+ sleepable (7 2)];
    "tp" Tracepoint - Tracepoint [+];
    "tp.s" Tracepoint - Tracepoint [+ sleepable (7 2)];
    "raw_tracepoint" RawTracepoint - RawTracepoint [+];
    "raw_tracepoint.s" RawTracepoint - RawTracepoint [+ sleepable (7 2)];
    "raw_tracepoint.w" RawTracepointWritable - RawTracepoint [+];
    "raw_tp" RawTracepoint - RawTracepoint [+];
    "raw_tp.s" RawTracepoint - RawTracepoint [+ sleepable (7 2)];
    "raw_tp.w" RawTracepointWritable - RawTracepoint [+];
    "tp_btf" Tracing TraceRawTp TracepointBtf [+];
    "tp_btf.s" Tracing TraceRawTp TracepointBtf [+ sleepable (7 2)];
    "fentry" Tracing TraceFentry Fentry [+];
    "fentry.s" Tracing TraceFentry Fentry [+ sleepable (5 10)];
    "fexit" Tracing TraceFexit Fexit [+];
    "fexit.s" Tracing TraceFexit Fexit [+ sleepable (5 10)];
    "fmod_ret" Tracing ModifyReturn FmodRet [+];
    "fmod_ret.s" Tracing ModifyReturn FmodRet [+ sleepable (5 10)];
    "fsession" Tracing TraceFsession Fsession [+];
    "fsession.s" Tracing TraceFsession Fsession [+ sleepable];
    "fentry.multi" Tracing TraceFentryMulti FentryMulti [+];
    "fentry.multi.s" Tracing TraceFentryMulti FentryMulti [+ sleepable];
    "fexit.multi" Tracing TraceFexitMulti FexitMulti [+];
    "fexit.multi.s" Tracing TraceFexitMulti FexitMulti [+ sleepable];
    "fsession.multi" Tracing TraceFsessionMulti FsessionMulti [+];
    "fsession.multi.s" Tracing TraceFsessionMulti FsessionMulti [+ sleepable];
    "freplace" Ext - Freplace [+];
    "lsm" Lsm LsmMac Lsm [+];
    "lsm.s" Lsm LsmMac Lsm [+ sleepable (5 11)];
    "lsm_cgroup" Lsm LsmCgroup LsmCgroup [+];
    "iter" Tracing TraceIter Iterator [+];
    "iter.s" Tracing TraceIter Iterator [+ sleepable (5 18)];
    "syscall" Syscall - Syscall [sleepable];
    "perf_event" PerfEvent - PerfEvent [];

    "socket" SocketFilter - SocketFilter [];
    "sk_reuseport" SkReuseport SkReuseportSelect Reuseport [];
    "sk_reuseport/migrate" SkReuseport SkReuseportSelectOrMigrate Reuseport [];
    "tc" SchedCls - Tc [];
    "tc/ingress" SchedCls TcxIngress Tc [];
    "tc/egress" SchedCls TcxEgress Tc [];
    "tcx/ingress" SchedCls TcxIngress Tc [];
    "tcx/egress" SchedCls TcxEgress Tc [];
    "classifier" SchedCls - Tc [];
    "action" SchedAct - Tc [];
    "netkit/primary" SchedCls NetkitPrimary Netkit [];
    "netkit/peer" SchedCls NetkitPeer Netkit [];
    "xdp" Xdp Xdp Xdp [];
    "xdp/devmap" Xdp XdpDevmap Manual [];
    "xdp/cpumap" Xdp XdpCpumap Manual [];
    "xdp.frags" Xdp Xdp Xdp [frags (5 18)];
    "xdp.frags/devmap" Xdp XdpDevmap Manual [frags (5 18)];
    "xdp.frags/cpumap" Xdp XdpCpumap Manual [frags (5 18)];
    "lwt_in" LwtIn - Lwt [];
    "lwt_out" LwtOut - Lwt [];
    "lwt_xmit" LwtXmit - Lwt [];
    "lwt_seg6local" LwtSeg6local - Lwt [];
    "sockops" SockOps CgroupSockOps Cgroup [];
    "sk_skb" SkSkb - Sockmap [];
    "sk_skb/stream_parser" SkSkb SkSkbStreamParser Sockmap [];
    "sk_skb/stream_verdict" SkSkb SkSkbStreamVerdict Sockmap [];
    "sk_skb/verdict" SkSkb SkSkbVerdict Sockmap [];
    "sk_msg" SkMsg SkMsgVerdict Sockmap [];
    "lirc_mode2" LircMode2 LircMode2 Lirc [];
    "flow_dissector" FlowDissector FlowDissector Netns [];
    "sk_lookup" SkLookup SkLookup Netns [];
    "netfilter" Netfilter Netfilter Netfilter [];

    "cgroup_skb/ingress" CgroupSkb CgroupInetIngress Cgroup [];
    "cgroup_skb/egress" CgroupSkb CgroupInetEgress Cgroup [];
    "cgroup/skb" CgroupSkb - Cgroup [];
    "cgroup/sock" CgroupSock CgroupInetSockCreate Cgroup [];
    "cgroup/sock_create" CgroupSock CgroupInetSockCreate Cgroup [];
    "cgroup/sock_release" CgroupSock CgroupInetSockRelease Cgroup [];
    "cgroup/post_bind4" CgroupSock CgroupInet4PostBind Cgroup [];
    "cgroup/post_bind6" CgroupSock CgroupInet6PostBind Cgroup [];
    "cgroup/bind4" CgroupSockAddr CgroupInet4Bind Cgroup [];
    "cgroup/bind6" CgroupSockAddr CgroupInet6Bind Cgroup [];
    "cgroup/connect4" CgroupSockAddr CgroupInet4Connect Cgroup [];
    "cgroup/connect6" CgroupSockAddr CgroupInet6Connect Cgroup [];
    "cgroup/connect_unix" CgroupSockAddr CgroupUnixConnect Cgroup [];
    "cgroup/sendmsg4" CgroupSockAddr CgroupUdp4Sendmsg Cgroup [];
    "cgroup/sendmsg6" CgroupSockAddr CgroupUdp6Sendmsg Cgroup [];
    "cgroup/sendmsg_unix" CgroupSockAddr CgroupUnixSendmsg Cgroup [];
    "cgroup/recvmsg4" CgroupSockAddr CgroupUdp4Recvmsg Cgroup [];
    "cgroup/recvmsg6" CgroupSockAddr CgroupUdp6Recvmsg Cgroup [];
    "cgroup/recvmsg_unix" CgroupSockAddr CgroupUnixRecvmsg Cgroup [];
    "cgroup/getpeername4" CgroupSockAddr CgroupInet4Getpeername Cgroup [];
    "cgroup/getpeername6" CgroupSockAddr CgroupInet6Getpeername Cgroup [];
    "cgroup/getpeername_unix" CgroupSockAddr CgroupUnixGetpeername Cgroup [];
    "cgroup/getsockname4" CgroupSockAddr CgroupInet4Getsockname Cgroup [];
    "cgroup/getsockname6" CgroupSockAddr CgroupInet6Getsockname Cgroup [];
    "cgroup/getsockname_unix" CgroupSockAddr CgroupUnixGetsockname Cgroup [];
    "cgroup/sysctl" CgroupSysctl CgroupSysctl Cgroup [];
    "cgroup/getsockopt" CgroupSockopt CgroupGetsockopt Cgroup [];
    "cgroup/setsockopt" CgroupSockopt CgroupSetsockopt Cgroup [];
    "cgroup/dev" CgroupDevice CgroupDevice Cgroup [];

    "struct_ops" StructOps - StructOps [+];
    "struct_ops.s" StructOps - StructOps [+ sleepable (6 3)];
};
