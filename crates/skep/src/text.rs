//! Text as programs write it: bytes up to the first zero.

use std::borrow::Cow;

/// The text in a C array of characters: up to the first zero, with what is not UTF-8 replaced.
///
/// ```
/// assert_eq!(skep::text(b"cat\0\0\0"), "cat");
/// ```
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end])
}
