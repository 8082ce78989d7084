//! The files of `corpus/isa` (their format: its README) as programs and rows to run.

use std::fs;
use std::path::{Path, PathBuf};

use skep_isa::{RawInsn, assemble};

/// A program of the corpus.
#[derive(Debug)]
pub(crate) struct Program {
    /// `alu64::add, by register`.
    pub(crate) name: String,
    pub(crate) kernel: Kernel,
    /// What it is run with; at least one.
    pub(crate) rows: Vec<Row>,
}

/// What the kernel does with a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Gives the same result, from this version on.
    Since {
        major: u8,
        minor: u8,
        /// Of the result only the lower 32 bits can be seen.
        low_half_only: bool,
    },
    /// Does not take it, and why.
    No(String),
}

/// One run.
#[derive(Debug)]
pub(crate) struct Row {
    /// ` [a=1 b=2]`; empty where there are no columns.
    pub(crate) label: String,
    pub(crate) slots: Vec<RawInsn>,
    pub(crate) context: Vec<u8>,
    pub(crate) expected: Expected,
    pub(crate) context_after: Option<Vec<u8>>,
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// With R0.
    Result(u64),
    /// Stopped, in checked mode, for this reason.
    Fault(String),
}

/// How many rows of a program are run: under Miri, which takes a thousand times as long, one.
const MOST_ROWS: usize = if cfg!(miri) { 1 } else { usize::MAX };

/// Reads all files of a folder.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<Program>, String> {
    let mut programs = Vec::new();
    for path in files(folder)? {
        programs.extend(read_file(&path)?);
    }
    Ok(programs)
}

/// The files of a folder, by name.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "bpf"))
        .collect();
    files.sort();
    Ok(files)
}

/// Reads a file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<Program>, String> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    read_text(&stem, &text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads the text of a file.
pub(crate) fn read_text(file: &str, text: &str) -> Result<Vec<Program>, String> {
    let mut parts = text.split("# program: ");
    let common = Headers::read(parts.next().unwrap_or_default());
    parts
        .map(|part| {
            let (title, body) = part.split_once('\n').unwrap_or((part, ""));
            program(file, title.trim(), body, &common).map_err(|e| format!("`{title}`: {e}"))
        })
        .collect()
}

fn program(file: &str, title: &str, body: &str, common: &Headers) -> Result<Program, String> {
    let headers = Headers::read(body);
    let kernel = headers.kernel.as_ref().or(common.kernel.as_ref());
    let kernel = kernel.map_or(Ok(SYSCALL_PROGRAMS), |text| parse_kernel(text))?;
    let mut rows = Vec::new();
    let none = [Vec::new()];
    let values = if headers.columns.is_empty() {
        &none[..]
    } else {
        &headers.rows
    };
    for values in values.iter().take(MOST_ROWS) {
        if values.len() != headers.columns.len() {
            return Err(format!("a row of {values:?} for {:?}", headers.columns));
        }
        let pairs = headers.columns.iter().zip(values);
        let substitution = Substitution(pairs.clone().collect());
        let label: Vec<_> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let label = if label.is_empty() {
            String::new()
        } else {
            format!(" [{}]", label.join(" "))
        };
        let row = row(&headers, &substitution, body).map_err(|e| format!("{label} {e}"))?;
        rows.push(Row { label, ..row });
    }
    if rows.is_empty() {
        return Err("columns, but no rows".into());
    }
    Ok(Program {
        name: format!("{file}::{title}"),
        kernel,
        rows,
    })
}

/// The kernel that first had programs of type `syscall`, which all are run as.
const SYSCALL_PROGRAMS: Kernel = Kernel::Since {
    major: 5,
    minor: 14,
    low_half_only: false,
};

fn row(headers: &Headers, with: &Substitution<'_>, body: &str) -> Result<Row, String> {
    let bytes = |text: &Option<String>| {
        text.as_ref()
            .map(|text| parse_bytes(&with.apply(text)))
            .transpose()
    };
    let expected = match (&headers.result, &headers.fault) {
        (Some(result), None) => Expected::Result(number(&with.apply(result))?),
        (None, Some(fault)) => Expected::Fault(fault.clone()),
        _ => return Err("either a result or a fault".into()),
    };
    Ok(Row {
        label: String::new(),
        slots: assemble(&with.apply(body)).map_err(|e| e.to_string())?,
        context: bytes(&headers.context)?.unwrap_or_default(),
        expected,
        context_after: bytes(&headers.context_after)?,
    })
}

/// What comments say, before they are understood.
#[derive(Debug, Default)]
struct Headers {
    context: Option<String>,
    context_after: Option<String>,
    result: Option<String>,
    fault: Option<String>,
    kernel: Option<String>,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Headers {
    fn read(text: &str) -> Self {
        let mut headers = Self::default();
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for line in text.lines() {
            let Some(comment) = line.strip_prefix('#') else {
                continue;
            };
            // Rows are indented: they stand below the names of their columns.
            if comment.starts_with("       ") && !headers.columns.is_empty() {
                headers.rows.push(words(comment));
                continue;
            }
            let Some((key, value)) = comment.trim().split_once(": ") else {
                continue;
            };
            let place = match key {
                "context" => &mut headers.context,
                "context-after" => &mut headers.context_after,
                "result" => &mut headers.result,
                "fault" => &mut headers.fault,
                "kernel" => &mut headers.kernel,
                "rows" => {
                    headers.columns = words(value);
                    continue;
                }
                _ => continue,
            };
            *place = Some(value.to_owned());
        }
        headers
    }
}

/// `$name` → the value of this row.
struct Substitution<'a>(Vec<(&'a String, &'a String)>);

impl Substitution<'_> {
    fn apply(&self, text: &str) -> String {
        let mut parts = text.split('$');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            match self.0.iter().find(|(column, _)| *column == name) {
                Some((_, value)) => out.push_str(value),
                None => out.extend(["$", name]),
            }
            out.push_str(rest);
        }
        out
    }
}

/// `01 ff 0x2a:8`: bytes, and little-endian numbers with their width.
fn parse_bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        match word.split_once(':') {
            Some((value, width)) => {
                let width: usize = width.parse().map_err(|_| format!("`{word}`: no width"))?;
                let value = number(value)?.to_le_bytes();
                let part = value
                    .get(..width)
                    .ok_or_else(|| format!("`{word}`: too wide"))?;
                bytes.extend(part);
            }
            None => {
                let byte = u8::from_str_radix(word, 16).map_err(|e| format!("`{word}`: {e}"))?;
                bytes.push(byte);
            }
        }
    }
    Ok(bytes)
}

/// A decimal or hexadecimal number, or a negative one as its bits.
fn number(text: &str) -> Result<u64, String> {
    let parsed = match (text.strip_prefix("0x"), text.strip_prefix('-')) {
        (Some(digits), _) => u64::from_str_radix(digits, 16),
        (_, Some(digits)) => digits.parse().map(u64::wrapping_neg),
        _ => text.parse(),
    };
    parsed.map_err(|e| format!("`{text}`: {e}"))
}

/// `6.6`, `6.6 low half only (why)` or `no (why)`.
fn parse_kernel(text: &str) -> Result<Kernel, String> {
    if let Some(why) = text.strip_prefix("no ") {
        return Ok(Kernel::No(why.trim_matches(['(', ')']).to_owned()));
    }
    let (version, rest) = text.split_once(' ').unwrap_or((text, ""));
    let parsed = version
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let (major, minor) = parsed.ok_or_else(|| format!("kernel `{text}`"))?;
    Ok(Kernel::Since {
        major,
        minor,
        low_half_only: rest.starts_with("low half only"),
    })
}
