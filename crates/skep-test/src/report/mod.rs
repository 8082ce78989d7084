//! What came of tests: as data, as text with a diff by field, and as JUnit's XML.

mod junit;
mod text;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{FileError, Mismatch, Place, TestHost, coverage::Tally};

pub use junit::junit;
pub use text::{Summary, name_width, show_failure, show_line};

/// What came of a suite's tests. Prints as text, without colours.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// The program, where the file is about several, or it was named.
    pub program: Option<PathBuf>,
    /// The tests that ran or were skipped, in the order of the file.
    pub tests: Vec<TestReport>,
    /// Tests that were not begun, since one before them failed.
    pub left: usize,
    /// How long all of them took.
    pub duration: Duration,
    /// What of the programs ran, if that was counted.
    pub coverage: Option<Tally>,
}

/// What came of a test.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TestReport {
    /// Its name.
    pub name: String,
    /// Where it stands; `None` if Rust code made it.
    pub place: Option<Place>,
    /// What it ran on.
    pub host: TestHost,
    /// How long it took, its load with it.
    pub duration: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

/// What comes of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All was as expected.
    Passed,
    /// Something was not.
    Failed(Failure),
    /// It can't run here, and why.
    Skipped(String),
}

/// Why a test failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Failure {
    /// What was otherwise than expected.
    pub mismatches: Vec<Mismatch>,
    /// What the test says that can't be, or why its program was not loaded: nothing was compared
    /// then.
    pub error: Option<FileError>,
    /// What the programs printed (`bpf_printk`).
    pub printed: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&anstream_free(&show_failure(self)))
    }
}

impl std::error::Error for Failure {}

impl Report {
    /// What it is called: after the program, where that is said, else after the file.
    #[must_use]
    pub fn name(&self) -> &Path {
        self.program.as_deref().unwrap_or(&self.path)
    }

    /// Whether no test failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failed() == 0
    }

    /// How many tests failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        let failed = |test: &&TestReport| matches!(test.outcome, Outcome::Failed(_));
        self.tests.iter().filter(failed).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let width = name_width(&self.tests);
        for test in &self.tests {
            text.push_str(&show_line(test, width));
            if let Outcome::Failed(failure) = &test.outcome {
                text.push_str(&show_failure(failure));
            }
        }
        let mut summary = Summary::default();
        summary.add(self);
        writeln!(f, "{}{summary}", anstream_free(&text))
    }
}

/// A text without the codes of its colours.
fn anstream_free(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}
