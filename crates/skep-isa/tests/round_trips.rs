//! Both round trips are identities: instruction to slots and back, and to text and back. And no
//! bytes make the decoder panic, nor any text the assembler.

#[path = "strategies/mod.rs"]
mod strategies;

use proptest::prelude::*;
use skep_isa::{
    Disassembler, Endian, Insn, NoSymbols, RawInsn, assemble, decode_program, decode_slots,
    encode_slots,
};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn encoded_decodes_to_itself(insn in strategies::insn()) {
        let slots = insn.encode();
        prop_assert_eq!(Insn::decode(&slots), Ok((insn, slots.len())));
    }

    #[test]
    fn text_assembles_to_itself(insn in strategies::insn()) {
        let text = insn.to_string();
        let slots = assemble(&text);
        prop_assert_eq!(slots, Ok(insn.encode().to_vec()), "{}", text);
    }

    #[test]
    fn slots_survive_both_byte_orders(raw in strategies::raw()) {
        for endian in [Endian::Little, Endian::Big] {
            prop_assert_eq!(RawInsn::from_bytes(raw.to_bytes(endian), endian), raw);
        }
    }

    #[test]
    fn what_decodes_encodes_to_the_same_slots(first in strategies::raw(), second in strategies::raw()) {
        let second = RawInsn { opcode: 0, dst: 0, src: 0, offset: 0, ..second };
        if let Ok((insn, count)) = Insn::decode(&[first, second]) {
            let slots = [first, second];
            prop_assert_eq!(insn.encode().to_vec(), &slots[..count], "{}", insn);
        }
    }

    #[test]
    fn any_bytes_decode_or_say_why(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        for endian in [Endian::Little, Endian::Big] {
            let Ok(slots) = decode_slots(&bytes, endian) else {
                prop_assert!(bytes.len() % 8 != 0);
                continue;
            };
            prop_assert_eq!(&encode_slots(&slots, endian), &bytes);
            for decoded in decode_program(&slots) {
                match decoded {
                    Ok((at, insn)) => {
                        let end = insn.next(at).unwrap().as_usize();
                        prop_assert_eq!(insn.encode().to_vec(), &slots[at.as_usize()..end]);
                    }
                    Err(error) => {
                        prop_assert!(error.index().unwrap().as_usize() < slots.len());
                        prop_assert!(!error.to_string().contains('\n'));
                    }
                }
            }
        }
    }

    #[test]
    fn any_text_assembles_or_says_where(text in "(?s).{0,80}") {
        if let Err(error) = assemble(&text) {
            prop_assert!(error.line <= text.lines().count());
        }
    }

    #[test]
    fn words_of_the_syntax_in_any_order_never_panic(
        words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..12),
        spaced in any::<bool>(),
    ) {
        let text = words.join(if spaced { " " } else { "" });
        if let Err(error) = assemble(&text) {
            prop_assert!(error.column <= text.chars().count() + 1, "{error}: {text}");
        }
    }

    #[test]
    fn a_listing_assembles_to_its_program(insns in prop::collection::vec(strategies::insn(), 0..20)) {
        let slots: Vec<RawInsn> = insns.iter().flat_map(|insn| insn.encode().to_vec()).collect();
        let listing = Disassembler::new(&NoSymbols).program(&slots).to_string();
        prop_assert_eq!(assemble(&listing), Ok(slots), "{}", listing);
    }
}

const WORDS: [&str; 52] = [
    "r0",
    "r1",
    "w1",
    "r10",
    "r11",
    "=",
    "+=",
    "s/=",
    "-",
    "+",
    "*",
    "(",
    ")",
    "[",
    "]",
    "u8",
    "u64",
    "s32",
    "*(u64 *)(r1 +8)",
    "(u32 *)",
    "5",
    "-8",
    "0xffffffff",
    "ll",
    "lock",
    "goto",
    "gotol",
    "if",
    "s>",
    "==",
    "call",
    "callx",
    "exit",
    "pc",
    "x",
    "x:",
    "#",
    "kernel-function",
    "map[",
    "fd:",
    "btf",
    "subprog[",
    "atomic64_fetch_add",
    "xchg_64",
    "be16",
    "skb",
    "addr_space_cast",
    "load_acquire",
    "store_release",
    "may_goto",
    "gotox",
    ",",
];
