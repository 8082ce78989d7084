//! Every example, on real events.

use std::{
    fs,
    net::UdpSocket,
    path::PathBuf,
    process::{Command, Stdio},
};

use skep_testing::{Cgroup, Outcome, Stop, Test, ensure, in_netns, needs_kernel};

use crate::support::{Language, Ran, Started, Unique, in_both, run, worker};

pub(crate) fn tests() -> Vec<Test> {
    in_both! {
        "examples::";
        opensnoop_sees_other_processes opensnoop;
        opensnoop_watches_its_command_alone opensnoop_command;
        opensnoop_speaks_json opensnoop_json;
        execsnoop_sees_arguments execsnoop;
        syscount_counts_its_command syscount;
        runqlat_draws_a_histogram runqlat;
        profile_names_the_busy_function profile;
        malloc_sizes_are_a_histogram malloc_sizes;
        usdt_imports_sees_modules usdt_imports;
        tasks_lists_this_process tasks;
        tasks_lists_its_command_alone tasks_command;
        xdp_count_counts_packets xdp_count;
        cgroup_egress_meters_destinations cgroup_egress;
    }
}

fn opensnoop(of: Language) -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "opened")?;
    let run = Started::attached(&of.example("opensnoop"), &[] as &[&str])?;
    file.cat()?;
    skep_testing::eventually("the row", || Ok(run.stdout().contains(file.text())))?;
    let ran = run
        .interrupt()?
        .ended_with(0)?
        .with_row(&["cat", "3", file.text()])?;
    let head: Vec<&str> = ran
        .stdout
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    ensure(head == ["TIME", "PID", "COMM", "RET", "PATH"], || {
        format!("{head:?}")
    })?;
    let (events, lost) = ran.counts()?;
    let rows = ran.stdout.lines().count() as u64 - 1;
    ensure(events == rows && lost == 0, || {
        format!("{rows} rows; {}", ran.stderr)
    })
}

fn opensnoop_command(of: Language) -> Outcome {
    let folder = tempfile::tempdir()?;
    let (file, other) = (Unique::new(&folder, "own")?, Unique::new(&folder, "other")?);
    // The command has another process open the other file; itself it opens the first.
    let script = format!(
        "cat {0}; read line < {1}; exec cat {1}",
        other.text(),
        file.text()
    );
    let ran = run(&of.example("opensnoop"), &["--", "sh", "-c", &script])?.ended_with(0)?;
    let ran = ran
        .with_row(&["cat", file.text()])?
        .with_row(&["sh", file.text()])?;
    ensure(!ran.stdout.contains(other.text()), || ran.to_string())
}

fn opensnoop_json(of: Language) -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = Unique::new(&folder, "json")?;
    let ran = run(
        &of.example("opensnoop"),
        &[
            "--format",
            "json",
            "--",
            "cat",
            file.text(),
            "/no/such/file",
        ],
    )?;
    // The command fails, as one file is missing; that is said, and handed on.
    let ran = ran
        .ended_with(1)?
        .saying(&["the command ended with exit status: 1"])?;
    let events = ran.json()?;
    let of = |path: &str| {
        events
            .iter()
            .find(|event| event["path"] == path)
            .cloned()
            .unwrap_or_default()
    };
    let (found, missing) = (of(file.text()), of("/no/such/file"));
    let right = found["ret"] == 3
        && found["comm"] == "cat"
        && found["pid"].as_u64().is_some_and(|pid| pid > 1)
        && found["time"].as_f64().is_some_and(|time| time > 0.0)
        && found.as_object().is_some_and(|object| object.len() == 5)
        && missing["ret"] == -2;
    ensure(right, || ran.to_string())
}

fn execsnoop(of: Language) -> Outcome {
    let mark = format!("mark-{}", std::process::id());
    let run = Started::attached(&of.example("execsnoop"), &[] as &[&str])?;
    let status = Command::new("cat")
        .args(["--", &mark, "two  words"])
        .stderr(Stdio::null())
        .status()?;
    ensure(!status.success(), || "the file is there".into())?;
    skep_testing::eventually("the row", || Ok(run.stdout().contains(&mark)))?;
    let own = std::process::id().to_string();
    let ran = run.interrupt()?.ended_with(0)?;
    ran.with_row(&["cat", &own, "--", &mark, "two", "words"])?
        .printing(&[&format!("cat -- {mark} two  words")])
        .map(|_| ())
}

fn syscount(of: Language) -> Outcome {
    let worker = worker()?;
    let worker = worker.to_str().unwrap_or_default();
    let ran = run(
        &of.example("syscount"),
        &["--format", "json", "--", worker, "getppid", "5000"],
    )?;
    let rows = ran.ended_with(0)?.json()?;
    let row = rows
        .iter()
        .find(|row| row["key"]["comm"] == "worker")
        .cloned()
        .unwrap_or_default();
    let calls = row["value"].as_u64().unwrap_or_default();
    ensure(
        row["map"] == "calls" && (5_000..6_000).contains(&calls),
        || format!("{rows:?}"),
    )?;
    let ran = run(&of.example("syscount"), &["--", worker, "getppid", "10"])?.ended_with(0)?;
    ran.printing(&["system calls by process: ", "PID", "COMM"])?
        .with_row(&["worker"])?;
    Ok(())
}

fn is_histogram(ran: &Ran, title: &str) -> Outcome {
    let right = ran.stdout.contains(title)
        && ran.stdout.contains(" → ")
        && ran.stdout.contains("|@")
        && ran.stdout.contains("p99");
    ensure(right, || ran.to_string())
}

fn runqlat(of: Language) -> Outcome {
    let ran = run(&of.example("runqlat"), &["--duration", "300ms"])?.ended_with(0)?;
    is_histogram(&ran, "run-queue latency, us")
}

fn profile(of: Language) -> Outcome {
    let worker = worker()?;
    let worker = worker.to_str().unwrap_or_default();
    let ran = run(
        &of.example("profile"),
        &["-F", "499", "--", worker, "spin", "400"],
    )?;
    let ran = ran.ended_with(0)?.printing(&[
        "samples by stack",
        "skep_busy_inner",
        "skep_busy_outer",
        "main",
    ])?;
    // Called functions stand above their callers.
    let place = |name: &str| ran.stdout.lines().position(|line| line.contains(name));
    ensure(place("skep_busy_inner") < place("skep_busy_outer"), || {
        ran.to_string()
    })
}

fn malloc_sizes(of: Language) -> Outcome {
    let worker = worker()?;
    let worker = worker.to_str().unwrap_or_default();
    let ran = run(
        &of.example("malloc_sizes"),
        &["--format", "json", "--", worker, "malloc", "700"],
    )?;
    let rows = ran.ended_with(0)?.json()?;
    // 3,000 bytes are in the slot from 2^11 on.
    let count = rows
        .first()
        .and_then(|row| row["histogram"][11].as_u64())
        .unwrap_or_default();
    ensure(count == 700, || format!("{rows:?}"))?;
    let ran = run(
        &of.example("malloc_sizes"),
        &["--", worker, "malloc", "700"],
    )?
    .ended_with(0)?;
    is_histogram(&ran, "malloc sizes, bytes")
}

/// A Python that was built with its static probe points: the first one on the path need not be.
pub(crate) fn python_with_points() -> Outcome<PathBuf> {
    let has_points = |python: &PathBuf| {
        skep::usdt::Notes::open(python).is_ok_and(|notes| {
            let mut points = notes.points.iter();
            points.any(|point| point.name.starts_with("import"))
        })
    };
    let found = skep::find_binary("python3", None).ok().filter(has_points);
    found.ok_or_else(|| Stop::lacks("a python3 with static probe points"))
}

fn usdt_imports(of: Language) -> Outcome {
    let python = python_with_points()?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("skep_inner.py"), "")?;
    fs::write(folder.path().join("skep_outer.py"), "import skep_inner")?;
    let python = python.to_str().unwrap_or_default();
    let path = format!("import sys; sys.path.insert(0, {:?})", folder.path());
    let code =
        format!("{path}\nimport skep_outer\ntry: import skep_none\nexcept ImportError: pass");
    let ran = run(
        &of.example("usdt_imports"),
        &["--format", "json", "--", python, "-S", "-c", &code],
    )?;
    let rows = ran.ended_with(0)?.json()?;
    let imported = |name: &str, depth: u64, found: bool| {
        let row = rows.iter().find(|row| row["name"] == name);
        ensure(
            row.is_some_and(|row| row["depth"] == depth && row["found"] == found),
            || format!("{name}: {row:?} of {} rows", rows.len()),
        )
    };
    imported("skep_inner", 1, true)?;
    imported("skep_outer", 0, true)?;
    imported("skep_none", 0, false)
}

fn tasks(of: Language) -> Outcome {
    let ran = run(&of.example("tasks"), &[] as &[&str])?.ended_with(0)?;
    let own = std::process::id().to_string();
    ran.with_row(&["TGID", "TID", "PPID", "COMM"])?
        .with_row(&[&own, &own])?;
    Ok(())
}

/// Sends seven packets over loopback, to a port that listens.
fn send_seven() -> Outcome {
    let receiver = UdpSocket::bind("127.0.0.1:4242")?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    for _ in 0..7 {
        sender.send_to(&[7; 72], receiver.local_addr()?)?;
        receiver.recv(&mut [0; 128])?;
    }
    Ok(())
}

fn tasks_command(of: Language) -> Outcome {
    // Iterators over the tasks of one process.
    needs_kernel(6, 1)?;
    let words = ["--host", "kernel", "--", "sh", "-c", "sleep 0.3; exit 3"];
    let ran = run(&of.example("tasks"), &words)?
        .ended_with(3)?
        .saying(&["only process"])?;
    ensure(ran.stdout.lines().count() == 2, || ran.to_string())
}

fn xdp_count(of: Language) -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|_| {
        let run = Started::attached(&of.example("xdp_count"), &["--device", "lo"])?;
        send_seven()?;
        // 14 + 20 + 8 + 72 bytes each.
        let ran = run
            .interrupt()?
            .ended_with(0)?
            .printing(&["received by protocol"])?;
        ran.with_row(&["udp", "7", "798", "B"])?;
        Ok(())
    })
}

fn cgroup_egress(of: Language) -> Outcome {
    needs_kernel(5, 7)?;
    let cgroup = Cgroup::new()?;
    let path = cgroup.path().to_str().unwrap_or_default().to_owned();
    in_netns(|_| {
        let run = Started::attached(&of.example("cgroup_egress"), &["--cgroup", &path])?;
        send_seven()?; // from outside
        cgroup.join()?;
        send_seven()?;
        let ran = run
            .interrupt()?
            .ended_with(0)?
            .printing(&["sent by destination"])?;
        ran.with_row(&["127.0.0.1", "4242", "17", "7", "700", "B"])?;
        Ok(())
    })
}
