//! Machines that are made for a run: for coverage, packets, or checks. And `--coverage FILE`: what of
//! the program ran while it was attached.

use anyhow::Context as _;
use skep::{
    Host, Loaded, Object,
    boundary::Error,
    vm::{Config, Vm},
};
use skep_test::coverage::Tally;

use super::RunArgs;

/// The host of a run: for coverage, packets and checks, a machine that is made for them.
pub(super) fn host(args: &RunArgs, object: &Object) -> anyhow::Result<Host> {
    let coverage = args.coverage.as_ref().map(|_| "--coverage");
    let packets = args.packets.asked();
    let checked = args.checked.then_some("--checked");
    let asked = packets.or(coverage).or(checked);
    if asked.is_none() {
        return args.host.choose(object, None);
    }
    args.host.choose_with(object, asked, || {
        let mut config = match args.checked {
            true => Config::checked(),
            false => Config::default(),
        };
        config.coverage = coverage.is_some();
        args.packets.configure(&mut config);
        let made = Vm::with(config);
        let made = made.map_err(|errno| Error::system("make", "a virtual machine", errno))?;
        if packets.is_some() {
            super::packets::prepare(args, &made)?;
        }
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
        say!("warning: {object} says nothing of its lines: compile it with -g");
    }
    match verbose {
        0 => crate::report::tell(report.uncovered()),
        _ => crate::report::tell(report.annotated()),
    }
    say!("{report} · {shown}");
    Ok(())
}
