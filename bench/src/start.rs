//! From the start of a process to its programs being attached; what memory it took until then,
//! and how large the tool is.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::{Result, Table, Tools};

const ROUNDS: usize = 20;

pub(crate) fn run(tools: &Tools, table: &mut Table) -> Result<()> {
    let object = tools.object("start");
    let (skep_tool, peer_tool) = (tools.tool("skep-start"), tools.tool("peer-start"));
    let (mut time, mut memory) = ((vec![], vec![]), (vec![], vec![]));
    for _ in 0..ROUNDS {
        let (took, peak) = once(&skep_tool, &object)?;
        time.0.push(took);
        memory.0.push(peak);
        if tools.peer {
            let (took, peak) = once(&peer_tool, &object)?;
            time.1.push(took);
            memory.1.push(peak);
        }
    }
    table.add("tool: start to attached", "ms", time.0, time.1);
    table.add("tool: peak of resident memory", "MiB", memory.0, memory.1);
    let peer = match tools.peer {
        true => vec![installed(&peer_tool)?],
        false => Vec::new(),
    };
    table.add(
        "tool: size, stripped, with its libraries",
        "KiB",
        vec![kib(&skep_tool)?],
        peer,
    );
    Ok(())
}

/// Milliseconds until it is ready, and MiB at most until then.
fn once(tool: &Path, object: &Path) -> Result<(f64, f64)> {
    let start = Instant::now();
    let mut child = Command::new(tool)
        .arg(object)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or("no stdout")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
    drop(child.stdin.take());
    child.wait()?;
    if line != "ready\n" {
        return Err(format!("{} was not ready", tool.display()).into());
    }
    let status = status?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    Ok((took, peak.ok_or("no VmHWM")? / 1024.0))
}

/// KiB of a program and of the libraries that it needs beside the C library.
fn installed(tool: &Path) -> Result<f64> {
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
        .try_fold(kib(tool)?, |sum, path| Ok(sum + kib(&path)?))
}

fn kib(file: &Path) -> Result<f64> {
    Ok(fs::metadata(file)?.len() as f64 / 1024.0)
}
