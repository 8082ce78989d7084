//! Judges the objects that are named.

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
