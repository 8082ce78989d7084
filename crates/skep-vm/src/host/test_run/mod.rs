//! `BPF_PROG_TEST_RUN`: programs on given input, with the kernel's rules for each type.

mod buffer;
mod frame;
mod others;

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::{Duration, Instant},
};

use skep_abi::{Command, ProgramType, TestRunFlags};
use skep_host::{Cause, Errno, Error, ProgramFd, Result, TestRun, TestRunOutcome};

use super::program::{describe, program};
use crate::{
    Fault, Vm,
    memory::Block,
    program::Program,
    run::{
        Ours, Run,
        packet::{Redirect, Sent},
    },
};

/// Why a test run gives no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It can't be run so.
    Refused(Errno),
    /// It was stopped.
    Fault(Fault),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Bytes of the arguments of a raw tracepoint: twelve words.
const ARGUMENTS: usize = 12 * 8;
/// Most bytes of a `syscall` program's context.
const CONTEXT: usize = u16::MAX as usize;

pub(super) fn test_run(vm: &Vm, fd: &ProgramFd, run: &mut TestRun<'_>) -> Result<TestRunOutcome> {
    let answer = match program(vm, fd) {
        Ok(program) => dispatch(vm, program, run, &Around::default()),
        Err(errno) => Err(errno.into()),
    };
    answer.map_err(|failure| {
        let object = describe(vm, fd);
        match failure {
            Failure::Refused(errno) => Error::command(Command::ProgTestRun, object, errno),
            Failure::Fault(fault) => Error::command(Command::ProgTestRun, object, Errno::EFAULT)
                .because(Some(Cause::Other {
                    what: fault.to_string(),
                    fix: "mend the program at that instruction".into(),
                })),
        }
    })
}

/// What is around a run beside its input, and what it leaves beside its output.
#[derive(Default)]
pub(crate) struct Around<'a> {
    /// The CPU that it is on, if that matters.
    pub(crate) cpu: Option<u32>,
    /// Shows the run who it is for, and the like.
    pub(crate) prepare: Option<&'a dyn Fn(&Run<'_>)>,
    /// Where the last run sends its packet, if its value says that it is sent.
    pub(crate) redirect: Cell<Option<Redirect>>,
    /// The copies that runs have sent elsewhere.
    pub(crate) sent: RefCell<Vec<Sent>>,
    /// What the last run wants a call to return.
    pub(crate) return_value: Cell<i32>,
}

/// Whether programs of a type are run on packets by the rules of this command.
pub(crate) fn takes_packets(kind: ProgramType) -> bool {
    matches!(
        kind,
        ProgramType::Xdp
            | ProgramType::SchedCls
            | ProgramType::SchedAct
            | ProgramType::SocketFilter
            | ProgramType::CgroupSkb
            | ProgramType::LwtIn
            | ProgramType::LwtOut
            | ProgramType::LwtXmit
            | ProgramType::FlowDissector
            | ProgramType::SkLookup
            | ProgramType::Netfilter
    )
}

/// Runs a program by the rules of its type.
pub(crate) fn dispatch(
    vm: &Vm,
    program: &Arc<Program>,
    run: &mut TestRun<'_>,
    around: &Around<'_>,
) -> Answer {
    match program.program_type {
        ProgramType::Syscall => syscall(vm, program, run),
        ProgramType::RawTracepoint => raw_tracepoint(vm, program, run),
        ProgramType::Xdp => frame::run(vm, program, run, around),
        ProgramType::SchedCls
        | ProgramType::SchedAct
        | ProgramType::SocketFilter
        | ProgramType::CgroupSkb
        | ProgramType::LwtIn
        | ProgramType::LwtOut
        | ProgramType::LwtXmit => buffer::run(vm, program, run, around),
        ProgramType::FlowDissector => others::flow_dissector(vm, program, run, around),
        ProgramType::SkLookup => others::sk_lookup(vm, program, run, around),
        ProgramType::Netfilter => others::netfilter(vm, program, run, around),
        ProgramType::Tracing => others::tracing(program, run),
        _ => Err(Errno::ENOTSUPP.into()),
    }
}

/// What a test run gives, or why not.
pub(crate) type Answer<T = TestRunOutcome> = std::result::Result<T, Failure>;

/// The context that was given, as long as the type's, zeroes behind what was given; `None` if none
/// was given and none is asked for.
fn context_in<const LEN: usize>(run: &TestRun<'_>) -> Answer<Option<[u8; LEN]>> {
    /// A page, which is the most that the kernel looks at.
    const PAGE: usize = 4096;
    if run.context_in.is_empty() && run.context_out.is_empty() {
        return Ok(None);
    }
    let fits = run.context_in.len().min(LEN);
    let (known, unknown) = run.context_in.split_at(fits);
    if run.context_in.len() > PAGE || unknown.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG.into());
    }
    let mut context = [0; LEN];
    context[..fits].copy_from_slice(known);
    Ok(Some(context))
}

/// What the last run gave, and how long each took.
#[derive(Debug, Clone, Copy)]
struct Done {
    value: u64,
    mean: Duration,
}

/// Copies packet and context out. `size` is what the packet had, where `data` is less.
///
/// # Errors
/// `ENOSPC`: the context does not fit. That a packet does not is no error: its size says so.
fn finish(
    run: &mut TestRun<'_>,
    done: &Done,
    data: &[u8],
    size: usize,
    context: Option<&[u8]>,
) -> Answer {
    let fits = data.len().min(run.data_out.len());
    run.data_out[..fits].copy_from_slice(&data[..fits]);
    let mut outcome = TestRunOutcome {
        return_value: done.value as u32,
        duration: u32::try_from(done.mean.as_nanos()).unwrap_or(u32::MAX),
        data_out_size: size as u32,
        context_out_size: run.context_out.len() as u32,
    };
    let cut = !run.data_out.is_empty() && run.data_out.len() < size;
    if let (Some(context), false, false) = (context, cut, run.context_out.is_empty()) {
        outcome.context_out_size = context.len() as u32;
        let fits = context.len().min(run.context_out.len());
        run.context_out[..fits].copy_from_slice(&context[..fits]);
        if fits < context.len() && size <= run.data_out.len() {
            return Err(Errno::ENOSPC.into());
        }
    }
    Ok(outcome)
}

/// Gives a run what `prepare` puts into it, runs it some times, and shows it to `inspect`. As in
/// the kernel, each time finds what the one before left.
fn with_packet<T>(
    vm: &Vm,
    program: &Arc<Program>,
    around: &Around<'_>,
    times: u32,
    prepare: impl FnOnce(&Run<'_>) -> std::result::Result<u64, Errno>,
    inspect: impl FnOnce(&Run<'_>, &Done) -> T,
) -> Answer<T> {
    let cpu = vm.0.cpus.take(around.cpu)?;
    let mut run = Run::new(&vm.0, program, cpu.id(), cpu.scratch(), vm.0.limits);
    if let Some(prepare) = around.prepare {
        prepare(&run);
    }
    let context = prepare(&run)?;
    let times = times.max(1);
    let started = Instant::now();
    let mut value = 0;
    for _ in 0..times {
        run.rewind();
        value = run.start(context)?;
    }
    let taken = started.elapsed();
    if vm.0.registry.counts() {
        program.meta.counters.add(u64::from(times), taken);
    }
    around.return_value.set(run.current.return_value.get());
    around.redirect.set(run.sends(value as u32));
    around.sent.replace(run.packet.clones.take());
    let done = Done {
        value,
        mean: taken / times,
    };
    Ok(inspect(&run, &done))
}

/// A `syscall` program, on bytes that it may change.
fn syscall(vm: &Vm, program: &Arc<Program>, run: &mut TestRun<'_>) -> Answer {
    let unused = !run.data_in.is_empty()
        || !run.data_out.is_empty()
        || run.repeat != 0
        || run.batch_size != 0
        || !run.flags.is_empty();
    if unused || run.context_in.len() > CONTEXT {
        return Err(Errno::EINVAL.into());
    }
    let context = Block::new(run.context_in.len())?;
    context.all().write(run.context_in);
    let (value, _) = repeat(vm, program, None, 1, &context)?;
    let written = context.len().min(run.context_out.len());
    context.all().read(&mut run.context_out[..written]);
    Ok(TestRunOutcome {
        return_value: value as u32,
        context_out_size: if run.context_out.is_empty() {
            0
        } else {
            context.len() as u32
        },
        ..TestRunOutcome::default()
    })
}

/// A raw tracepoint's program, on its arguments.
fn raw_tracepoint(vm: &Vm, program: &Arc<Program>, run: &mut TestRun<'_>) -> Answer {
    let unused = !run.data_in.is_empty()
        || !run.data_out.is_empty()
        || !run.context_out.is_empty()
        || run.repeat != 0
        || run.batch_size != 0;
    if unused || run.context_in.len() > ARGUMENTS {
        return Err(Errno::EINVAL.into());
    }
    let cpu = match run.flags.contains(TestRunFlags::RUN_ON_CPU) {
        true if run.cpu >= vm.0.cpus.count() => return Err(Errno::ENXIO.into()),
        true => Some(run.cpu),
        false if run.cpu != 0 => return Err(Errno::EINVAL.into()),
        false => None,
    };
    let context = Block::new(ARGUMENTS)?;
    context.all().write(run.context_in);
    let (value, _) = repeat(vm, program, cpu, 1, &context)?;
    Ok(TestRunOutcome {
        return_value: value as u32,
        ..TestRunOutcome::default()
    })
}

/// Runs a program some times on one context; answers its last value and the mean time.
fn repeat(
    vm: &Vm,
    program: &Arc<Program>,
    cpu: Option<u32>,
    times: u32,
    context: &Block,
) -> std::result::Result<(u64, Duration), Failure> {
    let cpu = vm.0.cpus.take(cpu)?;
    let started = Instant::now();
    let mut value = 0;
    for _ in 0..times.max(1) {
        let run = Run::new(&vm.0, program, cpu.id(), cpu.scratch(), vm.0.limits);
        if context.len() > 0 {
            run.grant(Ours {
                start: context.address(),
                len: context.len() as u64,
                writable: true,
            });
        }
        value = run.start(if context.len() > 0 {
            context.address()
        } else {
            0
        })?;
    }
    let taken = started.elapsed();
    if vm.0.registry.counts() {
        program.meta.counters.add(u64::from(times.max(1)), taken);
    }
    Ok((value, taken / times.max(1)))
}
