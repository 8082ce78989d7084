//! What came of tests on kernels: read from what the test programs print, counted, and listed.

use std::{collections::BTreeMap, fmt};

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
        if let Some((test, end)) = test(line) {
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

/// The test that a line of a test program tells of: `test maps::rings ... ok`.
fn test(line: &str) -> Option<(&str, End)> {
    let (name, end) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let end = match end {
        "ok" => End::Ok,
        "FAILED" => End::Failed,
        _ => {
            let why = end.strip_prefix("ignored")?;
            End::Skipped(why.trim_start_matches(", ").to_owned())
        }
    };
    Some((name.trim_end(), end))
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
            "running 3 tests",
            "test maps::rings           ... ok",
            "test maps::arenas ... ignored, lacks Linux 6.9",
            "test hooks::kprobe ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
        ] {
            results.said("5.10", "skep", line);
        }
        results.exited("5.10", "skep", 101);
        assert_eq!(results.failures(), 1);
        results.exited("5.10", "skep-linux", 0);
        results.broken("5.10", "skep", "hung");
        results.lacks("7.3", "no network");
        let text = results.to_string();
        assert!(
            text.contains("5.10  1 passed, 1 failed, 1 skipped"),
            "{text}"
        );
        assert!(text.contains("FAILED skep hooks::kprobe"), "{text}");
        assert!(text.contains("skep-linux: no test ran"), "{text}");
        assert!(text.contains("7.3   not run: no network"), "{text}");
        assert_eq!(results.failures(), 3);
    }
}
