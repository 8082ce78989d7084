//! `skep check --kernel 5.10,6.1,6.12`: will it load there? A row a kernel.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use serde_json::{Value, json};
use skep::{
    spec::Target,
    verifier::{Answer, Finding, Portability},
};

use super::CheckArgs;
use crate::{
    btf::{Kept, types_in},
    cli::Global,
    exit::{Exit, Usage},
    input,
    output::Output,
    text,
};

/// Kernels that are not here.
#[derive(Debug, Args)]
#[command(next_help_heading = "Other kernels")]
pub(super) struct KernelsArgs {
    /// Say for each of these kernels whether the programs load there
    ///
    /// A version, such as 6.1, or what `skep btf harvest` kept of a kernel. By a version alone
    /// more is left unknown: programs that are relocated by the kernel's types need them.
    /// The verifier's rules are those of Linux 6.18 with what is known of other versions; an update of
    /// a stable kernel may take more, and what an old verifier was too strict about may be missed.
    #[arg(long = "kernel", value_name = "KERNEL", value_delimiter = ',', value_hint = ValueHint::FilePath)]
    kernels: Vec<String>,

    /// The types of the kernels
    ///
    /// What `skep btf harvest` kept goes to the kernel of its version, or is a kernel more; other
    /// BTF, and a vmlinux, to the only version that --kernel names.
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    btf: Vec<PathBuf>,
}

impl KernelsArgs {
    pub(super) fn are_given(&self) -> bool {
        !self.kernels.is_empty() || !self.btf.is_empty()
    }
}

/// A kernel to say it for.
struct Kernel {
    name: String,
    target: Target,
}

pub(super) fn check(args: &CheckArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let kernels = kernels(&args.kernels)?;
    let mut out = Output::new();
    let mut worst = Answer::Loads;
    for file in &args.files {
        let mut object = input::open(file, &args.compile, global)?;
        if !args.programs.is_empty() {
            let named: Vec<&str> = args.programs.iter().map(String::as_str).collect();
            object.only_programs(&named)?;
        }
        if args.files.len() > 1 && !args.json() {
            writeln!(out, "{}:", text::printable(&file.display().to_string()))?;
        }
        let width = kernels.iter().map(|kernel| kernel.name.len()).max();
        for kernel in &kernels {
            let answer = object.portability(&kernel.target);
            worst = worst.max(answer.answer);
            match args.json() {
                true => writeln!(out, "{}", row(file, kernel, &answer))?,
                false => print(&mut out, &kernel.name, width.unwrap_or(0), &answer)?,
            }
        }
    }
    out.finish()?;
    Ok(match worst {
        Answer::Loads => ExitCode::SUCCESS,
        Answer::Refused => Exit::Failed.into(),
        Answer::Unknown => Exit::Machine.into(),
    })
}

/// The kernels that are asked for, in that order.
fn kernels(args: &KernelsArgs) -> anyhow::Result<Vec<Kernel>> {
    let mut kernels: Vec<Kernel> = Vec::new();
    for asked in &args.kernels {
        let path = Path::new(asked);
        kernels.push(match Target::of_release(asked) {
            Ok(target) if !path.exists() => Kernel {
                name: asked.clone(),
                target,
            },
            Err(error) if !path.exists() => {
                return Err(Usage(format!("--kernel {asked}: no such file, and {error}")).into());
            }
            _ => kept(path)?,
        });
    }
    for path in &args.btf {
        if Kept::is_at(path) {
            let kernel = kept(path)?;
            let known = kernels.iter_mut().find(|known| {
                known.target.version == kernel.target.version && known.target.kernel_btf.is_none()
            });
            match known {
                Some(known) => known.target = kernel.target,
                None => kernels.push(kernel),
            }
            continue;
        }
        let types = types_in(path).with_context(|| path.display().to_string())?;
        let [kernel] = kernels.as_mut_slice() else {
            return Err(Usage(format!(
                "--btf {}: this file does not say what kernel it is of: name one version by \
                 --kernel, or use what `skep btf harvest` keeps",
                path.display()
            ))
            .into());
        };
        kernel.target = kernel.target.clone().with_kernel_btf(Arc::new(types));
    }
    Ok(kernels)
}

fn kept(path: &Path) -> anyhow::Result<Kernel> {
    let kept = Kept::open(path)?;
    Ok(Kernel {
        name: kept.release,
        target: kept.target,
    })
}

/// A line for the answer, or one for each finding; below it, what was made less of.
fn print(out: &mut Output, name: &str, width: usize, answer: &Portability) -> anyhow::Result<()> {
    const LINE: usize = 80;
    /// The longest answer and the gaps around it.
    const ANSWER: usize = 11;
    let indent = width + ANSWER;
    let mut notes = Vec::new();
    for (finding, subjects) in grouped(&answer.findings) {
        let mut line = String::new();
        // The certain ones come first; those behind them say that they are none.
        if finding.answer < answer.answer {
            line.push_str("not known: ");
        }
        line.push_str(&subjects);
        line.push_str(&finding.what());
        notes.push(line);
    }
    if answer.answer != Answer::Refused {
        notes.extend(answer.downgrades.iter().map(|one| format!("without {one}")));
    }
    let name = text::printable(name);
    let mut head = format!("{name:<width$}  {:<7}  ", answer.answer);
    if notes.is_empty() {
        writeln!(out, "{}", head.trim_end())?;
    }
    for note in notes {
        for line in text::wrap(&text::printable(&note), LINE.saturating_sub(indent).max(30)) {
            writeln!(out, "{head}{line}")?;
            head = " ".repeat(indent);
        }
    }
    Ok(())
}

/// Findings, equal ones once, with all that they are about: `` `one`, `other`: ``.
fn grouped(findings: &[Finding]) -> Vec<(&Finding, String)> {
    let mut groups: Vec<(&Finding, Vec<&str>)> = Vec::new();
    for finding in findings {
        let same = groups.iter_mut().find(|(known, _)| {
            known.reason == finding.reason
                && known.place == finding.place
                && known.answer == finding.answer
        });
        let group = match same {
            Some((_, subjects)) => subjects,
            None => {
                groups.push((finding, Vec::new()));
                &mut groups.last_mut().expect("just pushed").1
            }
        };
        if let Some(subject) = finding.subject.as_deref()
            && !group.contains(&subject)
        {
            group.push(subject);
        }
    }
    let line = |(finding, subjects): (_, Vec<&str>)| {
        let mut names: Vec<String> = subjects.iter().map(|name| format!("`{name}`")).collect();
        if let [.., last] = names.as_mut_slice() {
            last.push_str(": ");
        }
        (finding, names.join(", "))
    };
    groups.into_iter().map(line).collect()
}

fn row(file: &Path, kernel: &Kernel, answer: &Portability) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "answer": finding.answer.to_string(),
            "subject": finding.subject,
            "reason": finding.reason,
            "rule": finding.rule.map(|rule| rule.name()),
            "file": finding.place.as_ref().map(|place| &place.file),
            "line": finding.place.as_ref().map(|place| place.line),
        })
    };
    json!({
        "file": file.display().to_string(),
        "kernel": kernel.name,
        "version": kernel.target.version.to_string(),
        "answer": answer.answer.to_string(),
        "findings": answer.findings.iter().map(finding).collect::<Vec<_>>(),
        "downgrades": answer.downgrades.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
