//! What came of programs as JSON: an object a program, each on a line. Its members stay; more may
//! come. `skep check --help` names them.

use std::path::Path;

use serde_json::{Value, json};
use skep::{
    Checked,
    verifier::diagnosis::{Diagnosis, Place},
};

use super::cost;

/// A program that was checked.
pub(super) fn checked(file: &Path, checked: &Checked, stats: bool) -> String {
    let mut value = json!({
        "file": file.display().to_string(),
        "program": checked.program,
        "instructions": checked.verdict.stats.instructions,
    });
    match &checked.diagnosis {
        None => value["verdict"] = "accepted".into(),
        Some(diagnosis) => {
            value["verdict"] = "refused".into();
            value["diagnosis"] = diagnosed(diagnosis);
        }
    }
    if !checked.states.is_empty() {
        value["states"] = checked.states.as_str().into();
    }
    if stats {
        value["stats"] = cost::json(checked);
    }
    value.to_string()
}

/// A program that could not be checked.
pub(super) fn unknown(file: &Path, program: &str, error: &anyhow::Error) -> String {
    json!({
        "file": file.display().to_string(),
        "program": program,
        "verdict": "unknown",
        "error": format!("{error:#}"),
    })
    .to_string()
}

/// Why a program is refused.
fn diagnosed(diagnosis: &Diagnosis) -> Value {
    let labels = diagnosis.labels.iter().map(|label| {
        let mut value = place(&label.place);
        value["text"] = label.text.as_str().into();
        value
    });
    json!({
        "rule": diagnosis.rule.name(),
        "message": diagnosis.message,
        "place": diagnosis.place.as_ref().map(place),
        "label": diagnosis.label,
        "word": diagnosis.focus,
        "register": diagnosis.register.map(|register| register.to_string()),
        "labels": labels.collect::<Vec<Value>>(),
        "notes": diagnosis.notes,
        "help": diagnosis.help,
        "path": diagnosis.path.iter().map(|insn| insn.0).collect::<Vec<u32>>(),
    })
}

fn place(place: &Place) -> Value {
    let source = place.source.as_ref().map(|source| {
        json!({
            "file": source.file,
            "line": source.line,
            "column": source.column,
            "text": source.text,
        })
    });
    json!({
        "instruction": place.insn.0,
        "disassembly": place.text,
        "function": place.function,
        "source": source,
    })
}
