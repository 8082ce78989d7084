//! What the loader says about the program's functions (`func_info`): all of them, or none.

use skep_btf::Kind;
use skep_isa::{CallTarget, Insn};

use crate::{
    Rejection, Rule,
    verifier::{Result, Verifier},
};

/// `bpf_tail_call`.
const TAIL_CALL: u32 = 12;

impl Verifier<'_> {
    /// Checks that the functions have BTF, all or none, and that it is of functions; and that
    /// those which leave by more ways than `exit` return a number.
    pub(super) fn check_function_info(&self) -> Result {
        let functions = &self.code.subprograms;
        let described = functions
            .iter()
            .filter(|function| function.type_id.is_some())
            .count();
        if described != 0 && described != functions.len() {
            let missing = functions.iter().find(|function| function.type_id.is_none());
            return Err(Rejection::new(
                Rule::TypeInformation,
                format!(
                    "{} has no BTF, and other functions of the program have",
                    missing.map_or("a function".to_owned(), |function| function.title())
                ),
            ));
        }
        for function in functions {
            if function.type_id.is_some() && self.prototype_of(function).is_none() {
                return Err(Rejection::new(
                    Rule::TypeInformation,
                    format!("the BTF of {} is no function's", function.title()),
                )
                .at(function.start));
            }
        }
        // Without BTF nothing says that such a function returns a number.
        for (index, function) in functions.iter().enumerate().skip(1) {
            let returns_number = self.returns_small_number(function);
            if returns_number {
                continue;
            }
            let insns = self.code.insns.get(function.start..function.end);
            for (place, insn) in insns.unwrap_or_default().iter().enumerate() {
                let (rule, what) = match insn {
                    Some(Insn::LoadPacketAbs { .. } | Insn::LoadPacketInd { .. }) => {
                        let what = "a load of packet data by `ld_abs` or `ld_ind`";
                        (Rule::TypeInformation, what)
                    }
                    Some(Insn::Call(CallTarget::Helper(TAIL_CALL))) => {
                        (Rule::TailCallMisuse, "a tail call")
                    }
                    _ => continue,
                };
                let why = if function.type_id.is_some() {
                    "a function that does not return `int`"
                } else {
                    "a function without BTF"
                };
                return Err(Rejection::new(
                    rule,
                    format!("{what} in {why} ({}, number {index})", function.title()),
                )
                .at(function.start + place)
                .help("let the function return `int`: the kernel may return from it there"));
            }
        }
        Ok(())
    }

    /// The prototype of a function by its BTF.
    fn prototype_of(
        &self,
        function: &crate::setup::Subprogram,
    ) -> Option<skep_btf::FunctionPrototype<'_>> {
        let btf = self.program.btf.as_deref()?;
        let Kind::Function(found) = btf.type_by_id(function.type_id?).ok()?.kind() else {
            return None;
        };
        match btf.type_by_id(found.prototype).ok()?.kind() {
            Kind::FunctionPrototype(prototype) => Some(prototype),
            _ => None,
        }
    }

    fn returns_small_number(&self, function: &crate::setup::Subprogram) -> bool {
        let result = self.prototype_of(function).and_then(|prototype| {
            let btf = self.program.btf.as_deref()?;
            btf.skip_modifiers(prototype.return_type).ok()
        });
        match result.map(|result| result.kind()) {
            Some(Kind::Int(int)) => {
                int.offset == 0 && u32::from(int.bits) == int.size * 8 && int.size <= 8
            }
            Some(Kind::Enum(_) | Kind::Enum64(_)) => true,
            _ => false,
        }
    }
}
