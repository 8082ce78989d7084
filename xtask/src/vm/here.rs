//! `--kernel here`: the suites on this machine's own kernel, as it is, for a column beside those of the
//! test kernels. What it lacks is its own business: no skip counts as a failure.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::Mutex,
};

use super::{lock, results::Results, suites::Suite};
use crate::Result;

/// How it is called among kernels.
pub(super) const NAME: &str = "here";

/// Its version, as those of test kernels are written: `6.18`.
pub(super) fn version() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let numbers: Vec<&str> = release.splitn(3, ['.', '-']).take(2).collect();
    Ok(format!("{} ({NAME})", numbers.join(".")))
}

/// Runs the suites one after the other.
pub(super) fn run(suites: &[Suite], tests: &[String], results: &Mutex<Results>) -> Result<()> {
    let version = version()?;
    lock(results).excused(&version);
    for suite in suites {
        let Some(mut command) = suite.here(tests) else {
            continue;
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("a suite without output")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let text = String::from_utf8_lossy(&line);
            println!("{version} {} │ {text}", suite.name);
            lock(results).said(&version, suite.name, &text);
        }
        // Killed by a signal, it has no code.
        let code = child.wait()?.code().unwrap_or(-1);
        lock(results).exited(&version, suite.name, code);
    }
    Ok(())
}
