//! What calls of helpers do beside their result, and what some ask beyond their prototypes.

use skep_abi::{ArgKind, AttachType, Parameter};
use skep_isa::Reg;

use super::{Call, id};
use crate::{
    MapId, Rule,
    call::{Leaving, LockKind},
    state::{Id, PointerFlags, Register},
    verifier::{Result, Verifier},
};

impl<'a> Verifier<'a> {
    /// Does what a call does before its result is there.
    pub(super) fn before(&mut self, call: &mut Call<'a>) -> Result {
        if let Some(reg) = call.released {
            match call.dynptr {
                Some(_) => self.release_dynptr(reg)?,
                None => self.release_argument(call, reg)?,
            }
        }
        match call.helper.id {
            id::TAIL_CALL => self.tail_call(call.map.map(|argument| argument.id)),
            id::GET_LOCAL_STORAGE => self.local_storage(),
            id::SNPRINTF => self.check_snprintf(),
            id::SET_RETVAL => self.set_result(),
            id::DYNPTR_FROM_MEM => self.dynptr_of_value(),
            _ => self.call_back(call),
        }
    }

    /// Gives back what an argument holds.
    fn release_argument(&mut self, call: &Call<'_>, reg: Reg) -> Result {
        if call.reference.is_some() {
            return match call.helper.id {
                id::KPTR_XCHG => self.give_to_map(call.reference),
                _ => self.release_reference(call.reference),
            };
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

    /// Gives a reference to a map. Inside an RCU section, an object for each CPU can still be used.
    fn give_to_map(&mut self, reference: Id) -> Result {
        self.give_up_reference(reference)?;
        let of_each_cpu = PointerFlags::ALLOCATED | PointerFlags::PERCPU;
        if self.state.rcu > 0 {
            self.state.change_registers(
                |register| register.reference == reference && register.flags.contains(of_each_cpu),
                |register| {
                    register.reference = Id::NONE;
                    register.flags -= PointerFlags::ALLOCATED;
                    register.flags |= PointerFlags::RCU;
                },
            );
        }
        self.invalidate(|register| register.reference == reference);
        Ok(())
    }

    /// A tail call leaves the program if it succeeds.
    fn tail_call(&mut self, map: Option<MapId>) -> Result {
        let lock = self.last_lock().map(|held| held.insn);
        if let Some(insn) = lock {
            return Err(self.reject(
                Rule::LockMisuse,
                format!(
                    "a tail call leaves the program while the lock of instruction {insn} is held"
                ),
            ));
        }
        let section = if self.state.irq.is_some() {
            "while interrupts are off"
        } else if self.state.rcu > 0 {
            "inside an RCU section"
        } else if self.state.preempt > 0 {
            "while preemption is off"
        } else {
            self.check_tail_call_map(map)?;
            return self.check_nothing_held(Leaving::Exit);
        };
        Err(self.reject(
            Rule::UnbalancedSection,
            format!("a tail call leaves the program {section}"),
        ))
    }

    /// For a loader without `CAP_PERFMON`, the kernel masks the index by the size of the map, so that
    /// all paths must have the same one.
    fn check_tail_call_map(&mut self, map: Option<MapId>) -> Result {
        let Some(facts) = self.facts.get_mut(self.insn) else {
            return Ok(());
        };
        let before = facts.tail_call_map.get_or_insert(map);
        if *before == map || self.options.perfmon {
            return Ok(());
        }
        Err(self.reject(
            Rule::MixedPointers,
            "different paths make a tail call by different maps here, which needs CAP_PERFMON",
        ))
    }

    /// Hooks without a result have none that could be set.
    fn set_result(&mut self) -> Result {
        if self.program.attach_type == Some(AttachType::LsmCgroup) && self.attach.returns_void {
            return Err(self.reject(
                Rule::ReturnValue,
                "bpf_set_retval sets the result of the hook, and this one has none",
            ));
        }
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
        match parameter.kind {
            ArgKind::SpinLock if call.helper.id == id::SPIN_LOCK => {
                self.take_lock(reg, LockKind::Spin)
            }
            ArgKind::SpinLock => self.release_lock(reg, LockKind::Spin),
            ArgKind::Timer => self.timer_argument(call, reg, register),
            ArgKind::KptrXchgDest => self.exchange_argument(call, reg, register),
            ArgKind::ConstStr => self.check_constant_string(reg),
            _ => self.dynptr_argument(call, parameter, reg),
        }
    }
}
