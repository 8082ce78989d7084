//! `cargo xtask vm`: the integration suites on other kernels than this machine's. Debian's kernels
//! boot under QEMU, in software, with an initramfs of this machine's own files; what the tests say
//! comes back as they say it.

pub(crate) mod bench;
mod here;
mod initramfs;
mod kept;
mod kernel;
mod own;
mod qemu;
mod results;
mod suites;
mod table;
mod verdicts;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use skep_testing::{Debian, Stop, guest::Line};

use self::{
    initramfs::Initramfs, kept::Kept, kernel::Kernel, own::Own, qemu::Qemu, results::Results,
    suites::Suite,
};
use crate::{Result, root, setup};

const USAGE: &str = "\
usage: cargo xtask vm [--kernel VERSION,…|all] [--suite NAME,…] [--cpus N] [-- TEST-ARGUMENT…]
       cargo xtask vm --image FILE [--config FILE] [--modules FOLDER] …
       cargo xtask vm --table

  --kernel VERSION,…   5.10, 6.1, 6.12, 6.18, 7.3, or `here` for this machine's own as it is; `all` (the
                       default) is all that the project promises: not 6.18, and not `here`
  --image FILE         a kernel of your own, as `arch/x86/boot/bzImage` of a kernel's tree: in place of
                       Debian's, or beside those that --kernel names
  --config FILE        its configuration; the default is `.config` in the image's tree
  --modules FOLDER     its modules, if tests need some that are not built in
  --suite NAME,…       skep-linux, skep, skep-light, verdicts (each program of the project loaded by
                       itself, and held against `skep check --kernel`), skep-vm (the virtual machine
                       held against the kernel); the default is all but skep-vm
  --cpus N             processors of a machine: 1 where nothing is said; tests that switch one off
                       need 2
  TEST-ARGUMENT        what the test programs take: a part of a name, --skip NAME, …
  --table              runs nothing, and writes HOOKS.md from what the newest runs said
";

/// What was asked for.
#[derive(Debug, Clone, Default)]
struct Arguments {
    kernels: Vec<String>,
    suites: Vec<String>,
    tests: Vec<String>,
    cpus: Option<u8>,
    own: Option<Own>,
    table: bool,
}

impl Arguments {
    fn read(words: &[String]) -> Result<Self> {
        let mut this = Self::default();
        let (mut config, mut modules) = (None, None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if matches!(word.as_str(), "--image" | "--config" | "--modules") {
                let path = words.next().map(PathBuf::from);
                let path = path.ok_or_else(|| format!("{word} needs a path\n\n{USAGE}"))?;
                match word.as_str() {
                    "--image" => this.own.get_or_insert_default().image = path,
                    "--config" => config = Some(path),
                    _ => modules = Some(path),
                }
                continue;
            }
            let mut list = |into: &mut Vec<String>| match words.next() {
                Some(list) => {
                    into.extend(list.split(',').map(str::to_owned));
                    Ok(())
                }
                None => Err(format!("{word} needs a value\n\n{USAGE}")),
            };
            match word.as_str() {
                "--kernel" | "--kernels" => list(&mut this.kernels)?,
                "--suite" => list(&mut this.suites)?,
                "--table" => this.table = true,
                "--cpus" => {
                    let mut number = Vec::new();
                    list(&mut number)?;
                    let number = number.first().and_then(|text| text.parse().ok());
                    let wrong = || format!("--cpus needs a number from 1 on\n\n{USAGE}");
                    this.cpus = Some(number.filter(|&cpus| cpus > 0).ok_or_else(wrong)?);
                }
                "--" => {
                    this.tests = words.cloned().collect();
                    break;
                }
                "--help" | "-h" => return Err(USAGE.into()),
                _ => return Err(format!("unknown argument `{word}`\n\n{USAGE}").into()),
            }
        }
        match &mut this.own {
            Some(own) => (own.config, own.modules) = (config, modules),
            None if config.is_some() || modules.is_some() => {
                return Err(format!("--config and --modules are of an --image\n\n{USAGE}").into());
            }
            None => {}
        }
        if this.kernels.is_empty() && this.own.is_none() || this.kernels == ["all"] {
            this.kernels = kernel::PROMISED.map(str::to_owned).into();
        }
        if this.suites.is_empty() {
            let default = suites::default_names().into_iter();
            this.suites = default.map(str::to_owned).collect();
        }
        if let Some(unknown) = this
            .suites
            .iter()
            .find(|name| !suites::names().contains(&name.as_str()))
        {
            return Err(format!("unknown suite `{unknown}`\n\n{USAGE}").into());
        }
        Ok(this)
    }

    /// Whether the table of all hooks on all promised kernels comes of it.
    fn is_everything(&self) -> bool {
        self.kernels == kernel::PROMISED
            && self.tests.is_empty()
            && self.suites.iter().any(|suite| suite == "skep")
    }
}

/// Runs the suites on the kernels.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let arguments = Arguments::read(words)?;
    let folder = root().join("target/vm");
    fs::create_dir_all(&folder)?;
    if arguments.table {
        return table::write(&folder, true);
    }
    let results = run_suites(&arguments, &folder)?;
    print!("{results}");
    if arguments.is_everything() {
        table::write(&folder, false)?;
    }
    match results.failures() {
        0 => Ok(()),
        count => Err(format!("{count} failures on test kernels").into()),
    }
}

/// Which run this is, for those who read what came of it later: when it started.
fn run_name() -> Result<String> {
    let ran = Command::new("date")
        .args(["-u", "+%Y-%m-%d %H:%M UTC"])
        .output()?;
    Ok(String::from_utf8_lossy(&ran.stdout).trim().to_owned())
}

fn run_suites(arguments: &Arguments, folder: &Path) -> Result<Results> {
    // What is wrong with it is said before the suites are built.
    let own = arguments.own.as_ref().map(Own::kernel).transpose()?;
    // What tests compile is compiled here.
    setup::for_tests()?;
    let wanted: Vec<&str> = arguments.suites.iter().map(String::as_str).collect();
    let suites = suites::build(&wanted, folder)?;
    let (here, others): (Vec<String>, Vec<String>) = arguments
        .kernels
        .iter()
        .cloned()
        .partition(|version| version == here::NAME);
    let results = Mutex::new(Results::of(&others));
    if !others.is_empty() || own.is_some() {
        run_machines(&others, own, arguments, &suites, folder, &results)?;
    }
    if !here.is_empty() {
        here::run(&suites, &arguments.tests, &results)?;
    }
    Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn run_machines(
    versions: &[String],
    own: Option<Kernel>,
    arguments: &Arguments,
    suites: &[Suite],
    folder: &Path,
    results: &Mutex<Results>,
) -> Result<()> {
    let name = run_name()?;
    let debian = Debian::open().map_err(stopped)?;
    let qemu = Qemu::find(&debian)
        .map_err(stopped)?
        .with_cpus(arguments.cpus.unwrap_or(1));
    let files = suites::files(suites, &arguments.tests, folder)?;
    let mut machines = Vec::new();
    let machine = |kernel| Machine {
        kernel,
        qemu: &qemu,
        suites,
        files: &files,
        folder,
        results,
        name: &name,
        is_whole: arguments.tests.is_empty(),
    };
    machines.extend(own.map(machine));
    for version in versions {
        match Kernel::fetch(&debian, version) {
            Ok(kernel) => machines.push(machine(kernel)),
            Err(Stop::Skip(lacking)) => lock(results).lacks(version, &lacking.to_string()),
            Err(stop) => return Err(stopped(stop)),
        }
    }
    // A machine has one processor.
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let queue = Mutex::new(machines.iter());
    // The queue is free again before a machine starts.
    let next = || lock(&queue).next();
    let failed: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once.min(machines.len()))
            .map(|_| {
                scope.spawn(|| {
                    let mut failed = Vec::new();
                    while let Some(machine) = next() {
                        if let Err(error) = machine.run() {
                            failed.push(format!("Linux {}: {error}", machine.kernel.name));
                        }
                    }
                    failed
                })
            })
            .collect();
        let ends = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
        ends.flat_map(|end| end.unwrap_or_else(|_| vec!["a thread panicked".into()]))
            .collect()
    });
    match failed.is_empty() {
        true => Ok(()),
        false => Err(failed.join("; ").into()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A kernel with what is run on it.
struct Machine<'a> {
    kernel: Kernel,
    qemu: &'a Qemu,
    suites: &'a [Suite],
    files: &'a Initramfs,
    folder: &'a Path,
    results: &'a Mutex<Results>,
    /// Which run it is.
    name: &'a str,
    /// All tests of the suites are run.
    is_whole: bool,
}

impl Machine<'_> {
    /// Runs it from start to power-off, and writes down what the suites say.
    fn run(&self) -> Result<()> {
        let kernel = &self.kernel;
        let version = kernel.name.as_str();
        let archive = self.folder.join(format!("{version}.cpio"));
        fs::write(&archive, self::archive(self.files, kernel)?)?;
        println!("── Linux {}", kernel.release);
        lock(self.results).configured(version, &fs::read_to_string(&kernel.config)?);
        let console = self.folder.join(format!("{version}.console"));
        let started = Instant::now();
        let (mut suite, mut ran) = ("", 0);
        let mut last = String::new();
        let (mut verdicts, mut whole) = (String::new(), Vec::new());
        let ending = self
            .qemu
            .run(kernel, &archive, &console, &mut |line| match line {
                Line::Begin(number) => suite = self.suites.get(number).map_or("", |one| one.name),
                Line::Out(text) if suite == verdicts::NAME => verdicts += &format!("{text}\n"),
                Line::Out(text) => {
                    println!("{version} {suite} │ {text}");
                    if text.starts_with("test ") {
                        last.clone_from(&text);
                    }
                    lock(self.results).said(version, suite, &text);
                }
                // The line of output says it, too.
                Line::Err(text) if text.starts_with("SKIP ") => {}
                Line::Err(text) => println!("{version} {suite} ┆ {text}"),
                Line::Note(text) => println!("{version} ┆ {text}"),
                Line::Exit(code) => {
                    ran += 1;
                    whole.push(suite);
                    if code != 0 || suite != verdicts::NAME {
                        lock(self.results).exited(version, suite, code);
                    }
                }
                Line::Hung(seconds) => {
                    ran += 1;
                    let text = format!(
                        "said nothing for {seconds} seconds and was killed, in or after: {last}"
                    );
                    self.broken(suite, &text);
                }
                Line::Alive | Line::End => {}
            })?;
        let after = format!("in or after: {last}");
        if let Some(text) = ending.trouble(&after) {
            self.broken(suite, &text);
        } else if ran < self.suites.len() {
            let text = format!("{ran} of {} suites ran", self.suites.len());
            self.broken("", &text);
        }
        let asked = self.suites.iter().find_map(|suite| suite.verdicts.as_ref());
        if let Some(asked) = asked
            && let Err(error) = asked.compare(kernel, &verdicts, self.folder)
        {
            self.broken(verdicts::NAME, &error.to_string());
        }
        let mut kept = Kept::read(self.folder, version)?;
        kept.release.clone_from(&kernel.release);
        whole.retain(|_| self.is_whole);
        kept.take(lock(self.results).of_hooks(version), self.name, &whole);
        kept.write(self.folder, version)?;
        println!(
            "── Linux {version}: {} seconds; its console: {}",
            started.elapsed().as_secs(),
            console.display()
        );
        Ok(())
    }

    fn broken(&self, suite: &str, text: &str) {
        lock(self.results).broken(&self.kernel.name, suite, text);
    }
}

/// The files of a machine: those of all machines, and its kernel's modules and configuration.
fn archive(files: &Initramfs, kernel: &Kernel) -> Result<Vec<u8>> {
    let mut files = files.clone();
    let mut list = String::new();
    for module in &kernel.modules {
        let name = module.file_name().unwrap_or_default();
        let place = PathBuf::from("/lib/modules").join(name);
        list += &format!("{}\n", place.display());
        files.copy_as(&place, module)?;
    }
    let modules = skep_testing::guest::MODULES.as_ref();
    files.file(modules, 0o644, list.into_bytes());
    let config = PathBuf::from(format!("/boot/config-{}", kernel.release));
    files.copy_as(&config, &kernel.config)?;
    Ok(files.archive())
}

/// What the machines lack here.
#[derive(Debug)]
pub(crate) struct Lacks(String);

impl fmt::Display for Lacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the test machines can't run here: {}", self.0)
    }
}

impl std::error::Error for Lacks {}

/// Says why something can't be had.
pub(crate) fn stopped(stop: Stop) -> Box<dyn std::error::Error> {
    match stop {
        Stop::Skip(lacking) => Box::new(Lacks(lacking.to_string())),
        Stop::Fail(text) => text.into(),
    }
}
