//! Starting `skep run`, waiting until it has attached, ending it, and what it printed.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use skep::linux::LinuxHost;
use skep_testing::{Outcome, Stop, ensure, eventually};
use tempfile::TempDir;

/// What a run may take at most: only a hang takes it.
const PATIENCE: Duration = Duration::from_secs(60);

static HOST: LazyLock<LinuxHost> =
    LazyLock::new(|| LinuxHost::new().expect("a kernel that says its version"));

/// The host, for the harness.
pub(crate) fn boundary() -> &'static dyn skep::boundary::Host {
    &*HOST
}

/// What an example is written in: each is there in both languages, and prints the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Rust,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::C, Self::Rust];

    /// An example of the project.
    pub(crate) fn example(self, name: &str) -> PathBuf {
        let ending = match self {
            Self::C => "c",
            Self::Rust => "rs",
        };
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../examples")
            .join(format!("{name}.bpf.{ending}"))
    }

    /// Skips where it can't be compiled.
    pub(crate) fn needs_compiler(self) -> Outcome {
        match self {
            Self::C => skep_testing::find_tool("clang").map(drop),
            Self::Rust => {
                skep_testing::core_source()?;
                // Core takes seconds: no test waits for it that waits for its own program.
                static COMPILED: LazyLock<Outcome> = LazyLock::new(|| {
                    let folder = tempfile::tempdir()?;
                    let mut command = skep(&Language::Rust.example("syscount"), "build");
                    command.arg("--output").arg(folder.path());
                    Started::new(&mut command)?
                        .finish()?
                        .ended_with(0)
                        .map(drop)
                });
                match &*COMPILED {
                    Err(Stop::Fail(text)) => Err(Stop::fail(text.clone())),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// A test of an example, and the same of its twin.
macro_rules! in_both {
    ($group:literal; $($name:ident $test:ident;)*) => {
        vec![$(
            Test::new(concat!($group, stringify!($name)), || $test(Language::C)),
            Test::new(concat!($group, stringify!($name), "_in_rust"), || {
                Language::Rust.needs_compiler()?;
                $test(Language::Rust)
            }),
        )*]
    };
}
pub(crate) use in_both;

/// An example of the project, in C.
pub(crate) fn example(name: &str) -> PathBuf {
    Language::C.example(name)
}

/// A source of these tests.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/run/c")
        .join(name)
}

/// `worker.c`, compiled: what is watched.
pub(crate) fn worker() -> Outcome<PathBuf> {
    static MADE: LazyLock<Outcome<PathBuf>> = LazyLock::new(|| {
        skep_testing::compile_native(&source("worker.c"), Path::new(env!("CARGO_TARGET_TMPDIR")))
    });
    match &*MADE {
        Ok(path) => Ok(path.clone()),
        Err(Stop::Skip(lacking)) => Err(Stop::Skip(lacking.clone())),
        Err(Stop::Fail(text)) => Err(Stop::fail(text.clone())),
    }
}

/// How a run ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The same, if it ended with this code.
    pub(crate) fn ended_with(self, code: i32) -> Outcome<Self> {
        ensure(self.status.code() == Some(code), || {
            format!("{}, not {code}\n{self}", self.status)
        })?;
        Ok(self)
    }

    /// The same, if stderr says each of these.
    pub(crate) fn saying(self, parts: &[&str]) -> Outcome<Self> {
        for part in parts {
            ensure(self.stderr.contains(part), || {
                format!("no {part:?} in\n{self}")
            })?;
        }
        Ok(self)
    }

    /// The same, if stdout has each of these.
    pub(crate) fn printing(self, parts: &[&str]) -> Outcome<Self> {
        for part in parts {
            ensure(self.stdout.contains(part), || {
                format!("no {part:?} in\n{self}")
            })?;
        }
        Ok(self)
    }

    /// Whether a line of stdout has all of these words.
    pub(crate) fn has_row(&self, words: &[&str]) -> bool {
        self.stdout.lines().any(|line| {
            words.iter().all(|word| {
                let mut found = line.split_whitespace();
                found.any(|part| part == *word)
            })
        })
    }

    /// The same, if there is such a row.
    pub(crate) fn with_row(self, words: &[&str]) -> Outcome<Self> {
        ensure(self.has_row(words), || {
            format!("no row of {words:?} in\n{self}")
        })?;
        Ok(self)
    }

    /// The objects on stdout, one a line.
    pub(crate) fn json(&self) -> Outcome<Vec<serde_json::Value>> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        let parsed: Result<Vec<_>, _> = lines.collect();
        parsed.map_err(|error| Stop::fail(format!("{error} in\n{self}")))
    }

    /// What the last line on stderr counts: events printed, events lost.
    pub(crate) fn counts(&self) -> Outcome<(u64, u64)> {
        let found = self.stderr.lines().find_map(|line| {
            let (events, lost) = line.strip_suffix(" lost")?.split_once(", ")?;
            Some((events.split(' ').next()?.parse().ok()?, lost.parse().ok()?))
        });
        found.ok_or_else(|| Stop::fail(format!("no counts in\n{self}")))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
    }
}

/// `skep run`, with a cache that only tests use and nothing of the user's environment that
/// changes what it prints.
pub(crate) fn skep_run(program: &Path) -> Command {
    skep(program, "run")
}

/// `skep` with a word and a program, as [`skep_run`].
fn skep(program: &Path, word: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    prepare(&mut command);
    command.arg(word).arg(program);
    if program.extension().is_some_and(|ending| ending == "rs")
        && let Ok(source) = skep_testing::core_source()
    {
        command.env("SKEP_RUST_SRC", source.folder());
    }
    command
}

/// See [`skep_run`].
pub(crate) fn prepare(command: &mut Command) {
    command.env(
        "XDG_CACHE_HOME",
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"),
    );
    for name in [
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "CLICOLOR",
        "SKEP_CLANG",
        "CLANG",
        "COLUMNS",
        "LD_LIBRARY_PATH",
    ] {
        command.env_remove(name);
    }
}

/// Runs it to its end.
pub(crate) fn run<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Outcome<Ran> {
    let mut command = skep_run(program);
    command.args(arguments);
    Started::new(&mut command)?.finish()
}

/// A run that goes on, its output in files.
pub(crate) struct Started {
    child: Child,
    folder: TempDir,
}

impl Started {
    /// Starts it.
    pub(crate) fn new(command: &mut Command) -> Outcome<Self> {
        needs_clang_and_types()?;
        let folder = tempfile::tempdir()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("stdout"))?)
            .stderr(File::create(folder.path().join("stderr"))?)
            .spawn()?;
        Ok(Self { child, folder })
    }

    /// Starts `skep run -v` and waits until all is attached.
    pub(crate) fn attached<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Outcome<Self> {
        let mut command = skep_run(program);
        let mut started = Self::new(command.arg("-v").args(arguments))?;
        started.wait_for("attached ")?;
        Ok(started)
    }

    /// Waits until it has said this on stderr.
    pub(crate) fn wait_for(&mut self, text: &str) -> Outcome {
        eventually(text, || {
            let said = self.read("stderr");
            if !said.contains(text) && self.child.try_wait()?.is_some() {
                return Err(Stop::fail(format!("it ended before `{text}`:\n{said}")));
            }
            Ok(said.contains(text))
        })
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.read("stdout")
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Outcome {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Ctrl-C, and its end.
    pub(crate) fn interrupt(self) -> Outcome<Ran> {
        self.signal(Signal::INT)?;
        self.finish()
    }

    /// Its end, by itself.
    pub(crate) fn finish(mut self) -> Outcome<Ran> {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > end {
                return Err(Stop::fail(format!(
                    "it does not end; stdout:\n{}\nstderr:\n{}",
                    self.read("stdout"),
                    self.read("stderr")
                )));
            }
            thread::sleep(Duration::from_millis(2));
        };
        Ok(Ran {
            status,
            stdout: self.read("stdout"),
            stderr: self.read("stderr"),
        })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It has mostly ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn needs_clang_and_types() -> Outcome {
    skep_testing::find_tool("clang")?;
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        Ok(())
    } else {
        Err(Stop::lacks("/sys/kernel/btf/vmlinux"))
    }
}

/// A file of a name that no other process knows, and `cat` of it by another process.
pub(crate) struct Unique(PathBuf);

impl Unique {
    /// Makes one.
    pub(crate) fn new(folder: &TempDir, name: &str) -> Outcome<Self> {
        let path = folder.path().join(format!("{name}-{}", std::process::id()));
        fs::write(&path, "x")?;
        Ok(Self(path))
    }

    /// Its path.
    pub(crate) fn text(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Has another process open it.
    pub(crate) fn cat(&self) -> Outcome {
        let status = Command::new("cat")
            .arg(&self.0)
            .stdout(Stdio::null())
            .status()?;
        ensure(status.success(), || format!("cat: {status}"))
    }
}
