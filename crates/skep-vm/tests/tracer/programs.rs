//! What programs do to tracees, and what they can't.

use skep_host::{AttachPoint, Host as _};
use skep_testing::{Outcome, ensure};

use crate::support::{Machine, failed, run, tasks};

const CALLS: u32 = 40;

/// Runs `tasks MODE` under one program of `wrong.bpf.c`.
fn under(program: &str, mode: &str, count: u32, faults: u64, fault: &str) -> Outcome<Machine> {
    let machine = Machine::limited("wrong", 100_000)?;
    let _link = machine.loaded.program(program)?.attach()?;
    let traced = machine.trace(tasks(mode, count)?)?;
    let counts = traced.counts();
    let status = traced.wait().map_err(failed)?;
    ensure(status.success() && counts.lost_tasks == 0, || {
        format!("{program}: {status:?} {counts:?}")
    })?;
    ensure(counts.faults == faults, || format!("{program}: {counts:?}"))?;
    let first = counts.first_faults.first();
    let told = first.is_none_or(|first| first.contains(fault) && first.contains(program));
    ensure(told && first.is_some() == (faults > 0), || {
        format!("{program}: {first:?}")
    })?;
    ensure(counts.first_faults.len() <= 16, || "texts are few".into())?;
    ensure(counts.runs == machine.global("runs")?, || {
        format!("{program}: {counts:?}")
    })?;
    Ok(machine)
}

#[test]
fn a_program_that_faults_does_not_harm_the_task() {
    run(|| {
        let all = u64::from(CALLS) + 1;
        under("wild", "calls", CALLS, all, "which is not the program's").map(drop)
    });
}

#[test]
fn a_program_that_never_ends_is_ended() {
    run(|| {
        let all = u64::from(CALLS) + 1;
        under("endless", "calls", CALLS, all, "instructions are spent").map(drop)
    });
}

#[test]
fn a_full_ring_is_counted_by_the_program() {
    run(|| {
        let machine = under("fills", "calls", CALLS, 0, "")?;
        let lost = machine.global("lost")?;
        // 15 records of 264 bytes fit.
        ensure(lost == u64::from(CALLS) + 1 - 15, || format!("{lost} lost"))
    });
}

#[test]
fn memory_is_written_and_signals_are_sent() {
    run(|| under("changes", "changed", 5, 0, "").map(drop));
}

#[test]
fn signals_are_sent_with_values() {
    run(|| under("queues", "queued", 3, 0, "").map(drop));
}

#[test]
fn calls_of_other_machines_fire_nothing_and_are_counted() {
    run(|| {
        let machine = Machine::new("life")?;
        let _links = crate::support::attach(&machine, true)?;
        let traced = machine.trace(tasks("foreign", 5)?)?;
        let counts = traced.counts();
        let status = traced.wait().map_err(failed)?;
        if std::os::unix::process::ExitStatusExt::signal(&status) == Some(11) {
            return Err(skep_testing::Stop::lacks("32-bit system calls".to_owned()));
        }
        ensure(status.success(), || format!("{status:?} {counts:?}"))?;
        ensure(counts.foreign_calls == 5, || format!("{counts:?}"))?;
        // `getppid` of this machine, by the C library.
        let seen = machine.global("tp_exit")?;
        ensure(seen == 5, || format!("{seen}"))
    });
}

#[test]
fn a_call_that_is_not_there_is_named() {
    run(|| {
        let machine = Machine::unverified("wrong")?;
        let program = machine.loaded.program("wild")?;
        let attach = |name: &str| {
            let point = AttachPoint::Tracepoint {
                category: "syscalls".into(),
                name: name.to_owned(),
                cookie: None,
            };
            let kind = program.program_type();
            let attached = machine.vm.attach("wild", program.fd(), kind, &point);
            let cause = |error: skep_host::Error| match error.cause() {
                Some(cause) => format!("{error}: {cause:?}"),
                None => error.to_string(),
            };
            attached.map(drop).map_err(cause)
        };
        let error = attach("sys_enter_opnat").unwrap_err();
        ensure(error.contains("sys_enter_openat"), || error)?;
        // The kernel's functions are named otherwise than some numbers.
        let error = attach("sys_exit_fstat").unwrap_err();
        ensure(error.contains("sys_exit_newfstat"), || error)?;
        attach("sys_exit_newfstat").map_err(skep_testing::Stop::fail)
    });
}
