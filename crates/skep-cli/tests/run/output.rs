//! How events are told apart, printed and counted, alike on both hosts.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use skep::abi::KernelVersion;
use skep_testing::{Outcome, Test, ensure};

use crate::support::{Ran, Started, boundary, run, skep_run, source, worker};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("output::a_maps_value_type_is_its_records_type", by_value),
        Test::new("output::a_tag_names_the_records_type", by_tag),
        Test::new("output::the_one_type_named_like_an_event_is_taken", by_name),
        Test::new("output::records_of_no_known_type_are_bytes", by_nothing),
        Test::new("output::perf_buffers_are_printed_alike", perf),
        Test::new("output::a_full_ring_is_counted_and_said", full_ring),
        Test::new("output::a_full_perf_buffer_is_counted_and_said", full_perf),
        Test::new("output::a_stopped_run_counts_what_it_missed", stopped),
        Test::new("output::printk_lines_are_shown", printk),
    ]
}

/// The hosts that each test is for.
const HOSTS: [&str; 2] = ["kernel", "vm"];

/// `events.bpf.c` on a host, with these macros and flags, over a worker that calls so often.
fn events(host: &str, defines: &[&str], flags: &[&str], calls: &str) -> Outcome<Ran> {
    let worker = worker()?;
    let mut words: Vec<&str> = vec!["--host", host];
    for define in defines {
        words.extend(["-D", define]);
    }
    words.extend(flags);
    words.extend(["--", worker.to_str().unwrap_or_default(), "getppid", calls]);
    run(&source("events.bpf.c"), &words)?.ended_with(0)
}

fn typed(ran: Ran) -> Outcome {
    let ran = ran.with_row(&["PID", "COLOR", "COMM", "NUMBER"])?;
    let ran = ran
        .with_row(&["green", "worker", "0"])?
        .with_row(&["green", "worker", "2"])?;
    let counts = ran.counts()?;
    ensure(counts == (3, 0), || ran.to_string())
}

fn by_value() -> Outcome {
    for host in HOSTS {
        typed(events(host, &["BY_VALUE"], &[], "3")?)?;
    }
    Ok(())
}

fn by_tag() -> Outcome {
    for host in HOSTS {
        typed(events(host, &["BY_TAG"], &[], "3")?)?;
    }
    Ok(())
}

fn by_name() -> Outcome {
    for host in HOSTS {
        let ran = events(host, &["BY_NAME"], &["--format", "json"], "3")?;
        let rows = ran.json()?;
        let right = rows.len() == 3
            && rows[2]["record"]["color"] == "green"
            && rows[2]["record"]["comm"] == "worker"
            && rows[2]["record"]["number"] == 2;
        ensure(right, || ran.to_string())?;
    }
    Ok(())
}

fn by_nothing() -> Outcome {
    for host in HOSTS {
        let ran =
            events(host, &[], &[], "2")?.saying(&["`events`", "__type(value, struct event)"])?;
        // `worker`, in hexadecimal.
        ran.printing(&["776f726b6572"])?;
        let ran = events(host, &[], &["--format", "json"], "2")?;
        let rows = ran.json()?;
        let right = rows.len() == 2
            && rows.iter().all(|row| row["map"] == "events")
            && rows[1]["bytes"]
                .as_str()
                .is_some_and(|bytes| bytes.len() == 64);
        ensure(right, || ran.to_string())?;
    }
    Ok(())
}

fn perf() -> Outcome {
    for host in HOSTS {
        typed(events(host, &["PERF", "BY_TAG"], &[], "3")?)?;
    }
    Ok(())
}

fn full_ring() -> Outcome {
    for host in HOSTS {
        let flags = ["--map-size", "events=4096", "--set", "each=512"];
        let ran = events(host, &["BY_VALUE"], &flags, "20")?.saying(&["--map-size"])?;
        let (printed, lost) = ran.counts()?;
        ensure(
            printed + lost == 20 * 512 && lost > 0 && printed > 0,
            || format!("{printed} and {lost}"),
        )?;
        ensure(ran.stdout.lines().count() as u64 == printed + 1, || {
            "rows".into()
        })?;
    }
    Ok(())
}

fn full_perf() -> Outcome {
    for host in HOSTS {
        // 512 records of 48 bytes a call, 60 calls: six times a CPU's buffer.
        let ran = events(host, &["PERF", "BY_TAG"], &["--set", "each=512"], "60")?;
        let (printed, lost) = ran.counts()?;
        // What is lost after the last record that fits, kernels before 6.0 don't say.
        let exact = host == "vm" || boundary().info().version >= KernelVersion::new(6, 0);
        let all = printed + lost;
        ensure(
            printed > 0 && all <= 60 * 512 && (!exact || all == 60 * 512),
            || format!("{printed} and {lost}"),
        )?;
        ensure(ran.stdout.lines().count() as u64 == printed + 1, || {
            "rows".into()
        })?;
    }
    Ok(())
}

/// It is stopped while programs send more than there is room for, and goes on: what it has not printed
/// it has counted, in text and in JSON.
fn stopped() -> Outcome {
    for (defines, exact) in [
        (&["BY_VALUE"][..], true),
        (
            &["PERF", "BY_TAG"],
            boundary().info().version >= KernelVersion::new(6, 0),
        ),
    ] {
        for format in ["table", "json"] {
            // It becomes the worker when it is told to, under the number that it is watched by.
            let mut shell = Command::new("sh")
                .args(["-c", "read go; exec \"$0\" getppid 100"])
                .arg(worker()?)
                .stdin(Stdio::piped())
                .spawn()?;
            let mut command = skep_run(&source("events.bpf.c"));
            for define in defines {
                command.args(["-D", define]);
            }
            command.args(["-v", "--host", "kernel", "--format", format]);
            command.args(["--set", "each=512", "-p", &shell.id().to_string()]);
            let started = Started::new(&mut command).and_then(|mut run| {
                run.wait_for("attached ")?;
                run.signal(Signal::STOP)?;
                Ok(run)
            });
            // It ends with its input, too.
            drop(shell.stdin.take().map(|mut input| input.write_all(b"go\n")));
            let worked = shell.wait()?;
            let run = started?;
            run.signal(Signal::CONT)?;
            let ran = run.finish()?.ended_with(0)?;
            let (printed, lost) = ran.counts()?;
            let (all, sent) = (printed + lost, 100 * 512);
            ensure(worked.success() && lost > 0 && printed > 0, || {
                format!("{defines:?} {format}: {worked}, {printed} and {lost}")
            })?;
            ensure(all == sent || (!exact && all < sent), || {
                format!("{defines:?} {format}: {printed} and {lost} of {sent}")
            })?;
            // One line more: heads, or what was lost.
            let rows = ran.stdout.lines().count() as u64 - 1;
            ensure(rows == printed, || {
                format!("{rows} rows, {printed} printed")
            })?;
            if format == "json" {
                let last = ran.json()?.pop();
                let said = last.as_ref().and_then(|last| last["lost"].as_u64());
                ensure(said == Some(lost), || format!("{last:?}, not {lost}"))?;
            }
        }
    }
    Ok(())
}

fn printk() -> Outcome {
    for host in HOSTS {
        // The kernel does not always know the name of a thread that has ended.
        let is_name = |name: &str| matches!(name, "worker" | "<...>");
        let ran =
            events(host, &[], &["--only", "says_so"], "2")?.printing(&[": getppid number 17"])?;
        let named = ran.stdout.lines().all(|line| {
            let name = line
                .split(' ')
                .next()
                .and_then(|task| task.rsplit_once('-'));
            name.is_some_and(|(name, tid)| is_name(name) && tid.parse::<u32>().is_ok())
        });
        ensure(named, || ran.to_string())?;
        let ran = events(host, &[], &["--only", "says_so", "--format", "json"], "2")?;
        let rows = ran.json()?;
        let right = rows.len() == 2
            && rows.iter().all(|row| {
                row["printk"] == "getppid number 17"
                    && row["comm"].as_str().is_some_and(is_name)
                    && row["tid"].is_u64()
                    && row["time"].is_f64()
            });
        ensure(right, || ran.to_string())?;
    }
    Ok(())
}
