//! How fast packets of a capture go through an XDP filter: a file of a million packets, each read,
//! parsed by the program and counted, in both modes of the machine and beside the running
//! kernel's test runs of the same object, which read no file. Takes clang; for the kernel's row,
//! root: `cargo run --release -p skep-vm --example pcap_speed`.

use std::{
    error::Error,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use skep::{Host, Object};
use skep_abi::ProgramType;
use skep_host::{Host as _, TestRun};
use skep_vm::{
    Clock, Config, Vm,
    capture::{Capture, CaptureError, Format, Record, Writer},
    feed::{FeedOptions, Outcome},
};

const PACKETS: u64 = 1_000_000;
/// Rounds of which the best counts.
const ROUNDS: usize = 7;

/// Removes the file at the end.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A packet of the trace: three of four are UDP, to 400 ports.
fn packet(number: u64, bytes: &mut [u8; 64]) {
    *bytes = [0; 64];
    bytes[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    bytes[14..34].copy_from_slice(&[
        0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1,
    ]);
    if number % 4 == 3 {
        bytes[23] = 6;
    }
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    bytes[28..30].copy_from_slice(&(scattered as u16).to_be_bytes());
    let port = 53 + (scattered % 400) as u16;
    bytes[36..38].copy_from_slice(&port.to_be_bytes());
}

fn write(path: &Path, packets: u64, format: Format) -> Result<(), Box<dyn Error>> {
    let mut writer = Writer::new(File::create(path)?, format)?;
    let mut bytes = [0; 64];
    for number in 0..packets {
        packet(number, &mut bytes);
        // A million a second.
        let time = 1_700_000_000_000_000_000 + number * 1000;
        writer.write(&Record::new(time, &bytes))?;
    }
    writer.finish()?;
    Ok(())
}

/// KiB of this process that are in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn row(name: &str, packets: u64, best: Duration, beside: &str) {
    let seconds = best.as_secs_f64();
    println!(
        "{name:44} {:8.2} M packets/s {:8.1} ns/packet  {beside}",
        packets as f64 / seconds / 1e6,
        seconds * 1e9 / packets as f64,
    );
}

/// Feeds the machine a file; the time it took.
fn feed(vm: &Vm, path: &Path, packets: u64) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let mut capture = Capture::new(File::open(path)?)?;
    let report = vm.feed(&FeedOptions::new(1), |feed| {
        feed.capture::<_, CaptureError>(&mut capture, u64::MAX, |_, _, _| Ok(()))?;
        Ok::<_, CaptureError>(feed.report())
    })??;
    let taken = start.elapsed();
    assert_eq!(report.packets, packets);
    let known = report.count(Outcome::Passed) + report.count(Outcome::Dropped);
    assert_eq!(known, packets);
    Ok(taken)
}

fn machine(clock: Clock) -> Result<(Vm, Host), Box<dyn Error>> {
    let mut config = Config::default();
    config.clock = clock;
    let vm = Vm::with(config)?;
    Ok((vm.clone(), Host::new(Arc::new(vm))))
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pcap_speed");
    let cache = std::env::temp_dir();
    let object = skep_testing::compile(&folder.join("filter.bpf.c"), &cache.to_string_lossy());
    let object = object.map_err(|stop| format!("{stop:?}"))?;
    let name = |kind: &str| {
        let file = format!("skep-pcap-speed-{}.{kind}", std::process::id());
        Temporary(std::env::temp_dir().join(file))
    };
    let (pcap, pcapng, long) = (name("pcap"), name("pcapng"), name("long.pcap"));
    write(&pcap.0, PACKETS, Format::Pcap)?;
    write(&pcapng.0, PACKETS, Format::PcapNg)?;

    for (path, what, clock) in [
        (&pcap, "pcap, checked, JIT", Clock::real()),
        (&pcapng, "pcapng, checked, JIT", Clock::real()),
        (
            &pcap,
            "pcap, checked, JIT, clock of the capture",
            Clock::manual(Duration::ZERO),
        ),
    ] {
        let (vm, host) = machine(clock)?;
        let loaded = Object::parse("filter", &object)?.load(&host)?;
        let options = skep::AttachOptions {
            device: Some("lo".into()),
            ..Default::default()
        };
        let _links = loaded.attach_all_with(&options)?;
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            best = best.min(feed(&vm, &path.0, PACKETS)?);
        }
        row(what, PACKETS, best, "");
        if what == "pcap, checked, JIT" {
            let before = resident();
            write(&long.0, 8 * PACKETS, Format::Pcap)?;
            let taken = feed(&vm, &long.0, 8 * PACKETS)?;
            let memory = format!("RSS {before} KiB before, {} KiB after", resident());
            row("pcap of 8 million packets", 8 * PACKETS, taken, &memory);
        }
    }

    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut capture = Capture::new(File::open(&pcap.0)?)?;
        let mut count = 0_u64;
        while capture.next()?.is_some() {
            count += 1;
        }
        assert_eq!(count, PACKETS);
        best = best.min(start.elapsed());
    }
    row("reading the file alone", PACKETS, best, "");

    match kernel(&object) {
        Ok(best) => row("the kernel's test runs, of one packet", PACKETS, best, ""),
        Err(error) => println!("the kernel: {error}"),
    }
    Ok(())
}

/// The time that the kernel takes for as many runs.
fn kernel(object: &[u8]) -> Result<Duration, Box<dyn Error>> {
    let loaded = Object::parse("filter", object)?.load(&Host::kernel()?)?;
    let mut programs = loaded.programs();
    let program = programs
        .find(|program| program.program_type() == ProgramType::Xdp)
        .ok_or("no program")?;
    let mut bytes = [0; 64];
    packet(0, &mut bytes);
    let mut best = u32::MAX;
    for _ in 0..ROUNDS {
        let mut run = TestRun {
            data_in: &bytes,
            repeat: PACKETS as u32,
            ..TestRun::default()
        };
        let host = skep_linux::LinuxHost::new()?;
        let outcome = host.prog_test_run(program.fd(), &mut run)?;
        best = best.min(outcome.duration);
    }
    Ok(Duration::from_nanos(u64::from(best) * PACKETS))
}
