//! The machine's engines, checked and verified.

use std::sync::OnceLock;

use skep_isa::{RawInsn, assemble};
use skep_vm::{BareProgram, Config, Engine, FaultKind, LoadError, Mode, Vm};

use crate::parse::{Expected, Row};

/// An engine in a mode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) engine: Engine,
    pub(crate) mode: Mode,
}

/// All there are.
pub(crate) const WAYS: [Way; 4] = [
    Way {
        name: "interpreter-checked",
        engine: Engine::Interpreter,
        mode: Mode::Checked,
    },
    Way {
        name: "interpreter-verified",
        engine: Engine::Interpreter,
        mode: Mode::Verified,
    },
    Way {
        name: "jit-checked",
        engine: Engine::Jit,
        mode: Mode::Checked,
    },
    Way {
        name: "jit-verified",
        engine: Engine::Jit,
        mode: Mode::Verified,
    },
];

/// Enough for the longest program, but for Miri; what has no end must use it up in a blink.
const INSTRUCTIONS: u64 = if cfg!(miri) { 20_000 } else { 100_000_000 };
const INSTRUCTIONS_UNTIL_FAULT: u64 = if cfg!(miri) { 2_000 } else { 1_000_000 };

/// Whether a row that has an end did not come to it with the instructions that there are.
pub(crate) fn is_too_long(row: &Row, end: &Expected) -> bool {
    let spent = matches!(end, Expected::Fault(kind) if kind == "budget");
    spent && matches!(row.expected, Expected::Result(_))
}

impl Way {
    /// What this build lacks to run this way: an engine that can't make even the least program.
    pub(crate) fn lacks(self) -> Option<String> {
        let least = assemble("r0 = 0\n exit").ok()?;
        let error = self.load(machine(INSTRUCTIONS), &least).err()?;
        Some(error.to_string())
    }

    /// Runs a row, and gives how it ended and the context afterwards.
    pub(crate) fn run(self, row: &Row) -> Result<(Expected, Vec<u8>), String> {
        let instructions = match row.expected {
            Expected::Result(_) => INSTRUCTIONS,
            Expected::Fault(_) => INSTRUCTIONS_UNTIL_FAULT,
        };
        let program = self
            .load(machine(instructions), &row.slots)
            .map_err(|e| e.to_string())?;
        let mut context = row.context.clone();
        let end = match program.run(&mut context) {
            Ok(r0) => Expected::Result(r0),
            Err(fault) => Expected::Fault(match fault.kind {
                FaultKind::Memory { .. } => "memory".into(),
                FaultKind::Budget { .. } => "budget".into(),
                FaultKind::CallDepth => "depth".into(),
                FaultKind::Jump { .. } => "jump".into(),
                other => other.to_string(),
            }),
        };
        Ok((end, context))
    }

    fn load(self, vm: &Vm, slots: &[RawInsn]) -> Result<BareProgram, LoadError> {
        match self.mode {
            Mode::Checked => vm.bare("corpus", slots, self.engine),
            // SAFETY: the corpus marks the programs that do what they must not as faults, and
            // those do not come here; this machine's kernel, or a reader, verified the others.
            Mode::Verified => unsafe { vm.bare_verified("corpus", slots, self.engine) },
        }
    }
}

/// The machine whose runs may take so many instructions.
fn machine(instructions: u64) -> &'static Vm {
    static PATIENT: OnceLock<Vm> = OnceLock::new();
    static IMPATIENT: OnceLock<Vm> = OnceLock::new();
    let kept = if instructions == INSTRUCTIONS {
        &PATIENT
    } else {
        &IMPATIENT
    };
    kept.get_or_init(|| {
        let mut config = Config::default();
        config.limits.instructions = instructions;
        // What they may take does not depend on what else the machine has to do.
        config.limits.time = None;
        Vm::with(config).expect("memory for a machine")
    })
}
