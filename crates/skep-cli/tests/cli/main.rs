//! The `skep` command as its users meet it: each test runs the program and looks at what it
//! prints and how it ends.

mod btf;
mod build;
mod check;
mod coverage;
mod disasm;
mod doctor;
mod errors;
mod explain;
mod features;
mod help;
mod kernels;
mod light;
mod link;
mod new;
mod rust;
mod rust_missing;
mod test;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// How a run of `skep` ended.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(command: &mut Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command.stdin(Stdio::null()).output().expect("skep starts");
        Self {
            code: status.code().expect("skep ends by itself"),
            stdout: String::from_utf8(stdout).expect("stdout is text"),
            stderr: String::from_utf8(stderr).expect("stderr is text"),
        }
    }

    /// The same, if it ended with this code.
    #[track_caller]
    fn ended_with(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// The same, if stderr says each of these.
    #[track_caller]
    fn saying(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "no {part:?} in:\n{}",
                self.stderr
            );
        }
        self
    }

    /// What went to stdout, if all went well and nothing to stderr.
    #[track_caller]
    fn data(self) -> String {
        let ran = self.ended_with(0);
        assert_eq!(ran.stderr, "");
        ran.stdout
    }
}

/// The program, in a folder of its own, with a cache that only tests use and nothing of the
/// user's environment that changes what it prints.
fn skep(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command.current_dir(folder);
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
    ] {
        command.env_remove(name);
    }
    command
}

fn run<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Ran {
    Ran::of(skep(folder).args(arguments))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

/// A source of `tests/programs`.
fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/programs")
        .join(name)
}

/// Whether there is a clang; says that the test is skipped if not.
fn has_clang() -> bool {
    let there = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join("clang").is_file())
    });
    if !there {
        skep_testing::lacks("clang");
    }
    there
}

/// Whether the kernel shows its types; says that the test is skipped if not.
fn has_kernel_btf() -> bool {
    let there = Path::new("/sys/kernel/btf/vmlinux").exists();
    if !there {
        skep_testing::lacks("/sys/kernel/btf/vmlinux");
    }
    there
}

/// The folder of core's source; says that the test is skipped if there is none.
fn core_source() -> Option<PathBuf> {
    match skep_testing::core_source() {
        Ok(source) => Some(source.folder().to_owned()),
        Err(skep_testing::Stop::Skip(lacking)) => {
            skep_testing::lacks(lacking);
            None
        }
        Err(skep_testing::Stop::Fail(why)) => panic!("{why}"),
    }
}

/// `names.bpf.c` as an object in this folder.
fn names_object(folder: &Path) -> PathBuf {
    run(
        folder,
        [OsStr::new("build"), program("names.bpf.c").as_os_str()],
    )
    .ended_with(0);
    folder.join("names.bpf.o")
}
