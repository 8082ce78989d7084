//! What failed among the tests that cargo runs, told once more at the end: a run of all of them
//! prints thousands of lines, and who reads a log from its end should find it there.

use std::{
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

/// The lines that are kept of what one test said.
const KEPT: usize = 40;

/// What test programs, and cargo of those that died, said of failures.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    lines: Vec<String>,
    /// Whether a program is telling what its failed tests said.
    telling: bool,
    /// The lines of the test that is told.
    said: usize,
}

impl Failures {
    /// Runs cargo's tests, passes on what they print, and keeps what failed of it. Whether all passed.
    pub(crate) fn of(&mut self, tests: &mut Command) -> io::Result<bool> {
        // A terminal gets cargo's colours and progress, and is scrolled back.
        if !io::stderr().is_terminal() {
            tests.stderr(Stdio::piped());
        }
        self.of_piped(tests, io::stdout(), io::stderr())
    }

    fn of_piped(
        &mut self,
        tests: &mut Command,
        stdout: impl Write,
        stderr: impl Write + Send,
    ) -> io::Result<bool> {
        let mut tests = tests.stdout(Stdio::piped()).spawn()?;
        let all = Mutex::new(self);
        thread::scope(|readers| {
            if let Some(errors) = tests.stderr.take() {
                readers.spawn(|| {
                    pass_on(errors, stderr, |line| {
                        all.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .cargo(line);
                    });
                });
            }
            if let Some(output) = tests.stdout.take() {
                pass_on(output, stdout, |line| {
                    all.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .test(line);
                });
            }
        });
        Ok(tests.wait()?.success())
    }

    /// A line of cargo's own: which programs failed, and with which signal they died.
    fn cargo(&mut self, line: &str) {
        let died = line.trim_start().starts_with("process didn't exit");
        let named = line.starts_with("    `-p ");
        if died || named || line.starts_with("error") {
            self.lines.push(line.to_owned());
        }
    }

    /// A line of a test program.
    fn test(&mut self, line: &str) {
        // Names alone stand in the second list.
        if line.starts_with("test result: ") || line.starts_with("    ") && self.said == 0 {
            self.telling &= !line.starts_with("test result: ");
        } else if line == "failures:" {
            self.telling = true;
            self.said = 0;
        } else if self.telling {
            self.said = if line.starts_with("---- ") {
                1
            } else {
                self.said + 1
            };
            match self.said {
                _ if line.is_empty() => {}
                ..=KEPT => self.lines.push(line.to_owned()),
                said if said == KEPT + 1 => self.lines.push("     …".to_owned()),
                _ => {}
            }
        }
    }

    /// Prints them.
    pub(crate) fn report(&self) {
        if !self.lines.is_empty() {
            println!("── failed");
        }
        for line in &self.lines {
            println!("   {line}");
        }
    }
}

/// Copies lines, each of which is shown to `see`.
fn pass_on(from: impl Read, mut to: impl Write, mut see: impl FnMut(&str)) {
    for line in BufReader::new(from).split(b'\n') {
        let Ok(mut line) = line else { return };
        see(&String::from_utf8_lossy(&line));
        line.push(b'\n');
        // A reader that went away does not end the tests.
        drop(to.write_all(&line).and_then(|()| to.flush()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_kept_with_what_they_said() {
        let mut failures = Failures::default();
        let long: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let output = format!(
            "running 3 tests\ntest one ... ok\ntest two ... FAILED\ntest three ... FAILED\n\n\
             failures:\n\n---- two stdout ----\n\nthread 'two' panicked at x.rs:1:2:\n    left: 1\n\n\
             ---- three stdout ----\n{long}\n\nfailures:\n    two\n    three\n\n\
             test result: FAILED. 1 passed; 2 failed\n\nrunning 1 test\ntest four ... ok\n"
        );
        for line in output.lines() {
            failures.test(line);
        }
        let kept = &failures.lines;
        let begin = [
            "---- two stdout ----",
            "thread 'two' panicked at x.rs:1:2:",
            "    left: 1",
            "---- three stdout ----",
            "line 0",
        ];
        assert_eq!(kept[..5], begin);
        assert_eq!(kept.len(), 3 + KEPT + 1, "{kept:#?}");
        assert_eq!(kept[kept.len() - 2..], ["line 38", "     …"]);
    }

    #[test]
    fn a_program_that_died_is_named() {
        let mut failures = Failures::default();
        for line in [
            "     Running tests/large.rs (target/debug/deps/large-1)",
            "warning: unused",
            "error: test failed, to rerun pass `-p skep-vm --test large`",
            "Caused by:",
            "  process didn't exit successfully: `large-1` (signal: 9, SIGKILL: kill)",
            "error: 1 target failed:",
            "    `-p skep-vm --test large`",
        ] {
            failures.cargo(line);
        }
        assert_eq!(failures.lines.len(), 4, "{failures:?}");
        assert!(failures.lines[1].contains("SIGKILL"));
    }

    #[test]
    fn a_run_is_passed_on() {
        let mut failures = Failures::default();
        let script = "printf 'failures:\\n---- x ----\\nwhy\\ntest result: FAILED\\n'
            echo error: one failed >&2; exit 101";
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let mut tests = Command::new("sh");
        tests.args(["-c", script]).stderr(Stdio::piped());
        let passed = failures.of_piped(&mut tests, &mut output, &mut errors);
        assert!(!passed.unwrap());
        assert_eq!(
            output,
            b"failures:\n---- x ----\nwhy\ntest result: FAILED\n"
        );
        assert_eq!(errors, b"error: one failed\n");
        let mut lines = failures.lines;
        lines.sort();
        assert_eq!(lines, ["---- x ----", "error: one failed", "why"]);
    }
}
