//! `BPF_PROG_TEST_RUN`: programs on given input.

use std::{
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
    run::{Ours, Run},
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
        Ok(program) => dispatch(vm, program, run),
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

fn dispatch(
    vm: &Vm,
    program: &Arc<Program>,
    run: &mut TestRun<'_>,
) -> std::result::Result<TestRunOutcome, Failure> {
    match program.program_type {
        ProgramType::Syscall => syscall(vm, program, run),
        ProgramType::RawTracepoint | ProgramType::RawTracepointWritable => {
            raw_tracepoint(vm, program, run)
        }
        _ => Err(Errno::ENOTSUPP.into()),
    }
}

/// A `syscall` program, on bytes that it may change.
fn syscall(
    vm: &Vm,
    program: &Arc<Program>,
    run: &mut TestRun<'_>,
) -> std::result::Result<TestRunOutcome, Failure> {
    let unused = !run.data_in.is_empty()
        || !run.data_out.is_empty()
        || run.repeat != 0
        || run.cpu != 0
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
fn raw_tracepoint(
    vm: &Vm,
    program: &Arc<Program>,
    run: &mut TestRun<'_>,
) -> std::result::Result<TestRunOutcome, Failure> {
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
