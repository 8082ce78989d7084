//! What tracees do: threads, children, other programs, signals, libraries that come and go.

use std::{process::Command, time::Duration};

use skep_testing::{ensure, eventually};

use crate::support::{Linked, Probes, command, compare, in_machine, library, probed, run};

const BOTH: &[(&str, &str)] = &[("at_entry", "probed"), ("at_return", "probed")];
const COUNTERS: &[&str] = &["entries", "returns"];

fn counted(arguments: &[&str], calls: u64) {
    run(|| {
        for linked in [Linked::Pie, Linked::Static] {
            let binary = probed(linked)?;
            let (numbers, _) = compare(&binary.path, arguments, BOTH, COUNTERS)?;
            ensure(numbers == [("entries", calls), ("returns", calls)], || {
                format!("{numbers:?}")
            })?;
        }
        Ok(())
    });
}

#[test]
fn threads_lose_no_hit() {
    counted(&["threads", "100"], 6400);
}

#[test]
fn children_have_the_breakpoints_too() {
    counted(&["forks", "100"], 200);
}

#[test]
fn children_that_share_memory_count_once() {
    counted(&["vforks", "50"], 100);
}

#[test]
fn programs_that_are_spawned_and_executed_are_probed_anew() {
    counted(&["spawns", "10"], 30);
    counted(&["exec", "12"], 12);
}

#[test]
fn the_exit_status_is_the_commands_own() {
    counted(&["exits", "13"], 1);
}

#[test]
fn signals_meet_the_program_in_its_own_code() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let (numbers, _) = in_machine(&binary.path, &["signals", "20000"], BOTH, COUNTERS)?;
        let [(_, entries), (_, returns)] = numbers[..] else {
            unreachable!()
        };
        ensure(entries == returns && entries > 20_000, || {
            format!("{numbers:?}")
        })
    });
}

#[test]
fn faults_of_a_probed_instruction_are_its_own() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let counters = ["entries"];
        let kinds = [("many", "kind_*")];
        in_machine(&binary.path, &["faults", "20"], &kinds, &counters)?;
        Ok(())
    });
}

#[test]
fn traps_of_the_program_are_its_own() {
    counted(&["traps", "50"], 50);
}

#[test]
fn signals_that_are_kept_back_stay_so() {
    counted(&["masks", "20"], 20);
}

#[test]
fn a_library_that_comes_and_goes_is_probed_each_time() {
    run(|| {
        let (binary, library) = (probed(Linked::Pie)?, library()?);
        let path = library.path.to_str().unwrap();
        let arguments = ["library", "30", path];
        let alone = command(&binary.path, &arguments).output()?;
        let programs = [("at_entry", "in_library"), ("at_return", "in_library")];
        let probes = Probes::vm(&library.path, &programs)?;
        let (output, counts) = probes.trace(command(&binary.path, &arguments))?;
        ensure(output.stdout == alone.stdout, || format!("{output:?}"))?;
        let seen = (probes.number("entries")?, probes.number("returns")?);
        ensure(seen == (30, 30), || format!("{seen:?} {counts:?}"))
    });
}

#[test]
fn a_tracee_that_is_killed_at_a_hit_leaves_nobody_waiting() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        for round in 0..10u64 {
            let probes = Probes::vm(&binary.path, BOTH)?;
            let mut traced = probes.command(command(&binary.path, &["threads", "1000000"]))?;
            traced.resume().map_err(crate::support::failed)?;
            eventually("the first hit", || Ok(probes.number("entries")? > 0))?;
            std::thread::sleep(Duration::from_millis(round));
            traced.signal(9).map_err(crate::support::failed)?;
            let status = traced.wait().map_err(crate::support::failed)?;
            traced.wait_all();
            use std::os::unix::process::ExitStatusExt as _;
            ensure(status.signal() == Some(9), || format!("{status:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn other_programs_are_left_alone() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let probes = Probes::vm(&binary.path, BOTH)?;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "exit 3"]);
        let (output, counts) = probes.trace(shell)?;
        ensure(
            output.status.code() == Some(3) && counts.events == 0,
            || format!("{counts:?}"),
        )
    });
}

#[test]
fn a_program_in_a_sandbox_is_probed_where_it_was_before() {
    counted(&["calls", "40", "sandboxed"], 40);
}

#[test]
fn a_thread_that_executes_another_program_takes_the_others_along() {
    run(|| {
        let binary = probed(Linked::Pie)?;
        let (numbers, _) = in_machine(&binary.path, &["threadexec"], BOTH, COUNTERS)?;
        let [(_, entries), (_, returns)] = numbers[..] else {
            unreachable!()
        };
        // Two threads were in it when they ended.
        ensure(entries > 6 && entries - returns <= 2, || {
            format!("{numbers:?}")
        })
    });
}
