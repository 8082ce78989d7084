//! `LinuxHost`: what is kept of the running kernel. The trait's methods are in `commands`.

mod commands;

use std::{
    fmt, fs,
    sync::{Arc, OnceLock},
};

use skep_abi::{Command, KernelVersion};
use skep_host::{Cause, Errno, Error, HostInfo, HostKind, Result};

use crate::{
    cause::{NO_MEMLOCK, Subject},
    config::KernelConfig,
    files::Files,
    mounts::{FileSystem, Tree},
    process,
    symbols::{self, Symbols},
    sys, token,
};

/// The running kernel.
///
/// Making one costs a `uname(2)`, and before Linux 5.11, which counts maps against it, raises
/// this process' limit of locked memory; everything else is looked up when it is first needed
/// and kept for as long as the value lives. It may hold a descriptor of a tracefs or securityfs
/// that is mounted nowhere (see [`tracepoints`](skep_host::Host::tracepoints)), and in a user namespace
/// the token of a bpffs (see [`with_token`](Self::with_token)).
pub struct LinuxHost {
    info: HostInfo,
    files: Arc<Files>,
    tracefs: OnceLock<Tree>,
    securityfs: OnceLock<Tree>,
    config: OnceLock<KernelConfig>,
    symbols: OnceLock<Symbols>,
    possible_cpus: OnceLock<usize>,
    common_attributes: OnceLock<bool>,
    #[cfg(feature = "probes")]
    found: crate::probe::Found,
    pub(crate) token: token::Own,
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<LinuxHost>();
};

impl LinuxHost {
    /// The kernel that this process runs on.
    ///
    /// Before Linux 5.11 the kernel counts maps, programs and BTF against `RLIMIT_MEMLOCK`, whose
    /// default of 64 KiB holds next to nothing; there this lifts the process's limit as far as it
    /// may, with `CAP_SYS_RESOURCE` wholly. Newer kernels leave the limit alone.
    ///
    /// # Errors
    /// The kernel's release is not a version that Skep can read.
    pub fn new() -> Result<Self> {
        let release =
            sys::release().map_err(|errno| Error::system("ask", "the kernel's release", errno))?;
        let version: KernelVersion = release.parse().map_err(|_| Error::Request {
            object: format!("kernel release `{release}`"),
            reason: "it does not start with a version".into(),
        })?;
        if version < NO_MEMLOCK {
            sys::raise_memlock_limit();
        }
        Ok(Self {
            info: HostInfo {
                kind: HostKind::Kernel,
                version,
                release,
            },
            files: Arc::default(),
            tracefs: OnceLock::new(),
            securityfs: OnceLock::new(),
            config: OnceLock::new(),
            symbols: OnceLock::new(),
            possible_cpus: OnceLock::new(),
            common_attributes: OnceLock::new(),
            #[cfg(feature = "probes")]
            found: crate::probe::Found::default(),
            token: token::Own::usual(),
        })
    }

    /// The descriptor table.
    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// What probes have found out.
    #[cfg(feature = "probes")]
    pub(crate) fn found(&self) -> &crate::probe::Found {
        &self.found
    }

    /// Whether the kernel's types have a function of this name.
    #[cfg(feature = "probes")]
    pub(crate) fn has_type_of_function(&self, name: &str) -> bool {
        let function = skep_btf::KindTag::Function;
        let types = self.found.btf(self);
        types.is_some_and(|types| types.find(name, function).is_some())
    }

    /// The same where types can't be read: it is not known.
    #[cfg(not(feature = "probes"))]
    pub(crate) fn has_type_of_function(&self, _: &str) -> bool {
        false
    }

    /// The running version.
    pub(crate) fn version(&self) -> KernelVersion {
        self.info.version
    }

    /// Tracefs, mounted or opened for this host alone; `None` when neither can be had.
    pub(crate) fn tracefs(&self) -> Option<&Tree> {
        let open = || Tree::open(FileSystem::Tracefs).ok_or(());
        kept(&self.tracefs, open).ok()
    }

    /// Securityfs, mounted or opened for this host alone; `None` when neither can be had.
    pub(crate) fn securityfs(&self) -> Option<&Tree> {
        let open = || Tree::open(FileSystem::Securityfs).ok_or(());
        kept(&self.securityfs, open).ok()
    }

    /// The build configuration.
    pub(crate) fn kernel_config(&self) -> Result<&KernelConfig, Errno> {
        kept(&self.config, || KernelConfig::read(&self.info.release))
    }

    /// The kernel's symbols, read when they are first asked for.
    pub(crate) fn symbols(&self) -> Result<&Symbols, Errno> {
        kept(&self.symbols, symbols::read)
    }

    /// Whether commands take a log beside their own attribute (7.2): found out when a command
    /// first fails, and kept once the kernel has said yes or no.
    pub(crate) fn takes_common_attributes(&self) -> bool {
        // Where something else stood in the way there is no answer, so nothing to keep.
        kept(&self.common_attributes, sys::knows_common_attributes).is_ok_and(|known| *known)
    }

    /// How many CPUs there can be.
    pub(crate) fn possible(&self) -> Result<usize> {
        kept(&self.possible_cpus, || {
            let cpus = cpu_list("/sys/devices/system/cpu/possible")?;
            // As the kernel counts: a gap in the numbers takes no place in a per-CPU value.
            Ok(cpus.len().max(1))
        })
        .copied()
    }

    /// The likely cause of a failure.
    pub(crate) fn cause(
        &self,
        command: Command,
        errno: Errno,
        subject: Subject<'_>,
    ) -> Option<Cause> {
        crate::cause::of_command(self, command, errno, subject)
    }

    /// A failed command with its likely cause.
    pub(crate) fn failed(
        &self,
        command: Command,
        object: impl Into<String>,
        errno: Errno,
        subject: Subject<'_>,
    ) -> Error {
        Error::command(command, object, errno).because(self.cause(command, errno, subject))
    }
}

/// What was found before, or what is found now. A failure is not kept: what stood in the way (too
/// many open files, a file system not mounted yet) may be gone the next time.
pub(crate) fn kept<T, E>(cell: &OnceLock<T>, find: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
    if let Some(known) = cell.get() {
        return Ok(known);
    }
    let found = find()?;
    Ok(cell.get_or_init(|| found))
}

/// The CPUs that a file of the kernel's lists.
fn cpu_list(path: &str) -> Result<Vec<u32>> {
    let text = fs::read_to_string(path)
        .map_err(|error| Error::system("read", path, sys::errno_of(&error)))?;
    process::parse_cpu_list(&text).ok_or_else(|| Error::Request {
        object: path.into(),
        reason: "it is no list of CPUs".into(),
    })
}

/// Who it is, without what was read of it.
impl fmt::Debug for LinuxHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("LinuxHost");
        all.field("info", &self.info).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_not_kept() {
        let cell = OnceLock::new();
        assert_eq!(kept(&cell, || Err(Errno::EMFILE)), Err(Errno::EMFILE));
        assert_eq!(kept(&cell, || Ok::<_, Errno>(1)), Ok(&1));
        assert_eq!(kept(&cell, || Ok::<_, Errno>(2)), Ok(&1));
    }
}
