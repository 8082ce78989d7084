//! Where states are kept and compared: where paths meet, and where loops go around.

use bitflags::bitflags;

use skep_btf::TypeId;
use skep_isa::{CallTarget, Insn};
use skep_object::Target;

use super::{Code, flow};
use crate::Program;

bitflags! {
    /// What pruning does before an instruction.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(crate) struct Points: u8 {
        /// States are compared, and kept now and then (`prune_point`).
        const PRUNE = 1 << 0;
        /// A state is always kept (`force_checkpoint`).
        const KEEP = 1 << 1;
        /// It moves an open-coded iterator (`KF_ITER_NEXT`).
        const ITERATES = 1 << 2;
        /// It calls a function back before it returns.
        const CALLS_BACK = 1 << 3;
        /// It is a `may_goto`.
        const MAY_GOTO = 1 << 4;
    }
}

/// Helpers that call back before they return.
const CALL_BACK: [u32; 4] = [164, 180, 181, 209];
/// `bpf_timer_set_callback`.
const TIMER: u32 = 170;

/// The names of kernel functions.
pub(crate) struct Names<'a> {
    pub(crate) program: &'a Program<'a>,
    pub(crate) target: &'a Target,
}

impl Names<'_> {
    /// The name of the kernel function that an instruction calls.
    pub(crate) fn kfunc(&self, slot: Option<usize>, insn: &Insn) -> Option<&str> {
        let Insn::Call(CallTarget::Kfunc { btf_id, .. }) = *insn else {
            return None;
        };
        let module = slot.and_then(|slot| {
            let of = |insn: &skep_isa::InsnIndex| insn.as_usize() == slot;
            self.program.modules.iter().find(|(insn, _)| of(insn))
        });
        let btf = match module {
            Some((_, name)) => {
                let module = self.target.modules.iter().find(|one| one.name == *name);
                &module?.btf
            }
            None => self.target.kernel_btf.as_ref()?,
        };
        Some(btf.type_by_id(TypeId(btf_id)).ok()?.name())
    }

    /// Whether an instruction throws an exception, and so does not go on.
    pub(super) fn throws(&self, insn: &Insn) -> bool {
        self.kfunc(None, insn) == Some("bpf_throw")
    }
}

/// Finds the points of a program.
pub(super) fn find(code: &Code, names: &Names<'_>) -> Vec<Points> {
    let mut points = vec![Points::empty(); code.insns.len()];
    let mut add = |slot: usize, more: Points| {
        if let Some(point) = points.get_mut(slot) {
            *point |= more;
        }
    };
    for (slot, insn) in code.insns.iter().enumerate() {
        let Some(insn) = insn else { continue };
        if let Some(jump) = flow::successors(slot, insn).jump {
            add(jump, Points::PRUNE);
        }
        // A function that is called again and again with what it had before is not followed anew.
        if let (Insn::Call(_), Some(entry)) = (insn, flow::callee(slot, insn)) {
            add(entry, Points::PRUNE);
        }
        match insn {
            Insn::JumpIf { .. } | Insn::JumpIndirect { .. } => add(slot, Points::PRUNE),
            Insn::MayGoto { .. } => add(slot, Points::PRUNE | Points::KEEP | Points::MAY_GOTO),
            Insn::Call(CallTarget::Subprogram { .. }) => {
                add(slot, Points::PRUNE);
                add(slot + 1, Points::PRUNE);
            }
            Insn::Call(CallTarget::Helper(id)) if CALL_BACK.contains(id) => {
                add(slot, Points::PRUNE | Points::KEEP | Points::CALLS_BACK);
            }
            Insn::Call(CallTarget::Helper(TIMER)) => add(slot, Points::PRUNE),
            Insn::Call(CallTarget::Kfunc { .. }) => {
                let name = names.kfunc(Some(slot), insn).unwrap_or_default();
                if name.starts_with("bpf_iter_") && name.ends_with("_next") {
                    add(slot, Points::PRUNE | Points::KEEP | Points::ITERATES);
                } else if name.starts_with("bpf_rbtree_add") {
                    add(slot, Points::PRUNE | Points::KEEP | Points::CALLS_BACK);
                } else if name.starts_with("bpf_wq_set_callback")
                    || name.starts_with("bpf_task_work_schedule")
                {
                    add(slot, Points::PRUNE);
                }
            }
            _ => {}
        }
    }
    for target in code.table_targets().collect::<Vec<_>>() {
        add(target, Points::PRUNE);
    }
    points
}
