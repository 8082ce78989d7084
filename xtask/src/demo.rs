//! `cargo xtask demo`: from a fresh machine to live events, in one command.

use std::{process::Command, thread, time::Duration};

use crate::{Result, root, setup};

/// How long the demo watches.
const SECONDS: u64 = 5;

/// Installs what is missing, builds, and shows real opens of other processes for some seconds.
pub(crate) fn run() -> Result<()> {
    setup::for_running()?;
    println!("building skep");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--package", "skep-cli"])
        .current_dir(root())
        .status()?;
    if !built.success() {
        return Err("skep does not build".into());
    }
    let skep = root().join("target/release/skep");
    let duration = format!("{SECONDS}s");
    let mut words: Vec<&str> = Vec::new();
    if !setup::is_root() {
        println!("the kernel asks for root to load BPF programs: using sudo");
        words.push("sudo");
    }
    let skep_path = skep.display().to_string();
    words.extend([
        skep_path.as_str(),
        "run",
        "examples/opensnoop.bpf.c",
        "--duration",
        &duration,
    ]);
    println!("$ skep run examples/opensnoop.bpf.c --duration {duration}");
    let mut run = Command::new(words[0])
        .args(&words[1..])
        .current_dir(root())
        .spawn()?;
    // Something to see on an idle machine: another process that opens files.
    for _ in 0..SECONDS {
        thread::sleep(Duration::from_secs(1));
        let _ = Command::new("ls")
            .arg("/etc")
            .stdout(std::process::Stdio::null())
            .status();
    }
    let status = run.wait()?;
    if status.success() {
        return Ok(());
    }
    println!("what this machine lacks for it:");
    Command::new(skep).arg("doctor").status()?;
    Err("the demo could not run here".into())
}
