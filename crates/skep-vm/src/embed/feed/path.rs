//! The way of a packet through the hooks of a device.

use std::time::{Duration, Instant};

use super::{
    Counts, Feed, Frame, Outcome, PacketFault, PacketHook, Report, Stage,
    report::{CUT, DROPPED, FAULTS, WHOLE},
};
use crate::{
    Fault, Verdict,
    embed::packets::describe,
    program::Program,
    run::{
        Run,
        packet::{Direct, LONGEST, SkbField, Travelling, skb::ETH_LEN},
    },
    vm::Shared,
};

/// How often a packet may go on to a device before it is going in circles.
const HOPS: u32 = 16;
/// Copies of a packet, and of its copies, that may be under way.
pub(super) const COPIES: usize = 1024;

/// Verdicts of XDP.
pub(super) mod xdp {
    pub(crate) const PASS: u32 = 2;
    pub(crate) const TX: u32 = 3;
    pub(crate) const REDIRECT: u32 = 4;
}

/// Verdicts of tcx.
const NEXT: u32 = u32::MAX;
const SHOT: u32 = 2;
const TC_REDIRECT: u32 = 7;

/// What happens after a part of the way.
pub(super) enum Then {
    /// The packet goes on.
    On(Travelling),
    /// It does not.
    End(Outcome),
}

impl Stage<'_> {
    /// Runs the program, and counts what it answers; `None`: a fault.
    #[inline]
    fn run(
        &mut self,
        vm: &Shared,
        report: &mut Report,
        receive: impl FnOnce(&Run<'_>) -> Option<u64>,
    ) -> Option<Verdict> {
        let started = vm.registry.counts().then(Instant::now);
        let outcome = self
            .packets
            .run_on(|run, _| receive(run).ok_or_else(|| "no room for a packet".to_owned()));
        let program = &self.entry.program;
        if let Some(started) = started {
            program.meta.counters.add(1, started.elapsed());
        }
        match outcome {
            Ok(verdict) => {
                if self.hook != PacketHook::Socket {
                    self.counts.add(verdict.value);
                }
                Some(verdict)
            }
            Err(fault) => {
                failed(report, program, self.hook, &mut self.counts, fault);
                None
            }
        }
    }
}

/// Counts and keeps a fault.
#[cold]
pub(super) fn failed(
    report: &mut Report,
    program: &Program,
    hook: PacketHook,
    counts: &mut Counts,
    fault: Fault,
) {
    counts.faults += 1;
    // A full stream keeps its oldest, as the kernel's does.
    let _ = program
        .meta
        .errors
        .write(format!("ERROR: {fault}\n").as_bytes());
    if report.faults.len() < FAULTS {
        let packet = report.packets;
        report.faults.push(PacketFault {
            packet,
            hook,
            fault,
        });
    }
}

impl Feed<'_> {
    /// The packet's way, and that of its copies.
    #[inline]
    pub(super) fn whole_way(&mut self, frame: &Frame<'_>) -> Outcome {
        if frame.bytes.len() < ETH_LEN as usize || frame.bytes.len() > LONGEST / 2 {
            return Outcome::Unusable;
        }
        if self.options.clock_follows && self.vm.clock.is_manual() {
            self.follow(frame.timestamp);
        }
        let Some(line) = self.line(frame.ifindex) else {
            return Outcome::Unusable;
        };
        let outcome = match self.sends {
            false => self.arrive(frame, line),
            true => self.leave(frame, line),
        };
        if !self.copies.is_empty() {
            self.send_copies(frame);
        }
        outcome
    }

    /// Moves the clock to a packet's time, if that is not over.
    fn follow(&mut self, timestamp: u64) {
        let clock = &self.vm.clock;
        let now = clock.now().as_nanos() as u64;
        match timestamp.checked_sub(now) {
            Some(0) => {}
            Some(by) => clock.advance(Duration::from_nanos(by)),
            // A packet without a time comes when the one before it came.
            None if timestamp == 0 => {}
            None => self.report.backwards += 1,
        }
    }

    pub(super) fn line(&self, ifindex: u32) -> Option<usize> {
        self.lines.iter().position(|line| line.ifindex == ifindex)
    }

    /// One device further; `false`: that is too often.
    pub(super) fn hop(&mut self) -> bool {
        self.hops += 1;
        if self.hops > HOPS {
            self.report.loops += 1;
        }
        self.hops <= HOPS
    }

    /// A device receives a packet.
    #[inline]
    pub(super) fn arrive(&mut self, frame: &Frame<'_>, line: usize) -> Outcome {
        let wanted = self.options.keep_outputs || !self.is_quiet(line);
        let device = &mut self.lines[line];
        let mut left = None;
        if let Some(stage) = &mut device.xdp {
            let verdict = stage.run(self.vm, &mut self.report, |run| {
                run.receive_frame(&crate::run::packet::XdpInput {
                    bytes: frame.bytes,
                    meta: 0,
                    linear: frame.bytes.len(),
                    ifindex: frame.ifindex,
                    queue: frame.queue,
                })
                .ok()
            });
            let Some(verdict) = verdict else {
                return Outcome::Faulted;
            };
            match verdict.value {
                xdp::PASS if !wanted => return Outcome::Passed,
                xdp::PASS => left = Some(stage.packets.inner().packet_left()),
                xdp::TX => {
                    let left = stage.packets.inner().packet_left();
                    let ifindex = device.ifindex;
                    self.output(&left, Some(ifindex), frame);
                    return Outcome::Sent;
                }
                xdp::REDIRECT => {
                    let left = stage.packets.inner().packet_left();
                    match self.redirect_frame(frame, left, verdict.redirect) {
                        Then::On(there) => {
                            return self.stack(frame, line, Some(there));
                        }
                        Then::End(outcome) => return outcome,
                    }
                }
                _ => return Outcome::Dropped,
            }
        }
        self.stack(frame, line, left)
    }

    /// No program waits behind XDP.
    #[inline]
    fn is_quiet(&self, line: usize) -> bool {
        self.sockets.is_empty()
            && self.lines[line].ingress.is_empty()
            && self.cgroup_ingress.is_empty()
    }

    /// What XDP has let pass, or a frame that there was no XDP program for, goes up the stack.
    pub(super) fn stack(
        &mut self,
        frame: &Frame<'_>,
        line: usize,
        left: Option<Travelling>,
    ) -> Outcome {
        if self.is_quiet(line) {
            match left {
                Some(left) => self.output(&left, None, frame),
                None => self.output_bytes(frame),
            }
            return Outcome::Passed;
        }
        let Some(packet) = self.received(frame, line, left) else {
            return Outcome::Dropped;
        };
        let kept = self.tap(&packet, false);
        let packet = match self.chain(frame, line, packet, false) {
            Then::On(packet) => packet,
            Then::End(outcome) => return outcome,
        };
        if !self.cgroup_ingress.is_empty() && packet.is_ip() {
            match self.cgroup(&packet, false) {
                Some(true) => {}
                Some(false) => return Outcome::Dropped,
                None => return Outcome::Faulted,
            }
        }
        match kept {
            Some(0) => Outcome::Dropped,
            Some(most) => {
                self.output_cut(&packet, None, frame, most as usize);
                Outcome::Passed
            }
            None => {
                self.output(&packet, None, frame);
                Outcome::Passed
            }
        }
    }

    /// Makes an `sk_buff` of a frame.
    fn received(
        &self,
        frame: &Frame<'_>,
        line: usize,
        left: Option<Travelling>,
    ) -> Option<Travelling> {
        let run = self.ground.as_ref()?;
        let mac = self.lines[line].mac;
        let packet = match left {
            Some(left) => run.received(&left, mac)?,
            None => run.received_bytes(frame.bytes, mac)?,
        };
        describe(run, frame);
        Some(packet)
    }

    /// The machine sends a packet by a device.
    fn leave(&mut self, frame: &Frame<'_>, line: usize) -> Outcome {
        let Some(packet) = self.received(frame, line, None) else {
            if self.ground.is_some() {
                return Outcome::Dropped;
            }
            self.output_bytes(frame);
            return Outcome::Sent;
        };
        if let Some(run) = &self.ground {
            // Nobody has received it.
            run.fields().set_u32(SkbField::INGRESS_IFINDEX, 0);
        }
        if !self.cgroup_egress.is_empty() && packet.is_ip() {
            match self.cgroup(&packet, true) {
                Some(true) => {}
                Some(false) => return Outcome::Dropped,
                None => return Outcome::Faulted,
            }
        }
        self.transmit(frame, line, packet)
    }

    /// An `sk_buff` goes out of a device.
    pub(super) fn transmit(
        &mut self,
        frame: &Frame<'_>,
        line: usize,
        packet: Travelling,
    ) -> Outcome {
        match self.chain(frame, line, packet, true) {
            Then::On(packet) => {
                self.tap(&packet, true);
                let device = self.lines[line].ifindex;
                self.output(&packet, Some(device), frame);
                Outcome::Sent
            }
            Then::End(outcome) => outcome,
        }
    }

    /// Packet sockets get a copy. Answers how many bytes the one that keeps most keeps; `None`:
    /// there are no sockets.
    fn tap(&mut self, packet: &Travelling, outgoing: bool) -> Option<u32> {
        if self.sockets.is_empty() {
            return None;
        }
        let copy = match outgoing {
            true => packet.outgoing(),
            false => *packet,
        };
        let len = packet.len();
        let mut most = None;
        for stage in &mut self.sockets {
            let verdict = stage.run(self.vm, &mut self.report, |run| {
                run.take_skb(&copy, true, Direct::No, true)
            });
            let kept = verdict.map_or(0, |verdict| verdict.value);
            if verdict.is_some() {
                let what = match kept {
                    0 => DROPPED,
                    kept if u64::from(kept) < len => CUT,
                    _ => WHOLE,
                };
                stage.counts.add(what.cast_unsigned());
            }
            most = most.max(Some(kept));
        }
        if let (Some(run), Some(_)) = (&self.ground, most) {
            // What filters have noted is theirs.
            run.clear_cb();
        }
        most
    }

    /// The programs of tcx, one after the other.
    fn chain(
        &mut self,
        frame: &Frame<'_>,
        line: usize,
        mut packet: Travelling,
        egress: bool,
    ) -> Then {
        let device = &mut self.lines[line];
        let stages = match egress {
            true => &mut device.egress,
            false => &mut device.ingress,
        };
        let mut redirect = None;
        for stage in stages {
            let verdict = stage.run(self.vm, &mut self.report, |run| {
                run.take_skb(&packet, true, Direct::Write, false)
            });
            // What it had sent before it went wrong is on its way.
            let run = stage.packets.inner();
            let mut clones = run.packet.clones.borrow_mut();
            let room = COPIES.saturating_sub(self.copies.len());
            self.report.copies += clones.len() as u64;
            let left_out = clones.len().saturating_sub(room);
            self.report.loops += left_out as u64;
            clones.truncate(room);
            self.copies.append(&mut clones);
            drop(clones);
            let Some(verdict) = verdict else {
                return Then::End(Outcome::Faulted);
            };
            packet = run.packet_left();
            match verdict.value {
                NEXT => {}
                SHOT => return Then::End(Outcome::Dropped),
                TC_REDIRECT => {
                    redirect = Some(verdict.redirect);
                    break;
                }
                _ => break,
            }
        }
        match redirect {
            None => Then::On(packet),
            Some(to) => Then::End(self.redirect_packet(frame, packet, to)),
        }
    }

    /// The programs of a cgroup, all of them: whether they let the packet pass; `None`: one did
    /// wrong.
    fn cgroup(&mut self, packet: &Travelling, egress: bool) -> Option<bool> {
        let stages = match egress {
            true => &mut self.cgroup_egress,
            false => &mut self.cgroup_ingress,
        };
        let (mut allowed, mut whole) = (true, true);
        for stage in stages {
            let verdict = stage.run(self.vm, &mut self.report, |run| {
                run.take_skb(packet, false, Direct::Read, true)
            });
            match verdict {
                // Of what is sent, the second bit says that there is congestion.
                Some(verdict) => allowed &= verdict.value & 1 != 0,
                None => whole = false,
            }
        }
        whole.then_some(allowed)
    }
}
