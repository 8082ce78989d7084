//! A loaded program of any type, run once on a given input: what tests, replays and coverage of
//! programs stand on. Nothing need be attached.

use std::sync::Arc;

use skep_abi::{AttachType, Command, ProgramType};
use skep_host::{Cause, Errno, Error, ProgramFd, Result, TestRun};

use crate::{
    Fault, Vm,
    host::{Answer, Around, Failure, dispatch, program_of, takes_packets},
    machine::{Attached, Task, fire::fire_with},
    memory::Block,
    program::Program,
    run::{
        Ours, Run,
        packet::{Redirect, Sent, shape},
    },
};

/// What a program is run on, once: the input of [`Vm::fire_program`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Input<'a> {
    /// The context's bytes, as programs of its type see them.
    ///
    /// Programs of types that `BPF_PROG_TEST_RUN` runs on packets take what that takes: nothing,
    /// or the uapi struct with what users may set (`xdp_md.data_end` is the packet's length,
    /// `__sk_buff.mark`, …). For all others it is what the hook would show: the record of a
    /// tracepoint from its common fields on, a `struct pt_regs` of a kprobe, a
    /// `bpf_perf_event_data`, the words of a raw tracepoint's or a function's arguments, the uapi
    /// struct of a cgroup's hook. What is missing at the end reads as zero, up to the length of
    /// the type's struct.
    pub context: &'a [u8],
    /// The packet, from its link-layer header on; for types that have packets.
    pub packet: &'a [u8],
    /// Memory that the context points to.
    pub memory: Vec<Lent<'a>>,
    /// Who it is for; this thread if nothing is said.
    pub task: Option<Arc<Task>>,
    /// The virtual CPU that it is on; any if nothing is said. Must be one of the machine's.
    pub cpu: Option<u32>,
    /// What `bpf_get_attach_cookie` returns.
    pub cookie: u64,
    /// What `bpf_get_func_ip` returns.
    pub function: u64,
    /// For programs at a function (`fexit`): the last word of the context is its return value.
    pub returned: bool,
    /// What programs before it want a call to return (`bpf_get_retval`).
    pub return_value: i32,
    /// What `bpf_get_prandom_u32` gives, one after the other, and again from the first on; chance
    /// if there is nothing.
    pub random: &'a [u32],
    /// Where the hook was called from, innermost first: what `bpf_get_stackid` and its like show of
    /// the kernel, behind the program's own place, and of the task.
    pub kernel_stack: &'a [u64],
    /// The same of the task.
    pub user_stack: &'a [u64],
}

/// Memory that a context points to, for the time of a run: the bytes of an object whose address
/// the machine writes into the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lent<'a> {
    /// Where in the context its address stands, in 8 bytes.
    pub at: usize,
    /// Where the address behind its end stands, if it does (`bpf_sockopt.optval_end`).
    pub end_at: Option<usize>,
    /// What is there.
    pub bytes: &'a [u8],
    /// Whether the program may write it.
    pub writable: bool,
}

impl<'a> Lent<'a> {
    /// Memory that may only be read, whose address is at a place of the context.
    #[must_use]
    pub const fn new(at: usize, bytes: &'a [u8]) -> Self {
        Self {
            at,
            end_at: None,
            bytes,
            writable: false,
        }
    }
}

/// What a run gave and left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ran {
    /// R0 at its end (of programs with packets its lower half), or what stopped it.
    pub result: std::result::Result<u64, Fault>,
    /// The context afterwards. Of programs with packets: as `BPF_PROG_TEST_RUN` shows it, and
    /// nothing after a fault.
    pub context: Vec<u8>,
    /// The packet afterwards; nothing after a fault.
    pub packet: Vec<u8>,
    /// The memory that the context pointed to, in its order.
    pub memory: Vec<Vec<u8>>,
    /// Where it sends the packet, if that is what its value means.
    pub redirect: Option<Redirect>,
    /// The copies of the packet that it has sent elsewhere (`bpf_clone_redirect`).
    pub sent: Vec<Sent>,
    /// What it wants the call to return (`bpf_set_retval`).
    pub return_value: i32,
    /// What the function shall return instead of running (`bpf_override_return`).
    pub overridden: Option<u64>,
}

/// Bytes of the longest packet that a run can leave: a page and all fragments.
const LONGEST: usize = 18 * 4096;
/// Bytes of the longest context that is given back of a run on a packet.
const CONTEXT: usize = 256;
/// Bytes of the arguments of a raw tracepoint: twelve words.
const ARGUMENTS: usize = 12 * 8;

impl Vm {
    /// Runs a loaded program once, as it would run at its hook, on this input. It need not be
    /// attached, and others that are do not run.
    ///
    /// What is attached to a hook is counted as fired there; here only the program's own counters
    /// and its stream of errors tell of the run.
    ///
    /// ```
    /// use skep_abi::ProgramType;
    /// use skep_host::{Host, ProgramLoad};
    /// use skep_isa::{Endian, assemble, encode_slots};
    /// use skep_vm::{Input, TaskInfo, Vm};
    ///
    /// let vm = Vm::new()?;
    /// // A tracepoint's program, which answers the task's number and a field of its record.
    /// let text = "r6 = r1
    ///             call 14
    ///             r0 <<= 32
    ///             r1 = *(u32 *)(r6 + 8)
    ///             r0 |= r1
    ///             exit";
    /// let code = encode_slots(&assemble(text)?, Endian::NATIVE);
    /// let load = ProgramLoad::new(ProgramType::Tracepoint, "fields", &code);
    /// let program = vm.prog_load(&load)?.fd;
    ///
    /// let mut info = TaskInfo::default();
    /// (info.pid, info.tgid) = (7, 7);
    /// let mut input = Input::default();
    /// input.context = &[0, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0];
    /// input.task = Some(vm.task(info));
    /// let ran = vm.fire_program(&program, &input)?;
    /// assert_eq!(ran.result, Ok(7 << 32 | 42));
    ///
    /// // How long a record is, no verifier knows: what is not there reads as 0.
    /// input.context = &[];
    /// assert_eq!(vm.fire_program(&program, &input)?.result, Ok(7 << 32));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// No such program or CPU; the input does not fit the program's type (`EINVAL`, with the rules
    /// of `BPF_PROG_TEST_RUN` where that runs programs of the type); no memory. That the program
    /// was stopped is no error: it is in [`Ran::result`].
    pub fn fire_program(&self, program: &ProgramFd, input: &Input<'_>) -> Result<Ran> {
        let failed = |errno, said: Option<String>| {
            let error = Error::command(Command::ProgTestRun, "a program's run", errno);
            error.because(said.map(Cause::Said))
        };
        let program = program_of(self, program).map_err(|errno| failed(errno, None))?;
        if let Some(cpu) = input.cpu.filter(|cpu| *cpu >= self.0.cpus.count()) {
            let count = self.0.cpus.count();
            let said = format!("there is no CPU {cpu}: the machine has {count}");
            return Err(failed(Errno::ENXIO, Some(said)));
        }
        let kind = program.program_type;
        let has_packet = takes_packets(kind) || shape(kind).is_some();
        if !input.packet.is_empty() && !has_packet {
            let said = format!("programs of type {kind} have no packets");
            return Err(failed(Errno::EINVAL, Some(said)));
        }
        if takes_packets(kind) && !input.memory.is_empty() {
            let said = format!("the context of a program of type {kind} has no pointers to set");
            return Err(failed(Errno::EINVAL, Some(said)));
        }
        let answer = match takes_packets(kind) {
            true => on_packet(self, program, input),
            false if shape(kind).is_some() => on_stream(self, program, input),
            false => on_context(self, program, input).map_err(Failure::from),
        };
        match answer {
            Ok(ran) => Ok(ran),
            Err(Failure::Fault(fault)) => Ok(Ran::stopped(fault)),
            Err(Failure::Refused(errno)) => Err(failed(errno, None)),
        }
    }
}

impl Ran {
    fn stopped(fault: Fault) -> Self {
        Self {
            result: Err(fault),
            context: Vec::new(),
            packet: Vec::new(),
            memory: Vec::new(),
            redirect: None,
            sent: Vec::new(),
            return_value: 0,
            overridden: None,
        }
    }
}

/// Shows a run what is around it.
fn prepare(run: &Run<'_>, input: &Input<'_>) {
    if let Some(task) = &input.task {
        run.set_task(Arc::clone(task));
    }
    run.set_random(input.random);
    let current = &run.current;
    current.cookie.set(input.cookie);
    current.function.set(input.function);
    current.returned.set(input.returned);
    current.return_value.set(input.return_value);
    *current.kernel_stack.borrow_mut() = input.kernel_stack.to_vec();
    *current.user_stack.borrow_mut() = input.user_stack.to_vec();
}

/// By the rules of test runs.
fn on_packet(vm: &Vm, program: &Arc<Program>, input: &Input<'_>) -> Answer<Ran> {
    let around = Around {
        cpu: input.cpu,
        prepare: Some(&|run| prepare(run, input)),
        ..Around::default()
    };
    let mut packet = vec![0; LONGEST];
    let mut context = vec![0; if input.context.is_empty() { 0 } else { CONTEXT }];
    let mut run = TestRun {
        data_in: input.packet,
        context_in: input.context,
        context_out: &mut context,
        ..TestRun::default()
    };
    // Types that answer a choice and no packet refuse to have a place for one.
    if program.program_type != ProgramType::SkLookup {
        run.data_out = &mut packet;
    }
    let outcome = dispatch(vm, program, &mut run, &around)?;
    packet.truncate(outcome.data_out_size as usize);
    context.truncate(outcome.context_out_size as usize);
    Ok(Ran {
        result: Ok(u64::from(outcome.return_value)),
        context,
        packet,
        memory: Vec::new(),
        redirect: around.redirect.get(),
        sent: around.sent.take(),
        return_value: around.return_value.get(),
        overridden: None,
    })
}

/// A packet for a program of a type that test runs don't know; its context is what the packet says.
fn on_stream(vm: &Vm, program: &Arc<Program>, input: &Input<'_>) -> Answer<Ran> {
    let Some((l2, direct)) = shape(program.program_type) else {
        return Err(Errno::ENOTSUPP.into());
    };
    if !input.context.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    let cpu = vm.0.cpus.take(input.cpu)?;
    let run = Run::new(&vm.0, program, cpu.id(), cpu.scratch(), vm.0.limits);
    prepare(&run, input);
    let len = input.packet.len();
    let context = run.receive_skb(input.packet, len, l2, direct, [0; 6])?;
    let value = run.start(context)? as u32;
    let left = run.packet_bytes(0, run.packet_len());
    Ok(Ran {
        result: Ok(u64::from(value)),
        context: Vec::new(),
        packet: left.map(crate::memory::View::to_vec).unwrap_or_default(),
        memory: Vec::new(),
        redirect: run.sends(value),
        sent: run.packet.clones.take(),
        return_value: run.current.return_value.get(),
        overridden: None,
    })
}

/// Whether programs of a type may write to their context.
const fn writes_context(kind: ProgramType) -> bool {
    !matches!(
        kind,
        ProgramType::Kprobe
            | ProgramType::PerfEvent
            | ProgramType::RawTracepoint
            | ProgramType::RawTracepointWritable
            | ProgramType::Tracing
            | ProgramType::Lsm
            | ProgramType::StructOps
    )
}

/// Bytes that a context of a type has at least.
fn least(kind: ProgramType) -> usize {
    match kind {
        ProgramType::RawTracepoint | ProgramType::RawTracepointWritable => ARGUMENTS,
        _ => kind
            .context_layout()
            .map_or(0, |layout| layout.size as usize),
    }
}

/// How many arguments the function has that a program is at.
fn arguments(program: &Program, input: &Input<'_>) -> Option<u32> {
    let words = u32::try_from(input.context.len() / 8).ok()?;
    let at_function = match program.program_type {
        ProgramType::Lsm => true,
        ProgramType::Tracing => {
            program.meta.expected_attach_type != Some(AttachType::TraceIter)
                && program.meta.expected_attach_type != Some(AttachType::TraceRawTp)
        }
        _ => false,
    };
    at_function.then(|| words.saturating_sub(u32::from(input.returned)))
}

/// On the bytes of a context.
fn on_context(
    vm: &Vm,
    program: &Arc<Program>,
    input: &Input<'_>,
) -> std::result::Result<Ran, Errno> {
    let kind = program.program_type;
    let context = Block::new(input.context.len().max(least(kind)))?;
    context.all().write(input.context);
    let mut lent = Vec::with_capacity(input.memory.len());
    for memory in &input.memory {
        let block = Block::new(memory.bytes.len())?;
        block.all().write(memory.bytes);
        let start = block.address();
        let end = start + block.len() as u64;
        let set = |at, address| context.all().set_u64(at, address).ok_or(Errno::EINVAL);
        set(memory.at, start)?;
        if let Some(end_at) = memory.end_at {
            set(end_at, end)?;
        }
        lent.push((block, memory.writable));
    }
    let cpu = vm.0.cpus.take(input.cpu)?;
    let entry = Attached::new(Arc::clone(program), input.cookie);
    let grant = |run: &Run<'_>, block: &Block, writable| {
        if block.len() > 0 {
            run.grant(Ours {
                start: block.address(),
                len: block.len() as u64,
                writable,
            });
        }
    };
    let mut ran = Ran::stopped(Fault::before(&program.name, "it is running already".into()));
    let result = fire_with(
        &vm.0,
        &cpu,
        &entry,
        [context.address(), 0],
        |run| {
            prepare(run, input);
            run.current.arguments.set(arguments(program, input));
            grant(run, &context, writes_context(kind));
            for (block, writable) in &lent {
                grant(run, block, *writable);
            }
        },
        |run| {
            ran.return_value = run.current.return_value.get();
            ran.overridden = run.current.overridden.get();
        },
    );
    if let Some(result) = result {
        ran.result = result;
    }
    ran.context = context.all().to_vec();
    ran.memory = lent.iter().map(|(block, _)| block.all().to_vec()).collect();
    Ok(ran)
}
