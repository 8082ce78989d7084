//! Waking a tracer's thread out of its wait for tracees.
//!
//! A tracer has nothing to wait on but `waitpid`, which only a signal ends; and one that arrives a
//! moment before the wait begins is gone. So a timer sends it until the thread has answered: while
//! nobody wakes it, the timer does not run. The signal is a real-time one for which the process
//! has no handler; it gets an empty one, which stays.

use std::{
    mem, ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use libc::{c_int, c_void};
use skep_host::Errno;

use super::system::last;

/// From one signal to the next, until the thread answers.
const AGAIN: Duration = Duration::from_millis(2);

/// The signal, once it has its handler.
pub(super) fn signal() -> Result<c_int, Errno> {
    static SIGNAL: OnceLock<Result<c_int, Errno>> = OnceLock::new();
    *SIGNAL.get_or_init(install)
}

extern "C" fn nothing(_: c_int) {}

fn install() -> Result<c_int, Errno> {
    for signal in (libc::SIGRTMIN()..=libc::SIGRTMAX() - 2).rev() {
        // SAFETY: an empty structure is a valid one, and is filled by the call.
        let mut now: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: only reads the handler into `now`.
        if unsafe { libc::sigaction(signal, ptr::null(), &mut now) } != 0 {
            continue;
        }
        if now.sa_sigaction != libc::SIG_DFL {
            continue;
        }
        let handler: extern "C" fn(c_int) = nothing;
        // Without SA_RESTART: the wait shall end.
        now.sa_sigaction = handler as *const c_void as usize;
        now.sa_flags = 0;
        // SAFETY: the handler does nothing, so that it may run at any time.
        if unsafe { libc::sigaction(signal, &now, ptr::null_mut()) } == 0 {
            return Ok(signal);
        }
    }
    Err(Errno::EBUSY)
}

/// A timer that sends the signal to one thread.
#[derive(Debug)]
pub(super) struct Waker {
    timer: Timer,
    pending: AtomicBool,
}

/// A POSIX timer.
#[derive(Debug)]
pub(super) struct Timer(libc::timer_t);

// SAFETY: a timer is a number of the process, and its calls may come from any thread.
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

impl Timer {
    /// One for the calling thread, which must let the signal through.
    pub(super) fn new() -> Result<Self, Errno> {
        let signal = signal()?;
        // SAFETY: an empty set and an empty event are valid, and are filled here.
        let (mut set, mut event): (libc::sigset_t, libc::sigevent) = unsafe { mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        // SAFETY: asks for a number.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut timer: libc::timer_t = ptr::null_mut();
        // SAFETY: the set is this function's; unblocking a signal with a handler is harmless; the
        // timer's number is written to `timer`.
        let made = unsafe {
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, signal);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut());
            libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer)
        };
        match made {
            0 => Ok(Self(timer)),
            _ => Err(last()),
        }
    }

    /// Lets it go off now and every `interval`; with `None` stops it.
    pub(super) fn set(&self, interval: Option<Duration>) {
        let of = |time: Duration| libc::timespec {
            tv_sec: time.as_secs() as libc::time_t,
            tv_nsec: time.subsec_nanos().into(),
        };
        let first = interval.map_or(Duration::ZERO, |_| Duration::from_nanos(1));
        let when = libc::itimerspec {
            it_value: of(first),
            it_interval: of(interval.unwrap_or_default()),
        };
        // SAFETY: the timer lives as long as `self`; `when` is only read.
        unsafe { libc::timer_settime(self.0, 0, &when, ptr::null_mut()) };
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer is this value's, which is gone afterwards.
        unsafe { libc::timer_delete(self.0) };
    }
}

impl Waker {
    /// One that wakes the calling thread.
    ///
    /// # Errors
    /// `EBUSY`: all real-time signals have handlers; `EAGAIN`: too many timers.
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self {
            timer: Timer::new()?,
            pending: AtomicBool::new(false),
        })
    }

    /// Makes the thread look, soon. From any thread.
    pub(super) fn wake(&self) {
        if !self.pending.swap(true, SeqCst) {
            self.timer.set(Some(AGAIN));
        }
    }

    /// Whether somebody woke the thread since it last asked. `interrupted`: a signal came, which
    /// may be a belated one of the timer's. Only for the thread itself.
    pub(super) fn woken(&self, interrupted: bool) -> bool {
        if !interrupted && !self.pending.load(SeqCst) {
            return false;
        }
        // First the timer: who wakes the thread from here on starts it again.
        self.timer.set(None);
        self.pending.swap(false, SeqCst)
    }
}
