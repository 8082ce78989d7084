//! The interpreter: a loop over operations, once for each mode, and twice that for programs whose
//! coverage is counted.

use std::{
    fmt,
    ops::{BitAnd, BitOr, BitXor},
    sync::Arc,
};

use skep_isa::{ArenaCast, InsnIndex};

use super::{
    Answer, Executable, FRAME, Mode, Status,
    access::{self, Atomics as _, Plain as _},
    arithmetic,
    lower::lower,
    op::{Code, Op},
};
use crate::{
    FaultKind,
    coverage::{Counter, Coverage},
    program::Code as ProgramCode,
    run::{Region, Run},
};

/// R0 to R10, and room up to a power of two so that no index needs a check.
type Registers = [u64; 16];

/// Where R10 stands.
const R10: usize = 10;

/// Rounds that a `may_goto` gives a frame.
const MAY_GOTO: u32 = skep_abi::limits::LOOP_ROUNDS;

/// A program as the interpreter reads it.
pub(crate) struct Interpreter {
    ops: Vec<Op>,
    code: Arc<ProgramCode>,
    mode: Mode,
    /// Counts what runs, if that is wanted.
    coverage: Option<Arc<Coverage>>,
}

impl Interpreter {
    pub(crate) fn new(code: Arc<ProgramCode>, mode: Mode, coverage: Option<Arc<Coverage>>) -> Self {
        Self {
            ops: lower(&code),
            code,
            mode,
            coverage,
        }
    }
}

impl fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interpreter({} slots, {:?})", self.ops.len(), self.mode)
    }
}

impl Executable for Interpreter {
    unsafe fn call(&self, run: &Run<'_>, function: u32, arguments: [u64; 5], frame: u64) -> Answer {
        let Some(start) = self.code.function_start(function) else {
            let target = u64::from(function);
            return run.fail(InsnIndex(0), FaultKind::Jump { target });
        };
        let coverage = self.coverage.as_deref();
        let counters = coverage.and_then(|coverage| coverage.of_cpu(run.cpu));
        // One an operation, or none are looked at.
        let counters = counters.filter(|all| all.len() == self.ops.len());
        let machine = Machine {
            ops: &self.ops,
            counters: counters.unwrap_or_default(),
            coverage,
            code: &self.code,
            run,
        };
        let counted = counters.is_some();
        // SAFETY: the caller's promise, which names the mode of this program; there are counters
        // where they are counted in.
        unsafe {
            match (self.mode, counted) {
                (Mode::Checked, false) => {
                    machine.execute::<true, false>(start, function, arguments, frame)
                }
                (Mode::Verified, false) => {
                    machine.execute::<false, false>(start, function, arguments, frame)
                }
                (Mode::Checked, true) => {
                    machine.execute::<true, true>(start, function, arguments, frame)
                }
                (Mode::Verified, true) => {
                    machine.execute::<false, true>(start, function, arguments, frame)
                }
            }
        }
    }
}

struct Machine<'a, 'r> {
    ops: &'a [Op],
    /// One an operation, where they are counted.
    counters: &'a [Counter],
    coverage: Option<&'a Coverage>,
    code: &'a ProgramCode,
    run: &'a Run<'r>,
}

/// What a caller keeps while it waits for a function of the same program.
struct Caller {
    /// Where it goes on.
    next: u32,
    function: u32,
    may_goto: u32,
    /// R6 to R9.
    saved: [u64; 4],
    /// What it has for the function beyond the fifth argument, and what it was given itself.
    given: StackArguments,
}

/// Arguments beyond the fifth; none before a program first stores one.
type StackArguments = [u64; 8];

/// Where the interpreter is, beside its place.
struct State {
    registers: Registers,
    function: u32,
    may_goto: u32,
    callers: Vec<Caller>,
    /// Arguments beyond the fifth: those that the function was given, and those that it gives.
    given: StackArguments,
    passed: StackArguments,
}

impl State {
    /// Goes to a function, and answers where it begins; `next` is where its caller goes on.
    fn call(&mut self, next: u32, function: u32, frame: u64, start: InsnIndex) -> u32 {
        let [.., r6, r7, r8, r9, _, _, _, _, _, _] = self.registers;
        self.callers.push(Caller {
            next,
            function: self.function,
            may_goto: self.may_goto,
            saved: [r6, r7, r8, r9],
            given: self.given,
        });
        self.registers[0] = 0;
        self.registers[6..10].fill(0);
        self.registers[R10] = frame;
        self.given = self.passed;
        self.passed = [0; 8];
        self.function = function;
        self.may_goto = MAY_GOTO;
        start.0
    }

    /// Goes back to the caller; or, from the first function, to whoever wants the answer.
    fn leave(&mut self) -> Result<u32, Answer> {
        let Some(caller) = self.callers.pop() else {
            return Err(Answer::done(self.registers[0]));
        };
        self.registers[1..6].fill(0);
        self.registers[6..10].copy_from_slice(&caller.saved);
        self.registers[R10] = self.registers[R10].wrapping_add(FRAME);
        (self.passed, self.given) = (self.given, caller.given);
        self.function = caller.function;
        self.may_goto = caller.may_goto;
        Ok(caller.next)
    }
}

impl Machine<'_, '_> {
    /// # Safety
    /// `CHECKED`, or a verifier accepted the program; `frame` is the end of a frame. If `COUNTED`,
    /// there is a counter for each operation.
    unsafe fn execute<const CHECKED: bool, const COUNTED: bool>(
        &self,
        start: InsnIndex,
        function: u32,
        arguments: [u64; 5],
        frame: u64,
    ) -> Answer {
        let mut state = State {
            registers: [0; 16],
            function,
            may_goto: MAY_GOTO,
            callers: Vec::new(),
            given: [0; 8],
            passed: [0; 8],
        };
        state.registers[1..6].copy_from_slice(&arguments);
        state.registers[R10] = frame;
        if CHECKED && !self.enter(function, frame) {
            return Answer::stopped(Status::Fault);
        }
        let mut at = start.0;
        // Several copies of the one match: a processor guesses where each goes next by what
        // followed there before, and one place for all operations is too little to go by.
        loop {
            // SAFETY: as the caller promises; `at` is a slot of the program, since loading it has
            // shown that jumps stay in their function and that no function's last instruction
            // falls through.
            let next = unsafe {
                self.step::<CHECKED, COUNTED>(at, &mut state)
                    .and_then(|at| self.step::<CHECKED, COUNTED>(at, &mut state))
                    .and_then(|at| self.step::<CHECKED, COUNTED>(at, &mut state))
                    .and_then(|at| self.step::<CHECKED, COUNTED>(at, &mut state))
            };
            match next {
                Ok(next) => at = next,
                Err(answer) => return answer,
            }
        }
    }

    /// Executes the operation at `at`, and answers where the next one is; or, at the end, the
    /// answer.
    ///
    /// # Safety
    /// As for `execute`; `at` is a slot of the program.
    #[inline(always)]
    #[expect(clippy::too_many_lines, reason = "one match over all operations")]
    unsafe fn step<const CHECKED: bool, const COUNTED: bool>(
        &self,
        at: u32,
        state: &mut State,
    ) -> Result<u32, Answer> {
        let run = self.run;
        macro_rules! fail {
            ($kind:expr) => {
                return Err(run.fail(InsnIndex(at), $kind))
            };
        }
        // SAFETY: the caller's promise.
        let op = unsafe { self.ops.get_unchecked(at as usize) };
        if COUNTED {
            // SAFETY: the caller's promise: `at` is an operation, and has a counter.
            unsafe { self.counters.get_unchecked(at as usize) }.ran();
            if let Some(coverage) = self.coverage {
                coverage.step(at, &state.registers, run);
            }
        }

        // Each operation reads its registers' numbers itself, so that the way to the next one
        // stays short enough to be copied behind each.
        macro_rules! dst {
            () => {
                state.registers[usize::from(op.dst & 15)]
            };
        }
        macro_rules! src {
            () => {
                state.registers[usize::from(op.src & 15)]
            };
        }
        macro_rules! alu64 {
            ($f:expr, I) => {{
                let f: fn(u64, u64) -> u64 = $f;
                dst!() = f(dst!(), op.imm);
            }};
            ($f:expr, R) => {{
                let f: fn(u64, u64) -> u64 = $f;
                dst!() = f(dst!(), src!());
            }};
        }
        macro_rules! alu32 {
            ($f:expr, I) => {{
                let f: fn(u32, u32) -> u32 = $f;
                dst!() = u64::from(f(dst!() as u32, op.imm as u32));
            }};
            ($f:expr, R) => {{
                let f: fn(u32, u32) -> u32 = $f;
                dst!() = u64::from(f(dst!() as u32, src!() as u32));
            }};
        }
        macro_rules! go {
            () => {{
                if CHECKED && op.target <= at && !run.spend(at - op.target + 1, InsnIndex(at)) {
                    return Err(Answer::stopped(Status::Fault));
                }
                return Ok(op.target);
            }};
        }
        // The same for a conditional jump.
        macro_rules! jump {
            () => {{
                if COUNTED {
                    // SAFETY: as above.
                    unsafe { self.counters.get_unchecked(at as usize) }.jumped();
                }
                go!();
            }};
        }
        macro_rules! when {
            ($a:ident, $b:ident, $int:ty, $test:expr, I) => {{
                let ($a, $b) = (dst!() as $int, op.imm as $int);
                if $test {
                    jump!();
                }
            }};
            ($a:ident, $b:ident, $int:ty, $test:expr, R) => {{
                let ($a, $b) = (dst!() as $int, src!() as $int);
                if $test {
                    jump!();
                }
            }};
        }
        // The address of an access, after its check.
        macro_rules! address {
            ($base:expr, $size:literal, $write:literal) => {
                address!($base, $size, $write, false)
            };
            ($base:expr, $size:literal, $write:literal, $aligned:literal) => {{
                let address = $base.wrapping_add_signed(i64::from(op.offset));
                #[cfg(test)]
                super::elide::observe(at as u32, state.registers[R10], address, $size);
                if CHECKED {
                    match run.check(address, $size, $write) {
                        Region::Ours => {}
                        // Of an arena, where nothing is: a load gives 0, a store is lost.
                        Region::Void if $write => return Ok(at + 1),
                        Region::Void => {}
                        Region::Nothing => {
                            let write = $write;
                            fail!(FaultKind::Memory {
                                address,
                                size: $size,
                                write
                            })
                        }
                        Region::Spent => return Err(run.spent(InsnIndex(at))),
                    }
                    address
                } else if op.target != 0 {
                    run.guard(address, $size, $write, $aligned)
                } else {
                    address
                }
            }};
        }
        // SAFETY of both: checked or guarded by `address!`, or seen by a verifier.
        macro_rules! load {
            ($int:ty, $size:literal) => {{
                let address = address!(src!(), $size, false);
                // SAFETY: checked just now, or by a verifier.
                unsafe { <$int>::load(address) }
            }};
        }
        macro_rules! store {
            ($int:ty, $size:literal, $value:expr) => {{
                let address = address!(dst!(), $size, true);
                // SAFETY: checked just now, or by a verifier.
                unsafe { <$int>::store(address, $value as $int) };
            }};
        }
        macro_rules! atomic {
            ($int:ty, $size:literal, $method:ident) => {{
                let address = address!(dst!(), $size, true, true);
                if address % $size != 0 {
                    fail!(FaultKind::Memory {
                        address,
                        size: $size,
                        write: true
                    })
                }
                // SAFETY: checked just now, or by a verifier; aligned.
                unsafe { <$int>::$method(address, src!() as $int) }
            }};
        }
        match op.code {
            Code::Add64I => alu64!(u64::wrapping_add, I),
            Code::Add64R => alu64!(u64::wrapping_add, R),
            Code::Add32I => alu32!(u32::wrapping_add, I),
            Code::Add32R => alu32!(u32::wrapping_add, R),
            Code::Sub64I => alu64!(u64::wrapping_sub, I),
            Code::Sub64R => alu64!(u64::wrapping_sub, R),
            Code::Sub32I => alu32!(u32::wrapping_sub, I),
            Code::Sub32R => alu32!(u32::wrapping_sub, R),
            Code::Mul64I => alu64!(u64::wrapping_mul, I),
            Code::Mul64R => alu64!(u64::wrapping_mul, R),
            Code::Mul32I => alu32!(u32::wrapping_mul, I),
            Code::Mul32R => alu32!(u32::wrapping_mul, R),
            Code::Div64I => alu64!(arithmetic::div64, I),
            Code::Div64R => alu64!(arithmetic::div64, R),
            Code::Div32I => alu32!(arithmetic::div32, I),
            Code::Div32R => alu32!(arithmetic::div32, R),
            Code::SDiv64I => alu64!(arithmetic::sdiv64, I),
            Code::SDiv64R => alu64!(arithmetic::sdiv64, R),
            Code::SDiv32I => alu32!(arithmetic::sdiv32, I),
            Code::SDiv32R => alu32!(arithmetic::sdiv32, R),
            Code::Mod64I => alu64!(arithmetic::rem64, I),
            Code::Mod64R => alu64!(arithmetic::rem64, R),
            Code::Mod32I => alu32!(arithmetic::rem32, I),
            Code::Mod32R => alu32!(arithmetic::rem32, R),
            Code::SMod64I => alu64!(arithmetic::srem64, I),
            Code::SMod64R => alu64!(arithmetic::srem64, R),
            Code::SMod32I => alu32!(arithmetic::srem32, I),
            Code::SMod32R => alu32!(arithmetic::srem32, R),
            Code::Or64I => alu64!(BitOr::bitor, I),
            Code::Or64R => alu64!(BitOr::bitor, R),
            Code::Or32I => alu32!(BitOr::bitor, I),
            Code::Or32R => alu32!(BitOr::bitor, R),
            Code::And64I => alu64!(BitAnd::bitand, I),
            Code::And64R => alu64!(BitAnd::bitand, R),
            Code::And32I => alu32!(BitAnd::bitand, I),
            Code::And32R => alu32!(BitAnd::bitand, R),
            Code::Xor64I => alu64!(BitXor::bitxor, I),
            Code::Xor64R => alu64!(BitXor::bitxor, R),
            Code::Xor32I => alu32!(BitXor::bitxor, I),
            Code::Xor32R => alu32!(BitXor::bitxor, R),
            Code::Lsh64I => alu64!(arithmetic::shl64, I),
            Code::Lsh64R => alu64!(arithmetic::shl64, R),
            Code::Lsh32I => alu32!(u32::wrapping_shl, I),
            Code::Lsh32R => alu32!(u32::wrapping_shl, R),
            Code::Rsh64I => alu64!(arithmetic::shr64, I),
            Code::Rsh64R => alu64!(arithmetic::shr64, R),
            Code::Rsh32I => alu32!(u32::wrapping_shr, I),
            Code::Rsh32R => alu32!(u32::wrapping_shr, R),
            Code::Arsh64I => alu64!(arithmetic::sar64, I),
            Code::Arsh64R => alu64!(arithmetic::sar64, R),
            Code::Arsh32I => alu32!(arithmetic::sar32, I),
            Code::Arsh32R => alu32!(arithmetic::sar32, R),
            Code::Imm64 => {
                dst!() = op.imm;
                return Ok(at + 2);
            }
            Code::Mov64I => dst!() = op.imm,
            Code::Mov64R => dst!() = src!(),
            Code::Mov32I => dst!() = u64::from(op.imm as u32),
            Code::Mov32R => dst!() = u64::from(src!() as u32),
            Code::Neg64 => dst!() = dst!().wrapping_neg(),
            Code::Neg32 => dst!() = u64::from((dst!() as u32).wrapping_neg()),
            Code::S8To32 => dst!() = u64::from(src!() as i8 as u32),
            Code::S16To32 => dst!() = u64::from(src!() as i16 as u32),
            Code::S8To64 => dst!() = src!() as i8 as u64,
            Code::S16To64 => dst!() = src!() as i16 as u64,
            Code::S32To64 => dst!() = src!() as i32 as u64,
            Code::Low16 => dst!() = u64::from(dst!() as u16),
            Code::Low32 => dst!() = u64::from(dst!() as u32),
            Code::Low64 => {}
            Code::Swap16 => dst!() = u64::from((dst!() as u16).swap_bytes()),
            Code::Swap32 => dst!() = u64::from((dst!() as u32).swap_bytes()),
            Code::Swap64 => dst!() = dst!().swap_bytes(),
            Code::Cast => {
                let cast = match op.imm {
                    0 => ArenaCast::ToKernel,
                    _ => ArenaCast::ToUser,
                };
                dst!() = self.code.arena_address(src!(), cast);
            }

            Code::Load8 => dst!() = u64::from(load!(u8, 1)),
            Code::Load16 => dst!() = u64::from(load!(u16, 2)),
            Code::Load32 => dst!() = u64::from(load!(u32, 4)),
            Code::Load64 => dst!() = load!(u64, 8),
            Code::LoadS8 => dst!() = load!(u8, 1) as i8 as u64,
            Code::LoadS16 => dst!() = load!(u16, 2) as i16 as u64,
            Code::LoadS32 => dst!() = load!(u32, 4) as i32 as u64,
            Code::Store8I => store!(u8, 1, op.imm),
            Code::Store16I => store!(u16, 2, op.imm),
            Code::Store32I => store!(u32, 4, op.imm),
            Code::Store64I => store!(u64, 8, op.imm),
            Code::Store8R => store!(u8, 1, src!()),
            Code::Store16R => store!(u16, 2, src!()),
            Code::Store32R => store!(u32, 4, src!()),
            Code::Store64R => store!(u64, 8, src!()),

            Code::AtomicAdd32 => _ = atomic!(u32, 4, fetch_add),
            Code::AtomicAdd64 => _ = atomic!(u64, 8, fetch_add),
            Code::AtomicOr32 => _ = atomic!(u32, 4, fetch_or),
            Code::AtomicOr64 => _ = atomic!(u64, 8, fetch_or),
            Code::AtomicAnd32 => _ = atomic!(u32, 4, fetch_and),
            Code::AtomicAnd64 => _ = atomic!(u64, 8, fetch_and),
            Code::AtomicXor32 => _ = atomic!(u32, 4, fetch_xor),
            Code::AtomicXor64 => _ = atomic!(u64, 8, fetch_xor),
            Code::FetchAdd32 => src!() = u64::from(atomic!(u32, 4, fetch_add)),
            Code::FetchAdd64 => src!() = atomic!(u64, 8, fetch_add),
            Code::FetchOr32 => src!() = u64::from(atomic!(u32, 4, fetch_or)),
            Code::FetchOr64 => src!() = atomic!(u64, 8, fetch_or),
            Code::FetchAnd32 => src!() = u64::from(atomic!(u32, 4, fetch_and)),
            Code::FetchAnd64 => src!() = atomic!(u64, 8, fetch_and),
            Code::FetchXor32 => src!() = u64::from(atomic!(u32, 4, fetch_xor)),
            Code::FetchXor64 => src!() = atomic!(u64, 8, fetch_xor),
            Code::Xchg32 => src!() = u64::from(atomic!(u32, 4, swap)),
            Code::Xchg64 => src!() = atomic!(u64, 8, swap),
            Code::CmpXchg32 => {
                let address = address!(dst!(), 4, true, true);
                if address % 4 != 0 {
                    fail!(FaultKind::Memory {
                        address,
                        size: 4,
                        write: true
                    })
                }
                let (expected, new) = (state.registers[0] as u32, src!() as u32);
                // SAFETY: checked just now, or by a verifier; aligned.
                state.registers[0] = u64::from(unsafe { u32::compare(address, expected, new) });
            }
            Code::CmpXchg64 => {
                let address = address!(dst!(), 8, true, true);
                if address % 8 != 0 {
                    fail!(FaultKind::Memory {
                        address,
                        size: 8,
                        write: true
                    })
                }
                let (expected, new) = (state.registers[0], src!());
                // SAFETY: checked just now, or by a verifier; aligned.
                state.registers[0] = unsafe { u64::compare(address, expected, new) };
            }
            Code::Acquire8 => dst!() = u64::from(load!(u8, 1)),
            Code::Acquire16 => dst!() = u64::from(load!(u16, 2)),
            Code::Acquire32 => dst!() = u64::from(load!(u32, 4)),
            Code::Acquire64 => dst!() = load!(u64, 8),
            Code::Release8 => {
                access::release();
                store!(u8, 1, src!());
            }
            Code::Release16 => {
                access::release();
                store!(u16, 2, src!());
            }
            Code::Release32 => {
                access::release();
                store!(u32, 4, src!());
            }
            Code::Release64 => {
                access::release();
                store!(u64, 8, src!());
            }
            Code::LoadArg => {
                dst!() = state.given.get(op.imm as usize).copied().unwrap_or(0);
            }
            Code::StoreArgI => {
                if let Some(place) = state.passed.get_mut(op.offset as usize) {
                    *place = op.imm;
                }
            }
            Code::StoreArgR => {
                if let Some(place) = state.passed.get_mut(op.offset as usize) {
                    *place = src!();
                }
            }
            Code::PacketAbs | Code::PacketInd => {
                let mut from = op.imm as i32;
                if op.code == Code::PacketInd {
                    from = from.wrapping_add(src!() as i32);
                }
                match run.load_packet(state.registers[6], from, op.dst) {
                    Some(value) => state.registers[0] = value,
                    // Out of the packet: the function ends with 0.
                    None => {
                        state.registers[0] = 0;
                        return state.leave();
                    }
                }
            }

            Code::Jump => go!(),
            Code::MayGoto => {
                if state.may_goto == 0 {
                    jump!();
                }
                state.may_goto -= 1;
            }
            Code::JumpIndirect => {
                let place = dst!();
                match self.code.indirect_target(state.function, place) {
                    Some(target) => {
                        let target = target.0;
                        if CHECKED && target <= at && !run.spend(at - target + 1, InsnIndex(at)) {
                            return Err(Answer::stopped(Status::Fault));
                        }
                        return Ok(target);
                    }
                    None => fail!(FaultKind::Jump { target: place }),
                }
            }
            Code::Eq64I => when!(a, b, u64, a == b, I),
            Code::Eq64R => when!(a, b, u64, a == b, R),
            Code::Eq32I => when!(a, b, u32, a == b, I),
            Code::Eq32R => when!(a, b, u32, a == b, R),
            Code::Ne64I => when!(a, b, u64, a != b, I),
            Code::Ne64R => when!(a, b, u64, a != b, R),
            Code::Ne32I => when!(a, b, u32, a != b, I),
            Code::Ne32R => when!(a, b, u32, a != b, R),
            Code::Gt64I => when!(a, b, u64, a > b, I),
            Code::Gt64R => when!(a, b, u64, a > b, R),
            Code::Gt32I => when!(a, b, u32, a > b, I),
            Code::Gt32R => when!(a, b, u32, a > b, R),
            Code::Ge64I => when!(a, b, u64, a >= b, I),
            Code::Ge64R => when!(a, b, u64, a >= b, R),
            Code::Ge32I => when!(a, b, u32, a >= b, I),
            Code::Ge32R => when!(a, b, u32, a >= b, R),
            Code::Lt64I => when!(a, b, u64, a < b, I),
            Code::Lt64R => when!(a, b, u64, a < b, R),
            Code::Lt32I => when!(a, b, u32, a < b, I),
            Code::Lt32R => when!(a, b, u32, a < b, R),
            Code::Le64I => when!(a, b, u64, a <= b, I),
            Code::Le64R => when!(a, b, u64, a <= b, R),
            Code::Le32I => when!(a, b, u32, a <= b, I),
            Code::Le32R => when!(a, b, u32, a <= b, R),
            Code::SGt64I => when!(a, b, i64, a > b, I),
            Code::SGt64R => when!(a, b, i64, a > b, R),
            Code::SGt32I => when!(a, b, i32, a > b, I),
            Code::SGt32R => when!(a, b, i32, a > b, R),
            Code::SGe64I => when!(a, b, i64, a >= b, I),
            Code::SGe64R => when!(a, b, i64, a >= b, R),
            Code::SGe32I => when!(a, b, i32, a >= b, I),
            Code::SGe32R => when!(a, b, i32, a >= b, R),
            Code::SLt64I => when!(a, b, i64, a < b, I),
            Code::SLt64R => when!(a, b, i64, a < b, R),
            Code::SLt32I => when!(a, b, i32, a < b, I),
            Code::SLt32R => when!(a, b, i32, a < b, R),
            Code::SLe64I => when!(a, b, i64, a <= b, I),
            Code::SLe64R => when!(a, b, i64, a <= b, R),
            Code::SLe32I => when!(a, b, i32, a <= b, I),
            Code::SLe32R => when!(a, b, i32, a <= b, R),
            Code::Set64I => when!(a, b, u64, a & b != 0, I),
            Code::Set64R => when!(a, b, u64, a & b != 0, R),
            Code::Set32I => when!(a, b, u32, a & b != 0, I),
            Code::Set32R => when!(a, b, u32, a & b != 0, R),

            Code::CallHelper => {
                let Some(call) = self.code.call(op.imm as usize) else {
                    fail!(FaultKind::Internal("a call without a target".into()))
                };
                run.before_call(state.registers[R10], op.imm as u32);
                let [_, r1, r2, r3, r4, r5, ..] = state.registers;
                // SAFETY: in verified mode a verifier accepted the arguments.
                let answer = unsafe { (call.shim)(run, r1, r2, r3, r4, r5) };
                if answer.status != Status::Done {
                    let answer = run.stopped(answer, InsnIndex(at), state.callers.len());
                    if answer.status != Status::Done {
                        return Err(answer);
                    }
                    // A tail call has run to its end: this function is over.
                    state.registers[0] = answer.value;
                    return state.leave();
                }
                state.registers[0] = answer.value;
            }
            Code::CallFunction => {
                let callee = op.imm as u32;
                let frame = state.registers[R10].wrapping_sub(FRAME);
                let Some(start) = self.code.function_start(callee) else {
                    fail!(FaultKind::Internal("a call without a function".into()))
                };
                if CHECKED && !self.enter(callee, frame) {
                    return Err(Answer::stopped(Status::Fault));
                }
                return Ok(state.call(at + 1, callee, frame, start));
            }
            Code::Exit => return state.leave(),
            Code::Hole => fail!(FaultKind::Internal("the middle of an instruction".into())),
        }
        Ok(at + 1)
    }

    /// Whether the stack has this frame and the budget this function.
    fn enter(&self, function: u32, frame: u64) -> bool {
        let start = self.code.function_start(function).unwrap_or_default();
        self.run.enter_frame(frame, start)
            && self.run.spend(self.code.function_len(function), start)
    }
}
