//! Perf events that fire programs, by the names that perf(1) has for them, and where they count.

use std::{fmt, str::FromStr};

/// A perf event that fires a program.
///
/// ```
/// use skep_host::PerfEvent;
///
/// let event: PerfEvent = "page-faults".parse()?;
/// assert_eq!(event, PerfEvent::Software { config: 2, period: 1 });
/// assert_eq!(event.to_string(), "page-faults:1");
/// // Every 1,000 of them.
/// let event: PerfEvent = "L1-dcache-load-misses:1000".parse()?;
/// assert_eq!(event, PerfEvent::HardwareCache { config: 0x1_00_00, period: 1000 });
/// # Ok::<(), skep_host::BadPerfEvent>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PerfEvent {
    /// The CPU's clock, this many times a second.
    CpuClock {
        /// Samples a second.
        frequency: u64,
    },
    /// A hardware counter (`PERF_COUNT_HW_*`), every `period` events.
    Hardware {
        /// Which counter.
        config: u64,
        /// Events a sample.
        period: u64,
    },
    /// A software counter (`PERF_COUNT_SW_*`), every `period` events.
    Software {
        /// Which counter.
        config: u64,
        /// Events a sample.
        period: u64,
    },
    /// A counter of the caches (`PERF_TYPE_HW_CACHE`), every `period` events.
    HardwareCache {
        /// The cache (`PERF_COUNT_HW_CACHE_*`), the operation shifted by 8 and the result by 16.
        config: u64,
        /// Events a sample.
        period: u64,
    },
    /// A counter by the processor's own number (`PERF_TYPE_RAW`), every `period` events.
    Raw {
        /// Which counter.
        config: u64,
        /// Events a sample.
        period: u64,
    },
    /// A hardware breakpoint: an address of the process, or of the kernel where the scope is a CPU.
    Breakpoint {
        /// The address.
        address: u64,
        /// How many bytes are watched: 1, 2, 4 or 8; at execution, the size of a `long`.
        length: u8,
        /// What fires.
        access: BreakpointAccess,
    },
    /// An event of any source of the kernel's, as `perf_event_attr` has it, every `period` events.
    Source {
        /// The source (`/sys/bus/event_source/devices/*/type`).
        kind: u32,
        /// Which event.
        config: u64,
        /// More of it.
        config1: u64,
        /// And more.
        config2: u64,
        /// Events a sample.
        period: u64,
    },
}

/// What fires a hardware breakpoint (`HW_BREAKPOINT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakpointAccess {
    /// A read; x86 has none without writes.
    Read,
    /// A write.
    Write,
    /// Either.
    ReadWrite,
    /// An instruction that is executed.
    Execute,
}

impl BreakpointAccess {
    /// The kernel's bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::ReadWrite => 3,
            Self::Execute => 4,
        }
    }

    fn letters(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "w",
            Self::ReadWrite => "rw",
            Self::Execute => "x",
        }
    }
}

/// The clock's samples a second where nothing is said. Odd, so that samples don't keep step with
/// timers that fire every hundredth of a second.
const FREQUENCY: u64 = 99;

/// Names of hardware counters, by their numbers.
const HARDWARE: [&str; 10] = [
    "cycles",
    "instructions",
    "cache-references",
    "cache-misses",
    "branches",
    "branch-misses",
    "bus-cycles",
    "stalled-cycles-frontend",
    "stalled-cycles-backend",
    "ref-cycles",
];

/// Names of software counters, by their numbers.
const SOFTWARE: [&str; 12] = [
    "cpu-clock",
    "task-clock",
    "page-faults",
    "context-switches",
    "cpu-migrations",
    "minor-faults",
    "major-faults",
    "alignment-faults",
    "emulation-faults",
    "dummy",
    "bpf-output",
    "cgroup-switches",
];

/// Names of caches, by their numbers.
const CACHES: [&str; 7] = [
    "L1-dcache",
    "L1-icache",
    "LLC",
    "dTLB",
    "iTLB",
    "branch",
    "node",
];

/// Names of what is done to a cache; of how it ends, none or `-misses`.
const OPERATIONS: [(&str, &str); 3] = [
    ("load", "loads"),
    ("store", "stores"),
    ("prefetch", "prefetches"),
];

impl fmt::Display for PerfEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |names: &[&'static str], number: u64| {
            let index = usize::try_from(number).ok()?;
            names.get(index).copied()
        };
        match self {
            Self::CpuClock { frequency } => write!(f, "cpu-clock:{frequency}Hz"),
            Self::Hardware { config, period } => match named(&HARDWARE, *config) {
                Some(name) => write!(f, "{name}:{period}"),
                None => write!(f, "hardware:{config}:{period}"),
            },
            Self::Software { config, period } => match named(&SOFTWARE, *config) {
                Some(name) => write!(f, "{name}:{period}"),
                None => write!(f, "software:{config}:{period}"),
            },
            Self::HardwareCache { config, period } => {
                let cache = named(&CACHES, config & 0xff);
                let operation = usize::try_from(config >> 8 & 0xff)
                    .ok()
                    .and_then(|index| OPERATIONS.get(index));
                match (cache, operation, config >> 16) {
                    (Some(cache), Some((_, all)), 0) => write!(f, "{cache}-{all}:{period}"),
                    (Some(cache), Some((one, _)), 1) => write!(f, "{cache}-{one}-misses:{period}"),
                    _ => write!(f, "cache:{config:#x}:{period}"),
                }
            }
            Self::Raw { config, period } => write!(f, "r{config:x}:{period}"),
            Self::Breakpoint {
                address,
                length,
                access,
            } => write!(f, "mem:{address:#x}/{length}:{}", access.letters()),
            Self::Source {
                kind,
                config,
                period,
                ..
            } => write!(f, "source {kind}, event {config:#x}:{period}"),
        }
    }
}

/// A text that names no perf event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no perf event{}", .near.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
pub struct BadPerfEvent {
    /// What was given.
    pub text: String,
    /// The name that it is most like.
    pub near: Option<String>,
}

/// Reads what `perf list` calls events: `cycles`, `page-faults`, `L1-dcache-load-misses`, `r1a8`
/// and `mem:0xADDRESS[/LENGTH][:ACCESS]` with an access of `r`, `w`, `rw` or `x`. Behind a colon the
/// events a sample may follow: without, 1 for software and 1,000,000 for the rest. `cpu-clock:99Hz`
/// is the clock, by samples a second.
impl FromStr for PerfEvent {
    type Err = BadPerfEvent;

    fn from_str(text: &str) -> Result<Self, BadPerfEvent> {
        read(text).ok_or_else(|| {
            let name = text.split(':').next().unwrap_or_default();
            let names = HARDWARE.iter().chain(&SOFTWARE).copied();
            let caches: Vec<String> = CACHES.iter().flat_map(|cache| of_cache(cache)).collect();
            let all = names.chain(caches.iter().map(String::as_str));
            BadPerfEvent {
                text: text.to_owned(),
                near: skep_abi::near_names(name, all).into_iter().next(),
            }
        })
    }
}

fn of_cache(cache: &str) -> impl Iterator<Item = String> {
    OPERATIONS
        .iter()
        .flat_map(move |(one, all)| [format!("{cache}-{all}"), format!("{cache}-{one}-misses")])
}

fn read(text: &str) -> Option<PerfEvent> {
    /// Events a sample of what a processor does millions of times a second.
    const MANY: u64 = 1_000_000;
    if let Some(place) = text.strip_prefix("mem:") {
        return breakpoint(place);
    }
    let (name, behind) = match text.split_once(':') {
        Some((name, behind)) => (name, Some(behind)),
        None => (text, None),
    };
    if name == "cpu-clock" && behind.is_none_or(|behind| behind.ends_with("Hz")) {
        let frequency = match behind {
            Some(behind) => behind.strip_suffix("Hz")?.parse().ok()?,
            None => FREQUENCY,
        };
        return Some(PerfEvent::CpuClock { frequency });
    }
    let period = |otherwise| match behind {
        Some(number) => number.parse().ok().filter(|number| *number > 0),
        None => Some(otherwise),
    };
    let number = |names: &[&str]| names.iter().position(|known| *known == name);
    if let Some(index) = number(&SOFTWARE) {
        let config = index as u64;
        let period = period(1)?;
        return Some(PerfEvent::Software { config, period });
    }
    if let Some(index) = number(&HARDWARE) {
        let config = index as u64;
        let period = period(MANY)?;
        return Some(PerfEvent::Hardware { config, period });
    }
    for (cache, id) in CACHES.iter().zip(0_u64..) {
        for (index, known) in of_cache(cache).enumerate() {
            if known == name {
                let (operation, result) = (index as u64 / 2, index as u64 % 2);
                return Some(PerfEvent::HardwareCache {
                    config: id | operation << 8 | result << 16,
                    period: period(MANY)?,
                });
            }
        }
    }
    let config = u64::from_str_radix(name.strip_prefix('r')?, 16).ok()?;
    let period = period(MANY)?;
    Some(PerfEvent::Raw { config, period })
}

/// `0xADDRESS[/LENGTH][:ACCESS]`
fn breakpoint(place: &str) -> Option<PerfEvent> {
    let (place, access) = match place.split_once(':') {
        Some((place, "r")) => (place, BreakpointAccess::Read),
        Some((place, "w")) => (place, BreakpointAccess::Write),
        Some((place, "rw" | "wr")) => (place, BreakpointAccess::ReadWrite),
        Some((place, "x")) => (place, BreakpointAccess::Execute),
        Some(_) => return None,
        None => (place, BreakpointAccess::ReadWrite),
    };
    let (address, length) = match place.split_once('/') {
        Some((address, length)) => (address, Some(length.parse().ok()?)),
        None => (place, None),
    };
    let address = u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()?;
    let length = length.unwrap_or(match access {
        // What the kernel asks for there.
        BreakpointAccess::Execute => 8,
        _ => 4,
    });
    matches!(length, 1 | 2 | 4 | 8).then_some(PerfEvent::Breakpoint {
        address,
        length,
        access,
    })
}

/// Where a perf event counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerfScope {
    /// Everything on one CPU.
    Cpu(u32),
    /// One process, on any CPU.
    Process(u32),
}

impl fmt::Display for PerfScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, " on cpu {cpu}"),
            Self::Process(pid) => write!(f, " in process {pid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_what_they_print() {
        for (text, printed) in [
            ("cpu-clock", "cpu-clock:99Hz"),
            ("cpu-clock:250Hz", "cpu-clock:250Hz"),
            ("cpu-clock:250", "cpu-clock:250"),
            ("context-switches", "context-switches:1"),
            ("cycles", "cycles:1000000"),
            ("branch-misses:7", "branch-misses:7"),
            ("LLC-loads", "LLC-loads:1000000"),
            ("LLC-store-misses:10", "LLC-store-misses:10"),
            ("branch-load-misses", "branch-load-misses:1000000"),
            ("r1a8:5", "r1a8:5"),
            ("mem:0x1000", "mem:0x1000/4:rw"),
            ("mem:0x1000/8:w", "mem:0x1000/8:w"),
            ("mem:0xffff8000:x", "mem:0xffff8000/8:x"),
        ] {
            let event: PerfEvent = text.parse().unwrap();
            assert_eq!(event.to_string(), printed, "{text}");
            assert_eq!(printed.parse(), Ok(event), "{text}");
        }
    }

    #[test]
    fn other_texts_are_told_with_a_near_name() {
        for (text, near) in [
            ("page-fault", Some("page-faults")),
            ("L1-dcache-load-miss", Some("L1-dcache-load-misses")),
            ("cycles:0", Some("cycles")),
            ("cycles:x", Some("cycles")),
            ("mem:0x10/3", None),
            ("mem:1000", None),
            ("", None),
        ] {
            let bad = text.parse::<PerfEvent>().unwrap_err();
            assert_eq!(bad.near.as_deref(), near, "{text}");
            assert!(bad.to_string().contains(&format!("`{text}`")));
        }
    }
}
