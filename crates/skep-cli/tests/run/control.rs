//! Beginning and ending a run, and what its flags choose.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use skep_testing::{Outcome, Stop, Test, ensure, eventually};

use crate::support::{Started, Unique, example, prepare, run, skep_run, source, worker};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("control::a_duration_ends_it", duration),
        Test::new("control::signals_end_it_and_print_maps", signals),
        Test::new("control::a_hang_up_is_ignored_where_it_was_before", nohup),
        Test::new("control::a_reader_that_leaves_ends_it", closed),
        Test::new("control::a_reader_that_stands_still_keeps_no_hooks", still),
        Test::new("control::nobody_who_reads_stderr_is_no_matter", unheard),
        Test::new("control::a_full_disk_is_told", full),
        Test::new("control::killed_it_leaves_nothing", killed),
        Test::new("control::globals_are_set", set),
        Test::new("control::bad_choices_are_wrong_usage", bad_choices),
        Test::new("control::a_process_is_chosen", process),
        Test::new("control::a_process_that_ends_ends_it", process_ends),
        Test::new(
            "control::numbers_of_a_namespace_are_those_of_programs",
            namespace,
        ),
        Test::new("control::a_user_is_chosen", user),
        Test::new("control::the_heaviest_rows_are_chosen", top),
        Test::new("control::programs_are_chosen", only),
        Test::new("control::the_commands_status_is_the_runs", status),
        Test::new("control::a_command_that_is_none_starts_nothing", no_command),
    ]
}

fn duration() -> Outcome {
    let ran = run(&example("syscount"), &["--duration", "100ms"])?.ended_with(0)?;
    ran.printing(&["system calls by process"]).map(|_| ())
}

fn signals() -> Outcome {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        // Whoever runs the tests may ignore one of them.
        let run = under(&["env", "--default-signal"], &example("syscount"))?;
        run.signal(signal)?;
        run.finish()?
            .ended_with(0)?
            .printing(&["system calls by process", "COMM"])?;
    }
    Ok(())
}

/// As [`Started::attached`], by another command.
fn under(words: &[&str], program: &Path) -> Outcome<Started> {
    let mut plain = skep_run(program);
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .arg(plain.get_program())
        .args(plain.arg("-v").get_args());
    prepare(&mut command);
    let mut started = Started::new(&mut command)?;
    started.wait_for("attached ")?;
    Ok(started)
}

fn nohup() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "after")?;
    let ignoring = ["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""];
    let run = under(&ignoring, &example("opensnoop"))?;
    run.signal(Signal::HUP)?;
    eventually("rows after it", || {
        file.cat()?;
        Ok(run.stdout().contains(file.text()))
    })?;
    run.interrupt()?.ended_with(0).map(drop)
}

fn unheard() -> Outcome {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let output = skep_run(&example("syscount"))
        .args(["-v", "--duration", "100ms"])
        .stderr(writer)
        .output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let whole = output.status.success() && stdout.contains("system calls by process");
    ensure(whole, || format!("{}: {stdout}", output.status))
}

fn full() -> Outcome {
    let output = skep_run(&example("syscount"))
        .args(["--duration", "100ms"])
        .stdout(std::fs::OpenOptions::new().write(true).open("/dev/full")?)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let whole = "error: cannot write to standard output: No space left on device";
    ensure(
        output.status.code() == Some(1) && said.contains(whole),
        || format!("{}: {said}", output.status),
    )
}

fn closed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "piped")?;
    let stderr = folder.path().join("stderr");
    let mut child = skep_run(&example("opensnoop"))
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&stderr)?)
        .spawn()?;
    let mut reader = BufReader::new(child.stdout.take().ok_or_else(|| Stop::fail("no pipe"))?);
    let mut line = String::new();
    // Rows begin to come once it is attached; then the reader goes, as `head -1` does.
    let (mut tries, mut reading) = (0, true);
    while reading {
        file.cat()?;
        tries += 1;
        reading = tries < 1_000 && child.try_wait()?.is_none() && !ready(&reader);
    }
    reader.read_line(&mut line)?;
    drop(reader);
    let mut status = None;
    let ended = eventually("its end", || {
        file.cat()?;
        status = child.try_wait()?;
        Ok(status.is_some())
    });
    let _ = child.kill();
    let _ = child.wait();
    ended?;
    let said = std::fs::read_to_string(&stderr)?;
    ensure(line.contains("PATH"), || format!("{line}; {said}"))?;
    ensure(status.is_some_and(|status| status.success()), || {
        format!("{status:?}: {said}")
    })?;
    ensure(
        !said.contains("error") && !said.contains("panicked"),
        || said.clone(),
    )
}

/// Its pipe is full when it is to end: it detaches at once, and waits for the reader then.
fn still() -> Outcome {
    stands_still(&[], Some(Signal::TERM))?;
    stands_still(&["--duration", "4s"], None)
}

fn stands_still(flags: &[&str], signal: Option<Signal>) -> Outcome {
    let folder = tempfile::tempdir()?;
    let stderr = folder.path().join("stderr");
    let mut child = skep_run(&source("events.bpf.c"))
        .args(["-v", "--host", "kernel", "-D", "BY_VALUE"])
        .args(["--set", "each=512"])
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&stderr)?)
        .spawn()?;
    let said = || std::fs::read_to_string(&stderr).unwrap_or_default();
    let tried = eventually("attached", || Ok(said().contains("attached "))).and_then(|()| {
        let worked = || -> Outcome {
            Command::new(worker()?).args(["getppid", "10"]).status()?;
            Ok(())
        };
        // A pipe holds 64 KiB, and takes them by 4.
        eventually("a full pipe", || {
            worked()?;
            let pipe = child.stdout.as_ref();
            let held = pipe.map_or(Ok(0), rustix::io::ioctl_fionread)?;
            Ok(held > 60 * 1024)
        })?;
        worked()?;
        let id = child.id();
        let attached = || -> Outcome<bool> {
            let mut any = false;
            for file in std::fs::read_dir(format!("/proc/{id}/fd"))? {
                // Files come and go meanwhile.
                let target = std::fs::read_link(file?.path()).unwrap_or_default();
                let target = target.display().to_string();
                any |= target.contains("[perf_event]") || target.contains("bpf_link");
            }
            Ok(any)
        };
        if let Some(signal) = signal {
            ensure(attached()?, || "nothing was attached".into())?;
            kill_process(Pid::from_child(&child), signal)?;
        }
        eventually("hooks gone, while it waits", || Ok(!attached()?))?;
        ensure(child.try_wait()?.is_none(), said)
    });
    if tried.is_err() {
        child.kill()?;
    }
    let output = child.wait_with_output()?;
    tried?;
    let rows = output.stdout.split(|byte| *byte == b'\n').count() as u64;
    let last = said();
    let counts = last.lines().find(|line| line.ends_with(" lost"));
    let printed = counts.and_then(|line| line.split(' ').next()?.parse().ok());
    // Heads, and nothing behind the last line.
    ensure(output.status.success() && printed == Some(rows - 2), || {
        format!("{}: {rows} lines, {last}", output.status)
    })
}

/// There is something to read.
fn ready(reader: &BufReader<std::process::ChildStdout>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(reader.get_ref(), PollFlags::IN)];
    let soon = Timespec {
        tv_sec: 0,
        tv_nsec: 5_000_000,
    };
    poll(&mut fds, Some(&soon)).is_ok_and(|ready| ready > 0)
}

fn killed() -> Outcome {
    // What is left attached shows in the harness' count of links and programs.
    for name in ["opensnoop", "profile"] {
        let run = Started::attached(&example(name), &[] as &[&str])?;
        run.signal(Signal::KILL)?;
        let ran = run.finish()?;
        ensure(ran.counts().is_err(), || ran.to_string())?;
    }
    Ok(())
}

fn set() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "set")?;
    let words = [
        "--set",
        "failed_only=true",
        "--",
        "cat",
        file.text(),
        "/no/such/file",
    ];
    let ran = run(&example("opensnoop"), &words)?.ended_with(1)?;
    let ran = ran.with_row(&["cat", "-2", "/no/such/file"])?;
    ensure(!ran.stdout.contains(file.text()), || ran.to_string())
}

fn bad_choices() -> Outcome {
    for (words, parts) in [
        (
            &["--set", "failed=1"][..],
            &["`failed`", "`failed_only`"][..],
        ),
        (
            &["--set", "failed_only=perhaps"],
            &["failed_only", "neither true nor false"],
        ),
        (&["--set", "failed_only"], &["NAME=VALUE"]),
        (&["--config", "CONFIG_HZ"], &["--config", "CONFIG_HZ"]),
        (&["--config", "CONFIG_HZ=1"], &["`CONFIG_HZ`"]),
        (&["--map-size", "event=1"], &["`event`", "`events`"]),
        (&["--map-size", "events=many"], &["many"]),
        (&["--only", "nothing"], &["`nothing`", "`enter_openat`"]),
        (&["--duration", "soon"], &["soon"]),
        (&["-F", "0"], &["0"]),
    ] {
        run(&example("opensnoop"), words)?
            .ended_with(2)?
            .saying(parts)?;
    }
    // Files are the machine's.
    for (path, part) in [
        ("/etc/passwd", "neither BTF nor an ELF file"),
        ("/no/such.btf", "No such file"),
    ] {
        run(&example("opensnoop"), &["--btf", path])?
            .ended_with(4)?
            .saying(&[path, part])?;
    }
    for (flag, global) in [
        ("-p", "target_pid"),
        ("-t", "target_tid"),
        ("-u", "target_uid"),
    ] {
        run(&example("xdp_count"), &[flag, "1"])?
            .ended_with(2)?
            .saying(&[flag, global])?;
    }
    Ok(())
}

fn process() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "pid")?;
    let own = std::process::id().to_string();
    let run = Started::attached(&example("opensnoop"), &["-p", &own])?;
    file.cat()?;
    std::fs::read(file.text())?;
    eventually("the row", || Ok(run.stdout().contains(file.text())))?;
    let ran = run.interrupt()?.ended_with(0)?;
    let ran = ran.with_row(&[&own, file.text()])?;
    ensure(!ran.has_row(&["cat"]), || ran.to_string())
}

/// The process' last event is seen, and with the process the run ends.
fn process_ends() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "last")?;
    let mut child = Command::new("sh")
        .args(["-c", "read line; exec cat \"$0\"", file.text()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let id = child.id().to_string();
    let run = Started::attached(&example("opensnoop"), &["-p", &id])?;
    // What is written to it has it go on.
    drop(child.stdin.take());
    child.wait()?;
    let ran = run.finish()?.ended_with(0)?;
    ran.with_row(&["cat", file.text()])?
        .saying(&[&format!("process {id} has ended")])?;
    // Now it is gone, and nothing would ever be seen of it; by no process is there its number.
    for host in ["kernel", "vm"] {
        let words = ["--host", host, "-p", &id, "--duration", "5s"];
        let ran = crate::support::run(&example("opensnoop"), &words)?.ended_with(2)?;
        ran.saying(&[&format!("no process {id}")])?;
    }
    Ok(())
}

/// In a PID namespace of its own, as in a container.
fn namespaced(words: &[&str]) -> Outcome<Started> {
    let mut plain = skep_run(&example("opensnoop"));
    let mut command = Command::new(skep_testing::find_tool("unshare")?);
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command
        .arg(plain.get_program())
        .args(plain.args(words).get_args());
    prepare(&mut command);
    Started::new(&mut command)
}

fn namespace() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "inside")?;
    // The command, by the number that it has outside.
    let ran = namespaced(&["--", "cat", file.text()])?
        .finish()?
        .ended_with(0)?;
    let ran = ran.saying(&[
        "only process 2 (target_pid: ",
        "outside of this PID namespace",
    ])?;
    ensure(ran.stdout.contains(file.text()), || ran.to_string())?;
    // A process that is named: the shell that is skep's parent there can't be, skep itself can.
    let ran = namespaced(&["-p", "1", "--duration", "100ms"])?;
    let ran = ran.finish()?.ended_with(0)?;
    ran.saying(&["process 1 is ", "outside of this PID namespace"])?;
    // And who is not there is told.
    let ran = namespaced(&["-p", "77777", "--duration", "100ms"])?;
    ran.finish()?
        .ended_with(2)?
        .saying(&["77777: there is no such process"])?;
    Ok(())
}

fn user() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "user")?;
    let words = |user| ["-u", user, "--", "cat", file.text()];
    let ran = run(&example("opensnoop"), &words("0"))?.ended_with(0)?;
    ran.with_row(&["cat", file.text()])?;
    let ran = run(&example("opensnoop"), &words("65534"))?.ended_with(0)?;
    ensure(!ran.has_row(&["cat"]), || ran.to_string())
}

fn top() -> Outcome {
    // One row for the process under each of its two names: before and after it is the command.
    let ran = run(&example("syscount"), &["--top", "1", "--", "true"])?.ended_with(0)?;
    let ran = ran.printing(&["2 entries", "… and 1 more; --top 0 shows all"])?;
    let rows = ran
        .stdout
        .lines()
        .filter(|line| line.contains("true") || line.contains("skep"));
    ensure(rows.count() == 1, || ran.to_string())?;
    let ran = run(&example("syscount"), &["--top", "0", "--", "true"])?.ended_with(0)?;
    ran.with_row(&["true"])?.with_row(&["skep"])?;
    Ok(())
}

fn only() -> Outcome {
    let worker = worker()?;
    let worker = worker.to_str().unwrap_or_default();
    let words = ["-v", "--only", "says_so", "--", worker, "getppid", "1"];
    let ran = run(&source("events.bpf.c"), &words)?.ended_with(0)?;
    let ran = ran.saying(&["attached says_so"])?;
    ensure(!ran.stderr.contains("attached on_getppid"), || {
        ran.to_string()
    })
}

fn no_command() -> Outcome {
    let folder = tempfile::tempdir()?;
    let text = folder.path().join("text");
    std::fs::write(&text, "not a program")?;
    let text = text.to_str().unwrap_or_default();
    for (command, code, why) in [
        ("no-such-command", 127, "no such program"),
        ("/no/such/command", 127, "no such program"),
        (text, 126, "denied"),
        ("/etc", 126, "directory"),
    ] {
        let ran = run(&example("opensnoop"), &["--", command])?.ended_with(code)?;
        let ran = ran.saying(&[command, why])?;
        // Before anything is done for it.
        ensure(!ran.stderr.contains("host:"), || ran.to_string())?;
    }
    Ok(())
}

fn status() -> Outcome {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let ran = run(&example("syscount"), &["--", "sh", "-c", script])?.ended_with(code)?;
        let said = ran.stderr.contains("the command ended with");
        ensure(said == (code != 0), || ran.to_string())?;
    }
    // Who ends the run before the command ends it gets no status of it.
    let words = ["--duration", "50ms", "--", "sleep", "1"];
    run(&example("syscount"), &words)?.ended_with(0)?;
    Ok(())
}
