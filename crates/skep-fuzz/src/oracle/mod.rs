//! What must hold for any bytes, one module a parser.

pub(crate) mod btf;
pub(crate) mod capture;
pub(crate) mod finish;
pub(crate) mod instructions;
pub(crate) mod linker;
pub(crate) mod object;
pub(crate) mod points;
pub(crate) mod recording;
pub(crate) mod tests;
pub(crate) mod text;
pub(crate) mod verifier;

/// More than anyone reads: an error quotes names, not the input.
const LONGEST_ERROR: usize = 64 << 10;

/// Errors are read by people. They quote names as these are, so that one with a line break in it
/// makes more lines of an error: to escape it is for who prints it.
fn readable(error: &impl std::fmt::Display) {
    let text = error.to_string();
    assert!(!text.is_empty(), "an error without a text");
    assert!(text.len() < LONGEST_ERROR, "{} bytes of error", text.len());
}
