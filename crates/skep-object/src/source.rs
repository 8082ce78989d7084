//! From an instruction of a linked program back to the line of source that it comes from.

use std::sync::Arc;

use skep_btf::{Btf, StringOffset};
use skep_isa::InsnIndex;

use crate::{LineRecord, SourceLine};

/// The lines of a linked program. Texts stay in the object's BTF.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceTable {
    pub(crate) btf: Option<Arc<Btf>>,
    /// First instruction and name of each function, in order.
    pub(crate) functions: Vec<(InsnIndex, String)>,
    /// Lines by instruction of the whole program, sorted.
    pub(crate) lines: Vec<LineRecord>,
}

impl SourceTable {
    pub(crate) fn at(&self, insn: InsnIndex) -> Option<SourceLine<'_>> {
        let functions = self.functions.partition_point(|(start, _)| *start <= insn);
        let (start, function) = self.functions.get(functions.checked_sub(1)?)?;
        let lines = self.lines.partition_point(|line| line.insn <= insn);
        let line = self.lines.get(lines.checked_sub(1)?)?;
        // Of a function without lines, the last line before it says nothing.
        (line.insn >= *start).then(|| SourceLine {
            function,
            file: self.text(line.file),
            line: line.line(),
            column: line.column(),
            text: self.text(line.text).trim_end_matches(['\n', '\r']),
        })
    }

    /// A string of the BTF, up to the first byte that is no UTF-8: source may be in any encoding.
    fn text(&self, offset: StringOffset) -> &str {
        let bytes = self
            .btf
            .as_ref()
            .and_then(|btf| btf.string_bytes(offset))
            .unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => bytes
                .get(..error.valid_up_to())
                .and_then(|valid| std::str::from_utf8(valid).ok())
                .unwrap_or_default(),
        }
    }
}
