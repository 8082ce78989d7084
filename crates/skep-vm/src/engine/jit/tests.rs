//! The compiler for the machines that tests do not run on.

use skep_isa::{InsnIndex, Operand, Reg, assemble};

use super::{compile, counted, target};
use crate::{
    LoadError, Mode, helper,
    program::{Call, Code, Resolve},
};

struct Helpers;

impl Resolve for Helpers {
    fn helper(&mut self, _at: InsnIndex, id: u32) -> Result<Call, LoadError> {
        Ok(Call {
            shim: helper::by_id(id).expect("a helper"),
            custom: 0,
            name: "helper",
        })
    }

    fn kfunc(&mut self, at: InsnIndex, _id: u32, _fd: i16) -> Result<Call, LoadError> {
        let what = "kernel functions".into();
        Err(LoadError::Missing { at, what })
    }

    fn value(&mut self, _at: InsnIndex, _value: skep_isa::Imm64) -> Result<u64, LoadError> {
        Ok(0)
    }
}

const PROGRAM: &str = "
    r6 = r1
    r0 = 0
    r2 = 10
again:
    r0 += r2
    r3 = *(u8 *)(r6 + 1)
    r0 /= r3
    r0 s%= r3
    r5 = r3
    r5 %= r2
    w5 /= w6
    *(u16 *)(r10 - 4) = r0
    lock *(u64 *)(r10 - 16) += r0
    r4 = atomic_fetch_xor((u32 *)(r10 - 16), r4)
    r0 = bswap16 r0
    r2 += -1
    if r2 != 0 goto again
few:
    r5 = 1000
    r5 %= r3
    r3 += -1
    if r3 > 3 goto few
    r1 = 5
    r2 = subprog[back]
    r3 = r10
    r4 = 0
    call 181
    call back
    exit
back:
    may_goto back
    r0 = 0
    exit";

#[test]
fn both_machines() {
    let slots = assemble(PROGRAM).expect("a program");
    let code = Code::new(&slots, &mut Helpers).expect("a program that loads");
    let mut made = 0;
    for (name, features) in [
        ("x86_64-unknown-linux-gnu", vec![]),
        ("x86_64-unknown-linux-gnu", vec!["has_bmi2"]),
        ("aarch64-unknown-linux-gnu", vec![]),
        ("aarch64-unknown-linux-gnu", vec!["has_lse"]),
    ] {
        let Some(isa) = target::target(name, &features) else {
            continue;
        };
        made += 1;
        for mode in [Mode::Checked, Mode::Verified] {
            let (bytes, starts) = compile(&code, mode, &*isa).expect("code");
            assert_eq!(starts.len(), 2);
            assert!(bytes.len() > 200);
        }
    }
    assert!(made > 0, "no backend");
}

/// The starts of a program's counted loops, with the rounds that they are left after.
fn counted_loops(text: &str) -> Vec<(u32, Operand, u32)> {
    let slots = assemble(text).expect("a program");
    let code = Code::new(&slots, &mut Helpers).expect("a program that loads");
    let loops = counted::loops(code.function_instructions(0));
    let each = loops.into_iter();
    each.map(|found| (found.slots.start, found.bound, found.cost))
        .collect()
}

#[test]
fn loops_are_counted() {
    let imm = Operand::Imm;
    for (text, expected) in [
        (
            "a: r1 += 1\n if r1 != 9 goto a\n exit",
            vec![(0, imm(9), 2)],
        ),
        // Past 9, the next may be 10.
        ("a: r1 += 2\n if r1 < 9 goto a\n exit", vec![(0, imm(9), 2)]),
        (
            "a: r1 += 1\n if r1 <= 9 goto a\n exit",
            vec![(0, imm(10), 2)],
        ),
        (
            "a: w1 -= 1\n if w1 s> 0 goto a\n exit",
            vec![(0, imm(0), 2)],
        ),
        (
            "a: r1 += 1\n if r1 != r2 goto a\n exit",
            vec![(0, Operand::Reg(Reg::R2), 2)],
        ),
        // Two ways back, and one of them may be taken a round.
        (
            "a: r1 += 1\n if r1 == 9 goto b\n if r2 > 3 goto a\n r0 = 1\n goto a\nb: exit",
            vec![(0, imm(9), 3 + 5)],
        ),
        // It may step over 9, in another width, or not come by.
        ("a: r1 += 2\n if r1 != 9 goto a\n exit", vec![]),
        ("a: r1 += 1\n if w1 != 9 goto a\n exit", vec![]),
        (
            "a: r1 += 1\n if r1 < r2 goto a\n exit",
            vec![(0, Operand::Reg(Reg::R2), 2)],
        ),
        ("a: r1 += 1\n if r1 <= r2 goto a\n exit", vec![]),
        (
            "a: r1 -= 1\n if r1 s>= 0 goto a\n exit",
            vec![(0, imm(-1), 2)],
        ),
        ("a: r1 += 1\n r2 += 1\n if r1 != r2 goto a\n exit", vec![]),
        (
            "a: if r2 > 5 goto a\n r1 += 1\n if r1 != 9 goto a\n exit",
            vec![],
        ),
        ("a: r1 += 1\n r1 ^= 5\n if r1 != 9 goto a\n exit", vec![]),
        ("a: r1 += 1\n call 5\n if r1 != 9 goto a\n exit", vec![]),
        // Two entries.
        (
            "if r2 > 4 goto b\na: r3 = 0\nb: r1 += 1\n if r1 != 9 goto a\n exit",
            vec![],
        ),
    ] {
        assert_eq!(counted_loops(text), expected, "{text}");
    }
}
