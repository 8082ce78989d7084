//! Instructions: what decodes encodes to the same bytes, and its text assembles to them.

use skep_isa::{
    Disassembler, Endian, NoSymbols, RawInsn, assemble, decode_program, decode_slots, encode_slots,
};

use crate::{corpus, elf};

/// The programs of the corpus.
pub(crate) fn programs() -> Vec<Vec<u8>> {
    corpus::OBJECTS
        .iter()
        .map(|object| elf::code(object))
        .collect()
}

/// The same as text.
pub(crate) fn listings() -> Vec<Vec<u8>> {
    let slots = programs().into_iter().filter_map(|bytes| {
        let slots = decode_slots(&bytes, Endian::Little).ok()?;
        let known = decode_program(&slots).all(|decoded| decoded.is_ok());
        known.then_some(slots)
    });
    slots
        .map(|slots| {
            Disassembler::new(&NoSymbols)
                .program(&slots)
                .to_string()
                .into_bytes()
        })
        .collect()
}

/// Input: instructions, read in both byte orders.
pub(crate) fn instructions(input: &[u8]) {
    for endian in [Endian::Little, Endian::Big] {
        match decode_slots(input, endian) {
            Ok(slots) => {
                assert_eq!(encode_slots(&slots, endian), input);
                round_trip(&slots);
            }
            Err(error) => super::readable(&error),
        }
    }
}

fn round_trip(slots: &[RawInsn]) {
    let mut whole = true;
    for decoded in decode_program(slots) {
        match decoded {
            Ok((at, insn)) => {
                let end = insn.next(at).expect("within the program").as_usize();
                assert_eq!(insn.encode().to_vec(), &slots[at.as_usize()..end], "{insn}");
                let text = insn.to_string();
                assert_eq!(assemble(&text), Ok(insn.encode().to_vec()), "{text}");
                let _ = (insn.target(at), insn.subprogram(at));
            }
            Err(error) => {
                whole = false;
                let at = error.index().expect("errors say where").as_usize();
                assert!(at < slots.len(), "{error}");
                super::readable(&error);
            }
        }
    }
    let listing = Disassembler::new(&NoSymbols).program(slots).to_string();
    if whole {
        assert_eq!(assemble(&listing).as_deref(), Ok(slots), "{listing}");
    }
}

/// Input: assembly text.
pub(crate) fn assembler(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match assemble(&text) {
        Ok(slots) => round_trip(&slots),
        Err(error) => {
            super::readable(&error);
            assert!(error.line <= text.lines().count(), "{error}");
        }
    }
}
