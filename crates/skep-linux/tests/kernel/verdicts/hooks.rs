//! The hooks that programs are loaded for here: one of each that has rules of its own.

use skep_abi::{AttachType as A, ProgLoadFlags, ProgramProperties, ProgramType as P};
use skep_btf::{Kind, KindTag, TypeId};
use skep_host::{Host, ProgramBtf, ProgramLoad};
use skep_verifier::{AttachTarget, Program};

use super::target;
use crate::harness::host;

/// What a program is loaded for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hook {
    pub(super) name: &'static str,
    pub(super) program: P,
    pub(super) attach: Option<A>,
    on: On,
    /// What programs return there.
    pub(super) answer: i32,
    pub(super) sleepable: bool,
}

#[derive(Debug, Clone, Copy)]
enum On {
    Nothing,
    Function(&'static str),
    Tracepoint(&'static str),
    Member(&'static str, &'static str),
}

const fn hook(name: &'static str, program: P, attach: Option<A>, answer: i32) -> Hook {
    Hook {
        name,
        program,
        attach,
        on: On::Nothing,
        answer,
        sleepable: false,
    }
}

const fn on(mut hook: Hook, on: On) -> Hook {
    hook.on = on;
    hook
}

const fn sleepable(mut hook: Hook) -> Hook {
    hook.sleepable = true;
    hook
}

pub(super) const HOOKS: &[Hook] = &[
    hook("socket", P::SocketFilter, None, 0),
    hook("tc", P::SchedCls, None, 0),
    hook("action", P::SchedAct, None, 0),
    hook("xdp", P::Xdp, None, 2),
    hook("kprobe", P::Kprobe, None, 0),
    hook("tracepoint", P::Tracepoint, None, 0),
    hook("perf_event", P::PerfEvent, None, 0),
    hook("raw_tracepoint", P::RawTracepoint, None, 0),
    hook("raw_tracepoint.w", P::RawTracepointWritable, None, 0),
    hook(
        "cgroup_skb/ingress",
        P::CgroupSkb,
        Some(A::CgroupInetIngress),
        1,
    ),
    hook(
        "cgroup_skb/egress",
        P::CgroupSkb,
        Some(A::CgroupInetEgress),
        1,
    ),
    hook(
        "cgroup/sock_create",
        P::CgroupSock,
        Some(A::CgroupInetSockCreate),
        1,
    ),
    hook(
        "cgroup/sock_release",
        P::CgroupSock,
        Some(A::CgroupInetSockRelease),
        1,
    ),
    hook(
        "cgroup/post_bind4",
        P::CgroupSock,
        Some(A::CgroupInet4PostBind),
        1,
    ),
    hook(
        "cgroup/connect4",
        P::CgroupSockAddr,
        Some(A::CgroupInet4Connect),
        1,
    ),
    hook(
        "cgroup/connect6",
        P::CgroupSockAddr,
        Some(A::CgroupInet6Connect),
        1,
    ),
    hook(
        "cgroup/connect_unix",
        P::CgroupSockAddr,
        Some(A::CgroupUnixConnect),
        1,
    ),
    hook(
        "cgroup/bind4",
        P::CgroupSockAddr,
        Some(A::CgroupInet4Bind),
        1,
    ),
    hook(
        "cgroup/recvmsg4",
        P::CgroupSockAddr,
        Some(A::CgroupUdp4Recvmsg),
        1,
    ),
    hook(
        "cgroup/sendmsg6",
        P::CgroupSockAddr,
        Some(A::CgroupUdp6Sendmsg),
        1,
    ),
    hook(
        "cgroup/getsockname4",
        P::CgroupSockAddr,
        Some(A::CgroupInet4Getsockname),
        1,
    ),
    hook(
        "cgroup/getpeername_unix",
        P::CgroupSockAddr,
        Some(A::CgroupUnixGetpeername),
        1,
    ),
    hook(
        "cgroup/setsockopt",
        P::CgroupSockopt,
        Some(A::CgroupSetsockopt),
        1,
    ),
    hook(
        "cgroup/getsockopt",
        P::CgroupSockopt,
        Some(A::CgroupGetsockopt),
        1,
    ),
    hook("cgroup/sysctl", P::CgroupSysctl, Some(A::CgroupSysctl), 1),
    hook("cgroup/dev", P::CgroupDevice, Some(A::CgroupDevice), 1),
    hook("sockops", P::SockOps, Some(A::CgroupSockOps), 1),
    hook("sk_skb", P::SkSkb, Some(A::SkSkbStreamVerdict), 1),
    hook("sk_msg", P::SkMsg, Some(A::SkMsgVerdict), 1),
    hook("sk_lookup", P::SkLookup, Some(A::SkLookup), 1),
    hook(
        "sk_reuseport",
        P::SkReuseport,
        Some(A::SkReuseportSelect),
        1,
    ),
    hook(
        "flow_dissector",
        P::FlowDissector,
        Some(A::FlowDissector),
        0,
    ),
    hook("lwt_in", P::LwtIn, None, 0),
    hook("lwt_out", P::LwtOut, None, 0),
    hook("lwt_xmit", P::LwtXmit, None, 0),
    hook("lwt_seg6local", P::LwtSeg6local, None, 0),
    hook("lirc", P::LircMode2, Some(A::LircMode2), 0),
    hook("netfilter", P::Netfilter, Some(A::Netfilter), 1),
    sleepable(hook("syscall", P::Syscall, None, 0)),
    on(
        hook(
            "tp_btf/sched_process_exit",
            P::Tracing,
            Some(A::TraceRawTp),
            0,
        ),
        On::Tracepoint("btf_trace_sched_process_exit"),
    ),
    on(
        hook("tp_btf/consume_skb", P::Tracing, Some(A::TraceRawTp), 0),
        On::Tracepoint("btf_trace_consume_skb"),
    ),
    on(
        hook("fentry", P::Tracing, Some(A::TraceFentry), 0),
        On::Function("do_nanosleep"),
    ),
    on(
        hook("fentry/vfs_getattr", P::Tracing, Some(A::TraceFentry), 0),
        On::Function("vfs_getattr"),
    ),
    on(
        hook("fexit", P::Tracing, Some(A::TraceFexit), 0),
        On::Function("do_nanosleep"),
    ),
    on(
        hook("fmod_ret", P::Tracing, Some(A::ModifyReturn), 0),
        On::Function("security_bprm_check"),
    ),
    sleepable(on(
        hook("fmod_ret.s", P::Tracing, Some(A::ModifyReturn), 0),
        On::Function("security_bprm_check"),
    )),
    on(
        hook("iter/task", P::Tracing, Some(A::TraceIter), 0),
        On::Function("bpf_iter_task"),
    ),
    on(
        hook("iter/tcp", P::Tracing, Some(A::TraceIter), 0),
        On::Function("bpf_iter_tcp"),
    ),
    on(
        hook("iter/sockmap", P::Tracing, Some(A::TraceIter), 0),
        On::Function("bpf_iter_sockmap"),
    ),
    on(
        hook("lsm/bprm_check_security", P::Lsm, Some(A::LsmMac), 0),
        On::Function("bpf_lsm_bprm_check_security"),
    ),
    sleepable(on(
        hook("lsm.s/file_open", P::Lsm, Some(A::LsmMac), 0),
        On::Function("bpf_lsm_file_open"),
    )),
    on(
        hook("lsm/file_permission", P::Lsm, Some(A::LsmMac), 0),
        On::Function("bpf_lsm_file_permission"),
    ),
    on(
        hook("lsm_cgroup/socket_create", P::Lsm, Some(A::LsmCgroup), 1),
        On::Function("bpf_lsm_socket_create"),
    ),
    on(
        hook(
            "lsm_cgroup/socket_post_create",
            P::Lsm,
            Some(A::LsmCgroup),
            1,
        ),
        On::Function("bpf_lsm_socket_post_create"),
    ),
    on(
        hook("tcp/ssthresh", P::StructOps, None, 0),
        On::Member("tcp_congestion_ops", "ssthresh"),
    ),
    on(
        hook("tcp/release", P::StructOps, None, 0),
        On::Member("tcp_congestion_ops", "release"),
    ),
];

impl Hook {
    /// The type that it attaches to, and the member of it.
    fn place(&self) -> Option<(TypeId, Option<u32>)> {
        let types = target().ok()?.kernel_btf.as_ref()?;
        Some(match self.on {
            On::Nothing => return None,
            On::Function(name) => (types.find(name, KindTag::Function)?, None),
            On::Tracepoint(name) => (types.find(name, KindTag::Typedef)?, None),
            On::Member(structure, member) => {
                let structure = types.find(structure, KindTag::Struct)?;
                let Kind::Struct(layout) = types.type_by_id(structure).ok()?.kind() else {
                    return None;
                };
                let index = layout.members().position(|each| each.name() == member)?;
                (structure, u32::try_from(index).ok())
            }
        })
    }

    fn flags(&self) -> ProgLoadFlags {
        let always = ProgramProperties::ALWAYS_SLEEPABLE;
        if self.sleepable || self.program.properties().contains(always) {
            ProgLoadFlags::SLEEPABLE
        } else {
            ProgLoadFlags::empty()
        }
    }

    /// Whether this machine loads programs for it.
    pub(super) fn is_here(&self) -> bool {
        if !matches!(self.on, On::Nothing) && self.place().is_none() {
            return false;
        }
        let text = format!("r0 = {}\n exit", self.answer);
        crate::programs::code(&text).is_ok_and(|code| self.kernel(&code).is_ok())
    }

    /// Loads a program for it: why not, if not.
    pub(super) fn kernel(&self, code: &[u8]) -> Result<(), String> {
        self.kernel_with(code, &[], None)
    }

    /// The same with maps by index, and types.
    pub(super) fn kernel_with(
        &self,
        code: &[u8],
        maps: &[i32],
        types: Option<ProgramBtf<'_>>,
    ) -> Result<(), String> {
        let name = crate::harness::name("verdict");
        let mut request = ProgramLoad::new(self.program, &name, code);
        request.expected_attach_type = self.attach;
        request.flags = self.flags();
        request.fd_array = maps;
        request.btf = types;
        if let Some((type_id, member)) = self.place() {
            request.attach_btf_id = type_id.0;
            request.attach_member = member;
        }
        match host().prog_load(&request) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error}\n{}", error.log().unwrap_or(""))),
        }
    }

    /// Sets in a program what the hook says of it.
    pub(super) fn describe(&self, program: &mut Program<'_>) {
        program.program_type = self.program;
        program.attach_type = self.attach;
        program.flags = self.flags();
        if let Some((type_id, member)) = self.place() {
            program.attach = Some(AttachTarget::Kernel {
                type_id,
                module: None,
            });
            program.attach_member = member;
        }
    }
}
