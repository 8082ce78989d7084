//! Names and literals of Rust.

use std::fmt::Write as _;

/// Words that no item can be called, also in later editions.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "Self", "static", "struct", "super", "trait", "true", "try", "type",
    "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// A name of C as one of Rust: what can't be in one is `_`, and a keyword gets one at its end.
pub(super) fn name(text: &str) -> String {
    let mut name: String = text
        .chars()
        .map(|one| {
            if one.is_ascii_alphanumeric() {
                one
            } else {
                '_'
            }
        })
        .collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
        name.insert(0, '_');
    }
    if KEYWORDS.contains(&name.as_str()) || name == "_" {
        name.push('_');
    }
    name
}

/// A type's name: `open_snoop.bpf` is `OpenSnoop`.
pub(super) fn type_name(text: &str) -> String {
    let stem = text.trim_end_matches(".o").trim_end_matches(".bpf");
    let words = stem.split(|one: char| !one.is_ascii_alphanumeric());
    let capital = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_ascii_uppercase() + rest
    };
    let joined: String = words.filter(|word| !word.is_empty()).map(capital).collect();
    name(&joined)
}

/// Names that are each given once.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// The name, or one like it that nothing else has.
    pub(super) fn take(&mut self, text: &str) -> String {
        let base = name(text);
        let mut name = base.clone();
        let mut number = 2;
        while self.0.contains(&name) {
            name = format!("{}_{number}", base.trim_end_matches('_'));
            number += 1;
        }
        self.0.push(name.clone());
        name
    }
}

/// Bytes as a literal, in lines of readable length.
pub(super) fn bytes(bytes: &[u8]) -> String {
    const LINE: usize = 96;
    if bytes.is_empty() {
        return "&[]".into();
    }
    let mut out = String::from("b\"");
    let mut column = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let start = out.len();
        match byte {
            // Before a digit it would read as another number.
            0 if !bytes.get(index + 1).is_some_and(u8::is_ascii_digit) => out.push_str("\\0"),
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            b'!'..=b'~' => out.push(char::from(*byte)),
            // A space at the beginning of a line would be left out.
            b' ' if column > 0 => out.push(' '),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
        column += out.len() - start;
        if column >= LINE && index + 1 < bytes.len() {
            out.push_str("\\\n");
            column = 0;
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names() {
        assert_eq!(name("type"), "type_");
        assert_eq!(name(".rodata.str"), "_rodata_str");
        assert_eq!(name("2fast"), "_2fast");
        assert_eq!(type_name("open_snoop.bpf.o"), "OpenSnoop");
        assert_eq!(type_name("self"), "Self_");
        assert_eq!(type_name("…"), "__");
        let mut names = Names::default();
        assert_eq!(names.take("count"), "count");
        assert_eq!(names.take("count"), "count_2");
    }

    #[test]
    fn literals_say_the_bytes() {
        assert_eq!(bytes(b""), "&[]");
        assert_eq!(bytes(b"a \"b\\\x00\xff"), r#"b"a \"b\\\0\xff""#);
        assert_eq!(bytes(b"\x001"), r#"b"\x001""#);
        // What stands at the beginning of a line is no space.
        let long = bytes(&[b' '; 300]);
        assert!(long.lines().skip(1).all(|line| line.starts_with("\\x20")));
    }
}
