//! What programs may return, by program type, attach type and LSM hook. The verifier enforces it
//! when the program is loaded.

use crate::{AttachType, KernelVersion, ProgramType};

/// What a program may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReturnRule {
    /// Any value.
    Any,
    /// A value of a range, as a signed 64-bit number, ends included.
    Range(i32, i32),
    /// As the function that the program is attached to (LSM hooks, struct_ops): see
    /// [`LsmHook::returns`](crate::LsmHook::returns) for the former.
    ByTarget,
}

impl ProgramType {
    /// What a program of this type may return on a kernel, loaded for an attach type (`None` is
    /// number 0, as for the kernel).
    ///
    /// ```
    /// use skep_abi::{AttachType, KernelVersion, ProgramType, ReturnRule};
    ///
    /// let kernel = KernelVersion::new(6, 18);
    /// let bind = ProgramType::CgroupSockAddr.returns(Some(AttachType::CgroupInet4Bind), kernel);
    /// assert_eq!(bind, ReturnRule::Range(0, 3));
    /// assert_eq!(ProgramType::Xdp.returns(None, kernel), ReturnRule::Any);
    /// ```
    #[must_use]
    pub fn returns(self, attach_type: Option<AttachType>, kernel: KernelVersion) -> ReturnRule {
        use AttachType as At;
        let since = |major, minor| kernel >= KernelVersion::new(major, minor);
        match self {
            Self::CgroupSockAddr => match attach_type {
                Some(
                    At::CgroupUdp4Recvmsg
                    | At::CgroupUdp6Recvmsg
                    | At::CgroupUnixRecvmsg
                    | At::CgroupInet4Getpeername
                    | At::CgroupInet6Getpeername
                    | At::CgroupUnixGetpeername
                    | At::CgroupInet4Getsockname
                    | At::CgroupInet6Getsockname
                    | At::CgroupUnixGetsockname,
                ) => ReturnRule::Range(1, 1),
                Some(At::CgroupInet4Bind | At::CgroupInet6Bind) if since(5, 12) => {
                    ReturnRule::Range(0, 3)
                }
                _ => ReturnRule::Range(0, 1),
            },
            Self::CgroupSkb if attach_type == Some(At::CgroupInetEgress) && since(5, 2) => {
                ReturnRule::Range(0, 3)
            }
            Self::CgroupSkb
            | Self::CgroupSock
            | Self::SockOps
            | Self::CgroupDevice
            | Self::CgroupSysctl
            | Self::CgroupSockopt
            | Self::SkLookup
            | Self::Netfilter => ReturnRule::Range(0, 1),
            Self::Tracing => match attach_type {
                Some(At::TraceFentry | At::TraceFexit) => ReturnRule::Range(0, 0),
                Some(At::TraceIter) => ReturnRule::Range(0, 1),
                _ => ReturnRule::Any,
            },
            Self::Kprobe => match attach_type {
                Some(At::TraceKprobeSession) if since(6, 10) => ReturnRule::Range(0, 1),
                Some(At::TraceUprobeSession) if since(6, 13) => ReturnRule::Range(0, 1),
                _ => ReturnRule::Any,
            },
            // LSM hooks are free before 6.12, but for those of cgroups.
            Self::Lsm if since(6, 12) || attach_type == Some(At::LsmCgroup) => ReturnRule::ByTarget,
            Self::StructOps => ReturnRule::ByTarget,
            _ => ReturnRule::Any,
        }
    }
}
