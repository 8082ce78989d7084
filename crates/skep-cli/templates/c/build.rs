//! Compiles the kernel side, `bpf/{{name}}.bpf.c`, for `main.rs` to carry.

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let object = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("{{module}}.bpf.o");
    let build = skep_build::Build::new("bpf/{{name}}.bpf.c").output(object);
    match build.run() {
        Ok(built) => {
            built.emit_rerun_if_changed();
            for line in built.warnings.lines() {
                println!("cargo::warning={line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
