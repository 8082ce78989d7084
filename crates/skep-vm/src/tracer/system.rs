//! The system calls of tracing, each with its errno. `nix` has most of them, but no
//! `PTRACE_LISTEN`, and its wait statuses have no real-time signals.

use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use libc::{c_int, c_long, c_uint, c_void, pid_t};
use skep_host::Errno;

type Raw<T> = Result<T, Errno>;

/// What stops a tracee, and that its children are traced too.
pub(super) const OPTIONS: c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_TRACESECCOMP;

pub(super) fn last() -> Errno {
    Errno(
        io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or_default(),
    )
}

fn answer(value: c_long) -> Raw<c_long> {
    if value < 0 { Err(last()) } else { Ok(value) }
}

/// A request that only has numbers, or addresses of the tracee.
fn request(request: c_uint, pid: pid_t, address: usize, data: usize) -> Raw<c_long> {
    // SAFETY: the callers' requests write nothing to this process's memory.
    let done = unsafe {
        libc::ptrace(
            request,
            pid,
            ptr::without_provenance_mut::<c_void>(address),
            ptr::without_provenance_mut::<c_void>(data),
        )
    };
    answer(done)
}

/// Begins to trace a task, without stopping it.
pub(super) fn seize(pid: pid_t, options: c_int) -> Raw<()> {
    request(libc::PTRACE_SEIZE, pid, 0, options as usize).map(drop)
}

/// Stops a tracee soon.
pub(super) fn interrupt(pid: pid_t) -> Raw<()> {
    request(libc::PTRACE_INTERRUPT, pid, 0, 0).map(drop)
}

/// Lets a tracee go on, to the next system call's start or end with `stepping`.
pub(super) fn resume(pid: pid_t, stepping: bool, signal: c_int) -> Raw<()> {
    let how = if stepping {
        libc::PTRACE_SYSCALL
    } else {
        libc::PTRACE_CONT
    };
    request(how, pid, 0, signal as usize).map(drop)
}

/// Leaves a tracee in a group-stop, which ends with `SIGCONT`.
pub(super) fn listen(pid: pid_t) -> Raw<()> {
    request(libc::PTRACE_LISTEN, pid, 0, 0).map(drop)
}

/// Lets a tracee go for good.
pub(super) fn detach(pid: pid_t, signal: c_int) -> Raw<()> {
    request(libc::PTRACE_DETACH, pid, 0, signal as usize).map(drop)
}

/// The number that the event at which a tracee stands comes with.
///
/// # Errors
/// `ESRCH`: it was killed, and stands at its end meanwhile, which comes with a number too.
pub(super) fn message(pid: pid_t, event: c_int) -> Raw<u64> {
    let mut value: libc::c_ulong = 0;
    // SAFETY: the request writes one long at `value`.
    let done = unsafe {
        libc::ptrace(
            libc::PTRACE_GETEVENTMSG,
            pid,
            ptr::null_mut::<c_void>(),
            ptr::from_mut(&mut value),
        )
    };
    answer(done)?;
    // If it stands there still, it stood there then.
    match stands_at(pid)? == event {
        true => Ok(value),
        false => Err(Errno::ESRCH),
    }
}

/// The event at which a tracee stands.
fn stands_at(pid: pid_t) -> Raw<c_int> {
    // SAFETY: numbers and addresses, of which all bits may be 0.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: the request writes one structure at `info`.
    let done = unsafe {
        libc::ptrace(
            libc::PTRACE_GETSIGINFO,
            pid,
            ptr::null_mut::<c_void>(),
            ptr::from_mut(&mut info),
        )
    };
    answer(done).map(|_| info.si_code >> 8)
}

/// The registers of a tracee that stands.
pub(super) fn registers(pid: pid_t) -> Raw<libc::user_regs_struct> {
    // SAFETY: numbers, of which all bits may be 0.
    let mut registers: libc::user_regs_struct = unsafe { mem::zeroed() };
    let mut part = libc::iovec {
        iov_base: ptr::from_mut(&mut registers).cast(),
        iov_len: size_of_val(&registers),
    };
    // SAFETY: the request writes at most as many bytes as `part` says, and its length.
    let done = unsafe {
        libc::ptrace(
            libc::PTRACE_GETREGSET,
            pid,
            ptr::without_provenance_mut::<c_void>(libc::NT_PRSTATUS as usize),
            ptr::from_mut(&mut part),
        )
    };
    answer(done)?;
    match part.iov_len == size_of_val(&registers) {
        true => Ok(registers),
        // A 32-bit program.
        false => Err(Errno::EOPNOTSUPP),
    }
}

/// Sets the registers of a tracee that stands.
pub(super) fn set_registers(pid: pid_t, registers: &libc::user_regs_struct) -> Raw<()> {
    let mut copy = *registers;
    let mut part = libc::iovec {
        iov_base: ptr::from_mut(&mut copy).cast(),
        iov_len: size_of_val(&copy),
    };
    // SAFETY: the request reads as many bytes as `part` says.
    let done = unsafe {
        libc::ptrace(
            libc::PTRACE_SETREGSET,
            pid,
            ptr::without_provenance_mut::<c_void>(libc::NT_PRSTATUS as usize),
            ptr::from_mut(&mut part),
        )
    };
    answer(done).map(drop)
}

/// Where a tracee stands in a system call.
#[derive(Debug, Clone, Copy)]
pub(super) enum CallStop {
    /// At its start, or where a filter sent it to its tracer with `data`.
    Entry {
        arch: u32,
        number: u64,
        arguments: [u64; 6],
        /// Of a seccomp stop.
        data: Option<u32>,
    },
    /// At its end, with what it returns.
    Exit { arch: u32, value: i64 },
    /// In none.
    None,
}

/// `struct ptrace_syscall_info`
#[repr(C)]
#[derive(Default)]
struct CallInfo {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction: u64,
    stack: u64,
    words: [u64; 8],
}

/// What system call a tracee that stands is in.
pub(super) fn call_stop(pid: pid_t) -> Raw<CallStop> {
    /// `PTRACE_GET_SYSCALL_INFO`, since Linux 5.3
    const REQUEST: c_uint = 0x420e;
    let mut info = CallInfo::default();
    // SAFETY: the request writes at most as many bytes as its third argument says.
    let done = unsafe {
        libc::ptrace(
            REQUEST,
            pid,
            ptr::without_provenance_mut::<c_void>(size_of::<CallInfo>()),
            ptr::from_mut(&mut info),
        )
    };
    answer(done)?;
    let [number, arguments @ .., last] = info.words;
    Ok(match info.op {
        1 | 3 => CallStop::Entry {
            arch: info.arch,
            number,
            arguments,
            data: (info.op == 3).then_some(last as u32),
        },
        2 => CallStop::Exit {
            arch: info.arch,
            value: number as i64,
        },
        _ => CallStop::None,
    })
}

/// What [`wait`] found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Waited {
    /// A tracee's status.
    Status(pid_t, c_int),
    /// A signal came.
    Interrupted,
    /// Nothing happened yet.
    Nothing,
    /// There is nobody to wait for.
    Nobody,
}

/// Waits for a tracee of this thread, and for no other thread's child. Of all that stand it finds
/// the one that is traced for the shortest time.
pub(super) fn wait(block: bool) -> Waited {
    waitpid(-1, if block { 0 } else { libc::WNOHANG })
}

/// Looks whether a tracee of this thread stands or has ended.
pub(super) fn wait_for(pid: pid_t) -> Waited {
    waitpid(pid, libc::WNOHANG)
}

fn waitpid(pid: pid_t, flags: c_int) -> Waited {
    let mut status = 0;
    let flags = libc::__WALL | libc::__WNOTHREAD | flags;
    // SAFETY: writes one number at `status`.
    match unsafe { libc::waitpid(pid, &mut status, flags) } {
        0 => Waited::Nothing,
        pid if pid > 0 => Waited::Status(pid, status),
        _ if last() == Errno::EINTR => Waited::Interrupted,
        _ => Waited::Nobody,
    }
}

/// Whether two processes have the same memory; `None` where the system does not say.
pub(super) fn share_memory(one: pid_t, other: pid_t) -> Option<bool> {
    /// `KCMP_VM`
    const MEMORY: c_long = 1;
    // SAFETY: no memory is touched.
    let compared = unsafe { libc::syscall(libc::SYS_kcmp, one, other, MEMORY, 0, 0) };
    (compared >= 0).then_some(compared == 0)
}

/// Sends a signal to a process.
pub(super) fn kill(pid: pid_t, signal: c_int) -> Raw<()> {
    // SAFETY: no memory is touched.
    answer(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// A descriptor of a process, by which it can be told from a later one with its number.
pub(super) fn handle(pid: pid_t) -> Raw<OwnedFd> {
    // SAFETY: no memory is touched.
    let fd = answer(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends a signal to the process of a descriptor.
pub(super) fn signal_by(handle: &OwnedFd, signal: c_int) -> Raw<()> {
    let no_info = ptr::null::<c_void>();
    let fd = handle.as_raw_fd();
    // SAFETY: without a `siginfo_t` no memory is touched.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, no_info, 0) };
    answer(sent).map(drop)
}

/// Sends a signal to a thread.
pub(super) fn kill_thread(tgid: pid_t, tid: pid_t, signal: c_int) -> Raw<()> {
    // SAFETY: no memory is touched.
    answer(unsafe { libc::syscall(libc::SYS_tgkill, tgid, tid, signal) }).map(drop)
}

/// Sends a signal with a value to a process, or to a thread of it.
pub(super) fn queue(tgid: pid_t, thread: Option<pid_t>, signal: c_int, value: u64) -> Raw<()> {
    /// `siginfo_t` as the kernel has it: the head, who sends it, the value, and 96 bytes more.
    #[repr(C)]
    struct Info {
        signal: c_int,
        error: c_int,
        code: c_int,
        padding: c_int,
        pid: u32,
        uid: u32,
        value: u64,
        rest: [u64; 12],
    }
    const _: () = assert!(size_of::<Info>() == size_of::<libc::siginfo_t>());
    let info = Info {
        signal,
        error: 0,
        code: libc::SI_QUEUE,
        padding: 0,
        pid: std::process::id(),
        uid: rustix::process::getuid().as_raw(),
        value,
        rest: [0; 12],
    };
    let info = &raw const info;
    // SAFETY: `info` is a whole `siginfo_t`, which is only read.
    let sent = unsafe {
        match thread {
            Some(tid) => libc::syscall(libc::SYS_rt_tgsigqueueinfo, tgid, tid, signal, info),
            None => libc::syscall(libc::SYS_rt_sigqueueinfo, tgid, signal, info),
        }
    };
    answer(sent).map(drop)
}

/// Reads another process's memory; answers how many bytes there were before the first hole.
pub(super) fn read_memory(pid: pid_t, address: u64, out: &mut [u8]) -> Raw<usize> {
    let own = libc::iovec {
        iov_base: out.as_mut_ptr().cast(),
        iov_len: out.len(),
    };
    let theirs = libc::iovec {
        iov_base: ptr::without_provenance_mut(address as usize),
        iov_len: out.len(),
    };
    // SAFETY: writes at most `out.len()` bytes at `out`; `theirs` is an address of the other.
    let done = unsafe { libc::process_vm_readv(pid, &own, 1, &theirs, 1, 0) };
    answer(done as c_long).map(|done| done as usize)
}

/// Writes another process's memory; answers how many bytes were written before the first hole.
pub(super) fn write_memory(pid: pid_t, address: u64, bytes: &[u8]) -> Raw<usize> {
    let own = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let theirs = libc::iovec {
        iov_base: ptr::without_provenance_mut(address as usize),
        iov_len: bytes.len(),
    };
    // SAFETY: reads `bytes.len()` bytes at `bytes`; `theirs` is an address of the other.
    let done = unsafe { libc::process_vm_writev(pid, &own, 1, &theirs, 1, 0) };
    answer(done as c_long).map(|done| done as usize)
}
