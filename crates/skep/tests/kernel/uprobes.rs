//! Uprobes on a library's function and on a program of the test's own: by symbol, by offset, in
//! one process.

use skep::{AttachOptions, Link, find_binary, symbol_offset};
use skep_testing::{Outcome, Test, ensure, expect_err, needs_kernel};

use crate::support::{Probed, Running, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new(
            "uprobes::a_librarys_function_is_found_by_its_section",
            library,
        ),
        Test::new("uprobes::functions_are_found_by_a_pattern", library_pattern),
        Test::new("uprobes::arguments_and_results_are_seen", values),
        Test::new("uprobes::a_place_inside_a_function_fires", inside),
        Test::new("uprobes::only_one_process_is_watched", one_process),
        Test::new("uprobes::what_is_not_there_is_named", missing),
    ]
}

/// `uprobes.bpf.c` with these programs, those without a target put on `target`.
fn uprobes(programs: &[&str], target: &str) -> Outcome<Running> {
    let mut object = object("uprobes")?;
    object.only_programs(programs)?;
    for name in programs.iter().filter(|name| !name.ends_with("in_library")) {
        object.program(name)?.attach_target(target);
    }
    Running::of(object)
}

fn probed_function() -> Outcome<String> {
    Ok(format!("{}:skep_probed", Probed::program()?.display()))
}

fn attach(running: &Running, pid: Option<u32>) -> Outcome<Vec<Link>> {
    let options = AttachOptions {
        pid,
        ..AttachOptions::default()
    };
    Ok(running.loaded.attach_all_with(&options)?)
}

fn library() -> Outcome {
    in_library("in_library")
}

fn library_pattern() -> Outcome {
    needs_kernel(6, 6)?;
    in_library("many_in_library")
}

fn in_library(program: &str) -> Outcome {
    let running = uprobes(&[program], "")?;
    let mut process = Probed::start()?;
    let links = attach(&running, Some(process.id()))?;
    process.call(6)?;
    let calls = running.number("library_calls")?;
    ensure(calls == 6, || format!("{calls} calls"))?;
    drop(links);
    process.call(2)?;
    let calls = running.number("library_calls")?;
    ensure(calls == 6, || format!("{calls} calls: it still fires"))
}

fn values() -> Outcome {
    let running = uprobes(&["at_entry", "at_return"], &probed_function()?)?;
    let _links = attach(&running, None)?;
    // Two processes, one of them started after: the file is probed, not the process.
    let (mut first, mut second) = (Probed::start()?, Probed::start()?);
    first.call(3)?;
    second.call(4)?;
    for name in ["entries", "returns"] {
        let count = running.number(name)?;
        ensure(count == 7, || format!("{count} {name}"))?;
    }
    let (argument, result) = (
        running.number("last_argument")?,
        running.number("last_result")?,
    );
    ensure((argument, result) == (14, 42), || {
        format!("{argument}, {result}")
    })
}

fn inside() -> Outcome {
    // The function's first byte again, by symbol and offset, and by the offset in the file.
    let program = Probed::program()?;
    let offset = symbol_offset(&program, "skep_probed")?;
    ensure(
        symbol_offset(&program, "skep_probed+0x4")? == offset + 4,
        || format!("{offset:#x}"),
    )?;
    for (place, wanted) in [
        ("main+0x0".to_owned(), 1),
        ("skep_probed+0".to_owned(), 5),
        (format!("{offset:#x}"), 5),
    ] {
        let target = format!("{}:{place}", program.display());
        let running = uprobes(&["at_offset"], &target)?;
        let _links = attach(&running, None)?;
        let mut process = Probed::start()?;
        process.call(5)?;
        let count = running.number("inside")?;
        ensure(count == wanted, || format!("{target}: {count}"))?;
    }
    Ok(())
}

fn one_process() -> Outcome {
    let running = uprobes(&["at_entry"], &probed_function()?)?;
    let (mut watched, mut other) = (Probed::start()?, Probed::start()?);
    let _links = attach(&running, Some(watched.id()))?;
    other.call(5)?;
    watched.call(2)?;
    let entries = running.number("entries")?;
    ensure(entries == 2, || format!("{entries} entries"))?;
    // A library is looked for among what the process has mapped.
    let mapped = find_binary("libc", Some(watched.id()))?;
    let below = format!("/proc/{}/root/", watched.id());
    ensure(mapped.starts_with(&below), || mapped.display().to_string())
}

fn missing() -> Outcome {
    let program = Probed::program()?;
    for (target, part) in [
        (format!("{}:skep_prob", program.display()), "`skep_probed`"),
        ("libnosuch:open".to_owned(), "libnosuch"),
        ("/no/such/program:main".to_owned(), "/no/such/program"),
        ("no-function".to_owned(), "no binary and function"),
    ] {
        let running = uprobes(&["at_entry"], &target)?;
        let error = expect_err(&target, running.loaded.attach_all())?.to_string();
        ensure(error.contains(part), || error.clone())?;
    }
    Ok(())
}
