//! The kernel's open-coded iterators from Rust: what `for` gives, and how loops are left.

use std::{fs, path::PathBuf};

use skep::{Object, boundary::TestRun};
use skep_testing::{Libbpf, Outcome, Stop, Test, ensure};

use crate::support::{Running, needs_function};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("iterators_rust::numbers_and_bits", counted),
        Test::new("iterators_rust::processes_and_threads", processes),
        Test::new("iterators_rust::areas_of_memory", memory),
        Test::new("iterators_rust::control_groups", groups),
        Test::new("iterators_rust::preemption_is_enabled_again", alone),
        Test::new("iterators_rust::libbpf_loads_them", others),
    ]
}

fn bytes() -> Outcome<Vec<u8>> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rust/iterators.rs");
    skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))
}

/// Functions that programs call, and the kernels that have them first.
const NUMBERS: (&str, &str) = ("bpf_iter_num_new", "6.4");
const BITS: (&str, &str) = ("bpf_iter_bits_new", "6.11");

/// One of the programs, run, where the kernel has what it needs.
fn run(program: &str, needs: &[(&str, &str)]) -> Outcome<(Running, u64)> {
    for (name, since) in needs {
        needs_function(name, since)?;
    }
    let mut object = Object::parse("iterators", &bytes()?)?;
    object.only_programs(&[program])?;
    let running = Running::of(object)?;
    let mut test = TestRun::default();
    let ran = running.loaded.program(program)?.test_run(&mut test)?;
    let returned = ran.return_value.into();
    Ok((running, returned))
}

fn check(running: &Running, name: &str, wanted: u64) -> Outcome {
    let got = running.number(name)?;
    ensure(got == wanted, || format!("{name}: {got}, not {wanted}"))
}

fn counted() -> Outcome {
    let (running, _) = run("counted", &[NUMBERS, BITS])?;
    let products: u64 = (1..11_u64)
        .flat_map(|one| (1..=one).map(move |other| one * other))
        .sum();
    for (name, wanted) in [
        ("sum", 99_999 * 100_000 / 2),
        ("products", products),
        ("left", 40),
        ("early", 1),
        ("bit_sum", 4 + 191),
    ] {
        check(&running, name, wanted)?;
    }
    Ok(())
}

fn processes() -> Outcome {
    let (running, _) = run("processes", &[("bpf_iter_task_new", "6.7")])?;
    check(&running, "own_process", 1)?;
    let mine = fs::read_dir("/proc/self/task")?.count() as u64;
    let own = running.number("own_threads")?;
    // Threads of other tests come and go.
    ensure(own > 0 && own <= mine + 8, || format!("{own}, not {mine}"))?;
    let (all, threads) = (
        running.number("all_processes")?,
        running.number("all_threads")?,
    );
    ensure(all > 1 && threads >= all, || {
        format!("{all} processes of {threads} threads")
    })
}

fn memory() -> Outcome {
    let (running, _) = run("memory", &[("bpf_iter_task_vma_new", "6.7")])?;
    let bytes = running.number("own_areas")?;
    ensure(bytes > 1 << 20 && bytes % 4096 == 0, || {
        format!("{bytes} bytes")
    })
}

fn groups() -> Outcome {
    let needs = [("bpf_iter_css_new", "6.7"), ("bpf_cgroup_from_id", "6.4")];
    let (running, _) = run("control_groups", &needs)?;
    if running.number("above")? == 77 {
        return Err(Stop::lacks("a control group of number 1"));
    }
    // The root alone.
    check(&running, "above", 1)
}

fn alone() -> Outcome {
    let (_, returned) = run("alone", &[("bpf_preempt_disable", "6.10")])?;
    let processors = std::thread::available_parallelism()?.get() as u64;
    ensure(returned < processors.max(1024), || format!("{returned}"))
}

fn others() -> Outcome {
    needs_function(BITS.0, BITS.1)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("iterators.o");
    fs::write(&file, bytes()?)?;
    let view = Libbpf::build(folder.path())?.load(&file)?;
    ensure(view.refusal.is_none(), || format!("{:?}", view.refusal))
}
