//! Whether this process may use the kernel for certain programs: a trial that is cheap enough to
//! stand before every start.

use std::os::fd::OwnedFd;

use skep_abi::{AttachType, Capability, Command, MapType, ProgramType};
use skep_host::{Cause, Errno};

use crate::{
    LinuxHost, attr,
    cause::{self, token::Delegated},
    requirement,
    sys::{self, bpf_open},
};

/// What a program is, as far as it decides who may load and attach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// Its type.
    pub program_type: ProgramType,
    /// What it is attached as, where that is said when it is loaded.
    pub attach_type: Option<AttachType>,
}

impl Wanted {
    /// A program of a type, to be attached as this.
    pub fn new(program_type: ProgramType, attach_type: Option<AttachType>) -> Self {
        Self {
            program_type,
            attach_type,
        }
    }

    /// What a token would have to delegate.
    pub(crate) fn delegated(&self) -> Delegated {
        let attach_type = self.attach_type.map_or(0, AttachType::raw);
        Delegated::Program(self.program_type, attach_type)
    }

    /// The capabilities that loading and attaching it take.
    fn capabilities(&self) -> impl Iterator<Item = Capability> {
        let attaching = self.attach_type.map(requirement::attach_capabilities);
        self.program_type
            .capabilities()
            .chain(attaching.unwrap_or_default())
    }
}

impl LinuxHost {
    /// Whether this process may load and attach such programs: whether the kernel makes a map for
    /// it that only `CAP_BPF` gets, and whether it has the capabilities that the programs take
    /// beyond that (`CAP_PERFMON` to trace, `CAP_NET_ADMIN` for the network). What a
    /// `kernel.unprivileged_bpf_disabled` of 0 leaves to everyone is not counted: attaching it
    /// takes more.
    ///
    /// In a user namespace, where its capabilities count for nothing, what its token delegates does
    /// (see [`with_token`](Self::with_token)).
    ///
    /// Takes some 20 µs, and leaves nothing behind.
    ///
    /// # Errors
    /// What keeps it from them; what the kernel has no such programs for is not found out.
    pub fn permits(&self, programs: &[Wanted]) -> Result<(), Cause> {
        let mut needed = vec![Capability::Bpf];
        for capability in programs.iter().flat_map(Wanted::capabilities) {
            if !needed.contains(&capability) {
                needed.push(capability);
            }
        }
        if self.token().is_some() {
            return self.token_permits(&needed, programs);
        }
        match trial() {
            // Who may not make such maps is told so before the type is looked at (4.20).
            Ok(_) | Err(Errno::EINVAL) => match cause::missing(self, needed) {
                // The trial says more than the namespace's number.
                None | Some(Cause::Process { .. }) => Ok(()),
                Some(cause) => Err(cause),
            },
            Err(Errno::ENOSYS) => Err(Cause::Process {
                what: "there is no bpf(2) here: the system has none, or a seccomp filter hides it"
                    .into(),
                fix: "run it outside of the container or sandbox, on Linux with \
                      CONFIG_BPF_SYSCALL=y"
                    .into(),
            }),
            Err(Errno::EPERM | Errno::EACCES) => Err(cause::missing(self, needed)
                .unwrap_or_else(|| cause::refuser::of(self, "bpf(2) is refused here"))),
            // It says nothing of what this process may do.
            Err(_) => Ok(()),
        }
    }
}

/// Makes the smallest map that takes `CAP_BPF` whatever the sysctl says, and gives it up.
fn trial() -> sys::SysResult<OwnedFd> {
    let mut request = attr::MapCreate {
        map_type: MapType::Stack.raw(),
        value_size: 4,
        max_entries: 1,
        ..Default::default()
    };
    // SAFETY: the command answers with a new descriptor, and no address is in its attributes.
    unsafe { bpf_open(Command::MapCreate, &mut request) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_says_what_it_takes() {
        let takes = |program_type, attach_type| {
            let mut all: Vec<_> = Wanted::new(program_type, attach_type)
                .capabilities()
                .collect();
            all.dedup();
            all
        };
        assert_eq!(
            takes(ProgramType::Tracepoint, None),
            [Capability::Bpf, Capability::Perfmon]
        );
        // It loads without, but is not attached without.
        assert_eq!(
            takes(ProgramType::CgroupSkb, Some(AttachType::CgroupInetEgress)),
            [Capability::Bpf, Capability::NetAdmin]
        );
    }
}
