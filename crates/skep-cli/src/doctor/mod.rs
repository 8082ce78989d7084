//! `skep doctor`: what of BPF works on this machine, what does not, and what to do about it.
//!
//! The kernel's part is [`skep::linux::report`]; here the compiler and the virtual machine ([`vm`])
//! are added, a verdict drawn ([`verdict`]) and the whole printed.

mod verdict;
mod vm;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};
use skep::{
    boundary::Host as _,
    linux::{self, Answer, Check, LinuxHost, Section},
};
use skep_build::{Cache, Clang, CoreSource, Error, Rustc};

use crate::{
    answers::{self, TITLE, WIDTH},
    exit::Exit,
    output::{Format, Output},
    text::{printable, wrap},
};
use verdict::Verdict;

/// Say what works on this machine, what does not, and the fix
///
/// Tries every hook, program type and map type harmlessly, and looks at capabilities, lockdown,
/// sysctls, kernel options, mounts and the compiler; and at what the virtual machine can do, which
/// `skep run` uses where the kernel can't be. An answer is yes, no or unknown: what this process
/// may not ask is not called missing. Exits with 0 if `skep run` works here, on either, else with 4.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let host = LinuxHost::new()?;
    let mut report = linux::report(&host);
    report.sections.insert(
        2,
        Section {
            title: "compilers",
            checks: vec![clang(), rustc()],
        },
    );
    report.sections.insert(3, vm::section());
    let verdict = Verdict::of(&report);
    let mut out = Output::new();
    match args.format {
        Format::Text => {
            let kernel = host.info().to_string();
            writeln!(
                out,
                "skep {} on {}",
                env!("CARGO_PKG_VERSION"),
                printable(&kernel)
            )?;
            for section in &report.sections {
                print(section, &mut out)?;
            }
            writeln!(out)?;
            for line in wrap(&verdict.to_string(), WIDTH) {
                let line = out.paint(TITLE, line);
                writeln!(out, "{line}")?;
            }
        }
        Format::Json => {
            let sections: Vec<Value> = report.sections.iter().map(json).collect();
            let all = json!({
                "skep": env!("CARGO_PKG_VERSION"),
                "kernel": report.release,
                "runs": verdict.runs(),
                "hosts": { "kernel": verdict.runs_on_kernel(), "vm": verdict.runs_on_vm() },
                "summary": verdict.to_string(),
                "sections": sections,
            });
            serde_json::to_writer_pretty(&mut out, &all)?;
            writeln!(out)?;
        }
    }
    out.finish()?;
    Ok(if verdict.runs() {
        ExitCode::SUCCESS
    } else {
        Exit::Machine.into()
    })
}

fn clang() -> Check {
    let found = Cache::open().and_then(|cache| Clang::find(&cache));
    let (answer, detail) = match found {
        Ok(clang) => (
            Answer::Yes,
            format!("{} {}", clang.path().display(), clang.version()),
        ),
        Err(error) => (Answer::No, error.to_string()),
    };
    compiler("clang", answer, detail)
}

/// What programs in Rust take; nobody else misses it.
fn rustc() -> Check {
    let rustc = Cache::open().and_then(|cache| Rustc::find(&cache));
    let (answer, detail) = match rustc.as_ref().map(|rustc| (rustc, CoreSource::find(rustc))) {
        Ok((rustc, Ok(_))) => (
            Answer::Yes,
            format!("{} {}", rustc.path().display(), rustc.version()),
        ),
        // Where it was looked for may be wider than a line.
        Ok((rustc, Err(Error::NoCoreSource { remedy, .. }))) => (
            Answer::No,
            format!(
                "{} is there, and the source of its core is not: {remedy}",
                rustc.version()
            ),
        ),
        Ok((_, Err(error))) => (Answer::No, error.to_string()),
        Err(error) => (Answer::No, error.to_string()),
    };
    compiler("rustc, for programs in Rust", answer, detail)
}

/// Errors of compilers name their remedy.
fn compiler(name: &str, answer: Answer, detail: String) -> Check {
    Check {
        name: name.into(),
        answer,
        detail,
        fix: String::new(),
    }
}

fn print(section: &Section, out: &mut Output) -> io::Result<()> {
    let title = out.paint(TITLE, section.title);
    writeln!(out, "\n{title}")?;
    answers::print(&section.checks, short_name, out)
}

/// A check's name without what its section's title says already.
fn short_name(check: &Check) -> &str {
    let name = check.name.as_str();
    ["hook ", "program ", "map "]
        .iter()
        .find_map(|kind| name.strip_prefix(kind))
        .unwrap_or(name)
}

fn json(section: &Section) -> Value {
    let checks: Vec<Value> = section
        .checks
        .iter()
        .map(
            |Check {
                 name,
                 answer,
                 detail,
                 fix,
             }| {
                let answer = answers::word(*answer);
                json!({ "name": name, "answer": answer, "detail": detail, "fix": fix })
            },
        )
        .collect();
    json!({ "title": section.title, "checks": checks })
}
