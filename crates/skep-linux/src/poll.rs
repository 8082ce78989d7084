//! Waiting for descriptors, by epoll.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::Duration,
};

use skep_host::{Descriptor, Errno, Error, Poller, Result};

use crate::sys::{check, last_errno};

/// Most descriptors that one wait reports; the rest come with the next.
const BATCH: usize = 64;

/// A poller of the kernel's descriptors.
#[derive(Debug)]
pub(crate) struct Epoll {
    epoll: OwnedFd,
}

impl Epoll {
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: takes and gives plain numbers.
        let raw = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
            .map_err(|errno| Error::system("open", "a poller", errno))?;
        // SAFETY: the call just opened `raw` for us alone.
        let epoll = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { epoll })
    }
}

impl Epoll {
    fn watch(&mut self, descriptor: &Descriptor, token: u64, events: i32) -> Result<()> {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token,
        };
        // SAFETY: the kernel reads one event, which lives through the call.
        check(unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                descriptor.raw(),
                &mut event,
            )
        })
        .map(drop)
        .map_err(|errno| {
            Error::system(
                "wait for",
                format!("descriptor {}", descriptor.raw()),
                errno,
            )
        })
    }
}

impl Poller for Epoll {
    fn add(&mut self, descriptor: &Descriptor, token: u64) -> Result<()> {
        self.watch(descriptor, token, libc::EPOLLIN)
    }

    fn add_writable(&mut self, descriptor: &Descriptor, token: u64) -> Result<()> {
        self.watch(descriptor, token, libc::EPOLLOUT | libc::EPOLLET)
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> Result<()> {
        ready.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        // SAFETY: the kernel writes at most `BATCH` events, for which there is room.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                BATCH as i32,
                milliseconds(timeout),
            )
        };
        match usize::try_from(count) {
            Ok(count) => ready.extend(events.iter().take(count).map(|event| event.u64)),
            Err(_) => match last_errno() {
                Errno::EINTR => {}
                errno => return Err(Error::system("wait for", "events", errno)),
            },
        }
        Ok(())
    }

    fn raw(&self) -> Option<i32> {
        Some(self.epoll.as_raw_fd())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }
}

/// A timeout in whole milliseconds, rounded up so that a short wait is not a busy one.
fn milliseconds(timeout: Option<Duration>) -> i32 {
    match timeout {
        None => -1,
        Some(time) => i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_round_up() {
        assert_eq!(milliseconds(None), -1);
        assert_eq!(milliseconds(Some(Duration::ZERO)), 0);
        assert_eq!(milliseconds(Some(Duration::from_nanos(1))), 1);
        assert_eq!(milliseconds(Some(Duration::from_millis(250))), 250);
        assert_eq!(milliseconds(Some(Duration::MAX)), i32::MAX);
    }
}
