//! `--record` and `--replay`: what a run printed, its replay prints again, byte for byte; and what
//! can't be recorded or replayed is said.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
};

use skep_testing::{Cgroup, Outcome, Test, ensure, in_netns, needs_kernel};
use tempfile::TempDir;

use crate::support::{Ran, Started, example, prepare, run, skep_run, source, worker};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("recording::opensnoop_replays", opensnoop),
        Test::new("recording::execsnoop_replays", execsnoop),
        Test::new("recording::syscount_replays", syscount),
        Test::new("recording::runqlat_replays", runqlat),
        Test::new("recording::profile_replays", profile),
        Test::new("recording::malloc_sizes_replays", malloc_sizes),
        Test::new("recording::xdp_count_replays", xdp_count),
        Test::new("recording::cgroup_egress_replays", cgroup_egress),
        Test::new("recording::texts_and_functions_replay", functions),
        Test::new("recording::the_vm_records_too", by_vm),
        Test::new("recording::another_version_replays", another_version),
        Test::new("recording::a_changed_question_is_told", told),
        Test::new("recording::what_cannot_be_is_refused", refused),
        Test::new("recording::damaged_files_are_refused", damaged),
        Test::new("recording::events_are_listed", listed),
        Test::new("recording::a_recording_is_a_test", tested),
    ]
}

/// A recording, the run that made it, and the folder that it is in.
struct Recorded {
    ran: Ran,
    file: PathBuf,
    _folder: TempDir,
}

fn record(program: &Path, arguments: &[&str]) -> Outcome<Recorded> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("events.skep");
    let mut command = skep_run(program);
    command.arg("--record").arg(&file).args(arguments);
    let ran = Started::new(&mut command)?.finish()?;
    Ok(Recorded {
        ran: ran.saying(&["recorded "])?,
        file,
        _folder: folder,
    })
}

fn replay(file: &Path, arguments: &[&str]) -> Outcome<Ran> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    prepare(&mut command);
    command.args(["run", "--replay"]).arg(file).args(arguments);
    Started::new(&mut command)?.finish()
}

/// A run and its replay print the same; `order`: lines may come in another order (entries of
/// hashes).
fn same(program: &Path, arguments: &[&str], least: usize, order: bool) -> Outcome<Recorded> {
    let recorded = record(program, arguments)?;
    let again = replay(&recorded.file, &[])?.ended_with(0)?;
    let lines = |ran: &Ran| {
        let mut lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
        if order {
            lines.sort_unstable();
        }
        lines
    };
    let (was, is) = (lines(&recorded.ran), lines(&again));
    ensure(was == is, || {
        format!("it was\n{}\nit is\n{again}", recorded.ran)
    })?;
    ensure(is.len() >= least, || {
        format!("only {} lines:\n{again}", is.len())
    })?;
    Ok(recorded)
}

const KERNEL: [&str; 2] = ["--host", "kernel"];

fn opensnoop() -> Outcome {
    needs_kernel(5, 12)?;
    let arguments = [&KERNEL[..], &["--", "sh", "-c", "exec ls /etc > /dev/null"]].concat();
    same(&example("opensnoop"), &arguments, 5, false)?;
    Ok(())
}

fn execsnoop() -> Outcome {
    needs_kernel(5, 12)?;
    let shell = "ls / > /dev/null; uname > /dev/null; true";
    let arguments = [&KERNEL[..], &["--", "sh", "-c", shell]].concat();
    same(&example("execsnoop"), &arguments, 3, false)?;
    Ok(())
}

fn syscount() -> Outcome {
    needs_kernel(5, 12)?;
    let shell = "exec ls -R /etc > /dev/null";
    let arguments = [&KERNEL[..], &["--", "sh", "-c", shell]].concat();
    same(&example("syscount"), &arguments, 3, true)?;
    Ok(())
}

fn runqlat() -> Outcome {
    needs_kernel(5, 12)?;
    let arguments = [&KERNEL[..], &["--duration", "300ms"]].concat();
    same(&example("runqlat"), &arguments, 3, false)?;
    Ok(())
}

fn profile() -> Outcome {
    needs_kernel(5, 12)?;
    let worker = worker()?;
    let worker = worker.to_str().unwrap_or_default();
    let arguments = [&KERNEL[..], &["-F", "499", "--", worker, "spin", "300"]].concat();
    let recorded = same(&example("profile"), &arguments, 5, true)?;
    // With the names of what is not there any more.
    recorded.ran.printing(&["skep_busy_inner"])?;
    Ok(())
}

fn malloc_sizes() -> Outcome {
    needs_kernel(5, 12)?;
    let worker = worker()?;
    let worker = worker.to_str().unwrap_or_default();
    let arguments = [&KERNEL[..], &["--", worker, "malloc", "700"]].concat();
    same(&example("malloc_sizes"), &arguments, 3, false)?;
    Ok(())
}

/// Sends packets of several sizes over loopback.
fn send(sizes: &[usize]) -> Outcome {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    for len in sizes {
        sender.send_to(&vec![7; *len], receiver.local_addr()?)?;
        receiver.recv(&mut [0; 10_000])?;
    }
    Ok(())
}

/// A run of a program that sees packets, recorded, and its replay.
fn packets(
    name: &str,
    arguments: &[&str],
    sizes: &[usize],
    prepare: impl FnOnce() -> Outcome,
) -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("events.skep");
    let path = file.to_str().unwrap_or_default();
    let arguments = [&KERNEL[..], &["--record", path], arguments].concat();
    let run = Started::attached(&example(name), &arguments)?;
    prepare()?;
    send(sizes)?;
    let ran = run.interrupt()?.ended_with(0)?.with_row(&["5"])?;
    let again = replay(&file, &[])?.ended_with(0)?;
    ensure(ran.stdout == again.stdout, || {
        format!("it was\n{ran}\nit is\n{again}")
    })
}

fn xdp_count() -> Outcome {
    needs_kernel(5, 12)?;
    in_netns(|_| {
        let sizes = [1, 72, 1000, 1500, 3000];
        packets("xdp_count", &["--device", "lo"], &sizes, || Ok(()))
    })
}

fn cgroup_egress() -> Outcome {
    needs_kernel(5, 12)?;
    let cgroup = Cgroup::new()?;
    let path = cgroup.path().to_str().unwrap_or_default().to_owned();
    // It reads no packet by its address, so that long ones do no harm.
    in_netns(|_| {
        let sizes = [1, 72, 1000, 1500, 9000];
        packets("cgroup_egress", &["--cgroup", &path], &sizes, || {
            cgroup.join()
        })
    })
}

fn recorded_functions(host: &str) -> Outcome<Recorded> {
    let worker = worker()?;
    let worker = worker.to_str().unwrap_or_default();
    let arguments = ["--host", host, "--", worker, "getppid", "20"];
    same(&source("recorded.bpf.c"), &arguments, 21, false)
}

fn functions() -> Outcome {
    needs_kernel(5, 17)?;
    recorded_functions("kernel")?;
    Ok(())
}

fn by_vm() -> Outcome {
    let recorded = same(
        &example("opensnoop"),
        &[
            "--host",
            "vm",
            "--",
            "sh",
            "-c",
            "exec cat /etc/passwd /no/such/file > /dev/null",
        ],
        4,
        false,
    )?;
    recorded.ran.with_row(&["cat", "-2", "/no/such/file"])?;
    Ok(())
}

/// A version that asks in another order, and for less, sees the same.
fn another_version() -> Outcome {
    needs_kernel(5, 17)?;
    let recorded = recorded_functions("kernel")?;
    let path = source("recorded.bpf.c");
    let path = path.to_str().unwrap_or_default();
    let again = replay(&recorded.file, &[path, "-D", "ANOTHER_ORDER"])?.ended_with(0)?;
    ensure(again.stdout == recorded.ran.stdout, || {
        format!("it was\n{}\nit is\n{again}", recorded.ran)
    })
}

/// A version that asks what was not recorded is told so, with the place.
fn told() -> Outcome {
    needs_kernel(5, 17)?;
    let recorded = recorded_functions("kernel")?;
    let path = source("recorded.bpf.c");
    let path = path.to_str().unwrap_or_default();
    let again = replay(&recorded.file, &[path, "-D", "ANOTHER_QUESTION"])?.ended_with(1)?;
    again.saying(&[
        " (`on_getppid`): bpf_get_current_uid_gid at ",
        "recorded.bpf.c:",
        "was not recorded",
        "20 events came out otherwise than recorded",
    ])?;
    Ok(())
}

fn refused() -> Outcome {
    needs_kernel(5, 12)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("events.skep");
    let path = file.to_str().unwrap_or_default();
    let arguments = [&KERNEL[..], &["--record", path]].concat();
    let ran = run(&example("tasks"), &arguments)?.ended_with(3)?;
    ran.saying(&[
        "program `list` (iter/task) can't be recorded",
        "leave the program out with --only",
    ])?;
    ensure(!file.exists(), || "a file was made".into())
}

fn damaged() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("none.skep");
    fs::write(&file, "no recording at all")?;
    replay(&file, &[])?
        .ended_with(3)?
        .saying(&["not a whole recording: it does not begin with SKEPREC at byte 0"])?;
    // One that was cut off is replayed as far as it goes, and that is said.
    let worker = worker()?;
    let worker = worker.to_str().unwrap_or_default();
    let recorded = record(
        &source("recorded.bpf.c"),
        &["--host", "vm", "--", worker, "getppid", "20"],
    )?;
    let bytes = fs::read(&recorded.file)?;
    fs::write(&file, &bytes[..bytes.len() - 100])?;
    let again = replay(&file, &[])?.ended_with(0)?;
    again.saying(&["the recording was not ended: its last events may be missing"])?;
    Ok(())
}

fn listed() -> Outcome {
    let worker = worker()?;
    let worker = worker.to_str().unwrap_or_default();
    let recorded = record(
        &source("recorded.bpf.c"),
        &["--host", "vm", "--", worker, "getppid", "3"],
    )?;
    let ran = replay(&recorded.file, &["--list"])?.ended_with(0)?;
    ran.with_row(&["0", "worker", "on_getppid"])?
        .with_row(&["2", "worker", "on_getppid"])?;
    let rows = replay(&recorded.file, &["--list", "--format", "json"])?.json()?;
    ensure(rows.len() == 3 && rows[1]["event"] == 1, || {
        format!("{rows:?}")
    })
}

/// A test file that names a recording: the program passes on what it saw, and another program
/// that asks for more does not.
fn tested() -> Outcome {
    let host = ["--host", "vm", "--", "cat", "/etc/hostname"];
    let recorded = record(&example("opensnoop"), &host)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("opens.test.toml");
    let test = |source: &Path, expect: &str| -> Outcome<Ran> {
        let text = format!(
            "source = {source:?}\n[[test]]\nname = \"as it was\"\nreplay = {:?}\n{expect}",
            recorded.file
        );
        fs::write(&path, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
        prepare(&mut command);
        command.arg("test").arg(&path);
        Started::new(&mut command)?.finish()
    };
    let opened =
        "expect.events.events = { contains = [{ comm = \"cat\", path = \"/etc/hostname\" }] }";
    test(&example("opensnoop"), opened)?.ended_with(0)?;
    let other = opened.replace("hostname", "shadow");
    let ran = test(&example("opensnoop"), &other)?.ended_with(1)?;
    ensure(ran.stdout.contains("/etc/shadow"), || ran.to_string())?;
    // It asks for what nobody has recorded.
    let text = fs::read_to_string(example("opensnoop"))?;
    let changed = text.replace("bpf_ktime_get_ns()", "bpf_ktime_get_boot_ns()");
    ensure(changed != text, || "the example has no clock".into())?;
    let source = folder.path().join("changed.bpf.c");
    fs::write(&source, changed)?;
    let ran = test(&source, "")?.ended_with(1)?;
    ensure(ran.stdout.contains("was not recorded"), || ran.to_string())
}
