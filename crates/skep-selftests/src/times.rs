//! How long we take beside the kernel: each program's least time of several, ours and theirs in
//! turn, in one run.

use std::{fmt, time::Duration};

/// The times of programs that both sides looked at.
#[derive(Debug, Default)]
pub(crate) struct Times {
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    program: String,
    ours: Duration,
    theirs: Duration,
    /// Followed instructions.
    instructions: u64,
}

/// How many of the slowest are shown.
const SHOWN: usize = 10;

impl Times {
    pub(crate) fn add(&mut self, program: String, ours: Duration, theirs: Duration, followed: u64) {
        self.rows.push(Row {
            program,
            ours,
            theirs,
            instructions: followed,
        });
    }
}

/// Prints medians, totals, their ratios, and the slowest programs.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = || self.rows.iter().map(|row| row.ours);
        let theirs = || self.rows.iter().map(|row| row.theirs);
        writeln!(
            f,
            "time of {} programs     ours    kernel  ratio",
            self.rows.len()
        )?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, one: Duration, other: Duration| {
            let ratio = one.as_secs_f64() / other.as_secs_f64().max(1e-6);
            writeln!(
                f,
                "  {name:<18} {:>9} {:>9} {ratio:>6.2}",
                micros(one),
                micros(other)
            )
        };
        line(f, "median", median(ours()), median(theirs()))?;
        line(f, "total", ours().sum(), theirs().sum())?;
        let mut slowest = self.rows.clone();
        slowest.sort_by_key(|row| std::cmp::Reverse(row.ours));
        writeln!(f, "slowest here:")?;
        for row in slowest.iter().take(SHOWN) {
            writeln!(
                f,
                "  {:>9} {:>9}  {:>8} insns  {}",
                micros(row.ours),
                micros(row.theirs),
                row.instructions,
                row.program
            )?;
        }
        Ok(())
    }
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

/// The most memory that this process has had, in KiB: `VmHWM`.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
