//! What watches: system calls, tasks, functions of processes, samples, iterators.

use std::{io::Read as _, process::Command};

use skep::{
    AttachOptions, Link, StructOps,
    boundary::{PerfScope, TestRun},
};
use skep_testing::{Outcome, Test, ensure, eventually, in_netns, needs_kernel};

use super::{Running, object, running, saw, seen};
use crate::{
    struct_ops::{has, send_with},
    support::{Probed, me},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("rust_hooks::system_calls_have_their_arguments", calls),
        Test::new("rust_hooks::tracepoints_have_their_fields", fields),
        Test::new("rust_hooks::functions_of_processes_have_theirs", functions),
        Test::new("rust_hooks::samples_say_what_they_are_of", samples),
        Test::new("rust_hooks::iterators_show_objects_and_an_end", iterators),
        Test::new("rust_hooks::a_syscall_program_answers_its_caller", syscall),
        Test::new("rust_hooks::a_congestion_control_in_rust_works", congestion),
    ]
}

/// Programs of `tracing.rs`, which watch this process, attached.
fn watching(programs: &[&str], options: &AttachOptions) -> Outcome<(Running, Vec<Link>)> {
    let mut object = object("tracing")?;
    object.only_programs(programs)?;
    object.global("PROCESS")?.set(me())?;
    let running = Running::of(object)?;
    let links = running.loaded.attach_all_with(options)?;
    Ok((running, links))
}

/// A process that nobody has.
const NOBODY: i32 = 987_654_321;

/// The number of `getpgid`.
#[cfg(target_arch = "x86_64")]
const GETPGID: u64 = 121;
#[cfg(not(target_arch = "x86_64"))]
const GETPGID: u64 = 155;

fn ask() -> Outcome {
    let nobody = rustix::process::Pid::from_raw(NOBODY);
    let answer = rustix::process::getpgid(nobody);
    ensure(answer == Err(rustix::io::Errno::SRCH), || {
        format!("{answer:?}")
    })
}

fn calls() -> Outcome {
    needs_kernel(5, 15)?; // cookies
    let programs = ["asked", "answered", "any_call", "any_exit", "raw", "typed"];
    let options = AttachOptions {
        cookie: Some(77),
        ..AttachOptions::default()
    };
    let mut object = object("tracing")?;
    object.only_programs(&programs)?;
    object.global("PROCESS")?.set(me())?;
    let running = Running::of(object)?;
    let links: Vec<Link> = programs
        .iter()
        .map(|name| {
            // Before 6.10 raw tracepoints have no cookies.
            let options = match *name {
                "asked" => options.clone(),
                _ => AttachOptions::default(),
            };
            Ok(running.loaded.program(name)?.attach_with(&options)?)
        })
        .collect::<Outcome<_>>()?;
    ask()?;
    for (index, wanted) in [
        (0, NOBODY as u64),
        (1, 77),
        (2, -3_i64 as u64),
        (3, GETPGID),
        (4, GETPGID),
        (12, GETPGID),
        (13, GETPGID),
    ] {
        saw(&running, index, wanted)?;
    }
    drop(links);
    Ok(())
}

fn fields() -> Outcome {
    needs_kernel(5, 15)?;
    let programs = ["exec", "fork", "switched", "typed_switch"];
    let (running, _links) = watching(&programs, &AttachOptions::default())?;
    ensure(Command::new("/bin/true").status()?.success(), || {
        "false".into()
    })?;
    for (index, wanted) in [
        // With its NUL.
        (5, "/bin/true".len() as u64 + 1),
        (6, 1),
        (7, "/bin/true".len() as u64 + 1),
        (8, 1),
    ] {
        saw(&running, index, wanted)?;
    }
    // A thread may fork, or leave the processor, and is told by its own number.
    let is_thread = |id: u64| std::path::Path::new(&format!("/proc/self/task/{id}")).exists();
    let parent = seen(&running, 9)?;
    ensure(is_thread(parent), || format!("{parent} forked"))?;
    eventually("a switch", || {
        std::thread::sleep(std::time::Duration::from_millis(1));
        Ok(seen(&running, 10)? != 0 && seen(&running, 14)? != 0)
    })?;
    ensure(seen(&running, 11)? != 0, || "a task without a name".into())?;
    saw(&running, 15, 1)
}

fn functions() -> Outcome {
    needs_kernel(5, 15)?;
    let target = format!("{}:skep_probed", Probed::program()?.display());
    let programs = ["called", "left", "called_and_sleeps"];
    let mut object = object("tracing")?;
    object.only_programs(&programs)?;
    for name in programs {
        object.program(name)?.attach_target(&target);
    }
    let running = Running::of(object)?;
    let mut process = Probed::start()?;
    let options = AttachOptions {
        pid: Some(process.id()),
        cookie: Some(99),
        ..AttachOptions::default()
    };
    let _links = running.loaded.attach_all_with(&options)?;
    process.call(1)?;
    for (index, wanted) in [(16, 14), (17, 99), (18, 1), (19, 42), (20, 14)] {
        saw(&running, index, wanted)?;
    }
    Ok(())
}

fn samples() -> Outcome {
    let options = AttachOptions {
        perf_scope: Some(PerfScope::Process(me())),
        frequency: Some(999),
        ..AttachOptions::default()
    };
    let (running, _links) = watching(&["sampled"], &options)?;
    eventually("a sample", || {
        (0..100_000_u64).for_each(|number| {
            std::hint::black_box(number);
        });
        Ok(seen(&running, 27)? != 0)
    })?;
    // What children inherit can't be read (EOPNOTSUPP).
    let (enabled, error) = (seen(&running, 30)?, seen(&running, 31)? as i64);
    ensure(enabled != 0 || error == -95, || {
        format!("{enabled}, {error}")
    })?;
    saw(&running, 28, 1)
}

fn iterators() -> Outcome {
    needs_kernel(5, 8)?;
    let running = running("tracing", &["tasks", "maps"])?;
    let read = |name: &str| -> Outcome<Vec<u8>> {
        let mut bytes = Vec::new();
        let link = running.loaded.program(name)?.attach()?;
        link.iterate()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read("tasks")?).into_owned();
    let mine = format!("{} {} ", me(), me());
    ensure(text.lines().any(|line| line.starts_with(&mine)), || {
        text.clone()
    })?;
    ensure(text.lines().last() == Some("end"), || text.clone())?;
    let shown = text.lines().filter(|line| *line != "end");
    for (number, line) in shown.enumerate() {
        ensure(line.ends_with(&format!(" {number}")), || {
            format!("{number}: {line}")
        })?;
    }
    // The ids of all maps, the program's own among them.
    let ids = read("maps")?;
    let ids: Vec<u32> = ids
        .as_chunks::<4>()
        .0
        .iter()
        .map(|id| u32::from_ne_bytes(*id))
        .collect();
    let own = running.loaded.map("SEEN")?.info()?.id;
    ensure(ids.contains(&own), || format!("{own} is not in {ids:?}"))
}

fn syscall() -> Outcome {
    needs_kernel(5, 14)?;
    let running = running("tracing", &["add"])?;
    let words = |words: [u64; 3]| words.map(u64::to_ne_bytes).concat();
    let (given, mut answer) = (words([40, 2, 0]), vec![0; 24]);
    running.loaded.program("add")?.test_run(&mut TestRun {
        context_in: &given,
        context_out: &mut answer,
        ..TestRun::default()
    })?;
    // The kernel writes to what it was given.
    ensure(answer == words([40, 2, 42]), || format!("{answer:?}"))
}

fn congestion() -> Outcome {
    needs_kernel(6, 4)?;
    let running = Running::of(object("struct_ops")?)?;
    let linked: &std::sync::Arc<StructOps> = running.loaded.struct_ops("LINKED")?;
    let link = linked.attach()?;
    ensure(has("skep_rust")?, || "not registered".into())?;
    in_netns(|_| send_with("skep_rust"))?;
    let calls = running.loaded.map("CALLS")?;
    for index in 0..3_u32 {
        let count = calls.lookup(&index.to_ne_bytes())?.unwrap_or_default();
        ensure(count.iter().any(|byte| *byte != 0), || {
            format!("CALLS[{index}] is 0")
        })?;
    }
    drop(link);
    ensure(!has("skep_rust")?, || "still registered".into())
}
