//! Waiting for readable things: opened when it is first needed, and not cut short by signals.

use std::time::{Duration, Instant};

use skep_host::{Descriptor, Host, Poller};

use crate::Result;

/// A poller that is opened at the first wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    poller: Option<Box<dyn Poller>>,
    ready: Vec<u64>,
}

/// When a wait ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// After so much time; never for `None`, nor when it is longer than the clock can count.
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// The time that is left; `None` for ever.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0
            .map(|end| end.saturating_duration_since(Instant::now()))
    }
}

impl Waiting {
    /// Waits until one of `things` may be readable; `false` when the time is up. Those are only
    /// looked at by the first call.
    pub(crate) fn wait<'d>(
        &mut self,
        host: &dyn Host,
        things: impl Iterator<Item = &'d Descriptor>,
        deadline: Deadline,
    ) -> Result<bool> {
        let left = deadline.left();
        if left == Some(Duration::ZERO) {
            return Ok(false);
        }
        let poller = match &mut self.poller {
            Some(poller) => poller,
            None => {
                let mut poller = host.poller()?;
                for thing in things {
                    poller.add(thing, 0)?;
                }
                self.poller.insert(poller)
            }
        };
        // A signal ends it early, with nothing ready: then the caller looks, and comes again.
        poller.wait(left, &mut self.ready)?;
        Ok(true)
    }
}
