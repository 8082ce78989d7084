//! Slots: what they do is what the instruction does at its own address.

use super::*;

const AT: u64 = 0x5555_5555_4000;
const SLOT_AT: u64 = 0x5555_6000_0040;

fn slot(bytes: &[u8]) -> (Decoded, Slot) {
    let decoded = Decoded::new(bytes, AT).unwrap();
    let slot = decoded.slot(SLOT_AT).unwrap();
    assert!(slot.bytes.len() <= SLOT);
    (decoded, slot)
}

fn decode(slot: &Slot) -> Vec<Instruction> {
    let mut decoder = Decoder::with_ip(64, &slot.bytes, SLOT_AT, DecoderOptions::NONE);
    decoder.iter().collect()
}

#[test]
fn an_operand_relative_to_the_instruction_stays_where_it_is() {
    // mov rax, [rip + 0x1234]
    let bytes = [0x48, 0x8b, 0x05, 0x34, 0x12, 0, 0];
    let (decoded, slot) = slot(&bytes);
    assert_eq!((decoded.len(), decoded.skip()), (7, None));
    let code = decode(&slot);
    assert_eq!(code[0].code(), Code::Mov_r64_rm64);
    assert_eq!(code[0].ip_rel_memory_address(), AT + 7 + 0x1234);
    assert_eq!(code[1].near_branch_target(), AT + 7);
    let behind = u64::from(slot.starts[1]);
    assert_eq!(
        slot.inside(0).map(|inside| (inside.ip, inside.before)),
        Some((AT, true))
    );
    assert_eq!(
        slot.inside(behind).map(|inside| (inside.ip, inside.before)),
        Some((AT + 7, false))
    );
    assert_eq!(slot.inside(1), None);
}

#[test]
fn short_jumps_reach_their_targets() {
    // jne +0x10; jrcxz +0x10; loop +0x10
    for bytes in [[0x75, 0x10], [0xe3, 0x10], [0xe2, 0x10]] {
        let (_, slot) = slot(&bytes);
        let code = decode(&slot);
        let targets: Vec<_> = code.iter().map(Instruction::near_branch_target).collect();
        assert!(targets.contains(&(AT + 2 + 0x10)), "{targets:x?}");
        assert!(targets.contains(&(AT + 2)), "{targets:x?}");
        assert_eq!(slot.inside(0).unwrap().ip, AT);
    }
}

#[test]
fn what_needs_no_slot() {
    let cases: [(&[u8], u64); 6] = [
        (&[0x90], 1),
        (&[0xf3, 0x0f, 0x1e, 0xfa], 4),
        (&[0x66, 0x0f, 0x1f, 0x44, 0, 0], 6),
        (&[0x0f, 0x1f, 0x40, 0], 4),
        (&[0xeb, 0x7e], 0x80),
        (&[0xe9, 0xfb, 0, 0, 0], 0x100),
    ];
    for (bytes, further) in cases {
        assert_eq!(
            Decoded::new(bytes, AT).unwrap().skip(),
            Some(AT + further),
            "{bytes:x?}"
        );
    }
}

#[test]
fn calls_push_the_address_behind_the_original() {
    // call +0x1000
    let (_, direct) = slot(&[0xe8, 0, 0x10, 0, 0]);
    let code = decode(&direct);
    assert_eq!(code[0].code(), Code::Pushq_imm32);
    assert_eq!(code[0].immediate32(), AT as u32 + 5);
    assert_eq!(code[1].code(), Code::Mov_rm32_imm32);
    assert_eq!(
        (code[1].memory_base(), code[1].memory_displacement64()),
        (Register::RSP, 4)
    );
    assert_eq!(code[1].immediate32(), (AT >> 32) as u32);
    assert_eq!(code[2].near_branch_target(), AT + 5 + 0x1000);
    // After it has pushed, it still is as if it had not begun.
    let pushed = direct.inside(u64::from(direct.starts[1])).unwrap();
    assert_eq!((pushed.ip, pushed.popped, pushed.before), (AT, 8, true));

    // call [rsp + 0x20]: read before the push
    let (_, stack) = slot(&[0xff, 0x54, 0x24, 0x20]);
    let jump = decode(&stack)[2];
    assert_eq!(jump.code(), Code::Jmp_rm64);
    assert_eq!(jump.memory_displacement64(), 0x28);
    // call [rsp]
    let (_, top) = slot(&[0xff, 0x14, 0x24]);
    assert_eq!(decode(&top)[2].memory_displacement64(), 8);
    // call [rip + 0x100]
    let (_, table) = slot(&[0xff, 0x15, 0, 1, 0, 0]);
    assert_eq!(decode(&table)[2].ip_rel_memory_address(), AT + 6 + 0x100);
    // call rax; call [rax + rbx * 8]
    let (_, register) = slot(&[0xff, 0xd0]);
    assert_eq!(decode(&register)[2].op0_register(), Register::RAX);
    let (_, indexed) = slot(&[0xff, 0x14, 0xd8]);
    assert_eq!(decode(&indexed)[2].memory_index(), Register::RBX);

    // Where the sign fills the upper half, there is nothing to be written into it.
    let low = Decoded::new(&[0xe8, 0, 0x10, 0, 0], 0x40_1000).unwrap();
    let code = decode(&low.slot(0x50_0000).unwrap());
    assert_eq!(code[1].code(), Code::Jmp_rel32_64);
}

#[test]
fn what_can_not_be_moved_is_refused() {
    let refused = |bytes: &[u8]| Decoded::new(bytes, AT).map(|_| ()).unwrap_err();
    assert_eq!(refused(&[0xcc]), Refusal::Trap);
    assert_eq!(refused(&[0xcd, 0x80]), Refusal::Trap);
    assert_eq!(refused(&[0xff, 0xd4]), Refusal::Bound); // call rsp
    assert_eq!(refused(&[0xff, 0x18]), Refusal::Bound); // far call
    assert_eq!(refused(&[0x06]), Refusal::Undecodable);
    assert_eq!(refused(&[0xe8, 0, 0]), Refusal::Undecodable);
    assert_eq!(refused(&[]), Refusal::Undecodable);
    // An operand that no slot near the code reaches: 2 GiB before a slot that lies behind.
    let far = Decoded::new(&[0x48, 0x8b, 0x05, 0, 0, 0, 0x80], AT).unwrap();
    assert_eq!(far.slot(SLOT_AT), Err(Refusal::OutOfReach));
}

#[test]
fn a_system_call_is_known_as_one() {
    let (_, slot) = slot(&[0x0f, 0x05]);
    assert!(slot.is_system_call);
    assert!(slot.inside(0).unwrap().is_system_call);
    assert_eq!(slot.inside(2).map(|inside| inside.ip), Some(AT + 2));
}
