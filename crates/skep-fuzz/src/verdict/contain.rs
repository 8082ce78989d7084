//! What is known before each instruction, beside what a run finds there.

use std::{
    cell::RefCell,
    sync::{Arc, LazyLock},
};

use skep_btf::Btf;
use skep_host::Host;
use skep_object::Target;
use skep_verifier::{Found, Observed, Options, observe};
use skep_vm::{Config, Coverage, Engine, Safety, Vm};

use super::subject::with;
use crate::vm::{Choices, Damage, Features, features, generate, mutate, run};

pub(super) struct Machine {
    pub(super) vm: Vm,
    pub(super) target: Target,
    pub(super) features: Features,
}

pub(super) static MACHINE: LazyLock<Machine> = LazyLock::new(|| {
    let mut config = Config::default();
    config.cpus = 1;
    config.engine = Engine::Interpreter;
    config.safety = Safety::Checks;
    config.steps = true;
    let vm = Vm::with(config).expect("memory for a machine");
    let bytes = vm.btf(None).expect("the machine's own types");
    let btf = Btf::parse((*bytes).as_ref().to_vec()).expect("well-formed");
    Machine {
        target: Target::new(vm.info().version).with_kernel_btf(Arc::new(btf)),
        features: features(&[&vm]),
        vm,
    }
});

/// Input: choices of a program, perhaps damaged. Answers how many steps were compared: 0 if it was
/// refused.
///
/// # Panics
/// A run found what was not thought of.
pub fn contained(input: &[u8]) -> usize {
    let mut choices = Choices::new(input);
    let damage = choices.below(6);
    let Machine {
        vm,
        target,
        features,
    } = &*MACHINE;
    let mut case = generate(&mut choices, features);
    match damage {
        0 => mutate(&mut choices, &mut case, Damage::Any),
        1 => mutate(&mut choices, &mut case, Damage::Numbers),
        _ => {}
    }
    let mut observed: Vec<Observed> = Vec::new();
    for body in std::iter::once(&case.main).chain(&case.tails) {
        let options = Options::default();
        let seen = with(body, case.program_type, target, |program| {
            observe(program, target, &options)
        });
        match seen {
            Ok((verdict, seen)) if verdict.is_accepted() => observed.push(seen),
            _ => return 0,
        }
    }
    let coverage: RefCell<Vec<Arc<Coverage>>> = RefCell::default();
    let load = |request: &skep_host::ProgramLoad<'_>| {
        let loaded = vm.prog_load(request)?;
        let counted = vm.coverage(&loaded.fd)?;
        coverage.borrow_mut().extend(counted);
        Ok(loaded)
    };
    if run(vm, &load, &case).is_err() {
        return 0;
    }
    let mut compared = 0;
    for (number, (coverage, observed)) in coverage.borrow().iter().zip(&observed).enumerate() {
        let steps = coverage.steps();
        let Some(first) = steps.first() else { continue };
        let (bottom, context) = (first.registers[10], first.registers[1]);
        for step in &steps {
            let found = Found {
                insn: step.insn,
                registers: &step.registers,
                frame: step.frame.as_slice(),
                bottom,
                context,
            };
            if let Err(why) = observed.admits(&found) {
                panic!("program {number}: {why}\n{case}");
            }
            compared += 1;
        }
    }
    compared
}
