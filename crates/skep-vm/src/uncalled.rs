//! That every helper and kernel function of the machine is called by a program of the tests: what
//! no program calls, nobody has seen to be right.

use std::{
    fs,
    path::{Path, PathBuf},
};

use skep_abi::Helper;

/// What no program calls, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "bpf_inode_storage_get",
        "no hook of the machine shows an inode",
    ),
    (
        "bpf_inode_storage_delete",
        "no hook of the machine shows an inode",
    ),
    (
        "bpf_skb_output",
        "no program at a function of the machine has a packet",
    ),
    (
        "bpf_xdp_output",
        "no program at a function of the machine has a packet",
    ),
];

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// The text of the crate's integration tests whose files have this ending.
fn tests(ending: &str) -> String {
    let mut found = Vec::new();
    files(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")),
        &mut found,
    );
    let texts = found
        .iter()
        .filter(|path| path.extension().is_some_and(|known| known == ending));
    texts
        .map(|path| fs::read_to_string(path).unwrap_or_default())
        .collect()
}

/// Sources in C without the declarations of what they call.
fn calls_in_c() -> String {
    let text = tests("c");
    assert!(text.contains("SEC("), "there are no programs");
    let mut parts = text.split("\nextern ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut all, part| {
        all.push_str(part.split_once(';').unwrap_or_default().1);
        all
    })
}

/// Whether a text has a word with nothing of a name before it, and what is asked for behind it.
fn has(text: &str, word: &str, behind: fn(char) -> bool) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let next = text[at + word.len()..].chars().next();
        !before.is_some_and(named) && next.is_some_and(behind)
    })
}

#[test]
#[cfg_attr(miri, ignore = "reads the sources of all tests")]
fn every_function_is_called_by_a_test() {
    let c = calls_in_c();
    let rust = tests("rs");
    let called_in_c = |name: &str| {
        // Or it is given to a macro that calls it.
        has(&c, name, |next| matches!(next, '(' | ',' | ')'))
    };
    let called_by_number = |helper: &&Helper| {
        let short = helper.name.trim_start_matches("bpf_");
        let call = format!("call {}", helper.id);
        // Or by a table of numbers with their names.
        rust.match_indices(&call).any(|(at, _)| {
            let next = rust[at + call.len()..].chars().next();
            !next.is_some_and(|c| c.is_ascii_digit())
        }) || rust.contains(&format!("\"{short}\""))
    };
    let helpers = Helper::all()
        .iter()
        .filter(|helper| crate::helper::by_id(helper.id).is_some())
        .filter(|helper| !called_by_number(helper))
        .map(|helper| helper.name);
    let mut uncalled: Vec<_> = helpers
        .chain(crate::kfunc::names())
        .filter(|name| !called_in_c(name))
        .collect();
    uncalled.sort_unstable();
    let mut expected: Vec<_> = EXCEPTIONS.iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    assert_eq!(uncalled, expected, "called by no program of tests/");
}
