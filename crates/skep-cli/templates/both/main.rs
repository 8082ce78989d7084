//! {{name}}: {{about}}.
//!
//! Loads the programs, attaches them and prints what they send{{who}}

{{event_module}}mod watched;

use std::{
    env,
    error::Error,
    io::{self, ErrorKind, Write as _},
    ops::ControlFlow,
    process::ExitCode,
    time::Duration,
};

use skep::{Host, Object, RingBuffer};

{{event_use}}use watched::Watched;

/// The programs, compiled by `build.rs`.
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
    let object = Object::parse("{{module}}", PROGRAMS)?;
    let host = Host::auto_for(&object)?;
    let mut watched = Watched::new(&host, env::args_os().skip(1).collect())?;
    let loaded = object.load(&host)?;
    let _links = loaded.attach_all()?; // detached when they are dropped
    let mut events = RingBuffer::<{{record}}>::new(loaded.map("{{events}}")?)?;

    watched.begin()?;
    let mut out = io::stdout();
    writeln!(out, "{HEADS}")?;
    while !watched.has_ended()? {
        if let Some(batch) = events.wait(Some(Duration::from_millis(100)))? {
            for event in &batch {
                show(&mut out, event)?;
            }
        }
    }
    let mut shown = Ok(());
    events.consume(|event| {
        shown = show(&mut out, event);
        match shown {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    Ok(shown?)
}

{{show}}