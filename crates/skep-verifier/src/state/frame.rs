//! What is known about one function that runs: its registers and stack, and why it runs.

use skep_isa::Reg;

use super::{Register, Stack};

/// One function in a call chain.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    /// R0 to R10.
    pub(crate) registers: [Register; 11],
    /// Its stack.
    pub(crate) stack: Stack,
    /// Which subprogram.
    pub(crate) subprogram: u32,
    /// The instruction that called it; for callbacks, the helper's or kfunc's call.
    pub(crate) call_site: usize,
    /// Why it runs, if it is a callback.
    pub(crate) callback: Option<CallbackKind>,
    /// The values that a callback may return.
    pub(crate) callback_returns: (i64, i64),
    /// How often a synchronous callback ran in a row at its call site.
    pub(crate) callback_depth: u32,
    /// Whether it is the body of an exception callback.
    pub(crate) exception_callback: bool,
    /// Different for every call: asynchronous callbacks of the same function are told apart.
    pub(crate) async_entry: u32,
}

/// Whose callback a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CallbackKind {
    /// One that its helper calls as often as it likes before it returns (`bpf_loop`,
    /// `bpf_for_each_map_elem`, `bpf_find_vma`, `bpf_user_ringbuf_drain`, `bpf_rbtree_add`).
    Synchronous,
    /// One that runs later (timers, work queues).
    Asynchronous,
}

impl Frame {
    /// A function at its start: nothing in its registers but the frame pointer.
    pub(crate) fn new(subprogram: u32, call_site: usize, depth: u8) -> Self {
        let mut registers = [const { Register::UNINIT }; 11];
        registers[usize::from(Reg::FP.number())] =
            Register::pointer(super::Kind::Stack { frame: depth });
        Self {
            registers,
            stack: Stack::default(),
            subprogram,
            call_site,
            callback: None,
            callback_returns: (0, 0),
            callback_depth: 0,
            exception_callback: false,
            async_entry: 0,
        }
    }

    /// Its registers and what it spilled.
    pub(crate) fn all_registers(&self) -> impl Iterator<Item = &Register> {
        let spilled = self.stack.slots.iter().filter(|slot| slot.has_spill());
        self.registers
            .iter()
            .chain(spilled.map(|slot| &slot.spilled))
    }

    /// Its registers and what it spilled, to be changed.
    pub(crate) fn all_registers_mut(&mut self) -> impl Iterator<Item = &mut Register> {
        let spilled = self.stack.slots.iter_mut().filter(|slot| slot.has_spill());
        self.registers
            .iter_mut()
            .chain(spilled.map(|slot| &mut slot.spilled))
    }
}
