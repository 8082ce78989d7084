//! {{name}}: which process opens which file, and what came of it.
//!
//! Loads the programs, attaches them and prints what they send. With the kernel's leave (as root) that
//! is of all processes; without it, of a command in Skep's virtual machine: `cargo run -- ls /etc`.

{{event_module}}mod watched;

use std::{env, error::Error, ops::ControlFlow, process::ExitCode, time::Duration};

use skep::{Host, Object, RingBuffer};

{{event_use}}use watched::Watched;

/// The programs, compiled by `build.rs`.
static PROGRAMS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/{{module}}.bpf.o"));

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let object = Object::parse("{{module}}", PROGRAMS)?;
    let host = Host::auto_for(&object)?;
    let mut watched = Watched::new(&host, env::args_os().skip(1).collect())?;
    let loaded = object.load(&host)?;
    let _links = loaded.attach_all()?; // detached when they are dropped
    let mut events = RingBuffer::<Open>::new(loaded.map("{{events}}")?)?;

    watched.begin()?;
    println!("{:>7}  {:<16} {:>4}  PATH", "PID", "COMM", "RET");
    while !watched.has_ended()? {
        if let Some(batch) = events.wait(Some(Duration::from_millis(100)))? {
            batch.iter().for_each(show);
        }
    }
    events.consume(|open| {
        show(open);
        ControlFlow::Continue(())
    })?;
    Ok(())
}

fn show(open: &Open) {
    let (comm, path) = (skep::text(&open.comm), skep::text(&open.path));
    println!("{:>7}  {comm:<16} {:>4}  {path}", open.pid, open.ret);
}
