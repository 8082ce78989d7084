//! Timers and static probe points on both hosts: those that sample a command, those of programs
//! while it sleeps, and points in an interpreter.

use serde_json::{Value, json};
use skep_testing::{Outcome, Stop, Test, ensure};

use crate::{
    hosts::{over, rows, same},
    support::{Language, Ran, in_both, run, source, worker},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = in_both! {
        "timers::";
        profile_finds_the_same_place profile;
        imports_are_the_same imports;
    };
    tests.push(Test::new("timers::timers_of_programs_go_on", ticks));
    tests
}

/// The functions of the place that was seen most, innermost first, and the share of samples there.
fn busiest(ran: &Ran) -> Outcome<(Vec<String>, f64)> {
    let mut places: Vec<(Vec<String>, u64)> = Vec::new();
    for row in ran.json()? {
        let frames = row["user_stack"].as_array().cloned().unwrap_or_default();
        // Without the place in the function, and up to `main`: the library's start has no names.
        let names = frames.iter().filter_map(Value::as_str);
        let names = names.map(|name| name.split('+').next().unwrap_or(name).to_owned());
        let names: Vec<String> = names.take_while(|name| !name.starts_with('[')).collect();
        let count = row["value"].as_u64().unwrap_or(0);
        match places.iter_mut().find(|(known, _)| *known == names) {
            Some((_, sum)) => *sum += count,
            None => places.push((names, count)),
        }
    }
    let all: u64 = places.iter().map(|(_, count)| count).sum();
    let most = places.into_iter().max_by_key(|(_, count)| *count);
    let (names, count) = most.ok_or_else(|| Stop::fail(ran.to_string()))?;
    Ok((names, count as f64 / all as f64))
}

fn profile(of: Language) -> Outcome {
    let worker = worker()?;
    let command = [worker.to_str().unwrap_or_default(), "spin", "600"];
    let on = |host| busiest(&over(of, host, "profile", &command)?.ended_with(0)?);
    let ((kernel, kernels), (vm, vms)) = (on("kernel")?, on("vm")?);
    ensure(kernel == vm && kernel.len() >= 3, || {
        format!("kernel: {kernel:?}, vm: {vm:?}")
    })?;
    // Where nearly all of the time goes, nearly all of the samples are.
    ensure(kernels > 0.5 && vms > 0.5, || format!("{kernels}, {vms}"))
}

/// On the virtual machine alone: the kernel lets no tracing program have a timer.
fn ticks() -> Outcome {
    let words = ["--checked", "--format", "json", "--", "sleep", "0.4"];
    let ran = run(&source("ticks.bpf.c"), &words)?.ended_with(0)?;
    let seen = rows(&ran, &["number", "in_time"])?;
    let wanted: Vec<Value> = (1..=5).map(|number| json!([number, true])).collect();
    ensure(seen == wanted, || format!("{seen:?}\n{ran}"))
}

fn imports(of: Language) -> Outcome {
    let python = crate::examples::python_with_points()?;
    let python = python.to_str().unwrap_or_default();
    let command = [python, "-S", "-c", "import json, email.message"];
    let seen = same(
        of,
        "usdt_imports",
        &["depth", "found", "name"],
        &command,
        |_| true,
    )?;
    let last = json!([0, true, "email.message"]);
    ensure(seen.contains(&last), || format!("{seen:?}"))
}
