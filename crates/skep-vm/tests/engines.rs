//! The engines against one another: on random programs, in both modes, they give the same results,
//! the same faults at the same places, and leave the same bytes behind.

mod generator;

use generator::{CONTEXT, Random, program};
use skep_isa::{Disassembler, NoSymbols, RawInsn, assemble};
use skep_vm::{Config, Engine, Fault, FaultKind, Vm};

fn seeds() -> std::ops::Range<u64> {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = read("SKEP_SEED").unwrap_or(0);
    first..first + read("SKEP_PROGRAMS").unwrap_or(1000)
}

/// Instructions that programs may take; of every few, some have less than they need.
const BUDGETS: [u64; 12] = [
    50_000, 50_000, 50_000, 50_000, 50_000, 50_000, 70, 100, 150, 230, 400, 1000,
];

fn machine(instructions: u64) -> Vm {
    let mut config = Config::default();
    config.cpus = 1;
    config.limits.instructions = instructions;
    config.limits.time = None;
    Vm::with(config).expect("memory")
}

fn listing(slots: &[RawInsn]) -> String {
    Disassembler::new(&NoSymbols).program(slots).to_string()
}

struct Bench {
    vm: Vm,
    memory: Vec<u8>,
    before: Vec<u8>,
}

type Outcome = (Result<u64, Fault>, Vec<u8>);

impl Bench {
    /// Runs a program in checked mode; its memory is at the same address each time.
    fn checked(&mut self, slots: &[RawInsn], engine: Engine) -> Option<Outcome> {
        let program = self.vm.bare("test", slots, engine).ok()?;
        self.memory.copy_from_slice(&self.before);
        let result = program.run(&mut self.memory);
        Some((result, self.memory.clone()))
    }

    /// The same in verified mode.
    ///
    /// # Safety
    /// The program has run to its end in checked mode, with the same memory.
    unsafe fn verified(&mut self, slots: &[RawInsn], engine: Engine) -> Option<Outcome> {
        // SAFETY: it does the same as then, since it sees the same.
        let program = unsafe { self.vm.bare_verified("test", slots, engine) }.ok()?;
        self.memory.copy_from_slice(&self.before);
        let result = program.run(&mut self.memory);
        Some((result, self.memory.clone()))
    }

    /// Zeroes the stack, which verified runs leave as it is: checked runs zero what they used.
    fn clean(&mut self) {
        let deep = assemble("again: call again\n exit").expect("a program");
        let fault = self.checked(&deep, Engine::Interpreter);
        assert!(matches!(
            fault,
            Some((
                Err(Fault {
                    kind: FaultKind::CallDepth,
                    ..
                }),
                _
            ))
        ));
    }
}

#[test]
fn random_programs() {
    let vms = BUDGETS.map(machine);
    let (mut loaded, mut ended) = (0, 0);
    for seed in seeds() {
        let mut random = Random::new(seed);
        let slots = program(&mut random);
        if std::env::var_os("SKEP_SHOW").is_some() {
            eprintln!("seed {seed}\n{}", listing(&slots));
        }
        let before: Vec<u8> = (0..CONTEXT).map(|_| random.next() as u8).collect();
        let vm = &vms[seed as usize % vms.len()];
        let mut bench = Bench {
            vm: vm.clone(),
            memory: before.clone(),
            before,
        };
        let Some(expected) = bench.checked(&slots, Engine::Interpreter) else {
            continue;
        };
        loaded += 1;
        let explain =
            |mode: &str, engine: &str| format!("seed {seed}, {mode} {engine}\n{}", listing(&slots));
        let found = bench.checked(&slots, Engine::Jit);
        assert_eq!(
            found.as_ref(),
            Some(&expected),
            "{}",
            explain("checked", "JIT")
        );
        if expected.0.is_err() {
            continue;
        }
        ended += 1;
        for (engine, name) in [(Engine::Interpreter, "interpreter"), (Engine::Jit, "JIT")] {
            // SAFETY: it ended without a fault just now.
            let found = unsafe { bench.verified(&slots, engine) };
            assert_eq!(
                found.as_ref(),
                Some(&expected),
                "{}",
                explain("verified", name)
            );
            bench.clean();
        }
    }
    println!("{loaded} programs, {ended} without a fault");
    assert!(ended * 5 > loaded, "many programs should run to their end");
}
