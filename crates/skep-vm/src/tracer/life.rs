//! Tasks that begin, change and end.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, sync::Arc};

use libc::{c_int, pid_t};

use super::{
    calls::{NAMESPACES, PRCTL},
    control::OnExits,
    fire::{Record, Tally},
    process::{self, Memory, Status},
    sampling::Sampled,
    system,
    thread::{Tracee, Tracer},
};
use crate::{
    machine::{
        ClockKind, Task,
        task::own::{cgroups, namespaces},
        types::{offset_of, size_of},
    },
    memory::View,
    run::Ours,
    vm::Shared,
};

/// `CLONE_THREAD`, `CLONE_PARENT`
const THREAD: u64 = 0x10000;
const PARENT: u64 = 0x8000;
/// All `CLONE_NEW*`, and `CLONE_INTO_CGROUP`.
const ELSEWHERE: u64 = 0x7e02_0000 | 0x80 | 0x2_0000_0000;

/// A task that the machine knows, or one that `/proc` describes, with its parent and its leader.
pub(super) fn known_or_new(machine: &Shared, pid: pid_t) -> Option<Arc<Task>> {
    let (mut info, status) = process::describe(pid)?;
    if info.pid != info.tgid {
        info.leader = relative(machine, info.tgid);
    }
    info.parent = relative(machine, status.parent);
    Some(Task::new(&machine.me, info))
}

/// A task that is not traced, or not yet.
fn relative(machine: &Shared, pid: u32) -> Option<Arc<Task>> {
    if let Some(known) = machine.tasks.by_pid(pid) {
        return Some(known);
    }
    let (info, _) = process::describe(pid as pid_t)?;
    Some(Task::new(&machine.me, info))
}

impl Tracer<'_> {
    /// A task that nobody told of stands: its maker's event is still to come, or got lost with
    /// its maker.
    pub(super) fn newborn(&mut self, pid: pid_t, status: c_int) {
        self.newborns.insert(pid, status);
        // Killed before it ran: so is its maker, who will not tell of it.
        if status >> 16 == libc::PTRACE_EVENT_EXIT {
            self.adopt(pid);
        }
    }

    /// Takes a newborn if nobody will tell of it.
    fn maybe_adopt(&mut self, pid: pid_t) {
        let parent = Status::of(pid).map_or(0, |status| match status.tgid == pid as u32 {
            true => status.parent,
            false => status.tgid,
        });
        let lives = |one: &Tracee| one.tgid == parent as pid_t;
        if !self.tracees.values().any(lives) {
            self.adopt(pid);
        }
    }

    /// Takes newborns whose makers are gone.
    pub(super) fn adopt_orphans(&mut self) {
        let all: Vec<_> = self.newborns.keys().copied().collect();
        for pid in all {
            self.maybe_adopt(pid);
        }
    }

    /// Takes a newborn that only `/proc` describes.
    fn adopt(&mut self, pid: pid_t) {
        let Some(status) = self.newborns.remove(&pid) else {
            return;
        };
        let task = self
            .machine()
            .and_then(|machine| known_or_new(machine, pid));
        let task = task.unwrap_or_else(|| self.nobody(pid));
        let parent = task.info().parent.clone();
        self.breakpoints.add_orphan(pid);
        self.born(pid, task, parent.as_ref(), None);
        self.happened(pid, status);
    }

    /// A task of which nothing is known or asked.
    fn nobody(&self, pid: pid_t) -> Arc<Task> {
        let machine = self.vm.as_ref().map(|vm| Arc::downgrade(&vm.0));
        let info = crate::TaskInfo {
            pid: pid as u32,
            tgid: pid as u32,
            ..crate::TaskInfo::default()
        };
        Task::new(&machine.unwrap_or_default(), info)
    }

    fn born(
        &mut self,
        pid: pid_t,
        task: Arc<Task>,
        parent: Option<&Arc<Task>>,
        call: Option<(u32, u64)>,
    ) {
        if let Some(parent) = parent
            && let Some(firing) = self.firing(parent)
        {
            let mut arguments = [parent.address(), task.address()];
            firing.raw(self.plan.fork.raw.as_ref(), &mut arguments);
            if let Some(point) = &self.plan.fork.formatted {
                let mut record = Record::new(firing.entry(), 24);
                record.set(12, parent.info().pid);
                record.set(20, task.info().pid);
                record.text(8, text(&parent.comm()));
                record.text(16, text(&task.comm()));
                firing.fire(point, &mut record.words(), |_| ());
            }
        }
        Tally::add(&self.control.tally.tasks);
        let tracee = Tracee {
            tgid: task.info().tgid as pid_t,
            task,
            standing: false,
            stepping: false,
            call,
            exiting: false,
            before: false,
            maps: None,
            may_call: false,
            sampling: Sampled::default(),
        };
        self.tracees.insert(pid, tracee);
        self.alive();
    }

    /// A tracee has made another.
    pub(super) fn forked(&mut self, parent: pid_t, event: c_int) {
        let Ok(child) = system::message(parent, event) else {
            return;
        };
        let child = child as pid_t;
        let waiting = self.newborns.remove(&child);
        if self.tracees.contains_key(&child) {
            return;
        }
        let Some(tracee) = self.tracees.get(&parent) else {
            return;
        };
        let (maker, call) = (Arc::clone(&tracee.task), tracee.call);
        let (flags, number) = self.clone_flags(parent);
        let task = match (self.machine(), flags) {
            (None, _) => self.nobody(child),
            (Some(machine), Some(flags)) => made(machine, &maker, child, flags),
            // By another machine's call.
            (Some(machine), None) => {
                known_or_new(machine, child).unwrap_or_else(|| self.nobody(child))
            }
        };
        self.breakpoints
            .add_child(parent, child, shares_memory(parent, child, flags));
        let own = number.filter(|number| self.plan.wants_exit(*number));
        self.born(child, task, Some(&maker), call.or(own.map(|own| (own, 0))));
        if let Some(status) = waiting {
            self.happened(child, status);
        }
    }

    /// How a tracee that is making another asked for it, and by which call.
    fn clone_flags(&self, pid: pid_t) -> (Option<u64>, Option<u32>) {
        use syscalls::Sysno;
        let Ok(registers) = system::registers(pid) else {
            return (None, None);
        };
        let number = registers.orig_rax;
        let flags = match number {
            _ if number == Sysno::fork as u64 || number == Sysno::vfork as u64 => Some(0),
            _ if number == Sysno::clone as u64 => Some(registers.rdi),
            _ if number == Sysno::clone3 as u64 => {
                let mut flags = [0; 8];
                let read = system::read_memory(pid, registers.rdi, &mut flags);
                (read == Ok(8)).then(|| u64::from_ne_bytes(flags))
            }
            _ => None,
        };
        (flags, u32::try_from(number).ok())
    }

    /// A tracee's process has begun another program.
    pub(super) fn executed(&mut self, pid: pid_t) {
        let former =
            system::message(pid, libc::PTRACE_EVENT_EXEC).map_or(pid, |former| former as pid_t);
        if former != pid && self.tracees.contains_key(&former) {
            // A thread takes the place of its process's first, which ends before it.
            self.exits(pid);
        }
        if former != pid
            && let Some(mut own) = self.tracees.remove(&former)
        {
            self.breakpoints.remove(former);
            own.standing = true;
            own.may_call = false;
            own.maps = None;
            own.tgid = pid;
            own.task.change(|info| {
                info.pid = pid as u32;
                info.parent = info.leader.take().map_or_else(
                    || info.parent.clone(),
                    |leader| leader.info().parent.clone(),
                );
                info.memory = Some(Memory::of(pid, pid));
            });
            self.tracees.insert(pid, own);
            self.alive();
        }
        let Some(tracee) = self.tracees.get(&pid) else {
            return;
        };
        let task = Arc::clone(&tracee.task);
        refresh_name(&task, pid);
        refresh_credentials(&task, pid);
        task.change(|info| info.address_space = Some(process::address_space(pid)));
        if pid == self.first && self.starting.take().is_some() {
            self.control.set(|state| state.executed = true);
        }
        if !self.plan.exec.any() {
            return;
        }
        let Some(firing) = self.firing(&task) else {
            return;
        };
        let path = process::executed_path(pid);
        if let Some(point) = &self.plan.exec.raw {
            let (mut binary, start) = (binary(&path), 0);
            let memory = View::of_words(&mut binary);
            let (address, len) = (memory.address() + start, memory.len() as u64);
            let filename = address + size_of("linux_binprm") as u64;
            for member in ["filename", "interp"] {
                if let Some(at) = offset_of("linux_binprm", member) {
                    memory.set_u64(at, filename);
                }
            }
            let mut arguments = [task.address(), former as u64, address];
            firing.fire(point, &mut arguments, |run| {
                run.current.arguments.set(Some(3));
                run.grant(Ours {
                    start: address,
                    len,
                    writable: false,
                });
            });
        }
        if let Some(point) = &self.plan.exec.formatted {
            let mut record = Record::new(firing.entry(), 20);
            record.set(12, pid as u32);
            record.set(16, former as u32);
            record.text(8, &path);
            firing.fire(point, &mut record.words(), |_| ());
        }
    }

    /// The command's process goes on after the last `exec` that it tried.
    pub(super) fn not_executed(&mut self, pid: pid_t) {
        let failure = self.starting.as_ref().and_then(|starting| starting.failure);
        self.control
            .set(|state| state.failure = Some(failure.unwrap_or(libc::ENOEXEC)));
        let _ = system::kill(pid, libc::SIGKILL);
    }

    /// A call changed what programs see of its task.
    pub(super) fn changed(&mut self, pid: pid_t, number: u32) {
        let Some(tracee) = self.tracees.get(&pid) else {
            return;
        };
        match number {
            PRCTL => refresh_name(&tracee.task, pid),
            _ if NAMESPACES.contains(&number) => {
                let now = namespaces(&pid.to_string());
                tracee.task.change(|info| info.namespaces = now);
                // In a new user namespace it may be somebody else.
                refresh_credentials(&tracee.task, pid);
            }
            _ => refresh_credentials(&tracee.task, pid),
        }
    }

    /// A tracee is about to end, or has ended without that.
    pub(super) fn exits(&mut self, pid: pid_t) {
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return;
        };
        if tracee.exiting || tracee.before {
            return;
        }
        tracee.exiting = true;
        let (task, tgid) = (Arc::clone(&tracee.task), tracee.tgid);
        let lives = |one: &Tracee| one.tgid == tgid && !one.exiting;
        let last = !self.tracees.values().any(lives);
        if let (true, Some(OnExits(tell))) = (last, self.control.on_exits.get()) {
            tell(tgid as u32);
        }
        if !self.plan.task_exit.any() {
            return;
        }
        let Some(firing) = self.firing(&task) else {
            return;
        };
        let mut arguments = [task.address(), last.into()];
        firing.raw(self.plan.task_exit.raw.as_ref(), &mut arguments);
        if let Some(point) = &self.plan.task_exit.formatted {
            /// The priority of a task that is neither nice nor urgent.
            const PRIORITY: u32 = 120;
            let mut record = Record::new(firing.entry(), 36);
            record.put(8, &task.comm());
            record.set(24, task.info().pid);
            record.set(28, PRIORITY);
            record.put(32, &[last.into()]);
            firing.fire(point, &mut record.words(), |_| ());
        }
    }

    /// A tracee has ended.
    pub(super) fn ended(&mut self, pid: pid_t, status: c_int) {
        // Killed before it could tell that it ends.
        self.exits(pid);
        let tracee = self.tracees.remove(&pid);
        self.breakpoints.remove(pid);
        self.newborns.remove(&pid);
        self.alive();
        if let Some(tracee) = &tracee
            && tracee.tgid == pid
        {
            self.orphaned(&tracee.task);
        }
        if tracee.is_some() && pid == self.first {
            let starting = self.starting.take().is_some();
            self.control.set(|state| {
                state.exit = Some(ExitStatus::from_raw(status));
                if starting && state.failure.is_none() {
                    // Killed on its way to the command: that is its end.
                    state.executed = true;
                }
            });
        }
        if !self.newborns.is_empty() {
            self.adopt_orphans();
        }
    }

    /// The parent of some tasks has ended: they have another now.
    fn orphaned(&self, parent: &Arc<Task>) {
        let Some(machine) = self.machine() else {
            return;
        };
        let is_it = |known: &Arc<Task>| Arc::ptr_eq(known, parent);
        for (pid, tracee) in &self.tracees {
            if !tracee.task.info().parent.as_ref().is_some_and(is_it) {
                continue;
            }
            let now = Status::of(*pid).and_then(|status| relative(machine, status.parent));
            tracee.task.change(|info| info.parent = now);
        }
    }
}

/// Whether a task that another made has the same memory: by how it was made, where the system does
/// not say.
fn shares_memory(parent: pid_t, child: pid_t, flags: Option<u64>) -> bool {
    /// `CLONE_VM`
    const MEMORY: u64 = 0x100;
    system::share_memory(parent, child).unwrap_or_else(|| flags.unwrap_or(0) & MEMORY != 0)
}

/// The task that a task makes, which is as its maker is, but for what `flags` say.
fn made(machine: &Shared, maker: &Arc<Task>, child: pid_t, flags: u64) -> Arc<Task> {
    let mut info = maker.info().clone();
    let leader = info.leader.clone().unwrap_or_else(|| Arc::clone(maker));
    info.pid = child as u32;
    info.start_time = machine.clock.read(ClockKind::Boot);
    if flags & THREAD == 0 {
        info.tgid = child as u32;
        info.leader = None;
        if flags & PARENT == 0 {
            info.parent = Some(leader);
        }
    } else {
        info.leader = Some(leader);
    }
    info.memory = Some(Memory::of(child, info.tgid as pid_t));
    if flags & ELSEWHERE != 0 {
        let process = child.to_string();
        info.cgroups = cgroups(&process);
        info.namespaces = namespaces(&process);
        if let Some(status) = Status::of(child) {
            (info.uid, info.gid) = (status.uid, status.gid);
        }
    }
    let task = Task::new(&machine.me, info);
    let name = maker.comm();
    if task.comm() != name {
        // One that is no text.
        task.rename(text(&name));
    }
    task
}

fn refresh_name(task: &Task, pid: pid_t) {
    if let Some(name) = process::name(pid) {
        task.rename(&name);
    }
}

fn refresh_credentials(task: &Task, pid: pid_t) {
    let Some(status) = Status::of(pid) else {
        return;
    };
    let info = task.info();
    if (info.uid, info.gid) != (status.uid, status.gid) {
        task.change(|info| (info.uid, info.gid) = (status.uid, status.gid));
    }
}

/// A name without the zeros behind it.
fn text(comm: &[u8; 16]) -> &[u8] {
    let len = comm.iter().position(|byte| *byte == 0);
    comm.get(..len.unwrap_or(comm.len())).unwrap_or_default()
}

/// Memory for a `struct linux_binprm` with the path behind it.
fn binary(path: &[u8]) -> Vec<u64> {
    let size = size_of("linux_binprm").next_multiple_of(8);
    let mut words = vec![0; size / 8];
    let mut bytes = path.to_vec();
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    words.extend(bytes.chunks_exact(8).map(word));
    words
}
