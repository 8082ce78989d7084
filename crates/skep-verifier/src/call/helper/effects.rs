//! What calls of helpers do beside their result, and what some ask beyond their prototypes.

use skep_abi::{ArgKind, Parameter};
use skep_isa::Reg;

use super::{Call, id};
use crate::{
    Rule,
    state::{BtfRef, Kind, Register},
    verifier::{Result, Verifier},
};

impl<'a> Verifier<'a> {
    /// Does what a call does before its result is there.
    pub(super) fn before(&mut self, call: &mut Call<'a>) -> Result {
        if let Some(reg) = call.released {
            self.release_argument(call, reg)?;
        }
        match call.helper.id {
            id::TAIL_CALL => self.tail_call(),
            id::GET_LOCAL_STORAGE => self.local_storage(),
            _ => Ok(()),
        }
    }

    /// Gives back what an argument holds.
    fn release_argument(&mut self, call: &Call<'_>, reg: Reg) -> Result {
        if call.reference.is_some() {
            return self.release_reference(call.reference);
        }
        if self.reg(reg).is_null() {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::ReferenceRelease,
                format!(
                    "{} gives a reference back, and {reg} holds none",
                    call.helper
                ),
            )
            .of(reg))
    }

    /// A tail call leaves the program if it succeeds.
    fn tail_call(&mut self) -> Result {
        Ok(())
    }

    /// Flags are not used yet, and must be known to be zero.
    fn local_storage(&mut self) -> Result {
        if self.reg(Reg::R2).is_null() {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::ArgumentConstant,
                "r2 (`flags`) of bpf_get_local_storage must be 0",
            )
            .of(Reg::R2))
    }

    /// Arguments with rules of their own.
    pub(super) fn special_argument(
        &mut self,
        call: &mut Call<'a>,
        parameter: &Parameter,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let _ = (parameter, register);
        Err(self
            .reject(
                Rule::ArgumentType,
                format!("{} is not yet followed", call.helper),
            )
            .of(reg))
    }

    pub(super) fn exchanged(&mut self, call: &Call<'_>) -> Result<Register> {
        Err(self.reject(
            Rule::KernelPointerMisuse,
            format!("{} is not yet followed", call.helper),
        ))
    }

    pub(super) fn percpu_variable(&mut self, call: &Call<'_>) -> Result<Register> {
        Err(self.reject(
            Rule::ArgumentType,
            format!("{} is not yet followed", call.helper),
        ))
    }
}
