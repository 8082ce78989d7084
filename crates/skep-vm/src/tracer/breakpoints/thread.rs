//! A thread that stands: what is done to one apart from what every tracer does, and steps that are
//! waited for at once.

use std::{collections::VecDeque, mem, ptr};

use libc::{c_int, c_uint, c_void, pid_t, siginfo_t, user_regs_struct};
use skep_host::Errno;

use crate::tracer::{process::bit, system};

type Raw<T> = Result<T, Errno>;

/// Why a step did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stepped {
    /// The thread is ending; whoever waits for threads is told.
    Gone,
    /// A signal came instead, of the kind that the instruction itself raises.
    Signal(c_int),
    /// The system refused.
    Failed(Errno),
}

impl From<Errno> for Stepped {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ESRCH => Self::Gone,
            other => Self::Failed(other),
        }
    }
}

/// Statuses that steps came upon, which are for whoever waits for threads.
pub(super) type Statuses = VecDeque<(pid_t, c_int)>;

/// A request whose fourth argument is memory of this process.
///
/// # Safety
/// The request reads or writes no more than a `T` at `data`.
unsafe fn with_memory<T>(request: c_uint, pid: pid_t, address: usize, data: *mut T) -> Raw<()> {
    let address = ptr::without_provenance_mut::<c_void>(address);
    // SAFETY: the caller's word.
    let done = unsafe { libc::ptrace(request, pid, address, data.cast::<c_void>()) };
    match done {
        0.. => Ok(()),
        _ => Err(system::last()),
    }
}

/// What the signal that a thread stands at says of itself.
pub(super) fn signal_info(tid: pid_t) -> Raw<siginfo_t> {
    // SAFETY: numbers and pointers, which may all be 0.
    let mut info: siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: the request writes a `siginfo_t`.
    unsafe { with_memory(libc::PTRACE_GETSIGINFO, tid, 0, &mut info) }?;
    Ok(info)
}

/// Changes it.
pub(super) fn set_signal_info(tid: pid_t, info: &siginfo_t) -> Raw<()> {
    let mut copy = *info;
    // SAFETY: the request reads a `siginfo_t`.
    unsafe { with_memory(libc::PTRACE_SETSIGINFO, tid, 0, &mut copy) }
}

/// The signals that a thread keeps back.
fn mask(tid: pid_t) -> Raw<u64> {
    let mut mask = 0u64;
    // SAFETY: the request writes as many bytes as its third argument says: those of `mask`.
    unsafe { with_memory(libc::PTRACE_GETSIGMASK, tid, size_of::<u64>(), &mut mask) }?;
    Ok(mask)
}

fn set_mask(tid: pid_t, mask: u64) -> Raw<()> {
    let mut copy = mask;
    // SAFETY: the request reads as many bytes as its third argument says: those of `copy`.
    unsafe { with_memory(libc::PTRACE_SETSIGMASK, tid, size_of::<u64>(), &mut copy) }
}

/// Gives `SIGTRAP` back to those that a thread keeps back, where it keeps back all: a breakpoint
/// takes it out, since a signal that an instruction raises can't be kept back.
pub(super) fn keep_trap_back(tid: pid_t) -> Raw<()> {
    const KILL_AND_STOP: u64 = bit(libc::SIGKILL) | bit(libc::SIGSTOP);
    const OTHERS: u64 = 0x7fff_ffff & !KILL_AND_STOP & !bit(libc::SIGTRAP);
    let now = mask(tid)?;
    match now & OTHERS == OTHERS {
        true => set_mask(tid, now | bit(libc::SIGTRAP)),
        false => Ok(()),
    }
}

/// Where a thread goes on.
pub(super) fn set_ip(tid: pid_t, ip: u64) -> Raw<()> {
    let at = mem::offset_of!(libc::user, regs) + mem::offset_of!(user_regs_struct, rip);
    let value = ptr::without_provenance_mut::<c_void>(ip as usize);
    // SAFETY: the request takes two numbers, and no memory of this process.
    unsafe { with_memory(libc::PTRACE_POKEUSER, tid, at, value) }
}

fn resume(request: c_uint, tid: pid_t, signal: c_int) -> Raw<()> {
    let signal = ptr::without_provenance_mut::<c_void>(signal as usize);
    // SAFETY: the request takes no memory; its fourth argument is a signal, or 0 for none.
    unsafe { with_memory(request, tid, 0, signal) }
}

/// Waits for this thread alone.
fn wait(tid: pid_t) -> Raw<c_int> {
    let mut status = 0;
    loop {
        // SAFETY: writes one number at `status`.
        match unsafe { libc::waitpid(tid, &mut status, libc::__WALL) } {
            done if done == tid => return Ok(status),
            _ if system::last() == Errno::EINTR => {}
            _ => return Err(system::last()),
        }
    }
}

/// Bits of the signals that an instruction may raise: they would kill if they were kept back.
const RAISED: u64 = bit(libc::SIGSEGV)
    | bit(libc::SIGBUS)
    | bit(libc::SIGILL)
    | bit(libc::SIGFPE)
    | bit(libc::SIGTRAP)
    | bit(libc::SIGSYS);

/// Whether a signal is of those that an instruction raises.
pub(super) fn is_raised(signal: c_int) -> bool {
    (1..=64).contains(&signal) && RAISED & bit(signal) != 0
}

/// A thread that takes steps while nothing else happens to it. What it stood at, and the signals
/// that it keeps back, are as before when this is dropped.
pub(super) struct Quiet<'a> {
    tid: pid_t,
    mask: u64,
    info: Option<siginfo_t>,
    statuses: &'a mut Statuses,
    gone: bool,
    /// It stopped for something else than its steps: its process is stopped, or the tracer wanted
    /// it to.
    halted: bool,
}

impl<'a> Quiet<'a> {
    /// # Errors
    /// The thread is gone, or does not stand.
    pub(super) fn new(tid: pid_t, statuses: &'a mut Statuses) -> Raw<Self> {
        let mask = mask(tid)?;
        set_mask(tid, !RAISED)?;
        Ok(Self {
            tid,
            mask,
            info: signal_info(tid).ok(),
            statuses,
            gone: false,
            halted: false,
        })
    }

    /// Executes one instruction.
    ///
    /// # Errors
    /// It was not executed.
    pub(super) fn step(&mut self) -> Result<(), Stepped> {
        self.run(libc::PTRACE_SINGLESTEP)
    }

    /// Lets the thread run into the signal that waits for it.
    ///
    /// # Errors
    /// Another came.
    pub(super) fn meet_trap(&mut self) -> Result<(), Stepped> {
        self.run(libc::PTRACE_CONT)
    }

    fn run(&mut self, request: c_uint) -> Result<(), Stepped> {
        // A few events may come between: this machine's own filter, a stop of the whole process.
        const MOST: usize = 16;
        let mut signal = 0;
        for _ in 0..MOST {
            resume(request, self.tid, mem::take(&mut signal))?;
            let status = wait(self.tid)?;
            if !libc::WIFSTOPPED(status) || status >> 16 == libc::PTRACE_EVENT_EXIT {
                self.gone = true;
                self.statuses.push_back((self.tid, status));
                return Err(Stepped::Gone);
            }
            if status >> 16 != 0 {
                self.halted |= status >> 16 == libc::PTRACE_EVENT_STOP;
                continue;
            }
            match libc::WSTOPSIG(status) {
                libc::SIGTRAP => return Ok(()),
                signal if is_raised(signal) => return Err(Stepped::Signal(signal)),
                // Only this one can't be kept back. The process stops at once, so that a SIGCONT
                // that comes from here on is the later of the two.
                libc::SIGSTOP => signal = libc::SIGSTOP,
                _ => {}
            }
        }
        Err(Stepped::Failed(Errno::EAGAIN))
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        // A thread that was killed meanwhile needs neither.
        let _ = set_mask(self.tid, self.mask);
        if let Some(info) = &self.info {
            let _ = set_signal_info(self.tid, info);
        }
        if self.halted {
            // The step took it out of a stop that was not over: it goes back there, if that is
            // still not over, as soon as it is resumed.
            let _ = system::interrupt(self.tid);
        }
    }
}

/// Changes the address that a signal names, where it is one of those that name one.
pub(super) fn set_address(info: &mut siginfo_t, address: u64) {
    /// Offset of `si_addr` in 64-bit processes.
    const AT: usize = 16;
    const { assert!(AT + 8 <= size_of::<siginfo_t>()) };
    // SAFETY: inside of the structure, which is plain numbers there.
    unsafe {
        ptr::from_mut(info)
            .cast::<u8>()
            .add(AT)
            .cast::<u64>()
            .write_unaligned(address);
    }
}
