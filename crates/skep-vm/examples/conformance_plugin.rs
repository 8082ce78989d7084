//! The machine as a plugin of bpf_conformance, the suite that compares eBPF engines. Its runner
//! starts a plugin for each program, with the program on standard input and what R1 points to as
//! the first argument, both as bytes in hexadecimal, and reads R0 from standard output.
//!
//! ```text
//! bpf_conformance_runner --test_file_directory tests --cpu_version v4 \
//!     --plugin_path target/release/examples/conformance_plugin \
//!     --plugin_options "--engine jit --mode verified"
//! ```

use std::error::Error;
use std::io::Read as _;
use std::process::ExitCode;

use skep_isa::{Endian, RawInsn, assemble, decode_slots};
use skep_vm::{Engine, Mode, Vm};

const USAGE: &str = "usage: conformance_plugin [MEMORY] [--program HEX] \
    [--engine interpreter|jit] [--mode checked|verified] < PROGRAM";

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)).and_then(|arguments| run(&arguments)) {
        Ok(r0) => {
            println!("{r0:x}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    memory: Vec<u8>,
    /// In the place of standard input.
    program: Option<Vec<u8>>,
    engine: Engine,
    mode: Mode,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut arguments = Self {
            memory: Vec::new(),
            program: None,
            engine: Engine::Interpreter,
            mode: Mode::Checked,
        };
        while let Some(word) = words.next() {
            if !word.starts_with("--") {
                arguments.memory = from_hex(&word)?;
                continue;
            }
            let value = words.next().ok_or(USAGE)?;
            match (&*word, &*value) {
                ("--program", hex) => arguments.program = Some(from_hex(hex)?),
                ("--engine", "interpreter") => arguments.engine = Engine::Interpreter,
                ("--engine", "jit") => arguments.engine = Engine::Jit,
                ("--mode", "checked") => arguments.mode = Mode::Checked,
                ("--mode", "verified") => arguments.mode = Mode::Verified,
                _ => return Err(format!("{word} {value}: unknown\n{USAGE}").into()),
            }
        }
        Ok(arguments)
    }
}

fn run(arguments: &Arguments) -> Result<u64, Box<dyn Error>> {
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            from_hex(&text)?
        }
    };
    let slots = with_length(decode_slots(&program, Endian::Little)?, &arguments.memory)?;
    let vm = Vm::new().map_err(|errno| errno.to_string())?;
    let program = match arguments.mode {
        Mode::Checked => vm.bare("conformance", &slots, arguments.engine)?,
        // SAFETY: nothing vouches for it but who asks for this mode: it is meant for the suite's
        // programs, none of which does what a verifier would refuse.
        Mode::Verified => unsafe { vm.bare_verified("conformance", &slots, arguments.engine)? },
    };
    Ok(program.run(&mut arguments.memory.clone())?)
}

/// The suite's programs also expect the memory's length, in R2.
fn with_length(program: Vec<RawInsn>, memory: &[u8]) -> Result<Vec<RawInsn>, Box<dyn Error>> {
    let mut slots = assemble(&format!("r2 = {}", memory.len()))?;
    slots.extend(program);
    Ok(slots)
}

/// `b7 00 00 00` or `b7000000`.
fn from_hex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let digits: Vec<_> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| {
            c.to_digit(16)
                .ok_or_else(|| format!("`{c}` is no hexadecimal digit"))
        })
        .collect::<Result<_, _>>()?;
    if digits.len() % 2 != 0 {
        return Err("half a byte".into());
    }
    let bytes = digits.chunks_exact(2);
    Ok(bytes.map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}
