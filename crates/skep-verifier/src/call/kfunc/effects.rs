//! What calls of kernel functions do beside their result.

use skep_abi::KfuncFlags;

use super::{Call, Special};
use crate::{
    Scalar,
    call::Callback,
    state::{Id, Kind, Register},
    verifier::{Result, Verifier},
};

/// The greatest number that an error has.
const MAX_ERROR: i64 = 4095;

impl Verifier<'_> {
    /// Has the callback of a call followed, if it has one.
    pub(super) fn kernel_call_back(&mut self, call: &Call) -> Result {
        let Some(function) = call.callback else {
            return Ok(());
        };
        match call.function.special {
            Special::TreeAdd => {
                let Some(contains) = call.contains else {
                    return Ok(());
                };
                let node = self.node(contains);
                let node = self.lent(node);
                self.push_callback(Callback::now(function), |_, callee| {
                    callee[1].clone_from(&node);
                    callee[2] = node;
                })
            }
            Special::WqSetCallback | Special::TaskWorkSignal | Special::TaskWorkResume => {
                let Some((map, inner, uid)) = call.map else {
                    return Ok(());
                };
                let callback = Callback::later(function).sleeping(true);
                self.push_callback(callback, |_, callee| {
                    callee[1] = Register::pointer(Kind::ConstMap { map, inner, uid });
                    callee[2] = Register::pointer(Kind::MapKey { map });
                    callee[3] = Register::pointer(Kind::MapValue { map, inner, uid });
                })
            }
            _ => Err(self.reject(
                crate::Rule::CallbackMisuse,
                format!("how {} calls back is not known", call.function.name),
            )),
        }
    }

    /// The path on which a resilient lock could not be taken: nothing is held, and R0 is an error.
    pub(super) fn push_failed_lock(&mut self) -> Result {
        let next = self.insn + 1;
        let state = self.push(next)?;
        let frame = state.frame_mut();
        for register in &mut frame.registers[..=5] {
            *register = Register::UNINIT;
        }
        frame.registers[0] = Register::scalar(Scalar::signed(-MAX_ERROR, -1));
        Ok(())
    }

    /// Gives back, makes and forgets what the call does.
    pub(super) fn kernel_effects(&mut self, call: &mut Call) -> Result {
        if let Some((place, kind)) = call.makes {
            let shares = match call.dynptr {
                Some(parent) if call.function.special == Special::DynptrClone => parent.reference,
                _ => Id::NONE,
            };
            self.make_dynptr(place, kind, shares);
        }
        if let Some(reg) = call.released {
            let reference = self.reg(reg).reference;
            self.release_reference(reference)?;
        }
        match call.function.special {
            Special::ListPushFront | Special::ListPushBack | Special::TreeAdd => {
                self.give_to_collection(call)?;
            }
            Special::DynptrFileDiscard => self.release_dynptr(skep_isa::Reg::R1)?,
            Special::XdpPullData => self.forget_packet(),
            _ => {}
        }
        if call.function.is(KfuncFlags::ITER_DESTROY)
            && let Some(place) = call.iterator
        {
            self.destroy_iterator(place)?;
        }
        Ok(())
    }
}
