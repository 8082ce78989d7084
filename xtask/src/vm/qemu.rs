//! QEMU: found or fetched, started on a kernel and watched until the machine is off.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use skep_testing::{Debian, Outcome, Stop, find_tool, guest::Line};

use super::kernel::Kernel;
use crate::Result;

const PROGRAM: &str = "qemu-system-x86_64";

/// Older ones crash newer guests when they emulate the processor.
const OLDEST: u32 = 9;

/// A guest says every few seconds that it is alive; after so long without a word it is not. An
/// emulated machine on a busy one starts slowly.
const SILENCE: Duration = Duration::from_secs(240);

/// What makes a console's line worth showing.
const TROUBLE: [&str; 7] = [
    "Kernel panic",
    "BUG:",
    "Oops",
    "general protection",
    "WARNING:",
    "rcu_sched self-detected stall",
    "blocked for more than",
];

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All commands have run.
    Done,
    /// The kernel panicked, with these words.
    Panic(String),
    /// Nothing was heard for so many seconds.
    Silent(u64),
    /// QEMU ended before the guest did.
    Gone(String),
}

impl Ending {
    /// What went wrong, if something did; `after` says where.
    pub(crate) fn trouble(&self, after: &str) -> Option<String> {
        Some(match self {
            Self::Done => return None,
            Self::Panic(text) => format!("{text}, {after}"),
            Self::Silent(seconds) => {
                format!("the machine hung: nothing was heard for {seconds} seconds, {after}")
            }
            Self::Gone(said) => format!("the machine went off before its end, {after} {said}"),
        })
    }
}

/// QEMU and where its files are.
#[derive(Debug, Clone)]
pub(crate) struct Qemu {
    program: PathBuf,
    /// Where it is not installed but unpacked.
    tree: Option<PathBuf>,
    /// Processors of a machine.
    cpus: u8,
    /// Its clock goes by the instructions that it executes, one a nanosecond.
    counts: bool,
}

impl Qemu {
    /// The machine's own, if it is new enough, or one that is fetched and unpacked.
    pub(crate) fn find(debian: &Debian) -> Outcome<Self> {
        if let Ok(program) = find_tool(PROGRAM) {
            let said = Command::new(&program).arg("--version").output()?;
            if version(&String::from_utf8_lossy(&said.stdout)) >= Some(OLDEST) {
                return Ok(Self {
                    program,
                    tree: None,
                    cpus: 1,
                    counts: false,
                });
            }
        }
        let backports = debian.backports()?;
        let tree = debian.unpacked_with_needs("qemu-system-x86", &backports)?;
        let program = tree.join("usr/bin").join(PROGRAM);
        match program.exists() {
            true => Ok(Self {
                program,
                tree: Some(tree),
                cpus: 1,
                counts: false,
            }),
            false => Err(Stop::lacks(format!("{PROGRAM} in {}", tree.display()))),
        }
    }

    /// The same for machines of so many processors.
    #[must_use]
    pub(crate) fn with_cpus(self, cpus: u8) -> Self {
        Self { cpus, ..self }
    }

    /// The same for machines whose time is the instructions that they execute, one a nanosecond: what
    /// is measured there does not depend on what else goes on here.
    #[must_use]
    pub(crate) fn counting(self, counts: bool) -> Self {
        Self { counts, ..self }
    }

    /// A machine of emulated processors. Its console goes into a file, and its second serial
    /// port, on which the guest speaks, to standard output.
    fn command(&self, kernel: &Kernel, initramfs: &Path, console: &Path) -> Command {
        // The guest's work is that of tests, and gives way to the machine's own.
        let mut command = Command::new("nice");
        command.args(["-n", "10"]).arg(&self.program);
        if let Some(tree) = &self.tree {
            for folder in ["usr/share/qemu", "usr/share/seabios"] {
                command.arg("-L").arg(tree.join(folder));
            }
            command.env("LD_LIBRARY_PATH", libraries(tree));
        }
        let mut log = OsString::from("file,id=console,path=");
        log.push(console);
        // Virtualisation by hardware is no better here: it hangs guests inside of other guests.
        // In one thread, whatever their number: in several they once ran past each other.
        command.args(["-M", "q35", "-accel", "tcg,thread=single", "-cpu", "max"]);
        command.args(["-smp", &self.cpus.to_string()]);
        if self.counts {
            command.args(["-icount", "shift=0,sleep=off"]);
        }
        command.args(["-m", "1024", "-nodefaults", "-display", "none"]);
        command.args(["-no-reboot", "-chardev"]).arg(log);
        command.args(["-serial", "chardev:console"]);
        command.args(["-chardev", "stdio,id=guest,signal=off"]);
        command.args(["-serial", "chardev:guest"]);
        command.arg("-kernel").arg(&kernel.image);
        command.arg("-initrd").arg(initramfs);
        // Warnings, too: where a kernel hangs, its stack is one.
        command.args([
            "-append",
            &format!(
                "console=ttyS0 loglevel=5 panic=-1 oops=panic no_timer_check {}",
                kernel.arguments()
            ),
        ]);
        command
    }

    /// Runs a machine to its end and gives each line of the guest to `heard`. What the kernel
    /// complained about on its console comes last, as notes.
    pub(crate) fn run(
        &self,
        kernel: &Kernel,
        initramfs: &Path,
        console: &Path,
        heard: &mut dyn FnMut(Line),
    ) -> Result<Ending> {
        let command = self.command(kernel, initramfs, console);
        watch(command, console, SILENCE, heard)
    }
}

/// Starts a machine and listens to it until it is off, or silent for too long.
fn watch(
    mut machine: Command,
    console: &Path,
    silence: Duration,
    heard: &mut dyn FnMut(Line),
) -> Result<Ending> {
    let mut child = machine
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(console.with_extension("qemu"))?)
        .spawn()?;
    let output = child.stdout.take().ok_or("QEMU has no output")?;
    let mut machine = Machine(child);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut done = false;
    let silent = loop {
        match receiver.recv_timeout(silence) {
            Ok(line) => match String::from_utf8_lossy(&line).trim_end().parse() {
                Ok(Line::End) => done = true,
                Ok(line) => heard(line),
                // The firmware may write there, too.
                Err(_) => {}
            },
            Err(RecvTimeoutError::Timeout) => break true,
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    machine.stop();
    let log = fs::read(console).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    for line in log.lines() {
        if TROUBLE.iter().any(|trouble| line.contains(trouble)) {
            heard(Line::Note(format!("console: {}", line.trim_end())));
        }
    }
    let panic = log.lines().find(|line| line.contains("Kernel panic"));
    Ok(match (panic, silent, done) {
        (Some(line), ..) => Ending::Panic(line.trim().to_owned()),
        (None, true, _) => Ending::Silent(silence.as_secs()),
        (None, false, true) => Ending::Done,
        (None, false, false) => {
            let said = fs::read_to_string(console.with_extension("qemu"));
            Ending::Gone(said.unwrap_or_default().trim().to_owned())
        }
    })
}

/// A machine that is switched off when it is dropped.
struct Machine(Child);

impl Machine {
    fn stop(&mut self) {
        // It may be off already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The first number of `QEMU emulator version 10.0.2 (Debian …)`.
fn version(said: &str) -> Option<u32> {
    let (_, rest) = said.split_once("version ")?;
    rest.split('.').next()?.parse().ok()
}

fn libraries(tree: &Path) -> OsString {
    let folders = ["usr/lib", "lib"].map(|folder| {
        let arch = format!("{}-linux-gnu", env::consts::ARCH);
        tree.join(folder).join(arch)
    });
    env::join_paths(folders).unwrap_or_default()
}

#[cfg(test)]
mod tests;
