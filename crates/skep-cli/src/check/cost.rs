//! `skep check --stats` and `--compare`: what the verifier had to do, and how that differs between
//! two builds.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueHint};
use serde_json::{Value, json};
use skep::{Checked, Host, verifier::Options};

use super::{CheckArgs, say};
use crate::{
    cli::Global,
    exit::{self, Exit, Usage},
    input,
    output::Output,
    report, text,
};

/// What verification costs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cost")]
pub(super) struct CostArgs {
    /// Also say what the verifier had to do: instructions, states, stack, lines of source
    #[arg(long)]
    pub(super) stats: bool,

    /// Say how the cost of each program differs in this other build
    ///
    /// The programs that differ most come first.
    #[arg(long, value_name = "OTHER", value_hint = ValueHint::FilePath)]
    pub(super) compare: Option<PathBuf>,
}

/// How many lines of source are shown.
const LINES: usize = 8;

/// What a program cost, below its verdict.
pub(super) fn stats(checked: &Checked) -> String {
    let stats = &checked.verdict.stats;
    let mut text = format!(
        "  {:<13} {} followed, {} on the longest path\n",
        "instructions", stats.instructions, stats.longest_path
    );
    text += &format!(
        "  {:<13} {} at once at most, {} in all, {} for one instruction at most\n",
        "states", stats.peak_states, stats.states, stats.most_states_per_instruction
    );
    let bytes: u32 = checked.chain.iter().map(|link| link.stack).sum();
    let chain: Vec<String> = checked
        .chain
        .iter()
        .map(|link| format!("{} {}", text::printable(&link.function), link.stack))
        .collect();
    text += &format!("  {:<13} {bytes} bytes: {}\n", "stack", chain.join(" → "));
    let total = stats.instructions.max(1);
    for (number, line) in checked.lines.iter().take(LINES).enumerate() {
        let head = if number == 0 { "lines" } else { "" };
        let percent = line.instructions as f64 * 100.0 / total as f64;
        let name = line.file.rsplit('/').next().unwrap_or(&line.file);
        text += &format!(
            "  {head:<13} {:>7} {percent:>5.1}%  {}:{}  {}\n",
            line.instructions,
            text::printable(name),
            line.line,
            text::printable(&line.text)
        );
    }
    text
}

/// The same as JSON.
pub(super) fn json(checked: &Checked) -> Value {
    let stats = &checked.verdict.stats;
    let chain = checked.chain.iter();
    let lines = checked.lines.iter();
    json!({
        "instructions": stats.instructions,
        "longest_path": stats.longest_path,
        "states": stats.states,
        "peak_states": stats.peak_states,
        "most_states_per_instruction": stats.most_states_per_instruction,
        "stack": chain
            .map(|link| json!({ "function": link.function, "bytes": link.stack }))
            .collect::<Vec<_>>(),
        "lines": lines
            .map(|line| json!({
                "file": line.file,
                "line": line.line,
                "function": line.function,
                "instructions": line.instructions,
            }))
            .collect::<Vec<_>>(),
    })
}

/// A program in two builds.
struct Row {
    program: String,
    before: Option<Cost>,
    after: Option<Cost>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Cost {
    accepted: bool,
    instructions: u64,
    peak_states: u64,
    stack: u32,
}

impl Cost {
    fn of(checked: &Checked) -> Self {
        Self {
            accepted: checked.verdict.is_accepted(),
            instructions: checked.verdict.stats.instructions,
            peak_states: checked.verdict.stats.peak_states,
            stack: checked.chain.iter().map(|link| link.stack).sum(),
        }
    }

    fn json(self) -> Value {
        json!({
            "verdict": if self.accepted { "accepted" } else { "refused" },
            "instructions": self.instructions,
            "peak_states": self.peak_states,
            "stack": self.stack,
        })
    }
}

impl Row {
    /// By what rows are sorted: other verdicts first, then the most instructions.
    fn weight(&self) -> (bool, u64) {
        match (self.before, self.after) {
            (Some(before), Some(after)) => (
                before.accepted != after.accepted,
                before.instructions.abs_diff(after.instructions),
            ),
            (Some(only), None) | (None, Some(only)) => (true, only.instructions),
            (None, None) => (false, 0),
        }
    }
}

/// Compares the first of the files with the other build.
pub(super) fn compare(
    other: &Path,
    args: &CheckArgs,
    global: &Global,
    host: &Host,
) -> anyhow::Result<ExitCode> {
    let [file] = args.files.as_slice() else {
        return Err(Usage("--compare takes one file, and the other build of it".into()).into());
    };
    let (before, mut worst) = costs(file, args, global, host)?;
    let (mut after, other_worst) = costs(other, args, global, host)?;
    worst = worst.max(other_worst);
    let mut rows: Vec<Row> = before
        .into_iter()
        .map(|(program, before)| {
            let place = after.iter().position(|(name, _)| *name == program);
            Row {
                after: place.map(|place| after.remove(place).1),
                program,
                before: Some(before),
            }
        })
        .collect();
    rows.extend(after.into_iter().map(|(program, after)| Row {
        program,
        before: None,
        after: Some(after),
    }));
    rows.sort_by_key(|row| std::cmp::Reverse(row.weight()));
    let mut out = Output::new();
    if args.json() {
        for row in &rows {
            let value = json!({
                "program": row.program,
                "before": row.before.map(Cost::json),
                "after": row.after.map(Cost::json),
            });
            writeln!(out, "{value}")?;
        }
    } else {
        table(&rows, &mut out)?;
    }
    out.finish()?;
    Ok(worst.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// Programs and what they cost.
type Costs = Vec<(String, Cost)>;

/// What each program of a file costs.
fn costs(
    file: &Path,
    args: &CheckArgs,
    global: &Global,
    host: &Host,
) -> anyhow::Result<(Costs, Option<Exit>)> {
    let object = input::open(file, &args.compile, global)?;
    let (mut costs, mut worst) = (Vec::new(), None);
    for program in object.spec().programs() {
        if !args.programs.is_empty() && !args.programs.contains(&program.name) {
            continue;
        }
        match object.check(&program.name, host, &Options::default()) {
            Ok(checked) => costs.push((program.name.clone(), Cost::of(&checked))),
            Err(error) => {
                let error = anyhow::Error::from(error);
                report::show(&error, global);
                worst = worst.max(Some(exit::exit_code(&error)));
            }
        }
    }
    Ok((costs, worst))
}

fn table(rows: &[Row], out: &mut Output) -> anyhow::Result<()> {
    let same = rows.iter().filter(|row| row.before == row.after).count();
    let shown: Vec<&Row> = rows.iter().filter(|row| row.before != row.after).collect();
    let width = shown.iter().map(|row| row.program.len()).max().unwrap_or(0);
    let width = width.clamp(7, 28);
    if !shown.is_empty() {
        writeln!(
            out,
            "{:<width$}  {:>22} {:>7}  {:>11}  {:>11}",
            "PROGRAM", "INSTRUCTIONS", "", "STATES", "STACK"
        )?;
    }
    for row in shown {
        let name = text::printable(&row.program);
        let (before, after) = match (row.before, row.after) {
            (Some(before), Some(after)) => (before, after),
            (Some(_), None) => {
                writeln!(out, "{name:<width$}  only in the first")?;
                continue;
            }
            _ => {
                writeln!(out, "{name:<width$}  only in the other")?;
                continue;
            }
        };
        let pair = |one: u64, other: u64| format!("{one} → {other}");
        let percent = (after.instructions as f64 / before.instructions.max(1) as f64 - 1.0) * 100.0;
        let verdict = match (before.accepted, after.accepted) {
            (true, false) => "  now refused",
            (false, true) => "  now accepted",
            _ => "",
        };
        writeln!(
            out,
            "{name:<width$}  {:>22} {percent:>+6.1}%  {:>11}  {:>11}{verdict}",
            pair(before.instructions, after.instructions),
            pair(before.peak_states, after.peak_states),
            pair(before.stack.into(), after.stack.into()),
        )?;
    }
    writeln!(out, "{same} of {} programs cost the same", rows.len())?;
    Ok(())
}

/// Prints what a program cost, if that was asked for.
pub(super) fn print(checked: &Checked, args: &CheckArgs) -> anyhow::Result<()> {
    if args.cost.stats && !args.json() {
        say(&stats(checked))?;
    }
    Ok(())
}
