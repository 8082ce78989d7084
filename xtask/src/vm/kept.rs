//! What the newest runs said of the tests of hooks, a file a kernel in `target/vm`: the table of hooks
//! can be written of runs at different times, and names them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::results::Results;
use crate::Result;

/// What is kept of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// `6.12.117+deb12-cloud-amd64`.
    pub(super) release: String,
    /// By suite and test: the run that it is of, and the test program's line.
    tests: BTreeMap<(String, String), (String, String)>,
}

/// Between the fields of a line; nothing of what tests are called or lack has one in it.
const TAB: char = '\t';

impl Kept {
    /// What is kept of a kernel in this folder; nothing yet, if there is no file.
    pub(super) fn read(folder: &Path, version: &str) -> Result<Self> {
        let file = file(folder, version);
        match fs::read_to_string(&file) {
            Ok(text) => {
                Self::parse(&text).ok_or_else(|| format!("{}: damaged", file.display()).into())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}", file.display()).into()),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let release = lines.next()?.to_owned();
        let mut tests = BTreeMap::new();
        for line in lines {
            let mut fields = line.split(TAB).map(str::to_owned);
            let mut next = || fields.next();
            tests.insert((next()?, next()?), (next()?, next()?));
        }
        Some(Self { release, tests })
    }

    pub(super) fn write(&self, folder: &Path, version: &str) -> Result<()> {
        let mut text = format!("{}\n", self.release);
        for ((suite, test), (run, line)) in &self.tests {
            text += &format!("{suite}\t{test}\t{run}\t{line}\n");
        }
        Ok(fs::write(file(folder, version), text)?)
    }

    /// What a run said takes the place of what the runs before said of the same tests; of a suite that
    /// ran as a whole, of all its tests, since some of those may be gone.
    pub(super) fn take(
        &mut self,
        said: BTreeMap<(String, String), String>,
        run: &str,
        whole: &[&str],
    ) {
        self.tests
            .retain(|(suite, _), _| !whole.contains(&suite.as_str()));
        let said = said.into_iter();
        self.tests
            .extend(said.map(|(test, line)| (test, (run.to_owned(), line))));
    }

    /// The runs that it is of.
    pub(super) fn runs(&self) -> BTreeSet<&str> {
        self.tests.values().map(|(run, _)| run.as_str()).collect()
    }

    /// Says it all again.
    pub(super) fn tell(&self, version: &str, results: &mut Results) {
        for ((suite, _), (_, line)) in &self.tests {
            results.said(version, suite, line);
        }
    }
}

fn file(folder: &Path, version: &str) -> PathBuf {
    folder.join(format!("{version}.hooks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[(&str, &str)]) -> BTreeMap<(String, String), String> {
        let lines = lines.iter();
        lines
            .map(|(test, end)| {
                let line = format!("test [xdp] {test} ... {end}");
                (("skep".to_owned(), (*test).to_owned()), line)
            })
            .collect()
    }

    #[test]
    fn newer_runs_take_the_place_of_older_ones() {
        let mut kept = Kept::default();
        kept.take(said(&[("a", "FAILED"), ("b", "ok")]), "monday", &["skep"]);
        kept.take(said(&[("a", "ok")]), "tuesday", &[]);
        assert_eq!(
            kept.runs().into_iter().collect::<Vec<_>>(),
            ["monday", "tuesday"]
        );
        let mut results = Results::of(&["6.1".to_owned()]);
        kept.tell("6.1", &mut results);
        assert_eq!(results.cells().rows, [("xdp", vec!["ok".to_owned()])]);
        assert_eq!(results.of_hooks("6.1").len(), 2);
        // `b` is gone from the suite.
        kept.take(said(&[("a", "ok")]), "wednesday", &["skep"]);
        assert_eq!(kept.runs().into_iter().collect::<Vec<_>>(), ["wednesday"]);
    }

    #[test]
    fn it_comes_back_as_it_was_written() {
        let mut kept = Kept {
            release: "6.1.0-49-cloud-amd64".into(),
            ..Kept::default()
        };
        kept.take(
            said(&[("a", "ignored (lacks Linux 6.6)"), ("b", "ok")]),
            "2026-11-29 11:20 UTC",
            &[],
        );
        let folder = std::env::temp_dir().join(format!("xtask-kept-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let written = kept.write(&folder, "6.1");
        let (read, other) = (Kept::read(&folder, "6.1"), Kept::read(&folder, "6.12"));
        fs::remove_dir_all(&folder).unwrap();
        written.unwrap();
        assert_eq!(read.unwrap(), kept);
        assert_eq!(other.unwrap(), Kept::default());
        assert_eq!(Kept::parse("6.1\nskep\tx"), None);
    }
}
