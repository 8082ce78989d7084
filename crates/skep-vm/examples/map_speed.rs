//! How long maps take, from inside programs: on the machine and on the kernel (as root), and with
//! two threads on one map.
//!
//! ```sh
//! cargo run --release -p skep-vm --example map_speed
//! cargo run --release -p skep-vm --example map_speed "hash update" jit
//! ```
//!
//! Every program makes a number of operations on 2,048 keys in random order; "in step": all CPUs in
//! the same order, one as far behind the other as it happens to be; "own keys": each CPU on 1,024
//! of its own. The gain is how many times as many operations two threads make in a time, each on a
//! CPU of its own, as one of them alone, whose figure is that of both CPUs: 2 is the most. Two threads
//! "apart" have a map each and share nothing: their gain is what this machine has to give, so that
//! what is lost by sharing is the difference of the two. "array store" needs no map: the two threads'
//! stores to the same memory.
//!
//! "line" is how long a cache line takes from one CPU to the other. It tells where they are: two
//! threads of one core hand it over in less than 24 ns, and have one core's units between them, which
//! makes two of them worth 1.2 to 1.5; cores that share a cache take up to 80, others longer. A
//! virtual machine's CPUs come and go, so that each turn is counted where it was; on a machine of
//! one's own, `lscpu --extended` tells which CPUs are which.
//!
//! A row is measured for seconds, all hosts in turns of a few milliseconds, and its figures are the
//! least of each, in nanoseconds an operation, loop and all: what else the machine does meets all of
//! them, and comes and goes in seconds.

use std::{
    error::Error,
    hint,
    sync::{
        Barrier,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Release},
        },
    },
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_setaffinity};
use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_host::{Host, MapCreate, MapFd, ProgramFd, ProgramLoad, TestRun};
use skep_isa::{Endian, assemble, encode_slots};
use skep_linux::LinuxHost;
use skep_vm::{Config, Engine, Vm};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Operations of a run.
const ROUNDS: u64 = 4000;
/// How long a turn takes, at the least: many runs, so that threads end together.
const TURN: Duration = Duration::from_millis(2);
/// How long a row is measured.
const LONG: Duration = Duration::from_secs(6);

/// Where the two CPUs are, and in how many nanoseconds a cache line goes from one to the other there.
const PLACES: [(&str, f64); 3] = [
    ("one core", 24.0),
    ("near cores", 80.0),
    ("far cores", f64::INFINITY),
];

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

/// A host with the programs of a row.
struct Peer<'a> {
    name: &'a str,
    host: &'a dyn Host,
    programs: [Ready; 2],
}

/// The least of several turns, in nanoseconds an operation: by one thread, by two on one map, by two
/// on a map each.
#[derive(Clone, Copy)]
struct Best {
    times: [f64; 3],
    /// Nanoseconds of a cache line's way.
    line: f64,
    turns: u32,
}

impl Best {
    const NONE: Self = Self {
        times: [f64::INFINITY; 3],
        line: f64::INFINITY,
        turns: 0,
    };

    fn take(&mut self, times: [f64; 3], line: f64) {
        for (best, time) in self.times.iter_mut().zip(times) {
            *best = best.min(time);
        }
        self.line = self.line.min(line);
        self.turns += 1;
    }
}

impl<'a> Peer<'a> {
    fn new(name: &'a str, host: &'a dyn Host, work: &Work, key: u32) -> Outcome<Self> {
        let programs = [load(host, work, key)?, load(host, work, key)?];
        Ok(Self {
            name,
            host,
            programs,
        })
    }

    /// A turn of each number of threads.
    fn turn(&self) -> Outcome<[f64; 3]> {
        let [first, second] = &self.programs;
        let alone = [[Some(first), None], [None, Some(first)]];
        let alone: Outcome<Vec<_>> = alone.into_iter().map(|one| self.rate(one)).collect();
        let rates = [
            alone?.iter().sum::<f64>() / 2.0,
            self.rate([Some(first); 2])?,
            self.rate([Some(first), Some(second)])?,
        ];
        Ok(rates.map(|rate| 1.0 / rate))
    }

    /// How many operations a nanosecond threads make together.
    fn rate(&self, threads: [Option<&Ready>; 2]) -> Outcome<f64> {
        let rates = on_cpus(threads, |ready| {
            let (start, mut operations) = (Instant::now(), 0);
            while start.elapsed() < TURN {
                let mut run = TestRun::default();
                let ran = self.host.prog_test_run(&ready.program, &mut run);
                ran.expect("a run");
                operations += ROUNDS;
            }
            operations as f64 / start.elapsed().as_nanos() as f64
        })?;
        Ok(rates.iter().sum())
    }
}

/// Runs the first part on CPU 0 and the second on CPU 1, and gives what they gave.
fn on_cpus<T: Send, U: Send>(
    parts: [Option<T>; 2],
    run: impl Fn(T) -> U + Sync,
) -> Outcome<Vec<U>> {
    let ready = Barrier::new(parts.iter().flatten().count());
    let (ready, run) = (&ready, &run);
    let ended = std::thread::scope(|scope| {
        let parts = parts.into_iter().enumerate();
        let threads = parts.filter_map(|(cpu, part)| Some((cpu, part?)));
        let threads: Vec<_> = threads
            .map(|(cpu, part)| {
                scope.spawn(move || {
                    let mut only = CpuSet::new();
                    only.set(cpu);
                    sched_setaffinity(None, &only).expect("two CPUs");
                    ready.wait();
                    run(part)
                })
            })
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended.collect::<Result<Vec<_>, _>>()
    });
    Ok(ended.map_err(|_| "a thread panicked")?)
}

/// How many nanoseconds a cache line takes from one CPU to the other: the least of several times.
fn line() -> Outcome<f64> {
    const TIMES: u32 = 10;
    const HANDOVERS: u32 = 200;
    let word = AtomicU32::new(0);
    let least = on_cpus([Some(0), Some(1)], |first| {
        let times = (0..TIMES).map(|time| {
            let start = Instant::now();
            for turn in (first..HANDOVERS).step_by(2) {
                let turn = time * HANDOVERS + turn;
                while word.load(Acquire) != turn {
                    hint::spin_loop();
                }
                word.store(turn + 1, Release);
            }
            start.elapsed()
        });
        times.min().unwrap_or_default()
    })?;
    let least = least.into_iter().min().unwrap_or_default();
    Ok(least.as_nanos() as f64 / f64::from(HANDOVERS))
}

/// Measures a row and prints it.
fn measure(hosts: &[(&str, Box<dyn Host>)], work: &Work, key: u32) -> Outcome {
    let mut peers = Vec::new();
    for (name, host) in hosts {
        match Peer::new(name, host.as_ref(), work, key) {
            Ok(peer) => peers.push(peer),
            Err(error) => println!("{:32} {key:>4}  {name:>12} {error}", work.name),
        }
    }
    let mut best = vec![[Best::NONE; PLACES.len()]; peers.len()];
    let start = Instant::now();
    while start.elapsed() < LONG && !peers.is_empty() {
        for (peer, best) in peers.iter().zip(&mut best) {
            let (before, times, after) = (line()?, peer.turn()?, line()?);
            // Else they went elsewhere meanwhile.
            if let (Some(place), true) = (place(before), place(before) == place(after)) {
                best[place].take(times, before.min(after));
            }
        }
    }
    for (peer, best) in peers.iter().zip(best) {
        for ((place, _), best) in PLACES.into_iter().zip(best) {
            let [one, two, apart] = best.times;
            if best.turns > 0 {
                println!(
                    "{:32} {key:>4}  {:>12} {one:>8.1} {two:>8.1} {apart:>8.1} {:>5.2}x {:>5.2}x {:>6.0}  {place} ({} turns)",
                    work.name,
                    peer.name,
                    one / two,
                    one / apart,
                    best.line,
                    best.turns
                );
            }
        }
    }
    Ok(())
}

/// The place of two CPUs between which a cache line takes so long.
fn place(line: f64) -> Option<usize> {
    PLACES.iter().position(|(_, most)| line <= *most)
}

fn main() -> Outcome {
    let mut words = std::env::args().skip(1);
    let (rows, only) = (words.next().unwrap_or_default(), words.next());
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name == only);
    let mut hosts: Vec<(&str, Box<dyn Host>)> = Vec::new();
    if wanted("kernel") {
        hosts.push(("kernel", Box::new(LinuxHost::new()?)));
    }
    for (name, engine) in [("jit", Engine::Jit), ("interpreter", Engine::Interpreter)] {
        let mut config = Config::default();
        config.engine = engine;
        if wanted(name) {
            hosts.push((name, Box::new(Vm::with(config)?)));
        }
    }
    println!(
        "{:32} {:>4}  {:>12} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6}",
        "", "key", "host", "1 thread", "2", "2 apart", "gain", "apart", "line"
    );
    for work in work().iter().filter(|work| work.name.contains(&rows)) {
        let keys: &[u32] = match work.map_type {
            MapType::Array | MapType::PercpuArray => &[4],
            _ => &[4, 8],
        };
        for key in keys {
            measure(&hosts, work, *key)?;
        }
    }
    Ok(())
}
