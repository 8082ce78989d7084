//! What `/proc` and other processes' memory tell of a tracee.

use std::{fs, io::Read, ops::Range, sync::Arc};

use libc::{c_int, pid_t};
use skep_host::Errno;

use super::system;
use crate::{
    machine::task::own::{cgroups, namespaces},
    machine::{AddressSpace, TaskInfo, UserMemory},
};

/// The memory of a traced thread's process.
#[derive(Debug)]
pub(super) struct Memory {
    /// The thread.
    tid: pid_t,
    /// Its process.
    tgid: pid_t,
}

impl Memory {
    pub(super) fn of(tid: pid_t, tgid: pid_t) -> Arc<dyn UserMemory> {
        Arc::new(Self { tid, tgid })
    }
}

impl UserMemory for Memory {
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        match system::read_memory(self.tid, address, out) {
            Ok(len) if len == out.len() => Ok(()),
            // Gone or not readable is the same to a program.
            _ => Err(Errno::EFAULT),
        }
    }

    fn read_some(&self, address: u64, out: &mut [u8]) -> Result<usize, Errno> {
        match system::read_memory(self.tid, address, out) {
            Ok(0) | Err(_) => Err(Errno::EFAULT),
            Ok(len) => Ok(len),
        }
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        match system::write_memory(self.tid, address, bytes) {
            Ok(len) if len == bytes.len() => Ok(()),
            _ => Err(Errno::EFAULT),
        }
    }

    fn signal(&self, signal: u32, thread: bool, value: Option<u64>) -> Result<(), Errno> {
        let (signal, thread) = (signal as i32, thread.then_some(self.tid));
        match (thread, value) {
            (thread, Some(value)) => system::queue(self.tgid, thread, signal, value),
            (Some(tid), None) => system::kill_thread(self.tgid, tid, signal),
            (None, None) => system::kill(self.tgid, signal),
        }
    }
}

/// How long a thread had a CPU, in nanoseconds, as of the kernel's last look (some milliseconds
/// ago). `None`: the kernel does not tell, or it is gone.
pub(super) fn time_on_cpu(tgid: pid_t, tid: pid_t) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{tgid}/task/{tid}/schedstat")).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// The CPU that a thread runs on, if it runs or could.
pub(super) fn running_on(tgid: pid_t, tid: pid_t) -> Option<u32> {
    /// Fields from the state on to that of the CPU.
    const CPU: usize = 36;
    let text = contents(format!("/proc/{tgid}/task/{tid}/stat"))?;
    // The name before it may have anything in it.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?;
    let cpu = fields.nth(CPU - 1)?.parse().ok()?;
    (state == "R").then_some(cpu)
}

/// Sets of signals of a thread, by their names in `/proc`; `None`: it is gone.
fn signals<const N: usize>(tid: pid_t, names: [&str; N]) -> Option<[u64; N]> {
    let text = contents(format!("/proc/{tid}/status"))?;
    let text = String::from_utf8_lossy(&text);
    Some(names.map(|name| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let hex = lines.find_map(|rest| rest.strip_prefix(':'));
        hex.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0)
    }))
}

/// A signal's bit in a set.
pub(super) const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Whether a signal waits that a thread does not block.
pub(super) fn has_signal(tid: pid_t) -> bool {
    let sets = signals(tid, ["SigPnd", "ShdPnd", "SigBlk"]);
    sets.is_some_and(|[own, shared, blocked]| (own | shared) & !blocked != 0)
}

/// Whether a `SIGTRAP` is on its way to a thread.
pub(super) fn has_trap(tid: pid_t) -> bool {
    signals(tid, ["SigPnd"]).is_some_and(|[own]| own & bit(libc::SIGTRAP) != 0)
}

/// Whether a signal stops the process of the thread that gets it, if anything.
pub(super) fn is_to_stop(tid: pid_t, signal: c_int) -> bool {
    match signal {
        libc::SIGSTOP => true,
        libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
            signals(tid, ["SigCgt"]).is_some_and(|[caught]| caught & bit(signal) == 0)
        }
        _ => false,
    }
}

/// All of a file of `/proc`, which has no length: mostly it comes with the first read.
fn contents(path: String) -> Option<Vec<u8>> {
    const USUAL: usize = 4096;
    let mut file = fs::File::open(path).ok()?;
    let mut all = vec![0; USUAL];
    let mut len = 0;
    loop {
        match file.read(all.get_mut(len..)?).ok()? {
            0 => break,
            read => len += read,
        }
        if len == all.len() {
            all.resize(2 * len, 0);
        }
    }
    all.truncate(len);
    Some(all)
}

/// What `/proc/PID/status` says of a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) tgid: u32,
    pub(super) parent: u32,
    pub(super) tracer: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Status {
    /// `None`: it is gone, or hidden.
    pub(super) fn of(pid: pid_t) -> Option<Self> {
        let text = contents(format!("/proc/{pid}/status"))?;
        Some(Self::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(text: &str) -> Self {
        let mut status = Self::default();
        for line in text.lines() {
            let Some((name, values)) = line.split_once(':') else {
                continue;
            };
            let first = values.split_whitespace().next();
            let number = first.and_then(|first| first.parse().ok());
            let place = match name {
                "Tgid" => &mut status.tgid,
                "PPid" => &mut status.parent,
                "TracerPid" => &mut status.tracer,
                "Uid" => &mut status.uid,
                "Gid" => &mut status.gid,
                _ => continue,
            };
            *place = number.unwrap_or_default();
        }
        status
    }
}

/// The name of a task, of any bytes.
pub(super) fn name(pid: pid_t) -> Option<Vec<u8>> {
    let mut name = contents(format!("/proc/{pid}/comm"))?;
    if name.last() == Some(&b'\n') {
        name.pop();
    }
    Some(name)
}

/// The threads of a process.
pub(super) fn threads(pid: pid_t) -> Vec<pid_t> {
    let folder = fs::read_dir(format!("/proc/{pid}/task"));
    let names = folder.into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Numbers of `/proc/PID/stat` behind the name, which is in parentheses and may hold anything.
struct Numbers(Vec<u64>);

impl Numbers {
    fn of(pid: pid_t) -> Self {
        let text = contents(format!("/proc/{pid}/stat")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
        let numbers = behind.split_whitespace().map(|word| word.parse());
        Self(numbers.map(Result::unwrap_or_default).collect())
    }

    /// A field by its number in `proc(5)`; 0 where it can't be read.
    fn field(&self, number: usize) -> u64 {
        /// That of the first behind the name.
        const FIRST: usize = 3;
        let index = number.checked_sub(FIRST);
        index
            .and_then(|index| self.0.get(index))
            .copied()
            .unwrap_or(0)
    }

    fn range(&self, first: usize) -> Range<u64> {
        self.field(first)..self.field(first + 1)
    }
}

/// When a task began, in nanoseconds since the boot; 0 if that can't be read.
fn start_time(pid: pid_t) -> u64 {
    let ticks = Numbers::of(pid).field(22);
    // SAFETY: asks for a number.
    let a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    ticks.saturating_mul(1_000_000_000 / a_second.max(1) as u64)
}

/// Where the parts of a process's memory are; all 0 for who has none, and where it is hidden.
pub(super) fn address_space(pid: pid_t) -> AddressSpace {
    let numbers = Numbers::of(pid);
    AddressSpace {
        code: numbers.range(26),
        stack: numbers.field(28),
        data: numbers.range(45),
        heap: numbers.field(47),
        arguments: numbers.range(48),
        environment: numbers.range(50),
    }
}

/// The path by which a process's program was executed: what its `AT_EXECFN` points to.
pub(super) fn executed_path(pid: pid_t) -> Vec<u8> {
    const EXECFN: u64 = 31;
    const LONGEST: usize = 4096;
    let vector = contents(format!("/proc/{pid}/auxv")).unwrap_or_default();
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    let mut pairs = vector.chunks_exact(16).map(|pair| pair.split_at(8));
    let found = pairs.find(|(kind, _)| word(kind) == EXECFN);
    let Some((_, address)) = found else {
        return Vec::new();
    };
    let mut path = vec![0; LONGEST];
    let read = system::read_memory(pid, word(address), &mut path).unwrap_or(0);
    path.truncate(read);
    let end = path.iter().position(|byte| *byte == 0);
    path.truncate(end.unwrap_or(0));
    path
}

/// All that there is to know of a task but its relations. `None`: it is gone.
pub(super) fn describe(pid: pid_t) -> Option<(TaskInfo, Status)> {
    let status = Status::of(pid)?;
    let process = pid.to_string();
    let info = TaskInfo {
        pid: pid as u32,
        tgid: status.tgid,
        uid: status.uid,
        gid: status.gid,
        comm: String::from_utf8_lossy(&name(pid)?).into_owned(),
        start_time: start_time(pid),
        cgroups: cgroups(&process),
        namespaces: namespaces(&process),
        address_space: Some(address_space(pid)),
        memory: Some(Memory::of(pid, status.tgid as pid_t)),
        ..TaskInfo::default()
    };
    Some((info, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_by_its_lines_names() {
        let text =
            "Name:\tPPid: 7\nTgid:\t12\nPPid:\t3\nTracerPid:\t0\nUid:\t1\t2\t3\t4\nGid:\t9\n";
        let status = Status::parse(text);
        let expected = Status {
            tgid: 12,
            parent: 3,
            tracer: 0,
            uid: 1,
            gid: 9,
        };
        assert_eq!(status, expected);
        assert_eq!(Status::parse("garbage\n:\nUid:\n"), Status::default());
    }

    #[test]
    fn this_thread_is_described() {
        let own = std::process::id();
        let (info, status) = describe(own as pid_t).unwrap();
        assert_eq!((info.pid, info.tgid, status.tgid), (own, own, own));
        assert!(info.start_time > 0);
        assert!(threads(own as pid_t).contains(&(own as pid_t)));
        assert!(describe(0).is_none());
    }
}
