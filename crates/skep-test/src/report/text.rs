//! Reports as text: a line a test, and of those that failed a table of what was expected and what
//! there was.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};

use super::{Failure, Outcome, Report, TestReport};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// Characters of a test's name that the table has room for, at least and at most.
const NAME: [usize; 2] = [24, 60];
/// Before what belongs to a test.
const INDENT: &str = "      ";
/// Characters of a line in which expected and got stand beside each other.
const WIDTH: usize = 100;

/// How many characters the names of these tests need, within limits: for [`show_line`].
#[must_use]
pub fn name_width(tests: &[TestReport]) -> usize {
    let widths = tests
        .iter()
        .map(|test| printable(&test.name).chars().count());
    let [least, most] = NAME;
    widths.max().unwrap_or(0).clamp(least, most)
}

/// The line of a test, whose name takes `width` characters: what came of it, its name, how long it took and where. With colours, which
/// `anstream` takes out where there are none.
#[must_use]
pub fn show_line(test: &TestReport, width: usize) -> String {
    let (style, word) = match &test.outcome {
        Outcome::Passed => (GOOD, "ok"),
        Outcome::Failed(_) => (BAD, "FAIL"),
        Outcome::Skipped(_) => (DIM, "skip"),
    };
    let name = printable(&test.name);
    let pad = width.saturating_sub(name.chars().count());
    let mut line = format!("{style}{word:<4}{style:#}  {name}{:pad$}", "");
    match &test.outcome {
        Outcome::Skipped(reason) => {
            let _ = writeln!(line, "  {DIM}{}{DIM:#}", printable(reason));
        }
        _ => {
            let time = span(test.duration);
            let _ = writeln!(line, "  {DIM}{time:>9}  {}{DIM:#}", test.host);
        }
    }
    line
}

/// What was otherwise than expected, by field, and what the program printed. With colours.
#[must_use]
pub fn show_failure(failure: &Failure) -> String {
    let mut out = String::new();
    if let Some(error) = &failure.error {
        let _ = writeln!(
            out,
            "{INDENT}{BAD}error:{BAD:#} {}",
            printable(&error.to_string())
        );
    }
    let rows: Vec<[String; 4]> = failure
        .mismatches
        .iter()
        .map(|mismatch| {
            let place = mismatch.place.as_ref().map(|place| {
                let name = place.path().file_name().unwrap_or_default();
                format!("{}:{}", name.to_string_lossy(), place.line_column().0)
            });
            [
                printable(&mismatch.path),
                printable(&mismatch.expected),
                printable(&mismatch.got),
                place.unwrap_or_default(),
            ]
        })
        .collect();
    let width = |column: usize, head: &str| {
        let widths = rows.iter().filter_map(|row| row.get(column));
        let widest = widths.map(|text| text.chars().count()).max();
        widest.unwrap_or(0).max(head.len())
    };
    let widths = [width(0, ""), width(1, "expected"), width(2, "got")];
    let side_by_side = widths.iter().sum::<usize>() <= WIDTH;
    if side_by_side && !rows.is_empty() {
        let _ = writeln!(
            out,
            "{INDENT}{DIM}{}  {}  got{DIM:#}",
            padded("", widths[0]),
            padded("expected", widths[1])
        );
    }
    for [path, expected, got, place] in &rows {
        if side_by_side {
            let _ = writeln!(
                out,
                "{INDENT}{BOLD}{}{BOLD:#}  {GOOD}{}{GOOD:#}  {BAD}{}{BAD:#}  {DIM}{place}{DIM:#}",
                padded(path, widths[0]),
                padded(expected, widths[1]),
                padded(got, widths[2]),
            );
        } else {
            let _ = writeln!(out, "{INDENT}{BOLD}{path}{BOLD:#}  {DIM}{place}{DIM:#}");
            let _ = writeln!(out, "{INDENT}  expected  {GOOD}{expected}{GOOD:#}");
            let _ = writeln!(out, "{INDENT}  got       {BAD}{got}{BAD:#}");
        }
    }
    for line in &failure.printed {
        let _ = writeln!(out, "{INDENT}{DIM}printk:{DIM:#} {}", printable(line));
    }
    // Where the last column is empty, nothing stands at the end of a line.
    let lines: Vec<_> = out.lines().map(trimmed).collect();
    match lines.is_empty() {
        true => out,
        false => lines.join("\n") + "\n",
    }
}

/// A line without the blanks at its end, also those before codes of colours.
fn trimmed(line: &str) -> String {
    let codes = format!("  {DIM}{DIM:#}");
    line.strip_suffix(&codes)
        .unwrap_or(line)
        .trim_end()
        .to_owned()
}

fn padded(text: &str, width: usize) -> String {
    let pad = width.saturating_sub(text.chars().count());
    format!("{text}{:pad$}", "")
}

/// A text in which nothing moves the cursor: test files and programs may say anything.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push(' '),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// 0.2 ms, 1.31 s
fn span(time: std::time::Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ..1000.0 => format!("{ms:.1} ms"),
        _ => format!("{:.2} s", ms / 1e3),
    }
}

/// How many tests passed, failed and were skipped, of any number of suites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Summary {
    /// All was as expected.
    pub passed: usize,
    /// Something was not.
    pub failed: usize,
    /// They can't run here.
    pub skipped: usize,
    /// They were not begun after one had failed.
    pub left: usize,
}

impl Summary {
    /// Adds a suite's.
    pub fn add(&mut self, report: &Report) {
        for test in &report.tests {
            match test.outcome {
                Outcome::Passed => self.passed = self.passed.saturating_add(1),
                Outcome::Failed(_) => self.failed = self.failed.saturating_add(1),
                Outcome::Skipped(_) => self.skipped = self.skipped.saturating_add(1),
            }
        }
        self.left = self.left.saturating_add(report.left);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        if self.left > 0 {
            write!(f, ", {} not begun", self.left)?;
        }
        Ok(())
    }
}
