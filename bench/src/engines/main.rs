//! The virtual machine's engines beside the kernel's JIT, rbpf and sbpf, in one run, as a Markdown
//! table: the same instructions, peers in turns, the least time of each, and its ratio to the
//! kernel's. `cargo xtask bench engines`.

mod peers;

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use peers::Peer;
use skep_isa::{RawInsn, assemble};

/// Anything may fail; what concerns one peer becomes a note under the table.
type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// How long the peers run a program, in turns: what else the machine does comes and goes in
/// seconds, and the least time is to be of when it did nothing.
const LONG: Duration = Duration::from_secs(5);

/// What is run: an empty program, for what a run costs, and what `crates/skep-vm/examples/engines`
/// says of the others. The kernel's verifier accepts them, and every peer has the instructions.
const PROGRAMS: [(&str, &str); 4] = [
    ("empty", "r0 = 0\n exit"),
    (
        "alu",
        include_str!("../../../crates/skep-vm/examples/engines/alu.asm"),
    ),
    (
        "prime",
        include_str!("../../../crates/skep-vm/examples/engines/prime.asm"),
    ),
    (
        "mem",
        include_str!("../../../crates/skep-vm/examples/engines/mem.asm"),
    ),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    println!("| program | engine | time | to the kernel's JIT | made ready in |");
    println!("|---|---|--:|--:|--:|");
    let mut notes = Vec::new();
    for (name, text) in PROGRAMS {
        let slots = assemble(text)?;
        program(name, &slots, &mut notes)?;
    }
    for note in notes {
        println!("\n{note}");
    }
    Ok(())
}

/// Measures one program on every engine.
fn program(name: &str, slots: &[RawInsn], notes: &mut Vec<String>) -> Result<()> {
    let mut peers = Vec::new();
    for (engine, made) in Peer::all(name, slots) {
        match made {
            Ok(peer) => peers.push((engine, peer)),
            Err(error) => notes.push(format!("{engine} does not run `{name}`: {error}")),
        }
    }
    let mut answers = vec![0; peers.len()];
    let start = Instant::now();
    while start.elapsed() < LONG {
        for (place, (_, peer)) in peers.iter_mut().enumerate() {
            answers[place] = peer.turn()? as u32;
        }
    }
    let kernel = peers[0].1.least;
    for (place, (engine, peer)) in peers.iter().enumerate() {
        if answers[place] != answers[0] {
            return Err(format!("{engine} answers {} for `{name}`", answers[place]).into());
        }
        println!(
            "| {name} | {engine} | {:.2} µs | {:.2}× | {:.2} ms |",
            peer.least / 1e3,
            peer.least / kernel,
            peer.ready.as_secs_f64() * 1e3
        );
    }
    Ok(())
}
