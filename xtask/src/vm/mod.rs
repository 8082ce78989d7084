//! `cargo xtask vm`: the integration suites on other kernels than this machine's. Debian's kernels
//! boot under QEMU, in software, with an initramfs of this machine's own files; what the tests say
//! comes back as they say it.

mod initramfs;
mod kernel;
mod qemu;
mod results;
mod suites;
mod verdicts;

use std::{fs, path::PathBuf, time::Instant};

use skep_testing::{Debian, Stop, guest::Line};

use self::{
    kernel::Kernel,
    qemu::{Ending, Qemu},
    results::Results,
};
use crate::{Result, root};

const USAGE: &str = "\
usage: cargo xtask vm [--kernel VERSION,…|all] [--suite NAME,…] [-- TEST-ARGUMENT…]

  --kernel VERSION,…   5.10, 6.1, 6.12, 6.18, 7.3; `all` (the default) is all but 6.18
  --suite NAME,…       skep-linux, skep, verdicts (each program of the project loaded by itself, and
                       held against `skep check --kernel`); the default is all
  TEST-ARGUMENT        what the test programs take: a part of a name, --skip NAME, …
";

/// What was asked for.
#[derive(Debug, Clone, Default)]
struct Arguments {
    kernels: Vec<String>,
    suites: Vec<String>,
    tests: Vec<String>,
}

impl Arguments {
    fn read(words: &[String]) -> Result<Self> {
        let mut this = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
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
                "--" => {
                    this.tests = words.cloned().collect();
                    break;
                }
                "--help" | "-h" => return Err(USAGE.into()),
                _ => return Err(format!("unknown argument `{word}`\n\n{USAGE}").into()),
            }
        }
        if this.kernels.is_empty() || this.kernels == ["all"] {
            this.kernels = kernel::PROMISED.map(str::to_owned).into();
        }
        if this.suites.is_empty() {
            this.suites = suites::names().into_iter().map(str::to_owned).collect();
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
}

/// Runs the suites on the kernels.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let arguments = Arguments::read(words)?;
    let results = run_suites(&arguments)?;
    print!("{results}");
    match results.failures() {
        0 => Ok(()),
        count => Err(format!("{count} failures on test kernels").into()),
    }
}

fn run_suites(arguments: &Arguments) -> Result<Results> {
    let folder = root().join("target/vm");
    fs::create_dir_all(&folder)?;
    let debian = Debian::open().map_err(stopped)?;
    let qemu = Qemu::find(&debian).map_err(stopped)?;
    let wanted: Vec<&str> = arguments.suites.iter().map(String::as_str).collect();
    let suites = suites::build(&wanted, &folder)?;
    let files = suites::files(&suites, &arguments.tests, &folder)?;
    let mut results = Results::default();
    for version in &arguments.kernels {
        let kernel = match Kernel::fetch(&debian, version) {
            Ok(kernel) => kernel,
            Err(Stop::Skip(lacking)) => {
                results.lacks(version, &lacking.to_string());
                continue;
            }
            Err(stop) => return Err(stopped(stop)),
        };
        let mut files = files.clone();
        let mut list = String::new();
        for module in &kernel.modules {
            let name = module.file_name().unwrap_or_default();
            let place = PathBuf::from("/lib/modules").join(name);
            list += &format!("{}\n", place.display());
            files.copy_as(&place, module)?;
        }
        files.file(
            skep_testing::guest::MODULES.as_ref(),
            0o644,
            list.into_bytes(),
        );
        let config = PathBuf::from(format!("/boot/config-{}", kernel.release));
        files.copy_as(&config, &kernel.config)?;
        let archive = folder.join(format!("{version}.cpio"));
        fs::write(&archive, files.archive())?;
        println!("── Linux {}", kernel.release);
        let console = folder.join(format!("{version}.console"));
        let started = Instant::now();
        let mut suite = "";
        let mut last = String::new();
        let mut verdicts = String::new();
        let ending = qemu.run(&kernel, &archive, &console, &mut |line| match line {
            Line::Begin(number) => suite = suites.get(number).map_or("", |suite| suite.name),
            Line::Out(text) if suite == verdicts::NAME => verdicts += &format!("{text}\n"),
            Line::Out(text) => {
                println!("{version} {suite} │ {text}");
                if text.starts_with("test ") {
                    last.clone_from(&text);
                }
                results.said(version, suite, &text);
            }
            // The line of output says it, too.
            Line::Err(text) if text.starts_with("SKIP ") => {}
            Line::Err(text) => println!("{version} {suite} ┆ {text}"),
            Line::Note(text) => println!("{version} ┆ {text}"),
            Line::Exit(code) if suite == verdicts::NAME && code == 0 => {}
            Line::Exit(code) => results.exited(version, suite, code),
            Line::Hung(seconds) => results.broken(
                version,
                suite,
                &format!("said nothing for {seconds} seconds and was killed, in or after: {last}"),
            ),
            Line::Alive | Line::End => {}
        })?;
        let after = format!("in or after: {last}");
        match ending {
            Ending::Done => {}
            Ending::Panic(text) => results.broken(version, suite, &format!("{text}, {after}")),
            Ending::Silent(seconds) => results.broken(
                version,
                suite,
                &format!("the machine hung: nothing was heard for {seconds} seconds, {after}"),
            ),
            Ending::Gone(said) => results.broken(
                version,
                suite,
                &format!("the machine went off before its end, {after} {said}"),
            ),
        }
        let asked = suites.iter().find_map(|suite| suite.verdicts.as_ref());
        if let Some(asked) = asked
            && let Err(error) = asked.compare(&kernel, &verdicts, &folder)
        {
            results.broken(version, verdicts::NAME, &error.to_string());
        }
        println!(
            "── Linux {version}: {} seconds; its console: {}",
            started.elapsed().as_secs(),
            console.display()
        );
    }
    Ok(results)
}

/// Says why something can't be had.
pub(crate) fn stopped(stop: Stop) -> Box<dyn std::error::Error> {
    match stop {
        Stop::Skip(lacking) => format!("the test machines can't run here: {lacking}").into(),
        Stop::Fail(text) => text.into(),
    }
}
