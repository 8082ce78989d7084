//! The program's own sources, as opposed to the library's and core's.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

/// A place in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rust) struct Place {
    /// The path, as BTF has it.
    pub(in crate::rust) file: String,
    pub(in crate::rust) line: u32,
    pub(in crate::rust) column: u32,
}

/// Files of the program's own.
#[derive(Debug, Default)]
pub(in crate::rust) struct Own {
    files: HashSet<PathBuf>,
    /// What was asked for already: where it is of these, its lines.
    texts: RefCell<HashMap<String, Option<Vec<String>>>>,
}

impl Own {
    /// Of these files.
    pub(in crate::rust) fn new<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let files = files
            .into_iter()
            .filter_map(|file| file.canonicalize().ok());
        Self {
            files: files.collect(),
            texts: RefCell::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether a file is one of them.
    pub(super) fn has(&self, file: &str) -> bool {
        self.lines(file, |lines| lines.is_some())
    }

    /// A line's text; empty if it can't be read.
    pub(super) fn text(&self, place: &Place) -> String {
        self.lines(&place.file, |lines| {
            let index = usize::try_from(place.line)
                .ok()
                .and_then(|line| line.checked_sub(1));
            let found = lines.zip(index).and_then(|(lines, index)| lines.get(index));
            found.cloned().unwrap_or_default()
        })
    }

    fn lines<T>(&self, file: &str, take: impl FnOnce(Option<&[String]>) -> T) -> T {
        let mut texts = self.texts.borrow_mut();
        if !texts.contains_key(file) {
            let path = Path::new(file).canonicalize().ok();
            let own = path.filter(|path| self.files.contains(path));
            let lines = own.map(|path| {
                let text = fs::read_to_string(path).unwrap_or_default();
                text.lines().map(str::to_owned).collect()
            });
            texts.insert(file.to_owned(), lines);
        }
        take(texts.get(file).and_then(Option::as_deref))
    }
}
