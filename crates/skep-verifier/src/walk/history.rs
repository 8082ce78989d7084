//! The way since the last state that was kept: which instructions, and which numbers learnt from
//! each other on it.

use super::Walk;

/// One instruction on the way.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Its slot.
    pub(crate) insn: u32,
    /// The numbers that learnt from each other there.
    pub(crate) linked: Option<Box<[Place]>>,
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
        // Eight frames of 64 slots.
        Self {
            frame: frame as u8,
            number: number as u8,
            is_slot,
        }
    }
}

impl Walk {
    /// Remembers that the instruction taught several numbers at once.
    pub(crate) fn note_linked(&mut self, places: Vec<Place>) {
        if let Some(step) = self.history.last_mut() {
            step.linked = Some(places.into());
        }
    }
}
