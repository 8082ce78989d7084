//! What ends a run from outside: signals.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};

/// Signals that end the run, and the one that says the command has ended.
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
}

impl Stop {
    /// From now on signals ask for the end.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // A second signal while we clean up ends at once, as users expect.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))?;
            signal_hook::flag::register(signal, Arc::clone(&asked))?;
        }
        // Only to wake the loop.
        signal_hook::flag::register(SIGCHLD, Arc::new(AtomicBool::new(false)))?;
        Ok(Self { asked })
    }

    /// The user wants it to end.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}
