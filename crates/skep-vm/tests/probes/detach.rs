//! Probes that come and go while the program runs.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::thread::{CapabilitiesSecureBits, set_capabilities_secure_bits};
use skep_host::AttachPoint;
use skep_testing::{Outcome, Stop, ensure, eventually, without_capabilities};
use skep_vm::Traced;

use crate::support::{Linked, Probes, command, failed, in_machine, probed, run};

const BOTH: &[(&str, &str)] = &[("at_entry", "probed"), ("at_return", "probed")];

/// A program that calls the function as often as it is told to.
struct Told {
    traced: Traced,
    stdin: std::process::ChildStdin,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Told {
    fn start(probes: &Probes, binary: &Path) -> Outcome<(Self, String)> {
        Self::run(probes, command(binary, &["waits"]))
    }

    fn run(probes: &Probes, mut waits: Command) -> Outcome<(Self, String)> {
        waits.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut traced = probes.command(waits)?;
        traced.resume().map_err(failed)?;
        let stdio = traced.stdio();
        let mut told = Self {
            traced,
            stdin: stdio.stdin.unwrap(),
            stdout: BufReader::new(stdio.stdout.unwrap()),
        };
        let ready = told.line()?;
        Ok((told, ready))
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn call(&mut self, times: u32) -> Outcome<String> {
        writeln!(self.stdin, "{times}")?;
        self.line()
    }

    fn end(self) -> Outcome {
        let Self {
            traced,
            stdin,
            mut stdout,
        } = self;
        drop(stdin);
        let mut rest = String::new();
        stdout.read_line(&mut rest)?;
        let status = traced.wait().map_err(failed)?;
        ensure(rest.trim() == "end" && status.code() == Some(5), || {
            format!("{rest} {status:?}")
        })
    }
}

#[test]
fn probes_come_and_go_while_the_program_runs() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let mut probes = Probes::idle(&binary.path, BOTH)?;
        let (mut program, _) = Told::start(&probes, &binary.path)?;
        let before = program.call(5)?;
        ensure(probes.number("entries")? == 0, || {
            "no probe is attached yet".into()
        })?;
        for round in 1..4 {
            probes.attach(None)?;
            let with = program.call(5)?;
            ensure(with.ends_with("cc"), || with.clone())?;
            let seen = (probes.number("entries")?, probes.number("returns")?);
            ensure(seen == (5 * round, 5 * round), || {
                format!("{round}: {seen:?}")
            })?;
            probes.links.clear();
            let after = program.call(5)?;
            ensure(after == before, || format!("{before}, after {after}"))?;
            let seen = (probes.number("entries")?, probes.number("returns")?);
            ensure(seen == (5 * round, 5 * round), || {
                format!("{round}: {seen:?}")
            })?;
        }
        program.end()
    });
}

#[test]
fn a_probe_of_one_process_fires_in_no_other() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let mut probes = Probes::idle(&binary.path, BOTH)?;
        let (mut one, _) = Told::start(&probes, &binary.path)?;
        let (mut other, _) = Told::start(&probes, &binary.path)?;
        probes.attach(Some(one.traced.id()))?;
        one.call(3)?;
        other.call(4)?;
        let seen = (probes.number("entries")?, probes.number("returns")?);
        ensure(seen == (3, 3), || format!("{seen:?}"))?;
        one.end()?;
        other.end()
    });
}

#[test]
fn semaphores_are_up_while_somebody_watches() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let probes = Probes::idle(&binary.path, &[("at_entry", "probed")])?;
        let point = AttachPoint::Uprobe {
            at_return: false,
            binary: binary.path.clone(),
            offset: skep::symbol_offset(&binary.path, "probed")?,
            pid: None,
            semaphore: skep::symbol_offset(&binary.path, "watchers")?,
            source: skep::boundary::ProbeSource::Auto,
            cookie: None,
        };
        let program = probes.loaded.program("at_entry")?;
        // Before the program begins,
        let link = program.attach_to(&point)?;
        let (mut told, ready) = Told::start(&probes, &binary.path)?;
        ensure(ready == "ready 1", || ready.clone())?;
        let up = told.call(2)?;
        ensure(up.starts_with("done 1"), || up)?;
        drop(link);
        let down = told.call(2)?;
        ensure(down.starts_with("done 0"), || down)?;
        // and while it runs.
        let link = program.attach_to(&point)?;
        let again = told.call(2)?;
        ensure(again.starts_with("done 1"), || again)?;
        drop(link);
        ensure(probes.number("entries")? == 4, || "hits".into())?;
        told.end()
    });
}

#[test]
fn a_process_that_is_followed_is_let_go_whole() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        for round in 0..5u64 {
            let probes = Probes::vm(&binary.path, BUSY)?;
            let mut child = busy(&binary.path).spawn()?;
            let mut stdout = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            stdout.read_line(&mut line)?;
            let vm = probes.vm.clone().unwrap();
            let traced = vm.follow(child.id()).map_err(failed)?;
            eventually("hits", || Ok(probes.number("seconds")? > 2_000_000))?;
            std::thread::sleep(Duration::from_millis(10 * round));
            let counts = traced.counts();
            drop(traced);
            ensure(counts.refused.is_empty() && counts.faults == 0, || {
                format!("{counts:?}")
            })?;
            let seen = probes.number("entries")?;
            // It goes on without us, as it was.
            std::thread::sleep(Duration::from_millis(30));
            ensure(probes.number("entries")? == seen, || {
                "it is still traced".into()
            })?;
            writeln!(child.stdin.as_mut().unwrap(), "stop")?;
            line.clear();
            stdout.read_line(&mut line)?;
            let status = child.wait()?;
            ensure(line == "busy 0\n" && status.code() == Some(5), || {
                format!("{line} {status:?}")
            })?;
        }
        Ok(())
    });
}

#[test]
fn a_file_that_is_not_there_is_named() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let probes = Probes::idle(&binary.path, &[("at_entry", "probed")])?;
        let program = probes.loaded.program("at_entry")?;
        let point = AttachPoint::Uprobe {
            at_return: false,
            binary: "/no/such/file".into(),
            offset: 0,
            pid: None,
            semaphore: 0,
            source: skep::boundary::ProbeSource::Auto,
            cookie: None,
        };
        match program.attach_to(&point) {
            Ok(_) => Err(Stop::fail("attached to nothing")),
            Err(error) => ensure(error.to_string().contains("/no/such/file"), || {
                error.to_string()
            }),
        }
    });
}

#[test]
fn a_program_in_a_sandbox_is_not_made_to_leave_it() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let mut probes = Probes::idle(&binary.path, BOTH)?;
        let sandboxed = command(&binary.path, &["waits", "0", "sandboxed"]);
        let (mut program, _) = Told::run(&probes, sandboxed)?;
        let before = program.call(2)?;
        probes.attach(None)?;
        let after = program.call(2)?;
        ensure(after == before, || format!("{before}, then {after}"))?;
        let counts = program.traced.counts();
        let why = counts.refused.first().map(|refused| refused.reason.clone());
        ensure(
            why.as_ref()
                .is_some_and(|why| why.contains("seccomp filter of its own")),
            || format!("{counts:?}"),
        )?;
        ensure(probes.number("entries")? == 0, || "it was probed".into())?;
        program.end()
    });
}

/// Functions that are executed all the time by `busy`.
const BUSY: &[(&str, &str)] = &[
    ("many", "kind_call"),
    ("at_entry", "recursive"),
    ("at_return", "recursive"),
    ("second", "probed"),
    ("second_return", "probed"),
];

fn busy(binary: &Path) -> Command {
    let mut busy = command(binary, &["busy", "8"]);
    busy.stdin(Stdio::piped()).stdout(Stdio::piped());
    busy
}

#[test]
fn threads_do_not_mind_probes_that_come_and_go() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let mut probes = Probes::idle(&binary.path, BUSY)?;
        let (program, ready) = Told::run(&probes, busy(&binary.path))?;
        ensure(ready == "ready", || ready.clone())?;
        for round in 0..40 {
            probes.attach(None)?;
            std::thread::sleep(Duration::from_millis(round % 7));
            probes.links.clear();
        }
        let seen = (probes.number("entries")?, probes.number("seconds")?);
        let Told {
            traced,
            mut stdin,
            mut stdout,
        } = program;
        let counts = traced.counts();
        writeln!(stdin, "stop")?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let status = traced.wait().map_err(failed)?;
        ensure(line.starts_with("busy") && status.code() == Some(5), || {
            format!("{line} {status:?} {counts:?}")
        })?;
        ensure(seen.0 > 0 && seen.1 > 0, || format!("{seen:?} {counts:?}"))
    });
}

#[test]
fn a_command_goes_on_after_nobody_looks_any_more() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let probes = Probes::vm(&binary.path, BUSY)?;
        let (program, _) = Told::run(&probes, busy(&binary.path))?;
        eventually("hits", || Ok(probes.number("seconds")? > 1_000_000))?;
        let Told {
            traced,
            mut stdin,
            mut stdout,
        } = program;
        drop(traced);
        let seen = probes.number("entries")?;
        std::thread::sleep(Duration::from_millis(30));
        ensure(probes.number("entries")? == seen, || {
            "it is still probed".into()
        })?;
        writeln!(stdin, "stop")?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        ensure(line.starts_with("busy"), || line)
    });
}

/// Whether all threads of a traced process stand.
fn stands(pid: u32) -> Outcome<bool> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        if !status.contains("\nState:\tt") {
            return Ok(false);
        }
    }
    Ok(true)
}

#[test]
fn stops_and_what_ends_them_are_as_the_kernel_counts_them() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        in_machine(&binary.path, &["stops", "60"], BUSY, &[])?;
        Ok(())
    });
}

#[test]
fn a_process_that_is_stopped_stays_so_until_it_is_continued() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let probes = Probes::vm(&binary.path, BUSY)?;
        let (program, _) = Told::run(&probes, busy(&binary.path))?;
        let Told {
            traced,
            mut stdin,
            mut stdout,
        } = program;
        let hits = || probes.number("seconds");
        for _ in 0..5 {
            let before = hits()?;
            eventually("hits", || Ok(hits()? > before))?;
            traced.signal(libc::SIGSTOP).map_err(failed)?;
            // No thread runs or waits for a line, and no hit comes any more.
            eventually("a stop", || {
                let before = hits()?;
                std::thread::sleep(Duration::from_millis(20));
                Ok(stands(traced.id())? && hits()? == before)
            })?;
            traced.signal(libc::SIGCONT).map_err(failed)?;
        }
        let before = hits()?;
        eventually("hits", || Ok(hits()? > before))?;
        writeln!(stdin, "stop")?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let status = traced.wait().map_err(failed)?;
        ensure(line.starts_with("busy") && status.code() == Some(5), || {
            format!("{line} {status:?}")
        })
    });
}

#[test]
fn a_process_that_hides_its_memory_is_let_go_whole() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let hides = || {
            let probes = Probes::vm(&binary.path, BOTH)?;
            let mut waits = command(&binary.path, &["waits"]);
            waits.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = waits.spawn()?;
            let mut stdin = child.stdin.take().unwrap();
            let mut stdout = BufReader::new(child.stdout.take().unwrap());
            let mut tell = |line: &str| -> Outcome<String> {
                writeln!(stdin, "{line}")?;
                let mut answer = String::new();
                stdout.read_line(&mut answer)?;
                Ok(answer)
            };
            let ready = tell("3")?;
            ensure(ready.starts_with("ready"), || ready)?;
            let before = tell("")?;
            let traced = probes
                .vm
                .as_ref()
                .unwrap()
                .follow(child.id())
                .map_err(failed)?;
            let hidden = tell("hide")?;
            ensure(hidden.starts_with("done"), || hidden.clone())?;
            let hit = tell("2")?;
            ensure(hit.starts_with("done"), || hit)?;
            // Answers are one behind.
            let _ = tell("0")?;
            let entries = probes.number("entries")?;
            drop(traced);
            let (_, after) = (tell("4")?, tell("4")?);
            ensure(after == before, || format!("{before}, then {after}"))?;
            let _ = tell("0")?;
            drop(stdin);
            let status = child.wait()?;
            ensure(status.code() == Some(5), || format!("{status:?}"))?;
            ensure(entries == 2 && probes.number("entries")? == entries, || {
                format!("{entries}")
            })
        };
        // Neither has the child any, though it is root's.
        let alone = || {
            let bits = CapabilitiesSecureBits::NO_ROOT;
            set_capabilities_secure_bits(bits)
                .map_err(|_| Stop::lacks("capabilities to give up"))?;
            without_capabilities(hides)
        };
        std::thread::scope(|scope| scope.spawn(alone).join())
            .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    });
}
