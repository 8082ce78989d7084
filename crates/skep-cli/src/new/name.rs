//! What a project may be called: what cargo takes for a package, rustc for a crate, and what is not
//! the name of something that the project depends on.

use std::path::Path;

use crate::exit::Usage;

/// Words that are no names in Rust's edition of 2024.
const KEYWORDS: &[&str] = &[
    "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue",
    "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if",
    "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
    "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Folders that cargo makes beside programs.
const FOLDERS: &[&str] = &["build", "deps", "examples", "incremental"];

/// Crates that come with the compiler, or that the project depends on.
const CRATES: &[&str] = &[
    "alloc",
    "core",
    "proc_macro",
    "proc-macro",
    "skep",
    "skep-build",
    "skep-ebpf",
    "skep-test",
    "std",
    "test",
    "zerocopy",
];

/// The name that a folder gives.
pub(super) fn of_folder(path: &Path) -> Result<String, Usage> {
    let name = path.file_name().ok_or_else(|| {
        let path = path.display();
        Usage(format!(
            "{path} is no name: name the folder to make, or add --name"
        ))
    })?;
    let name = name.to_str().ok_or_else(|| {
        let path = path.display();
        Usage(format!("{path} is no name for a project: add --name"))
    })?;
    Ok(name.to_owned())
}

/// Says why a name can't be a project's.
pub(super) fn check(name: &str) -> Result<(), String> {
    let why = |why: &str| {
        Err(format!(
            "a project can't be called `{name}`: {why}; use --name"
        ))
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match name.chars().next() {
        None => return why("that is no name"),
        Some(first) if first.is_ascii_digit() => {
            return why("a package's name does not begin with a digit");
        }
        Some('-') => return why("a package's name does not begin with `-`"),
        Some(_) => {}
    }
    if let Some(other) = name.chars().find(|&c| !plain(c)) {
        let text = format!("{other:?} is neither a letter or digit of ASCII, nor `-` or `_`");
        return why(&text);
    }
    if name.len() > 64 {
        return why("that is longer than 64 letters");
    }
    if KEYWORDS.contains(&name) {
        return why("that is a keyword of Rust");
    }
    if FOLDERS.contains(&name) {
        return why("cargo has a folder of that name beside its programs");
    }
    if CRATES.contains(&name) {
        return why("that is a crate which it uses");
    }
    if name == "_" {
        return why("that is no name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for right in ["opens", "my-tool", "my_tool2", "_x", "Tool"] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for (wrong, why) in [
            ("", "no name"),
            ("_", "no name"),
            ("2fast", "begin with a digit"),
            ("-x", "begin with `-`"),
            ("naïve", "'ï'"),
            ("a b", "' '"),
            ("fn", "keyword"),
            ("deps", "folder"),
            ("skep", "which it uses"),
            ("core", "which it uses"),
        ] {
            let said = check(wrong).expect_err(wrong);
            assert!(said.contains(why), "{wrong}: {said}");
        }
        assert!(check(&"x".repeat(65)).is_err());
    }

    #[test]
    fn folders_give_names() {
        assert_eq!(
            of_folder(Path::new("a/b/opens/")).ok().as_deref(),
            Some("opens")
        );
        assert!(of_folder(Path::new("..")).is_err());
        assert!(of_folder(Path::new("/")).is_err());
    }
}
