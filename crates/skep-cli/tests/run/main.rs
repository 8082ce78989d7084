//! `skep run` as its users meet it: real events, printed; nothing left attached, however it ends.

mod control;
mod examples;
mod hosts;
mod linked;
mod output;
mod packets;
mod places;
mod recording;
mod refusals;
mod support;
mod timers;
mod twins;

fn main() -> std::process::ExitCode {
    let mut tests = Vec::new();
    for group in [
        examples::tests,
        twins::tests,
        control::tests,
        hosts::tests,
        timers::tests,
        linked::tests,
        output::tests,
        packets::tests,
        places::tests,
        recording::tests,
        refusals::tests,
    ] {
        tests.extend(group());
    }
    skep_testing::run("run", support::boundary, tests)
}
