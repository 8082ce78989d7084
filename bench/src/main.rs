//! Skep beside C libbpf, libbpf-rs and Aya, in one run, as a Markdown table. Peers take turns and
//! ratios of medians count: absolute times drift with the machine and its load.
//!
//! This program is both the driver and, built once with each peer's feature, the runner that
//! measures that peer in a process of its own (`skep-bench measure FILE OBJECT [ARGUMENT]…`).
#![cfg_attr(
    not(feature = "skep"),
    allow(dead_code, reason = "a peer's build is only its runner")
)]

mod instrument;
mod options;
mod peers;
mod row;
mod rows;
mod table;
mod tools;

use std::{
    collections::BTreeMap, env, error::Error, io::IsTerminal as _, process::Command,
    process::ExitCode,
};

use options::{Choice, Options, Stage};
use peers::Peer;
use row::{Case, How, Measured, Row};
use table::Table;
use tools::Tools;

#[cfg(not(any(feature = "skep", feature = "libbpf-rs", feature = "aya")))]
compile_error!("choose a peer: --features skep, libbpf-rs or aya");

/// Anything may fail; what concerns one peer becomes a note under the table.
type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((command, rest)) if command == "measure" => measure(rest),
        _ => drive(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The runner: measures once, and prints a figure a line.
fn measure(arguments: &[String]) -> Result<()> {
    let [file, object, arguments @ ..] = arguments else {
        return Err("usage: skep-bench measure FILE OBJECT [ARGUMENT]…".into());
    };
    let case = Case {
        arguments: arguments.to_vec(),
        object: object.into(),
    };
    for (name, figure) in rows::measure(file, &case)? {
        println!("{name} {figure}");
    }
    Ok(())
}

/// The driver: builds, measures in turns, prints the table.
fn drive(arguments: &[String]) -> Result<()> {
    let options = match options::parse(arguments)? {
        Choice::Run(options) => options,
        Choice::Print(text) => {
            print!("{text}");
            return Ok(());
        }
    };
    let mut rows = rows::all();
    rows.retain(|row| options.wants(row.name));
    let tools = match options.stage {
        Stage::Built => Tools::built(&rows, &options.peers)?,
        Stage::All | Stage::Build => Tools::build(&rows, &options.peers)?,
    };
    if options.stage == Stage::Build {
        return Ok(());
    }
    let mut table = Table::default();
    for row in rows {
        repeat(row, &tools, &options, &mut table);
    }
    let head: Vec<(Peer, String)> = options
        .peers
        .iter()
        .map(|peer| (*peer, peer.version(tools.root())))
        .collect();
    if options.json {
        println!("{:#}", table.json(&head));
    } else {
        print!("{}", table.markdown(&head));
    }
    Ok(())
}

/// Measures a row as often as is asked, all peers in turns, and adds its lines.
fn repeat(row: Row, tools: &Tools, options: &Options, table: &mut Table) {
    let runs = options.runs.unwrap_or(row.runs);
    let mut figures: BTreeMap<String, BTreeMap<Peer, Vec<f64>>> = BTreeMap::new();
    let mut failed = Vec::new();
    for run in 0..runs {
        if std::io::stderr().is_terminal() {
            eprint!("\r{}: {} of {runs}\x1b[K", row.name, run + 1);
        }
        for &peer in &options.peers {
            if failed.contains(&peer) {
                continue;
            }
            match once(&row, tools, peer) {
                Ok(measured) => {
                    for (name, figure) in measured {
                        let peers = figures.entry(name).or_default();
                        peers.entry(peer).or_default().push(figure);
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    table.note(format!(
                        "{peer} is missing in `{}`: {}",
                        row.name,
                        brief(&error)
                    ));
                    failed.push(peer);
                }
            }
        }
    }
    for line in row.lines {
        let measured = figures.remove(line.figure).unwrap_or_default();
        table.add(line, &measured);
    }
}

/// The lines of an error that say most: the first, and the last.
fn brief(error: &str) -> String {
    let mut lines = error.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let last = lines.next_back();
    last.map_or(first.to_owned(), |last| {
        format!("{first} … {}", last.trim())
    })
}

/// One run of a row by one peer.
fn once(row: &Row, tools: &Tools, peer: Peer) -> Result<Measured> {
    let (arguments, object, counted) = match &row.how {
        How::Outside(measure) => return measure(tools, peer),
        How::Peer {
            arguments,
            object,
            counted,
        } => (arguments, object, *counted),
    };
    let [file, rest @ ..] = arguments.as_slice() else {
        return Err("the row names no file".into());
    };
    let mut runner = Command::new(tools.runner(peer, file)?);
    if counted {
        runner.env("LD_PRELOAD", tools.counters());
    }
    let object = tools.object(object.unwrap_or_default());
    match peer {
        Peer::Libbpf => runner.args(rest).arg(object),
        _ => runner.args(["measure", file]).arg(object).args(rest),
    };
    let said = tools::run(&mut runner)?;
    let mut figures = Vec::new();
    for line in said.lines() {
        let (name, figure) = line.split_once(' ').ok_or("a line without a figure")?;
        figures.push((name.to_owned(), figure.parse()?));
    }
    Ok(figures)
}
