//! This thread as a task: its real numbers and names, and no memory.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    sync::{Arc, Weak},
};

use rustix::{process, thread};

use super::{Namespaces, Task, TaskInfo};
use crate::vm::Shared;

/// Where cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The number of the root cgroup.
const ROOT: u64 = 1;

/// The calling thread.
pub(super) fn make(machine: &Weak<Shared>) -> Arc<Task> {
    let tgid = number(Some(process::getpid()));
    let pid = number(Some(thread::gettid()));
    let parent = number(process::getppid());
    let whole = TaskInfo {
        uid: process::getuid().as_raw(),
        gid: process::getgid().as_raw(),
        tgid,
        cgroups: cgroups("self"),
        namespaces: namespaces("self"),
        ..TaskInfo::default()
    };
    let parent = TaskInfo {
        pid: parent,
        tgid: parent,
        comm: comm(parent),
        ..whole.clone()
    };
    let parent = Some(Task::new(machine, parent));
    let leader = (pid != tgid).then(|| {
        let leader = TaskInfo {
            pid: tgid,
            comm: comm(tgid),
            parent: parent.clone(),
            ..whole.clone()
        };
        Task::new(machine, leader)
    });
    let name = thread::name().unwrap_or_default();
    let own = TaskInfo {
        pid,
        comm: name.to_string_lossy().into_owned(),
        parent,
        leader,
        ..whole
    };
    Task::new(machine, own)
}

fn number(pid: Option<process::Pid>) -> u32 {
    process::Pid::as_raw(pid).unsigned_abs()
}

/// A process's name; empty where it is hidden.
fn comm(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.unwrap_or_default().trim_end().to_owned()
}

/// The cgroups of a process from the root on; the root alone where they can't be seen.
pub(crate) fn cgroups(process: &str) -> Vec<u64> {
    let mut numbers = vec![ROOT];
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    let mut folder = CGROUPS.to_owned();
    let parts = path.unwrap_or_default().split('/');
    for part in parts.filter(|part| !part.is_empty()) {
        folder.push('/');
        folder.push_str(part);
        match fs::metadata(&folder) {
            Ok(found) => numbers.push(found.ino()),
            Err(_) => break,
        }
    }
    numbers
}

/// The namespaces of a process.
pub(crate) fn namespaces(process: &str) -> Namespaces {
    let of = |name: &str| fs::metadata(format!("/proc/{process}/ns/{name}")).ok();
    let number = |name| of(name).map_or(0, |found| found.ino());
    Namespaces {
        device: of("pid").map_or(0, |found| found.dev()),
        pid: number("pid"),
        mnt: number("mnt"),
        net: number("net"),
        uts: number("uts"),
        ipc: number("ipc"),
        cgroup: number("cgroup"),
        time: number("time"),
    }
}
