//! Judges the programs of objects for this machine's kernel types, and compares with what decl tags
//! of the kernel's selftests expect:
//! `judge [-v] [--list] [--all] [--unprivileged] [--only NAME] FILE…`.
//! With compiling, the running kernel and more: `cargo xtask selftests`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match skep_selftests::judge_command(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
