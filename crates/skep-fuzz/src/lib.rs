//! Hostile input for Skep's parsers and its virtual machine: each [`Target`] takes any bytes and says, by panicking, that
//! a parser broke its word. `fuzz/` runs them under libFuzzer; `tests/seeded.rs` runs them with
//! mutations of a small corpus, the same ones every time.

pub mod corpus;
mod elf;
mod kernel;
mod mutate;
mod oracle;
pub mod verdict;
pub mod vm;

pub use mutate::Mutator;

/// A parser, or several in a row, under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of the libFuzzer target too.
    pub name: &'static str,
    /// Feeds it. Panics where an answer is wrong; an error of the parser is a right answer.
    pub run: fn(&[u8]),
    /// Inputs to start from, all of them well-formed.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "object",
        run: oracle::object::object,
        seeds: oracle::object::objects,
    },
    Target {
        name: "linker",
        run: oracle::linker::linker,
        seeds: oracle::linker::halves,
    },
    Target {
        name: "finish",
        run: oracle::finish::finish,
        seeds: oracle::finish::objects,
    },
    Target {
        name: "btf_ext",
        run: oracle::object::btf_ext,
        seeds: oracle::object::btf_exts,
    },
    Target {
        name: "kernel_btf",
        run: oracle::object::kernel_btf,
        seeds: oracle::object::kernel_btfs,
    },
    Target {
        name: "btf",
        run: oracle::btf::btf,
        seeds: oracle::btf::btfs,
    },
    Target {
        name: "instructions",
        run: oracle::instructions::instructions,
        seeds: oracle::instructions::programs,
    },
    Target {
        name: "assembler",
        run: oracle::instructions::assembler,
        seeds: oracle::instructions::listings,
    },
    Target {
        name: "section_name",
        run: oracle::text::section_name,
        seeds: oracle::text::section_names,
    },
    Target {
        name: "config",
        run: oracle::text::config,
        seeds: oracle::text::configs,
    },
    Target {
        name: "verifier_log",
        run: oracle::text::verifier_log,
        seeds: oracle::text::verifier_logs,
    },
    Target {
        name: "verifier",
        run: oracle::verifier::objects,
        seeds: oracle::object::objects,
    },
    Target {
        name: "test_files",
        run: oracle::tests::files,
        seeds: oracle::tests::seeds,
    },
    Target {
        name: "usdt_notes",
        run: oracle::points::notes,
        seeds: oracle::points::binaries,
    },
    Target {
        name: "capture",
        run: oracle::capture::capture,
        seeds: oracle::capture::captures,
    },
    Target {
        name: "recording",
        run: oracle::recording::recording,
        seeds: oracle::recording::recordings,
    },
    Target {
        name: "vm_program",
        run: vm::oracle::program,
        seeds: vm::oracle::programs,
    },
    Target {
        name: "vm_instructions",
        run: vm::oracle::instructions,
        seeds: vm::oracle::seeds,
    },
    Target {
        name: "vm_engines",
        run: vm::oracle::engines,
        seeds: vm::oracle::seeds,
    },
    Target {
        name: "vm_maps",
        run: vm::oracle::maps,
        seeds: vm::oracle::seeds,
    },
];

/// Feeds the target of this name.
///
/// # Panics
/// When the target does, or there is none of this name.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").run)(input);
}
