//! Waiting for things of the machine, as `epoll(7)` does it.
//!
//! What was woken is queued, and looked at by whoever waits: a thing that is not ready then is
//! forgotten until it is woken again, one that is stays queued if it was added to be read. So a
//! program that does not wake its reader does not wake it here either.

use std::{
    collections::VecDeque,
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    time::Timespec,
};
use skep_host::{Descriptor, Errno, Error, Poller, Result};

use super::machine::TracePipe;
use crate::{
    machine::{Files, Object, lock},
    map::{Listener, PerfEvent, Waitable},
};

/// Waits for descriptors of one machine.
#[derive(Debug)]
pub(crate) struct VmPoller {
    files: Arc<Files>,
    woken: Arc<Woken>,
    items: Vec<Arc<Item>>,
}

/// Which things were woken.
#[derive(Debug)]
struct Woken {
    queue: Mutex<VecDeque<usize>>,
    /// Readable while something is in the queue; written to at every wake-up.
    event: OwnedFd,
}

/// A thing that is waited for.
struct Item {
    /// Where it is in the poller's list.
    index: usize,
    raw: i32,
    token: u64,
    thing: Weak<dyn Waitable>,
    /// To be written: it is reported once a wake-up.
    writable: bool,
    woken: Arc<Woken>,
}

impl Woken {
    fn add(&self, index: usize) {
        let mut queue = lock(&self.queue);
        if !queue.contains(&index) {
            queue.push_back(index);
        }
        self.signal();
    }

    fn signal(&self) {
        // It fails when it counted 2^64 wake-ups, and then it is readable anyway.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    fn next(&self) -> Option<usize> {
        let mut queue = lock(&self.queue);
        let next = queue.pop_front();
        if next.is_none() {
            let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
        }
        next
    }

    /// Puts back what stays ready.
    fn keep(&self, kept: &[usize]) {
        let mut queue = lock(&self.queue);
        for index in kept {
            if !queue.contains(index) {
                queue.push_back(*index);
            }
        }
        if queue.is_empty() {
            let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
        } else {
            self.signal();
        }
    }
}

impl Listener for Item {
    fn woken(&self) {
        self.woken.add(self.index);
    }
}

impl Item {
    fn is_ready(&self) -> bool {
        self.thing
            .upgrade()
            .is_some_and(|thing| match self.writable {
                true => thing.writable(),
                false => thing.readable(),
            })
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({} for {})", self.raw, self.token)
    }
}

impl VmPoller {
    pub(crate) fn new(files: &Arc<Files>) -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let event = eventfd(0, flags)
            .map_err(|error| Error::system("open", "a poller", Errno(error.raw_os_error())))?;
        Ok(Self {
            files: Arc::clone(files),
            woken: Arc::new(Woken {
                queue: Mutex::default(),
                event,
            }),
            items: Vec::new(),
        })
    }

    fn thing(&self, descriptor: &Descriptor) -> std::result::Result<Arc<dyn Waitable>, Errno> {
        match self.files.object(descriptor)? {
            Object::Map(map, _) => Ok(Arc::clone(map) as _),
            Object::Other(other) => {
                let event = Arc::clone(other).downcast::<PerfEvent>();
                let pipe = Arc::clone(other).downcast::<TracePipe>();
                match (event, pipe) {
                    (Ok(event), _) => Ok(event as _),
                    (_, Ok(pipe)) => Ok(pipe as _),
                    _ => Err(Errno::EPERM),
                }
            }
            _ => Err(Errno::EPERM),
        }
    }

    fn watch(&mut self, descriptor: &Descriptor, token: u64, writable: bool) -> Result<()> {
        let raw = descriptor.raw();
        let failed = |errno| Error::system("wait for", format!("descriptor {raw}"), errno);
        let thing = self.thing(descriptor).map_err(failed)?;
        let weak = Arc::downgrade(&thing);
        let again = |item: &Arc<Item>| item.raw == raw && item.thing.ptr_eq(&weak);
        if self.items.iter().any(again) {
            return Err(failed(Errno::EEXIST));
        }
        let item = Arc::new(Item {
            index: self.items.len(),
            raw,
            token,
            thing: weak,
            writable,
            woken: Arc::clone(&self.woken),
        });
        let listener: Arc<dyn Listener> = item.clone();
        thing.signal().listen(&listener);
        // It may have been ready before anybody listened.
        item.woken();
        self.items.push(item);
        Ok(())
    }

    /// What of the queue is ready now.
    fn look(&self, ready: &mut Vec<u64>) {
        let mut kept = Vec::new();
        while let Some(index) = self.woken.next() {
            let Some(item) = self.items.get(index) else {
                continue;
            };
            if item.is_ready() {
                ready.push(item.token);
                if !item.writable {
                    kept.push(index);
                }
            }
            if ready.len() >= self.items.len() {
                break;
            }
        }
        if !ready.is_empty() {
            self.woken.keep(&kept);
        }
    }
}

impl Poller for VmPoller {
    fn add(&mut self, descriptor: &Descriptor, token: u64) -> Result<()> {
        self.watch(descriptor, token, false)
    }

    fn add_writable(&mut self, descriptor: &Descriptor, token: u64) -> Result<()> {
        self.watch(descriptor, token, true)
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> Result<()> {
        ready.clear();
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            self.look(ready);
            if !ready.is_empty() {
                return Ok(());
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(());
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut events = [PollFd::new(&self.woken.event, PollFlags::IN)];
            match poll(&mut events, left.as_ref()) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => return Ok(()),
                Err(error) => {
                    let errno = Errno(error.raw_os_error());
                    return Err(Error::system("wait for", "events", errno));
                }
            }
        }
    }

    fn raw(&self) -> Option<i32> {
        Some(self.woken.event.as_raw_fd())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.woken.event.as_fd())
    }
}
