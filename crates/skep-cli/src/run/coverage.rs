//! `skep run --coverage FILE`: what of the program ran while it was attached.

use anyhow::Context as _;
use skep::{
    Host, Loaded, Object,
    boundary::Error,
    vm::{Config, Vm},
};
use skep_test::coverage::Tally;

use super::RunArgs;

/// The host of a run: for coverage, a machine that counts.
pub(super) fn host(args: &RunArgs, object: &Object) -> anyhow::Result<Host> {
    if args.coverage.is_none() {
        return args.host.choose(object, None);
    }
    args.host.choose_with(object, Some("--coverage"), || {
        let mut config = Config::default();
        config.coverage = true;
        let made = Vm::with(config);
        let made = made.map_err(|errno| Error::system("make", "a virtual machine", errno))?;
        Ok(Host::of_vm(made))
    })
}

/// Writes the tracefile, and says on stderr what did not run.
pub(super) fn finish(
    args: &RunArgs,
    object: &Object,
    loaded: &Loaded,
    verbose: u8,
) -> anyhow::Result<()> {
    let Some(path) = &args.coverage else {
        return Ok(());
    };
    let mut tally = Tally::default();
    tally.add(object.spec(), loaded)?;
    let report = tally.report();
    let shown = path.display();
    std::fs::write(path, report.lcov()).with_context(|| format!("cannot write {shown}"))?;
    for object in &report.without_lines {
        eprintln!("warning: {object} says nothing of its lines: compile it with -g");
    }
    match verbose {
        0 => eprint!("{}", report.uncovered()),
        _ => eprint!("{}", report.annotated()),
    }
    eprintln!("{report} · {shown}");
    Ok(())
}
