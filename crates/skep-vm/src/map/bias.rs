//! A fence between one side that often passes and another that seldom does.
//!
//! Both sides first say something and then look for what the other says; at least one of them
//! must see the other. A full fence on both sides does that, but on the frequent side it waits
//! until the processor's earlier stores are in its cache. As long as the other side never came,
//! the frequent one does without: the first who comes from the other side makes every processor
//! that runs this process pass a fence (`membarrier`, Linux 4.14), and from then on both have
//! one. Where there is no such call, both have one from the beginning.

use std::sync::{
    OnceLock,
    atomic::{
        AtomicBool,
        Ordering::{Relaxed, SeqCst},
        compiler_fence, fence,
    },
};

/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED`
const FENCE_ALL: libc::c_int = 1 << 3;
/// `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED`
const REGISTER: libc::c_int = 1 << 4;

/// See above.
#[derive(Debug)]
pub(super) struct Bias {
    /// The frequent side has no fence yet.
    light: AtomicBool,
    /// Nobody passes without a fence any more.
    ended: OnceLock<()>,
}

impl Bias {
    /// `wanted`: begins without a fence on the frequent side, if this system can end that.
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            light: AtomicBool::new(wanted && can_fence_all()),
            ended: OnceLock::new(),
        }
    }

    /// The frequent side, between what it says and where it looks.
    #[inline]
    pub(super) fn show(&self) {
        if self.light.load(Relaxed) {
            compiler_fence(SeqCst);
        } else {
            fence(SeqCst);
        }
    }

    /// The other side, between what it says and where it looks.
    #[inline]
    pub(super) fn see(&self) {
        self.ended.get_or_init(|| {
            // Who passes after the fence of all processors sees this; what others said who
            // passed before it is seen.
            if self.light.swap(false, SeqCst) {
                fence_all();
            }
        });
        fence(SeqCst);
    }
}

/// Whether [`fence_all`] works in this process.
fn can_fence_all() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    // Miri has no such call.
    *CAN.get_or_init(|| !cfg!(miri) && membarrier(REGISTER))
}

/// Makes every processor that runs a thread of this process pass a full fence.
#[cold]
fn fence_all() {
    if membarrier(FENCE_ALL) {
        return;
    }
    // Somebody forbade the call since it was registered (a filter of system calls). What a
    // processor said goes to the others' sight in far less than this, fence or not.
    std::thread::sleep(std::time::Duration::from_millis(10));
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: neither command takes or touches memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
