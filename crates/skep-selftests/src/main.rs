//! `cargo xtask selftests`: the kernel's own selftests, fetched, compiled, judged, and compared.

mod agreement;
mod compile;
mod elsewhere;
mod hosted;
mod own;
mod source;
mod times;
mod values;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use skep_selftests::{Case, Judge, Result, Tally, name_of};
use skep_testing::{Outcome, Stop};

use agreement::Agreement;
use hosted::Hosted;
use times::{Effort, Times};
use values::Values;

/// What must hold of `verifier_*`: verdicts as the tests expect them. Raised as they get better.
const LEAST_ACCEPTS: u32 = 820;
const LEAST_REJECTS: u32 = 530;

const USAGE: &str = "\
usage: cargo xtask selftests [option]… [OBJECT]…

Judges the kernel's selftests (verifier_* of Linux 6.12) and prints how many verdicts are as the
tests expect, of those to be accepted and of those to be refused, and the causes of the others.
The sources come from Debian's linux-source-6.12, and stay in the cache.

  --misses         each program under its cause
  --list           a line a program
  --kernel         load each on the running kernel, too: agreement of test, kernel and Skep
  --time           the verifier's time beside the kernel's, in the same run: median and total, the
                   slowest, the worst ratios. More than three times the kernel's fails, as does a
                   program that takes a second where the kernel does not. Build it with --release.
  --run            run what returns a known value: on the virtual machine; with --kernel there, too
  --unprivileged   judge as for a loader without capabilities, where a test expects something of it
  --all            other tests that say what they expect, too
  --source FOLDER  the kernel's tree to take the tests from
  --only NAME      just the programs of this name
  --compile        only compile
  --own            judge the project's own programs in their place, beside the running kernel

For `cargo xtask vm --verdicts`, on the project's own programs:
  --compile-own FOLDER        compile them into a folder
  --load FOLDER               load each by itself and print what the running kernel says
  --compare FOLDER --said FILE --release RELEASE --version VERSION --btf FILE --config FILE
                              hold what a kernel said against what we say of it from afar
";

#[derive(Debug, Default)]
struct Arguments {
    misses: bool,
    list: bool,
    kernel: bool,
    time: bool,
    run: bool,
    unprivileged: bool,
    all: bool,
    compile: bool,
    own: bool,
    compile_own: Option<PathBuf>,
    load: Option<PathBuf>,
    compare: Option<PathBuf>,
    said: PathBuf,
    kernel_elsewhere: elsewhere::Kernel,
    source: Option<PathBuf>,
    only: Option<String>,
    objects: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match arguments() {
        Ok(Some(arguments)) => selftests(&arguments),
        Ok(None) => {
            print!("{USAGE}");
            Ok(true)
        }
        Err(error) => Err(Stop::fail(format!("{error}\n\n{USAGE}"))),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Stop::Skip(lacking)) => {
            let skip = format!("SKIP selftests: {lacking}");
            println!("{skip}");
            note_skip(&skip);
            ExitCode::SUCCESS
        }
        Err(Stop::Fail(error)) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// For `cargo xtask test` to list.
fn note_skip(skip: &str) {
    let Some(path) = std::env::var_os("SKEP_SKIP_LOG") else {
        return;
    };
    let log = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path);
    if let Ok(mut log) = log {
        let _ = writeln!(log, "{skip}");
    }
}

fn arguments() -> Result<Option<Arguments>> {
    let mut parsed = Arguments::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.ok_or_else(|| format!("{argument} takes a value"))
        };
        match argument.as_str() {
            "--misses" => parsed.misses = true,
            "--list" => parsed.list = true,
            "--kernel" => parsed.kernel = true,
            "--time" => parsed.time = true,
            "--run" => parsed.run = true,
            "--unprivileged" => parsed.unprivileged = true,
            "--all" => parsed.all = true,
            "--compile" => parsed.compile = true,
            "--own" => parsed.own = true,
            "--compile-own" => parsed.compile_own = Some(value()?.into()),
            "--load" => parsed.load = Some(value()?.into()),
            "--compare" => parsed.compare = Some(value()?.into()),
            "--said" => parsed.said = value()?.into(),
            "--release" => parsed.kernel_elsewhere.release = value()?,
            "--version" => parsed.kernel_elsewhere.version = value()?,
            "--btf" => parsed.kernel_elsewhere.btf = value()?.into(),
            "--config" => parsed.kernel_elsewhere.config = value()?.into(),
            "--source" => parsed.source = Some(value()?.into()),
            "--only" => parsed.only = Some(value()?),
            "--help" | "-h" => return Ok(None),
            option if option.starts_with('-') => return Err(format!("no option {option}").into()),
            object => parsed.objects.push(object.into()),
        }
    }
    Ok(Some(parsed))
}

/// Does what was asked for; whether all that must hold does.
fn selftests(arguments: &Arguments) -> Outcome<bool> {
    if arguments.own {
        return own::judge();
    }
    if let Some(folder) = &arguments.compile_own {
        return elsewhere::compile(folder);
    }
    if let Some(folder) = &arguments.load {
        return elsewhere::load(folder);
    }
    if let Some(folder) = &arguments.compare {
        return elsewhere::compare(folder, &arguments.said, &arguments.kernel_elsewhere);
    }
    let mut objects = match arguments.objects.is_empty() {
        true => compiled(arguments)?,
        false => {
            let named = |file: &PathBuf| (name_of(file), file.clone());
            arguments.objects.iter().map(named).collect()
        }
    };
    if arguments.compile {
        return Ok(true);
    }
    let judge = Judge::here().map_err(|error| Stop::lacks(error.to_string()))?;
    let mut judge = match arguments.unprivileged {
        true => judge.unprivileged(),
        false => judge,
    };
    let types = |(name, _): &(String, PathBuf)| name.starts_with(compile::TYPES);
    judge.types = objects.iter().filter(|one| types(one)).cloned().collect();
    objects.retain(|one| !types(one));
    judge.only.clone_from(&arguments.only);
    // Beside the kernel, programs are compared that expect nothing of their own, too.
    let beside = arguments.kernel || arguments.time;
    judge.all = arguments.only.is_some() || (beside && !arguments.objects.is_empty());
    judge.times = if arguments.time { TIMES } else { 1 };
    let kernel = match beside {
        true => kernel_if_allowed()?,
        false => None,
    };
    let vm = match arguments.run {
        true => Some(Hosted::vm()?),
        false => None,
    };
    let mut report = Report {
        arguments,
        kernel,
        vm,
        tally: Tally::default(),
        others: Tally::default(),
        agreement: Agreement::default(),
        times: Times::default(),
        vm_values: Values::of("vm"),
        kernel_values: Values::of("kernel"),
    };
    let mut all = true;
    for (name, object) in &objects {
        if let Err(error) = judge.object(name, object, |case| report.add(&case)) {
            println!("{name}: {error}");
            all = false;
        }
    }
    Ok(report.finish() && all)
}

/// The running kernel, if it may be used: without it there is less to compare.
fn kernel_if_allowed() -> Outcome<Option<Hosted>> {
    match Hosted::kernel() {
        Ok(kernel) => Ok(Some(kernel)),
        Err(Stop::Skip(lacking)) => {
            let skip = format!("SKIP selftests on the kernel: {lacking}");
            println!("{skip}");
            note_skip(&skip);
            Ok(None)
        }
        Err(stop) => Err(stop),
    }
}

/// How often a program is verified when times are compared; the least counts.
const TIMES: u32 = 3;

/// The tests' objects with their names, made now or before.
fn compiled(arguments: &Arguments) -> Outcome<Vec<(String, PathBuf)>> {
    let tree = match &arguments.source {
        Some(tree) => tree.clone(),
        None => source::source_tree()?,
    };
    let compiled = compile::compile_tests(&tree, arguments.all)?;
    let cached = compiled.iter().filter(|one| one.from_cache).count();
    let mut objects = Vec::with_capacity(compiled.len());
    let mut failed = 0;
    for one in &compiled {
        match &one.object {
            Ok(object) => objects.push((one.name.clone(), object.clone())),
            Err(error) => {
                failed += 1;
                println!("{} does not compile: {error}", one.name);
            }
        }
    }
    println!(
        "{} objects ({cached} from the cache), {failed} that don't compile",
        objects.len()
    );
    Ok(objects)
}

/// All that is found out on the way.
struct Report<'a> {
    arguments: &'a Arguments,
    kernel: Option<Hosted>,
    vm: Option<Hosted>,
    /// Of `verifier_*`.
    tally: Tally,
    /// Of other tests.
    others: Tally,
    agreement: Agreement,
    times: Times,
    vm_values: Values,
    kernel_values: Values,
}

impl Report<'_> {
    fn add(&mut self, case: &Case<'_>) {
        let right = case.is_right().unwrap_or(true);
        if self.arguments.list {
            let mark = if right { "ok" } else { "WRONG" };
            println!("{mark} {}/{}: {}", case.object, case.program, case.reason());
        }
        match case.object.starts_with("verifier_") {
            true => self.tally.add(case),
            false => self.others.add(case),
        }
        let value = case.expected.filter(|expected| expected.accept);
        let value = value.and_then(|expected| expected.value);
        let value = value.filter(|_| self.arguments.run && !case.expectation.elsewhere);
        let name = format!("{}/{}", case.object, case.program);
        if let Some(kernel) = &mut self.kernel {
            let times = if self.arguments.time { TIMES } else { 1 };
            let answer = kernel.ask(case, times, value.is_some());
            if let (Some(verdict), Some(theirs)) = (&case.verdict, answer.effort) {
                let ours = Effort {
                    time: case.time,
                    instructions: Some(verdict.stats.instructions),
                };
                self.times.add(name.clone(), ours, theirs);
            }
            self.agreement.add(case, &answer);
            if let (Some(expected), Some(got)) = (value, answer.value) {
                self.kernel_values.add(&name, expected, got);
            }
        }
        if let (Some(expected), Some(vm)) = (value, &mut self.vm) {
            let answer = vm.ask(case, 1, true);
            let got = answer.value.unwrap_or(Err(answer.message));
            self.vm_values.add(&name, expected, got);
        }
    }

    fn finish(&self) -> bool {
        let mut misses = self.tally.misses().clone();
        misses.extend(self.others.misses());
        match self.arguments.misses {
            true => print!("{}", misses.in_full()),
            false => print!("{}", misses.by_cause()),
        }
        if self.arguments.kernel && self.kernel.is_some() {
            self.agreement.print();
        }
        if self.arguments.time {
            print!("{}", self.times);
            if let Some(peak) = times::peak_memory() {
                println!("most memory of this process: {} MiB", peak / 1024);
            }
        }
        let mut holds = true;
        if self.arguments.time && !self.times.hold() {
            println!("the times are longer than they may be");
            holds = false;
        }
        if self.arguments.run {
            holds &= self.vm_values.print();
            if self.kernel.is_some() {
                holds &= self.kernel_values.print();
            }
        }
        if self.arguments.all {
            println!("others: {}", self.others);
        }
        println!("verifier_*: {}", self.tally);
        let whole = self.arguments.objects.is_empty()
            && self.arguments.only.is_none()
            && !self.arguments.unprivileged;
        let (accepts, rejects) = (self.tally.accepts.right, self.tally.rejects.right);
        if whole && (accepts < LEAST_ACCEPTS || rejects < LEAST_REJECTS) {
            println!("fewer than the {LEAST_ACCEPTS} and {LEAST_REJECTS} that must be right");
            return false;
        }
        holds
    }
}
