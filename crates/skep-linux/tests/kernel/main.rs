//! The kernel host against the running kernel, with real events.
//!
//! One process, one test at a time: after each, no descriptor, program or map of it may be left.
//! What this machine lacks is skipped by name, and the skips are counted.

mod harness;
mod links;
mod loading;
mod maps;
mod network;
mod programs;
mod reading;
mod system;
mod tracing;

fn main() -> std::process::ExitCode {
    let mut trials = Vec::new();
    for group in [
        maps::trials,
        loading::trials,
        reading::trials,
        tracing::trials,
        network::trials,
        links::trials,
        system::trials,
    ] {
        trials.extend(group());
    }
    skep_testing::run("skep-linux", || harness::host(), trials)
}
