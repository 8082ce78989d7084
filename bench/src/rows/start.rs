//! A tiny tool, from the start of its process to its program being attached: time, memory until
//! then, and size. `start_tool.rs` is the tool with Skep, libbpf-rs and Aya, `start.c` with libbpf.
//! Each is built as a small tool would be shipped (Cargo.toml's profile `size`), with the C library
//! linked dynamically and statically.

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
    row::{Goal, How, Line, Row},
    tools::{Linkage, Tools},
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "start",
            runs: 31,
            how: How::Outside(|tools, peer| once(tools, peer, Linkage::Dynamic)),
            lines: vec![
                Line::new("attached", "tool: start to attached", "ms", 1e6)
                    .goal(Goal::Of(Peer::LibbpfRs, 0.8)),
                Line::new("peak", "tool: peak of resident memory", "MiB", 1048576.0)
                    .goal(Goal::Of(Peer::LibbpfRs, 1.0)),
            ],
        },
        Row {
            name: "start-static",
            runs: 31,
            how: How::Outside(|tools, peer| once(tools, peer, Linkage::Static)),
            lines: vec![
                Line::new("attached", "tool, static: start to attached", "ms", 1e6)
                    .goal(Goal::Of(Peer::LibbpfRs, 0.8)),
                Line::new(
                    "peak",
                    "tool, static: peak of resident memory",
                    "MiB",
                    1048576.0,
                )
                .goal(Goal::Of(Peer::LibbpfRs, 1.0)),
            ],
        },
        Row {
            name: "size",
            runs: 1,
            how: How::Outside(size),
            lines: vec![
                Line::new("static", "tool, static: size, stripped", "kB", 1e3)
                    .goal(Goal::AtMost(1200.0)),
                Line::new(
                    "dynamic",
                    "tool: size, stripped, with its libraries but libc",
                    "kB",
                    1e3,
                ),
            ],
        },
    ]
}

/// Nanoseconds until it is ready, and bytes at most until then.
fn once(tools: &Tools, peer: Peer, linkage: Linkage) -> Result<Vec<(String, f64)>> {
    let tool = tools.start_tool(peer, linkage)?;
    let start = Instant::now();
    let mut child = Command::new(&tool)
        .arg(tools.object("start"))
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

fn size(tools: &Tools, peer: Peer) -> Result<Vec<(String, f64)>> {
    let mut figures = Vec::new();
    let dynamic = tools.start_tool(peer, Linkage::Dynamic)?;
    figures.push(("dynamic".to_owned(), with_libraries(&dynamic)?));
    let alone = tools.start_tool(peer, Linkage::Static)?;
    figures.push(("static".to_owned(), bytes(&alone)?));
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
