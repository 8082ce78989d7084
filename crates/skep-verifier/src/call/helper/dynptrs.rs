//! Helpers that make, read, write and end dynptrs.

use skep_abi::{Parameter, ValueFlags};
use skep_isa::Reg;

use super::Call;
use crate::{
    Rule,
    state::{DynptrKind, Kind, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// A dynptr as an argument: one that is made, or one that is used.
    pub(super) fn dynptr_argument(
        &mut self,
        call: &mut Call<'_>,
        parameter: &Parameter,
        reg: Reg,
    ) -> Result {
        let kind = if parameter.flags.contains(ValueFlags::DYNPTR_LOCAL) {
            Some(DynptrKind::Local)
        } else if parameter.flags.contains(ValueFlags::RINGBUF) {
            Some(DynptrKind::Ringbuf)
        } else {
            None
        };
        if parameter.flags.contains(ValueFlags::UNINIT) {
            let place = self.check_dynptr_space(reg)?;
            call.makes = Some((place, kind.unwrap_or(DynptrKind::Any)));
            return Ok(());
        }
        call.dynptr = Some(self.check_dynptr_argument(reg, kind, false)?);
        Ok(())
    }

    /// `bpf_dynptr_from_mem` is for map values only, since they outlive the dynptr.
    pub(super) fn dynptr_of_value(&mut self) -> Result {
        let register = self.reg(Reg::R1);
        if matches!(register.kind, Kind::MapValue { .. }) {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::DynptrMisuse,
                format!(
                    "bpf_dynptr_from_mem makes dynptrs of map values, and r1 is {}",
                    crate::memory::words::kind(register)
                ),
            )
            .of(Reg::R1))
    }

    /// What `bpf_dynptr_data` gives.
    pub(super) fn data_of_dynptr(&mut self, call: &Call<'_>) -> Register {
        match &call.dynptr {
            Some(dynptr) => self.dynptr_slice(dynptr, call.allocation),
            None => Register::unknown(),
        }
    }
}
