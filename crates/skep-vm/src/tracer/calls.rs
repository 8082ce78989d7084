//! The numbers of the system calls that the tracer itself looks at.

use syscalls::Sysno;

/// `AUDIT_ARCH_X86_64`
#[cfg(target_arch = "x86_64")]
pub(super) const ARCH: u32 = 0xc000_003e;
/// `AUDIT_ARCH_AARCH64`
#[cfg(target_arch = "aarch64")]
pub(super) const ARCH: u32 = 0xc000_00b7;

/// Numbers from here on are no calls of this machine's own kind (x32).
pub(super) const MOST: usize = 1024;

pub(super) const MMAP: u32 = Sysno::mmap as u32;
pub(super) const PRCTL: u32 = Sysno::prctl as u32;
pub(super) const EXECVE: u32 = Sysno::execve as u32;
pub(super) const EXECVEAT: u32 = Sysno::execveat as u32;

/// Calls that change who a task is.
pub(super) const CREDENTIALS: &[u32] = &[
    Sysno::setuid as u32,
    Sysno::setgid as u32,
    Sysno::setreuid as u32,
    Sysno::setregid as u32,
    Sysno::setresuid as u32,
    Sysno::setresgid as u32,
];

/// Calls that change where a task is.
pub(super) const NAMESPACES: &[u32] = &[Sysno::setns as u32, Sysno::unshare as u32];

/// Calls that map code, which have the protection as their third argument.
pub(super) const PROT_EXEC_CALLS: &[u32] = &[
    Sysno::mmap as u32,
    Sysno::mprotect as u32,
    Sysno::pkey_mprotect as u32,
];
