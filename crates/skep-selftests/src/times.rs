//! How long we take beside the kernel: each program's least time of several, ours and theirs in
//! turn, in one run.

use std::{fmt, time::Duration};

/// What one side needed for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    pub(crate) time: Duration,
    /// Followed instructions, if it tells.
    pub(crate) instructions: Option<u64>,
}

/// The times of programs that both sides looked at.
#[derive(Debug, Default)]
pub(crate) struct Times {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    program: String,
    ours: Effort,
    theirs: Effort,
}

impl Row {
    fn ratio(&self) -> f64 {
        ratio(self.ours.time, self.theirs.time)
    }
}

/// How many of the slowest, and of the worst ratios, are shown.
const SHOWN: usize = 10;
/// The most that the median and the total may take of the kernel's.
const MOST_RATIO: f64 = 3.0;
/// What the kernel does in less may not take us more.
const LONG: Duration = Duration::from_secs(1);
/// Ratios of less time than this are the clock's: the kernel's has whole microseconds.
const TELLING: Duration = Duration::from_micros(100);

impl Times {
    pub(crate) fn add(&mut self, program: String, ours: Effort, theirs: Effort) {
        self.rows.push(Row {
            program,
            ours,
            theirs,
        });
    }

    fn of(&self, side: impl Fn(&Row) -> Effort) -> impl Iterator<Item = Duration> {
        self.rows.iter().map(move |row| side(row).time)
    }

    fn medians(&self) -> (Duration, Duration) {
        (
            median(self.of(|row| row.ours)),
            median(self.of(|row| row.theirs)),
        )
    }

    fn totals(&self) -> (Duration, Duration) {
        (
            self.of(|row| row.ours).sum(),
            self.of(|row| row.theirs).sum(),
        )
    }

    /// Programs that take us long, and the kernel not.
    fn too_long(&self) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(|row| row.ours.time > LONG && row.theirs.time <= LONG)
    }

    /// Whether we are as fast as must be: by the median, by the total, and in each program.
    pub(crate) fn hold(&self) -> bool {
        let near = |(ours, theirs)| ratio(ours, theirs) <= MOST_RATIO;
        near(self.medians()) && near(self.totals()) && self.too_long().next().is_none()
    }
}

/// Prints medians, totals, their ratios, the slowest programs and the worst ratios.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "time of {:>5} programs          ours       kernel  ratio",
            self.rows.len()
        )?;
        for (name, (ours, theirs)) in [("median", self.medians()), ("total", self.totals())] {
            writeln!(
                f,
                "  {name:<18} {:>12} {:>12} {:>6.2}",
                micros(ours),
                micros(theirs),
                ratio(ours, theirs)
            )?;
        }
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.ours.time));
        write_rows(f, "slowest here", rows.iter().take(SHOWN).copied())?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.theirs.time));
        write_rows(f, "slowest in the kernel", rows.iter().take(SHOWN).copied())?;
        rows.retain(|row| row.ours.time.max(row.theirs.time) >= TELLING);
        rows.sort_by(|one, other| other.ratio().total_cmp(&one.ratio()));
        let title = format!("worst ratios, from {} on", micros(TELLING));
        write_rows(f, &title, rows.iter().take(SHOWN).copied())?;
        let title = format!("more than {LONG:?} here, less in the kernel");
        write_rows(f, &title, self.too_long())
    }
}

/// A table of programs, or that there are none.
fn write_rows<'r>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    rows: impl Iterator<Item = &'r Row>,
) -> fmt::Result {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return writeln!(f, "{title}: none");
    }
    writeln!(
        f,
        "{title}:\n          ours       kernel   ratio      insns  kernel's"
    )?;
    for row in rows {
        let insns = |effort: Effort| match effort.instructions {
            Some(count) => count.to_string(),
            None => "-".to_owned(),
        };
        writeln!(
            f,
            "  {:>12} {:>12} {:>7.2} {:>10} {:>9}  {}",
            micros(row.ours.time),
            micros(row.theirs.time),
            row.ratio(),
            insns(row.ours),
            insns(row.theirs),
            row.program
        )?;
    }
    Ok(())
}

/// A time in another; what the kernel's clock does not show counts as its least.
fn ratio(ours: Duration, theirs: Duration) -> f64 {
    ours.as_secs_f64() / theirs.as_secs_f64().max(1e-6)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn effort(micros: u64) -> Effort {
        Effort {
            time: Duration::from_micros(micros),
            instructions: Some(7),
        }
    }

    #[test]
    fn what_takes_us_long_and_the_kernel_not_does_not_hold() {
        let mut times = Times::default();
        times.add("fast".into(), effort(10), effort(10));
        times.add("even".into(), effort(2_000_000), effort(1_900_000));
        assert!(times.hold());
        times.add("slow".into(), effort(1_000_001), effort(999_000));
        assert!(!times.hold());
        let shown = times.to_string();
        assert!(shown.contains("more than 1s here, less in the kernel:"));
    }

    #[test]
    fn median_and_total_have_limits_of_their_own() {
        let mut times = Times::default();
        times.add("a".into(), effort(31), effort(10));
        assert!(!times.hold(), "the median is above");
        times.add("b".into(), effort(10), effort(10));
        times.add("c".into(), effort(10), effort(10));
        assert!(times.hold());
        times.add("d".into(), effort(400), effort(100));
        times.add("e".into(), effort(10), effort(10));
        assert!(!times.hold(), "the total is above");
    }
}
