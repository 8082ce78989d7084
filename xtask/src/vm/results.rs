//! What came of tests on kernels: read from what the test programs print, counted, and listed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Failed,
    /// Skipped, and why.
    Skipped(String),
}

/// All that came of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Results {
    /// By kernel, in the order in which they ran.
    kernels: Vec<(String, Kernel)>,
    /// By hook and kernel.
    hooks: BTreeMap<(String, String), End>,
}

#[derive(Debug, Clone, Default)]
struct Kernel {
    /// By suite and test.
    tests: BTreeMap<(String, String), End>,
    /// What went wrong outside of a test.
    broken: Vec<String>,
    /// Why the kernel could not be had.
    lacks: Option<String>,
}

impl Results {
    fn kernel(&mut self, version: &str) -> &mut Kernel {
        let place = self.kernels.iter().position(|(name, _)| name == version);
        let place = place.unwrap_or_else(|| {
            self.kernels.push((version.to_owned(), Kernel::default()));
            self.kernels.len() - 1
        });
        &mut self.kernels[place].1
    }

    /// A kernel could not be had.
    pub(crate) fn lacks(&mut self, version: &str, why: &str) {
        self.kernel(version).lacks = Some(why.to_owned());
    }

    /// A line of a suite's output.
    pub(crate) fn said(&mut self, version: &str, suite: &str, line: &str) {
        if let Some((test, hook, end)) = test(line) {
            if let Some(hook) = hook {
                let cell = (hook.to_owned(), version.to_owned());
                match self.hooks.get(&cell) {
                    // One failure is a failure of the hook, and a skip says less than a pass.
                    Some(End::Failed) => {}
                    Some(End::Ok) if end != End::Failed => {}
                    _ => {
                        self.hooks.insert(cell, end.clone());
                    }
                }
            }
            let key = (suite.to_owned(), test.to_owned());
            self.kernel(version).tests.insert(key, end);
        }
    }

    /// A suite ended.
    pub(crate) fn exited(&mut self, version: &str, suite: &str, code: i32) {
        let kernel = self.kernel(version);
        let mut ends = kernel.tests.iter().filter(|((of, _), _)| of == suite);
        let failed = ends.any(|(_, end)| *end == End::Failed);
        let any = kernel.tests.keys().any(|(of, _)| of == suite);
        match code {
            0 if any => {}
            0 => kernel.broken.push(format!("{suite}: no test ran")),
            _ if failed => {}
            _ => kernel.broken.push(format!("{suite} ended with {code}")),
        }
    }

    /// Something went wrong outside of a test.
    pub(crate) fn broken(&mut self, version: &str, suite: &str, text: &str) {
        let text = match suite {
            "" => text.to_owned(),
            suite => format!("{suite}: {text}"),
        };
        self.kernel(version).broken.push(text);
    }

    /// How many tests failed, and what else went wrong.
    pub(crate) fn failures(&self) -> usize {
        let of = |kernel: &Kernel| {
            let failed = kernel.tests.values().filter(|end| **end == End::Failed);
            failed.count() + kernel.broken.len()
        };
        self.kernels.iter().map(|(_, kernel)| of(kernel)).sum()
    }
}

/// What a line of a test program tells of a test: its name, its hook if it has one, and its end, as
/// in `test [kprobe] hooks::kprobe ... ok`.
fn test(line: &str) -> Option<(&str, Option<&str>, End)> {
    let (name, end) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let (hook, name) = match name
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        Some((hook, name)) => (Some(hook), name),
        None => (None, name),
    };
    let end = match end {
        "ok" => End::Ok,
        "FAILED" => End::Failed,
        _ => {
            let why = end.strip_prefix("ignored")?.trim();
            let why = why.strip_prefix('(').and_then(|why| why.strip_suffix(')'));
            End::Skipped(why.unwrap_or_default().to_owned())
        }
    };
    Some((name.trim(), hook, end))
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (version, kernel) in &self.kernels {
            if let Some(why) = &kernel.lacks {
                writeln!(f, "{version:<5} not run: {why}")?;
                continue;
            }
            let count = |is: fn(&End) -> bool| kernel.tests.values().filter(|end| is(end)).count();
            writeln!(
                f,
                "{version:<5} {} passed, {} failed, {} skipped",
                count(|end| *end == End::Ok),
                count(|end| *end == End::Failed),
                count(|end| matches!(end, End::Skipped(_))),
            )?;
            for ((suite, test), end) in &kernel.tests {
                if *end == End::Failed {
                    writeln!(f, "      FAILED {suite} {test}")?;
                }
            }
            for text in &kernel.broken {
                writeln!(f, "      {text}")?;
            }
        }
        self.table(f)
    }
}

impl Results {
    /// Hooks by kernels, and below it why hooks were skipped.
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hooks: BTreeSet<&str> = self.hooks.keys().map(|(hook, _)| hook.as_str()).collect();
        if hooks.is_empty() {
            return Ok(());
        }
        let ran = self
            .kernels
            .iter()
            .filter(|(_, kernel)| kernel.lacks.is_none());
        let ran: Vec<&str> = ran.map(|(version, _)| version.as_str()).collect();
        let width = hooks
            .iter()
            .map(|hook| hook.len())
            .max()
            .unwrap_or(0)
            .max(4);
        let mut why: Vec<&str> = Vec::new();
        let mut rows = vec![(
            "hook",
            ran.iter().map(|version| (*version).to_owned()).collect(),
        )];
        for hook in hooks {
            let cells = ran.iter().map(|version| {
                match self.hooks.get(&(hook.to_owned(), (*version).to_owned())) {
                    Some(End::Ok) => "ok".to_owned(),
                    Some(End::Failed) => "FAILED".to_owned(),
                    // Not there yet in this kernel.
                    Some(End::Skipped(text)) => match text.strip_prefix("lacks Linux ") {
                        Some(since) => since.to_owned(),
                        None => {
                            let place = why.iter().position(|known| *known == text);
                            let place = place.unwrap_or_else(|| {
                                why.push(text);
                                why.len() - 1
                            });
                            format!("({})", place + 1)
                        }
                    },
                    None => "-".to_owned(),
                }
            });
            rows.push((hook, cells.collect::<Vec<String>>()));
        }
        for (hook, cells) in rows {
            let mut line = format!("{hook:<width$}");
            for cell in cells {
                line += &format!("  {cell:<6}");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "ok: fired; a version: the kernel that has it first")?;
        for (number, text) in why.iter().enumerate() {
            writeln!(f, "({}) {text}", number + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_say_is_counted() {
        let mut results = Results::default();
        for line in [
            "running 4 tests",
            "test maps::rings           ... ok",
            "test maps::arenas ... ignored (lacks Linux 6.9)",
            "test [fentry] hooks::fentry ... ok",
            "test [kprobe]   hooks::kprobe ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
        ] {
            results.said("5.10", "skep", line);
        }
        results.exited("5.10", "skep", 101);
        results.said(
            "6.12",
            "skep",
            "test [fentry] hooks::fentry ... ignored (lacks Linux 6.13)",
        );
        assert_eq!(results.failures(), 1);
        results.exited("5.10", "skep-linux", 0);
        results.broken("5.10", "skep", "hung");
        results.lacks("7.3", "no network");
        let text = results.to_string();
        assert!(
            text.contains("5.10  2 passed, 1 failed, 1 skipped"),
            "{text}"
        );
        assert!(text.contains("FAILED skep hooks::kprobe"), "{text}");
        assert!(text.contains("skep-linux: no test ran"), "{text}");
        let table = "hook    5.10    6.12\nfentry  ok      6.13\nkprobe  FAILED  -\n";
        assert!(text.contains(table), "{text}");
        assert!(text.contains("7.3   not run: no network"), "{text}");
        assert_eq!(results.failures(), 3);
    }
}
