//! What must hold of any program: it ends, without a panic, in the same way on all engines.

use std::sync::LazyLock;

use skep_isa::{Endian, RawInsn};
use skep_vm::{Config, Engine, Vm};

use super::{
    Case, Choices, Features, Outcome, features, generate,
    maps::{Answer, Script},
    mutate::{Damage, damage, mutate},
    run,
};

/// Instructions that a run may take: programs go round for as long as they may.
const INSTRUCTIONS: u64 = 20_000;

/// How many other machines a program runs on before what it did counts as the engine's doing.
const ATTEMPTS: usize = 64;

/// A machine that stops programs early.
pub(super) fn machine(engine: Engine, cpus: u32) -> Vm {
    let mut config = Config::checked();
    config.cpus = cpus;
    config.engine = engine;
    config.limits.instructions = INSTRUCTIONS;
    config.limits.time = None;
    Vm::with(config).expect("memory for a machine")
}

/// A machine for programs that have an end.
pub(crate) fn patient(engine: Engine, cpus: u32) -> Vm {
    let mut config = Config::checked();
    config.cpus = cpus;
    config.engine = engine;
    Vm::with(config).expect("memory for a machine")
}

struct Machines {
    /// For programs without maps, on any engine.
    bare: Vm,
    /// Two at different addresses, to know what depends on them.
    first: Vm,
    second: Vm,
    compiled: Vm,
    features: Features,
    /// Those of programs without maps.
    alone: Features,
}

static MACHINES: LazyLock<Machines> = LazyLock::new(|| {
    let first = machine(Engine::Interpreter, 2);
    Machines {
        bare: machine(Engine::Interpreter, 1),
        second: machine(Engine::Interpreter, 2),
        compiled: machine(Engine::Jit, 2),
        features: features(&[&first]),
        alone: Features {
            maps: vec![false; super::MAPS.len()],
            types: vec![skep_abi::ProgramType::Syscall],
            ..features(&[&first])
        },
        first,
    }
});

/// Input: instructions of a program without maps, run on 64 bytes made of them.
///
/// # Panics
/// The engines differ.
pub fn program(input: &[u8]) {
    let mut slots: Vec<RawInsn> = input
        .as_chunks::<{ RawInsn::SIZE }>()
        .0
        .iter()
        .map(|bytes| RawInsn::from_bytes(*bytes, Endian::Little))
        .collect();
    check_bare(&slots, input);
    // Most ends of random bytes fall through: with an end of its own more of them load.
    slots.push(raw_exit());
    check_bare(&slots, input);
}

fn raw_exit() -> RawInsn {
    RawInsn {
        opcode: 0x95,
        ..RawInsn::default()
    }
}

fn check_bare(slots: &[RawInsn], input: &[u8]) {
    let vm = &MACHINES.bare;
    let Ok(interpreted) = vm.bare("fuzz", slots, Engine::Interpreter) else {
        return;
    };
    let compiled = vm.bare("fuzz", slots, Engine::Jit).expect("compiles too");
    let mut memory = [0_u8; 64];
    for (place, byte) in memory.iter_mut().zip(input.iter().rev()) {
        *place = *byte;
    }
    let before = memory;
    let ours = interpreted.run(&mut memory);
    let after = std::mem::replace(&mut memory, before);
    let theirs = compiled.run(&mut memory);
    let same = ours == theirs && after == memory;
    // What one run leaves for the next, clocks and random numbers, is no difference.
    if !same {
        memory = before;
        let again = interpreted.run(&mut memory);
        if again != ours || memory != after {
            return;
        }
    }
    assert!(same, "{ours:x?} and {theirs:x?}:\n{}", text(slots));
}

fn text(slots: &[RawInsn]) -> String {
    skep_isa::Disassembler::new(&skep_isa::NoSymbols)
        .program(slots)
        .to_string()
}

/// Input: choices of [`generate()`], and whether the program is damaged.
///
/// # Panics
/// The engines differ.
pub fn engines(input: &[u8]) {
    let mut choices = Choices::new(input);
    let damaged = choices.one_in(2);
    let mut case = generate(&mut choices, &MACHINES.features);
    if damaged {
        mutate(&mut choices, &mut case, Damage::Any);
    }
    compare(&case);
}

/// Input: choices of a bare program: instructions of any kind, with what makes them load.
///
/// # Panics
/// The engines differ.
pub fn instructions(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut slots = generate(&mut choices, &MACHINES.alone).main.slots;
    for _ in 0..choices.below(12) {
        let (at, other) = (choices.below(slots.len()), choices.below(slots.len()));
        damage(&mut choices, &mut slots, at, other);
    }
    check_bare(&slots, input);
}

/// # Panics
/// The engines differ.
pub fn compare(case: &Case) {
    let Machines {
        first,
        second,
        compiled,
        ..
    } = &*MACHINES;
    let on = |vm: &Vm| run(vm, &checked(vm), case);
    let (first, compiled) = (plain(on(first)), plain(on(compiled)));
    if first == compiled {
        return;
    }
    // What differs between two machines of one kind is made of addresses, clocks or chance; a
    // thread of its own has other memory, from other places. A program that keeps a few bits of an
    // address, or compares it, finds the same there at times, so once is not enough; a frame stays
    // where it is for as long as its machine is there, so each time it is another machine.
    let mut others = Vec::new();
    let depends = (0..ATTEMPTS).any(|attempt| {
        if attempt > 0 {
            others.push(machine(Engine::Interpreter, 2));
        }
        let other = others.last().unwrap_or(second);
        let again = std::thread::scope(|scope| {
            let other = scope.spawn(|| plain(on(other)));
            other.join().expect("no panic")
        });
        first != again
    });
    assert!(
        depends,
        "interpreted {first:#?}\ncompiled {compiled:#?}\n{case}"
    );
}

/// Without addresses in texts.
fn plain(outcome: Result<Outcome, String>) -> Result<Outcome, String> {
    let mut outcome = outcome?;
    if let super::End::Fault(text) = &mut outcome.end {
        assert!(!text.contains("a fault of the virtual machine"), "{text}");
        let words: Vec<_> = text
            .split(' ')
            .map(|word| if word.starts_with("0x") { "0x.." } else { word })
            .collect();
        *text = words.join(" ");
    }
    Ok(outcome)
}

/// The host's own way to load.
pub(super) fn checked(
    host: &dyn skep_host::Host,
) -> impl Fn(&skep_host::ProgramLoad<'_>) -> skep_host::Result<skep_host::LoadedProgram> {
    move |request| host.prog_load(request)
}

/// What the inputs of all targets of the machine start from.
pub fn seeds() -> Vec<Vec<u8>> {
    (0..24_u64)
        .map(|seed| {
            let words = (0..8).map(|word| Choices::bytes_of(seed << 8 | word));
            words.flatten().collect()
        })
        .collect()
}

/// Programs as bytes: bodies of structured ones, and those of the corpus of instructions.
pub fn programs() -> Vec<Vec<u8>> {
    seeds()
        .iter()
        .map(|seed| {
            let case = generate(&mut Choices::new(seed), &MACHINES.alone);
            skep_isa::encode_slots(&case.main.slots, Endian::Little)
        })
        .collect()
}

/// Input: choices of a script on a map.
///
/// # Panics
/// A map is not as its model.
pub fn maps(input: &[u8]) {
    let mut choices = Choices::new(input);
    let cpus = 2;
    let script = Script::new(&mut choices, cpus);
    let answers = script.answers(&MACHINES.first).expect("a map");
    for (at, (found, expected)) in answers.iter().zip(script.expected(cpus)).enumerate() {
        let same = match (found, &expected) {
            (Answer::Refused(errno), Answer::Refused(_)) => *errno != 0,
            (found, expected) => found == expected,
        };
        assert!(
            same,
            "step {at}: {found:?}, should be {expected:?}: {script:?}"
        );
    }
}
