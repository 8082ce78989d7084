//! How long maps take, from inside programs: on the machine and on the kernel (as root), and with
//! two threads on one map.
//!
//! ```sh
//! cargo run --release -p skep-vm --example map_speed
//! ```
//!
//! Every program makes a number of operations on 2,048 keys in random order; "in step": all CPUs in
//! the same order, one as far behind the other as it happens to be; "own keys": each CPU on 1,024
//! of its own. Two threads make twice as many operations as one, and the gain is how many times
//! as many a second those are: 2 is the most. Two threads "apart" have a map each and share nothing:
//! their gain is what this machine has to give (1.3 to 1.5, where its two CPUs are threads of one
//! core), so that what is lost by sharing is the difference of the two. "array store" needs no map:
//! the two threads' stores to the same memory. The figures are the least of several measurements, in
//! nanoseconds an operation, loop and all.

use std::{error::Error, time::Instant};

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_host::{Host, MapCreate, MapFd, ProgramFd, ProgramLoad, TestRun};
use skep_isa::{Endian, assemble, encode_slots};
use skep_linux::LinuxHost;
use skep_vm::{Config, Engine, Vm};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Operations of a run.
const ROUNDS: u64 = 8000;
/// Runs of a measurement, and measurements of each number of threads.
const RUNS: u32 = 20;
const MEASUREMENTS: u32 = 25;

/// Entries of a map.
const ENTRIES: u32 = 4096;

/// Half of those are there.
const KEY_BITS: u32 = ENTRIES.ilog2() - 1;

/// What a program does in each round.
struct Work {
    name: &'static str,
    map_type: MapType,
    flags: MapCreateFlags,
    call: &'static str,
    keys: Keys,
}

/// On which keys, in which order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Each CPU on all, in a random order of its own.
    All,
    /// All CPUs in the same order.
    InStep,
    /// Each CPU on its own.
    Own,
}

const LOOKUP: &str = "call 1\nif r0 == 0 goto +2\nr1 = *(u64 *)(r0 + 0)\nr9 += r1\n";
const STORE: &str = "call 1\nif r0 == 0 goto +1\n*(u64 *)(r0 + 0) = r7\n";
const UPDATE: &str = "r3 = r10\nr3 += -16\nr4 = 0\ncall 2\n";
const REPLACE: &str = "call 3\nr1 = map\nr2 = r10\nr2 += -8\nr3 = r10\nr3 += -16\nr4 = 0\ncall 2\n";

const BOTH: &str = "call 1\nr1 = map\nr2 = r10\nr2 += -8\nr3 = r10\nr3 += -16\nr4 = 0\ncall 2\n";

fn work() -> Vec<Work> {
    let row = |name, map_type, flags, call| Work {
        name,
        map_type,
        flags,
        call,
        keys: Keys::All,
    };
    let own = |work| Work {
        keys: Keys::Own,
        ..work
    };
    let in_step = |work| Work {
        keys: Keys::InStep,
        ..work
    };
    let none = MapCreateFlags::empty();
    let grows = MapCreateFlags::NO_PREALLOC;
    vec![
        row("the loop alone", MapType::Array, none, ""),
        row("array lookup", MapType::Array, none, LOOKUP),
        row("array store", MapType::Array, none, STORE),
        row("hash lookup", MapType::Hash, none, LOOKUP),
        row("hash update", MapType::Hash, none, UPDATE),
        in_step(row("hash update, in step", MapType::Hash, none, UPDATE)),
        own(row("hash update, own keys", MapType::Hash, none, UPDATE)),
        row("hash lookup and update", MapType::Hash, none, BOTH),
        row("growing hash update", MapType::Hash, grows, UPDATE),
        row("hash delete and insert", MapType::Hash, none, REPLACE),
        own(row(
            "hash delete and insert, own keys",
            MapType::Hash,
            none,
            REPLACE,
        )),
        row("per-CPU hash lookup", MapType::PercpuHash, none, LOOKUP),
        row("per-CPU hash update", MapType::PercpuHash, none, UPDATE),
        row("LRU hash lookup", MapType::LruHash, none, LOOKUP),
        row("LRU hash update", MapType::LruHash, none, UPDATE),
        row("per-CPU array lookup", MapType::PercpuArray, none, LOOKUP),
    ]
}

struct Ready {
    program: ProgramFd,
    _map: MapFd,
}

fn load(host: &dyn Host, work: &Work, key: u32) -> Outcome<Ready> {
    let mut request = MapCreate::new(work.map_type, "speed", key, 8, ENTRIES);
    request.flags = work.flags;
    let map = host.map_create(&request)?;
    let cpus = host.possible_cpus()?;
    let value = if work.map_type.is_per_cpu() {
        8 * cpus
    } else {
        8
    };
    for number in 0..1_u32 << KEY_BITS {
        let key = &u64::from(number).to_ne_bytes()[..key as usize];
        host.map_update_elem(&map, key, &vec![1; value], 0)?;
    }
    let call = work
        .call
        .replace("r1 = map\n", &format!("r1 = map[fd:{}]\n", map.raw()));
    // R8 is the state of a generator of numbers, whose upper bits are good ones; R6 is this
    // CPU's part of the keys.
    let (bits, part) = match work.keys {
        Keys::Own => (KEY_BITS - 1, 1 << (KEY_BITS - 1)),
        Keys::All | Keys::InStep => (KEY_BITS, 0),
    };
    let seed = u64::from(work.keys != Keys::InStep);
    let text = format!(
        "call 8\nr6 = r0\nr6 &= 1\nr8 = r6\nr8 *= {seed}\nr8 += 1\nr8 *= 0x5851f42d\nr6 *= {part}\n\
         r9 = 0\nr7 = 6364136223846793005 ll\n*(u64 *)(r10 - 32) = r7\nr7 = 0\n\
         *(u64 *)(r10 - 16) = r7\n\
         loop:\n\
         r1 = *(u64 *)(r10 - 32)\nr8 *= r1\nr8 += 12345\nr1 = r8\nr1 >>= {shift}\nr1 |= r6\n\
         *(u64 *)(r10 - 8) = r1\n\
         r1 = map[fd:{fd}]\nr2 = r10\nr2 += -8\n{call}\
         r7 += 1\nif r7 < {ROUNDS} goto loop\n\
         r0 = 0\nexit\n",
        fd = map.raw(),
        shift = 64 - bits,
    );
    let code = encode_slots(&assemble(&text)?, Endian::NATIVE);
    let request = ProgramLoad::new(ProgramType::RawTracepoint, "speed", &code);
    let program = host.prog_load(&request)?.fd;
    Ok(Ready { program, _map: map })
}

fn run(host: &dyn Host, ready: &Ready, times: u32) -> Outcome {
    for _ in 0..times {
        host.prog_test_run(&ready.program, &mut TestRun::default())?;
    }
    Ok(())
}

/// Nanoseconds an operation: by one thread, by two on one map, by two on a map each. The least of
/// several measurements, taken in turn, so that all meet the same neighbours on a machine that is
/// shared.
fn measure(host: &dyn Host, work: &Work, key: u32) -> Outcome<[f64; 3]> {
    let (first, second) = (load(host, work, key)?, load(host, work, key)?);
    let threads = [vec![&first], vec![&first, &first], vec![&first, &second]];
    let mut best = [f64::INFINITY; 3];
    for _ in 0..MEASUREMENTS {
        for (best, threads) in best.iter_mut().zip(&threads) {
            *best = best.min(measure_once(host, threads)?);
        }
    }
    Ok(best)
}

/// A thread for each.
fn measure_once(host: &dyn Host, threads: &[&Ready]) -> Outcome<f64> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let run = |ready| run(host, ready, RUNS).map_err(|error| error.to_string());
        let others: Vec<_> = threads
            .iter()
            .map(|ready| scope.spawn(move || run(ready)))
            .collect();
        others
            .into_iter()
            .try_for_each(|other| other.join().map_err(|_| "a panic".to_owned())?)
    })?;
    let operations = ROUNDS * u64::from(RUNS) * threads.len() as u64;
    Ok(start.elapsed().as_nanos() as f64 / operations as f64)
}

fn main() -> Outcome {
    let only = std::env::args().nth(1).unwrap_or_default();
    let mut hosts: Vec<(&str, Box<dyn Host>)> = vec![("kernel", Box::new(LinuxHost::new()?))];
    for (name, engine) in [("jit", Engine::Jit), ("interpreter", Engine::Interpreter)] {
        let mut config = Config::default();
        config.engine = engine;
        hosts.push((name, Box::new(Vm::with(config)?)));
    }
    println!(
        "{:32} {:>4}  {:>12} {:>8} {:>8} {:>8} {:>6} {:>6}",
        "", "key", "host", "1 thread", "2", "2 apart", "gain", "apart"
    );
    for work in work().iter().filter(|work| work.name.contains(&only)) {
        let keys: &[u32] = match work.map_type {
            MapType::Array | MapType::PercpuArray => &[4],
            _ => &[4, 8],
        };
        for key in keys {
            for (name, host) in &hosts {
                match measure(host.as_ref(), work, *key) {
                    Ok([one, two, apart]) => println!(
                        "{:32} {key:>4}  {name:>12} {one:>8.1} {two:>8.1} {apart:>8.1} {:>5.2}x {:>5.2}x",
                        work.name,
                        one / two,
                        one / apart
                    ),
                    Err(error) => println!("{:32} {key:>4}  {name:>12} {error}", work.name),
                }
            }
        }
    }
    Ok(())
}
