//! Events as `skep run` prints them, end to end: a burst in a ring, rows on stdout. The other
//! libraries have no such command.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::fs::chroot,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Result,
    peers::Peer,
    row::{How, Line, Measured, Row},
    tools::Tools,
};

/// As many as `programs/events.bpf.c` sends.
const COUNT: usize = 200_000;

pub(crate) fn rows() -> Vec<Row> {
    let row = |name, what: &str, how| Row {
        name,
        runs: 3,
        how: How::Outside(how),
        lines: vec![Line::new("row", what, "ns", 1.0)],
    };
    vec![
        row("run-table", "skep run: a row of a table", |tools, peer| {
            once(tools, peer, "table")
        }),
        row("run-json", "skep run: a row of JSON", |tools, peer| {
            once(tools, peer, "json")
        }),
    ]
}

/// Nanoseconds a row, from the first one that is seen to the last.
fn once(tools: &Tools, peer: Peer, format: &str) -> Result<Measured> {
    if peer != Peer::Skep {
        return Ok(Vec::new());
    }
    let mut child = Command::new(tools.skep()?)
        .arg("run")
        .arg(tools.object("events"))
        .args(["--duration", "6s", "--format", format])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // Starts the burst, once the program is attached; there is no such folder.
    let asking = thread::spawn(|| {
        for _ in 0..40 {
            thread::sleep(Duration::from_millis(50));
            let _ = chroot("/skep-bench");
        }
    });
    let mut stdout = BufReader::with_capacity(1 << 20, child.stdout.take().ok_or("no stdout")?);
    let mut first = String::new();
    stdout.read_line(&mut first)?;
    let start = Instant::now();
    let (mut rows, mut buffer) = (0, vec![0; 1 << 20]);
    let mut took = Duration::ZERO;
    while rows < COUNT - 1 {
        let len = stdout.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        rows += buffer[..len].iter().filter(|byte| **byte == b'\n').count();
        took = start.elapsed();
    }
    child.kill()?;
    child.wait()?;
    asking.join().map_err(|_| "the thread that asks panicked")?;
    if rows < COUNT - 1 {
        return Err(format!("only {rows} rows of {COUNT}").into());
    }
    let figure = took.as_secs_f64() * 1e9 / rows as f64;
    Ok(vec![("row".into(), figure)])
}
