//! `skep test`: unit tests of programs, of files beside them.

mod args;
mod json;

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, time::Instant};

use skep_test::{
    Outcome, Report, RunOptions, Suite, Summary, coverage::Tally, junit, name_width, show_failure,
    show_line,
};

use crate::{
    cli::Global,
    exit::{self, Exit, Usage},
    output::{self, say},
    report,
};

use args::Format;
pub(crate) use args::TestArgs;

/// Runs the tests of all files, and tells what came of each.
pub(crate) fn test(args: &TestArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let here = [PathBuf::from(".")];
    let given = if args.files.is_empty() {
        &here[..]
    } else {
        &args.files
    };
    let files = skep_test::find(given)?;
    if files.is_empty() {
        let what = "there is no test file (*.test.toml) here: name one, or a folder with some";
        return Err(Usage(what.into()).into());
    }
    let mut options = RunOptions::default();
    options.host = args.host.into();
    options.filter.clone_from(&args.filter);
    options.fail_fast = args.fail_fast;
    options.coverage = args.coverage.is_some();
    if options.coverage && options.host != skep_test::TestHost::Vm {
        return Err(Usage("only the vm counts what runs: leave out --host kernel".into()).into());
    }

    let mut worst = None;
    let mut summary = Summary::default();
    let mut reports = Vec::new();
    let mut unopened = 0_usize;
    let several = files.len() > 1;
    let opened = files.iter().flat_map(|file| {
        let opened = Suite::open_all(file).unwrap_or_else(|error| vec![Err(error)]);
        let several = several || opened.len() > 1;
        opened.into_iter().map(move |suite| (suite, several))
    });
    for (suite, several) in opened {
        let suite = match suite.map_err(anyhow::Error::from) {
            Ok(suite) => suite,
            // The others may be right: one run shows all that is wrong.
            Err(error) => {
                report::show(&error, global);
                worst = worst.max(Some(exit::exit_code(&error)));
                unopened += 1;
                if args.fail_fast {
                    break;
                }
                continue;
            }
        };
        report::tell(suite.warnings());
        if args.list {
            list(&suite, args, several)?;
            continue;
        }
        let report = suite.run(&options);
        show(&report, args, several)?;
        summary.add(&report);
        let failed = !report.passed();
        reports.push(report);
        if failed {
            worst = worst.max(Some(Exit::Failed));
            if args.fail_fast {
                break;
            }
        }
    }
    if args.list {
        return Ok(worst.map_or(ExitCode::SUCCESS, ExitCode::from));
    }
    if let Some(path) = &args.junit {
        output::write_file(path, junit(&reports).as_bytes())?;
    }
    let coverage = coverage(args, global, &mut reports)?;
    match args.format {
        Format::Json => {
            line(&json::summary(&summary, unopened, began.elapsed()))?;
        }
        Format::Table => {
            let mut text = summary.to_string();
            if unopened > 0 {
                let all = unopened + reports.len();
                let _ = write!(text, ", {unopened} of {all} files not opened");
            }
            line(&format!("{text}{coverage}"))?;
        }
    }
    // A filter that leaves nothing is a slip of the fingers, not a success.
    let nothing = summary == Summary::default() && unopened == 0;
    if let (true, Some(filter)) = (nothing, &args.filter) {
        return Err(Usage(format!("no test has {filter:?} in its name: see --list")).into());
    }
    Ok(worst.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// The names of a suite's tests.
fn list(suite: &Suite, args: &TestArgs, several: bool) -> anyhow::Result<()> {
    let filter = args.filter.as_deref().unwrap_or_default();
    let path = suite.path().display().to_string();
    let shown = suite.program().unwrap_or(suite.path()).display();
    for name in suite.tests().filter(|name| name.contains(filter)) {
        match args.format {
            Format::Json => line(&json::listed(&path, name))?,
            Format::Table if several => line(&format!("{shown}: {name}"))?,
            Format::Table => line(name)?,
        }
    }
    Ok(())
}

fn show(report: &Report, args: &TestArgs, several: bool) -> anyhow::Result<()> {
    if args.format == Format::Json {
        for test in &report.tests {
            line(&json::test(report, test))?;
        }
        return Ok(());
    }
    let mut text = String::new();
    if several && !report.tests.is_empty() {
        let _ = writeln!(text, "{}", report.name().display());
    }
    let width = name_width(&report.tests);
    for test in &report.tests {
        text.push_str(&show_line(test, width));
        if let Outcome::Failed(failure) = &test.outcome {
            text.push_str(&show_failure(failure));
        }
    }
    say(&text)
}

/// Writes the tracefile and says on stderr what did not run; answers the end of the last line.
fn coverage(args: &TestArgs, global: &Global, reports: &mut [Report]) -> anyhow::Result<String> {
    let Some(path) = &args.coverage else {
        return Ok(String::new());
    };
    let mut whole = Tally::default();
    for report in reports {
        if let Some(tally) = report.coverage.take() {
            whole.merge(tally);
        }
    }
    let report = whole.report();
    output::write_file(path, report.lcov().as_bytes())?;
    for object in &report.without_lines {
        say!("warning: {object} says nothing of its lines: compile it with -g");
    }
    match global.verbose {
        0 => report::tell(report.uncovered()),
        _ => report::tell(report.annotated()),
    }
    let lines = report.to_string();
    let shown = path.display();
    Ok(match lines.trim_end().contains('\n') {
        true => format!("\n{}\n{shown}", lines.trim_end()),
        false => format!(" · {} · {shown}", lines.trim_end()),
    })
}

fn line(text: &str) -> anyhow::Result<()> {
    say(&format!("{text}\n"))
}
