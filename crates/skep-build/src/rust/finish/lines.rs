//! Records of lines: one an instruction, and of the program's own source.
//!
//! What the compiler hides from itself by assembly without an instruction (`skep_ebpf::packet`) has a
//! record of its own at the place of the next one, and kernels refuse two of the same place, as libbpf
//! does. What was inlined of the library or core has its line there: what verifiers say of it is said
//! of the line of the program that called it.

use skep_object::{LineRecord, ObjectFile, Result};

use super::{
    inlined::Inlined,
    own::{Own, Place},
};

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    for records in file.records.values_mut() {
        // The later one is the instruction's own.
        records.lines.dedup_by(|later, kept| {
            let same = later.insn == kept.insn;
            if same {
                core::mem::swap(later, kept);
            }
            same
        });
    }
    Ok(())
}

/// Replaces lines of others' files by the innermost line of `own` that they are called from, if there
/// is one. A function of the library that was not inlined stays what it is.
pub(super) fn of_own(file: &mut ObjectFile, bytes: &[u8], own: &Own) -> Result<()> {
    if own.is_empty() {
        return Ok(());
    }
    let inlined = Inlined::of(bytes);
    let btf = file.btf()?;
    for (section, records) in &mut file.records {
        for record in &mut records.lines {
            if own.has(btf.string(record.file)?) {
                continue;
            }
            let mut callers = inlined.callers(section, record.insn.0);
            if let Some(place) = callers.find(|place| own.has(&place.file)) {
                let new = file.types.string(&place.file);
                (record.file, record.text) = (new, file.types.string(&own.text(place)));
                record.line_and_column = line_and_column(place);
            }
        }
        // What the kernel shows before each group of instructions, it need not show again. Those of
        // functions' beginnings stay: each must have one.
        let functions = &records.functions;
        records.lines.dedup_by(|later, kept| {
            let begins = |record: &LineRecord| functions.iter().any(|(at, _)| *at == record.insn);
            let same = |record: &LineRecord| (record.file, record.text, record.line());
            same(later) == same(kept) && later.column() == kept.column() && !begins(later)
        });
    }
    Ok(())
}

/// As `.BTF.ext` has them: 22 bits and 10.
fn line_and_column(place: &Place) -> u32 {
    let fits = |number: u32, bits: u32| if number >> bits == 0 { number } else { 0 };
    (fits(place.line, 22) << 10) | fits(place.column, 10)
}
