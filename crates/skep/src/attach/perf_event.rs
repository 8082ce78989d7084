//! Perf events. The section name `perf_event` says nothing of which, when and where; options do.

use std::sync::Arc;

use skep_host::{AttachPoint, PerfEvent, PerfScope};

use super::AttachOptions;
use crate::{Link, Program, Result};

/// Odd, so that samples don't keep step with timers that fire every hundredth of a second.
const FREQUENCY: u64 = 99;

pub(super) fn attach(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let frequency = options.frequency.unwrap_or(FREQUENCY);
    let event = options
        .perf_event
        .unwrap_or(PerfEvent::CpuClock { frequency });
    let attach = |scopes: &[PerfScope]| {
        let point = |scope: &PerfScope| AttachPoint::PerfEvent {
            event,
            scope: *scope,
            cookie: options.cookie,
        };
        let points: Vec<AttachPoint<'_>> = scopes.iter().map(point).collect();
        program.attach_to_each(&points)
    };
    if let Some(scope) = options.perf_scope {
        return attach(&[scope]);
    }
    let online = || -> Result<Vec<PerfScope>> {
        let cpus = program.host().online_cpus()?;
        Ok(cpus.into_iter().map(PerfScope::Cpu).collect())
    };
    let mut scopes = online()?;
    loop {
        let attached = attach(&scopes);
        if attached.is_ok() {
            return attached;
        }
        // A CPU that was online a moment ago has nothing to sample.
        let now = online()?;
        if now == scopes {
            return attached;
        }
        scopes = now;
    }
}
