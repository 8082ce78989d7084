//! Perf events. The section name `perf_event` says nothing of which, when and where; options do.

use std::sync::Arc;

use skep_host::{AttachPoint, PerfEvent, PerfScope};

use super::AttachOptions;
use crate::{Link, Program, Result};

/// Odd, so that samples don't keep step with timers that fire every hundredth of a second.
const FREQUENCY: u64 = 99;

pub(super) fn attach(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let frequency = options.frequency.unwrap_or(FREQUENCY);
    let scopes = match options.perf_scope {
        Some(scope) => vec![scope],
        None => program
            .host()
            .online_cpus()?
            .into_iter()
            .map(PerfScope::Cpu)
            .collect(),
    };
    let event = options
        .perf_event
        .unwrap_or(PerfEvent::CpuClock { frequency });
    let points: Vec<AttachPoint<'_>> = scopes
        .into_iter()
        .map(|scope| AttachPoint::PerfEvent {
            event,
            scope,
            cookie: options.cookie,
        })
        .collect();
    program.attach_to_each(&points)
}
