//! How fast the engines are, beside the running kernel's own JIT: three programs, each engine in
//! both modes, the
//! interpreter that counts coverage, and how long compiling takes. As root, in a release build:
//! `cargo run --release -p skep-vm --example engines`.

use std::time::{Duration, Instant};

use skep_abi::ProgramType;
use skep_host::{Host as _, ProgramLoad, TestRun};
use skep_isa::{Endian, RawInsn, assemble, encode_slots};
use skep_linux::LinuxHost;
use skep_vm::{BareProgram, Config, Engine, Vm};

const PROGRAMS: [(&str, &str); 3] = [
    ("alu", include_str!("alu.asm")),
    ("prime", include_str!("prime.asm")),
    ("mem", include_str!("mem.asm")),
];

/// With [`Config::coverage`].
const COUNTED: &str = "interpreter, checked, counted";

/// Rounds of which the best counts.
const ROUNDS: usize = 15;

/// Nanoseconds a run on the kernel, and the program's answer.
fn kernel(name: &str, slots: &[RawInsn]) -> Option<(f64, u32)> {
    let host = LinuxHost::new().ok()?;
    let bytes = encode_slots(slots, Endian::NATIVE);
    let load = ProgramLoad::new(ProgramType::SchedCls, name, &bytes);
    let program = host.prog_load(&load).ok()?.fd;
    let mut best = f64::INFINITY;
    let mut answer = 0;
    for _ in 0..ROUNDS {
        let mut run = TestRun {
            data_in: &[0; 64],
            repeat: 50,
            ..TestRun::default()
        };
        let outcome = host.prog_test_run(&program, &mut run).ok()?;
        best = best.min(f64::from(outcome.duration));
        answer = outcome.return_value;
    }
    Some((best, answer))
}

/// Nanoseconds a run, and the answer.
fn measure(program: &BareProgram, once: Duration) -> (f64, u32) {
    let repeat = (Duration::from_millis(8).as_nanos() / once.as_nanos().max(1)).clamp(1, 200);
    let mut best = f64::INFINITY;
    let mut answer = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..repeat {
            answer = program.run(&mut [0; 64]).expect("a program that ends");
        }
        best = best.min(start.elapsed().as_nanos() as f64 / repeat as f64);
    }
    (best, answer as u32)
}

fn main() {
    let vm = Vm::new().expect("memory");
    let mut counting = Config::default();
    counting.coverage = true;
    let counting = Vm::with(counting).expect("memory");
    println!(
        "{:8} {:30} {:>12} {:>9} {:>12}",
        "program", "engine", "ns a run", "ratio", "compile µs"
    );
    for (name, text) in PROGRAMS {
        let slots = assemble(text).expect("a program");
        let kernel = kernel(name, &slots);
        let base = kernel.map_or(f64::NAN, |(time, _)| time);
        if let Some((time, _)) = kernel {
            println!("{name:8} {:30} {time:12.0} {:9.2}", "the kernel's JIT", 1.0);
        } else {
            println!("{name:8} the kernel does not take it (not root?)");
        }
        let (mut jit, mut interpreter) = (f64::NAN, f64::NAN);
        for (engine, verified, what) in [
            (Engine::Jit, true, "JIT, verified"),
            (Engine::Jit, false, "JIT, checked"),
            (Engine::Interpreter, true, "interpreter, verified"),
            (Engine::Interpreter, false, "interpreter, checked"),
            (Engine::Interpreter, false, COUNTED),
        ] {
            let vm = if what == COUNTED { &counting } else { &vm };
            let make = || {
                let start = Instant::now();
                let program = if verified {
                    // SAFETY: the kernel's verifier takes these programs.
                    unsafe { vm.bare_verified(name, &slots, engine) }
                } else {
                    vm.bare(name, &slots, engine)
                };
                (program.expect("a program that loads"), start.elapsed())
            };
            // The first makes the compiler ready, for once.
            let compile = (0..ROUNDS).map(|_| make().1).min().unwrap_or_default();
            let program = make().0;
            let start = Instant::now();
            let _ = program.run(&mut [0; 64]);
            let (time, answer) = measure(&program, start.elapsed());
            if let Some((_, expected)) = kernel {
                assert_eq!(answer, expected, "{name}, {what}");
            }
            match what {
                "JIT, verified" => jit = time,
                "interpreter, checked" => interpreter = time,
                _ => {}
            }
            let beside = match what {
                "JIT, checked" => format!("   {:.2} of verified", time / jit),
                COUNTED => format!("   {:.2} of not counted", time / interpreter),
                _ => String::new(),
            };
            println!(
                "{name:8} {what:30} {time:12.0} {:9.2} {:12.0}{beside}",
                time / base,
                compile.as_nanos() as f64 / 1000.0
            );
            if let (Some(folder), Engine::Jit) = (std::env::var_os("SKEP_CODE"), engine) {
                let path = std::path::Path::new(&folder).join(format!("{name}-{verified}.bin"));
                std::fs::write(path, program.machine_code()).expect("a writable folder");
            }
        }
    }
}
