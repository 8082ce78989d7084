//! What tracees do that tracers get wrong: each mode of `tasks.c` checks that it went as without
//! a tracer, and the counts that nothing was lost.

use std::{os::unix::process::ExitStatusExt, time::Duration};

use skep_testing::{Outcome, ensure, without_capabilities};

use crate::support::{Machine, attach, failed, run, tasks};

/// Runs a mode to its end under the programs of `life.bpf.c`.
fn mode(name: &str, count: u32, all_calls: bool, code: i32) -> Outcome {
    let machine = Machine::new("life")?;
    let _links = attach(&machine, all_calls)?;
    let traced = machine.trace(tasks(name, count)?)?;
    let status = traced.wait().map_err(failed)?;
    let counts = traced.counts();
    ensure(status.code() == Some(code), || {
        format!("{name} {all_calls}: {status:?} {counts:?}")
    })?;
    ensure(
        counts.faults == 0 && counts.lost_tasks == 0 && counts.missed == 0,
        || format!("{name}: {counts:?}"),
    )?;
    ensure(machine.global("lost")? == 0, || "events were lost".into())?;
    // Whoever was made has ended, and so has the first.
    let (forks, exits) = (machine.global("forks")?, machine.global("exits")?);
    ensure(exits == forks + 1 && counts.tasks == exits, || {
        format!("{name}: {forks} forks, {exits} exits, {counts:?}")
    })
}

/// With a filter, and with a stop at every call.
fn both(name: &str, count: u32, code: i32) {
    run(|| {
        mode(name, count, false, code)?;
        mode(name, count, true, code)
    });
}

#[test]
fn forks() {
    both("forks", 100, 0);
}

#[test]
fn many_forks_at_once() {
    both("storm", 500, 0);
}

#[test]
fn children_that_are_killed_at_any_moment() {
    both("killed", 100, 0);
}

#[test]
fn vforks_that_execute() {
    both("vforks", 30, 0);
}

#[test]
fn clone3() {
    both("clone3s", 50, 0);
}

#[test]
fn sixty_four_threads() {
    both("threads", 50, 0);
}

#[test]
fn a_thread_that_executes_a_program() {
    both("thread_exec", 0, 0);
}

#[test]
fn signals_arrive_with_what_they_carry() {
    both("signals", 3, 0);
}

#[test]
fn calls_that_signals_interrupt() {
    both("interrupted", 3, 0);
}

#[test]
fn stopped_and_continued() {
    both("stopped", 5, 0);
}

#[test]
fn a_seccomp_policy_of_its_own() {
    both("policy", 5, 0);
}

#[test]
fn a_first_thread_that_ends_before_the_others() {
    both("leaderless", 0, 6);
}

#[test]
fn a_process_that_wants_to_be_traced() {
    both("self_traced", 0, 0);
}

#[test]
fn a_command_that_goes_on_after_its_first_process() {
    both("daemonized", 5, 0);
}

#[test]
fn another_user_without_capabilities() {
    run(|| {
        without_capabilities(|| {
            mode("storm", 100, false, 0)?;
            mode("threads", 10, true, 0)
        })
    });
}

#[test]
fn the_command_is_killed() {
    run(|| {
        let machine = Machine::new("life")?;
        let _links = attach(&machine, false)?;
        let (input, _open) = std::io::pipe()?;
        let mut command = tasks("busy", 0)?;
        command.stdin(input);
        let mut traced = machine.command(command)?;
        traced.resume().map_err(failed)?;
        std::thread::sleep(Duration::from_millis(50));
        traced.signal(9).map_err(failed)?;
        let status = traced.wait().map_err(failed)?;
        ensure(status.signal() == Some(9), || format!("{status:?}"))?;
        ensure(traced.signal(9).is_err(), || "it has ended".into())?;
        ensure(machine.global("exits")? == 1, || {
            "its exit is an event".into()
        })
    });
}

#[test]
fn dropped_before_it_was_let_go_it_never_runs() {
    run(|| {
        let machine = Machine::new("life")?;
        let _links = attach(&machine, false)?;
        let traced = machine.command(tasks("calls", 1)?)?;
        let pid = traced.id();
        ensure(traced.try_wait().is_none(), || "it waits".into())?;
        ensure(traced.wait().is_err(), || "nobody let it go".into())?;
        drop(traced);
        let gone = !std::path::Path::new(&format!("/proc/{pid}")).exists();
        ensure(gone && machine.global("execs")? == 0, || {
            format!("process {pid} is still there")
        })
    });
}

#[test]
fn dropped_while_it_runs_it_goes_on() {
    run(|| {
        let machine = Machine::new("life")?;
        let links = attach(&machine, false)?;
        let (input, open) = std::io::pipe()?;
        let (mut said, says) = std::io::pipe()?;
        let mut command = crate::support::shell("read x; test $? = 1 && cat /etc/hostname");
        command.stdin(input).stdout(says);
        let mut traced = machine.command(command)?;
        traced.resume().map_err(failed)?;
        drop(traced);
        drop(links);
        drop(open);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut said, &mut text)?;
        ensure(text == std::fs::read_to_string("/etc/hostname")?, || text)
    });
}

/// `cargo test -p skep-vm --release --test tracer -- --ignored --nocapture`
#[test]
#[ignore = "long: tens of thousands of tasks"]
fn ten_thousand_of_each() {
    run(|| {
        for (name, count) in [
            ("storm", 10_000),
            ("threads", 2_000),
            ("killed", 3_000),
            ("vforks", 2_000),
        ] {
            for all_calls in [false, true] {
                let started = std::time::Instant::now();
                mode(name, count, all_calls, 0)?;
                println!(
                    "{name} {count}, every call {all_calls}: {:?}",
                    started.elapsed()
                );
            }
        }
        Ok(())
    });
}
