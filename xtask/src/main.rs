//! The project's own chores. Each sub-command is a module; this file only dispatches.
//! `cargo xtask` without arguments lists them.

mod bench;
mod demo;
mod failures;
mod generate;
mod miri;
mod sanitize;
mod selftests;
mod setup;
mod test;
mod tidy;
mod vm;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

const USAGE: &str = "\
usage: cargo xtask <command>

  demo                           install what is missing, build, watch real events
  test [--ci] [--kernels LIST]   run all that can run here; --ci adds fmt, clippy and rustdoc, and
                                 two other kernels; --kernels all: the table of hooks, too
  selftests [option]…            judge the kernel's own BPF selftests; --help for more
  bench [option]…                measure beside libbpf, libbpf-rs and Aya; --help for more
  vm [option]…                   run the integration suites on other kernels; --help for more
  sanitize [thread|address]…     run the virtual machine's tests under sanitizers
  miri [maps|engine|corpus]…     run what Miri can of the virtual machine's tests
  tidy                           check strata, headers, file lengths and links
  generate abi [--header PATH]   write crates/skep-abi/src/generated from the uapi headers
  generate ebpf                  write crates/skep-ebpf/src/generated from skep-abi's table
  generate vm-btf                write the virtual machine's BTF from crates/skep-vm/data/vm.c
  generate --check               say whether the committed generated code is current
";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((command, rest)) => match command.as_str() {
            "demo" => demo::run(),
            "test" => test::run(rest),
            "selftests" => selftests::run(rest),
            "bench" => bench::run(rest),
            "vm" => vm::run(rest),
            "miri" => miri::run(rest),
            "sanitize" => sanitize::run(rest),
            "tidy" => tidy::run(),
            "generate" => generate::run(rest),
            _ => Err(format!("unknown command `{command}`\n\n{USAGE}").into()),
        },
        None => {
            print!("{USAGE}");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// Has cargo build something, and gives the one program that comes of it.
fn cargo(arguments: &[&str]) -> Result<PathBuf> {
    let ran = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--quiet", "--message-format", "json-render-diagnostics"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()?;
    if !ran.status.success() {
        return Err(format!("cargo {} failed", arguments.join(" ")).into());
    }
    let said = String::from_utf8_lossy(&ran.stdout);
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut made = messages.filter_map(|message| Some(message["executable"].as_str()?.into()));
    made.next_back()
        .ok_or_else(|| format!("cargo {} made no program", arguments.join(" ")).into())
}
