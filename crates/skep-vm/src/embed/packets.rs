//! Packets through a program, one after the other, as fast as it goes: a run is prepared once, and
//! a packet costs its copy and the program.

use std::{fmt, sync::Arc, time::Instant};

use skep_abi::{Command, ProgramType};
use skep_host::{Cause, Errno, Error, ProgramFd, Result};

use crate::{
    Fault, Vm,
    host::program_of,
    memory::View,
    program::Program,
    run::{
        Cpu, Run,
        packet::{Redirect, Sent, SkbField, XdpInput, shape},
    },
    vm::Shared,
};

/// A packet for a program: what a device received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// Its bytes, from the link-layer header on.
    pub bytes: &'a [u8],
    /// The index of the device; see [`Network`](crate::Network).
    pub ifindex: u32,
    /// The queue that it came by.
    pub queue: u32,
    /// `skb->mark`
    pub mark: u32,
    /// When it came, in nanoseconds (`skb->tstamp`).
    pub timestamp: u64,
    /// How many bytes it had on the wire (`skb->wire_len`), where that is more than there are.
    pub original_len: u32,
}

impl<'a> Frame<'a> {
    /// A packet that came by `lo`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            ifindex: 1,
            queue: 0,
            mark: 0,
            timestamp: 0,
            original_len: 0,
        }
    }
}

/// What a program decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Its return value: `XDP_PASS`, `TC_ACT_SHOT`, how many bytes a socket filter keeps.
    pub value: u32,
    /// Where it sends the packet, if that is what the value means.
    pub redirect: Option<Redirect>,
}

/// Runs a program on packets. Made by [`Vm::packets`].
pub struct Packets<'r> {
    run: Run<'r>,
    kind: ProgramType,
    count: u64,
}

impl fmt::Debug for Packets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.run.program().name;
        write!(f, "Packets(`{name}`, {} so far)", self.count)
    }
}

impl Vm {
    /// Lends a program on a virtual CPU of its own to `body`, to be run on packets. Programs of
    /// XDP and of all types that have a `struct __sk_buff` can be.
    ///
    /// A packet is copied into memory of the CPU's, and lies there in one piece. Nothing is
    /// allocated, and no lock taken, from one packet to the next.
    ///
    /// ```
    /// use skep_abi::ProgramType;
    /// use skep_host::{Host, ProgramLoad};
    /// use skep_isa::{Endian, assemble, encode_slots};
    /// use skep_vm::{Frame, Vm};
    ///
    /// let vm = Vm::new()?;
    /// // XDP_DROP for what is shorter than 60 bytes, XDP_PASS for the rest.
    /// let text = "r2 = *(u32 *)(r1 + 0)
    ///             r3 = *(u32 *)(r1 + 4)
    ///             r2 += 60
    ///             r0 = 2
    ///             if r2 <= r3 goto out
    ///             r0 = 1
    ///             out: exit";
    /// let code = encode_slots(&assemble(text)?, Endian::NATIVE);
    /// let program = vm.prog_load(&ProgramLoad::new(ProgramType::Xdp, "short", &code))?.fd;
    /// let passed = vm.packets(&program, |packets| {
    ///     let trace = [[0; 42].as_slice(), &[0; 60], &[0; 1500]];
    ///     let verdicts = trace.map(|bytes| packets.run(&Frame::new(bytes)));
    ///     verdicts.iter().flatten().filter(|verdict| verdict.value == 2).count()
    /// })?;
    /// assert_eq!(passed, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// No such program, or one of another type; no memory.
    pub fn packets<T>(
        &self,
        program: &ProgramFd,
        body: impl FnOnce(&mut Packets<'_>) -> T,
    ) -> Result<T> {
        let failed = |errno| Error::command(Command::ProgTestRun, "packets", errno);
        let program = program_of(self, program).map_err(failed)?;
        let kind = program.program_type;
        if kind != ProgramType::Xdp && shape(kind).is_none() {
            return Err(failed(Errno::ENOTSUPP).because(Some(Cause::Said(format!(
                "programs of type {kind} have no packets"
            )))));
        }
        let cpu = self.0.cpus.take(None).map_err(failed)?;
        let started = Instant::now();
        let mut packets = Packets::of(&self.0, program, &cpu);
        let answer = body(&mut packets);
        let count = packets.count;
        if self.0.registry.counts() {
            program.meta.counters.add(count, started.elapsed());
        }
        Ok(answer)
    }
}

impl<'r> Packets<'r> {
    /// A program, ready to be run on a CPU.
    pub(super) fn of(vm: &'r Shared, program: &'r Arc<Program>, cpu: &'r Cpu<'_>) -> Self {
        Self {
            run: Run::new(vm, program, cpu.id(), cpu.scratch(), vm.limits),
            kind: program.program_type,
            count: 0,
        }
    }

    /// Its run, with the packet as the program left it.
    pub(super) fn inner(&self) -> &Run<'r> {
        &self.run
    }

    /// Runs the program on a packet.
    ///
    /// # Errors
    /// What stopped it. The next packet finds nothing of that.
    pub fn run(&mut self, frame: &Frame<'_>) -> std::result::Result<Verdict, Fault> {
        self.run_on(|run, kind| {
            let context = receive(run, kind, frame);
            context.map_err(|errno| format!("no packet of {} bytes: {errno}", frame.bytes.len()))
        })
    }

    /// Runs it on a packet that `receive` gives the run.
    ///
    /// # Errors
    /// What stopped it; or why there is no packet.
    #[inline]
    pub(super) fn run_on(
        &mut self,
        receive: impl FnOnce(&Run<'_>, ProgramType) -> std::result::Result<u64, String>,
    ) -> std::result::Result<Verdict, Fault> {
        self.run.rewind();
        self.count += 1;
        let context = receive(&self.run, self.kind)
            .map_err(|what| Fault::before(&self.run.program().name, what))?;
        let value = self.run.start(context)? as u32;
        Ok(Verdict {
            value,
            redirect: self.run.sends(value),
        })
    }

    /// Bytes of the packet that the last run left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.run.packet_len() as usize
    }

    /// Whether it left none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the packet that the last run left, as far as it fits; answers how much.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let bytes = self.run.packet_bytes(0, self.run.packet_len());
        bytes.map_or(0, |bytes| bytes.read(out))
    }

    /// The metadata that the last run left before the packet.
    #[must_use]
    pub fn metadata(&self) -> Vec<u8> {
        self.run.packet_meta().map(View::to_vec).unwrap_or_default()
    }

    /// Takes the copies that programs have sent elsewhere (`bpf_clone_redirect`) since they were last
    /// taken. Where 1,024 wait, that answers `-ENOBUFS`.
    #[must_use]
    pub fn take_sent(&mut self) -> Vec<Sent> {
        self.run.packet.clones.take()
    }
}

/// Gives a run a packet that a device has received.
fn receive(run: &Run<'_>, kind: ProgramType, frame: &Frame<'_>) -> std::result::Result<u64, Errno> {
    let Some((l2, direct)) = shape(kind) else {
        return run.receive_frame(&XdpInput {
            bytes: frame.bytes,
            meta: 0,
            linear: frame.bytes.len(),
            ifindex: frame.ifindex,
            queue: frame.queue,
        });
    };
    let net = run.vm.net.now();
    let mac = net
        .device(frame.ifindex)
        .map_or([0; 6], |device| device.mac);
    let context = run.receive_skb(frame.bytes, frame.bytes.len(), l2, direct, mac)?;
    describe(run, frame);
    Ok(context)
}

/// Writes into an `sk_buff`'s context what is known of the packet beside its bytes.
pub(super) fn describe(run: &Run<'_>, frame: &Frame<'_>) {
    let fields = run.fields();
    fields.set_u32(SkbField::IFINDEX, frame.ifindex);
    fields.set_u32(SkbField::INGRESS_IFINDEX, frame.ifindex);
    fields.set_u32(SkbField::QUEUE_MAPPING, frame.queue);
    fields.set_u32(SkbField::MARK, frame.mark);
    fields.set_u64(SkbField::TSTAMP, frame.timestamp);
    let len = frame.original_len.max(frame.bytes.len() as u32);
    fields.set_u32(SkbField::WIRE_LEN, len);
}
