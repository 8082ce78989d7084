//! The library against the running kernel: objects that clang made, loaded, attached, fired and
//! read, with nothing left behind.

mod core_rust;
mod core_rust_kinds;
mod doctor;
mod externs;
mod externs_rust;
mod fallbacks;
mod faults;
mod hooks;
mod iterators;
mod iterators_rust;
mod kernel_functions;
mod loading;
mod map_definitions;
mod map_kinds;
mod maps;
mod network;
mod perf;
mod privileges;
mod probes;
mod program_types;
mod programs_on_programs;
mod readers;
mod recording;
mod refusals;
mod registers_rust;
mod rings;
mod rust_examples;
mod rust_fields;
mod rust_hooks;
mod special_maps;
mod struct_ops;
mod support;
mod token;
mod tracing;
mod uprobes;
mod usdt;
mod user_ring;

fn main() -> std::process::ExitCode {
    let parts = [
        (token::PART, token::in_namespace as fn() -> _),
        (faults::PART, faults::own),
        (fallbacks::PART, fallbacks::without_types),
    ];
    if let Some(code) = skep_testing::play(&parts) {
        return code;
    }
    let mut tests = Vec::new();
    for group in [
        core_rust::tests,
        core_rust_kinds::tests,
        doctor::tests,
        externs::tests,
        externs_rust::tests,
        fallbacks::tests,
        faults::tests,
        hooks::tests,
        iterators::tests,
        iterators_rust::tests,
        kernel_functions::tests,
        loading::tests,
        map_definitions::tests,
        special_maps::tests,
        struct_ops::tests,
        maps::tests,
        map_kinds::tests,
        rings::tests,
        rust_examples::tests,
        readers::tests,
        recording::tests,
        user_ring::tests,
        perf::tests,
        tracing::tests,
        uprobes::tests,
        usdt::tests,
        network::tests,
        refusals::tests,
        registers_rust::tests,
        privileges::tests,
        token::tests,
        program_types::tests,
        probes::tests,
        programs_on_programs::tests,
        rust_fields::tests,
        rust_hooks::tests,
    ] {
        tests.extend(group());
    }
    skep_testing::run("skep", support::boundary, tests)
}
