//! Loads, stores and atomic operations, with their checks.

use cranelift_codegen::ir::{
    AtomicRmwOp, Block, InstBuilder as _, MemFlags, Type, Value,
    condcodes::IntCC,
    types::{I8, I16, I32, I64},
};
use skep_isa::{AtomicOp, Insn, InsnIndex, NarrowSize, Operand, Reg, Size, Width};

use super::{
    function::{Translator, hot},
    shims,
};
use crate::{engine::elide::Fact, run::Cached};

/// Where an access goes: an address and what is added to it.
#[derive(Clone, Copy)]
struct Place {
    base: Value,
    offset: i32,
}

const fn ty(size: Size) -> Type {
    match size {
        Size::B => I8,
        Size::H => I16,
        Size::W => I32,
        Size::Dw => I64,
    }
}

/// What an access does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Load,
    Store,
    Atomic,
}

impl Translator<'_> {
    pub(super) fn access(&mut self, at: InsnIndex, insn: &Insn) {
        match *insn {
            Insn::Load {
                size,
                dst,
                base,
                offset,
            } => {
                let (place, _) = self.place(at, base, offset, size, Use::Load);
                let value = self.load(place, size);
                self.set(dst, value);
            }
            Insn::LoadSigned {
                size,
                dst,
                base,
                offset,
            } => {
                let (place, _) = self.place(at, base, offset, size.size(), Use::Load);
                let (flags, ins) = (flags(), self.b.ins());
                let value = match size {
                    NarrowSize::B => ins.sload8(I64, flags, place.base, place.offset),
                    NarrowSize::H => ins.sload16(I64, flags, place.base, place.offset),
                    NarrowSize::W => ins.sload32(flags, place.base, place.offset),
                };
                self.set(dst, value);
            }
            Insn::Store {
                size,
                base,
                offset,
                value,
            } => {
                let (place, lost) = self.place(at, base, offset, size, Use::Store);
                self.store(place, size, value);
                self.join(lost);
            }
            Insn::Atomic {
                width,
                op,
                base,
                offset,
                src,
            } => self.atomic(at, width, op, base, offset, src),
            Insn::LoadAcquire {
                size,
                dst,
                base,
                offset,
            } => {
                let (place, _) = self.place(at, base, offset, size, Use::Load);
                let value = self.load(place, size);
                if !self.ordered {
                    self.b.ins().fence();
                }
                self.set(dst, value);
            }
            Insn::StoreRelease {
                size,
                base,
                offset,
                src,
            } => {
                let (place, lost) = self.place(at, base, offset, size, Use::Store);
                if !self.ordered {
                    self.b.ins().fence();
                }
                self.store(place, size, Operand::Reg(src));
                self.join(lost);
            }
            _ => {}
        }
    }

    fn load(&mut self, place: Place, size: Size) -> Value {
        let (flags, ins) = (flags(), self.b.ins());
        match size {
            Size::B => ins.uload8(I64, flags, place.base, place.offset),
            Size::H => ins.uload16(I64, flags, place.base, place.offset),
            Size::W => ins.uload32(flags, place.base, place.offset),
            Size::Dw => ins.load(I64, flags, place.base, place.offset),
        }
    }

    fn store(&mut self, place: Place, size: Size, value: Operand) {
        let value = self.operand(value);
        let (flags, ins) = (flags(), self.b.ins());
        match size {
            Size::B => ins.istore8(flags, value, place.base, place.offset),
            Size::H => ins.istore16(flags, value, place.base, place.offset),
            Size::W => ins.istore32(flags, value, place.base, place.offset),
            Size::Dw => ins.store(flags, value, place.base, place.offset),
        };
    }

    fn atomic(
        &mut self,
        at: InsnIndex,
        width: Width,
        op: AtomicOp,
        base: Reg,
        offset: i16,
        src: Reg,
    ) {
        let (place, lost) = self.place(at, base, offset, width.size(), Use::Atomic);
        let address = self.b.ins().iadd_imm(place.base, i64::from(place.offset));
        self.check_alignment(at, address, width.size());
        let flags = flags().with_aligned();
        let ty = ty(width.size());
        let narrow = |this: &mut Self, register| match width {
            Width::W64 => this.get(register),
            Width::W32 => this.get32(register),
        };
        let value = narrow(self, src);
        let (old, into) = match op {
            AtomicOp::CmpXchg => {
                let expected = narrow(self, Reg::R0);
                let old = self.b.ins().atomic_cas(flags, address, expected, value);
                (old, Some(Reg::R0))
            }
            _ => {
                let operation = match op {
                    AtomicOp::Add { .. } => AtomicRmwOp::Add,
                    AtomicOp::Or { .. } => AtomicRmwOp::Or,
                    AtomicOp::And { .. } => AtomicRmwOp::And,
                    AtomicOp::Xor { .. } => AtomicRmwOp::Xor,
                    AtomicOp::Xchg | AtomicOp::CmpXchg => AtomicRmwOp::Xchg,
                };
                let ins = self.b.ins();
                let old = ins.atomic_rmw(ty, flags, operation, address, value);
                (old, op.fetches().then_some(src))
            }
        };
        if let Some(into) = into {
            match width {
                Width::W64 => self.set(into, old),
                Width::W32 => self.set32(into, old),
            }
        }
        self.join(lost);
    }

    // ── checks ──────────────────────────────────────────────────────────────────────────────

    /// The place of an access after its check, and where a store that is lost goes on.
    fn place(
        &mut self,
        at: InsnIndex,
        base: Reg,
        offset: i16,
        size: Size,
        usage: Use,
    ) -> (Place, Option<Block>) {
        let base = self.get(base);
        let offset = i32::from(offset);
        let looked_at = self.checked || self.code.is_guarded(at);
        if !looked_at || self.facts.at(at).has(Fact::INSIDE) {
            return (Place { base, offset }, None);
        }
        let address = self.b.ins().iadd_imm(base, i64::from(offset));
        if !self.checked {
            let base = self.guard(at, address, size, usage);
            return (Place { base, offset: 0 }, None);
        }
        let lost = self.check(at, address, size, usage != Use::Load);
        let place = Place {
            base: address,
            offset: 0,
        };
        (place, lost)
    }

    /// Where a guarded access goes: see [`crate::run::Run::guard`].
    fn guard(&mut self, at: InsnIndex, address: Value, size: Size, usage: Use) -> Value {
        let write = usage != Use::Load;
        let (cold, next) = (self.cold_block(), self.b.create_block());
        let place = self.b.append_block_param(next, I64);
        if usage == Use::Atomic {
            self.b.ins().jump(cold, &[]);
        } else {
            let out = self.outside_cached(address, size, write);
            self.b.ins().brif(out, cold, &[], next, &[address.into()]);
        }
        self.begin(cold);
        let what = self.size_and_write(size, write);
        let aligned = self.b.ins().iconst(I64, i64::from(usage == Use::Atomic));
        let wanted = self.wanted(at.0);
        self.keep(wanted);
        let guard = shims::guarded as *const () as usize;
        let found = self.shim(guard, &[address, what, aligned], 1)[0];
        self.bring_back(wanted);
        self.b.ins().jump(next, &[found.into()]);
        self.begin(next);
        place
    }

    /// Whether an access is not where the last ones were.
    fn outside_cached(&mut self, address: Value, size: Size, write: bool) -> Value {
        let cached = if write {
            hot!(caches.write)
        } else {
            hot!(caches.read)
        };
        let log = size.bytes().trailing_zeros() as usize;
        let places = std::mem::offset_of!(Cached, places) + log * size_of::<u64>();
        let start = self.load_hot(cached);
        let places = self.load_hot(cached + places as i32);
        let inside = self.b.ins().isub(address, start);
        let out = IntCC::UnsignedGreaterThanOrEqual;
        self.b.ins().icmp(out, inside, places)
    }

    fn check(&mut self, at: InsnIndex, address: Value, size: Size, write: bool) -> Option<Block> {
        let out = self.outside_cached(address, size, write);
        let (cold, next) = (self.cold_block(), self.b.create_block());
        self.b.ins().brif(out, cold, &[], next, &[]);
        self.b.switch_to_block(cold);
        self.b.seal_block(cold);
        let wanted = self.wanted(at.0);
        self.keep(wanted);
        // What is nowhere in an arena is paid for.
        let arena = self.code.arena().is_some();
        if arena {
            self.store_budget();
        }
        let what = self.size_and_write(size, write);
        let place = self.b.ins().iconst(I64, i64::from(at.0));
        let check = shims::check as *const () as usize;
        let answer = self.shim(check, &[address, what, place], 1)[0];
        self.bring_back(wanted);
        if arena {
            self.load_budget();
        }
        let fault = self.fault();
        let lost = if write && arena {
            let (other, lost) = (self.cold_block(), self.b.create_block());
            self.b.ins().brif(answer, other, &[], next, &[]);
            self.b.switch_to_block(other);
            self.b.seal_block(other);
            let void = self.b.ins().icmp_imm(IntCC::Equal, answer, shims::VOID);
            self.b.ins().brif(void, lost, &[], fault, &[]);
            Some(lost)
        } else {
            self.b.ins().brif(answer, fault, &[], next, &[]);
            None
        };
        self.b.switch_to_block(next);
        self.b.seal_block(next);
        lost
    }

    fn size_and_write(&mut self, size: Size, write: bool) -> Value {
        let what = i64::from(size.bytes()) | if write { shims::WRITE } else { 0 };
        self.b.ins().iconst(I64, what)
    }

    /// Goes on where a lost store does.
    fn join(&mut self, lost: Option<Block>) {
        if let Some(lost) = lost {
            self.b.ins().jump(lost, &[]);
            self.b.switch_to_block(lost);
            self.b.seal_block(lost);
        }
    }

    fn check_alignment(&mut self, at: InsnIndex, address: Value, size: Size) {
        // No verifier looks at it: where the kernel runs, atomics need not be aligned.
        if self.facts.at(at).has(Fact::ALIGNED) {
            return;
        }
        let low = self.b.ins().band_imm(address, i64::from(size.bytes()) - 1);
        let (cold, next) = (self.cold_block(), self.b.create_block());
        self.b.ins().brif(low, cold, &[], next, &[]);
        self.b.switch_to_block(cold);
        self.b.seal_block(cold);
        let what = self.size_and_write(size, true);
        let place = self.b.ins().iconst(I64, i64::from(at.0));
        let fail = shims::fail_memory as *const () as usize;
        self.shim(fail, &[address, what, place], 0);
        let fault = self.fault();
        self.b.ins().jump(fault, &[]);
        self.b.switch_to_block(next);
        self.b.seal_block(next);
    }
}

/// Of the program's accesses: checked or verified, so that they never trap.
pub(super) fn flags() -> MemFlags {
    MemFlags::new().with_notrap()
}
