//! Recording: programs that are made to write down what they see still pass the kernel's verifier.

use std::{fs, path::Path};

use skep::{
    LoadOptions, Object,
    recording::{Instrumented, RecordOptions},
};
use skep_testing::{Outcome, Stop, Test, ensure, needs_kernel};

use crate::support::host;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("recording_examples_load", examples_load),
        Test::new("recording_corpus_loads", corpus_loads),
    ]
}

/// Loads each program of a source by itself, changed to record: what loads without must load with
/// it. Gives what was refused, and how many were loaded.
fn load_each(source: &Path) -> Outcome<(Vec<String>, usize)> {
    let bytes = skep_testing::compile(source, env!("CARGO_TARGET_TMPDIR"))?;
    let name = source.file_stem().unwrap_or_default().to_string_lossy();
    let names: Vec<String> = {
        let object = Object::parse(&name, &bytes)?;
        let programs = object.spec().programs().iter();
        programs.map(|program| program.name.clone()).collect()
    };
    let (mut refused, mut loaded) = (Vec::new(), 0);
    for program in names {
        let mut object = Object::parse(&name, &bytes)?;
        object.only_programs(&[&program])?;
        if object.load(host()).is_err() {
            continue;
        }
        let cpus = host().boundary().possible_cpus()? as u32;
        let made = Instrumented::new(&object, host(), &RecordOptions::new(cpus));
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                refused.push(error.to_string());
                continue;
            }
        };
        match object.load_image(host(), &LoadOptions::default(), made.image().clone()) {
            Ok(_) => loaded += 1,
            Err(error) => {
                return Err(Stop::fail(format!("{name}: {program}: {error:?}")));
            }
        }
    }
    Ok((refused, loaded))
}

fn sources(folder: &str) -> Outcome<Vec<std::path::PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(folder))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".bpf.c") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn examples_load() -> Outcome {
    needs_kernel(5, 12)?; // atomic operations that fetch
    for source in sources("examples")? {
        let (refused, loaded) = load_each(&source)?;
        let iterator = source.ends_with("tasks.bpf.c");
        ensure(
            refused.is_empty() != iterator && (loaded > 0) != iterator,
            || format!("{}: {loaded} loaded, {refused:?}", source.display()),
        )?;
    }
    Ok(())
}

fn corpus_loads() -> Outcome {
    needs_kernel(5, 12)?; // atomic operations that fetch
    let (mut all, mut refused) = (0, Vec::new());
    for source in sources("corpus")? {
        if source.ends_with("maps.bpf.c") {
            continue;
        }
        let (without, loaded) = load_each(&source)?;
        all += loaded;
        refused.extend(without);
    }
    for programs in [
        "opens",
        "processes",
        "run_queue",
        "tc",
        "uprobe",
        "xdp",
        "minimal",
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../skep-build/tests/programs");
        let (without, loaded) = load_each(&folder.join(format!("{programs}.bpf.c")))?;
        all += loaded;
        refused.extend(without);
    }
    println!(
        "{all} programs record; {} can't:\n{}",
        refused.len(),
        refused.join("\n")
    );
    ensure(all > 40, || format!("{all} programs record: {refused:#?}"))
}
