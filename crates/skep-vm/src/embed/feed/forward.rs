//! Packets that go on to a device, a CPU or nowhere: redirects, copies, and what leaves at the end.

use std::sync::Arc;

use super::{
    Counts, Feed, Frame, Outcome, Outputs, PacketHook,
    path::{COPIES, Then, failed, xdp},
};
use crate::{
    map::{Target, Targets},
    program::Program,
    run::{
        Run,
        packet::{Redirect, Sent, Travelling},
    },
};

/// Bytes that a frame may have beside what the device's MTU speaks of: its header and a VLAN tag.
const BESIDE: u64 = 14 + 4;

/// `BPF_F_BROADCAST` and `BPF_F_EXCLUDE_INGRESS`
const BROADCAST: u64 = 8;
const EXCLUDE_INGRESS: u64 = 16;

impl Feed<'_> {
    /// `XDP_REDIRECT`. The packet goes on here where it was sent to a CPU.
    pub(super) fn redirect_frame(
        &mut self,
        frame: &Frame<'_>,
        left: Travelling,
        to: Option<Redirect>,
    ) -> Then {
        let (map, key, flags) = match to {
            Some(Redirect::Device { ifindex, .. }) => {
                return Then::End(self.send_frame(frame, &left, ifindex));
            }
            Some(Redirect::Map {
                map, key, flags, ..
            }) => (map, key, flags),
            Some(_) => return Then::End(Outcome::Elsewhere),
            None => return Then::End(Outcome::Dropped),
        };
        let map = self.vm.registry.maps.by_id(map);
        let Some(targets) = map.as_ref().and_then(|map| map.of::<Targets>()) else {
            // Sockets of AF_XDP.
            return Then::End(Outcome::Elsewhere);
        };
        if flags & BROADCAST != 0 {
            let mut targets = targets.targets();
            if flags & EXCLUDE_INGRESS != 0 {
                targets.retain(|target| target.to != frame.ifindex);
            }
            return Then::End(self.send_to_all(frame, &left, &targets));
        }
        let Some(target) = targets.target(key) else {
            return Then::End(Outcome::Dropped);
        };
        let hook = match targets.is_cpus() {
            true => PacketHook::Cpumap,
            false => PacketHook::Devmap,
        };
        let (left, then) = match &target.program {
            None => (left, None),
            Some(program) => {
                let egress = match hook {
                    PacketHook::Devmap => target.to,
                    _ => 0,
                };
                match self.run_of_map(program, hook, &left, egress) {
                    Ok((left, verdict)) => (left, Some(verdict)),
                    Err(outcome) => return Then::End(outcome),
                }
            }
        };
        match (hook, then) {
            (PacketHook::Cpumap, None | Some((xdp::PASS, _))) => Then::On(left),
            (PacketHook::Cpumap, Some((xdp::REDIRECT, to))) if self.hop() => {
                self.redirect_frame(frame, left, to)
            }
            (PacketHook::Devmap, None | Some((xdp::PASS, _))) => {
                Then::End(self.send_frame(frame, &left, target.to))
            }
            _ => Then::End(Outcome::Dropped),
        }
    }

    /// Runs the program of a map's entry on a frame; answers the frame, the verdict and where it
    /// redirects to.
    #[allow(
        clippy::type_complexity,
        reason = "used twice, and taken apart at once"
    )]
    fn run_of_map(
        &mut self,
        program: &Arc<Program>,
        hook: PacketHook,
        left: &Travelling,
        egress: u32,
    ) -> Result<(Travelling, (u32, Option<Redirect>)), Outcome> {
        let same = |(known, at, _): &(Arc<Program>, PacketHook, Counts)| {
            Arc::ptr_eq(known, program) && *at == hook
        };
        let at = self.of_maps.iter().position(same).unwrap_or_else(|| {
            let new = (Arc::clone(program), hook, Counts::default());
            self.of_maps.push(new);
            self.of_maps.len() - 1
        });
        let run = Run::new(
            self.vm,
            program,
            self.cpu.id(),
            self.cpu.scratch(),
            self.vm.limits,
        );
        let context = run.take_frame(left, egress);
        let (_, _, counts) = &mut self.of_maps[at];
        match run.start(context) {
            Ok(value) => {
                counts.add(value as u32);
                Ok((run.packet_left(), (value as u32, run.redirect())))
            }
            Err(fault) => {
                failed(&mut self.report, program, hook, counts, fault);
                Err(Outcome::Faulted)
            }
        }
    }

    /// A frame goes out of a device as it is.
    fn send_frame(&mut self, frame: &Frame<'_>, left: &Travelling, ifindex: u32) -> Outcome {
        match self.line(ifindex) {
            Some(line) if self.fits(line, left) => {
                self.output(left, Some(ifindex), frame);
                Outcome::Sent
            }
            _ => Outcome::Dropped,
        }
    }

    /// Whether a device takes a frame.
    fn fits(&self, line: usize, left: &Travelling) -> bool {
        let device = &self.lines[line];
        device.up && left.len() <= u64::from(device.mtu) + BESIDE
    }

    /// A frame goes out of all devices of a map, a copy each.
    fn send_to_all(&mut self, frame: &Frame<'_>, left: &Travelling, targets: &[Target]) -> Outcome {
        let mut bytes = std::mem::take(&mut self.kept);
        if let Some(run) = &self.ground {
            run.copy_left(left, usize::MAX, &mut bytes);
        }
        let (mut outcome, mut sent) = (Outcome::Dropped, 0_u64);
        for target in targets {
            // What the program before has changed is not in this copy.
            if let Some(run) = &self.ground {
                run.restore_frame(left, &bytes);
            }
            let one = match &target.program {
                None => self.send_frame(frame, left, target.to),
                Some(program) => {
                    match self.run_of_map(program, PacketHook::Devmap, left, target.to) {
                        Ok((left, (xdp::PASS, _))) => self.send_frame(frame, &left, target.to),
                        Ok(_) => Outcome::Dropped,
                        Err(outcome) => outcome,
                    }
                }
            };
            sent += u64::from(one == Outcome::Sent);
            if outcome != Outcome::Sent {
                outcome = one;
            }
        }
        self.report.copies += sent.saturating_sub(1);
        self.kept = bytes;
        outcome
    }

    /// `TC_ACT_REDIRECT`.
    pub(super) fn redirect_packet(
        &mut self,
        frame: &Frame<'_>,
        packet: Travelling,
        to: Option<Redirect>,
    ) -> Outcome {
        if !self.hop() {
            return Outcome::Dropped;
        }
        match to {
            Some(Redirect::Device { ifindex, ingress }) => {
                let Some(line) = self.line(ifindex).filter(|line| self.lines[*line].up) else {
                    return Outcome::Dropped;
                };
                if ingress {
                    return self.begin_anew(frame, line, &packet);
                }
                self.go_out(ifindex);
                self.transmit(frame, line, packet)
            }
            Some(Redirect::Neighbour { ifindex }) => {
                let line = self.line(ifindex).filter(|line| self.lines[*line].up);
                match (line, self.neighbour(&packet, ifindex)) {
                    (Some(line), Some(to)) => {
                        let from = self.lines[line].mac;
                        if let Some(run) = &self.ground {
                            run.set_addresses(&packet, to, from);
                        }
                        self.go_out(ifindex);
                        self.transmit(frame, line, packet)
                    }
                    _ => Outcome::Dropped,
                }
            }
            Some(_) => Outcome::Elsewhere,
            None => Outcome::Dropped,
        }
    }

    /// The packet is another device's now.
    fn go_out(&self, ifindex: u32) {
        if let Some(run) = &self.ground {
            let fields = run.fields();
            fields.set_u32(crate::run::packet::SkbField::IFINDEX, ifindex);
        }
    }

    /// The link-layer address that a packet's next hop has.
    fn neighbour(&self, packet: &Travelling, ifindex: u32) -> Option<[u8; 6]> {
        let address = self.ground.as_ref()?.destination(packet)?;
        let net = self.vm.net.now();
        let route = net.route(address, None, Some(ifindex));
        let next = route.and_then(|route| route.gateway).unwrap_or(address);
        net.neighbour(ifindex, next)
    }

    /// Another device receives the packet.
    fn begin_anew(&mut self, frame: &Frame<'_>, line: usize, packet: &Travelling) -> Outcome {
        if !self.fits(line, packet) {
            return Outcome::Dropped;
        }
        let mut bytes = std::mem::take(&mut self.kept);
        let mut again = Frame {
            bytes: &[],
            ..*frame
        };
        if let Some(run) = &self.ground {
            run.copy_left(packet, usize::MAX, &mut bytes);
            let mark = run.fields().u32_at(crate::run::packet::SkbField::MARK);
            again.mark = mark.unwrap_or_default();
        }
        again.bytes = &bytes;
        again.ifindex = self.lines[line].ifindex;
        let outcome = self.arrive(&again, line);
        self.kept = bytes;
        outcome
    }

    /// Copies go their own way, and theirs.
    #[cold]
    pub(super) fn send_copies(&mut self, frame: &Frame<'_>) {
        let mut done = 0;
        while let Some(Sent { to, bytes, mark }) = self.copies.pop() {
            done += 1;
            self.hops = 0;
            let Redirect::Device { ifindex, ingress } = to else {
                continue;
            };
            let Some(line) = self.line(ifindex) else {
                continue;
            };
            if done > COPIES {
                self.report.loops += self.copies.len() as u64 + 1;
                self.copies.clear();
                return;
            }
            let copy = Frame {
                bytes: &bytes,
                ifindex,
                mark,
                ..*frame
            };
            match ingress {
                true => self.arrive(&copy, line),
                false => self.leave_copy(&copy, line),
            };
        }
    }

    fn leave_copy(&mut self, copy: &Frame<'_>, line: usize) -> Outcome {
        let Some(run) = &self.ground else {
            return Outcome::Dropped;
        };
        let Some(packet) = run.received_bytes(copy.bytes, self.lines[line].mac) else {
            return Outcome::Dropped;
        };
        crate::embed::packets::describe(run, copy);
        self.transmit(copy, line, packet)
    }

    // ── what leaves ─────────────────────────────────────────────────────────────────────────

    /// Keeps a packet that leaves.
    #[inline]
    pub(super) fn output(&mut self, left: &Travelling, device: Option<u32>, frame: &Frame<'_>) {
        if self.options.keep_outputs {
            self.output_cut(left, device, frame, usize::MAX);
        }
    }

    /// The same, at most `most` bytes of it.
    pub(super) fn output_cut(
        &mut self,
        left: &Travelling,
        device: Option<u32>,
        frame: &Frame<'_>,
        most: usize,
    ) {
        if !self.options.keep_outputs {
            return;
        }
        let kept = self.outputs.next();
        if let Some(run) = &self.ground {
            run.copy_left(left, usize::MAX, &mut kept.bytes);
        }
        let missing = frame.original_len.saturating_sub(frame.bytes.len() as u32);
        kept.original_len = (kept.bytes.len() as u32).saturating_add(missing);
        kept.bytes.truncate(most);
        kept.device = device;
    }

    /// Keeps a packet that no program has seen.
    pub(super) fn output_bytes(&mut self, frame: &Frame<'_>) {
        if !self.options.keep_outputs {
            return;
        }
        let device = self.sends.then_some(frame.ifindex);
        let kept = self.outputs.next();
        kept.bytes.clear();
        kept.bytes.extend_from_slice(frame.bytes);
        kept.original_len = frame.original_len.max(frame.bytes.len() as u32);
        kept.device = device;
    }
}

impl Outputs {
    fn next(&mut self) -> &mut super::Kept {
        if self.used == self.all.len() {
            self.all.push(super::Kept::default());
        }
        self.used += 1;
        &mut self.all[self.used - 1]
    }
}
