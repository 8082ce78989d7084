//! `cargo xtask demo`: from a fresh machine to live events, in one command, for everyone: on the
//! kernel where that may be used, else on the virtual machine.

use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{Result, cargo, root, setup};

/// How long the demo watches.
const SECONDS: u64 = 5;

/// The program that is shown.
const PROGRAM: &str = "examples/opensnoop.bpf.c";

/// What the virtual machine traces.
const COMMAND: [&str; 2] = ["ls", "/etc"];

/// Installs what is missing, builds, and shows real opens of files.
pub(crate) fn run() -> Result<()> {
    setup::for_running()?;
    println!("building skep");
    let skep = cargo(&["build", "--release", "--package", "skep-cli"])?;
    let skep = skep.display().to_string();
    let shown = match privileged(&skep) {
        Some(words) => on_kernel(&words)?,
        None => on_vm(&skep)?,
    };
    if shown {
        return Ok(());
    }
    println!("what this machine lacks for it:");
    Command::new(skep).arg("doctor").status()?;
    Err("the demo could not run here".into())
}

/// How to call skep so that it may use the kernel, found by trying; `None` if it may not, or not
/// without a password.
fn privileged(skep: &str) -> Option<Vec<String>> {
    let words: Vec<String> = match setup::is_root() {
        true => vec![skep.into()],
        false => ["sudo", "-n", skep].map(Into::into).into(),
    };
    let tried = Command::new(&words[0])
        .args(&words[1..])
        .args(["run", "--host", "kernel", PROGRAM, "--duration", "1ms"])
        .current_dir(root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success()).then_some(words)
}

/// All processes of the machine, for some seconds.
fn on_kernel(words: &[String]) -> Result<bool> {
    let duration = format!("{SECONDS}s");
    println!("# skep run {PROGRAM} --duration {duration}");
    let mut run = Command::new(&words[0])
        .args(&words[1..])
        .args(["run", PROGRAM, "--duration", &duration])
        .current_dir(root())
        .spawn()?;
    // Something to see on an idle machine: another process that opens files.
    for _ in 0..SECONDS {
        thread::sleep(Duration::from_secs(1));
        let _ = Command::new(COMMAND[0])
            .arg(COMMAND[1])
            .stdout(Stdio::null())
            .status();
    }
    Ok(run.wait()?.success())
}

/// One command, traced.
fn on_vm(skep: &str) -> Result<bool> {
    println!(
        "the kernel is not for this user (as root it shows all processes): \
         the virtual machine shows a command"
    );
    println!("$ skep run {PROGRAM} -- {}", COMMAND.join(" "));
    let status = Command::new(skep)
        .args(["run", PROGRAM, "--"])
        .args(COMMAND)
        .current_dir(root())
        .status()?;
    Ok(status.success())
}
