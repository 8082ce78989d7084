//! The same programs on the virtual machine, over a command that it traces.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    sync::Arc,
};

use skep::{Host, Object, vm::Vm};
use skep_testing::{Outcome, Stop, Test, ensure};

use super::{Running, object, saw, seen};
use crate::support::Probed;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("rust_hooks::functions_on_the_virtual_machine", functions),
        Test::new("rust_hooks::system_calls_on_the_virtual_machine", syscalls),
    ]
}

fn failed(error: impl std::fmt::Display) -> Stop {
    Stop::fail(error.to_string())
}

/// `probed.c` under the programs of an object, until it called its function once.
fn traced(object: Object) -> Outcome<Running> {
    let machine = Vm::new().map_err(failed)?;
    let loaded = object.load(&Host::new(Arc::new(machine.clone())))?;
    let running = Running { object, loaded };
    let mut command = Command::new(Probed::program()?);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut traced = machine.command(command).map_err(failed)?;
    let links = running.loaded.attach_all()?;
    traced.resume().map_err(failed)?;
    let ends = traced.stdio();
    let (Some(mut input), Some(output)) = (ends.stdin, ends.stdout) else {
        return Err(Stop::fail("no pipes"));
    };
    let mut lines = BufReader::new(output).lines();
    let mut next = || lines.next().unwrap_or_else(|| Ok("it ended".into()));
    ensure(next()? == "ready", || format!("{:?}", traced.counts()))?;
    writeln!(input, "1")?;
    ensure(next()? == "42", || format!("{:?}", traced.counts()))?;
    drop((input, links));
    let status = traced.wait().map_err(failed)?;
    let counts = traced.counts();
    let whole = status.success() && counts.faults == 0 && counts.refused.is_empty();
    ensure(whole, || format!("{status}: {counts:?}"))?;
    Ok(running)
}

fn functions() -> Outcome {
    let target = format!("{}:skep_probed", Probed::program()?.display());
    let programs = ["called", "left"];
    let mut object = object("tracing")?;
    object.only_programs(&programs)?;
    for name in programs {
        object.program(name)?.attach_target(&target);
    }
    let running = traced(object)?;
    for (index, wanted) in [(16, 14), (18, 1), (19, 42)] {
        saw(&running, index, wanted)?;
    }
    Ok(())
}

/// `getpriority(PRIO_PROCESS, 0)`, in the place of another call.
fn syscalls() -> Outcome {
    let programs = ["ksyscall", "kretsyscall"];
    let mut object = object("elsewhere")?;
    object.only_programs(&programs)?;
    for name in programs {
        object.program(name)?.attach_target("getpriority");
    }
    let running = traced(object)?;
    saw(&running, 5, 0)?;
    saw(&running, 6, 0)?;
    // 20 less the nice value, between 1 and 40.
    let priority = seen(&running, 7)?;
    ensure((1..=40).contains(&priority), || priority.to_string())
}
