//! A thread has met a breakpoint: programs run, and it goes on as if there were none.

use std::sync::Arc;

use libc::user_regs_struct;

use super::{
    places::Place,
    refused::{Reason, Report},
    returns::Call,
    space::{Access, Space},
};
use crate::{
    Fault,
    machine::{Attached, Point},
    memory::View,
    run::{Ours, Run},
    tracer::{fire::Firing, stops::pt_regs, system},
};
use skep_abi::AttachType;
use skep_host::Errno;

fn is_session(entry: &Attached) -> bool {
    entry.program.meta.expected_attach_type == Some(AttachType::TraceUprobeSession)
}

/// Runs what there is to run at this address.
pub(super) fn fire(
    space: &mut Space,
    access: &mut Access<'_>,
    firing: &Firing<'_>,
    report: &mut Report,
    registers: &user_regs_struct,
    address: u64,
) {
    let mut context = pt_regs(registers);
    firing
        .task
        .set_registers(&View::of_words(&mut context).to_vec());
    let Some(point) = space.points.get(&address) else {
        return;
    };
    let (is_site, is_entry) = (point.is_site, point.is_entry);
    let place = point.place.clone();
    if is_site {
        // The return has taken its address off the stack.
        let slot = registers.rsp.wrapping_sub(8);
        for call in space.frames.leave(slot, address) {
            returned(firing, &call, &mut context);
        }
    }
    let Some(place) = place else {
        return;
    };
    let mut sessions = Vec::new();
    for point in &place.entries {
        entered(
            firing,
            point,
            &mut context,
            address,
            is_entry,
            &mut sessions,
        );
    }
    let wants_return = place.returns.iter().any(|point| {
        let programs = point.programs();
        let mut waiting = programs.list.iter().filter(|entry| firing.is_for(entry));
        waiting.any(|entry| {
            let session = || sessions.iter().any(|(link, _)| *link == entry.link);
            !is_session(entry) || session()
        })
    });
    if !wants_return {
        return;
    }
    let slot = registers.rsp;
    let mut word = [0; 8];
    let returns_to = match system::read_memory(access.tid, slot, &mut word) {
        Ok(8) => u64::from_ne_bytes(word),
        _ => return missed(report, firing, &place, Reason::System(Errno::EFAULT)),
    };
    let call = Call {
        function: address,
        place: Arc::clone(&place),
        sessions,
    };
    let noted = space.want_site(access, returns_to).and_then(|()| {
        match space.frames.enter(slot, returns_to, call) {
            true => Ok(()),
            false => Err(Reason::TooDeep),
        }
    });
    if let Err(reason) = noted {
        missed(report, firing, &place, reason);
    }
}

/// The return of a call can't be seen.
fn missed(report: &mut Report, firing: &Firing<'_>, place: &Place, reason: Reason) {
    report.miss_return(place, reason);
    for point in &place.returns {
        firing.miss(point);
    }
}

/// At the entry. `sessions`: those that want to see the return, with the word they keep.
fn entered(
    firing: &Firing<'_>,
    point: &Point,
    context: &mut [u64],
    address: u64,
    is_entry: bool,
    sessions: &mut Vec<(u32, u64)>,
) {
    let programs = point.programs();
    let mut words = vec![0; programs.list.len()];
    let kept = View::of_words(&mut words);
    let prepare = |index: usize, entry: &Attached, run: &Run<'_>| {
        run.current.function.set(address);
        run.current.user_entry.set(is_entry);
        if is_session(entry) {
            keep(run, kept, index);
        }
    };
    let outcome = |index: usize, entry: &Attached, outcome: &Result<u64, Fault>| {
        if is_session(entry) && matches!(outcome, Ok(0)) {
            sessions.push((entry.link, kept.u64_at(8 * index).unwrap_or_default()));
        }
    };
    firing.fire_list(&programs, context, |_| true, prepare, outcome);
}

/// At the return.
fn returned(firing: &Firing<'_>, call: &Call, context: &mut [u64]) {
    for point in &call.place.returns {
        let programs = point.programs();
        let session = |entry: &Attached| {
            let mut all = call.sessions.iter();
            all.find(|(link, _)| *link == entry.link)
        };
        let mut words: Vec<u64> = {
            let each = programs.list.iter().map(session);
            each.map(|found| found.map_or(0, |(_, word)| *word))
                .collect()
        };
        let kept = View::of_words(&mut words);
        let prepare = |index: usize, entry: &Attached, run: &Run<'_>| {
            run.current.function.set(call.function);
            run.current.returned.set(true);
            if is_session(entry) {
                keep(run, kept, index);
            }
        };
        let choose = |entry: &Attached| !is_session(entry) || session(entry).is_some();
        firing.fire_list(&programs, context, choose, prepare, |_, _, _| ());
    }
}

/// Lets a session's program use its word.
fn keep(run: &Run<'_>, words: View<'_>, index: usize) {
    let start = words.address() + 8 * index as u64;
    run.grant(Ours {
        start,
        len: 8,
        writable: true,
    });
    run.current.session.set(start);
}
