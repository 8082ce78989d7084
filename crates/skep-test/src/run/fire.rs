//! One run of a program: on the machine with all that a test can say, or by the kernel's test
//! run.

use std::sync::Arc;

use skep::{
    Program,
    abi::{AttachType, ProgramType, TestRunFlags},
    boundary::TestRun,
    vm::{Fault, Input, Lent, Redirect, Task, Vm},
};

use super::context::Context;
use crate::definition::Step;

/// What a run gave, on either host.
#[derive(Debug, Clone)]
pub(crate) struct Fired {
    pub(crate) kind: ProgramType,
    pub(crate) result: Result<u64, Fault>,
    pub(crate) context: Vec<u8>,
    /// Memory that the context pointed to, by where its address stands.
    pub(crate) lent: Vec<(usize, Vec<u8>)>,
    pub(crate) given: Vec<u8>,
    pub(crate) packet: Vec<u8>,
    /// `None` where the host does not tell.
    pub(crate) redirect: Option<Option<Redirect>>,
    pub(crate) retval: i32,
    pub(crate) overridden: Option<u64>,
    /// What an iterator wrote.
    pub(crate) output: Option<String>,
}

impl Fired {
    /// A run that gave text alone.
    pub(crate) fn of_text(kind: ProgramType, output: String) -> Self {
        Self {
            kind,
            result: Ok(0),
            context: Vec::new(),
            lent: Vec::new(),
            given: Vec::new(),
            packet: Vec::new(),
            redirect: None,
            retval: 0,
            overridden: None,
            output: Some(output),
        }
    }
}

/// Bytes of the longest packet that a run can leave: a page and all fragments.
const LONGEST: usize = 18 * 4096;

/// Whether programs of a type have a packet that test runs give back.
pub(crate) fn has_packet(kind: ProgramType) -> bool {
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
            | ProgramType::LwtSeg6local
            | ProgramType::SkSkb
            | ProgramType::FlowDissector
            | ProgramType::Netfilter
    )
}

/// Whether the kernel runs programs of a type by hand.
pub(crate) fn kernel_runs(kind: ProgramType, attach: Option<AttachType>) -> bool {
    if attach == Some(AttachType::TraceIter) {
        return true;
    }
    let packets =
        has_packet(kind) && !matches!(kind, ProgramType::SkSkb | ProgramType::LwtSeg6local);
    let others = matches!(
        kind,
        ProgramType::SkLookup | ProgramType::RawTracepoint | ProgramType::Syscall
    );
    packets || others
}

/// On the machine.
///
/// # Errors
/// The input does not fit the program, in the words of the machine.
pub(crate) fn on_vm(
    vm: &Vm,
    program: &Program,
    step: &Step,
    context: &Context,
    packet: &[u8],
    task: &Arc<Task>,
) -> Result<Fired, skep::boundary::Error> {
    let mut input = Input::default();
    input.context = &context.bytes;
    input.packet = packet;
    input.task = Some(Arc::clone(task));
    input.cpu = Some(step.cpu.unwrap_or(0));
    input.cookie = step.cookie;
    input.return_value = step.retval;
    input.random = &step.random;
    (input.kernel_stack, input.user_stack) = (&step.kernel_stack, &step.user_stack);
    input.returned = matches!(
        program.section().name(),
        "fexit" | "fexit.s" | "fmod_ret" | "fmod_ret.s"
    );
    input.memory = context
        .lent
        .iter()
        .map(|memory| {
            let mut lent = Lent::new(memory.at, &memory.bytes);
            (lent.end_at, lent.writable) = (memory.end_at, memory.writable);
            lent
        })
        .collect();
    let mut ran = vm.fire_program(program.fd(), &input)?;
    for _ in 1..step.repeat {
        if ran.result.is_err() {
            break;
        }
        ran = vm.fire_program(program.fd(), &input)?;
    }
    let places = context.lent.iter().map(|memory| memory.at);
    Ok(Fired {
        kind: program.program_type(),
        result: ran.result,
        context: ran.context,
        lent: places.zip(ran.memory).collect(),
        given: packet.to_vec(),
        packet: ran.packet,
        redirect: Some(ran.redirect),
        retval: ran.return_value,
        overridden: ran.overridden,
        output: None,
    })
}

/// On the kernel.
///
/// # Errors
/// The kernel refuses the input.
pub(crate) fn on_kernel(
    program: &Program,
    step: &Step,
    context: &Context,
    packet: &[u8],
) -> skep::Result<Fired> {
    let kind = program.program_type();
    let mut data = vec![0; LONGEST];
    // Raw tracepoints give no context back.
    let gives = !context.bytes.is_empty() && kind != ProgramType::RawTracepoint;
    let mut after = vec![0; if gives { context.bytes.len() } else { 0 }];
    let mut result = 0;
    let mut lens = (0, 0);
    for _ in 0..step.repeat {
        let mut run = TestRun {
            data_in: packet,
            context_in: &context.bytes,
            context_out: &mut after,
            ..TestRun::default()
        };
        if has_packet(kind) && kind != ProgramType::Netfilter {
            run.data_out = &mut data;
        }
        if let (Some(cpu), ProgramType::RawTracepoint) = (step.cpu, kind) {
            (run.cpu, run.flags) = (cpu, TestRunFlags::RUN_ON_CPU);
        }
        let outcome = program.test_run(&mut run)?;
        result = outcome.return_value;
        lens = (
            outcome.data_out_size as usize,
            outcome.context_out_size as usize,
        );
    }
    data.truncate(lens.0);
    after.truncate(lens.1);
    Ok(Fired {
        kind,
        result: Ok(result.into()),
        context: after,
        lent: Vec::new(),
        given: packet.to_vec(),
        packet: data,
        redirect: None,
        retval: 0,
        overridden: None,
        output: None,
    })
}
