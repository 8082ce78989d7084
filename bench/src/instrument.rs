//! What `instrument/counters.c` counted in this process, when it is preloaded.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Result, row::Figures};

/// The counters as the preloaded library lays them out.
#[repr(C)]
struct Shared {
    live: AtomicU64,
    allocations: AtomicU64,
    bpf_calls: AtomicU64,
    bpf_nanos: AtomicU64,
    load_calls: AtomicU64,
    load_nanos: AtomicU64,
}

/// The counters at some moment; all zero without the instrument.
#[derive(Default)]
pub(crate) struct Counters {
    live: u64,
    allocations: u64,
    bpf_calls: u64,
    bpf_nanos: u64,
    load_calls: u64,
    load_nanos: u64,
}

impl Counters {
    pub(crate) fn now() -> Self {
        // SAFETY: the name is a C string; looking it up has no other requirement.
        let shared = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"bench_counters".as_ptr()) };
        // SAFETY: null, or the static of `counters.c`, which has this layout, lives as long as
        // the process and is only changed atomically.
        let Some(shared) = (unsafe { shared.cast::<Shared>().as_ref() }) else {
            return Self::default();
        };
        Self {
            live: shared.live.load(Relaxed),
            allocations: shared.allocations.load(Relaxed),
            bpf_calls: shared.bpf_calls.load(Relaxed),
            bpf_nanos: shared.bpf_nanos.load(Relaxed),
            load_calls: shared.load_calls.load(Relaxed),
            load_nanos: shared.load_nanos.load(Relaxed),
        }
    }

    /// What was allocated since, and is still there.
    pub(crate) fn memory_since(&self) -> Figures {
        let now = Self::now();
        vec![
            ("live", now.live.wrapping_sub(self.live) as f64),
            ("allocations", (now.allocations - self.allocations) as f64),
        ]
    }

    /// `bpf(2)` since: calls and nanoseconds, and of these the loads of programs.
    ///
    /// # Errors
    /// The instrument is missing: nothing was loaded through `syscall(3)`.
    pub(crate) fn calls_since(&self) -> Result<Figures> {
        let now = Self::now();
        if now.load_calls == self.load_calls {
            return Err("no load of a program was seen: counters.c is not preloaded".into());
        }
        Ok(vec![
            ("bpf_calls", (now.bpf_calls - self.bpf_calls) as f64),
            ("bpf", (now.bpf_nanos - self.bpf_nanos) as f64),
            ("prog_load", (now.load_nanos - self.load_nanos) as f64),
        ])
    }
}
