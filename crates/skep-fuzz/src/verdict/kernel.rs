//! Verdicts beside those of a kernel.

use std::fmt;

use skep_host::Host;
use skep_object::Target;
use skep_vm::Engine;

use super::case_verdict;
use crate::vm::{Case, Choices, Damage, Features, features, generate, load, mutate, patient};

/// A kernel, and its target.
pub struct Verdicts<'k> {
    kernel: &'k dyn Host,
    target: Target,
    features: Features,
    /// What came of it so far.
    pub tally: Tally,
}

/// Programs by what was said of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Both accept.
    pub accepted: u64,
    /// Both refuse.
    pub refused: u64,
    /// The kernel refuses what the verifier accepts, for a reason that is known.
    pub looser: u64,
    /// The kernel accepts what the verifier refuses.
    pub stricter: u64,
}

/// A program on which the two disagree.
#[derive(Debug)]
pub struct Unequal {
    /// Whether the verifier accepts what the kernel refuses.
    pub looser: bool,
    /// What was said by the one that refuses.
    pub why: String,
    /// The program.
    pub case: Case,
}

impl fmt::Debug for Verdicts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verdicts({:?})", self.tally)
    }
}

/// Where the verifier accepts what the kernel refuses, and is right: the kernel's words, and why.
const LOOSER: &[(&str, &str)] = &[(
    "No program to jit",
    "a bug of the kernel, in its own words: a function that only dead code calls is gone before \
     its address is wanted",
)];

/// Where the verifier refuses what the kernel accepts, and may: its words, and why.
const STRICTER: &[(&str, &str)] = &[(
    "[invalid-instruction]",
    "the kernel looks at an instruction's unused fields when a path comes to it; here, and in the \
     machine, a program is decoded as a whole",
)];

impl<'k> Verdicts<'k> {
    /// With a kernel that lets this process load programs, and what it has.
    pub fn new(kernel: &'k dyn Host, target: Target) -> Self {
        let vm = patient(Engine::Interpreter, 1);
        Self {
            kernel,
            target,
            features: features(&[kernel, &vm]),
            tally: Tally::default(),
        }
    }

    /// Makes a program, damages half of them, and compares.
    ///
    /// # Errors
    /// The verdicts differ.
    pub fn judge(&mut self, input: &[u8]) -> Result<(), Box<Unequal>> {
        let mut choices = Choices::new(input);
        let damage = choices.below(4);
        let mut case = generate(&mut choices, &self.features);
        match damage {
            0 => mutate(&mut choices, &mut case, Damage::Any),
            1 => mutate(&mut choices, &mut case, Damage::Numbers),
            _ => {}
        }
        self.compare(case)
    }

    /// Compares the verdicts on a case.
    ///
    /// # Errors
    /// They differ.
    pub fn compare(&mut self, case: Case) -> Result<(), Box<Unequal>> {
        let theirs = load(self.kernel, &case);
        let ours = case_verdict(&case, &self.target, &skep_verifier::Options::default());
        let ours = ours.and_then(|rejection| match rejection {
            Some(rejection) => Err(rejection.to_string()),
            None => Ok(()),
        });
        let (looser, why) = match (theirs, ours) {
            (Ok(()), Ok(())) => {
                self.tally.accepted += 1;
                return Ok(());
            }
            (Err(_), Err(_)) => {
                self.tally.refused += 1;
                return Ok(());
            }
            (Err(why), Ok(())) => {
                if LOOSER.iter().any(|(words, _)| why.contains(words)) {
                    self.tally.looser += 1;
                    return Ok(());
                }
                (true, why)
            }
            (Ok(()), Err(why)) => {
                self.tally.stricter += 1;
                if STRICTER.iter().any(|(words, _)| why.contains(words)) {
                    return Ok(());
                }
                (false, why)
            }
        };
        Err(Box::new(Unequal { looser, why, case }))
    }
}
