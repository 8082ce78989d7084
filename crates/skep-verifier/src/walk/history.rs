//! The way since the last state that was kept: which instructions, which stack they touch, and
//! which numbers learnt from each other on it.
//!
//! What an instruction reads of the stack is noted here, before it is done, from the pointers that
//! it has: `memory` and `call` need not tell. What is not known exactly counts as read.

use std::rc::Rc;

use skep_abi::{ArgKind, Helper, ValueFlags};
use skep_isa::{CallTarget, Insn, Operand, Reg, Size};

use super::{
    Walk,
    kept::{KeptId, Shelf},
};
use crate::{
    setup::Points,
    state::Kind,
    verifier::{Result, Verifier},
};

/// The most frames of a state (`MAX_CALL_FRAMES` of 7.2).
pub(crate) const FRAMES: usize = 16;
/// Slots of a stack.
const SLOTS: i64 = 64;

/// Slots of a frame, a bit each.
pub(crate) type Slots = u64;

/// One instruction on the way.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Its slot.
    pub(crate) insn: u32,
    /// The frame that ran, by its depth.
    pub(crate) depth: u8,
    /// Whether that frame is a callback.
    pub(crate) callback: bool,
    /// The stack that it loads from or stores to, if it is a load or store.
    pub(crate) stack: Option<Touched>,
    /// The numbers that learnt from each other there.
    pub(crate) linked: Option<Rc<Vec<Place>>>,
}

/// Stack that a load or store touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Touched {
    /// Whose.
    pub(crate) frame: u8,
    /// The first slot, by number: the one with the highest address.
    first: u8,
    /// The last slot.
    last: u8,
    /// Whether it is one whole slot, for certain.
    pub(crate) whole: bool,
}

impl Touched {
    /// Those from one offset (negative) to another, exclusive; `None` if there are none in the
    /// stack.
    fn range(frame: u8, from: i64, to: i64, whole: bool) -> Option<Self> {
        let from = from.max(-8 * SLOTS);
        let to = to.min(0);
        if from >= to || usize::from(frame) >= FRAMES {
            return None;
        }
        // Both are within 0 to 63.
        Some(Self {
            frame,
            first: ((-to) / 8) as u8,
            last: ((-from - 1) / 8) as u8,
            whole,
        })
    }

    /// Its slots.
    pub(crate) fn slots(self) -> Slots {
        let count = u32::from(self.last - self.first) + 1;
        (Slots::MAX >> (64 - count)) << self.first
    }
}

/// Where a number is: in a register or a stack slot of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The frame.
    pub(crate) frame: u8,
    /// The register, or the slot.
    pub(crate) number: u8,
    /// Whether it is a slot.
    pub(crate) is_slot: bool,
}

impl Place {
    /// A register.
    pub(crate) fn register(frame: usize, number: usize) -> Self {
        Self::new(frame, number, false)
    }

    /// A slot.
    pub(crate) fn slot(frame: usize, number: usize) -> Self {
        Self::new(frame, number, true)
    }

    fn new(frame: usize, number: usize, is_slot: bool) -> Self {
        // Sixteen frames of 64 slots.
        Self {
            frame: frame as u8,
            number: number as u8,
            is_slot,
        }
    }
}

/// Slots that were overwritten since the last state that was kept, by frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    slots: [Slots; FRAMES],
    frames: u8,
}

impl Default for Written {
    /// All is new.
    fn default() -> Self {
        Self {
            slots: [Slots::MAX; FRAMES],
            frames: 0,
        }
    }
}

impl Written {
    /// Nothing of the frames that there are.
    pub(crate) fn nothing(frames: usize) -> Self {
        let mut written = Self::default();
        written.slots[..frames.min(FRAMES)].fill(0);
        written.frames = frames as u8;
        written
    }

    pub(crate) fn slots(&self, frame: usize) -> Slots {
        self.slots.get(frame).copied().unwrap_or(0)
    }

    /// Frames were entered and left: nothing that is below was there before.
    pub(crate) fn resize(&mut self, frames: usize) {
        let now = frames.min(FRAMES);
        if now == usize::from(self.frames) {
            return;
        }
        let before = usize::from(self.frames).min(now);
        self.slots[before..].fill(Slots::MAX);
        self.frames = now as u8;
    }
}

impl Walk {
    /// Remembers that the instruction taught several numbers at once.
    pub(crate) fn note_linked(&mut self, places: Vec<Place>) {
        if let Some(step) = self.history.last_mut() {
            step.linked = Some(Rc::new(places));
        }
    }

    /// Notes that slots are read: what was known of them in the kept states that they come from
    /// matters.
    pub(super) fn note_read(&mut self, frame: usize, slots: Slots) {
        let slots = slots & !self.written.slots(frame);
        self.kept.read_from(self.parent, frame, slots);
    }
}

impl Shelf {
    /// Marks slots as read in a kept state and those above it. Returns whether that was news.
    pub(super) fn read_from(
        &mut self,
        mut parent: Option<KeptId>,
        frame: usize,
        mut slots: Slots,
    ) -> bool {
        let mut news = false;
        while let Some(id) = parent
            && slots != 0
        {
            let kept = self.at_mut(id);
            let Some(marks) = kept.marks.get_mut(frame) else {
                break;
            };
            // What is marked is marked in those above, too.
            slots &= !marks.read;
            news |= slots != 0;
            marks.read |= slots;
            slots &= !kept.written.slots(frame);
            parent = kept.parent;
        }
        news
    }
}

impl Verifier<'_> {
    /// Notes an instruction that is about to be done, and the stack that it reads.
    pub(super) fn note_step(&mut self, insn: &Insn) -> Result {
        let stack = self.touched(insn);
        self.walk.history.push(Step {
            insn: u32::try_from(self.insn).unwrap_or(u32::MAX),
            depth: self.state.depth() as u8,
            callback: self.state.frame().callback.is_some(),
            stack,
            linked: None,
        });
        match *insn {
            Insn::Store { value, .. } => {
                let Some(touched) = stack else { return Ok(()) };
                if touched.whole {
                    let frame = usize::from(touched.frame);
                    self.walk.written.slots[frame] |= touched.slots();
                } else if let Operand::Reg(reg) = value
                    && self.reg(reg).is_null()
                {
                    // It leaves zeroes, of which no one knows whose they were.
                    self.mark_precise(reg)?;
                }
            }
            Insn::Load { .. }
            | Insn::LoadSigned { .. }
            | Insn::LoadAcquire { .. }
            | Insn::Atomic { .. } => {
                if let Some(touched) = stack {
                    self.walk.note_read(touched.frame.into(), touched.slots());
                }
            }
            Insn::StoreRelease { src, .. } if stack.is_some() && self.reg(src).is_null() => {
                self.mark_precise(src)?;
            }
            Insn::Call(target) => {
                if self.is_static_call(target) {
                    return Ok(());
                }
                for (index, reg) in (0..).zip([Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]) {
                    // Where a pointer may be null, this one decides that it is.
                    if self.reg(reg).is_null() && may_take_null(target, index) {
                        self.mark_precise(reg)?;
                    }
                }
                self.note_arguments(target);
            }
            _ => {}
        }
        Ok(())
    }

    /// The stack that a load or store touches.
    fn touched(&self, insn: &Insn) -> Option<Touched> {
        let (size, base, offset) = match *insn {
            Insn::Load {
                size, base, offset, ..
            }
            | Insn::LoadAcquire {
                size, base, offset, ..
            }
            | Insn::Store {
                size, base, offset, ..
            }
            | Insn::StoreRelease {
                size, base, offset, ..
            } => (size, base, offset),
            Insn::LoadSigned {
                size, base, offset, ..
            } => (size.size(), base, offset),
            Insn::Atomic {
                width,
                base,
                offset,
                ..
            } => (width.size(), base, offset),
            _ => return None,
        };
        let pointer = self.reg(base);
        let Kind::Stack { frame } = pointer.kind else {
            return None;
        };
        let base = i64::from(pointer.offset) + i64::from(offset);
        let from = pointer.value.smin.saturating_add(base);
        let to = pointer
            .value
            .smax
            .saturating_add(base)
            .saturating_add(size.bytes().into());
        let whole = size == Size::Dw
            && pointer.value.as_constant().is_some()
            && from % 8 == 0
            && !matches!(insn, Insn::Atomic { .. });
        Touched::range(frame, from, to, whole)
    }

    /// Whether a call goes on in a function of the program.
    fn is_static_call(&self, target: CallTarget) -> bool {
        let CallTarget::Subprogram { offset } = target else {
            return false;
        };
        let callee = self.code.subprogram_at(self.target_of(offset));
        let callee = self.code.subprograms.get(callee);
        !callee.is_some_and(|callee| callee.global)
    }

    /// Notes the stack that a function which is called may read.
    fn note_arguments(&mut self, target: CallTarget) {
        // Those read for themselves.
        let calls_back = self
            .code
            .points
            .get(self.insn)
            .is_some_and(|points| points.contains(Points::CALLS_BACK));
        if calls_back && matches!(target, CallTarget::Helper(_)) {
            return;
        }
        let helper = match target {
            CallTarget::Helper(id) => Helper::by_id(id),
            _ => None,
        };
        for (place, reg) in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]
            .into_iter()
            .enumerate()
        {
            let register = self.reg(reg);
            let Kind::Stack { frame } = register.kind else {
                continue;
            };
            let bytes = match helper {
                Some(helper) => match self.bytes_read(helper, place) {
                    Some(0) => continue,
                    bytes => bytes,
                },
                None => None,
            };
            let base = i64::from(register.offset);
            let from = register.value.smin.saturating_add(base);
            let to = bytes.map_or(0, |bytes| {
                let last = register.value.smax.saturating_add(base);
                last.saturating_add(bytes)
            });
            if let Some(touched) = Touched::range(frame, from, to, false) {
                self.walk.note_read(touched.frame.into(), touched.slots());
            }
        }
    }

    /// How many bytes a helper reads by an argument; `None` if that is not known.
    fn bytes_read(&self, helper: &Helper, place: usize) -> Option<i64> {
        let parameters = helper.parameters();
        let Some(parameter) = parameters.get(place) else {
            // The others are no arguments.
            return Some(0);
        };
        let map = || match self.reg(Reg::R1).kind {
            Kind::ConstMap { map, inner, .. } => self.program.map(map, inner),
            _ => None,
        };
        if parameter.flags.contains(ValueFlags::UNINIT) {
            return match parameter.kind {
                ArgKind::Mem => Some(0),
                _ => None,
            };
        }
        match parameter.kind {
            ArgKind::MapKey => map().map(|map| map.key_size.into()),
            ArgKind::MapValue => map().map(|map| map.value_size.into()),
            ArgKind::Mem => match parameter.size {
                Some(size) => Some(size.into()),
                None => {
                    let reg = Reg::new(u8::try_from(place).ok()? + 2)?;
                    let size = self.reg(reg);
                    let sized = parameters.get(place + 1).is_some_and(|next| {
                        matches!(next.kind, ArgKind::MemSize | ArgKind::MemSizeOrZero)
                    });
                    if sized && size.is_scalar() {
                        i64::try_from(size.value.umax).ok()
                    } else {
                        None
                    }
                }
            },
            _ => None,
        }
    }
}

/// Whether a function may take null as a pointer in an argument; of kernel functions that is told
/// by their types, which are looked at later.
fn may_take_null(target: CallTarget, index: usize) -> bool {
    let CallTarget::Helper(id) = target else {
        return true;
    };
    let parameter = Helper::by_id(id).and_then(|helper| helper.parameters().get(index));
    parameter.is_some_and(|parameter| {
        parameter.flags.contains(ValueFlags::MAYBE_NULL) || parameter.kind == ArgKind::Stack
    })
}
