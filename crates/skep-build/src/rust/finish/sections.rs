//! Sections that were only for these passes.

use skep_btf::{Kind, NewType, TypeId};
use skep_object::{ObjectFile, Result};

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    file.remove_sections(|section| section.name.starts_with(ObjectFile::RECORD))?;
    // Loaders look for each section that BTF has variables of. Ids of types stay as they are, so
    // that something must take the place of what goes.
    let btf = file.btf()?;
    for found in btf.types() {
        let Kind::DataSection(section) = found.kind() else {
            continue;
        };
        if found.name().starts_with(ObjectFile::RECORD) {
            let variables = section.entries().map(|entry| entry.type_id);
            for id in variables.chain([found.id()]) {
                let target = TypeId::VOID;
                file.types.replace(id, NewType::Const { target })?;
            }
        }
    }
    Ok(())
}
