//! Every target, with the same damaged inputs every time: no panic, bounded memory and time.
//! More of them: `SKEP_FUZZ_RUNS=1000000 cargo test --release -p skep-fuzz`; `SKEP_FUZZ_SEED`
//! starts elsewhere.

use std::{
    alloc::System,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use cap::Cap;
use rustix::time::{ClockId, clock_gettime};
use skep_fuzz::{Mutator, TARGETS};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Most bytes alive at once: inputs have ten thousand.
const MOST_MEMORY: usize = 16 << 20;
/// Most processor time for one input, in a debug build under load.
const MOST_TIME: Duration = Duration::from_secs(4);

/// The tests share the allocator's count, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn object() {
    check("object", 800);
}

#[test]
fn linker() {
    check("linker", 400);
}

#[test]
fn finish() {
    check("finish", 400);
}

#[test]
fn btf_ext() {
    check("btf_ext", 800);
}

#[test]
fn kernel_btf() {
    check("kernel_btf", 400);
}

#[test]
fn btf() {
    check("btf", 250);
}

#[test]
fn instructions() {
    check("instructions", 250);
}

#[test]
fn assembler() {
    check("assembler", 400);
}

#[test]
fn section_name() {
    check("section_name", 2000);
}

#[test]
fn config() {
    check("config", 50);
}

#[test]
fn verifier_log() {
    check("verifier_log", 800);
}

#[test]
fn verifier() {
    check("verifier", 400);
}

#[test]
fn test_files() {
    check("test_files", 400);
}

#[test]
fn usdt_notes() {
    check("usdt_notes", 2000);
}

#[test]
fn capture() {
    check("capture", 1500);
}

#[test]
fn recording() {
    check("recording", 3000);
}

#[test]
fn vm_program() {
    check("vm_program", 600);
}

#[test]
fn vm_instructions() {
    check("vm_instructions", 150);
}

#[test]
fn vm_engines() {
    check("vm_engines", 150);
}

#[test]
fn vm_maps() {
    check("vm_maps", 1000);
}

/// A program that keeps the low byte of a value's address, read from a dynptr, and one that compares
/// its frame's: the same on both interpreters by chance is not the engines' doing.
#[test]
fn addresses_are_no_difference() {
    let _turn = turn();
    let target = TARGETS
        .iter()
        .find(|target| target.name == "vm_engines")
        .unwrap();
    for seed in [9_120_430, 9_137_519] {
        let input = Mutator::new(seed).input(&(target.seeds)());
        for _ in 0..50 {
            (target.run)(&input);
        }
    }
}

/// Seeds are well-formed: were they not, mutations would end at the first check.
#[test]
fn the_corpus_parses() {
    for bytes in skep_fuzz::corpus::OBJECTS {
        skep_object::Object::parse(bytes).unwrap();
    }
    for bytes in skep_fuzz::corpus::POINTS {
        let notes = skep::usdt::Notes::parse(bytes).unwrap();
        let read = |point: &&skep::usdt::Point| point.arguments.is_ok();
        let wrong = notes.points.len() - notes.points.iter().filter(read).count();
        assert_eq!(wrong, 1, "{:?}", notes.points);
    }
    for pair in skep_fuzz::corpus::HALVES.as_chunks::<2>().0 {
        let mut linker = skep_object::StaticLinker::new();
        linker.add("first", pair[0]).unwrap();
        linker.add("second", pair[1]).unwrap();
        skep_object::Object::parse(&linker.finish().unwrap()).unwrap();
    }
}

fn check(name: &str, runs: u64) {
    let _turn = turn();
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    for seed in &seeds {
        (target.run)(seed);
    }
    let number = |name| {
        env::var(name)
            .ok()
            .map(|text: String| text.parse().unwrap())
    };
    let first: u64 = number("SKEP_FUZZ_SEED").unwrap_or(0);
    let runs = number("SKEP_FUZZ_RUNS").unwrap_or(runs);
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
    let mut slowest = Duration::ZERO;
    for seed in first..first + runs {
        let input = Mutator::new(seed).input(&seeds);
        // Kept before it runs: some failures leave no one to write it.
        fs::write(&kept, &input).unwrap();
        let before = processor_time();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let took = processor_time() - before;
        slowest = slowest.max(took);
        let place = || format!("target {name}, seed {seed}, input {}", kept.display());
        assert!(outcome.is_ok(), "{}", place());
        assert!(took < MOST_TIME, "{took:?}: {}", place());
        let memory = MEMORY.max_allocated();
        assert!(memory < MOST_MEMORY, "{memory} bytes: {}", place());
    }
    fs::remove_file(&kept).unwrap();
    let memory = MEMORY.max_allocated() >> 10;
    println!("{name}: {runs} runs, slowest {slowest:?}, {memory} KiB at most until now");
}

fn turn() -> MutexGuard<'static, ()> {
    // Another target's failure is no reason not to run.
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
