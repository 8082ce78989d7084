//! {{name}}: {{about}}.
//!
//! Loads the programs, attaches them and prints what they send{{who}}

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
    let mut events = RingBuffer::<{{record}}>::new(loaded.map("{{events}}")?)?;

    watched.begin()?;
    println!("{HEADS}");
    while !watched.has_ended()? {
        if let Some(batch) = events.wait(Some(Duration::from_millis(100)))? {
            batch.iter().for_each(show);
        }
    }
    events.consume(|event| {
        show(event);
        ControlFlow::Continue(())
    })?;
    Ok(())
}

{{show}}