//! What the verifier accepts, run where everything is checked: nothing may trap.

use std::sync::LazyLock;

use skep_isa::opcode::{BPF_JCOND, BPF_JMP};
use skep_vm::{Config, Engine, Safety, Vm};

use crate::vm::{Case, Choices, Damage, End, Features, features, generate, mutate, run};

struct Machine {
    vm: Vm,
    features: Features,
}

static MACHINE: LazyLock<Machine> = LazyLock::new(|| {
    let mut config = Config::default();
    config.cpus = 2;
    config.engine = Engine::Interpreter;
    config.safety = Safety::Both;
    // Checked mode pays for instructions; an accepted program has an end, so it only pays more.
    config.limits.instructions = 50_000_000;
    config.limits.time = None;
    let vm = Vm::with(config).expect("memory for a machine");
    Machine {
        features: features(&[&vm]),
        vm,
    }
});

/// What came of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It ran to its end.
    Ran,
    /// It was refused.
    Refused,
}

/// Input: choices of a program, perhaps damaged.
///
/// # Panics
/// The program was accepted, and trapped.
pub fn accepted(input: &[u8]) -> Came {
    let mut choices = Choices::new(input);
    let damage = choices.below(4);
    let Machine { vm, features } = &*MACHINE;
    let mut case = generate(&mut choices, features);
    match damage {
        0 => mutate(&mut choices, &mut case, Damage::Any),
        1 => mutate(&mut choices, &mut case, Damage::Numbers),
        _ => {}
    }
    match run(
        vm,
        &|request| skep_host::Host::prog_load(vm, request),
        &case,
    ) {
        Err(_) => Came::Refused,
        Ok(outcome) => {
            if let End::Fault(text) = outcome.end {
                // A loop that only `may_goto` ends goes round eight million times.
                if text.contains("instructions are spent") && may_go_round(&case) {
                    return Came::Ran;
                }
                panic!("accepted, but: {text}\n{case}");
            }
            Came::Ran
        }
    }
}

/// Whether a program has loops of as many rounds as a verifier allows.
fn may_go_round(case: &Case) -> bool {
    const MAY_GOTO: u8 = BPF_JMP | BPF_JCOND;
    let bodies = std::iter::once(&case.main).chain(&case.tails);
    bodies
        .flat_map(|body| &body.slots)
        .any(|slot| slot.opcode == MAY_GOTO)
}
