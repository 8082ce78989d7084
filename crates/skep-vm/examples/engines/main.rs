//! How fast the engines are, beside the running kernel's own JIT: three programs, each engine in
//! both modes, the
//! interpreter that counts coverage, and how long compiling takes. As root, in a release build:
//! `cargo run --release -p skep-vm --example engines`.

use std::time::{Duration, Instant};

use skep_abi::ProgramType;
use skep_host::{Host as _, ProgramFd, ProgramLoad, TestRun};
use skep_isa::{Endian, RawInsn, assemble, encode_slots};
use skep_linux::LinuxHost;
use skep_vm::{BareProgram, Config, Engine, Vm};

const PROGRAMS: [(&str, &str); 3] = [
    ("alu", include_str!("alu.asm")),
    ("prime", include_str!("prime.asm")),
    ("mem", include_str!("mem.asm")),
];

const VERIFIED: &str = "JIT, verified";
const CHECKED: &str = "interpreter, checked";
/// With [`Config::coverage`].
const COUNTED: &str = "interpreter, checked, counted";

/// How long the engines run a program, in turns, of which the best counts: what else the machine
/// does meets all of them, and comes and goes in seconds.
const LONG: Duration = Duration::from_secs(5);

/// How often each program is compiled; the best counts.
const COMPILES: usize = 15;

/// An engine with a program.
struct Peer {
    what: &'static str,
    compile: Duration,
    ready: Ready,
    /// Nanoseconds a run.
    best: f64,
}

enum Ready {
    Kernel(Box<LinuxHost>, ProgramFd),
    Vm(BareProgram),
}

impl Peer {
    fn kernel(name: &str, slots: &[RawInsn]) -> Option<Self> {
        let host = LinuxHost::new().ok()?;
        let bytes = encode_slots(slots, Endian::NATIVE);
        let load = ProgramLoad::new(ProgramType::SchedCls, name, &bytes);
        let start = Instant::now();
        let program = host.prog_load(&load).ok()?.fd;
        Some(Self {
            what: "the kernel's JIT",
            compile: start.elapsed(),
            ready: Ready::Kernel(Box::new(host), program),
            best: f64::INFINITY,
        })
    }

    fn vm(what: &'static str, mut make: impl FnMut() -> BareProgram) -> Self {
        let mut made = || {
            let start = Instant::now();
            (make(), start.elapsed())
        };
        // The first makes the compiler ready, for once.
        let compile = (0..COMPILES).map(|_| made().1).min().unwrap_or_default();
        Self {
            what,
            compile,
            ready: Ready::Vm(made().0),
            best: f64::INFINITY,
        }
    }

    /// Runs it for a few milliseconds; answers what it answered.
    fn round(&mut self) -> u32 {
        let repeat = (4e6 / self.best).clamp(1.0, 200.0) as u32;
        let (time, answer) = match &self.ready {
            Ready::Kernel(host, program) => {
                let mut run = TestRun {
                    data_in: &[0; 64],
                    repeat,
                    ..TestRun::default()
                };
                let outcome = host.prog_test_run(program, &mut run).expect("a run");
                (f64::from(outcome.duration), outcome.return_value)
            }
            Ready::Vm(program) => {
                let start = Instant::now();
                let mut answer = program.run(&mut [0; 64]);
                for _ in 1..repeat {
                    answer = program.run(&mut [0; 64]);
                }
                let time = start.elapsed().as_nanos() as f64 / f64::from(repeat);
                (time, answer.expect("a program that ends") as u32)
            }
        };
        self.best = self.best.min(time);
        answer
    }
}

fn main() {
    let vm = Vm::new().expect("memory");
    let mut counting = Config::default();
    counting.coverage = true;
    let counting = Vm::with(counting).expect("memory");
    println!(
        "{:8} {:30} {:>12} {:>9} {:>12}",
        "program", "engine", "ns a run", "ratio", "ready in µs"
    );
    for (name, text) in PROGRAMS {
        let slots = assemble(text).expect("a program");
        let mut peers = Vec::from_iter(Peer::kernel(name, &slots));
        if peers.is_empty() {
            println!("{name:8} the kernel does not take it (not root?)");
        }
        for (engine, verified, what) in [
            (Engine::Jit, true, VERIFIED),
            (Engine::Jit, false, "JIT, checked"),
            (Engine::Interpreter, true, "interpreter, verified"),
            (Engine::Interpreter, false, CHECKED),
            (Engine::Interpreter, false, COUNTED),
        ] {
            let vm = if what == COUNTED { &counting } else { &vm };
            let peer = Peer::vm(what, || {
                let program = if verified {
                    // SAFETY: the kernel's verifier takes these programs.
                    unsafe { vm.bare_verified(name, &slots, engine) }
                } else {
                    vm.bare(name, &slots, engine)
                };
                program.expect("a program that loads")
            });
            if let (Some(folder), Engine::Jit, Ready::Vm(program)) =
                (std::env::var_os("SKEP_CODE"), engine, &peer.ready)
            {
                let path = std::path::Path::new(&folder).join(format!("{name}-{verified}.bin"));
                std::fs::write(path, program.machine_code()).expect("a writable folder");
            }
            peers.push(peer);
        }
        let start = Instant::now();
        while start.elapsed() < LONG {
            let answers: Vec<_> = peers.iter_mut().map(Peer::round).collect();
            assert!(
                answers.windows(2).all(|two| two[0] == two[1]),
                "{answers:?}"
            );
        }
        print(name, &peers);
    }
}

/// The table's rows of one program.
fn print(name: &str, peers: &[Peer]) {
    let time = |what: &str| {
        let peer = peers.iter().find(|peer| peer.what == what);
        peer.map_or(f64::NAN, |peer| peer.best)
    };
    let base = match peers.first() {
        Some(first) if matches!(first.ready, Ready::Kernel(..)) => first.best,
        _ => f64::NAN,
    };
    for peer in peers {
        let beside = match peer.what {
            "JIT, checked" => format!("   {:.2} of verified", peer.best / time(VERIFIED)),
            COUNTED => format!("   {:.2} of not counted", peer.best / time(CHECKED)),
            _ => String::new(),
        };
        println!(
            "{name:8} {:30} {:12.0} {:9.2} {:12.0}{beside}",
            peer.what,
            peer.best,
            peer.best / base,
            peer.compile.as_nanos() as f64 / 1000.0
        );
    }
}
