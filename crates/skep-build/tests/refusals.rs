//! What is said of programs in Rust that BPF can't hold, and of attributes that are used in another
//! way than they are meant: what it is, where, why, and the way round, as the goldens beside them
//! say. `UPDATE_GOLDEN=1` blesses them.

mod common;

use std::{fs, path::PathBuf};

use common::{cache, here};
use skep_build::{Build, CoreSource, Cpu, Error};
use skep_testing::{Stop, lacks};

fn core() -> Option<CoreSource> {
    match skep_testing::core_source() {
        Ok(core) => Some(core),
        Err(Stop::Skip(lacking)) => {
            lacks(lacking);
            None
        }
        Err(Stop::Fail(text)) => panic!("{text}"),
    }
}

/// The programs of a folder, by paths as a user would have them.
fn programs(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(here(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let mut found: Vec<PathBuf> = names
        .map(|name| PathBuf::from("tests").join(folder).join(name))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    found.sort();
    assert!(found.len() > 5, "{found:?}");
    found
}

/// What a program's author reads, and whether there is an object none the less.
fn said(program: &PathBuf, core: &CoreSource, cpu: Cpu) -> (String, bool) {
    let build = Build::new(program)
        .core_source(core.clone())
        .cpu(cpu)
        .cache(cache())
        .color(false);
    let (text, object) = match build.cached() {
        Ok(built) => (built.warnings, true),
        Err(Error::Compile { stderr, .. }) => (stderr, false),
        Err(error) => panic!("{}: {error}", program.display()),
    };
    let core = core.folder().to_str().unwrap();
    (text.replace(core, "/library"), object)
}

#[test]
fn what_bpf_cant_hold_is_explained() {
    as_the_goldens_say("refusals");
}

#[test]
fn attributes_say_what_they_take() {
    as_the_goldens_say("attributes");
}

/// Errors with their places, and without the help and notes behind.
fn without_help(text: &str) -> String {
    let is_help = |line: &&str| {
        let start = line.trim_start();
        !["= note", "= help", "help: the", "note: required"]
            .iter()
            .any(|word| start.starts_with(word))
    };
    let blocks = text.split("\n\n").map(|block| {
        let lines = block.lines().take_while(is_help);
        let kept: Vec<&str> = lines.map(str::trim_start).collect();
        kept.join("\n")
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

fn as_the_goldens_say(folder: &str) {
    let Some(core) = core() else {
        return;
    };
    for program in programs(folder) {
        let (text, object) = said(&program, &core, Cpu::V3);
        // What rustc knows of the library's own source moves with it, and so does the margin.
        let text = match folder {
            "attributes" => without_help(&text),
            _ => text,
        };
        let text = match object {
            true => format!("{text}\nThere is an object.\n"),
            false => format!("{text}\n\nThere is no object.\n"),
        };
        let golden = program.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(
            text,
            wanted,
            "{}: bless it with UPDATE_GOLDEN=1",
            golden.display()
        );
    }
}

/// The way round that is told: a newer instruction set.
#[test]
fn some_of_it_newer_instruction_sets_hold() {
    let Some(core) = core() else {
        return;
    };
    for name in ["signed_division", "atomic_load"] {
        let program = PathBuf::from(format!("tests/refusals/{name}.rs"));
        let (text, object) = said(&program, &core, Cpu::V4);
        assert!(object && text.is_empty(), "{name}: {text}");
    }
}
