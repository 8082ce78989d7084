//! The kernel as the judge: what its verifier accepts must end on the machine as it does there.

use std::fmt::{self, Write as _};

use skep_host::Host;
use skep_isa::opcode::{BPF_CALL, BPF_JCOND, BPF_JMP};
use skep_vm::{Engine, Vm};

use super::{
    Case, Choices, End, Features, features, generate,
    maps::Script,
    mutate::{Damage, mutate},
    oracle::{checked, patient},
    run,
};

const MAY_GOTO: u8 = BPF_JMP | BPF_JCOND;
const CALL: u8 = BPF_JMP | BPF_CALL;
const PROBE_READ_KERNEL: i32 = 113;

/// A kernel beside machines of each engine and mode.
pub struct Judge<'k> {
    kernel: &'k dyn Host,
    machines: Vec<(String, Vm, bool)>,
    features: Features,
    /// Two at different addresses.
    other: [Vm; 2],
    /// What came of it so far.
    pub count: Count,
}

/// Programs by what came of them.
#[derive(Debug, Default, Clone, Copy)]
pub struct Count {
    /// Made.
    pub made: u64,
    /// And taken by the kernel's verifier.
    pub accepted: u64,
    /// And run by the kernel, so that there was something to compare.
    pub compared: u64,
    /// And differed, but for addresses or uninitialized frames.
    pub depend: u64,
    /// And were refused by the machine for an instruction that nothing comes to.
    pub unreached: u64,
}

impl fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Judge({:?})", self.count)
    }
}

/// How a case was not the same.
#[derive(Debug)]
pub struct Difference {
    /// Which machine.
    pub machine: String,
    /// Everything about it.
    pub text: String,
}

impl<'k> Judge<'k> {
    /// With a kernel that lets this process load programs.
    ///
    /// # Panics
    /// There is no memory for machines.
    pub fn new(kernel: &'k dyn Host) -> Self {
        let cpus = kernel.possible_cpus().unwrap_or(1) as u32;
        let mut machines = Vec::new();
        for engine in [Engine::Interpreter, Engine::Jit] {
            for verified in [false, true] {
                let vm = patient(engine, cpus);
                let mode = if verified { "verified" } else { "checked" };
                machines.push((format!("{engine:?}, {mode}"), vm, verified));
            }
        }
        let features = features(&[kernel, &machines[0].1]);
        Self {
            kernel,
            machines,
            features,
            other: [(); 2].map(|()| patient(Engine::Interpreter, cpus)),
            count: Count::default(),
        }
    }

    /// What programs are made of.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Makes a case and compares.
    ///
    /// # Errors
    /// The first difference.
    pub fn judge(&mut self, input: &[u8]) -> Result<(), Difference> {
        let mut choices = Choices::new(input);
        let damaged = choices.one_in(5);
        let mut case = generate(&mut choices, &self.features);
        if damaged {
            mutate(&mut choices, &mut case, Damage::Numbers);
        }
        self.count.made += 1;
        let theirs = match run(self.kernel, &checked(self.kernel), &case) {
            Ok(outcome) => outcome,
            Err(why) => {
                if std::env::var_os("SKEP_FUZZ_REFUSED").is_some() {
                    let lines: Vec<_> = why.lines().collect();
                    let end = lines.len().saturating_sub(6);
                    println!(
                        "REFUSED (damaged: {damaged}) {}",
                        lines[end..].join("\n    ")
                    );
                }
                return Ok(());
            }
        };
        self.count.accepted += 1;
        if let End::Refused(why) = &theirs.end {
            if std::env::var_os("SKEP_FUZZ_REFUSED").is_some() {
                println!("NOT RUN {:?} {why}", case.program_type);
            }
            return Ok(());
        }
        self.count.compared += 1;
        let on = |vm: &Vm, verified: bool| match verified {
            false => run(vm, &checked(vm), &case),
            true => run(vm, &|request| verified_load(vm, request), &case),
        };
        for (name, vm, verified) in &self.machines {
            let ours = on(vm, *verified);
            if ours.as_ref() == Ok(&theirs) {
                continue;
            }
            // A verifier does not look at what it never comes to.
            if damaged && ours.is_err() {
                self.count.unreached += 1;
                break;
            }
            // How often a loop goes round that only `may_goto` ends is the host's own choice, and so
            // is what there is to be read beside what is the program's.
            let choice = case.main.slots.iter().any(|slot| {
                slot.opcode == MAY_GOTO || (slot.opcode == CALL && slot.imm == PROBE_READ_KERNEL)
            });
            if damaged && choice {
                self.count.depend += 1;
                break;
            }
            // Damaged programs may keep addresses as numbers: what is not the same twice does.
            if damaged && self.depends(&case) {
                self.count.depend += 1;
                break;
            }
            return Err(Difference {
                machine: name.clone(),
                text: format!("kernel {theirs:x?}\nvm {ours:x?}\n{case}"),
            });
        }
        Ok(())
    }

    /// Does a script on the kernel and on a machine.
    ///
    /// # Errors
    /// The first step that did not answer the same.
    pub fn judge_maps(&mut self, input: &[u8]) -> Result<(), Difference> {
        let cpus = self.kernel.possible_cpus().unwrap_or(1);
        let script = Script::new(&mut Choices::new(input), cpus);
        self.count.made += 1;
        let vm = &self.machines[0].1;
        let (Ok(theirs), Ok(ours)) = (script.answers(self.kernel), script.answers(vm)) else {
            return Ok(());
        };
        self.count.compared += 1;
        let pairs = theirs.iter().zip(&ours);
        let Some(at) = pairs.clone().position(|(theirs, ours)| theirs != ours) else {
            return Ok(());
        };
        Err(Difference {
            machine: "maps".to_owned(),
            text: format!(
                "step {at}, {:?}: kernel {:?}, vm {:?}\n{script:?}",
                script.steps[at], theirs[at], ours[at]
            ),
        })
    }

    /// Whether a program that the kernel accepted gives what depends on addresses, on what was in
    /// its frame before it, or on chance: on two machines with other frames it is not the same.
    fn depends(&self, case: &Case) -> bool {
        let [first, second] = &self.other;
        let on = |vm: &Vm, left| {
            leave(vm, left);
            run(vm, &|request| verified_load(vm, request), case)
        };
        let first = on(first, 0x1111_1111_1111_1111);
        // A thread of its own has other memory, from other places.
        let second = std::thread::scope(|scope| {
            let other = scope.spawn(|| on(second, 0x7777_7777_7777_7777));
            other.join().expect("no panic")
        });
        first != second
    }
}

/// Fills the frames of a machine that this thread runs programs on.
fn leave(vm: &Vm, left: u64) {
    let mut text = String::new();
    for frame in 0..8 {
        let _ = writeln!(text, "f{frame}: r0 = {left} ll");
        for slot in 1..=64 {
            let _ = writeln!(text, "*(u64 *)(r10 - {}) = r0", slot * 8);
        }
        if frame < 7 {
            let _ = writeln!(text, "call f{}", frame + 1);
        }
        text += "exit\n";
    }
    let slots = skep_isa::assemble(&text).expect("well-formed");
    #[expect(unsafe_code, reason = "verified mode")]
    // SAFETY: it writes to its own frames, and ends.
    let program = unsafe { vm.bare_verified("leave", &slots, Engine::Interpreter) };
    let _ = program.map(|program| program.run(&mut []));
}

#[expect(unsafe_code, reason = "verified mode")]
fn verified_load(
    vm: &Vm,
    request: &skep_host::ProgramLoad<'_>,
) -> skep_host::Result<skep_host::LoadedProgram> {
    // SAFETY: `judge` comes here only with programs that the kernel's verifier accepted.
    unsafe { vm.load_verified(request) }
}
