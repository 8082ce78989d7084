//! What a hit of a uprobe costs in the VM, beside the kernel's own:
//!
//! `cargo run --release -p skep-vm --example probe_speed [CALLS] [ROUNDS]`
//!
//! A program calls a function so many times, alone and with a counting program at its entry, and
//! at its entry and its return. The figures are medians of rounds in turns, less what the program
//! takes alone, for each call.

use std::{
    error::Error,
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use skep::{Host, Link, Loaded, Object};
use skep_testing::{Stop, compile, compile_native_as};
use skep_vm::Vm;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is attached where, and the counters that tell of it.
const ENTRY: &[(&str, &str)] = &[("second", "seconds")];
const BOTH: &[(&str, &str)] = &[("second", "seconds"), ("many_returns", "returns")];

fn failed(stop: Stop) -> Box<dyn Error> {
    format!("{stop:?}").into()
}

struct Probed {
    object: Object,
    loaded: Loaded,
    _links: Vec<Link>,
}

impl Probed {
    fn new(host: &Host, bytes: &[u8], binary: &Path, programs: &[(&str, &str)]) -> Result<Self> {
        let mut object = Object::parse("probes", bytes)?;
        let names: Vec<_> = programs.iter().map(|(name, _)| *name).collect();
        object.only_programs(&names)?;
        for name in names {
            let target = format!("{}:probed", binary.display());
            object.program(name)?.attach_target(&target);
        }
        let loaded = object.load(host)?;
        let links = loaded.attach_all()?;
        Ok(Self {
            object,
            loaded,
            _links: links,
        })
    }

    /// How often each program ran.
    fn counts(&self, programs: &[(&str, &str)]) -> Result<Vec<u64>> {
        let mut counts = Vec::new();
        for (_, counter) in programs {
            let mut variables = self.object.spec().variables().iter();
            let variable = variables.find(|variable| variable.name == *counter);
            let bytes = self.loaded.global(variable.ok_or("no counter")?)?;
            counts.push(u64::from_ne_bytes(bytes.as_slice().try_into()?));
        }
        Ok(counts)
    }
}

fn calls(binary: &Path, count: u64) -> Command {
    let mut command = Command::new(binary);
    command.args(["calls", &count.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn alone(binary: &Path, count: u64) -> Result<Duration> {
    let started = Instant::now();
    calls(binary, count).status()?;
    Ok(started.elapsed())
}

fn on_kernel(
    bytes: &[u8],
    binary: &Path,
    programs: &[(&str, &str)],
    count: u64,
) -> Result<Duration> {
    let probed = Probed::new(&Host::kernel()?, bytes, binary, programs)?;
    let took = alone(binary, count)?;
    check(&probed.counts(programs)?, count)?;
    Ok(took)
}

fn in_machine(
    bytes: &[u8],
    binary: &Path,
    programs: &[(&str, &str)],
    count: u64,
) -> Result<Duration> {
    let vm = Vm::new()?;
    let host = Host::new(Arc::new(vm.clone()));
    let probed = Probed::new(&host, bytes, binary, programs)?;
    let started = Instant::now();
    let mut traced = vm.command(calls(binary, count))?;
    traced.resume()?;
    traced.wait()?;
    let took = started.elapsed();
    check(&probed.counts(programs)?, count)?;
    Ok(took)
}

fn check(counts: &[u64], expected: u64) -> Result<()> {
    match counts.iter().all(|count| *count == expected) {
        true => Ok(()),
        false => Err(format!("{counts:?} hits of {expected} calls").into()),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        let given = arguments.next();
        given.map_or(Ok(default), |text| text.parse())
    };
    let (count, rounds) = (number(100_000)?, number(5)?);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probes/c");
    let folder = std::env::temp_dir().join(format!("skep-probe-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let binary = folder.join("probed");
    let flags = ["-O2", "-fno-omit-frame-pointer", "-pthread"].map(OsStr::new);
    compile_native_as(&binary, &sources.join("probed.c"), &flags).map_err(failed)?;
    let cache = folder.display().to_string();
    let bytes = compile(&sources.join("probes.bpf.c"), &cache).map_err(failed)?;

    let measured = measure(&bytes, &binary, count, rounds);
    std::fs::remove_dir_all(&folder)?;
    measured
}

fn measure(bytes: &[u8], binary: &Path, count: u64, rounds: u64) -> Result<()> {
    type Programs<'a> = &'a [(&'a str, &'a str)];
    type Run = fn(&[u8], &Path, Programs<'_>, u64) -> Result<Duration>;
    let runs: [(&str, Run, Programs<'_>); 4] = [
        ("kernel, entry", on_kernel, ENTRY),
        ("vm, entry", in_machine, ENTRY),
        ("kernel, entry and return", on_kernel, BOTH),
        ("vm, entry and return", in_machine, BOTH),
    ];
    let mut base = Vec::new();
    let mut times = vec![Vec::new(); runs.len()];
    for _ in 0..rounds {
        base.push(alone(binary, count)?);
        for ((_, run, programs), times) in runs.iter().zip(&mut times) {
            times.push(run(bytes, binary, programs, count)?);
        }
    }
    let base = median(base);
    println!("{count} calls alone: {:.2} ms", base.as_secs_f64() * 1e3);
    for ((name, _, _), times) in runs.iter().zip(times) {
        let more = median(times).saturating_sub(base);
        let each = more.as_secs_f64() * 1e9 / count as f64;
        println!("{name:26} {each:8.0} ns a call");
    }
    Ok(())
}
