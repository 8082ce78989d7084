//! A cheap look at what a source includes, without running the compiler: is `vmlinux.h` wanted, and
//! is there one already?

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

/// How many files are looked at before we give up and assume that `vmlinux.h` is wanted.
const MOST_FILES: usize = 500;

/// Whence a source gets the kernel's types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Vmlinux {
    /// It does not include `vmlinux.h`.
    Unused,
    /// There is one in this folder: beside the source, or on the user's include path.
    Given(PathBuf),
    /// One has to be made. `first`: its inclusion is the first thing in the source, so that
    /// nothing that stands before can change what it means.
    Wanted { first: bool },
}

/// Reads the source and the files it includes from its own folder and from `folders`.
pub(crate) fn vmlinux(source: &Path, folders: &[PathBuf]) -> io::Result<Vmlinux> {
    let text = fs::read(source)?;
    let source_folder = folder_of(source);
    let mut seen = HashSet::from([source.to_owned()]);
    let mut waiting = vec![(source_folder.clone(), text)];
    let mut first = true;
    while let Some((folder, text)) = waiting.pop() {
        let text = without_comments(&String::from_utf8_lossy(&text));
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let leads = first
            && lines
                .clone()
                .next()
                .and_then(included)
                .is_some_and(is_vmlinux);
        first = false;
        // A test by `__has_include` is as good as an inclusion: it must find what would be there.
        if lines
            .clone()
            .any(|line| line.contains("__has_include") && line.contains("vmlinux.h"))
        {
            return Ok(Vmlinux::Wanted { first: false });
        }
        for include in lines.by_ref().filter_map(included) {
            let own = include.quoted.then_some(&folder);
            let found = own
                .into_iter()
                .chain(folders)
                .map(|folder| folder.join(include.name));
            let found = found.into_iter().find(|path| path.is_file());
            if is_vmlinux(include) {
                let beside =
                    || Some(source_folder.join(include.name)).filter(|path| path.is_file());
                return Ok(match found.or_else(beside) {
                    Some(path) => Vmlinux::Given(folder_of(&path)),
                    None => Vmlinux::Wanted { first: leads },
                });
            }
            if let Some(path) = found
                && seen.insert(path.clone())
            {
                if seen.len() > MOST_FILES {
                    return Ok(Vmlinux::Wanted { first: false });
                }
                // What can't be read is the compiler's to complain of.
                if let Ok(text) = fs::read(&path) {
                    waiting.push((folder_of(&path), text));
                }
            }
        }
    }
    Ok(Vmlinux::Unused)
}

/// The folder a file is in; "." for a bare name.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[derive(Clone, Copy)]
struct Include<'a> {
    name: &'a str,
    /// `"name"`, not `<name>`: also looked for beside the including file.
    quoted: bool,
}

fn is_vmlinux(include: Include<'_>) -> bool {
    include.name == "vmlinux.h"
}

/// The file named by a line `#include "…"` or `#include <…>`.
fn included(line: &str) -> Option<Include<'_>> {
    let rest = line
        .strip_prefix('#')?
        .trim_start()
        .strip_prefix("include")?;
    let rest = rest.strip_prefix("_next").unwrap_or(rest).trim_start();
    let quoted = rest.starts_with('"');
    let (open, close) = if quoted { ('"', '"') } else { ('<', '>') };
    let (name, _) = rest.strip_prefix(open)?.split_once(close)?;
    Some(Include { name, quoted })
}

/// The text with its comments blanked and its line ends kept.
fn without_comments(text: &str) -> String {
    enum In {
        Code,
        Line,
        Block,
        Quotes(char),
    }
    let mut out = String::with_capacity(text.len());
    let mut place = In::Code;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match place {
            In::Code if c == '/' && next == Some('/') => place = In::Line,
            In::Code if c == '/' && next == Some('*') => {
                chars.next();
                place = In::Block;
            }
            In::Code => {
                if c == '"' || c == '\'' {
                    place = In::Quotes(c);
                }
                out.push(c);
            }
            In::Line if c == '\n' => {
                out.push(c);
                place = In::Code;
            }
            In::Line => {}
            In::Block if c == '*' && next == Some('/') => {
                chars.next();
                out.push(' ');
                place = In::Code;
            }
            In::Block => {
                if c == '\n' {
                    out.push(c);
                }
            }
            In::Quotes(quote) => {
                out.push(c);
                if c == '\\' {
                    out.extend(chars.next());
                } else if c == quote || c == '\n' {
                    place = In::Code;
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
