//! Sections that kernel functions open and close: RCU, preemption, interrupts.

use skep_isa::Reg;

use super::{Call, Descriptor, Special};
use crate::{
    Rule,
    call::Place,
    state::{Byte, Held, HeldKind, Id, PointerFlags, SlotObject},
    verifier::{Result, Verifier},
};

const WHAT: &str = "the variable for saved interrupt flags";

impl Verifier<'_> {
    /// Opens or closes a section, if that is what the function does.
    pub(super) fn open_and_close(&mut self, call: &Call) -> Result {
        let special = call.function.special;
        match special {
            Special::RcuLock => {
                if self.state.rcu > 0 && !self.since(6, 19) {
                    return Err(self.reject(
                        Rule::UnbalancedSection,
                        "an RCU section is opened in another, which kernels before 6.19 refuse",
                    ));
                }
                self.check_no_tree_callback()?;
                self.state.rcu += 1;
            }
            Special::RcuUnlock => {
                if self.state.rcu == 0 {
                    return Err(self.unopened("an RCU section", "bpf_rcu_read_lock"));
                }
                self.check_no_tree_callback()?;
                self.state.rcu -= 1;
                if self.state.rcu == 0 {
                    self.end_rcu();
                }
            }
            Special::PreemptDisable => self.state.preempt = self.state.preempt.saturating_add(1),
            Special::PreemptEnable => {
                if self.state.preempt == 0 {
                    return Err(
                        self.unopened("a section without preemption", "bpf_preempt_disable")
                    );
                }
                self.state.preempt -= 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn check_no_tree_callback(&self) -> Result {
        if self.state.rcu > 0 && self.in_tree_callback() {
            return Err(self.reject(
                Rule::UnbalancedSection,
                "RCU sections are neither opened nor closed by a function that compares nodes",
            ));
        }
        Ok(())
    }

    fn unopened(&self, what: &str, by: &str) -> Box<crate::Rejection> {
        self.reject(
            Rule::UnbalancedSection,
            format!("{what} is closed that was not opened by {by} on this path"),
        )
    }

    /// What RCU protected is protected no more.
    fn end_rcu(&mut self) {
        self.state.change_registers(
            |register| register.flags.contains(PointerFlags::RCU),
            |register| {
                register.flags -= PointerFlags::RCU | PointerFlags::MAYBE_NULL;
                register.flags |= PointerFlags::UNTRUSTED;
            },
        );
        for frame in &mut self.state.frames {
            let protected = |slot: &crate::state::Slot| {
                matches!(slot.object, Some(SlotObject::Iterator { rcu: true, .. }))
                    && slot.bytes[0] == Byte::Object
            };
            if !frame.stack.slots.iter().any(protected) {
                continue;
            }
            for slot in &mut std::rc::Rc::make_mut(frame).stack.slots {
                if let Some(SlotObject::Iterator { rcu, untrusted, .. }) = &mut slot.object
                    && *rcu
                {
                    (*rcu, *untrusted) = (false, true);
                }
            }
        }
    }

    /// The variable that interrupt flags are saved to or restored from.
    pub(super) fn irq_argument(&mut self, function: &Descriptor, reg: Reg) -> Result {
        let place = self.object_place(reg, 1, Rule::UnbalancedSection, WHAT)?;
        let by_lock = matches!(
            function.special,
            Special::ResilientLockIrq | Special::ResilientUnlockIrq
        );
        match function.special {
            Special::IrqSave | Special::ResilientLockIrq => self.save_irq(reg, place, by_lock),
            _ => self.restore_irq(reg, place, by_lock),
        }
    }

    fn save_irq(&mut self, reg: Reg, place: Place, by_lock: bool) -> Result {
        if matches!(
            self.object_at(place.frame, place.first),
            Some(SlotObject::IrqFlag { .. })
        ) {
            return Err(self
                .reject(
                    Rule::UnbalancedSection,
                    "interrupt flags are saved where others are that were not restored",
                )
                .of(reg));
        }
        self.write_object_space(place)
            .map_err(|error| error.of(reg))?;
        let id = self.new_id();
        self.state.held.push(Held {
            id,
            kind: HeldKind::Irq,
            insn: self.insn,
        });
        self.state.irq = id;
        self.put_object(place, |_| SlotObject::IrqFlag {
            reference: id,
            by_lock,
        });
        Ok(())
    }

    fn restore_irq(&mut self, reg: Reg, place: Place, by_lock: bool) -> Result {
        let Some(SlotObject::IrqFlag {
            reference,
            by_lock: saved_by_lock,
        }) = self.object_at(place.frame, place.first)
        else {
            return Err(self
                .reject(
                    Rule::UnbalancedSection,
                    "interrupt flags are restored from where none were saved",
                )
                .of(reg));
        };
        if by_lock != saved_by_lock {
            return Err(self
                .reject(
                    Rule::UnbalancedSection,
                    "interrupt flags that a lock function saved are restored by another, or the \
                     other way around",
                )
                .of(reg));
        }
        if reference != self.state.irq {
            return Err(self
                .reject(
                    Rule::UnbalancedSection,
                    "interrupt flags are not restored in the order opposite to that of saving",
                )
                .of(reg));
        }
        self.state
            .held
            .retain(|held| !(held.id == reference && held.kind == HeldKind::Irq));
        let before = self
            .state
            .held
            .iter()
            .rfind(|held| held.kind == HeldKind::Irq);
        self.state.irq = before.map_or(Id::NONE, |held| held.id);
        self.remove_object(place);
        Ok(())
    }
}
