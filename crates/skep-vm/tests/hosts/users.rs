//! Kernel functions on tasks: programs read the memory of this process and of a child, and signal
//! the child. On the machine both are tasks that the test makes, with the real processes' memory.

use std::{
    fs::{self, File},
    os::unix::{fs::FileExt as _, process::ExitStatusExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use skep::Object;
use skep_host::{Errno, Host, HostKind, TestRun};
use skep_testing::{Outcome, Stop, Test, ensure};
use skep_vm::{Input, TaskInfo, UserMemory};

use crate::{
    kfuncs::{host_of, loaded_with_log, written_down},
    support::{Record, agree_since, machine},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("users::memory_and_signals", || {
        agree_since((6, 17), walk)
    })]
}

/// What programs read here; the child has its name in the same place of its own.
static TEXT: &[u8; 12] = b"sleep\0behind";

const PROGRAMS: [&str; 5] = ["own", "own_waiting", "others", "texts", "signals"];

/// A signal that a program sent: its number, whether to the thread alone, its value.
type Sent = (u32, bool, Option<u64>);

/// A process as the machine's programs have it.
#[derive(Debug)]
struct Process {
    pid: u32,
    memory: File,
    sent: Mutex<Vec<Sent>>,
}

impl Process {
    fn new(pid: u32) -> Outcome<Arc<Self>> {
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let sent = Mutex::default();
        Ok(Arc::new(Self { pid, memory, sent }))
    }
}

impl UserMemory for Process {
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        let read = self.memory.read_exact_at(out, address);
        read.map_err(|_| Errno::EFAULT)
    }

    fn read_some(&self, address: u64, out: &mut [u8]) -> Result<usize, Errno> {
        match self.memory.read_at(out, address) {
            Ok(0) | Err(_) => Err(Errno::EFAULT),
            Ok(read) => Ok(read),
        }
    }

    fn signal(&self, signal: u32, thread: bool, value: Option<u64>) -> Result<(), Errno> {
        let mut sent = self.sent.lock().map_err(|_| Errno::EPERM)?;
        sent.push((signal, thread, value));
        let pid = Pid::from_raw(self.pid as i32).ok_or(Errno::ESRCH)?;
        let done = match Signal::from_named_raw(signal as i32) {
            Some(signal) => kill_process(pid, signal),
            None => test_kill_process(pid),
        };
        done.map_err(|error| Errno(error.raw_os_error()))
    }
}

/// Ends and is waited for when the test ends, however it does.
struct Sleeping(Child);

impl Drop for Sleeping {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where a process's arguments begin, and the end of its stack.
fn places(pid: u32) -> Outcome<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before it may have anything in it; `arg_start` is field 48 of all.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest);
    let start = fields.and_then(|rest| rest.split(' ').nth(48 - 3)?.parse().ok());
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let stack = maps.lines().find(|line| line.ends_with("[stack]"));
    let end = stack.and_then(|line| {
        let (_, end) = line.split_once(' ')?.0.split_once('-')?;
        u64::from_str_radix(end, 16).ok()
    });
    let place = start.zip(end);
    place.ok_or_else(|| Stop::fail(format!("{stat}: no arguments or no stack")))
}

/// A child that does nothing, and where its name and the end of its stack are.
fn child() -> Outcome<(Sleeping, u64, u64)> {
    let mut command = Command::new("sleep");
    let child = Sleeping(command.arg("1000").stdin(Stdio::null()).spawn()?);
    // Until it has become what it shall be, it is as this process.
    for _ in 0..1000 {
        let (text, end) = places(child.0.id())?;
        let mut name = [0; 6];
        let memory = File::open(format!("/proc/{}/mem", child.0.id()))?;
        if memory.read_exact_at(&mut name, text).is_ok() && name == TEXT[..6] {
            return Ok((child, text, end));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(Stop::fail("the child does not begin"))
}

fn walk(host: &dyn Host, record: &mut Record) -> Outcome {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/user.bpf.c");
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let (mut other, other_text, other_end) = child()?;
    let (_, own_end) = places(std::process::id())?;
    let own = Process::new(std::process::id())?;
    let process = Process::new(other.0.id())?;
    let task = |process: &Arc<Process>| {
        let mut info = TaskInfo::default();
        (info.pid, info.tgid) = (process.pid, process.pid);
        info.memory = Some(Arc::clone(process) as _);
        machine().task(info)
    };
    let _other_task = task(&process);
    let mut input = Input::default();
    input.task = Some(task(&own));
    for name in PROGRAMS {
        let mut object = Object::parse("user", &bytes)?;
        object.only_programs(&[name])?;
        object.global("other")?.set(process.pid)?;
        object.global("own_text")?.set(TEXT.as_ptr() as u64)?;
        // The last bytes that are there are no text's.
        object.global("own_end")?.set(own_end - 4)?;
        object.global("other_text")?.set(other_text)?;
        object.global("other_end")?.set(other_end - 4)?;
        let loaded = loaded_with_log(&object, name, &host_of(host))?;
        let program = loaded.program(name)?;
        let returned = match host.info().kind {
            HostKind::Vm => {
                let ran = machine().fire_program(program.fd(), &input)?;
                ran.result
                    .map_err(|fault| Stop::fail(format!("{name}: {fault}")))?
            }
            _ => program
                .test_run(&mut TestRun::default())?
                .return_value
                .into(),
        };
        ensure(returned == 0, || format!("{name}: {returned}"))?;
        written_down(record, "user", name, &object, &loaded)?;
    }
    let ended = other.0.wait()?;
    ensure(ended.signal() == Some(15), || format!("{ended}"))?;
    if host.info().kind == HostKind::Vm {
        let sent = process.sent.lock().map_err(|_| Stop::fail("a panic"))?;
        let expected = [
            (0, true, Some(0)),
            (0, false, Some(0)),
            (15, false, Some(7)),
        ];
        ensure(*sent == expected, || format!("{sent:?}"))?;
    }
    Ok(())
}
