//! The first and only process of a test kernel's machine (`cargo xtask vm`): mounts what tests look
//! at, loads modules, runs the commands one after the other, sends back what they say as they say
//! it, and switches the machine off.
#![forbid(unsafe_code)]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command as Process, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::CWD,
    mount::{MountFlags, mount},
    process::{Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus},
    system::{RebootCommand, finit_module, reboot},
};
use skep_testing::guest::{COMMANDS, Command, Line, MODULES, PATIENCE, PORT};

/// How often the guest says that it is alive.
const BEAT: Duration = Duration::from_secs(5);

/// How a command ends that could not be started, as in a shell.
const NOT_RUN: i32 = 127;

/// What is mounted: the type, and where. Memory is not, where files of this machine are already:
/// those of a checkout below /tmp.
const MOUNTS: [(&str, &str); 12] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("tracefs", "/sys/kernel/tracing"),
    ("debugfs", "/sys/kernel/debug"),
    ("securityfs", "/sys/kernel/security"),
];

fn main() {
    let notes = mounts();
    if let Ok(port) = OpenOptions::new().write(true).open(PORT) {
        let mut guest = Guest { port };
        for note in notes {
            guest.send(&Line::Note(note));
        }
        guest.run();
        guest.send(&Line::End);
    } else {
        // The console is all there is.
        eprintln!("no {PORT} here: {}", notes.join("; "));
    }
    // What was sent must have left the port.
    thread::sleep(Duration::from_millis(200));
    let error = reboot(RebootCommand::PowerOff);
    eprintln!("can't switch off: {error:?}");
}

/// Mounts all, and says what could not be.
fn mounts() -> Vec<String> {
    let mut notes = Vec::new();
    for (kind, place) in MOUNTS {
        if kind == "tmpfs" && fs::read_dir(place).is_ok_and(|mut files| files.next().is_some()) {
            continue;
        }
        let mounted = fs::create_dir_all(place)
            .and_then(|()| Ok(mount(kind, place, kind, MountFlags::empty(), None)?));
        if let Err(error) = mounted {
            notes.push(format!("{kind} is not mounted on {place}: {error}"));
        }
    }
    // Left to udev elsewhere.
    for (link, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1")] {
        let _ = rustix::fs::symlinkat(
            format!("/proc/self/{target}"),
            CWD,
            Path::new("/dev").join(link),
        );
    }
    notes
}

struct Guest {
    port: File,
}

impl Guest {
    fn send(&mut self, line: &Line) {
        // In one write; the host takes the end of a dead port for a dead machine.
        let _ = self.port.write_all(format!("{line}\n").as_bytes());
    }

    fn run(&mut self) {
        for note in modules() {
            self.send(&Line::Note(note));
        }
        match Process::new("ip")
            .args(["link", "set", "lo", "up"])
            .status()
        {
            Ok(status) if status.success() => {}
            other => self.send(&Line::Note(format!("lo is not up: {other:?}"))),
        }
        let many = Rlimit {
            current: Some(1 << 20),
            maximum: Some(1 << 20),
        };
        if let Err(error) = rustix::process::setrlimit(Resource::Nofile, many) {
            self.send(&Line::Note(format!("few descriptors: {error}")));
        }
        let commands = fs::read_to_string(COMMANDS).map_err(|error| error.to_string());
        match commands.and_then(|text| Command::read(&text)) {
            Ok(commands) => {
                for (number, command) in commands.iter().enumerate() {
                    self.send(&Line::Begin(number));
                    let ended = self.command(command).unwrap_or_else(|error| {
                        let said = format!("cannot run {:?}: {error}", command.words);
                        self.send(&Line::Note(said));
                        Line::Exit(NOT_RUN)
                    });
                    self.send(&ended);
                }
            }
            Err(error) => self.send(&Line::Note(format!("{COMMANDS}: {error}"))),
        }
    }

    /// Runs a command to its end.
    fn command(&mut self, command: &Command) -> io::Result<Line> {
        let (program, arguments) = command.words.split_first().ok_or(io::ErrorKind::NotFound)?;
        let mut child = Process::new(program)
            .args(arguments)
            .envs(command.environment.iter().cloned())
            .current_dir(&command.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_child(&child);
        let (sender, receiver) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            forward(pipe, false, sender.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            forward(pipe, true, sender);
        }
        let mut output = Output {
            receiver,
            rests: Default::default(),
        };
        let patience = command.patience.map_or(PATIENCE, Duration::from_secs);
        let (mut heard, mut beat) = (Instant::now(), Instant::now());
        loop {
            if output.pass_on(self, Duration::from_millis(100)) {
                (heard, beat) = (Instant::now(), Instant::now());
            }
            if let Some(status) = reap(pid)? {
                // A pipe may be held by processes that were left behind.
                while output.pass_on(self, Duration::from_millis(200)) {}
                output.flush(self);
                return Ok(Line::Exit(status));
            }
            if beat.elapsed() > BEAT {
                self.send(&Line::Alive);
                beat = Instant::now();
            }
            if heard.elapsed() > patience {
                output.flush(self);
                for line in stacks(pid) {
                    self.send(&Line::Err(line));
                }
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                // It may be stuck where it can't be killed: the machine goes on without it.
                let deadline = Instant::now() + BEAT;
                while Instant::now() < deadline && reap(pid)?.is_none() {
                    thread::sleep(Duration::from_millis(50));
                }
                return Ok(Line::Hung(patience.as_secs()));
            }
        }
    }
}

/// What a command says, cut into lines.
struct Output {
    receiver: Receiver<(bool, Vec<u8>)>,
    /// What has no end of line yet, of output and errors.
    rests: [Vec<u8>; 2],
}

impl Output {
    /// Passes on what comes within this time; whether anything did.
    fn pass_on(&mut self, guest: &mut Guest, within: Duration) -> bool {
        let (error, bytes) = match self.receiver.recv_timeout(within) {
            Ok(got) => got,
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(Duration::from_millis(10));
                return false;
            }
        };
        let rest = &mut self.rests[usize::from(error)];
        rest.extend(bytes);
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            guest.send(&said(error, &line));
        }
        true
    }

    /// Passes on lines that have no end.
    fn flush(&mut self, guest: &mut Guest) {
        for error in [false, true] {
            let rest = std::mem::take(&mut self.rests[usize::from(error)]);
            if !rest.is_empty() {
                guest.send(&said(error, &rest));
            }
        }
    }
}

fn said(error: bool, line: &[u8]) -> Line {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    if error {
        Line::Err(text)
    } else {
        Line::Out(text)
    }
}

/// Sends on what can be read of a pipe, from a thread.
fn forward(mut pipe: impl Read + Send + 'static, error: bool, to: Sender<(bool, Vec<u8>)>) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count) = pipe.read(&mut bytes) {
            if count == 0 || to.send((error, bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    });
}

/// Waits for all that has ended, as the first process must, and gives the exit code of `child` if
/// that is among it: minus the signal, if one killed it.
fn reap(child: Pid) -> io::Result<Option<i32>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == child => return Ok(Some(code(status))),
            Ok(Some(_)) => {}
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn code(status: WaitStatus) -> i32 {
    let signal = status.terminating_signal().unwrap_or_default();
    status.exit_status().unwrap_or(-signal)
}

/// Where the threads of a process are.
fn stacks(pid: Pid) -> Vec<String> {
    let mut lines = Vec::new();
    let tasks = format!("/proc/{}/task", pid.as_raw_pid());
    for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let name = read("comm");
        lines.push(format!(
            "thread {}: {}",
            name.trim(),
            read("syscall").trim()
        ));
        lines.extend(read("stack").lines().map(|line| format!("  {line}")));
    }
    lines
}

/// Loads the modules, and says which could not be.
fn modules() -> Vec<String> {
    /// `MODULE_INIT_COMPRESSED_FILE`.
    const COMPRESSED: i32 = 4;
    let mut notes = Vec::new();
    for path in fs::read_to_string(MODULES).unwrap_or_default().lines() {
        let flags = if path.ends_with(".ko") { 0 } else { COMPRESSED };
        let loaded = File::open(path).and_then(|file| Ok(finit_module(&file, c"", flags)?));
        if let Err(error) = loaded {
            notes.push(format!("{path} is not loaded: {error}"));
        }
    }
    notes
}
