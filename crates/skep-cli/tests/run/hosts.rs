//! The same program over the same command on both hosts: what is printed is the same but for
//! numbers of processes and times. The virtual machine's part is also run as an ordinary user.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use serde_json::Value;
use skep_testing::{Outcome, Stop, Test, ensure, eventually, find_tool};
use tempfile::TempDir;

use crate::support::{
    Language, Ran, Started, Unique, example, in_both, prepare, run, source, worker,
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = in_both! {
        "hosts::";
        opensnoop_prints_the_same opensnoop;
        execsnoop_prints_the_same execsnoop;
        syscount_counts_the_same syscount;
        malloc_sizes_are_the_same malloc_sizes;
        profile_names_the_same_functions profile;
        packets_are_counted_alike packets;
        the_vm_lists_what_it_traces tasks;
    };
    tests.extend([
        Test::new("hosts::processes_that_ended_have_names", ended),
        Test::new("hosts::faults_are_told_with_their_lines", faults),
        Test::new("hosts::an_ordinary_user_sees_it_too", ordinary_user),
        Test::new("hosts::an_ordinary_user_can_test", ordinary_tests),
        Test::new("hosts::a_kernel_without_types_is_no_matter", no_types),
        Test::new("hosts::what_the_vm_lacks_is_told", lacking),
        Test::new("hosts::the_vm_needs_to_be_told_what", nothing_to_see),
        Test::new("hosts::the_commands_status_is_the_runs", status),
        Test::new("hosts::a_duration_and_signals_end_it", ending),
        Test::new("hosts::a_process_is_followed_and_let_go", followed),
    ]);
    tests
}

/// The rows of a run with `--format json`, one array of these fields each.
pub(crate) fn rows(ran: &Ran, fields: &[&str]) -> Outcome<Vec<Value>> {
    let pick = |row: Value| fields.iter().map(|name| row[name].clone()).collect();
    Ok(ran.json()?.into_iter().map(pick).collect())
}

/// Runs an example on a host over a command, in JSON.
pub(crate) fn over(of: Language, host: &str, name: &str, command: &[&str]) -> Outcome<Ran> {
    let mut words = vec!["--host", host, "--format", "json", "--"];
    words.extend(command);
    run(&of.example(name), &words)?.saying(&[&format!("host: {host}")])
}

/// Both hosts' rows of an example, which must be the same, and those of its twin in C on the kernel;
/// those of the kernel that `keep` keeps.
pub(crate) fn same(
    of: Language,
    name: &str,
    fields: &[&str],
    command: &[&str],
    keep: impl Fn(&Value) -> bool,
) -> Outcome<Vec<Value>> {
    let on = |of, host| {
        let ran = over(of, host, name, command)?.ended_with(0)?;
        let mut rows = rows(&ran, fields)?;
        rows.retain(&keep);
        Ok::<_, Stop>((rows, ran))
    };
    let ((kernel, _), (vm, ran)) = (on(of, "kernel")?, on(of, "vm")?);
    ensure(kernel == vm && !vm.is_empty(), || {
        format!("kernel: {kernel:#?}\nvm: {vm:#?}\n{ran}")
    })?;
    if of != Language::C {
        let (c, _) = on(Language::C, "kernel")?;
        ensure(c == vm, || format!("in C: {c:#?}\nin {of:?}: {vm:#?}"))?;
    }
    Ok(vm)
}

fn opensnoop(of: Language) -> Outcome {
    let fields = ["comm", "ret", "path"];
    same(of, "opensnoop", &fields, &["ls", "/etc"], |_| true)?;
    // Files that are there and that are not, and another program in the same process.
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "both")?;
    let script = format!(
        "read line < {0}; read line < /no/such/file; exec cat {0}",
        file.text()
    );
    let script = format!("{script} 2>/dev/null");
    let rows = same(of, "opensnoop", &fields, &["bash", "-c", &script], |_| true)?;
    let has = |comm: &str, ret: i32, path: &str| {
        let row = serde_json::json!([comm, ret, path]);
        ensure(rows.contains(&row), || format!("no {row} in {rows:#?}"))
    };
    has("bash", 3, file.text())?;
    has("bash", -2, "/no/such/file")?;
    has("cat", 3, file.text())
}

fn execsnoop(of: Language) -> Outcome {
    let mark = format!("mark-{}", std::process::id());
    let script = format!("true {mark} 'two  words'; /bin/true {mark}; (sh -c 'exit 0 # {mark}')");
    // The kernel's tells of all processes.
    let ours = |row: &Value| row[1].as_str().is_some_and(|args| args.contains(&mark));
    let fields = ["comm", "args", "uid"];
    let rows = same(of, "execsnoop", &fields, &["sh", "-c", &script], ours)?;
    ensure(rows.len() == 3, || format!("{rows:#?}"))
}

fn syscount(of: Language) -> Outcome {
    let worker = worker()?;
    let command = [worker.to_str().unwrap_or_default(), "getppid", "5000"];
    let of_worker = |row: &Value| row[0]["comm"] == "worker";
    let count = |host| {
        let ran = over(of, host, "syscount", &command)?.ended_with(0)?;
        let mut rows = rows(&ran, &["key", "value"])?;
        rows.retain(of_worker);
        ensure(rows.len() == 1, || ran.to_string())?;
        Ok::<_, Stop>(rows[0][1].clone())
    };
    let (kernel, vm) = (count("kernel")?, count("vm")?);
    ensure(kernel == vm, || format!("kernel: {kernel}, vm: {vm}"))
}

fn malloc_sizes(of: Language) -> Outcome {
    let worker = worker()?;
    let command = [worker.to_str().unwrap_or_default(), "malloc", "700"];
    // 3,000 bytes are in the slot from 2^11 on. In others the kernel counts what skep asks for
    // between being woken and becoming the command.
    let of_worker = |host| {
        let ran = over(of, host, "malloc_sizes", &command)?.ended_with(0)?;
        let rows = ran.json()?;
        Ok::<_, Stop>((rows[0]["histogram"][11].clone(), rows[0]["unit"].clone()))
    };
    let (kernel, vm) = (of_worker("kernel")?, of_worker("vm")?);
    ensure(kernel == vm && vm.0 == 700, || {
        format!("kernel: {kernel:?}, vm: {vm:?}")
    })
}

fn profile(of: Language) -> Outcome {
    let worker = worker()?;
    for host in ["kernel", "vm"] {
        let words = ["--host", host, "-F", "499", "--"];
        let command = [worker.to_str().unwrap_or_default(), "spin", "400"];
        let ran = run(&of.example("profile"), &[&words[..], &command].concat())?.ended_with(0)?;
        let place = |name: &str| ran.stdout.lines().position(|line| line.contains(name));
        let places = ["skep_busy_inner", "skep_busy_outer", "main"].map(place);
        ensure(places.is_sorted() && places[0].is_some(), || {
            format!("{host}: {ran}")
        })?;
    }
    Ok(())
}

fn ended() -> Outcome {
    let worker = worker()?;
    // Each lives shorter than it takes for anybody to look.
    let script = format!(
        "for n in 1 2 3 4 5 6 7 8 9 10; do {} spin 15; done",
        worker.display()
    );
    let words = [
        "--host", "vm", "-F", "999", "--top", "0", "--", "sh", "-c", &script,
    ];
    let ran = run(&source("stacks.bpf.c"), &words)?.ended_with(0)?;
    let named = ran.stdout.matches("skep_busy_inner").count();
    let unnamed = ran.stdout.lines().any(|line| line.trim().starts_with("0x"));
    ensure(named >= 5 && !unnamed, || ran.to_string())
}

fn faults() -> Outcome {
    let words = ["--checked", "--", "cat", "/dev/null"];
    let ran = run(&source("faults.bpf.c"), &words)?.ended_with(0)?;
    let parts = [
        "runs ended with a fault",
        "program `reads_anywhere`",
        "0x1234",
        "faults.bpf.c:",
        "return *(volatile int *)0x1234;",
        "the vm lacks",
        "favourite_colour",
    ];
    ran.saying(&parts)?;
    Ok(())
}

/// A capture of what `send_seven` of the examples' tests sends: UDP to port 4242, 72 bytes each.
fn capture() -> Vec<u8> {
    const PAYLOAD: u16 = 72;
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    frame.extend([0x45, 0]);
    frame.extend((20 + 8 + PAYLOAD).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    for number in [40_000, 4242, 8 + PAYLOAD, 0] {
        frame.extend(u16::to_be_bytes(number));
    }
    frame.resize(frame.len() + usize::from(PAYLOAD), b'x');
    let mut file = Vec::new();
    // The magic, version 2.4, no zone, whole packets, Ethernet.
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(u32::to_le_bytes(word));
    }
    for second in 0..7 {
        let len = frame.len() as u32;
        for word in [second, 0, len, len] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend(&frame);
    }
    file
}

/// The rows are those of `examples::xdp_count` and `examples::cgroup_egress`, on the kernel.
fn packets(of: Language) -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("seven.pcap");
    fs::write(&file, capture())?;
    for (name, row) in [
        ("xdp_count", &["udp", "7", "798", "B"][..]),
        (
            "cgroup_egress",
            &["127.0.0.1", "4242", "17", "7", "700", "B"],
        ),
    ] {
        let words = ["--pcap", file.to_str().unwrap_or_default()];
        run(&of.example(name), &words)?
            .ended_with(0)?
            .with_row(row)?;
    }
    Ok(())
}

/// `skep` where everybody may execute it, and the examples beside it.
fn for_everyone() -> Outcome<(TempDir, PathBuf)> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir()?;
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    open(folder.path())?;
    let skep = folder.path().join("skep");
    fs::copy(env!("CARGO_BIN_EXE_skep"), &skep)?;
    open(&skep)?;
    let object = folder.path().join("opensnoop.o");
    let bytes = skep_testing::compile(&example("opensnoop"), env!("CARGO_TARGET_TMPDIR"))?;
    fs::write(&object, bytes)?;
    fs::copy(example("opensnoop"), folder.path().join("opensnoop.bpf.c"))?;
    for name in ["opensnoop.o", "opensnoop.bpf.c"] {
        open(&folder.path().join(name))?;
    }
    Ok((folder, skep))
}

/// As a user who has nothing: no capabilities, no home, no place for a cache.
fn as_nobody(skep: &Path, arguments: &[&str]) -> Outcome<Ran> {
    let mut command = Command::new(find_tool("setpriv")?);
    prepare(&mut command);
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["--bounding-set=-all", "--inh-caps=-all", "--"])
        .arg(skep)
        .args(arguments)
        .current_dir("/")
        .env("HOME", "/nonexistent")
        .env("XDG_CACHE_HOME", "/nonexistent/cache");
    Started::new(&mut command)?.finish()
}

fn ordinary_user() -> Outcome {
    let (folder, skep) = for_everyone()?;
    let fields = ["comm", "ret", "path"];
    let kernel = over(Language::C, "kernel", "opensnoop", &["ls", "/etc"])?.ended_with(0)?;
    let kernel = rows(&kernel, &fields)?;
    for name in ["opensnoop.bpf.c", "opensnoop.o"] {
        let program = folder.path().join(name);
        let program = program.to_str().unwrap_or_default();
        let words = ["run", program, "--format", "json", "--", "ls", "/etc"];
        let ran = as_nobody(&skep, &words)?.ended_with(0)?;
        let ran = ran.saying(&["host: vm (no CAP_BPF and CAP_PERFMON here; `skep doctor`"])?;
        let vm = rows(&ran, &fields)?;
        ensure(vm == kernel, || format!("kernel: {kernel:#?}\n{ran}"))?;
        let (events, lost) = ran.counts()?;
        ensure(events == vm.len() as u64 && lost == 0, || ran.to_string())?;
    }
    // Who asks for the kernel by name is told why not.
    let program = folder.path().join("opensnoop.o");
    let program = program.to_str().unwrap_or_default();
    let words = ["run", program, "--host", "kernel"];
    let ran = as_nobody(&skep, &words)?.ended_with(4)?;
    ran.saying(&["cause:", "CAP_BPF", "fix:"])?;
    Ok(())
}

/// What is compiled for tests can't be kept anywhere.
fn ordinary_tests() -> Outcome {
    let (folder, skep) = for_everyone()?;
    let path = folder.path().join("opensnoop.test.toml");
    fs::write(
        &path,
        "[[test]]\nname = \"no event of itself\"\nprogram = \"enter_openat\"\n\
         expect.return = 0\nexpect.events.events = []\n",
    )?;
    let words = ["test", path.to_str().unwrap_or_default()];
    let ran = as_nobody(&skep, &words)?.ended_with(0)?;
    ensure(ran.stdout.contains("1 passed, 0 failed"), || {
        ran.to_string()
    })
}

fn no_types() -> Outcome {
    // In mounts of its own, where nothing is in the place of the kernel's types.
    let mut command = Command::new(find_tool("unshare")?);
    prepare(&mut command);
    let hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    command
        .args(["--mount", "--", "sh", "-c", hide, "sh"])
        .arg(env!("CARGO_BIN_EXE_skep"))
        .arg("run")
        .arg(example("opensnoop"))
        .args(["--host", "vm", "--", "cat", "/dev/null"]);
    let ran = Started::new(&mut command)?.finish()?.ended_with(0)?;
    ran.saying(&["compiling with those of the vm"])?
        .with_row(&["cat", "3", "/dev/null"])?;
    Ok(())
}

fn tasks(of: Language) -> Outcome {
    let worker = worker()?;
    let words = [
        "--host",
        "vm",
        "--",
        worker.to_str().unwrap_or_default(),
        "spin",
        "300",
    ];
    let ran = run(&of.example("tasks"), &words)?.ended_with(0)?;
    ran.with_row(&["TGID", "TID", "PPID", "COMM"])?
        .with_row(&["worker"])?;
    Ok(())
}

fn lacking() -> Outcome {
    let way_out = ["the vm has no", "fix:", "--host kernel"];
    for command in [&["--", "true"][..], &[]] {
        let mut words = vec!["--host", "vm"];
        words.extend(command);
        let ran = run(&example("runqlat"), &words)?.ended_with(4)?;
        ran.saying(&["tp_btf/sched_wakeup"])?.saying(&way_out)?;
    }
    for (define, part) in [
        ("KPROBE", "kprobe/vfs_read"),
        ("FENTRY", "fentry/vfs_read"),
        ("KPROBE_MULTI", "kprobe.multi/vfs_*"),
        ("TRACEPOINT", "tracepoint/sched/sched_switch"),
        ("RAW_TRACEPOINT", "raw_tp/sched_switch"),
        ("LSM", "lsm/file_open"),
    ] {
        let words = ["--host", "vm", "-D", define, "--", "true"];
        let ran = run(&source("kernel_only.bpf.c"), &words)?.ended_with(4)?;
        ran.saying(&[part])?.saying(&way_out)?;
    }
    Ok(())
}

fn nothing_to_see() -> Outcome {
    for (name, parts) in [
        ("opensnoop", &["-- ls /etc", "-p PID", "--host kernel"][..]),
        ("malloc_sizes", &["-- ls /etc", "-p PID", "--host kernel"]),
        ("xdp_count", &["--pcap FILE", "--host kernel"]),
        ("cgroup_egress", &["--pcap FILE", "--host kernel"]),
    ] {
        let ran = run(&example(name), &["--host", "vm"])?.ended_with(2)?;
        ran.saying(parts)?;
    }
    let words = ["--host", "vm", "-p", "1", "--", "true"];
    run(&example("opensnoop"), &words)?
        .ended_with(2)?
        .saying(&["leave out -p"])?;
    let words = ["--host", "vm", "-p", "4194304"];
    run(&example("opensnoop"), &words)?
        .ended_with(2)?
        .saying(&["no process 4194304"])?;
    Ok(())
}

fn status() -> Outcome {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let words = ["--host", "vm", "--", "sh", "-c", script];
        run(&example("syscount"), &words)?.ended_with(code)?;
    }
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("script");
    fs::write(&script, "#!/no/such/interpreter\n")?;
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let words = ["--host", "vm", "--", script.to_str().unwrap_or_default()];
    run(&example("syscount"), &words)?
        .ended_with(127)?
        .saying(&["cannot run"])?;
    Ok(())
}

fn ending() -> Outcome {
    // The command goes on, and its system calls need the tracer.
    let words = ["--host", "vm", "--duration", "100ms", "--", "sleep", "0.7"];
    let ran = run(&example("opensnoop"), &words)?.ended_with(0)?;
    ran.with_row(&["sleep"])?.saying(&["waiting for the end"])?;
    for signal in [Signal::INT, Signal::TERM] {
        let words = ["--host", "vm", "--", "sleep", "0.7"];
        let run = Started::attached(&example("opensnoop"), &words)?;
        eventually("a row", || Ok(run.stdout().contains("sleep")))?;
        run.signal(signal)?;
        let ran = run.finish()?.ended_with(0)?;
        ran.counts()?;
        ran.saying(&["waiting for the end"])?;
    }
    Ok(())
}

fn followed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "followed")?;
    let mut shell = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "while read word; do read line < {}; echo $word; done",
            file.text()
        ))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let followed = follow(&mut shell, &file);
    drop(shell.stdin.take());
    if followed.is_err() {
        let _ = shell.kill();
    }
    let output = shell.wait_with_output()?;
    followed?;
    // It went on whole, with the tracer gone.
    ensure(output.status.success(), || output.status.to_string())?;
    ensure(output.stdout == b"with\nwithout\n", || {
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

fn follow(shell: &mut std::process::Child, file: &Unique) -> Outcome {
    use std::io::Write as _;
    let id = shell.id().to_string();
    let run = Started::attached(&example("opensnoop"), &["--host", "vm", "-p", &id])?;
    let mut say = |word: &[u8]| match &mut shell.stdin {
        Some(stdin) => Ok(stdin.write_all(word)?),
        None => Err(Stop::fail("no pipe")),
    };
    say(b"with\n")?;
    eventually("the row", || Ok(run.stdout().contains(file.text())))?;
    let ran = run.interrupt()?.ended_with(0)?;
    ran.with_row(&[&id, "sh", file.text()])?;
    say(b"without\n")
}
