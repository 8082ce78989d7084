//! Why a program may not run, as data.

use std::fmt;

use skep_isa::{InsnIndex, Reg};

use crate::Rule;

/// Why a program may not run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The rule that it breaks.
    pub rule: Rule,
    /// The instruction, where there is one.
    pub insn: Option<InsnIndex>,
    /// The register that is at fault, where there is one.
    pub register: Option<Reg>,
    /// What is wrong, in one line without a full stop: "read of 8 bytes through a pointer that may be
    /// null".
    pub message: String,
    /// What to do about this very case, if more can be said than what the rule says.
    pub remedy: Option<String>,
    /// The instructions of the path that led there, in order.
    pub path: Vec<InsnIndex>,
}

impl Rejection {
    /// A rejection without a place.
    pub(crate) fn new(rule: Rule, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            rule,
            insn: None,
            register: None,
            message: message.into(),
            remedy: None,
            path: Vec::new(),
        })
    }

    /// The same at an instruction.
    pub(crate) fn at(mut self: Box<Self>, insn: usize) -> Box<Self> {
        self.insn = Some(InsnIndex(u32::try_from(insn).unwrap_or(u32::MAX)));
        self
    }

    /// The same with the register that is at fault.
    pub(crate) fn of(mut self: Box<Self>, register: Reg) -> Box<Self> {
        self.register = Some(register);
        self
    }

    /// The same with what to do about it.
    pub(crate) fn help(mut self: Box<Self>, remedy: impl Into<String>) -> Box<Self> {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(insn) = self.insn {
            write!(f, "instruction {}: ", insn.0)?;
        }
        write!(f, "{} [{}]", self.message, self.rule)
    }
}

impl std::error::Error for Rejection {}
