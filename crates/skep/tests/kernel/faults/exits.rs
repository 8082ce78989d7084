//! Processes that end before, while and after they are attached to.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use skep::{AttachOptions, Error, Link, boundary::Cause};
use skep_testing::{Outcome, Stop, Test, ensure, expect_err, needs_kernel};

use crate::support::{Probed, Running, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("faults::a_process_that_ended_is_named", ended),
        Test::new("faults::a_process_may_end_while_attached", while_attached),
        Test::new("faults::a_process_may_end_while_attaching", while_attaching),
    ]
}

/// Programs and what they are put on in the probed program: by one event, by a link to many places,
/// and at a library's function.
const PROGRAMS: [&str; 3] = ["at_entry", "in_library", "many_in_library"];

fn running(program: &str) -> Outcome<Running> {
    let mut object = object("uprobes")?;
    object.only_programs(&[program])?;
    if program == "at_entry" {
        let target = format!("{}:skep_probed", Probed::program()?.display());
        object.program(program)?.attach_target(target);
    }
    Running::of(object)
}

fn attach(running: &Running, pid: u32) -> Result<Vec<Link>, Error> {
    running.loaded.attach_all_with(&AttachOptions {
        pid: Some(pid),
        ..AttachOptions::default()
    })
}

/// Programs that this kernel can attach.
fn programs() -> impl Iterator<Item = &'static str> {
    PROGRAMS
        .into_iter()
        .filter(|name| !name.starts_with("many") || needs_kernel(6, 10).is_ok())
}

/// An error of a process that is gone says so, by its number.
fn names(error: &Error, pid: u32) -> Outcome {
    let number = pid.to_string();
    let named = match error.cause() {
        Some(Cause::NotFound { kind, name, .. }) => *kind == "process" && *name == number,
        _ => error.to_string().contains(&format!("process {number} ")),
    };
    ensure(named, || format!("{error}: {:?}", error.cause()))
}

fn ended() -> Outcome {
    for program in programs() {
        let running = running(program)?;
        let gone = Probed::start()?.id();
        let error = expect_err(program, attach(&running, gone))?;
        names(&error, gone)?;
        // Ended, but nobody has asked how.
        let process = Probed::start()?;
        kill(process.id())?;
        let dead = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id()));
            Ok(stat.is_ok_and(|stat| stat.contains(") Z ")))
        };
        skep_testing::eventually("its end", dead)?;
        let error = expect_err(program, attach(&running, process.id()))?;
        names(&error, process.id())?;
    }
    Ok(())
}

fn kill(pid: u32) -> Outcome {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Stop::fail("no process"))?;
    Ok(kill_process(pid, Signal::KILL)?)
}

fn while_attached() -> Outcome {
    for program in programs() {
        let running = running(program)?;
        let counter = match program {
            "at_entry" => "entries",
            _ => "library_calls",
        };
        let mut process = Probed::start()?;
        let links = attach(&running, process.id())?;
        process.call(5)?;
        drop(process);
        let hits = running.number(counter)?;
        ensure(hits == 5, || format!("{program}: {hits} of 5"))?;
        for link in links {
            link.info()?;
            link.detach()?;
        }
        // Its place is taken by others, which nobody watches.
        Probed::start()?.call(3)?;
        let hits = running.number(counter)?;
        ensure(hits == 5, || format!("{program}: {hits}, not 5"))?;
    }
    Ok(())
}

fn while_attaching() -> Outcome {
    const ROUNDS: u32 = 40;
    for program in programs() {
        let running = running(program)?;
        let mut ends = [0; 2];
        for round in 0..ROUNDS {
            let process = Probed::start()?;
            let (pid, go) = (process.id(), AtomicBool::new(false));
            let attached = thread::scope(|scope| {
                let killer = scope.spawn(|| {
                    while !go.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    // Each round a little later: before, while and after it is attached.
                    thread::sleep(Duration::from_micros(u64::from(round).pow(2) * 50));
                    drop(process);
                });
                go.store(true, Ordering::Release);
                let attached = attach(&running, pid);
                killer.join().map(|()| attached)
            });
            match attached.map_err(|_| Stop::fail("the killer fell"))? {
                Ok(links) => {
                    ends[0] += 1;
                    for link in links {
                        link.detach()?;
                    }
                }
                Err(error) => {
                    ends[1] += 1;
                    names(&error, pid)?;
                }
            }
        }
        ensure(ends.iter().sum::<u32>() == ROUNDS, || format!("{ends:?}"))?;
    }
    Ok(())
}
