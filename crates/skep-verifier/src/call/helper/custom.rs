//! Calls of helpers that no kernel has.

use skep_isa::Reg;

use super::ARGUMENTS;
use crate::{
    CustomHelper, CustomParameter, Rule,
    memory::Access,
    state::Register,
    verifier::{Result, Verifier},
    walk::Next,
};

impl<'a> Verifier<'a> {
    /// The helper with a number that the host adds.
    pub(super) fn custom_helper(&self, id: u32) -> Option<&'a CustomHelper> {
        let helpers = &self.options.extensions.helpers;
        helpers.iter().find(|helper| helper.id == id)
    }

    pub(super) fn call_custom(&mut self, helper: &CustomHelper) -> Result<Next> {
        let mut registers = ARGUMENTS.into_iter();
        let mut register = || {
            registers.next().ok_or_else(|| {
                let message = format!("`{}` takes more than five registers", helper.name);
                self.reject(Rule::UnknownHelper, message)
            })
        };
        let mut places = Vec::with_capacity(helper.parameters.len());
        for &parameter in &helper.parameters {
            let first = register()?;
            let size = match parameter {
                CustomParameter::Bytes | CustomParameter::BytesMut => Some(register()?),
                _ => None,
            };
            places.push((parameter, first, size));
        }
        for (parameter, first, size) in places {
            self.check_custom(helper, parameter, first, size)?;
        }
        self.forget_caller_saved();
        *self.state.register_mut(Reg::R0) = Register::unknown();
        Ok(Next::Fall)
    }

    fn check_custom(
        &mut self,
        helper: &CustomHelper,
        parameter: CustomParameter,
        first: Reg,
        size: Option<Reg>,
    ) -> Result {
        let number = |this: &Self, reg: Reg| {
            let register = this.read(reg)?;
            if register.is_scalar() {
                return Ok(register.clone());
            }
            let message = format!(
                "`{}` takes a number in {reg}, and a pointer is there",
                helper.name
            );
            Err(this.reject(Rule::ArgumentType, message).of(reg))
        };
        let constant = |bytes: u32| Register::constant(bytes.into());
        let (bytes, access) = match parameter {
            CustomParameter::Number => return number(self, first).map(drop),
            CustomParameter::Value(bytes) => (constant(bytes), Access::Read),
            CustomParameter::ValueMut(bytes) => (constant(bytes), Access::Write),
            CustomParameter::Bytes | CustomParameter::BytesMut => {
                let Some(size) = size else { return Ok(()) };
                let bytes = number(self, size)?;
                // Its bound decides which bytes the helper may touch.
                self.mark_precise(size)?;
                let write = parameter == CustomParameter::BytesMut;
                (bytes, if write { Access::Write } else { Access::Read })
            }
        };
        self.read(first)?;
        self.check_region(
            first,
            &bytes,
            access,
            size.is_some(),
            access == Access::Write,
        )
    }
}
