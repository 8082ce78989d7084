//! Runs tests one by one, and fails those that leave something behind.

use std::{
    fmt, fs,
    io::Write as _,
    panic,
    process::ExitCode,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use skep_abi::KernelVersion;
use skep_host::Host;

use crate::{Lacking, Outcome, Snapshot, Stop, leaks::GRACE, prebuilt};

/// The file that skips are also written to, for `cargo xtask test` to list.
const SKIP_LOG: &str = "SKEP_SKIP_LOG";

/// The host of the test that runs now.
static HOST: RwLock<Option<&'static dyn Host>> = RwLock::new(None);
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// A test: a name, `group::what_is_so`, and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    name: &'static str,
    hook: &'static str,
    body: fn() -> Outcome,
}

impl Test {
    /// A test that needs root, as all that load programs do.
    pub fn new(name: &'static str, body: fn() -> Outcome) -> Self {
        let hook = "";
        Self { name, hook, body }
    }

    /// The same test, which attaches to a hook of this name, fires it and sees what came: a row of
    /// the table that `cargo xtask vm` makes.
    pub fn of_hook(self, hook: &'static str) -> Self {
        Self { hook, ..self }
    }
}

/// A host to run tests on.
#[derive(Debug, Clone, Copy)]
pub struct On {
    /// What goes before the tests' names; empty for a suite of one host.
    pub name: &'static str,
    /// Makes the host, or gives the one that was made. Not asked for a mere listing. What the host
    /// opens for itself and keeps must be open when it is given.
    pub host: fn() -> &'static dyn Host,
    /// Its tests are skipped without root.
    pub needs_root: bool,
}

/// The host that the test runs on.
///
/// # Panics
/// Outside [`run`] and [`run_on`].
pub fn host() -> &'static dyn Host {
    let host = *HOST.read().unwrap_or_else(PoisonError::into_inner);
    host.expect("a test that `skep_testing::run` runs")
}

/// Skips unless the host is, or stands for, `major.minor` or newer.
///
/// # Errors
/// Skips.
pub fn needs_kernel(major: u8, minor: u8) -> Outcome {
    needs_kernel_of(host(), major, minor)
}

/// The same of another host than the test's own: where a test does one thing on two.
///
/// # Errors
/// Skips.
pub fn needs_kernel_of(host: &dyn Host, major: u8, minor: u8) -> Outcome {
    let needs = KernelVersion::new(major, minor);
    if host.info().version < needs && !prebuilt::is_preparing() {
        Err(Stop::Skip(Lacking::Kernel(needs)))
    } else {
        Ok(())
    }
}

/// Skips unless the kernel is built with `option`.
///
/// # Errors
/// Skips; fails if the kernel's configuration can't be read.
pub fn needs_option(option: &'static str) -> Outcome {
    match host().config(option)? {
        Some(value) if value == "y" || value == "m" => Ok(()),
        _ if prebuilt::is_preparing() => Ok(()),
        _ => Err(Stop::Skip(Lacking::Option(option))),
    }
}

/// Runs all tests, one at a time, and says how many were skipped. `suite` goes before their
/// names where skips are listed.
///
/// `make_host` is asked once, and not for a mere listing. What the host opens for itself and
/// keeps must be open when it is given.
pub fn run(
    suite: &'static str,
    make_host: fn() -> &'static dyn Host,
    tests: Vec<Test>,
) -> ExitCode {
    let host = On {
        name: "",
        host: make_host,
        needs_root: true,
    };
    run_on(suite, &[host], &tests)
}

/// Runs every test on every host: on `kernel`, a test `maps::rings` is `kernel::maps::rings`.
pub fn run_on(suite: &'static str, hosts: &[On], tests: &[Test]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Leaks are told by what is there before and after a test.
    arguments.test_threads = Some(1);
    let trials = hosts.iter().flat_map(|on| {
        tests.iter().map(move |test| {
            let name = match on.name {
                "" => test.name.to_owned(),
                host => format!("{host}::{}", test.name),
            };
            let (on, test, shown) = (*on, *test, name.clone());
            let trial = Trial::ignorable_test(name, move || guarded(suite, on, &shown, test));
            trial.with_kind(test.hook)
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if !arguments.list {
        println!(
            "{} skipped for what this machine lacks",
            SKIPPED.load(Ordering::Relaxed)
        );
    }
    conclusion.exit_code()
}

/// Says, on stderr and in the file that `SKEP_SKIP_LOG` names, what a test lacked.
pub fn skip(suite: &str, test: &str, lacking: &Lacking) {
    announce(&format!("SKIP {suite}::{test}: {lacking}\n"));
}

fn announce(line: &str) {
    eprint!("{line}");
    if let Some(path) = std::env::var_os(SKIP_LOG) {
        let log = fs::OpenOptions::new().create(true).append(true).open(path);
        // In one write: other tests append to it at the same time. Without the file the line
        // above has to do.
        let _ = log.and_then(|mut log| log.write_all(line.as_bytes()));
    }
}

/// The same for a test of the standard harness, by the names of its crate and thread: `cargo
/// test` sets them.
pub fn lacks(what: impl fmt::Display) {
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    let thread = std::thread::current();
    announce(&format!(
        "SKIP {package}::{}: lacks {what}\n",
        thread.name().unwrap_or("?")
    ));
}

/// A test with the checks around it.
fn guarded(suite: &str, on: On, name: &str, test: Test) -> Result<Completion, Failed> {
    let skipped = |lacking: &Lacking| {
        SKIPPED.fetch_add(1, Ordering::Relaxed);
        skip(suite, name, lacking);
        Ok(Completion::ignored_with(lacking))
    };
    if on.needs_root && !is_root() && !prebuilt::is_preparing() {
        return skipped(&Lacking::Root);
    }
    *HOST.write().unwrap_or_else(PoisonError::into_inner) = Some((on.host)());
    let before = Snapshot::take(host());
    let outcome = panic::catch_unwind(test.body);
    let leaks = before.leaks(host(), GRACE);
    let left = if leaks.is_empty() {
        String::new()
    } else {
        format!("left behind: {}", leaks.join(", "))
    };
    match outcome {
        Err(payload) => {
            if !left.is_empty() {
                eprintln!("{name}: {left}");
            }
            panic::resume_unwind(payload)
        }
        Ok(Err(Stop::Fail(text))) if left.is_empty() => Err(Failed::from(text)),
        Ok(Err(Stop::Fail(text))) => Err(Failed::from(format!("{text}\n{left}"))),
        _ if !left.is_empty() => Err(Failed::from(left)),
        Ok(Err(Stop::Skip(lacking))) => skipped(&lacking),
        Ok(Ok(())) => Ok(Completion::Completed),
    }
}

/// Whether the effective user is root.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
