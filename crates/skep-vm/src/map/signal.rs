//! Wake-ups: a thing that can be waited for, and who waits for it.
//!
//! As in the kernel, being woken and being ready are two things: a program decides whether the
//! reader is woken at all, and what the reader then finds is another question.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst, fence},
    },
};

/// Who wants to know of wake-ups.
pub(crate) trait Listener: Send + Sync {
    /// It was woken. Called by the threads of programs: it must be quick, and not wait.
    fn woken(&self);
}

/// A thing that can be waited for.
pub(crate) trait Waitable: Send + Sync + fmt::Debug {
    /// Where to wait.
    fn signal(&self) -> &Signal;

    /// There is something to read.
    fn readable(&self) -> bool {
        false
    }

    /// There is room to write.
    fn writable(&self) -> bool {
        false
    }
}

/// The listeners of one thing.
#[derive(Default)]
pub(crate) struct Signal {
    count: AtomicUsize,
    listeners: Mutex<Vec<Weak<dyn Listener>>>,
}

impl Signal {
    pub(crate) const fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            listeners: Mutex::new(Vec::new()),
        }
    }

    /// Wakes all listeners. Whatever the caller has published before, they see.
    pub(crate) fn wake(&self) {
        // Pairs with the one in `listen`: either we see the listener, or it sees what we did.
        fence(SeqCst);
        if self.count.load(SeqCst) == 0 {
            return;
        }
        for listener in self.lock().iter().filter_map(Weak::upgrade) {
            listener.woken();
        }
    }

    /// Adds a listener, for as long as it lives.
    pub(crate) fn listen(&self, listener: &Arc<dyn Listener>) {
        let mut listeners = self.lock();
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(Arc::downgrade(listener));
        self.count.store(listeners.len(), SeqCst);
        fence(SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn Listener>>> {
        self.listeners
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signal({} listeners)", self.count.load(SeqCst))
    }
}
