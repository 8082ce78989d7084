//! Running the tests of a suite: each with a load of its own, several at once on machines.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use skep::Host;

use crate::{
    Failure, Outcome, Report, TestHost, TestReport,
    coverage::Tally,
    definition::{Definition, Replayed},
    failure::Mismatch,
    run::{Mark, Prepared, Session, Stop, Wishes, kernel_runs, programs_of, replay, said},
    source::FileError,
};

/// How tests are run.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunOptions {
    /// What on.
    pub host: TestHost,
    /// Only those whose name has this in it.
    pub filter: Option<String>,
    /// None is begun after the first that fails.
    pub fail_fast: bool,
    /// Whether it is counted what of the programs runs; only in the virtual machine.
    pub coverage: bool,
    /// How many tests run at once, at most; as many as there are processors if nothing is said. On
    /// the kernel, which all share, it is one.
    pub threads: Option<usize>,
}

/// Runs tests.
pub(crate) fn run(
    path: &Path,
    prepared: &Arc<Prepared>,
    tests: &[Definition],
    options: &RunOptions,
) -> Report {
    let began = Instant::now();
    let filter = options.filter.as_deref().unwrap_or_default();
    let chosen: Vec<_> = tests
        .iter()
        .filter(|test| test.name.contains(filter))
        .collect();
    let kernel = match options.host {
        TestHost::Kernel => Host::kernel().ok(),
        TestHost::Vm => None,
    };
    let threads = match options.host {
        TestHost::Kernel => 1,
        TestHost::Vm => {
            let all = thread::available_parallelism().map_or(1, usize::from);
            options.threads.unwrap_or(all).clamp(1, chosen.len().max(1))
        }
    };
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let done: Vec<OnceLock<TestReport>> = chosen.iter().map(|_| OnceLock::new()).collect();
    let work = || {
        let mut tally = Tally::default();
        loop {
            let at = next.fetch_add(1, Relaxed);
            let (Some(test), Some(place)) = (chosen.get(at), done.get(at)) else {
                break;
            };
            if stop.load(Relaxed) {
                break;
            }
            let tally = options.coverage.then_some(&mut tally);
            let report = one(prepared, test, options.host, kernel.as_ref(), tally);
            if options.fail_fast && matches!(report.outcome, Outcome::Failed(_)) {
                stop.store(true, Relaxed);
            }
            let _ = place.set(report);
        }
        tally
    };
    let tallies = match threads {
        1 => vec![work()],
        _ => thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().ok())
                .collect()
        }),
    };
    let mut coverage = None;
    if options.coverage {
        let mut whole = Tally::default();
        whole.know(&prepared.spec);
        for tally in tallies {
            whole.merge(tally);
        }
        coverage = Some(whole);
    }
    let tests: Vec<_> = done.into_iter().filter_map(OnceLock::into_inner).collect();
    Report {
        path: path.to_owned(),
        program: None,
        left: chosen.len().saturating_sub(tests.len()),
        tests,
        duration: began.elapsed(),
        coverage,
    }
}

/// Runs a test.
fn one(
    prepared: &Arc<Prepared>,
    test: &Definition,
    host: TestHost,
    kernel: Option<&Host>,
    tally: Option<&mut Tally>,
) -> TestReport {
    let began = Instant::now();
    let mut printed = Vec::new();
    let outcome = match carry_out(prepared, test, host, kernel, tally, &mut printed) {
        Ok(differ) if differ.is_empty() => Outcome::Passed,
        Ok(mismatches) => Outcome::Failed(Failure {
            mismatches,
            error: None,
            printed,
        }),
        Err(Stop::Skip(reason)) => Outcome::Skipped(reason),
        Err(Stop::Refused(text)) => Outcome::Failed(Failure {
            mismatches: Vec::new(),
            error: Some(FileError::new(
                test.place.clone(),
                format!("not loaded: {text}"),
            )),
            printed,
        }),
        Err(Stop::File(error)) => Outcome::Failed(Failure {
            mismatches: Vec::new(),
            error: Some(error),
            printed,
        }),
    };
    TestReport {
        name: test.name.clone(),
        place: test.place.clone(),
        host,
        duration: began.elapsed(),
        outcome,
    }
}

fn carry_out(
    prepared: &Arc<Prepared>,
    test: &Definition,
    host: TestHost,
    kernel: Option<&Host>,
    tally: Option<&mut Tally>,
    printed: &mut Vec<String>,
) -> Result<Vec<Mismatch>, Stop> {
    if !test.hosts.is_empty() && !test.hosts.contains(&host) {
        let names: Vec<_> = test.hosts.iter().map(|host| host.name()).collect();
        return Err(Stop::Skip(format!(
            "it is for {} alone",
            names.join(" and ")
        )));
    }
    if let Some(recorded) = &test.replay {
        return replayed(prepared, test, recorded, host, printed);
    }
    let programs = programs_of(prepared, test)?;
    let refused = match host {
        TestHost::Kernel => not_on_the_kernel(prepared, test, &programs),
        TestHost::Vm => None,
    };
    if let Some(reason) = refused {
        return Err(Stop::Skip(reason));
    }
    let wishes = Wishes {
        host,
        kernel,
        coverage: tally.is_some(),
        repeat: test.steps.iter().map(|step| step.repeat).max().unwrap_or(1),
        cpu: test
            .steps
            .iter()
            .filter_map(|step| step.cpu)
            .max()
            .unwrap_or(0),
    };
    let refusal = test
        .expectations()
        .find_map(|expect| expect.of("load_error"));
    let mut session = match (
        Session::open(prepared, &test.setup, &programs, wishes),
        refusal,
    ) {
        (Err(Stop::Refused(text)), Some(expected)) => {
            return Ok(said(expected, &text, "load_error")?.into_iter().collect());
        }
        (Ok(_), Some(expected)) => {
            return Ok(vec![Mismatch {
                path: "load_error".into(),
                expected: expected.to_string(),
                got: "it is loaded".into(),
                place: expected.place.clone(),
            }]);
        }
        (opened, _) => opened?,
    };
    let mut differ = Vec::new();
    let several = test.steps.len() > 1;
    let mut last = None;
    for (index, step) in test.steps.iter().enumerate() {
        session.step(step)?;
        let mut own = Vec::new();
        let since = session.mark.clone();
        session.check(&step.expect, Some(step), &since, &mut own)?;
        if several {
            for mismatch in &mut own {
                mismatch.path = format!("run {}: {}", index.saturating_add(1), mismatch.path);
            }
        }
        differ.append(&mut own);
        if step.runs {
            last = Some(step);
        }
    }
    if let Some(expect) = &test.expect {
        // Its program is that of the last run; its faults have been told.
        let mut own = Vec::new();
        session.check_end(expect, last, &mut own)?;
        differ.append(&mut own);
    }
    if !differ.is_empty() && session.on_vm() {
        let lines = session.events.lines(&session.loaded, &Mark::default())?;
        printed.extend_from_slice(lines);
    }
    if let Some(tally) = tally {
        tally
            .add(&prepared.spec, &session.loaded)
            .map_err(|error| FileError::new(test.place.clone(), format!("coverage: {error}")))?;
    }
    Ok(differ)
}

/// Carries out a test of a recording. What of the source ran is not counted: the programs are
/// changed ones.
fn replayed(
    prepared: &Arc<Prepared>,
    test: &Definition,
    recorded: &Replayed,
    host: TestHost,
    printed: &mut Vec<String>,
) -> Result<Vec<Mismatch>, Stop> {
    if host != TestHost::Vm {
        let reason = "a recording is replayed in the virtual machine";
        return Err(Stop::Skip(reason.into()));
    }
    let mut differ = Vec::new();
    let mut session = replay(prepared, &test.setup, recorded, &mut differ)?;
    if let Some(expect) = &test.expect {
        session.check_end(expect, None, &mut differ)?;
    }
    if !differ.is_empty() {
        let lines = session.events.lines(&session.loaded, &Mark::default())?;
        printed.extend_from_slice(lines);
    }
    Ok(differ)
}

/// What of a test the kernel's test run can't do.
fn not_on_the_kernel(prepared: &Prepared, test: &Definition, programs: &[&str]) -> Option<String> {
    let program = |name: &&str| prepared.spec.program(name);
    for of in programs.iter().filter_map(program) {
        if !kernel_runs(of.program_type(), of.attach_type()) {
            return Some(format!(
                "the kernel runs no programs of type {} by hand",
                of.program_type()
            ));
        }
    }
    if test.setup.time.is_some() || test.steps.iter().any(|step| step.advance.is_some()) {
        return Some("the kernel's clock can't be set".into());
    }
    let steps = || test.steps.iter();
    if steps().any(|step| step.task.is_some()) {
        return Some("the kernel runs it for this process, not for a task of the test's".into());
    }
    if steps().any(|step| !step.random.is_empty()) {
        return Some("the kernel's random numbers are its own".into());
    }
    if steps().any(|step| !step.kernel_stack.is_empty() || !step.user_stack.is_empty()) {
        return Some("the kernel's stacks are its own".into());
    }
    if steps().any(|step| step.cookie != 0 || step.retval != 0) {
        return Some("the kernel's test run takes no cookie and no return value".into());
    }
    let raw = |name: &&&str| program(name).is_some_and(|of| of.section.name().starts_with("raw_t"));
    if test.setup.cpus.is_some()
        || (steps().any(|step| step.cpu.is_some()) && !programs.iter().all(|name| raw(&name)))
    {
        return Some("the kernel chooses the CPU of this type's programs".into());
    }
    let cannot = [
        ("printk", "the kernel's trace is everybody's"),
        ("fault", "the kernel's verifier refuses what would fault"),
        (
            "redirect",
            "the kernel's test run does not tell where a packet is sent",
        ),
        (
            "retval",
            "the kernel's test run gives no return value of a call",
        ),
        ("override", "the kernel's test run overrides no function"),
    ];
    cannot.iter().find_map(|(name, reason)| {
        let mut all = test.expectations();
        all.any(|expect| expect.of(name).is_some())
            .then(|| (*reason).to_owned())
    })
}
