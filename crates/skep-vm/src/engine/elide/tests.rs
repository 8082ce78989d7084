//! What is shown must hold: of single operations on random numbers, and of random programs while
//! the interpreter runs them.

#[path = "../../../tests/generator/mod.rs"]
#[allow(unreachable_pub, dead_code, clippy::should_implement_trait)]
mod generator;
mod lookups;

use std::cell::RefCell;

use proptest::prelude::*;
use skep_isa::{AluOp, CompareOp, InsnIndex, RawInsn, SignExtension, SwapWidth, assemble};

use super::{
    Fact, Facts, analyze,
    value::{Bounds, Value, assume, opposite},
};
use crate::{
    Config, Engine, FaultKind, Vm,
    program::{Call, Code, MAPS, Resolve},
};
use generator::{CONTEXT, Random, program};

thread_local! {
    /// What is known of the functions of the program that this thread interprets.
    static KNOWN: RefCell<Option<Vec<Facts>>> = const { RefCell::new(None) };
}

/// The interpreter is about to access memory.
pub(in crate::engine) fn observe(at: u32, frame: u64, address: u64, size: u64) {
    KNOWN.with_borrow(|known| {
        let Some(all) = known else {
            return;
        };
        // Only its own function knows the instruction.
        let facts = all.iter().map(|facts| facts.at(InsnIndex(at)));
        let fact = facts.fold(Fact::default(), |all, fact| Fact(all.0 | fact.0));
        if fact.has(Fact::INSIDE) {
            let inside = address >= frame - 512 && address + size <= frame;
            assert!(
                inside,
                "instruction {at}: {address:#x} in the frame below {frame:#x}"
            );
        }
        if fact.has(Fact::ALIGNED) {
            assert_eq!(address % size, 0, "instruction {at}: {address:#x}");
        }
    });
}

/// Loops, and maps by their numbers.
struct Loops;

impl Resolve for Loops {
    fn helper(&mut self, at: InsnIndex, id: u32) -> Result<Call, crate::LoadError> {
        let shim = crate::helper::by_id(id).ok_or(crate::LoadError::Missing {
            at,
            what: String::new(),
        })?;
        Ok(Call {
            shim,
            custom: 0,
            name: "helper",
        })
    }

    fn kfunc(&mut self, at: InsnIndex, _: u32, _: i16) -> Result<Call, crate::LoadError> {
        let what = String::new();
        Err(crate::LoadError::Missing { at, what })
    }

    fn value(&mut self, at: InsnIndex, value: skep_isa::Imm64) -> Result<u64, crate::LoadError> {
        let what = String::new();
        match value {
            skep_isa::Imm64::MapFd { fd } => Ok(MAPS + u64::from(fd.cast_unsigned())),
            _ => Err(crate::LoadError::Reference { at, what }),
        }
    }
}

fn facts(slots: &[RawInsn]) -> Option<(Code, Vec<Facts>)> {
    let code = Code::new(slots, &mut Loops).ok()?;
    let all = (0..code.functions()).map(|index| analyze(&code, index));
    let all = all.collect();
    Some((code, all))
}

/// The accesses of a program's first function that are shown to be inside.
fn inside(text: &str) -> Vec<u32> {
    let slots = assemble(text).expect("a program");
    let (code, facts) = facts(&slots).expect("a program that loads");
    let all = code.function_instructions(0).iter();
    all.filter(|(at, _)| facts[0].at(*at).has(Fact::INSIDE))
        .map(|(at, _)| at.0)
        .collect()
}

#[test]
fn constant_offsets() {
    assert_eq!(
        inside(
            "*(u64 *)(r10 - 512) = 1
             *(u64 *)(r10 - 513) = 1
             *(u64 *)(r10 - 8) = 1
             *(u64 *)(r10 - 7) = 1
             r1 = r10
             r1 += -20
             *(u32 *)(r1 + 16) = 1
             *(u32 *)(r1 + 17) = 1
             exit"
        ),
        [0, 2, 6]
    );
}

#[test]
fn bounded_indices() {
    assert_eq!(
        inside(
            "r1 = *(u64 *)(r1 + 0)
             r1 &= 7
             r1 += r10
             *(u8 *)(r1 - 8) = 1
             *(u8 *)(r1 - 7) = 1
             exit"
        ),
        [3]
    );
    assert_eq!(
        inside(
            "if r1 s> 63 goto out
             if r1 s< 0 goto out
             r1 += r10
             *(u64 *)(r1 - 71) = 1
             *(u64 *)(r1 - 70) = 1
             out: exit"
        ),
        [3]
    );
}

#[test]
fn loops() {
    assert_eq!(
        inside(
            "r1 = 0
             again: r2 = r10
             r2 += -240
             r2 += r1
             *(u8 *)(r2 + 0) = r1
             r1 += 1
             if r1 != 240 goto again
             exit"
        ),
        [4]
    );
    assert_eq!(
        inside(
            "r1 = r10
             r1 += -240
             r2 = r10
             again: *(u8 *)(r1 + 0) = 1
             r1 += 1
             if r1 != r2 goto again
             exit"
        ),
        [3]
    );
    assert_eq!(
        inside(
            "r1 = 240
             again: r1 += -1
             r2 = r10
             r2 += r1
             *(u8 *)(r2 - 240) = 1
             if w1 != 0 goto again
             exit"
        ),
        [4]
    );
    // Nobody knows how far this one goes.
    assert_eq!(
        inside(
            "r1 = r10
             r1 += -240
             again: *(u8 *)(r1 + 0) = 1
             r1 += 1
             r2 = *(u8 *)(r10 - 1)
             if r2 != 0 goto again
             exit"
        ),
        [4]
    );
}

#[test]
fn spilled_pointers() {
    assert_eq!(
        inside(
            "r1 = r10
             r1 += -16
             *(u64 *)(r10 - 8) = r1
             r2 = *(u64 *)(r10 - 8)
             *(u64 *)(r2 + 0) = 1
             *(u8 *)(r10 - 3) = 1
             r2 = *(u64 *)(r10 - 8)
             *(u64 *)(r2 + 0) = 1
             exit"
        ),
        [2, 3, 4, 5, 6]
    );
}

#[test]
fn random_programs() {
    let mut config = Config {
        cpus: 1,
        ..Config::default()
    };
    config.limits.instructions = if cfg!(miri) { 500 } else { 20_000 };
    config.limits.time = None;
    let vm = Vm::with(config).expect("memory");
    let (mut shown, mut all) = (0, 0);
    let count = std::env::var("SKEP_PROGRAMS").ok();
    let count = count
        .and_then(|count| count.parse().ok())
        .unwrap_or(if cfg!(miri) { 8 } else { 2000 });
    for seed in 0..count {
        let mut random = Random::new(seed ^ 0x5eed);
        let slots = program(&mut random);
        let mut memory: Vec<u8> = (0..CONTEXT).map(|_| random.next() as u8).collect();
        let Some((code, facts)) = facts(&slots) else {
            continue;
        };
        for function in 0..code.functions() {
            for (at, insn) in code.function_instructions(function) {
                if super::access(insn).is_some() {
                    all += 1;
                    let fact = facts[function as usize].at(*at);
                    shown += u32::from(fact.has(Fact::INSIDE));
                }
            }
        }
        KNOWN.set(Some(facts));
        let bare = vm.bare("test", &slots, Engine::Interpreter);
        let result = bare.expect("a program that loads").run(&mut memory);
        let facts = KNOWN.take().expect("what was set");
        // What is inside only fails where an atomic operation is not aligned.
        if let Err(fault) = result
            && let FaultKind::Memory { address, size, .. } = fault.kind
            && facts
                .iter()
                .any(|facts| facts.at(fault.at).has(Fact::INSIDE))
        {
            assert_ne!(address % size, 0, "seed {seed}: {fault}");
        }
    }
    assert!(shown * 4 > all, "{shown} of {all} accesses");
}

fn bounds(value: u64, other: u64, kind: u8) -> Bounds {
    match kind % 3 {
        0 => Bounds::exact(value),
        1 => Bounds::unsigned(value.min(other), value.max(other)),
        _ => Bounds::ANY,
    }
}

fn holds(bounds: Bounds, value: u64) -> bool {
    let signed = value as i64;
    (bounds.min..=bounds.max).contains(&value) && (bounds.smin..=bounds.smax).contains(&signed)
}

/// Numbers with many small ones and edges.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..300_u64,
        (0..300_u64).prop_map(u64::wrapping_neg),
        (0..64_u32).prop_map(|bit| 1 << bit),
        (0..64_u32, 0..3_u64).prop_map(|(bit, less)| (1_u64 << bit).wrapping_sub(less)),
        any::<u32>().prop_map(u64::from),
    ]
}

const OPS: [AluOp; 13] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::SDiv,
    AluOp::Mod,
    AluOp::SMod,
    AluOp::Or,
    AluOp::And,
    AluOp::Xor,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Arsh,
];

const COMPARES: [CompareOp; 11] = [
    CompareOp::Eq,
    CompareOp::Ne,
    CompareOp::Gt,
    CompareOp::Ge,
    CompareOp::Lt,
    CompareOp::Le,
    CompareOp::SGt,
    CompareOp::SGe,
    CompareOp::SLt,
    CompareOp::SLe,
    CompareOp::Set,
];

fn compute64(op: AluOp, a: u64, b: u64) -> u64 {
    let (sa, sb) = (a as i64, b as i64);
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::SDiv if b == 0 => 0,
        AluOp::SDiv => sa.wrapping_div(sb) as u64,
        AluOp::SMod if b == 0 => a,
        AluOp::SMod => sa.wrapping_rem(sb) as u64,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a.wrapping_shl(b as u32),
        AluOp::Rsh => a.wrapping_shr(b as u32),
        AluOp::Arsh => sa.wrapping_shr(b as u32) as u64,
    }
}

fn compute32(op: AluOp, a: u64, b: u64) -> u64 {
    let (a, b) = (a as u32, b as u32);
    let (sa, sb) = (a as i32, b as i32);
    u64::from(match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::SDiv if b == 0 => 0,
        AluOp::SDiv => sa.wrapping_div(sb) as u32,
        AluOp::SMod if b == 0 => a,
        AluOp::SMod => sa.wrapping_rem(sb) as u32,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a.wrapping_shl(b),
        AluOp::Rsh => a.wrapping_shr(b),
        AluOp::Arsh => sa.wrapping_shr(b) as u32,
    })
}

fn compared(op: CompareOp, narrow: bool, a: u64, b: u64) -> bool {
    let (sa, sb, a, b) = match narrow {
        true => (
            i64::from(a as i32),
            i64::from(b as i32),
            a & 0xffff_ffff,
            b & 0xffff_ffff,
        ),
        false => (a as i64, b as i64, a, b),
    };
    match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::Gt => a > b,
        CompareOp::Ge => a >= b,
        CompareOp::Lt => a < b,
        CompareOp::Le => a <= b,
        CompareOp::SGt => sa > sb,
        CompareOp::SGe => sa >= sb,
        CompareOp::SLt => sa < sb,
        CompareOp::SLe => sa <= sb,
        CompareOp::Set => a & b != 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 20 } else { 20_000 }) })]

    #[test]
    fn operations(
        a in number(), b in number(), c in number(), d in number(),
        kinds in any::<(u8, u8)>(), op in 0..OPS.len(),
    ) {
        let op = OPS[op];
        let (x, y) = (bounds(a, c, kinds.0), bounds(b, d, kinds.1));
        let wide = x.alu64(op, y);
        prop_assert!(holds(wide, compute64(op, a, b)), "{op:?} {x:?} {y:?}: {wide:?}");
        let narrow = x.alu32(op, y);
        prop_assert!(holds(narrow, compute32(op, a, b)), "w {op:?} {x:?} {y:?}: {narrow:?}");
    }

    #[test]
    fn comparisons(
        a in number(), b in number(), c in number(), d in number(),
        kinds in any::<(u8, u8)>(), op in 0..COMPARES.len(), narrow in any::<bool>(),
    ) {
        let op = COMPARES[op];
        let (x, y) = (bounds(a, c, kinds.0), bounds(b, d, kinds.1));
        let op = match compared(op, narrow, a, b) {
            true => Some(op),
            false => opposite(op),
        };
        if let Some(op) = op {
            let known = assume(op, narrow, Value::Number(x), Value::Number(y));
            let Some((x, y)) = known else {
                return Err(TestCaseError::fail(format!("{op:?} is not impossible")));
            };
            prop_assert!(holds(x.bounds(), a) && holds(y.bounds(), b), "{op:?}: {x:?} {y:?}");
        }
    }

    #[test]
    fn extensions(a in number(), c in number(), kind in any::<u8>()) {
        let x = Value::Number(bounds(a, c, kind));
        for (extension, value) in [
            (SignExtension::S8To32, u64::from(a as i8 as u32)),
            (SignExtension::S16To32, u64::from(a as i16 as u32)),
            (SignExtension::S8To64, a as i8 as u64),
            (SignExtension::S16To64, a as i16 as u64),
            (SignExtension::S32To64, a as i32 as u64),
        ] {
            prop_assert!(holds(x.extended(extension).bounds(), value), "{extension:?}");
        }
        prop_assert!(holds(x.neg(false).bounds(), a.wrapping_neg()));
        prop_assert!(holds(x.neg(true).bounds(), u64::from((a as u32).wrapping_neg())));
        prop_assert!(holds(x.low32().bounds(), a & 0xffff_ffff));
        prop_assert!(holds(x.cut(SwapWidth::Bits16, false).bounds(), a & 0xffff));
        prop_assert!(holds(x.cut(SwapWidth::Bits32, true).bounds(), u64::from((a as u32).swap_bytes())));
    }

    #[test]
    fn unions_and_steps(a in number(), b in number(), c in number(), kinds in any::<(u8, u8)>()) {
        let (x, y) = (Value::Number(bounds(a, c, kinds.0)), Value::Number(bounds(b, c, kinds.1)));
        let union = x.union(y);
        prop_assert!(holds(union.bounds(), a) && holds(union.bounds(), b));
        let wide = union.widen(x, &[-512, -8, -1, 0, 1, 239, 240, 241]);
        prop_assert!(holds(wide.bounds(), a) && holds(wide.bounds(), b));
        let (f, g) = (Value::Frame(-8, 0), Value::Frame(-240, -100));
        prop_assert_eq!(f.union(g), Value::Frame(-240, 0));
    }
}
