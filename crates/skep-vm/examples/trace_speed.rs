//! What tracing `openat` over `ls -R` of a folder costs, beside strace and beside no tracer:
//!
//! `cargo run --release -p skep-vm --example trace_speed [FOLDER] [ROUNDS]`
//!
//! Rounds of all of them are run in turns, so that what else the machine does meets all alike; the
//! figures are the medians. strace writes into a file, the VM's program into a ring that is read
//! at the end of each round.

use std::{
    error::Error,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use skep::{Loaded, Object, RingBuffer};
use skep_vm::Vm;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[repr(C)]
#[derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
struct Open {
    pid: u32,
    tid: u32,
    uid_gid: u64,
    ret: i64,
    comm: [u8; 16],
    path: [u8; 256],
}

fn list(folder: &str) -> Command {
    let mut command = Command::new("ls");
    command.args(["-R", folder]);
    command
}

fn quiet(command: &mut Command) {
    command.stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
}

fn timed(mut command: Command) -> Result<Duration> {
    quiet(&mut command);
    let started = Instant::now();
    command.status()?;
    Ok(started.elapsed())
}

fn strace(options: &[&str], folder: &str) -> Command {
    let mut command = Command::new("strace");
    command.arg("-f").args(options);
    command.args(["-e", "openat", "-o", "/dev/null"]);
    command.args(["ls", "-R", folder]);
    command
}

/// A round under the VM; answers how many events there were, too.
fn traced(vm: &Vm, loaded: &Loaded, folder: &str) -> Result<(Duration, usize)> {
    let mut command = list(folder);
    quiet(&mut command);
    let mut ring = RingBuffer::<Open>::new(loaded.map("events")?)?;
    let mut events = 0;
    let started = Instant::now();
    let mut traced = vm.command(command)?;
    traced.resume()?;
    traced.wait()?;
    let took = started.elapsed();
    loop {
        let batch = ring.batch()?;
        if batch.is_empty() {
            break;
        }
        events += batch.len();
    }
    let counts = traced.counts();
    if counts.faults + counts.missed + counts.lost_tasks > 0 {
        return Err(format!("{counts:?}").into());
    }
    Ok((took, events))
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "/usr".into());
    let rounds: usize = arguments.next().map_or(Ok(7), |count| count.parse())?;

    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tracer/c/opens.bpf.c");
    let scratch = std::env::temp_dir().join("skep-trace-speed");
    let object = skep_testing::compile(&source, &scratch.to_string_lossy());
    let object = object.map_err(|stop| format!("{stop:?}"))?;
    let vm = Vm::new()?;
    let object = Object::parse("opens", &object)?;
    let loaded = object.load(&skep::Host::new(Arc::new(vm.clone())))?;
    let _links = loaded.attach_all()?;

    let mut times: [Vec<Duration>; 4] = Default::default();
    let mut events = 0;
    for round in 0..=rounds {
        let (took, count) = traced(&vm, &loaded, &folder)?;
        events = count;
        let all = [
            timed(list(&folder))?,
            timed(strace(&[], &folder))?,
            timed(strace(&["--seccomp-bpf"], &folder))?,
            took,
        ];
        // The first round only fills caches.
        if round > 0 {
            times
                .iter_mut()
                .zip(all)
                .for_each(|(times, one)| times.push(one));
        }
    }
    let [alone, all_calls, filtered, own] = times.map(|mut times| median(&mut times));
    let added = |time: f64| time - alone;
    println!("ls -R {folder}: {events} openat, {rounds} rounds, median\n");
    println!(
        "{:28} {:>10} {:>10} {:>14}",
        "", "ms", "added", "µs an openat"
    );
    let row = |name: &str, time: f64| {
        let each = added(time) * 1e3 / events.max(1) as f64;
        println!("{name:28} {time:10.1} {:10.1} {each:14.2}", added(time));
    };
    row("alone", alone);
    row("strace -f", all_calls);
    row("strace -f --seccomp-bpf", filtered);
    row("skep-vm", own);
    println!(
        "\nskep-vm adds {:.2} of what strace adds (at most 0.5), {:.2} of what it adds with \
         --seccomp-bpf (at most 1)",
        added(own) / added(all_calls),
        added(own) / added(filtered),
    );
    Ok(())
}
