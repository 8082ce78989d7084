//! What ends the loop's sleep beside events: signals, and workloads that have news.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag, low_level,
};

/// Signals that end the run, and whoever else wakes its loop. Any thread may be the one that a
/// signal meets: what wakes the loop is a byte in a pipe.
#[derive(Debug)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    woken: UnixStream,
    waker: UnixStream,
}

/// Wakes the loop, from any thread.
#[derive(Debug)]
pub(crate) struct Waker(UnixStream);

impl Stop {
    /// From now on signals ask for the end.
    pub(crate) fn install() -> anyhow::Result<Self> {
        Self::installed().context("cannot prepare for signals that end the run")
    }

    fn installed() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let (woken, waker) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Of a terminal that goes, shells tell once more. And under nohup it is no matter.
            if signal != SIGHUP {
                // A second signal while we clean up ends at once, as users expect.
                flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))?;
            } else if is_ignored(signal) {
                continue;
            }
            flag::register(signal, Arc::clone(&asked))?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(Self {
            asked,
            woken,
            waker,
        })
    }

    /// The same, for another who waits.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            asked: Arc::clone(&self.asked),
            woken: self.woken.try_clone()?,
            waker: self.waker.try_clone()?,
        })
    }

    /// The user wants it to end.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Has a signal wake the loop.
    pub(crate) fn wake_by(&self, signal: i32) -> io::Result<()> {
        low_level::pipe::register(signal, self.waker.try_clone()?)?;
        Ok(())
    }

    /// What wakes the loop.
    pub(crate) fn waker(&self) -> io::Result<Waker> {
        Ok(Waker(self.waker.try_clone()?))
    }

    /// Readable once the loop was woken.
    pub(crate) fn woken(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }

    /// The loop looks: what woke it so far is done with.
    pub(crate) fn looks(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.woken).read(&mut bytes), Ok(read) if read == bytes.len()) {}
    }
}

/// Whether whoever started this process has it ignore the signal.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

impl Waker {
    /// Wakes it.
    pub(crate) fn wake(&self) {
        // A full pipe wakes as well.
        let _ = (&self.0).write(&[0]);
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn whoever_wakes_it_is_heard_once() {
        let stop = Stop::install().unwrap();
        let is_woken = || {
            let mut files = [PollFd::from_borrowed_fd(stop.woken(), PollFlags::IN)];
            poll(&mut files, Some(&Timespec::default())).unwrap() > 0
        };
        assert!(!is_woken());
        let waker = stop.waker().unwrap();
        std::thread::spawn(move || (0..200).for_each(|_| waker.wake()))
            .join()
            .unwrap();
        assert!(is_woken());
        stop.looks();
        assert!(!is_woken() && !stop.asked());
    }
}
