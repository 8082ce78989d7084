//! What the decoder refuses and how it says so; questions to instructions; names in text.

use std::borrow::Cow;

use crate::{
    CallTarget, DecodeError, Disassembler, Endian, Field, Imm64, Insn, InsnIndex, RawInsn, Reg,
    StackArg, Symbols, assemble, decode_program, decode_slots,
};

fn raw(opcode: u8, dst: u8, src: u8, offset: i16, imm: i32) -> RawInsn {
    RawInsn {
        opcode,
        dst,
        src,
        offset,
        imm,
    }
}

#[track_caller]
fn refused(slots: &[RawInsn], expected: &str) {
    assert_eq!(Insn::decode(slots).unwrap_err().to_string(), expected);
}

#[test]
fn reserved_fields_must_be_zero() {
    refused(
        &[raw(0x07, 1, 2, 0, 5)],
        "instruction 0 (opcode 0x07): reserved source register is 2, not 0",
    );
    refused(
        &[raw(0x0f, 1, 2, 0, 5)],
        "instruction 0 (opcode 0x0f): reserved immediate is 5, not 0",
    );
    refused(
        &[raw(0x0f, 1, 2, 1, 0)],
        "instruction 0 (opcode 0x0f): reserved offset is 1, not 0",
    );
    refused(
        &[raw(0x95, 1, 0, 0, 0)],
        "instruction 0 (opcode 0x95): reserved destination register is 1, not 0",
    );
    refused(
        &[raw(0x95, 0, 0, 1, 0)],
        "instruction 0 (opcode 0x95): reserved offset is 1, not 0",
    );
    refused(
        &[raw(0x8d, 0, 0, 0, 3)],
        "instruction 0 (opcode 0x8d): reserved immediate is 3, not 0",
    );
}

#[test]
fn variants_are_named() {
    refused(
        &[raw(0x3f, 1, 2, 2, 0)],
        "instruction 0 (opcode 0x3f): offset is 0x2, expected 0, or 1 for a signed operation",
    );
    refused(
        &[raw(0xbc, 1, 2, 32, 0)],
        "instruction 0 (opcode 0xbc): offset is 0x20, expected 0, or 8 or 16 bits to sign-extend",
    );
    refused(
        &[raw(0xdb, 1, 2, 0, 0x2)],
        "instruction 0 (opcode 0xdb): immediate is 0x2, expected an atomic operation",
    );
    refused(
        &[raw(0xd3, 1, 2, 0, 0)],
        "instruction 0 (opcode 0xd3): immediate is 0x0, expected 0x100 (load_acquire) or 0x110 \
         (store_release) at this size",
    );
    refused(
        &[raw(0x85, 0, 3, 0, 1)],
        "instruction 0 (opcode 0x85): source register is 0x3, expected 0 (helper), 1 (subprogram) \
         or 2 (kfunc)",
    );
    refused(
        &[raw(0x06, 0, 0, 0, 0), raw(0, 0, 0, 0, 0)][1..],
        "instruction 0: unknown opcode 0x00",
    );
}

#[test]
fn registers() {
    refused(
        &[raw(0xbf, 12, 0, 0, 0)],
        "instruction 0 (opcode 0xbf): destination register r12 is out of range: r0 to r10, or r11 \
         for a stack argument",
    );
    refused(
        &[raw(0x79, 1, 11, 4, 0)],
        "instruction 0 (opcode 0x79): offset is 0x4, expected a positive multiple of 8 from r11",
    );
    // Only 8-byte accesses are stack arguments.
    assert!(matches!(
        Insn::decode(&[raw(0x61, 1, 11, 8, 0)]),
        Err(DecodeError::Register {
            field: Field::Src,
            register: 11,
            ..
        })
    ));
    // Numbers that no byte can hold, in a slot made by hand.
    assert!(Insn::decode(&[raw(0xbf, 200, 200, 0, 0)]).is_err());
    assert_eq!(
        Reg::ALL.map(|reg| Reg::new(reg.number())),
        Reg::ALL.map(Some)
    );
    assert_eq!(Reg::new(11), None);
}

#[test]
fn stack_arguments() {
    let (first, last) = (
        StackArg::new(0).unwrap(),
        StackArg::new(StackArg::MAX).unwrap(),
    );
    assert_eq!((first.load_offset(), first.store_offset()), (8, -8));
    assert_eq!((last.load_offset(), last.store_offset()), (32760, -32760));
    assert_eq!(StackArg::new(StackArg::MAX + 1), None);
    for offset in i16::MIN..=i16::MAX {
        let (load, store) = (
            StackArg::from_load_offset(offset),
            StackArg::from_store_offset(offset),
        );
        assert_eq!(load.is_some(), offset > 0 && offset % 8 == 0, "{offset}");
        assert_eq!(
            store.is_some(),
            offset < 0 && offset % 8 == 0 && offset != i16::MIN,
            "{offset}"
        );
        assert!(load.is_none_or(|arg| arg.load_offset() == offset));
        assert!(store.is_none_or(|arg| arg.store_offset() == offset));
    }
}

#[test]
fn second_halves() {
    let first = raw(0x18, 1, 0, 0, 5);
    refused(
        &[first],
        "instruction 0 (opcode 0x18): the program ends before its second half",
    );
    refused(
        &[first, raw(0x95, 0, 0, 0, 0)],
        "instruction 0 (opcode 0x18): opcode of its second half is 149, not 0",
    );
    refused(
        &[raw(0x18, 1, 1, 0, 5), raw(0, 0, 0, 0, 9)],
        "instruction 0 (opcode 0x18): immediate of its second half is 9, not 0",
    );
    refused(
        &[raw(0x18, 1, 7, 0, 5), raw(0, 0, 0, 0, 0)],
        "instruction 0 (opcode 0x18): source register is 0x7, expected 0 to 6, the kinds of 64-bit \
         immediates",
    );
}

#[test]
fn errors_have_the_place_in_the_program() {
    let program = [
        raw(0x18, 1, 0, 0, 5),
        raw(0, 0, 0, 0, 0),
        raw(0xff, 0, 0, 0, 0),
        raw(0x95, 0, 0, 0, 0),
    ];
    let decoded: Vec<_> = decode_program(&program).collect();
    assert_eq!(
        decoded[1..],
        [
            Err(DecodeError::UnknownOpcode {
                index: InsnIndex(2),
                opcode: 0xff
            }),
            Ok((InsnIndex(3), Insn::Exit)),
        ]
    );
    let beyond = Insn::decode_at(&program, InsnIndex(4));
    assert_eq!(
        beyond,
        Err(DecodeError::EndOfProgram {
            index: InsnIndex(4)
        })
    );
    assert_eq!(
        decode_slots(&[0; 19], Endian::NATIVE)
            .unwrap_err()
            .to_string(),
        "3 bytes after the last whole instruction, at byte 16: a slot takes 8"
    );
}

#[test]
fn bytes_of_both_orders() {
    let slot = raw(0x7b, 10, 1, -8, 0x0102_0304);
    assert_eq!(
        slot.to_bytes(Endian::Little),
        [0x7b, 0x1a, 0xf8, 0xff, 4, 3, 2, 1]
    );
    assert_eq!(
        slot.to_bytes(Endian::Big),
        [0x7b, 0xa1, 0xff, 0xf8, 1, 2, 3, 4]
    );
}

#[test]
fn targets() {
    let at = InsnIndex(10);
    let target = |text: &str| {
        let insn = Insn::decode(&assemble(text).unwrap()).unwrap().0;
        (insn.target(at), insn.falls_through(), insn.is_jump())
    };
    assert_eq!(target("goto pc+3"), (Some(InsnIndex(14)), false, true));
    assert_eq!(target("gotol pc-11"), (Some(InsnIndex(0)), false, true));
    assert_eq!(target("gotol pc-12"), (None, false, true));
    assert_eq!(target("if r1 == r2 goto pc-1"), (Some(at), true, true));
    assert_eq!(target("may_goto pc+0"), (Some(InsnIndex(11)), true, true));
    assert_eq!(target("gotox r1"), (None, false, true));
    assert_eq!(target("exit"), (None, false, false));
    assert_eq!(target("call pc+3"), (None, true, false));

    let call = Insn::Call(CallTarget::Subprogram { offset: 3 });
    assert!(call.is_call_to_subprogram() && !call.is_subprogram_address());
    assert_eq!(call.subprogram(at), Some(InsnIndex(14)));
    let value = Imm64::Subprogram { offset: -1 };
    let address = Insn::LoadImm64 {
        dst: Reg::R1,
        value,
    };
    assert!(address.is_subprogram_address() && !address.is_call_to_subprogram());
    assert_eq!(address.subprogram(at), Some(at));
    assert_eq!(address.next(at), Some(InsnIndex(12)));
    assert_eq!(InsnIndex(u32::MAX).relative(0), None);
}

#[test]
fn offsets_can_be_set() {
    let set = |text: &str, offset| {
        let insn = Insn::decode(&assemble(text).unwrap()).unwrap().0;
        insn.with_relative_offset(offset)
            .map(|insn| insn.to_string())
    };
    assert_eq!(set("goto pc+1", -7).as_deref(), Some("goto pc-7"));
    assert_eq!(set("goto pc+1", 40_000), None);
    assert_eq!(set("gotol pc+1", 40_000).as_deref(), Some("gotol pc+40000"));
    assert_eq!(set("call pc+1", 40_000).as_deref(), Some("call pc+40000"));
    assert_eq!(
        set("r1 = subprog[+1]", 4).as_deref(),
        Some("r1 = subprog[+4]")
    );
    assert_eq!(set("call 1", 4), None);
    assert_eq!(set("exit", 4), None);
}

struct Names;

impl Symbols for Names {
    fn helper(&self, id: u32) -> Option<Cow<'_, str>> {
        (id == 1).then_some("bpf_map_lookup_elem".into())
    }

    fn kfunc(&self, _: InsnIndex, btf_id: u32, _: i16) -> Option<Cow<'_, str>> {
        (btf_id == 2).then_some("bpf_rcu_read_lock".into())
    }

    fn subprogram(&self, _: InsnIndex, start: Option<InsnIndex>) -> Option<Cow<'_, str>> {
        (start == Some(InsnIndex(14))).then_some("handle".into())
    }

    fn address(&self, at: InsnIndex, value: Imm64) -> Option<Cow<'_, str>> {
        let named = at == InsnIndex(10) && value != Imm64::MapFd { fd: 9 };
        named.then_some("events".into())
    }
}

#[test]
fn names() {
    let named = |text: &str| {
        let insn = Insn::decode(&assemble(text).unwrap()).unwrap().0;
        Disassembler::new(&Names)
            .insn(InsnIndex(10), insn)
            .to_string()
    };
    assert_eq!(named("call 1"), "call bpf_map_lookup_elem#1");
    assert_eq!(named("call 2"), "call unknown#2");
    assert_eq!(
        named("call kernel-function#2 [fd_idx:1]"),
        "call bpf_rcu_read_lock#2 [fd_idx:1]"
    );
    assert_eq!(named("call kernel-function#3"), "call kernel-function#3");
    assert_eq!(named("call pc+3"), "call pc+3#handle");
    assert_eq!(named("call pc+4"), "call pc+4");
    assert_eq!(named("r1 = subprog[+3]"), "r1 = subprog[+3]#handle");
    assert_eq!(named("r1 = map[fd:3]"), "r1 = map[events]");
    assert_eq!(named("r1 = map[fd:9]"), "r1 = map[fd:9]");
    assert_eq!(named("r1 = map[fd:3][0]+4"), "r1 = map[events][0]+4");
    assert_eq!(named("r1 = map[idx:3]"), "r1 = map[events]");
    assert_eq!(named("r1 = map[idx:3]+4"), "r1 = map[events][0]+4");
    assert_eq!(named("r1 = btf[id:7]"), "r1 = btf[events]");
    assert_eq!(named("r1 = 0 ll"), "r1 = events ll");
    assert_eq!(named("r1 = 8 ll"), "r1 = events+0x8 ll");
}
