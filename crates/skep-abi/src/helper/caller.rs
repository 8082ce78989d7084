//! Who may call what, where the program's type alone does not say it: by attach type, hook and
//! structure of operations (the `*_func_proto` functions of Linux 6.18).

use super::{Helper, HelperAccess};
use crate::{AttachType, KernelVersion, LsmHook, ProgramType};

/// A program that calls helpers.
#[derive(Debug, Clone, Copy)]
pub struct HelperCaller<'a> {
    /// Its type; of one that replaces a function: that of the replaced program.
    pub program: ProgramType,
    /// What it is loaded to be attached as.
    pub attach: Option<AttachType>,
    /// The name of the function or iterator (`bpf_iter_tcp`) in the kernel that it attaches to, or of
    /// the member of the structure of operations that it is.
    pub target: &'a str,
    /// The structure of operations (`tcp_congestion_ops`).
    pub structure: &'a str,
    /// The kernel that it is for.
    pub kernel: KernelVersion,
}

/// Functions, beside iterators and LSM hooks, that hand out paths as `bpf_d_path` takes them.
const PATHS: &[&str] = &[
    "dentry_open",
    "filp_close",
    "security_file_open",
    "security_file_permission",
    "security_inode_getattr",
    "security_path_truncate",
    "vfs_fallocate",
    "vfs_getattr",
    "vfs_truncate",
];

impl HelperCaller<'_> {
    /// Whether it runs in a trampoline around a function, with its arguments at hand.
    #[must_use]
    pub fn has_trampoline(&self) -> bool {
        use AttachType as A;
        match self.program {
            ProgramType::Tracing => matches!(
                self.attach,
                Some(A::TraceFentry | A::TraceFexit | A::ModifyReturn | A::TraceFsession)
            ),
            ProgramType::Lsm => self.attach == Some(A::LsmMac),
            _ => false,
        }
    }

    fn is_iterator(&self) -> bool {
        self.program == ProgramType::Tracing && self.attach == Some(AttachType::TraceIter)
    }

    /// Whether it walks over sockets.
    fn iterates_sockets(&self) -> bool {
        self.is_iterator()
            && matches!(
                self.target,
                "bpf_iter_tcp" | "bpf_iter_udp" | "bpf_iter_unix"
            )
    }

    /// Whether it is attached to a hook that may sleep.
    fn on_sleepable_hook(&self) -> bool {
        LsmHook::of_function(self.target).is_some_and(LsmHook::may_sleep)
    }

    /// Whether it may say what the hook gives in the end (`bpf_get_retval`, `bpf_set_retval`).
    fn knows_result(&self) -> bool {
        use AttachType as A;
        !matches!(
            self.attach,
            Some(
                A::CgroupInetIngress
                    | A::CgroupInetEgress
                    | A::CgroupSockOps
                    | A::CgroupUdp4Recvmsg
                    | A::CgroupUdp6Recvmsg
                    | A::CgroupUnixRecvmsg
                    | A::CgroupInet4Getpeername
                    | A::CgroupInet6Getpeername
                    | A::CgroupUnixGetpeername
                    | A::CgroupInet4Getsockname
                    | A::CgroupInet6Getsockname
                    | A::CgroupUnixGetsockname
            )
        )
    }

    /// Whether it may set and read options of sockets.
    fn has_options(&self) -> bool {
        use AttachType as A;
        match self.program {
            ProgramType::CgroupSock => {
                self.attach == Some(A::CgroupInetSockCreate)
                    && self.kernel >= KernelVersion::new(6, 19)
            }
            ProgramType::CgroupSockAddr => true,
            ProgramType::CgroupSockopt => self.attach == Some(A::CgroupSetsockopt),
            ProgramType::Tracing => self.iterates_sockets(),
            ProgramType::StructOps => {
                self.structure == "tcp_congestion_ops" && self.target != "release"
            }
            ProgramType::Lsm => {
                self.attach == Some(A::LsmCgroup)
                    && matches!(
                        self.target,
                        "bpf_lsm_sock_graft"
                            | "bpf_lsm_inet_csk_clone"
                            | "bpf_lsm_inet_conn_established"
                            | "bpf_lsm_socket_post_create"
                            | "bpf_lsm_socket_socketpair"
                    )
            }
            _ => false,
        }
    }
}

impl Helper {
    /// Whether a program may call it, with the [capability](Self::capability) that it needs. What
    /// depends on the kernel's configuration or lockdown is taken for allowed.
    ///
    /// ```
    /// use skep_abi::{AttachType, Helper, HelperCaller, KernelVersion, ProgramType};
    ///
    /// let printf = Helper::by_name("seq_printf").unwrap();
    /// let mut caller = HelperCaller {
    ///     program: ProgramType::Tracing,
    ///     attach: Some(AttachType::TraceIter),
    ///     target: "bpf_iter_task",
    ///     structure: "",
    ///     kernel: KernelVersion::new(6, 18),
    /// };
    /// assert!(printf.allows(&caller));
    /// caller.attach = Some(AttachType::TraceFentry);
    /// assert!(!printf.allows(&caller));
    /// ```
    #[must_use]
    pub fn allows(&self, caller: &HelperCaller<'_>) -> bool {
        use ProgramType as P;
        let program = caller.program;
        match (self.short_name(), self.access_from(program)) {
            (_, HelperAccess::No) => false,
            // Who gets it is decided once more when the call is verified.
            ("get_func_ip", _) => {
                program == P::Kprobe || (program == P::Tracing && caller.has_trampoline())
            }
            ("ima_inode_hash" | "ima_file_hash", _) => caller.on_sleepable_hook(),
            (_, HelperAccess::Yes) => true,
            ("get_retval" | "set_retval", _) => {
                caller.knows_result()
                    && (program != P::Lsm || caller.attach == Some(AttachType::LsmCgroup))
            }
            ("get_local_storage", _) => {
                program != P::Lsm || caller.attach == Some(AttachType::LsmCgroup)
            }
            ("bind", _) => matches!(
                caller.attach,
                Some(AttachType::CgroupInet4Connect | AttachType::CgroupInet6Connect)
            ),
            ("setsockopt" | "getsockopt", _) => caller.has_options(),
            ("seq_printf" | "seq_write" | "seq_printf_btf", _) => caller.is_iterator(),
            ("d_path", _) => match program {
                P::Lsm => caller.on_sleepable_hook(),
                _ => caller.is_iterator() || PATHS.contains(&caller.target),
            },
            ("get_func_arg" | "get_func_ret" | "get_func_arg_cnt", _) => caller.has_trampoline(),
            ("get_attach_cookie", _) => {
                caller.has_trampoline()
                    || (program == P::Tracing && caller.attach == Some(AttachType::TraceRawTp))
            }
            (
                "tcp_send_ack" | "sk_storage_get" | "sk_storage_delete" | "ktime_get_coarse_ns",
                _,
            ) if program == P::StructOps => caller.structure == "tcp_congestion_ops",
            // Configuration, architecture, lockdown.
            ("probe_read" | "probe_read_str" | "probe_write_user" | "override_return", _) => true,
            ("skb_pull_data", _) => true,
            _ => false,
        }
    }
}
