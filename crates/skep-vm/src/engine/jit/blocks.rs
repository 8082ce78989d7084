//! Where control meets: the blocks of a function.

use cranelift_codegen::ir::{
    Block, InstBuilder as _, StackSlotData, StackSlotKind,
    types::{I32, I64},
};
use skep_isa::{Insn, InsnIndex};

use super::function::{MAY_GOTO, StackArguments, Translator};

impl Translator<'_> {
    /// Makes blocks for all places that jumps of this function go to.
    pub(super) fn leaders(&mut self) {
        let code = self.code;
        let mut places = Vec::new();
        let (mut stores_argument, mut indirect, mut may_goto) = (false, false, false);
        for (at, insn) in code.function_instructions(self.function) {
            match insn {
                Insn::StoreStackArg { .. } => stores_argument = true,
                Insn::JumpIndirect { .. } => indirect = true,
                Insn::MayGoto { .. } => may_goto = true,
                _ => {}
            }
            places.extend(insn.target(*at).map(|target| target.0));
        }
        for looped in &self.loops {
            places.extend(looped.falls_out.then_some(looped.slots.end));
            places.push(looped.entry);
        }
        if indirect {
            places.extend(self.indirect_targets().map(|target| target.0));
        }
        for place in places {
            if let Some(block) = self.blocks.get_mut((place - self.start) as usize) {
                block.get_or_insert_with(|| self.b.create_block());
            }
        }
        self.covered = vec![
            None;
            if self.loops.is_empty() {
                0
            } else {
                self.blocks.len()
            }
        ];
        for looped in &self.loops {
            self.gates.insert(looped.entry, self.b.create_block());
            for place in looped.slots.clone() {
                let place = (place - self.start) as usize;
                if let (Some(Some(_)), Some(block)) =
                    (self.blocks.get(place), self.covered.get_mut(place))
                {
                    *block = Some(self.b.create_block());
                }
            }
        }
        if may_goto {
            let rounds = self.b.ins().iconst(I32, MAY_GOTO);
            self.b.def_var(self.may_goto, rounds);
        }
        if stores_argument {
            let size = size_of::<StackArguments>() as u32;
            let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 3);
            let slot = self.b.create_sized_stack_slot(data);
            let zero = self.b.ins().iconst(I64, 0);
            for place in 0..size as i32 / 8 {
                self.b.ins().stack_store(zero, slot, place * 8);
            }
            self.passed = Some(slot);
        }
    }

    /// Notes where each place is reached from. A function is entered from elsewhere.
    pub(super) fn sources(&mut self) {
        self.sources = vec![(u32::MAX, 0); self.blocks.len()];
        let mut before = Some(u32::MAX);
        for (at, insn) in self.code.function_instructions(self.function) {
            let jump = insn.target(*at).map(|target| (at.0, target.0));
            for (from, to) in before.map(|from| (from, at.0)).into_iter().chain(jump) {
                if let Some(sources) = self.sources.get_mut((to - self.start) as usize) {
                    *sources = (sources.0.min(from), sources.1.max(from));
                }
            }
            before = insn.falls_through().then_some(at.0);
        }
    }

    /// Whether a jump backwards closes a loop that is entered at its target, which then is laid
    /// out before it. A loop may begin with what only its own end reaches.
    pub(super) fn is_way_back(&self, at: u32, target: u32) -> bool {
        let sources = self.sources.get((target - self.start) as usize);
        let entered = sources.is_some_and(|(first, last)| *first < target || at < *last);
        entered && target != at
    }

    pub(super) fn indirect_targets(&self) -> impl Iterator<Item = InsnIndex> + use<'_> {
        let end = self.start + self.code.function_len(self.function);
        let all = self.code.targets().iter().copied();
        all.filter(move |target| (self.start..end).contains(&target.0))
    }

    /// Where control meets at a place, as seen from what is being translated.
    pub(super) fn block(&self, at: u32) -> Option<Block> {
        let blocks = match &self.copy {
            Some((slots, covered)) if slots.contains(&at) => match covered {
                true => &self.covered,
                false => &self.blocks,
            },
            _ => match self.gates.get(&at) {
                Some(gate) => return Some(*gate),
                None => &self.blocks,
            },
        };
        *blocks.get((at - self.start) as usize)?
    }
}
