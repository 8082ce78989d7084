//! The corpus of instructions (`corpus/isa` of the workspace) by every engine there is: one
//! program, one expectation, however it is run.

mod coverage;
mod kernel;
mod machine;
mod parse;

use std::cell::Cell;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use machine::{WAYS, Way, is_too_long};
use parse::{Expected, Kernel, Program, Row};
use skep_abi::KernelVersion;
use skep_host::Host;
use skep_linux::LinuxHost;
use skep_testing::Lacking;
use skep_vm::{Engine, Mode};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus/isa");
    if cfg!(miri) {
        return interpreted(&folder, arguments.filter.as_deref().unwrap_or_default());
    }
    let programs = match parse::read_folder(&folder) {
        Ok(programs) => programs,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let programs: Vec<_> = programs.into_iter().map(Arc::new).collect();
    let all = programs.clone();
    let coverage = move || coverage::check(&all);
    let mut trials = vec![Trial::test("every instruction is there", coverage)];
    for program in &programs {
        let own = Arc::clone(program);
        let name = format!("kernel::{}", program.name);
        trials.push(Trial::ignorable_test(name, move || by_kernel(&own)));
    }
    for way in WAYS {
        trials.extend(by_machine(way, &programs));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Under Miri, file by file: there is no kernel, no machine code, and no time for more than the
/// first row of each program, nor for long loops. `only`: of the files whose names have this in
/// them.
fn interpreted(folder: &Path, only: &str) -> ExitCode {
    let (mut failed, mut all, mut too_long) = (0, 0, Vec::new());
    for file in parse::files(folder).unwrap_or_default() {
        if !file.to_string_lossy().contains(only) {
            continue;
        }
        print!("{}: ", file.display());
        let programs = match parse::read_file(&file) {
            Ok(programs) => programs,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        let programs: Vec<_> = programs.into_iter().map(Arc::new).collect();
        let mut ran = 0;
        for way in WAYS {
            if way.engine != Engine::Interpreter {
                continue;
            }
            for program in suited(way, &programs) {
                // Verified mode counts no instructions; checked mode was before it.
                if too_long.contains(&program.name) {
                    continue;
                }
                let long = Cell::new(false);
                let done = each_row(program, |row| {
                    let (end, context) = way.run(row)?;
                    long.set(long.get() || is_too_long(row, &end));
                    Ok((end, context))
                });
                match done {
                    _ if long.get() => too_long.push(program.name.clone()),
                    Ok(_) => ran += 1,
                    Err(why) => {
                        eprintln!("{}: {}", way.name, why.message().unwrap_or_default());
                        failed += 1;
                    }
                }
            }
        }
        println!("{ran} runs");
        all += ran;
    }
    println!("{all} runs in all");
    if !too_long.is_empty() {
        let count = too_long.len();
        println!("{count} programs left out, which take too many instructions for Miri:");
        println!("  {}", too_long.join("\n  "));
    }
    match failed {
        0 => ExitCode::SUCCESS,
        failed => {
            eprintln!("{failed} failed");
            ExitCode::FAILURE
        }
    }
}

/// The machine's kernel, or why it can't be asked.
fn linux() -> Result<&'static LinuxHost, &'static Lacking> {
    static HOST: OnceLock<Result<LinuxHost, Lacking>> = OnceLock::new();
    HOST.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            return Err(Lacking::Root);
        }
        LinuxHost::new().map_err(|_| Lacking::Root)
    })
    .as_ref()
}

/// The trials of an engine in a mode; a single one that is skipped, if this build has no such
/// engine.
fn by_machine(way: Way, programs: &[Arc<Program>]) -> Vec<Trial> {
    if let Some(lacks) = way.lacks() {
        return vec![Trial::ignorable_test(way.name, move || {
            skep_testing::skip("corpus", way.name, &Lacking::Thing(lacks.clone()));
            Ok(Completion::ignored_with(lacks))
        })];
    }
    suited(way, programs)
        .map(|program| {
            let own = Arc::clone(program);
            let name = format!("{}::{}", way.name, program.name);
            Trial::test(name, move || each_row(&own, |row| way.run(row)).map(|_| ()))
        })
        .collect()
}

/// The programs that can be run in this way.
fn suited(way: Way, programs: &[Arc<Program>]) -> impl Iterator<Item = &Arc<Program>> {
    programs.iter().filter(move |program| {
        // No verifier accepts a program that has a fault.
        let faults = |row: &Row| matches!(row.expected, Expected::Fault(_));
        way.mode == Mode::Checked || !program.rows.iter().any(faults)
    })
}

fn by_kernel(program: &Program) -> Result<Completion, Failed> {
    let (needs, low_half_only) = match &program.kernel {
        // Not for want of anything: there is nothing to compare.
        Kernel::No(why) => return Ok(Completion::ignored_with(why)),
        Kernel::Since {
            major,
            minor,
            low_half_only,
        } => (KernelVersion::new(*major, *minor), *low_half_only),
    };
    let lacks = |lacking: &Lacking| {
        skep_testing::skip("corpus", &program.name, lacking);
        Ok(Completion::ignored_with(lacking))
    };
    let host = match linux() {
        Ok(host) => host,
        Err(lacking) => return lacks(lacking),
    };
    if host.info().version < needs {
        return lacks(&Lacking::Kernel(needs));
    }
    each_row(program, |row| {
        let (mut r0, context) = kernel::run(host, row, low_half_only)?;
        if let (true, Expected::Result(expected)) = (low_half_only, &row.expected) {
            r0 |= expected & !0xffff_ffff;
        }
        Ok((Expected::Result(r0), context))
    })
}

/// Runs all rows, and says of each that ends otherwise than it should how it ended.
fn each_row(
    program: &Program,
    run: impl Fn(&Row) -> Result<(Expected, Vec<u8>), String>,
) -> Result<Completion, Failed> {
    let mut wrong = Vec::new();
    for row in &program.rows {
        let why = match run(row) {
            Err(error) => error,
            Ok((found, _)) if found != row.expected => {
                format!("{}, should be {}", show(&found), show(&row.expected))
            }
            Ok((_, after)) => match &row.context_after {
                Some(expected) if *expected != after => {
                    format!("the context is {after:02x?}, should be {expected:02x?}")
                }
                _ => continue,
            },
        };
        wrong.push(format!("{}{}: {why}", program.name, row.label));
    }
    if wrong.is_empty() {
        Ok(Completion::Completed)
    } else {
        Err(wrong.join("\n").into())
    }
}

fn show(expected: &Expected) -> String {
    match expected {
        Expected::Result(r0) => format!("{r0:#x}"),
        Expected::Fault(kind) => format!("fault: {kind}"),
    }
}
