//! What came of tests on kernels: read from what the test programs print, counted, and listed.

use std::{collections::BTreeMap, fmt};

use skep_abi::KernelVersion;

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

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ended {
    /// The hook that it fires, if it is one of those.
    hook: Option<String>,
    end: End,
}

#[derive(Debug, Clone, Default)]
struct Kernel {
    /// By suite and test.
    tests: BTreeMap<(String, String), Ended>,
    /// What went wrong outside of a test.
    broken: Vec<String>,
    /// Why the kernel could not be had.
    lacks: Option<String>,
    /// Its configuration, as text.
    config: String,
    /// Every skip counts: it is no test kernel.
    excused: bool,
}

/// What tests may lack on the machines of all kernels, beside versions and options: how the reasons
/// begin, and what is behind it.
const EXCUSES: &[&str] = &[
    "a C compiler",
    "a compiler",
    "a machine that is not emulated",
    "a second CPU",
    "a test kernel's machine with a second CPU",
    "hardware counters",
    "the library's source",
    "the program `bpftool`",
];

impl Kernel {
    /// Whether a test may be skipped for this reason on a kernel of this version: one that has what
    /// the test needs must run it.
    fn excuses(&self, version: &str, why: &str) -> bool {
        if self.excused {
            return true;
        }
        // What is behind it makes it another of that version.
        let version = version.split(' ').next().unwrap_or(version);
        let Some(lacking) = why.strip_prefix("lacks ") else {
            return false;
        };
        // A version, or something that came with one: `bpf_rcu_read_lock (6.2)`.
        let with = lacking.strip_suffix(')');
        let with = with.and_then(|rest| Some(rest.rsplit_once(" (")?.1));
        if let Some(since) = lacking.strip_prefix("Linux ").or(with) {
            let numbers = (since.parse(), version.parse::<KernelVersion>());
            return matches!(numbers, (Ok(since), Ok(version)) if version < since);
        }
        // Of what kernels say that are too old.
        if let Some(since) = lacking.strip_prefix("a kernel before Linux ") {
            let numbers = (since.parse(), version.parse::<KernelVersion>());
            return matches!(numbers, (Ok(since), Ok(version)) if version >= since);
        }
        let option = lacking.split(' ').next().unwrap_or_default();
        if option.starts_with("CONFIG_") {
            let set = |line: &str| {
                line.split_once('=')
                    .is_some_and(|(name, value)| name == option && value != "n")
            };
            return !self.config.lines().any(set);
        }
        EXCUSES.iter().any(|excuse| lacking.starts_with(excuse))
    }

    /// The tests that were skipped without a reason that counts here.
    fn unexcused(&self, version: &str) -> Vec<(&(String, String), &str)> {
        let skipped = self
            .tests
            .iter()
            .filter_map(|(test, ended)| match &ended.end {
                End::Skipped(why) => Some((test, why.as_str())),
                _ => None,
            });
        skipped
            .filter(|(_, why)| !self.excuses(version, why))
            .collect()
    }

    fn count(&self, is: fn(&End) -> bool) -> usize {
        self.tests.values().filter(|ended| is(&ended.end)).count()
    }
}

impl Results {
    /// Of a run on these kernels, which are shown in this order.
    pub(crate) fn of(kernels: &[String]) -> Self {
        Self {
            kernels: kernels
                .iter()
                .map(|version| (version.clone(), Kernel::default()))
                .collect(),
        }
    }

    /// A kernel's configuration.
    pub(crate) fn configured(&mut self, version: &str, config: &str) {
        config.clone_into(&mut self.kernel(version).config);
    }

    /// What a kernel lacks is no failure of its tests.
    pub(crate) fn excused(&mut self, version: &str) {
        self.kernel(version).excused = true;
    }

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
            let key = (suite.to_owned(), test.to_owned());
            let hook = hook.map(str::to_owned);
            self.kernel(version).tests.insert(key, Ended { hook, end });
        }
    }

    /// What a run said of the tests of hooks, by suite and test, in the words of the test programs: a
    /// skip that does not count is a failure.
    pub(crate) fn of_hooks(&self, version: &str) -> BTreeMap<(String, String), String> {
        let Some((_, kernel)) = self.kernels.iter().find(|(name, _)| name == version) else {
            return BTreeMap::new();
        };
        let of_hooks = kernel.tests.iter().filter_map(|(key, ended)| {
            let end = match &ended.end {
                End::Ok => "ok".to_owned(),
                End::Skipped(why) if kernel.excuses(version, why) => format!("ignored ({why})"),
                End::Skipped(_) | End::Failed => "FAILED".to_owned(),
            };
            let line = format!("test [{}] {} ... {end}", ended.hook.as_ref()?, key.1);
            Some((key.clone(), line))
        });
        of_hooks.collect()
    }

    /// A suite ended.
    pub(crate) fn exited(&mut self, version: &str, suite: &str, code: i32) {
        let kernel = self.kernel(version);
        let mut ends = kernel.tests.iter().filter(|((of, _), _)| of == suite);
        let failed = ends.any(|(_, ended)| ended.end == End::Failed);
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
        let of = |(version, kernel): &(String, Kernel)| {
            let failed = kernel.count(|end| *end == End::Failed);
            failed + kernel.unexcused(version).len() + kernel.broken.len()
        };
        self.kernels.iter().map(of).sum()
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
            writeln!(
                f,
                "{version:<5} {} passed, {} failed, {} skipped",
                kernel.count(|end| *end == End::Ok),
                kernel.count(|end| *end == End::Failed),
                kernel.count(|end| matches!(end, End::Skipped(_))),
            )?;
            for ((suite, test), ended) in &kernel.tests {
                if ended.end == End::Failed {
                    writeln!(f, "      FAILED {suite} {test}")?;
                }
            }
            for ((suite, test), why) in kernel.unexcused(version) {
                writeln!(
                    f,
                    "      SKIPPED {suite} {test}: {why}, and should have run"
                )?;
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
        let Cells { kernels, rows, why } = self.cells();
        if rows.is_empty() {
            return Ok(());
        }
        let width = rows.iter().map(|(hook, _)| hook.len()).max();
        let width = width.unwrap_or(0).max(4);
        let head = ("hook", kernels.into_iter().map(str::to_owned).collect());
        for (hook, cells) in [head].iter().chain(&rows) {
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

    /// Hooks by the kernels that ran.
    pub(crate) fn cells<'a>(&'a self) -> Cells<'a> {
        let ran = self
            .kernels
            .iter()
            .filter(|(_, kernel)| kernel.lacks.is_none());
        let mut kernels = Vec::new();
        let mut hooks: BTreeMap<&str, BTreeMap<&str, &End>> = BTreeMap::new();
        for (version, kernel) in ran {
            kernels.push(version.as_str());
            for Ended { hook, end } in kernel.tests.values() {
                let Some(hook) = hook else { continue };
                let row = hooks.entry(hook).or_default();
                let cell = row.entry(version.as_str()).or_insert(end);
                // One failure is a failure of the hook, and a skip says less than a pass.
                match (&**cell, end) {
                    (End::Failed, _) | (End::Ok, End::Ok | End::Skipped(_)) => {}
                    _ => *cell = end,
                }
            }
        }
        let mut why: Vec<&str> = Vec::new();
        let mut cell = |end: Option<&'a End>| match end {
            None => UNTRIED.to_owned(),
            Some(End::Ok) => "ok".to_owned(),
            Some(End::Failed) => FAILED.to_owned(),
            // Not there yet in this kernel.
            Some(End::Skipped(text)) => match text.strip_prefix("lacks Linux ") {
                Some(since) => since.to_owned(),
                None => {
                    let place = why.iter().position(|known| known == text);
                    let place = place.unwrap_or_else(|| {
                        why.push(text);
                        why.len() - 1
                    });
                    format!("({})", place + 1)
                }
            },
        };
        let rows = hooks
            .into_iter()
            .map(|(hook, row)| {
                let cells = kernels
                    .iter()
                    .map(|version| cell(row.get(version).copied()));
                (hook, cells.collect())
            })
            .collect();
        Cells { kernels, rows, why }
    }
}

/// Hooks by kernels.
pub(crate) struct Cells<'a> {
    pub(crate) kernels: Vec<&'a str>,
    /// A hook, and a cell a kernel: `ok`, a version that has it first, or `(n)` for a reason.
    pub(crate) rows: Vec<(&'a str, Vec<String>)>,
    /// The reasons.
    pub(crate) why: Vec<&'a str>,
}

impl Cells<'_> {
    /// Whether every hook was tried on every kernel, and none failed.
    pub(crate) fn is_whole(&self) -> bool {
        let mut cells = self.rows.iter().flat_map(|(_, row)| row);
        !self.rows.is_empty() && !cells.any(|cell| cell == FAILED || cell == UNTRIED)
    }
}

pub(crate) const FAILED: &str = "FAILED";
pub(crate) const UNTRIED: &str = "-";

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

    #[test]
    fn what_should_have_run_is_a_failure() {
        let mut results = Results::of(&["6.1".to_owned()]);
        results.configured("6.1", "CONFIG_BPF=y\n# CONFIG_FPROBE is not set\n");
        for (why, counts) in [
            ("lacks Linux 6.6", true),
            ("lacks Linux 5.15", false),
            ("lacks bpf_rcu_read_lock (6.2)", true),
            ("lacks bpf_loop (5.17)", false),
            ("lacks a kernel before Linux 6.1", true),
            ("lacks a kernel before Linux 6.2", false),
            ("lacks CONFIG_FPROBE", true),
            ("lacks CONFIG_BPF", false),
            ("lacks CONFIG_HZ in the kernel's configuration", true),
            ("lacks a second CPU", true),
            ("lacks root", false),
        ] {
            results.said("6.1", "skep", &format!("test x ... ignored ({why})"));
            assert_eq!(results.failures() == 0, counts, "{why}");
            let here = &mut Results::default();
            here.excused("6.18 (here)");
            here.said(
                "6.18 (here)",
                "skep",
                &format!("test x ... ignored ({why})"),
            );
            assert_eq!(here.failures(), 0, "{why}");
        }
        let text = results.to_string();
        assert!(
            text.contains("SKIPPED skep x: lacks root, and should have run"),
            "{text}"
        );
    }
}
