//! States that were kept: the way back from each to the one before it, what of it decided
//! something later (`Marks`), and when all paths from it were followed.
//!
//! A path that ends because a kept state covers it needs that state's marks; and where that state
//! lies on the path itself (a loop), they are not known yet. Such ends are put aside
//! (`BackEdge`), and their marks are carried over once all paths from the state are followed: a
//! state is only compared by its marks when nothing can be added to them.

use super::{
    history::{Slots, Step, Written},
    precision::Wanted,
};
use crate::{
    setup::Code,
    state::{Frame, Slot, State},
};

/// How often marks are carried over the back edges of a loop.
const MOST_ROUNDS: usize = 64;

/// A kept state, for as long as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptId {
    place: u32,
    serial: u32,
}

/// One state that was kept.
#[derive(Debug)]
pub(crate) struct Kept {
    serial: u32,
    pub(super) state: State,
    /// The instruction before which it was.
    pub(super) insn: usize,
    /// The one that was kept before it on its path.
    pub(super) parent: Option<KeptId>,
    /// The way from there.
    pub(super) history: Vec<Step>,
    /// The slots that were overwritten on it.
    pub(super) written: Written,
    /// How many were kept before it on its path.
    pub(super) depth: u32,
    /// The paths from it that are still to be followed.
    pub(super) branches: u32,
    /// The outermost state on its path that covers a path from it: its marks are complete when that
    /// one's are.
    entry: Option<KeptId>,
    /// What decided something later, by frame.
    pub(super) marks: Vec<Marks>,
    pub(super) hits: u32,
    pub(super) misses: u32,
    /// Whether it is still compared with.
    listed: bool,
    /// How many back edges there were when it was kept.
    back_edges: usize,
    /// Bytes that it takes, at most.
    bytes: usize,
}

/// A state to keep.
pub(super) struct New {
    pub(super) state: State,
    pub(super) insn: usize,
    pub(super) parent: Option<KeptId>,
    pub(super) history: Vec<Step>,
    pub(super) written: Written,
}

/// What of a frame decided something later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Registers whose numbers did.
    pub(super) registers: u16,
    /// Slots whose numbers did.
    pub(super) slots: Slots,
    /// Slots that were read.
    pub(super) read: Slots,
}

impl Marks {
    /// Everything.
    const ALL: Self = Self {
        registers: u16::MAX,
        slots: Slots::MAX,
        read: Slots::MAX,
    };
}

/// The end of a path that a state covers whose marks are not complete.
#[derive(Debug)]
pub(super) struct BackEdge {
    /// The state.
    pub(super) to: KeptId,
    /// Where the path was kept last.
    pub(super) parent: Option<KeptId>,
    /// The way from there.
    pub(super) history: Vec<Step>,
    /// The slots that were overwritten on it.
    pub(super) written: Written,
}

/// All states that are kept.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    states: Vec<Option<Kept>>,
    free: Vec<u32>,
    serials: u32,
    /// By instruction: the states to compare with, the latest last.
    by_insn: Vec<Vec<KeptId>>,
    pub(super) back_edges: Vec<BackEdge>,
    /// Of states that are kept at once, the most.
    pub(super) peak: u64,
    /// Of states that are compared with at an instruction, the most.
    pub(super) most_listed: u64,
    /// Bytes that the states take which are kept, about.
    pub(super) bytes: usize,
}

impl Shelf {
    /// A shelf for a program of as many slots.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            by_insn: vec![Vec::new(); slots],
            ..Self::default()
        }
    }

    /// The states to compare with at an instruction.
    pub(super) fn listed(&self, insn: usize) -> &[KeptId] {
        self.by_insn.get(insn).map_or(&[], Vec::as_slice)
    }

    /// A state; `None` if it is kept no more.
    pub(super) fn get(&self, id: KeptId) -> Option<&Kept> {
        self.states
            .get(id.place as usize)?
            .as_ref()
            .filter(|kept| kept.serial == id.serial)
    }

    /// A state that must be there.
    pub(super) fn at(&self, id: KeptId) -> &Kept {
        self.states[id.place as usize].as_ref().expect("it is kept")
    }

    /// The same, to be changed.
    pub(super) fn at_mut(&mut self, id: KeptId) -> &mut Kept {
        self.states[id.place as usize].as_mut().expect("it is kept")
    }

    /// Keeps a state, with one path from it: the one that is being followed.
    pub(super) fn keep(&mut self, new: New) -> KeptId {
        self.serials = self.serials.wrapping_add(1);
        let depth = new.parent.map_or(0, |id| self.at(id).depth + 1);
        let insn = new.insn;
        // Frames below the running one are mostly shared.
        let slots = new.state.frame().stack.slots.len();
        let bytes = size_of::<Kept>()
            + size_of::<Frame>()
            + slots * size_of::<Slot>()
            + new.history.len() * size_of::<Step>();
        self.bytes = self.bytes.saturating_add(bytes);
        let kept = Kept {
            bytes,
            serial: self.serials,
            depth,
            branches: 1,
            entry: None,
            marks: vec![Marks::default(); new.state.frames.len()],
            hits: 0,
            misses: 0,
            listed: true,
            back_edges: self.back_edges.len(),
            state: new.state,
            insn,
            parent: new.parent,
            history: new.history,
            written: new.written,
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.states[place as usize] = Some(kept);
                place
            }
            None => {
                self.states.push(Some(kept));
                u32::try_from(self.states.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let id = KeptId {
            place,
            serial: self.serials,
        };
        if let Some(list) = self.by_insn.get_mut(insn) {
            list.push(id);
            self.most_listed = self.most_listed.max(list.len() as u64);
        }
        self.peak = self.peak.max((self.states.len() - self.free.len()) as u64);
        id
    }

    /// A path from a state begins.
    pub(super) fn fork(&mut self, id: Option<KeptId>) {
        if let Some(id) = id {
            self.at_mut(id).branches += 1;
        }
    }

    /// A path from a state has ended.
    pub(super) fn end(&mut self, code: &Code, mut at: Option<KeptId>) {
        while let Some(id) = at {
            let kept = self.at_mut(id);
            kept.branches = kept.branches.saturating_sub(1);
            if kept.branches > 0 {
                return;
            }
            at = kept.parent;
            self.complete(code, id);
        }
    }

    /// All paths from a state were followed.
    fn complete(&mut self, code: &Code, id: KeptId) {
        let kept = self.at_mut(id);
        match kept.entry {
            None => {}
            Some(entry) if entry == id => {
                let start = kept.back_edges;
                kept.entry = None;
                self.carry_over(code, start, id);
            }
            // Something outside of it is not complete.
            Some(_) => return,
        }
        let kept = self.at_mut(id);
        kept.parent = None;
        kept.history = Vec::new();
        if !kept.listed {
            self.forget(id);
        }
    }

    /// Carries marks over all back edges from one on, until nothing changes.
    fn carry_over(&mut self, code: &Code, start: usize, entry: KeptId) {
        let edges = self.back_edges.split_off(start.min(self.back_edges.len()));
        for _ in 0..MOST_ROUNDS {
            let mut news = false;
            for edge in &edges {
                news |= self.propagate(code, edge.to, &edge.history, edge.parent, &edge.written);
            }
            if !news {
                return;
            }
        }
        // It takes too long: everything decides something, in all states since then.
        for kept in self.states.iter_mut().flatten() {
            if kept.serial >= entry.serial {
                kept.marks.fill(Marks::ALL);
            }
        }
    }

    /// Marks on a path what decided something for the state that covers its end. Returns whether
    /// that was news.
    pub(super) fn propagate(
        &mut self,
        code: &Code,
        to: KeptId,
        history: &[Step],
        parent: Option<KeptId>,
        written: &Written,
    ) -> bool {
        let kept = self.at(to);
        let depth = kept.state.depth();
        let wanted = Wanted::of(&kept.marks);
        let reads: Vec<Slots> = kept.marks.iter().map(|marks| marks.read).collect();
        let mut news = self.go_back(code, history, depth, parent, wanted);
        for (frame, slots) in reads.into_iter().enumerate() {
            news |= self.read_from(parent, frame, slots & !written.slots(frame));
        }
        news
    }

    /// The outermost state that the marks of a state wait for; `None` if they are complete, or wait
    /// for none but itself.
    fn entry(&self, id: KeptId) -> Option<KeptId> {
        let mut entry = self.get(id)?.entry?;
        loop {
            // One that is gone, or complete, is waited for no more.
            let kept = self.get(entry)?;
            match kept.entry {
                Some(outer) if outer != entry => entry = outer,
                Some(_) => return Some(entry),
                None if kept.branches == 0 => return None,
                None => return Some(entry),
            }
        }
    }

    /// The state that the marks of a state wait for, which may be itself; `None` if they are
    /// complete.
    pub(super) fn waits_for(&self, id: KeptId) -> Option<KeptId> {
        let kept = self.at(id);
        match self.entry(id) {
            Some(entry) => Some(entry),
            None => (kept.branches > 0).then_some(id),
        }
    }

    /// Puts the end of a path aside that a state covers whose marks wait for `entry`. `false` if
    /// that is not on the path, so that the state can't be used.
    pub(super) fn put_aside(&mut self, edge: BackEdge, entry: KeptId) -> bool {
        let depth = self.at(entry).depth;
        let mut at = edge.parent;
        loop {
            let Some(id) = at else { return false };
            if id == entry {
                break;
            }
            let kept = self.at(id);
            if kept.depth <= depth {
                return false;
            }
            at = kept.parent;
        }
        let mut at = edge.parent;
        while let Some(id) = at {
            let outer = self
                .entry(id)
                .is_some_and(|known| self.at(known).depth <= depth);
            let kept = self.at_mut(id);
            if !outer {
                kept.entry = Some(entry);
            }
            if id == entry {
                break;
            }
            at = kept.parent;
        }
        self.back_edges.push(edge);
        true
    }

    /// Compares with a state no more.
    pub(super) fn evict(&mut self, id: KeptId) {
        let complete = self.waits_for(id).is_none();
        let kept = self.at_mut(id);
        kept.listed = false;
        let insn = kept.insn;
        if let Some(list) = self.by_insn.get_mut(insn) {
            list.retain(|listed| *listed != id);
        }
        if complete {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: KeptId) {
        let kept = self.states[id.place as usize].take();
        let bytes = kept.map_or(0, |kept| kept.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.free.push(id.place);
    }
}
