//! Sections that were only for these passes.

use skep_object::{ObjectFile, Result};

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    file.remove_sections(|section| section.name.starts_with(ObjectFile::RECORD))
}
