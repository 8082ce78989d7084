//! Kernel structures and sockets as arguments: whether the type at hand is, or begins with, the one
//! that is asked for.

use skep_abi::{Parameter, ValueFlags};
use skep_btf::{Btf, TypeId};
use skep_isa::Reg;

use super::{Call, id};
use crate::{
    Rule,
    state::{BtfRef, BtfSource, Kind, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks that a kernel structure is of the type that a helper asks for.
    pub(super) fn check_structure(
        &self,
        call: &Call<'_>,
        parameter: &Parameter,
        reg: Reg,
        register: &Register,
    ) -> Result {
        if register.is_null() || call.helper.id == id::KPTR_XCHG {
            return Ok(());
        }
        let Some(wanted) = parameter.btf_type else {
            return Ok(());
        };
        let strict = parameter.flags.contains(ValueFlags::RELEASE);
        self.check_type(call, wanted, strict, reg, register)
    }

    /// Checks that a socket that is a kernel structure begins with what all sockets do.
    pub(super) fn check_socket(&self, call: &Call<'_>, reg: Reg, register: &Register) -> Result {
        self.check_type(call, "sock_common", false, reg, register)
    }

    fn check_type(
        &self,
        call: &Call<'_>,
        wanted: &str,
        strict: bool,
        reg: Reg,
        register: &Register,
    ) -> Result {
        let Kind::Btf(found) = register.kind else {
            return Ok(());
        };
        let offset = u32::try_from(register.offset).unwrap_or(u32::MAX);
        if self.is_struct(found, offset, wanted, strict) {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::ArgumentType,
                format!(
                    "{reg} of {} must be a `struct {wanted}`, and is a `struct {}`",
                    call.helper,
                    self.struct_name(found)
                ),
            )
            .of(reg))
    }

    /// The name of a structure.
    pub(crate) fn struct_name(&self, of: BtfRef) -> &str {
        self.btf(of.btf)
            .and_then(|btf| btf.type_by_id(of.type_id).ok())
            .map_or("?", |found| found.name())
    }

    /// Whether at an offset of a structure there is the kernel's structure with a name. `strict`:
    /// whether it must be all of it.
    pub(crate) fn is_struct(&self, of: BtfRef, offset: u32, wanted: &str, strict: bool) -> bool {
        if of.btf == BtfSource::Program {
            return false;
        }
        let Some(btf) = self.btf(of.btf) else {
            return false;
        };
        if offset == 0 && self.is_kernel_struct(btf, of, of.type_id, wanted) {
            return true;
        }
        !strict && self.embeds(btf, of, offset, wanted)
    }

    /// Whether a type is the kernel's own with a name: a module can have another one of that name.
    fn is_kernel_struct(&self, btf: &Btf, of: BtfRef, type_id: TypeId, wanted: &str) -> bool {
        btf.type_by_id(type_id)
            .is_ok_and(|found| found.name() == wanted)
            && (of.btf == BtfSource::Kernel || self.kernel_struct(wanted) == Some(type_id))
    }

    /// Whether the structure that is asked for is a member, or a member of a member, at an offset.
    fn embeds(&self, btf: &Btf, of: BtfRef, offset: u32, wanted: &str) -> bool {
        crate::memory::embeds(btf, of.type_id, offset, |member| {
            self.is_kernel_struct(btf, of, member, wanted)
        })
    }
}
