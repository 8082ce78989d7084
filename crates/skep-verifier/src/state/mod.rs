//! What is known at one point of a path: registers, stacks, and what the program holds.

mod fields;
mod frame;
mod held;
mod register;
mod stack;

use std::rc::Rc;

use skep_isa::Reg;

pub use fields::{Field, FieldKind, Fields};
pub(crate) use frame::{CallbackKind, Frame};
pub(crate) use held::{Held, HeldKind};
pub(crate) use register::{BtfRef, BtfSource, DynptrKind, Id, Kind, PointerFlags, Register};
pub(crate) use stack::{Byte, IteratorState, Slot, SlotObject, Stack};

/// Everything that is known at one point of a path. Frames are shared between states until one of
/// them is written to.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The call chain, the running function last. Never empty.
    pub(crate) frames: Vec<Rc<Frame>>,
    /// What must be given back: references, locks, sections.
    pub(crate) held: Vec<Held>,
    /// How deep it is inside `bpf_rcu_read_lock`.
    pub(crate) rcu: u32,
    /// How deep it is inside `bpf_preempt_disable`.
    pub(crate) preempt: u32,
    /// The id of the innermost `bpf_local_irq_save`, or `NONE`.
    pub(crate) irq: Id,
    /// Whether it runs speculatively: a path that the processor may take and the program does not.
    pub(crate) speculative: bool,
    /// Whether the frame at the bottom is a callback that runs asynchronously, in which sleeping is
    /// as the callback's kind allows.
    pub(crate) in_async_callback: bool,
    /// Whether it may sleep, in the frame that runs.
    pub(crate) in_sleepable: bool,
    /// How often it passed a `may_goto`.
    pub(crate) may_goto_depth: u32,
    /// How many calls of synchronous callbacks led here (`callback_unroll_depth`).
    pub(crate) callback_depth: u32,
}

impl State {
    /// Nothing is held or entered, and no function runs: frames are to be added.
    pub(crate) fn empty() -> Self {
        Self {
            frames: Vec::new(),
            held: Vec::new(),
            rcu: 0,
            preempt: 0,
            irq: Id::NONE,
            speculative: false,
            in_async_callback: false,
            in_sleepable: false,
            may_goto_depth: 0,
            callback_depth: 0,
        }
    }

    /// The function that runs.
    pub(crate) fn frame(&self) -> &Frame {
        self.frames.last().expect("a state has a frame")
    }

    /// The function that runs, to be changed.
    pub(crate) fn frame_mut(&mut self) -> &mut Frame {
        Rc::make_mut(self.frames.last_mut().expect("a state has a frame"))
    }

    /// The index of the function that runs in [`frames`](Self::frames).
    pub(crate) fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    /// A register of the function that runs.
    pub(crate) fn register(&self, reg: Reg) -> &Register {
        &self.frame().registers[usize::from(reg.number())]
    }

    /// A register of the function that runs, to be changed.
    pub(crate) fn register_mut(&mut self, reg: Reg) -> &mut Register {
        &mut self.frame_mut().registers[usize::from(reg.number())]
    }

    /// Runs `change` on all registers and spilled registers of all frames. A frame is only copied
    /// where `concerns` holds for one of them.
    pub(crate) fn change_registers(
        &mut self,
        concerns: impl Fn(&Register) -> bool,
        mut change: impl FnMut(&mut Register),
    ) {
        for frame in &mut self.frames {
            if !frame.all_registers().any(&concerns) {
                continue;
            }
            for register in Rc::make_mut(frame).all_registers_mut() {
                if concerns(register) {
                    change(register);
                }
            }
        }
    }
}
