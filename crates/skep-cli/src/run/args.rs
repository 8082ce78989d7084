//! The flags of `skep run`. Their comments are what `-h`, `--help` and the man page say.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};

use super::{packets::PacketArgs, places::PlaceArgs};
use crate::{host::HostArgs, input::CompileArgs};

/// How data goes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// One JSON object a line; what CMD prints goes to stderr
    Json,
}

/// Where XDP programs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Xdp {
    /// The driver where it can, else generic
    Auto,
    /// After the socket buffer is made: any device
    Generic,
    /// In the driver
    Native,
    /// On the card
    Offload,
}

/// Load a program, attach it and print what it sends, until Ctrl-C
///
/// Events of ring and perf buffers are printed as they come, by the type that the map names; at
/// the end hash maps are printed as tables and arrays tagged as histograms as such. Losses are
/// always said. A source, in C or Rust, is compiled first, or taken from the cache.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A source in C or Rust or a cargo package, which is compiled first, or a BPF object
    #[arg(required_unless_present = "replay")]
    program: Option<PathBuf>,

    /// Run this command, watch it if the program has a target_pid, and end with it
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,

    #[command(flatten)]
    pub(crate) host: HostArgs,

    #[command(flatten)]
    pub(crate) packets: PacketArgs,

    /// Set a global variable: a number, true, an enumerator, text, or [1, 2, 3]
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,

    /// Only this process, and end with it (sets target_pid, targ_pid, targ_tgid or filter_pid)
    #[arg(short, long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Only this thread (sets target_tid or targ_tid)
    #[arg(short, long, value_name = "TID")]
    pub(crate) tid: Option<u32>,

    /// Only this user (sets target_uid or targ_uid)
    #[arg(short, long, value_name = "UID")]
    pub(crate) uid: Option<u32>,

    /// Stop after this time: 10s, 500ms, 2m
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// How events and maps are printed
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) format: Format,

    /// The network device of xdp and tc programs
    #[arg(short = 'i', long, value_name = "NAME")]
    pub(crate) device: Option<String>,

    /// Where XDP programs run
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) xdp: Xdp,

    /// The cgroup of cgroup programs [default: the root of the cgroup v2 tree]
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) places: PlaceArgs,

    /// Samples a second of perf_event programs [default: 99]
    #[arg(short = 'F', long, value_name = "HZ", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) frequency: Option<u64>,

    /// Load and attach only this program (may be given again)
    #[arg(long = "only", value_name = "NAME")]
    pub(crate) only: Vec<String>,

    /// Set the most entries of a map; bytes for a ring buffer
    #[arg(long = "map-size", value_name = "MAP=N")]
    pub(crate) map_size: Vec<String>,

    /// Load of these programs the first that the kernel takes (may be given again)
    ///
    /// They are forms of one thing, the best first. Which is loaded, and why no better one, is said.
    /// A source says it itself by SKEP_INSTEAD_OF (skep.h), in Rust by `instead_of`.
    #[arg(long, value_name = "NAME,NAME,…")]
    pub(crate) fall_back: Vec<String>,

    /// Relocate by the types in FILE, not the kernel's: raw BTF, or an ELF file with it
    ///
    /// For a kernel that has none of its own. The file must describe this very kernel, as those
    /// of btfhub do, whole or reduced to what the program uses (`skep btf min`). In a folder of such
    /// files the one of this kernel's release is looked for, if the kernel has no types itself.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) btf: Option<PathBuf>,

    /// Set what the program is told of the kernel's configuration, spelled as in .config
    #[arg(long = "config", value_name = "CONFIG_X=VALUE")]
    pub(crate) config: Vec<String>,

    /// Write to FILE which lines of the source ran, as an lcov tracefile, and say which did not
    ///
    /// In the virtual machine, which counts every instruction; programs are interpreted then. The
    /// source's lines come from the object's BTF. With -v the whole source is shown, with counts. Not
    /// with --record, for which programs are loaded with code of ours in them.
    #[arg(
        long,
        value_name = "FILE",
        value_hint = clap::ValueHint::FilePath,
        conflicts_with = "record"
    )]
    pub(crate) coverage: Option<PathBuf>,

    /// Check what programs do while they run, in place of the verifier
    ///
    /// In the virtual machine. Programs load whatever they do; one that does wrong ends its run with
    /// a fault that names the line, and its task goes on.
    #[arg(long, conflicts_with = "replay")]
    pub(crate) checked: bool,

    /// Print at most this many rows of a map as a table; 0 prints all
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) top: usize,

    /// Write what each program sees to FILE, to be replayed
    ///
    /// That is its context, what helpers and memory of the kernel or of processes answer, and
    /// how maps were at first. Takes Linux 5.12 or the virtual machine.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,

    /// Run what was recorded in FILE again, in the virtual machine
    ///
    /// By the recorded programs, which see again what they saw; or by PROGRAM, another version of
    /// them. What comes out otherwise is said, with its place.
    #[arg(
        long, value_name = "FILE", value_hint = clap::ValueHint::FilePath,
        conflicts_with_all = ["command", "host", "pid", "tid", "uid", "duration", "coverage"],
    )]
    pub(crate) replay: Option<PathBuf>,

    /// Only print what was recorded, one event a line
    #[arg(long, requires = "replay")]
    pub(crate) list: bool,

    #[command(flatten)]
    pub(crate) compile: CompileArgs,
}

impl RunArgs {
    /// The program; nothing for a replay of the recorded one.
    pub(crate) fn program(&self) -> &Path {
        self.program.as_deref().unwrap_or(Path::new(""))
    }
}

/// Reads `10s`, `1.5s`, `500ms`, `2m`, `1h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time: use ms, s, m or h")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "write it as 10s, 500ms or 2m".to_owned())?;
    Duration::try_from_secs_f64(number * seconds)
        .map_err(|_| "it must be a time from now on, and not too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_units() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("-1s").is_err());
        assert!(duration("10 parsecs").is_err());
        assert!(duration("").is_err());
    }
}
