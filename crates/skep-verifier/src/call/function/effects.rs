//! What calls of a function do to their callers beside what it returns: whether it may sleep, and
//! whether it may move packet data. Of global functions callers know nothing else.

use skep_abi::{Helper, HelperProperties, Kfunc, KfuncFlags};
use skep_isa::{CallTarget, Insn, InsnIndex};

use crate::{setup::Names, verifier::Verifier};

/// What a function may do, it or those that it calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// It may sleep.
    pub(super) sleeps: bool,
    /// It may move packet data.
    pub(super) changes_packet: bool,
}

impl Effects {
    /// Adds those of a function that it calls.
    fn add(&mut self, callee: Self) {
        self.sleeps |= callee.sleeps;
        self.changes_packet |= callee.changes_packet;
    }
}

impl Verifier<'_> {
    /// What a function may do. All functions are looked at when one is first asked for.
    pub(super) fn effects_of(&mut self, function: usize) -> Effects {
        if self.functions.effects.is_empty() {
            self.functions.effects = self.find_effects();
        }
        let found = self.functions.effects.get(function);
        found.copied().unwrap_or_default()
    }

    fn find_effects(&self) -> Vec<Effects> {
        let mut effects = vec![Effects::default(); self.code.subprograms.len()];
        let mut calls = Vec::new();
        let names = Names {
            program: self.program,
            target: self.target,
        };
        for (slot, insn) in self.code.insns.iter().enumerate() {
            let Some(insn) = insn else { continue };
            let caller = self.code.subprogram_at(slot);
            let Some(of_caller) = effects.get_mut(caller) else {
                continue;
            };
            if let Some(name) = names.kfunc(Some(slot), insn) {
                let kfunc = Kfunc::by_name(name);
                of_caller.add(Effects {
                    sleeps: kfunc.is_some_and(|kfunc| kfunc.flags.contains(KfuncFlags::SLEEPABLE)),
                    changes_packet: name == "bpf_xdp_pull_data",
                });
            } else if let Insn::Call(CallTarget::Helper(id)) = insn
                && let Some(helper) = Helper::by_id(*id)
            {
                let properties = helper.properties;
                of_caller.add(Effects {
                    sleeps: properties.contains(HelperProperties::MAY_SLEEP),
                    changes_packet: properties.contains(HelperProperties::CHANGES_PACKET),
                });
            } else if let Some(start) =
                insn.subprogram(InsnIndex(u32::try_from(slot).unwrap_or(u32::MAX)))
            {
                calls.push((caller, self.code.subprogram_at(start.as_usize())));
            }
        }
        // Each round carries effects at least one call further up.
        loop {
            let before = effects.clone();
            for &(caller, callee) in &calls {
                let of_callee = effects.get(callee).copied().unwrap_or_default();
                if let Some(of_caller) = effects.get_mut(caller) {
                    of_caller.add(of_callee);
                }
            }
            if effects == before {
                return effects;
            }
        }
    }
}
