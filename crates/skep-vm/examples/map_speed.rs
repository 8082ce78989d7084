//! How long maps take, from inside programs: on the machine and on the kernel (as root), and with
//! two threads on one map.
//!
//! ```sh
//! cargo run --release -p skep-vm --example map_speed
//! ```
//!
//! Every program makes a number of operations on keys in a scattered order; the figures are the
//! least of several measurements, in nanoseconds an operation, loop and all.

use std::{error::Error, time::Instant};

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_host::{Host, MapCreate, MapFd, ProgramFd, ProgramLoad, TestRun};
use skep_isa::{Endian, assemble, encode_slots};
use skep_linux::LinuxHost;
use skep_vm::{Config, Engine, Vm};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Operations of a run.
const ROUNDS: u64 = 8000;
/// Entries of a map.
const ENTRIES: u32 = 4096;

/// What a program does in each round.
struct Work {
    name: &'static str,
    map_type: MapType,
    flags: MapCreateFlags,
    call: &'static str,
}

const LOOKUP: &str = "call 1\nif r0 == 0 goto +2\nr1 = *(u64 *)(r0 + 0)\nr9 += r1\n";
const UPDATE: &str = "r3 = r10\nr3 += -16\nr4 = 0\ncall 2\n";
const REPLACE: &str = "call 3\nr1 = map\nr2 = r10\nr2 += -8\nr3 = r10\nr3 += -16\nr4 = 0\ncall 2\n";

fn work() -> Vec<Work> {
    let row = |name, map_type, flags, call| Work {
        name,
        map_type,
        flags,
        call,
    };
    let none = MapCreateFlags::empty();
    let grows = MapCreateFlags::NO_PREALLOC;
    vec![
        row("the loop alone", MapType::Array, none, ""),
        row("array lookup", MapType::Array, none, LOOKUP),
        row("hash lookup", MapType::Hash, none, LOOKUP),
        row("hash update", MapType::Hash, none, UPDATE),
        row("growing hash update", MapType::Hash, grows, UPDATE),
        row("hash delete and insert", MapType::Hash, none, REPLACE),
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
    for number in 0..ENTRIES / 2 {
        let key = &u64::from(number).to_ne_bytes()[..key as usize];
        host.map_update_elem(&map, key, &vec![1; value], 0)?;
    }
    let call = work
        .call
        .replace("r1 = map\n", &format!("r1 = map[fd:{}]\n", map.raw()));
    let text = format!(
        "call 8\nr8 = r0\nr8 *= 1021\nr7 = 0\nr9 = 0\n*(u64 *)(r10 - 16) = r7\n\
         loop:\n\
         r8 *= 13\nr8 += 7\nr8 &= {mask}\n*(u64 *)(r10 - 8) = r8\n\
         r1 = map[fd:{fd}]\nr2 = r10\nr2 += -8\n{call}\
         r7 += 1\nif r7 < {ROUNDS} goto loop\n\
         r0 = 0\nexit\n",
        mask = ENTRIES / 2 - 1,
        fd = map.raw(),
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

/// Nanoseconds an operation, when `threads` do it at once.
fn measure(host: &dyn Host, ready: &Ready, threads: u32) -> Outcome<f64> {
    const RUNS: u32 = 40;
    run(host, ready, 5)?;
    let mut best = f64::INFINITY;
    for _ in 0..9 {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| run(host, ready, RUNS).map_err(|error| error.to_string())))
                .collect();
            others
                .into_iter()
                .try_for_each(|other| other.join().map_err(|_| "a panic".to_owned())?)
        })?;
        let operations = ROUNDS * u64::from(RUNS) * u64::from(threads);
        best = best.min(start.elapsed().as_nanos() as f64 / operations as f64);
    }
    Ok(best)
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
        "{:24} {:>4}  {:>12} {:>8} {:>8} {:>6}",
        "", "key", "host", "1 thread", "2", "gain"
    );
    for work in work().iter().filter(|work| work.name.contains(&only)) {
        let keys: &[u32] = match work.map_type {
            MapType::Array | MapType::PercpuArray => &[4],
            _ => &[4, 8],
        };
        for key in keys {
            for (name, host) in &hosts {
                let answer = load(host.as_ref(), work, *key).and_then(|ready| {
                    let one = measure(host.as_ref(), &ready, 1)?;
                    Ok((one, measure(host.as_ref(), &ready, 2)?))
                });
                match answer {
                    Ok((one, two)) => println!(
                        "{:24} {key:>4}  {name:>12} {one:>8.1} {two:>8.1} {:>5.2}x",
                        work.name,
                        one / two
                    ),
                    Err(error) => println!("{:24} {key:>4}  {name:>12} {error}", work.name),
                }
            }
        }
    }
    Ok(())
}
