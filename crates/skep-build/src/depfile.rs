//! What an object was made from, as clang writes it for make (`-MD`).

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

/// The prerequisites of the one rule in `text`. In clang's dialect a blank or `#` in a name has a
/// backslash before it, `$` is doubled, and a backslash at a line's end goes on with the next.
pub(crate) fn prerequisites(text: &[u8]) -> Vec<PathBuf> {
    let Some(colon) = text
        .windows(2)
        .position(|pair| pair[0] == b':' && pair[1].is_ascii_whitespace())
    else {
        return Vec::new();
    };
    let mut names = Vec::new();
    let mut name = Vec::new();
    let mut bytes = text[colon + 1..].iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let next = bytes.peek().copied();
        match (byte, next) {
            (b'\\', Some(b'\n')) => {}
            (b'\\', Some(escaped @ (b' ' | b'#'))) => {
                bytes.next();
                name.push(escaped);
            }
            (b'$', Some(b'$')) => {
                bytes.next();
                name.push(b'$');
            }
            (byte, _) if byte.is_ascii_whitespace() => names.push(std::mem::take(&mut name)),
            (byte, _) => name.push(byte),
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty());
    names
        .into_iter()
        .map(|name| PathBuf::from(OsString::from_vec(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_blanks_and_continued_lines() {
        let text = b"/tmp/x y.o: a.bpf.c \\\n  /inc/with\\ blank.h \\\n  /a$$b/\\#1.h c:d.h\n";
        let expected = ["a.bpf.c", "/inc/with blank.h", "/a$b/#1.h", "c:d.h"];
        assert_eq!(prerequisites(text), expected.map(PathBuf::from));
    }

    #[test]
    fn no_rule_no_names() {
        assert!(prerequisites(b"").is_empty());
        assert!(prerequisites(b"nothing here").is_empty());
    }
}
