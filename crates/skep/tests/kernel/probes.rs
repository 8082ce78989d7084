//! Each way to a function of user space, by its section's name: fired, seen, and gone at detach.

use skep::boundary::TestRun;
use skep_testing::{Outcome, Test, ensure, needs_kernel};

use crate::support::{Probed, Running, object};

/// The hook, the program, the kernel that has it first, and how often a call fires it.
macro_rules! probes {
    ($($hook:literal $program:literal ($major:literal $minor:literal) $times:literal;)*) => {
        vec![$({
            fn test() -> Outcome {
                needs_kernel($major, $minor)?;
                fires($program, $times)
            }
            Test::new(concat!("probes::", $program), test).of_hook($hook)
        }),*]
    };
}

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = probes! {
        "uprobe" "uprobe" (4 17) 1;
        "uprobe.s" "uprobe_s" (6 0) 1;
        "uretprobe" "uretprobe" (4 17) 1;
        "uretprobe.s" "uretprobe_s" (6 0) 1;
        "uprobe.multi" "uprobe_multi" (6 6) 1;
        "uprobe.multi.s" "uprobe_multi_s" (6 6) 1;
        "uretprobe.multi" "uretprobe_multi" (6 6) 1;
        "uretprobe.multi.s" "uretprobe_multi_s" (6 6) 1;
        "uprobe.session" "uprobe_session" (6 13) 2;
        "uprobe.session.s" "uprobe_session_s" (6 13) 2;
    };
    tests.push(
        Test::new("probes::a_tracepoint_that_may_be_written_to", writable).of_hook("raw_tp.w"),
    );
    tests
}

fn fires(program: &str, times: u64) -> Outcome {
    let mut object = object("probes")?;
    object.only_programs(&[program])?;
    let target = format!("{}:skep_probed", Probed::program()?.display());
    object.program(program)?.attach_target(target);
    let running = Running::of(object)?;
    let mut process = Probed::start()?;
    process.call(2)?;
    ensure(running.number("hits")? == 0, || {
        "before it is attached".into()
    })?;
    let link = running.loaded.program(program)?.attach()?;
    process.call(3)?;
    let hits = running.number("hits")?;
    ensure(hits == 3 * times, || format!("{hits} hits of 3 calls"))?;
    link.detach()?;
    process.call(2)?;
    ensure(running.number("hits")? == hits, || "it still fires".into())
}

/// Test runs pass through it.
fn writable() -> Outcome {
    needs_kernel(5, 2)?;
    let mut object = object("probes")?;
    object.only_programs(&["writable", "passes"])?;
    let running = Running::of(object)?;
    let run = || -> Outcome {
        let mut run = TestRun {
            data_in: &[0; 64],
            ..TestRun::default()
        };
        running.loaded.program("passes")?.test_run(&mut run)?;
        Ok(())
    };
    run()?;
    let link = running.loaded.program("writable")?.attach()?;
    ensure(running.number("hits")? == 0, || {
        "before it is attached".into()
    })?;
    run()?;
    ensure(running.number("hits")? > 0, || "no hit".into())?;
    link.detach()?;
    let hits = running.number("hits")?;
    run()?;
    ensure(running.number("hits")? == hits, || "it still fires".into())
}
