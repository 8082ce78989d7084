//! `cargo xtask sanitize`: the virtual machine's interpreter, maps and threads under the
//! compiler's sanitizers. They see what no assertion does: a race, a read of what was freed.
//! `cargo xtask miri` sees more, of less.
//!
//! Not a part of CI: the standard library and all else is compiled anew, with instrumentation.
//! What the JIT compiles has none, so accesses of compiled programs are seen by tests only.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, root, vm::stopped};

const USAGE: &str = "usage: cargo xtask sanitize [thread|address]… [-- TEST…]";

/// What is told to run: unit tests, and those suites that run programs on several threads, random
/// programs and hostile ones.
const SUITES: [&str; 8] = [
    "--lib",
    "--test=corpus",
    "--test=embed",
    "--test=engines",
    "--test=fuzzed",
    "--test=hostile",
    "--test=once",
    "--test=timers",
];

/// Tests that can't run under them, and why.
const WITHOUT: [(&str, &str); 1] = [(
    "addresses_can_be_asked_for",
    "the sanitizer's own memory lies at the address that it asks for",
)];

struct Sanitizer {
    name: &'static str,
    /// Its own options, by the environment.
    options: (&'static str, &'static str),
    /// Reports that are none, in its own syntax, and why.
    suppressed: &'static [(&'static str, &'static str)],
}

const SANITIZERS: [Sanitizer; 2] = [
    Sanitizer {
        name: "thread",
        options: ("TSAN_OPTIONS", "history_size=4"),
        suppressed: &[(
            "race:engine::jit::memory::Memory",
            "pages come by system calls that it does not see, and may have been another thread's",
        )],
    },
    Sanitizer {
        name: "address",
        // Its handler of signals would be there before the machine's own.
        options: (
            "ASAN_OPTIONS",
            "handle_segv=0:handle_sigbus=0:detect_leaks=0",
        ),
        suppressed: &[],
    },
];

/// Runs the suites under each sanitizer that `arguments` name, or under all.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (named, tests) = match arguments.iter().position(|argument| argument == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[][..]),
    };
    if let Some(unknown) = named
        .iter()
        .find(|name| SANITIZERS.iter().all(|known| known.name != **name))
    {
        return Err(format!("no sanitizer `{unknown}`\n{USAGE}").into());
    }
    let core = skep_testing::core_source().map_err(stopped)?;
    let mut failed = Vec::new();
    for sanitizer in &SANITIZERS {
        if !named.is_empty() && named.iter().all(|name| name != sanitizer.name) {
            continue;
        }
        println!("== {} sanitizer", sanitizer.name);
        for (what, reason) in WITHOUT.iter().chain(sanitizer.suppressed) {
            println!("without `{what}`: {reason}");
        }
        if !under(sanitizer, core.folder(), tests)? {
            failed.push(sanitizer.name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("reports or failures under: {}", failed.join(", ")).into())
}

/// Whether all tests passed and the sanitizer had nothing to say.
fn under(sanitizer: &Sanitizer, core: &Path, tests: &[String]) -> Result<bool> {
    // With a target named, build scripts and macros are compiled without the sanitizer.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let built = built.join(format!("sanitize-{}", sanitizer.name));
    let suppressions = built.join("suppressions");
    fs::create_dir_all(&built)?;
    fs::write(
        &suppressions,
        sanitizer
            .suppressed
            .iter()
            .map(|(line, _)| format!("{line}\n"))
            .collect::<String>(),
    )?;
    let (variable, options) = sanitizer.options;
    let skipped = WITHOUT.iter().flat_map(|(test, _)| ["--skip", test]);
    let status = Command::new(env!("CARGO"))
        .args(["test", "--package", "skep-vm", "--no-fail-fast"])
        .args(["-Zbuild-std", "--target", &target])
        .args(SUITES)
        .arg("--")
        .args(tests)
        .args(skipped)
        // Both are what a stable toolchain asks for before it does what isn't.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", core)
        .env("RUSTFLAGS", format!("-Zsanitizer={}", sanitizer.name))
        // Instrumented frames are large, and programs nest up to the limit.
        .env("RUST_MIN_STACK", (64 << 20).to_string())
        // Some programs have a limit of time.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env(
            variable,
            format!("{options}:suppressions={}", suppressions.display()),
        )
        .env("CARGO_TARGET_DIR", built)
        .status()?;
    Ok(status.success())
}
