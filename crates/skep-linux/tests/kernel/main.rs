//! The kernel host against the running kernel, with real events.
//!
//! One process, one test at a time: after each, no descriptor, program or map of it may be left.
//! What this machine lacks is skipped by name, and the skips are counted.

mod commands;
mod harness;
mod hooks;
mod kprobes;
mod links;
mod loading;
mod maps;
mod network;
mod perf_events;
mod programs;
mod reading;
mod signing;
mod system;
mod token;
mod tracing;
mod verdicts;

fn main() -> std::process::ExitCode {
    if let Some(code) = skep_testing::play(&[(token::PART, token::in_namespace)]) {
        return code;
    }
    let mut trials = Vec::new();
    for group in [
        commands::trials,
        maps::trials,
        loading::trials,
        signing::trials,
        reading::trials,
        tracing::trials,
        network::trials,
        links::trials,
        hooks::trials,
        kprobes::trials,
        perf_events::trials,
        system::trials,
        verdicts::trials,
    ] {
        trials.extend(group());
    }
    skep_testing::run("skep-linux", || harness::host(), trials)
}
