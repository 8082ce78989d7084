//! Places in test files, and errors that name them.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A test file that was read: what places in it refer to.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A place in a test file: prints as `fw.test.toml:12:5`.
#[derive(Clone)]
pub struct Place {
    source: Arc<Source>,
    /// Bytes from the file's start.
    start: usize,
}

impl Place {
    /// Bytes from the start of the file.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    pub(crate) fn new(source: &Arc<Source>, span: &Range<usize>) -> Self {
        Self {
            source: Arc::clone(source),
            start: span.start,
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// Line and column, from 1; columns count characters.
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.start).unwrap_or_default();
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count());
        (line.saturating_add(1), column.saturating_add(1))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start && self.path() == other.path()
    }
}

impl Eq for Place {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.path().display())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

/// A test says what can't be: where, what is wrong and what would be right.
///
/// Prints as `fw.test.toml:12:5: no field "pidd" in struct event: did you mean "pid"?`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileError {
    /// Where; `None` of values that Rust code gave.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: String,
    /// What helps.
    pub help: Option<String>,
}

impl FileError {
    pub(crate) fn new(place: Option<Place>, what: impl Into<String>) -> Self {
        Self {
            place,
            what: what.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// One about a name that is not known; `known` are those that are.
    pub(crate) fn unknown<'n>(
        place: Option<Place>,
        kind: &str,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let near = skep::abi::near_names(name, known.iter().copied());
        let quoted = |names: &[String]| {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        };
        let error = Self::new(place, format!("no {kind} `{name}`"));
        match (near.as_slice(), known.len()) {
            ([], 0) => error.help(format!("there is no {kind} at all")),
            ([], 1..=16) => {
                let all: Vec<_> = known.iter().map(|name| (*name).to_owned()).collect();
                error.help(format!("known: {}", quoted(&all)))
            }
            ([], _) => error,
            (near, _) => error.help(format!("did you mean {}?", quoted(near))),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)?;
        match &self.help {
            Some(help) => write!(f, ": {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FileError {}

/// A result whose error names its place.
pub(crate) type Parsed<T> = Result<T, FileError>;
