//! Records of lines: one an instruction. What the compiler hides from itself by assembly without
//! an instruction (`skep_ebpf::packet`) has a record of its own at the place of the next one, and
//! kernels refuse two of the same place, as libbpf does.

use skep_object::{ObjectFile, Result};

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
