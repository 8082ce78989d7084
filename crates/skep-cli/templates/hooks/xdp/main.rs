//! {{name}}: {{about}}.
//!
//! Loads the program, attaches it to a network device and prints what it counts, each second until
//! Ctrl-C. That takes root: `cargo build && sudo target/debug/{{name}} lo`.

{{event_module}}use std::{
    env,
    error::Error,
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
    thread,
    time::Duration,
};

use skep::{AttachOptions, Host, Map, Object};

{{event_use}}/// The program, compiled by `build.rs`.
static PROGRAMS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/{{module}}.bpf.o"));

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Who read the output has seen enough, as in `… | head`.
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(device) = env::args().nth(1) else {
        return Err("name a network device, such as `lo`".into());
    };
    let object = Object::parse("{{module}}", PROGRAMS)?;
    let loaded = object.load(&Host::kernel()?)?;
    let options = AttachOptions {
        device: Some(device),
        ..AttachOptions::default()
    };
    let _links = loaded.attach_all_with(&options)?; // detached when they are dropped
    let received = loaded.map("{{received}}")?;
    loop {
        thread::sleep(Duration::from_secs(1));
        show(&received)?;
    }
}

/// The protocols that were seen, each with the sum over all CPUs.
fn show(received: &Map) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    writeln!(out, "PROTOCOL      PACKETS          BYTES")?;
    let by_protocol = received.per_cpu::<u32, Traffic>()?;
    for protocol in 0..received.max_entries() {
        let by_cpu = by_protocol.get(&protocol)?.unwrap_or_default();
        let packets: u64 = by_cpu.iter().map(|traffic| traffic.packets).sum();
        let bytes: u64 = by_cpu.iter().map(|traffic| traffic.bytes).sum();
        if packets > 0 {
            let name = match protocol {
                1 => "icmp".to_owned(),
                6 => "tcp".to_owned(),
                17 => "udp".to_owned(),
                58 => "icmp6".to_owned(),
                0 => "other".to_owned(),
                number => number.to_string(),
            };
            writeln!(out, "{name:<8} {packets:>12} {bytes:>14}")?;
        }
    }
    Ok(())
}
