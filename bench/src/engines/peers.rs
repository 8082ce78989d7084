//! The engines: each made ready once, then run.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use skep_abi::ProgramType;
use skep_host::{Host, ProgramLoad, TestRun};
use skep_isa::{Endian, RawInsn, encode_slots};
use skep_vm::{Config, Engine, Vm};
use solana_sbpf::{
    aligned_memory::AlignedMemory,
    ebpf,
    elf::Executable,
    memory_region::{MemoryMapping, MemoryRegion},
    program::{BuiltinProgram, FunctionRegistry, SBPFVersion},
    vm::{CallFrame, Config as SbpfConfig, ContextObject, EbpfVm, ExecutionMode},
};

use crate::Result;

/// So many runs in one go: the answer, and the nanoseconds of one, by their mean.
type Run = Box<dyn FnMut(u32) -> Result<(u64, f64)>>;

/// A program made ready by one engine.
pub(crate) struct Peer {
    /// What that took.
    pub(crate) ready: Duration,
    run: Run,
    /// The nanoseconds of its best turn.
    pub(crate) least: f64,
}

/// How long a turn takes, in nanoseconds, by the best one before: caches and the prediction of
/// branches are the last peer's when it begins, and that is not to count.
const TURN: f64 = 4e6;

impl Peer {
    /// Runs it for one turn; answers what it answered.
    pub(crate) fn turn(&mut self) -> Result<u64> {
        let repeat = (TURN / self.least).clamp(1.0, 10_000.0) as u32;
        let (answer, time) = (self.run)(repeat)?;
        self.least = self.least.min(time);
        Ok(answer)
    }

    /// The program on every engine; the kernel's comes first.
    pub(crate) fn all(name: &str, slots: &[RawInsn]) -> Vec<(&'static str, Result<Self>)> {
        vec![
            ("kernel JIT", made(|| kernel(name, slots))),
            (
                "skep JIT, verified",
                made(|| skep(name, slots, Engine::Jit, true)),
            ),
            (
                "skep JIT, checked",
                made(|| skep(name, slots, Engine::Jit, false)),
            ),
            (
                "skep interpreter, verified",
                made(|| skep(name, slots, Engine::Interpreter, true)),
            ),
            (
                "skep interpreter, checked",
                made(|| skep(name, slots, Engine::Interpreter, false)),
            ),
            ("rbpf interpreter", made(|| rbpf(slots, false))),
            ("rbpf JIT", made(|| rbpf(slots, true))),
            ("sbpf interpreter", made(|| sbpf(slots, false))),
            ("sbpf JIT", made(|| sbpf(slots, true))),
        ]
    }
}

fn made(make: impl FnOnce() -> Result<Run>) -> Result<Peer> {
    let started = Instant::now();
    let run = make()?;
    Ok(Peer {
        ready: started.elapsed(),
        run,
        least: f64::INFINITY,
    })
}

/// Runs that are timed as one.
fn timed(repeat: u32, mut run: impl FnMut() -> Result<u64>) -> Result<(u64, f64)> {
    let started = Instant::now();
    let mut answer = run()?;
    for _ in 1..repeat {
        answer = run()?;
    }
    let time = started.elapsed().as_nanos() as f64 / f64::from(repeat);
    Ok((answer, time))
}

fn kernel(name: &str, slots: &[RawInsn]) -> Result<Run> {
    let host = skep_linux::LinuxHost::new()?;
    let bytes = encode_slots(slots, Endian::NATIVE);
    let request = ProgramLoad::new(ProgramType::Xdp, name, &bytes);
    let program = host.prog_load(&request)?.fd;
    Ok(Box::new(move |repeat| {
        let packet = [0; 64];
        let mut run = TestRun {
            data_in: &packet,
            repeat,
            ..TestRun::default()
        };
        let outcome = host.prog_test_run(&program, &mut run)?;
        let answer = u64::from(outcome.return_value);
        Ok((answer, f64::from(outcome.duration)))
    }))
}

fn skep(name: &str, slots: &[RawInsn], engine: Engine, verified: bool) -> Result<Run> {
    let mut config = Config::default();
    config.limits.time = None;
    let vm = Vm::with(config)?;
    let program = if verified {
        // SAFETY: the kernel's verifier accepted these instructions (the first peer).
        unsafe { vm.bare_verified(name, slots, engine)? }
    } else {
        vm.bare(name, slots, engine)?
    };
    Ok(Box::new(move |repeat| {
        timed(repeat, || Ok(program.run(&mut [])?))
    }))
}

fn rbpf(slots: &[RawInsn], jit: bool) -> Result<Run> {
    let bytes: &'static [u8] = encode_slots(slots, Endian::NATIVE).leak();
    let mut vm = rbpf::EbpfVmNoData::new(Some(bytes))?;
    if jit {
        vm.jit_compile()?;
    }
    Ok(Box::new(move |repeat| {
        timed(repeat, || {
            if jit {
                // SAFETY: as above.
                Ok(unsafe { vm.execute_program_jit()? })
            } else {
                Ok(vm.execute_program()?)
            }
        })
    }))
}

/// What sbpf asks of whoever runs programs.
struct Meter {
    remaining: u64,
    mapping: RefCell<MemoryMapping>,
}

impl ContextObject for Meter {
    fn consume(&mut self, amount: u64) {
        self.remaining = self.remaining.saturating_sub(amount);
    }

    fn get_remaining(&self) -> u64 {
        self.remaining
    }

    fn active_mapping_ptr(&mut self) -> std::ptr::NonNull<MemoryMapping> {
        std::ptr::NonNull::from(self.mapping.get_mut())
    }
}

fn sbpf(slots: &[RawInsn], jit: bool) -> Result<Run> {
    let version = SBPFVersion::V3;
    let loader = Arc::new(BuiltinProgram::<Meter>::new_loader(SbpfConfig::default()));
    let bytes = encode_slots(slots, Endian::NATIVE);
    let executable = Executable::<Meter>::from_text_bytes(
        &bytes,
        Arc::clone(&loader),
        version,
        FunctionRegistry::default(),
    )
    .map_err(|error| format!("{error:?}"))?;
    if jit {
        executable
            .jit_compile()
            .map_err(|error| format!("{error:?}"))?;
    }
    let mut stack =
        AlignedMemory::<{ ebpf::HOST_ALIGN }>::zero_filled(executable.get_config().stack_size());
    let mut frames = vec![CallFrame::default(); executable.get_config().max_call_depth];
    let mut once = move || -> Result<(u64, f64)> {
        let stack_len = stack.len();
        let regions = vec![MemoryRegion::new(&mut stack, ebpf::MM_STACK_START)];
        // SAFETY: the stack lives as long as the run.
        let mapping = unsafe { MemoryMapping::new(regions, executable.get_config(), version) };
        let mapping = mapping.map_err(|error| format!("{error:?}"))?;
        let mut meter = Meter {
            remaining: 1 << 40,
            mapping: RefCell::new(mapping),
        };
        let mut vm = EbpfVm::new(Arc::clone(&loader), version, &mut meter, stack_len);
        let mut mode = if jit {
            ExecutionMode::Jit
        } else {
            ExecutionMode::Interpreted
        };
        // What it has to have anew for each run does not count.
        let started = Instant::now();
        let (_, answer) = vm.execute_program(&executable, &mut mode, &mut frames);
        let time = started.elapsed().as_nanos() as f64;
        let answer: std::result::Result<u64, _> = answer.into();
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        Ok((answer, time))
    };
    Ok(Box::new(move |repeat| {
        let (mut answer, mut time) = once()?;
        for _ in 1..repeat {
            let (next, took) = once()?;
            answer = next;
            time += took;
        }
        Ok((answer, time / f64::from(repeat)))
    }))
}
