//! The disassembler against the kernel's: `golden/kernel.txt` has the bytes of instructions and
//! the text that the verifier of Linux 6.18 printed for each in its log (level 2, one program an
//! instruction).

use std::borrow::Cow;

use skep_isa::{
    Disassembler, Endian, Insn, InsnIndex, Symbols, assemble, decode_slots, encode_slots,
};

const GOLDEN: &str = include_str!("golden/kernel.txt");

fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    GOLDEN
        .lines()
        .map(|line| line.split_once(" | ").expect("`bytes | text`"))
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    digits
        .map(|digits| u8::from_str_radix(digits, 16).unwrap())
        .collect()
}

/// The helper's name in the kernel's text, so that ours can have it.
struct NameIn(&'static str);

impl Symbols for NameIn {
    fn helper(&self, _: u32) -> Option<Cow<'_, str>> {
        let (name, _) = self.0.strip_prefix("call ")?.split_once('#')?;
        Some(name.into())
    }
}

#[test]
fn our_text_is_the_kernels() {
    for (hex, text) in cases() {
        let slots = decode_slots(&bytes(hex), Endian::Little).unwrap();
        let (insn, _) = Insn::decode(&slots).unwrap_or_else(|error| panic!("{error}: {text}"));
        let symbols = NameIn(text);
        let ours = Disassembler::new(&symbols)
            .insn(InsnIndex(0), insn)
            .to_string();
        // ` ll` is ours alone.
        assert_eq!(ours.trim_end_matches(" ll"), text, "{hex}");
    }
}

#[test]
fn the_kernels_text_assembles() {
    // Without ` ll`, a 64-bit number reads as a 32-bit one.
    for (hex, text) in cases().filter(|(hex, _)| !hex.starts_with("18")) {
        let slots = assemble(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(encode_slots(&slots, Endian::Little), bytes(hex), "{text}");
    }
}
