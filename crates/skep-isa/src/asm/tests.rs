//! The assembler: labels, comments, dialects, and what its errors say.

use super::assemble;
use crate::{Disassembler, Insn, NoSymbols, decode_program};

/// Each instruction of `text`, as the disassembler writes it.
fn lines(text: &str) -> Vec<String> {
    let slots = assemble(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let program = decode_program(&slots).collect::<Result<Vec<_>, _>>();
    let lines = program.unwrap().into_iter();
    lines.map(|(_, insn)| insn.to_string()).collect()
}

#[track_caller]
fn same(text: &str, expected: &str) {
    assert_eq!(lines(text), [expected]);
}

#[track_caller]
fn error(text: &str, expected: &str) {
    assert_eq!(assemble(text).unwrap_err().to_string(), expected, "{text}");
}

#[test]
fn labels_count_slots() {
    let program = "
        start: r1 = 0x1122334455667788 ll
        if r1 == 0 goto end
        goto start
        call f
        r2 = subprog[f]
        may_goto end
        gotol start
        end: exit
        f:
        inner: exit";
    let expected = [
        "r1 = 0x1122334455667788 ll",
        "if r1 == 0x0 goto pc+6",
        "goto pc-4",
        "call pc+5",
        "r2 = subprog[+4]",
        "may_goto pc+1",
        "gotol pc-9",
        "exit",
        "exit",
    ];
    assert_eq!(lines(program), expected);
}

#[test]
fn comments() {
    let program =
        "# all\n; of\n// this\n\nr0 = 0 ; c\nr0 = 1 # c\nr0 = 2 // c\ncall x#3 # c\n\texit;";
    assert_eq!(lines(program).len(), 5);
    assert_eq!(lines(program)[3], "call unknown#3");
}

#[test]
fn lines_of_the_kernels_log() {
    same("15: (7b) *(u64 *)(r10 -8) = r1", "*(u64 *)(r10 -8) = r1");
    same("0: (b7) r0 = 0", "r0 = 0");
    same(" 3: r0 = 0", "r0 = 0");
    same("7: (85) call bpf_map_lookup_elem#1", "call unknown#1");
    same("7: (85) call pc+3#sub", "call pc+3");
}

#[test]
fn dialect_of_llvm() {
    same("goto +0x3", "goto pc+3");
    same("goto -3 <LBB0_1>", "goto pc-3");
    same(
        "if w1 s> -0x5 goto +0x1 <LBB0_2>",
        "if w1 s> 0xfffffffb goto pc+1",
    );
    same("r1 = *(u64 *)(r2 + 0x8)", "r1 = *(u64 *)(r2 +8)");
    same("w1 = *(u8 *)(r2 - 8)", "r1 = *(u8 *)(r2 -8)");
    same("*(u32 *)(r10 - 4) = w1", "*(u32 *)(r10 -4) = r1");
    same("r1 = *(u64 *)(r2)", "r1 = *(u64 *)(r2 +0)");
    same("r1 = 0x5ll", "r1 = 0x5 ll");
    same("r1 = -1 ll", "r1 = 0xffffffffffffffff ll");
    same("call 0xc", "call unknown#12");
    same("lock *(u32 *)(r1 + 0) += w2", "lock *(u32 *)(r1 +0) += r2");
    same(
        "r2 = atomic_fetch_add((u64 *)(r1 + 0x0), r2)",
        "r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)",
    );
    same(
        "r2 = xchg_64(r1 + 0x8, r2)",
        "r2 = atomic64_xchg((u64 *)(r1 +8), r2)",
    );
    same(
        "w2 = xchg32_32(r1 + 0x8, w2)",
        "r2 = atomic_xchg((u32 *)(r1 +8), r2)",
    );
    same(
        "w0 = cmpxchg32_32(r1 + 0x8, w0, w2)",
        "r0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r2)",
    );
    same(
        "w1 = load_acquire((u8 *)(r2 + 0x0))",
        "r1 = load_acquire((u8 *)(r2 +0))",
    );
    same("r0 = *(u16 *)skb[r1]", "r0 = *(u16 *)skb[r1 + 0]");
    same(
        "r1 = addr_space_cast(r2, 0x0, 0x1)",
        "r1 = addr_space_cast(r2, 0, 1)",
    );
}

#[test]
fn numbers() {
    same("r1 = 0xffffffff", "r1 = -1");
    same("r1 = -2147483648", "r1 = -2147483648");
    same("r1=5", "r1 = 5");
    error(
        "r1 = 4294967295",
        "line 1, column 6: 4294967295 is out of range for a 32-bit immediate: -2147483648 to \
         2147483647",
    );
    error(
        "r1 = *(u8 *)(r2 +32768)",
        "line 1, column 17: 32768 is out of range for a 16-bit offset: -32768 to 32767",
    );
    error(
        "r1 = 18446744073709551616 ll",
        "line 1, column 6: `18446744073709551616` is no number of at most 64 bits: write 12, -12 \
         or 0x1f",
    );
    error(
        "r1 = 12x",
        "line 1, column 6: `12x` is no number of at most 64 bits: write 12, -12 or 0x1f",
    );
    error(
        "goto +40000",
        "line 1, column 6: 40000 is out of range for a 16-bit jump offset: -32768 to 32767",
    );
}

#[test]
fn errors_say_where_and_what() {
    error(
        "jmp +3",
        "line 1, column 1: expected an instruction, found `jmp`",
    );
    error(
        "exit now",
        "line 1, column 6: expected the end of the instruction, found `now`",
    );
    error(
        "r11 = 1",
        "line 1, column 1: expected an instruction, found `r11`",
    );
    error(
        "r1 += w2",
        "line 1, column 7: expected a 64-bit register or a number, found `w2`",
    );
    error(
        "r1 =",
        "line 1, column 5: expected a register of the same width, a number or a value, found the \
         end of the line",
    );
    error(
        "if r1 = 5 goto x",
        "line 1, column 7: expected a comparison, found `=`",
    );
    error(
        "if r1 > 5 then x",
        "line 1, column 11: expected `goto`, found `then`",
    );
    error(
        "r1 = -r2",
        "line 1, column 7: expected the register on the left again, found `r2`",
    );
    error(
        "r1 = be17 r1",
        "line 1, column 6: expected a register of the same width, a number or a value, found `be17`",
    );
    error(
        "w1 = (s32)w2",
        "line 1, column 7: expected `s8` or `s16`, or `s32` into a 64-bit register, found `s32`",
    );
    error(
        "r1 = *(u7 *)(r2 +0)",
        "line 1, column 8: expected a type: u8, u16, u32 or u64, or s8, s16 or s32 to load, found \
         `u7`",
    );
    error(
        "r1 = *(u64 *)(r11 +4)",
        "line 1, column 7: expected a stack argument, a positive multiple of 8, found `(`",
    );
    error(
        "lock *(u8 *)(r1 +0) += r2",
        "line 1, column 7: expected a pointer to u32 or u64 for an atomic operation, found `(`",
    );
    error(
        "r1 = *(u64 *)(r2 +0) é",
        "line 1, column 22: unexpected character 'é'",
    );
    error(
        "r1 = 0\n\n  goto nowhere",
        "line 3, column 8: there is no label `nowhere`",
    );
    error(
        "a: exit\n a: exit",
        "line 2, column 2: the label `a` stands already in line 1",
    );
    let far = format!("goto end\n{}end: exit", "r0 = 0\n".repeat(40_000));
    error(
        &far,
        "line 1, column 6: the label `end` is 40000 slots away, more than 16 bits: use gotol",
    );
}

#[test]
fn listing_shows_what_does_not_decode() {
    let mut slots = assemble("r1 = map[fd:3]\n exit").unwrap();
    slots.push(crate::RawInsn {
        opcode: 0x05,
        imm: 7,
        ..Default::default()
    });
    let listing = Disassembler::new(&NoSymbols).program(&slots).to_string();
    let expected = "   0: (18) r1 = map[fd:3]\n   2: (95) exit\n\
        ; 05 00 00 00 07 00 00 00: instruction 3 (opcode 0x05): reserved immediate is 7, not 0\n";
    assert_eq!(listing, expected);
    assert_eq!(assemble(&listing).unwrap(), slots[..3]);
    assert_eq!(Insn::decode(&slots).unwrap().1, 2);
}
