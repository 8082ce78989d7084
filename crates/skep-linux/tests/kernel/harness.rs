//! Runs tests one by one, and fails those that leave something behind.

use std::{
    collections::BTreeMap,
    fmt, fs, panic,
    process::ExitCode,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use skep_abi::KernelVersion;
use skep_host::{Host, ObjectId};
use skep_linux::LinuxHost;

/// What a test lacks on this machine.
#[derive(Debug)]
pub(crate) enum Lacking {
    /// A capability: run as root.
    Root,
    /// A newer kernel.
    Kernel(KernelVersion),
    /// A build option of the kernel.
    Option(&'static str),
    /// Anything else.
    Thing(&'static str),
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => write!(f, "lacks root"),
            Self::Kernel(version) => write!(f, "lacks Linux {version}"),
            Self::Option(option) => write!(f, "lacks {option}"),
            Self::Thing(thing) => write!(f, "lacks {thing}"),
        }
    }
}

/// How a test ends when it does not pass.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It can't run here.
    Skip(Lacking),
    /// It failed.
    Fail(String),
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self::Fail(text)
    }
}

/// What a test gives.
pub(crate) type Outcome = Result<(), Stop>;

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

static HOST: LazyLock<Arc<LinuxHost>> = LazyLock::new(|| {
    let host = LinuxHost::new().expect("a kernel that says its version");
    // What the host keeps open for itself is no leak of the first test that needs it.
    let _ = host.tracepoints();
    let _ = skep_linux::report(&host);
    Arc::new(host)
});

/// The host that all tests share.
pub(crate) fn host() -> &'static LinuxHost {
    &HOST
}

/// The name that all programs and maps of this process begin with.
pub(crate) fn name(rest: &str) -> String {
    format!("t{}_{rest}", std::process::id())
}

/// Skips unless the running kernel is `major.minor` or newer.
pub(crate) fn needs_kernel(major: u8, minor: u8) -> Outcome {
    let needs = KernelVersion::new(major, minor);
    if host().info().version < needs {
        Err(Stop::Skip(Lacking::Kernel(needs)))
    } else {
        Ok(())
    }
}

/// Skips unless the kernel is built with `option`.
pub(crate) fn needs_option(option: &'static str) -> Outcome {
    match host().config(option)? {
        Some(value) if value == "y" || value == "m" => Ok(()),
        _ => Err(Stop::Skip(Lacking::Option(option))),
    }
}

/// A test with the checks around it.
pub(crate) fn trial(name: &'static str, test: fn() -> Outcome) -> Trial {
    Trial::ignorable_test(name, move || {
        // SAFETY: asks a number.
        #[expect(unsafe_code, reason = "whether this is root")]
        if unsafe { libc::geteuid() } != 0 {
            return skip(&Lacking::Root);
        }
        LazyLock::force(&HOST);
        let before = descriptors();
        let outcome = panic::catch_unwind(test);
        let leaks = leaks(&before);
        match outcome {
            Err(payload) => panic::resume_unwind(payload),
            Ok(Err(Stop::Fail(text))) => Err(Failed::from(text)),
            _ if !leaks.is_empty() => Err(Failed::from(format!("left behind: {leaks}"))),
            Ok(Err(Stop::Skip(lacking))) => skip(&lacking),
            Ok(Ok(())) => Ok(Completion::Completed),
        }
    })
}

fn skip(lacking: &Lacking) -> Result<Completion, Failed> {
    SKIPPED.fetch_add(1, Ordering::Relaxed);
    Ok(Completion::ignored_with(lacking))
}

/// The open descriptors of this process and what they are.
fn descriptors() -> BTreeMap<i32, String> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            // The listing's own descriptor is gone by now, and has no target.
            let target = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
            Some((number, target.display().to_string()))
        })
        .filter(|(_, target)| !target.ends_with("/fd"))
        .collect()
}

/// Descriptors, programs and maps of this process that a test left.
fn leaks(before: &BTreeMap<i32, String>) -> String {
    let mut leaks: Vec<String> = descriptors()
        .into_iter()
        .filter(|(number, target)| before.get(number) != Some(target))
        .map(|(number, target)| format!("descriptor {number} of {target}"))
        .collect();
    // The kernel frees programs and maps a little after their last user is gone.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let objects = objects();
        if objects.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            leaks.extend(objects);
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    leaks.join(", ")
}

/// The programs and maps in the kernel that carry this process's name.
fn objects() -> Vec<String> {
    let prefix = name("");
    let host = host();
    let mut found = Vec::new();
    let mut id = ObjectId::Program(0);
    while let Ok(Some(next)) = host.next_id(id) {
        id = next;
        if let ObjectId::Program(number) = id
            && let Ok(Some(program)) = host.prog_by_id(number)
            && let Ok(info) = host.prog_info(&program)
            && info.name.starts_with(&prefix)
        {
            found.push(format!("program `{}`", info.name));
        }
    }
    let mut id = ObjectId::Map(0);
    while let Ok(Some(next)) = host.next_id(id) {
        id = next;
        if let ObjectId::Map(number) = id
            && let Ok(Some(map)) = host.map_by_id(number)
            && let Ok(info) = host.map_info(&map)
            && info.name.starts_with(&prefix)
        {
            found.push(format!("map `{}`", info.name));
        }
    }
    found
}

/// Runs all tests, one at a time, and says how many were skipped.
pub(crate) fn run(trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let listing = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !listing {
        println!(
            "{} skipped for what this machine lacks",
            SKIPPED.load(Ordering::Relaxed)
        );
    }
    conclusion.exit_code()
}
