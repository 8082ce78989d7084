//! The same points in a command that the virtual machine traces.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    sync::Arc,
};

use skep::{Host, vm::Vm};
use skep_testing::{Outcome, Stop, ensure};

use super::points::{Form, built, check, on, points};
use crate::support::Running;

fn failed(error: impl std::fmt::Display) -> Stop {
    Stop::fail(error.to_string())
}

/// Runs a form of the program under programs on these points: it calls all points as often as
/// `calls` says, and answers how many watch before each.
fn trace(form: Form, names: &[&str], calls: &[u32]) -> Outcome<(Running, Vec<String>)> {
    let built = built(form)?;
    let machine = Vm::new().map_err(failed)?;
    let object = on(names, &built)?;
    let loaded = object.load(&Host::new(Arc::new(machine.clone())))?;
    let running = Running { object, loaded };
    let mut command = Command::new(&built.program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut traced = machine.command(command).map_err(failed)?;
    let links = running.loaded.attach_all()?;
    traced.resume().map_err(failed)?;
    let ends = traced.stdio();
    let (Some(mut input), Some(output)) = (ends.stdin, ends.stdout) else {
        return Err(Stop::fail("no pipes"));
    };
    let mut lines = BufReader::new(output).lines();
    let mut said = Vec::new();
    let mut next = || lines.next().unwrap_or_else(|| Ok("it ended".into()));
    ensure(next()? == "ready", || format!("{:?}", traced.counts()))?;
    for times in calls {
        writeln!(input, "{times}")?;
        said.push(next()?);
    }
    drop(links);
    writeln!(input, "1")?;
    said.push(next()?);
    drop(input);
    let status = traced.wait().map_err(failed)?;
    let counts = traced.counts();
    let whole = status.success() && counts.faults == 0 && counts.refused.is_empty();
    ensure(whole, || format!("{status}, {counts:?}"))?;
    Ok((running, said))
}

pub(super) fn arguments() -> Outcome {
    for form in [Form::Fixed, Form::Anywhere, Form::Library] {
        let points = points(form);
        let names: Vec<&str> = points.iter().map(|(name, _)| *name).collect();
        let (running, _) = trace(form, &names, &[3])?;
        check(&running, &built(form)?, &points, 3)?;
    }
    Ok(())
}

/// Counters of watchers are kept while links are there.
pub(super) fn watched() -> Outcome {
    for form in [Form::Fixed, Form::Anywhere, Form::Library] {
        let (_, said) = trace(form, &["watched"], &[1, 2])?;
        ensure(said == ["1", "1", "0"], || format!("{said:?}"))?;
    }
    Ok(())
}
