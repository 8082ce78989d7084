//! Why something can't be traced.

use std::io;

use skep_host::Errno;

/// Why a command or process can't be traced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The command can't be run: `source` says why, as for [`Command::spawn`](std::process::Command::spawn).
    #[error("cannot run `{program}`: {source}")]
    Command {
        /// What was to be run.
        program: String,
        /// Why it can't be; for a program that is not there its kind is `NotFound`.
        source: io::Error,
    },
    /// The system does not allow it.
    #[error("not allowed to trace process {pid}: {reason}\n  fix: {remedy}")]
    NotAllowed {
        /// The process.
        pid: u32,
        /// What stands against it.
        reason: String,
        /// What helps.
        remedy: &'static str,
    },
    /// There is no such process, or none any more.
    #[error("there is no process {pid}")]
    NoProcess {
        /// The process.
        pid: u32,
    },
    /// Something else traces it; a process can have one tracer.
    #[error(
        "process {pid} is traced by process {tracer} already\n  fix: end that debugger or tracer"
    )]
    Traced {
        /// The process.
        pid: u32,
        /// Its tracer.
        tracer: u32,
    },
    /// The command was begun already, or is gone.
    #[error("the command was let go already")]
    Begun,
    /// This build can't trace.
    #[error("processes can be traced on Linux on x86-64 only")]
    Unsupported,
    /// The system refused something that it should not.
    #[error("cannot {what}: {errno}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        errno: Errno,
    },
}

#[cfg(target_arch = "x86_64")]
impl TraceError {
    /// Why this process could not be seized.
    pub(super) fn seizing(pid: u32, own_child: bool, errno: Errno) -> Self {
        match errno {
            Errno::ESRCH => return Self::NoProcess { pid },
            Errno::EPERM | Errno::EACCES => {}
            _ => {
                return Self::System {
                    what: "trace a process",
                    errno,
                };
            }
        }
        let status = super::process::Status::of(pid as i32).unwrap_or_default();
        if status.tracer != 0 {
            let tracer = status.tracer;
            return Self::Traced { pid, tracer };
        }
        let yama = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
        let scope = yama.ok().and_then(|text| text.trim().parse::<u32>().ok());
        let (reason, remedy) = match scope {
            Some(3) => (
                "kernel.yama.ptrace_scope is 3: nobody may trace".to_owned(),
                "it can only be changed by a reboot",
            ),
            Some(2) => (
                "kernel.yama.ptrace_scope is 2: only those with CAP_SYS_PTRACE may trace".into(),
                "run this as root, or set `sysctl kernel.yama.ptrace_scope=1`",
            ),
            Some(1) if !own_child => (
                "kernel.yama.ptrace_scope is 1: only own children may be traced".into(),
                "start the command here, run this as root, or set `sysctl \
                 kernel.yama.ptrace_scope=0`",
            ),
            _ if own_child => (
                "this container or sandbox forbids ptrace".into(),
                "start the container with `--cap-add SYS_PTRACE` or a seccomp profile that allows \
                 ptrace",
            ),
            _ => (
                format!(
                    "it belongs to user {} (or gained privileges), or a sandbox forbids ptrace",
                    status.uid
                ),
                "run this as that user, or as root",
            ),
        };
        Self::NotAllowed {
            pid,
            reason,
            remedy,
        }
    }
}
