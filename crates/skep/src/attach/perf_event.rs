//! Timers by perf events: `perf_event`, or with our extension `perf_event/cpu-clock:99`, where
//! the number is samples a second.

use std::sync::Arc;

use skep_host::{AttachPoint, PerfEvent, PerfScope};

use super::AttachOptions;
use crate::{Link, Program, Result};

/// Odd, so that samples don't keep step with timers that fire every hundredth of a second.
const FREQUENCY: u64 = 99;

pub(super) fn attach(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let frequency = match program.target() {
        None => options.frequency.unwrap_or(FREQUENCY),
        Some(target) => said(target).ok_or_else(|| {
            program.cannot_attach(&format!(
                "`{target}` is no event that Skep knows: write `perf_event/cpu-clock:99`"
            ))
        })?,
    };
    let scopes = match options.pid {
        Some(pid) => vec![PerfScope::Process(pid)],
        None => program.host().online_cpus()?.into_iter().map(PerfScope::Cpu).collect(),
    };
    let event = PerfEvent::CpuClock { frequency };
    let points: Vec<AttachPoint<'_>> = scopes
        .into_iter()
        .map(|scope| AttachPoint::PerfEvent { event, scope, cookie: options.cookie })
        .collect();
    program.attach_to_each(&points)
}

fn said(target: &str) -> Option<u64> {
    let (event, frequency) = target.split_once(':')?;
    (event == "cpu-clock").then(|| frequency.parse().ok()).flatten().filter(|hz| *hz > 0)
}
