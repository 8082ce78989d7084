//! A tiny tool, from the start of its process to its program being attached: time, memory until
//! then, and size. `start_tool.rs` is the tool with Skep, libbpf-rs and Aya, `start.c` with libbpf.
//! Each is built as a small tool would be shipped (Cargo.toml's profile `size`, stripped): with glibc
//! as a library, with glibc in it, and what is all in Rust also with musl in it. The static tools'
//! time and memory are those with musl where there is one.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    Result,
    peers::Peer,
    row::{Goal, How, Line, Measured, Row},
    tools::{Linkage, Tools},
};

pub(crate) fn rows() -> Vec<Row> {
    let row = |name, linked: &str, how| Row {
        name,
        runs: 31,
        how: How::Outside(how),
        lines: vec![
            Line::new(
                "attached",
                format!("tool{linked}: start to attached"),
                "ms",
                1e6,
            )
            .goal(Goal::Of(Peer::LibbpfRs, 0.8)),
            Line::new(
                "peak",
                format!("tool{linked}: peak of resident memory"),
                "MiB",
                1048576.0,
            )
            .goal(Goal::Of(Peer::LibbpfRs, 1.0)),
        ],
    };
    vec![
        row("start", "", |tools, peer| {
            once(tools, peer, Linkage::Dynamic)
        }),
        row("start-static", ", static", smallest),
        Row {
            name: "size",
            runs: 1,
            how: How::Outside(size),
            lines: vec![
                Line::new(
                    "dynamic",
                    "tool: size, with its libraries but libc",
                    "kB",
                    1e3,
                ),
                Line::new("static", "tool, static with glibc: size", "kB", 1e3),
                Line::new("musl", "tool, static with musl: size", "kB", 1e3)
                    .goal(Goal::AtMost(1200.0)),
            ],
        },
    ]
}

/// The static tool with musl where it can be had, which is the smaller one.
fn smallest(tools: &Tools, peer: Peer) -> Result<Measured> {
    if tools.start_tool(peer, Linkage::Musl).is_ok() {
        return once(tools, peer, Linkage::Musl);
    }
    once(tools, peer, Linkage::Static)
}

/// Nanoseconds until it is ready, and bytes at most until then.
fn once(tools: &Tools, peer: Peer, linkage: Linkage) -> Result<Measured> {
    measured(&tools.start_tool(peer, linkage)?, &tools.object("start"))
}

/// The same of any tool that says when it is ready, and what is its argument.
pub(super) fn measured(tool: &Path, argument: &Path) -> Result<Measured> {
    let start = Instant::now();
    let mut child = Command::new(tool)
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or("no stdout")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let took = start.elapsed().as_nanos() as f64;
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
    drop(child.stdin.take());
    child.wait()?;
    if line != "ready\n" {
        return Err(format!("{} was not ready", tool.display()).into());
    }
    let status = status?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    let peak = peak.ok_or("no VmHWM")? * 1024.0;
    Ok(vec![("attached".into(), took), ("peak".into(), peak)])
}

fn size(tools: &Tools, peer: Peer) -> Result<Measured> {
    let mut figures = Vec::new();
    let dynamic = tools.start_tool(peer, Linkage::Dynamic)?;
    figures.push(("dynamic".to_owned(), with_libraries(&dynamic)?));
    let alone = tools.start_tool(peer, Linkage::Static)?;
    figures.push(("static".to_owned(), bytes(&alone)?));
    if !peer.needs_c_libraries() {
        let musl = tools.start_tool(peer, Linkage::Musl)?;
        figures.push(("musl".to_owned(), bytes(&musl)?));
    }
    Ok(figures)
}

/// Bytes of a program and of the libraries that it needs beside those of the C compiler.
fn with_libraries(tool: &Path) -> Result<f64> {
    let listed = Command::new("ldd").arg(tool).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let paths = listed
        .lines()
        .filter_map(|line| line.split("=> ").nth(1)?.split(' ').next());
    let own = paths.filter(|path| {
        ["libbpf", "libelf", "libz"]
            .iter()
            .any(|name| path.contains(name))
    });
    own.map(PathBuf::from)
        .try_fold(bytes(tool)?, |sum, path| Ok(sum + bytes(&path)?))
}

fn bytes(file: &Path) -> Result<f64> {
    Ok(fs::metadata(file)?.len() as f64)
}
