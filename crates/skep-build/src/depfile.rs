//! What an object was made from, as clang (`-MD`) and rustc (`--emit=dep-info`) write it for make.

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

/// What rustc says that it read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OfRustc {
    pub(crate) files: Vec<PathBuf>,
    /// By `env!`: what it gave is not in any file.
    pub(crate) asks_environment: bool,
}

/// The prerequisites of the first rule in `text`; the others say the same. rustc puts a backslash
/// before blanks, and names in comments what it read of the environment.
pub(crate) fn of_rustc(text: &[u8]) -> OfRustc {
    let rule = text.split(|&byte| byte == b'\n').next();
    let comments = text.split(|&byte| byte == b'\n');
    OfRustc {
        files: prerequisites(rule.unwrap_or_default()),
        asks_environment: comments
            .into_iter()
            .any(|line| line.starts_with(b"# env-dep:")),
    }
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
    fn rules_of_rustc() {
        let text = b"/tmp/a.o: a.rs m\\ n.rs\n\n/tmp/a.d: a.rs m\\ n.rs\n\na.rs:\nm\\ n.rs:\n";
        let mut expected = OfRustc {
            files: vec!["a.rs".into(), "m n.rs".into()],
            asks_environment: false,
        };
        assert_eq!(of_rustc(text), expected);
        expected.asks_environment = true;
        let text = [text.as_slice(), b"\n# env-dep:VERSION=1\n"].concat();
        assert_eq!(of_rustc(&text), expected);
    }

    #[test]
    fn no_rule_no_names() {
        assert!(prerequisites(b"").is_empty());
        assert!(prerequisites(b"nothing here").is_empty());
    }
}
