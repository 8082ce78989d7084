//! The tasks of a machine: who programs run for, and what they can see of them.
//!
//! A task is what its maker says of it, and a `struct task_struct` with what belongs to it, laid
//! out by the machine's own BTF, in an object that every run may read.

mod memory;
pub(crate) mod own;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    ops::{
        Bound::{Excluded, Unbounded},
        Deref, Range,
    },
    sync::{Arc, PoisonError, RwLock, Weak},
};

use arc_swap::{ArcSwap, Guard};
use skep_host::Errno;

use super::objects::Object;
use crate::{memory::View, vm::Shared};

/// Bytes of a task's name, its NUL included (`TASK_COMM_LEN`).
const COMM: usize = 16;

/// The memory of a task's process, and what can be done to it. For whoever traces processes; a
/// task without one has no memory: reading it answers `EFAULT`.
pub trait UserMemory: Send + Sync + fmt::Debug {
    /// Reads all of `out`.
    ///
    /// # Errors
    /// `EFAULT`: some of it is not there.
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), Errno>;

    /// Reads as much of `out` as there is before the first byte that is not there, and answers how
    /// much that is. By default all or nothing.
    ///
    /// # Errors
    /// `EFAULT`: not even the first byte is there.
    fn read_some(&self, address: u64, out: &mut [u8]) -> Result<usize, Errno> {
        self.read(address, out).map(|()| out.len())
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// `EFAULT`: some of it is not there, or can't be written. The default.
    fn write(&self, _address: u64, _bytes: &[u8]) -> Result<(), Errno> {
        Err(Errno::EFAULT)
    }

    /// Sends a signal to the process, or with `thread` to the task alone; 0 only asks whether one
    /// could be sent. `value`: what who gets it finds in `siginfo_t.si_value`, if the program gave
    /// one (`bpf_send_signal_task`).
    ///
    /// # Errors
    /// What the system says; `EPERM` by default.
    fn signal(&self, _signal: u32, _thread: bool, _value: Option<u64>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
}

/// What programs can learn of a task.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The number of the thread, which a kernel calls `pid`.
    pub pid: u32,
    /// The number of the process, which a kernel calls `tgid`.
    pub tgid: u32,
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Its name; what is over 15 bytes is cut.
    pub comm: String,
    /// When it began, in nanoseconds of the machine's clock.
    pub start_time: u64,
    /// The numbers of its cgroups, from the root to its own.
    pub cgroups: Vec<u64>,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Who began it; itself if nobody did.
    pub parent: Option<Arc<Task>>,
    /// The first thread of its process; itself if there is none other.
    pub leader: Option<Arc<Task>>,
    /// Where the parts of its process's memory are; `None` where that is not known, or it has no
    /// memory.
    pub address_space: Option<AddressSpace>,
    /// Its memory.
    pub memory: Option<Arc<dyn UserMemory>>,
}

/// Where the parts of a process's memory begin and end, as `struct mm_struct` has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressSpace {
    /// The program's code.
    pub code: Range<u64>,
    /// Its initialised data.
    pub data: Range<u64>,
    /// Where the heap begins.
    pub heap: u64,
    /// Where the stack begins, at its upper end.
    pub stack: u64,
    /// The arguments, one behind the other, each with a NUL.
    pub arguments: Range<u64>,
    /// The environment, as the arguments.
    pub environment: Range<u64>,
}

/// The numbers of a task's namespaces, as `stat` shows them of `/proc/PID/ns/*`; 0 where unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Namespaces {
    /// The device that all of them are on.
    pub device: u64,
    /// `pid`
    pub pid: u64,
    /// `mnt`
    pub mnt: u64,
    /// `net`
    pub net: u64,
    /// `uts`
    pub uts: u64,
    /// `ipc`
    pub ipc: u64,
    /// `cgroup`
    pub cgroup: u64,
    /// `time`
    pub time: u64,
}

/// A task of a machine: made by [`Vm::task`](crate::Vm::task), gone with its last reference.
pub struct Task {
    machine: Weak<Shared>,
    now: ArcSwap<Now>,
    /// Its memory as programs see it; `None` where objects take too much already.
    object: Option<Arc<Object>>,
}

/// What a task is at a time.
#[derive(Clone)]
struct Now {
    info: TaskInfo,
    /// Its name as programs see it, which need not be text.
    comm: [u8; COMM],
}

/// A name, cut to what a task keeps of it.
fn cut(name: &[u8]) -> [u8; COMM] {
    let mut comm = [0; COMM];
    let len = name.len().min(COMM - 1);
    comm[..len].copy_from_slice(&name[..len]);
    comm
}

/// What is known of a task at the time of asking.
struct AsOf(Guard<Arc<Now>>);

impl Deref for AsOf {
    type Target = TaskInfo;

    fn deref(&self) -> &TaskInfo {
        &self.0.info
    }
}

impl Task {
    pub(crate) fn new(machine: &Weak<Shared>, info: TaskInfo) -> Arc<Self> {
        let comm = cut(info.comm.as_bytes());
        let alive = machine.upgrade();
        let object = alive
            .as_ref()
            .and_then(|machine| memory::make(machine, &info, &comm));
        let task = Arc::new(Self {
            machine: Weak::clone(machine),
            now: ArcSwap::from_pointee(Now { info, comm }),
            object,
        });
        if let Some(machine) = &alive {
            machine.tasks.add(&task);
        }
        task
    }

    /// What is known of it now. Keep it for no longer than it takes to read: it does not change.
    #[must_use]
    pub fn info(&self) -> impl Deref<Target = TaskInfo> + use<> {
        AsOf(self.now.load())
    }

    /// Says what has become of it: programs see it from now on, at the same address. Its numbers
    /// change only where a thread takes its process over.
    pub fn change(&self, change: impl FnOnce(&mut TaskInfo)) {
        let mut now = Now::clone(&self.now.load());
        let before = now.info.comm.clone();
        change(&mut now.info);
        if now.info.comm != before {
            now.comm = cut(now.info.comm.as_bytes());
        }
        self.set(now);
    }

    /// Gives it another name, of any bytes.
    pub(crate) fn rename(&self, name: &[u8]) {
        let mut now = Now::clone(&self.now.load());
        now.comm = cut(name);
        now.info.comm = String::from_utf8_lossy(name).into_owned();
        self.set(now);
    }

    fn set(&self, now: Now) {
        let machine = self.machine.upgrade();
        if let (Some(machine), Some(object)) = (&machine, &self.object) {
            memory::update(machine, object, &now.info, &now.comm);
        }
        let before = self.now.swap(Arc::new(now));
        let (was, is) = (numbers(&before.info), numbers(&self.info()));
        if let (Some(machine), true) = (machine, was != is) {
            machine.tasks.renumber(self, was, is);
        }
    }

    /// The address of its `struct task_struct`; 0 if there was no memory for one.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.object.as_ref().map_or(0, |object| object.address())
    }

    /// Sets the registers that `bpf_task_pt_regs` shows: the bytes of a `struct pt_regs`.
    pub fn set_registers(&self, registers: &[u8]) {
        if let Some(view) = self.registers() {
            view.write(registers);
        }
    }

    /// Its `struct pt_regs`.
    pub(crate) fn registers(&self) -> Option<View<'_>> {
        memory::registers(self.object.as_ref()?.memory())
    }

    /// The object that programs may hold references of.
    pub(crate) fn object(&self) -> Option<&Arc<Object>> {
        self.object.as_ref()
    }

    /// Its name, with zeros behind it.
    pub(crate) fn comm(&self) -> [u8; COMM] {
        self.now.load().comm
    }

    /// Reads its process's memory.
    pub(crate) fn read_user(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        if out.is_empty() {
            return Ok(());
        }
        let now = self.now.load();
        let memory = now.info.memory.as_ref().ok_or(Errno::EFAULT)?;
        memory.read(address, out)
    }

    /// Reads as much of its process's memory as there is from `address` on.
    pub(crate) fn read_some(&self, address: u64, out: &mut [u8]) -> Result<usize, Errno> {
        if out.is_empty() {
            return Ok(0);
        }
        let now = self.now.load();
        let memory = now.info.memory.as_ref().ok_or(Errno::EFAULT)?;
        memory.read_some(address, out)
    }

    /// Writes its process's memory.
    pub(crate) fn write_user(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        let now = self.now.load();
        let memory = now.info.memory.as_ref().ok_or(Errno::EFAULT)?;
        memory.write(address, bytes)
    }

    /// Sends it a signal.
    pub(crate) fn signal(
        &self,
        signal: u32,
        thread: bool,
        value: Option<u64>,
    ) -> Result<(), Errno> {
        let now = self.now.load();
        let process = now.info.memory.as_ref().ok_or(Errno::EPERM)?;
        process.signal(signal, thread, value)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.info();
        write!(f, "Task({} {:?})", info.pid, info.comm)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let Some(machine) = self.machine.upgrade() else {
            return;
        };
        machine.tasks.remove(self);
        if let Some(object) = &self.object {
            machine.objects.release(object);
        }
    }
}

thread_local! {
    /// This thread as a task, one for each machine that it ran programs of.
    static OWN: RefCell<Vec<Arc<Task>>> = const { RefCell::new(Vec::new()) };
}

/// All tasks of a machine that somebody holds.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    known: RwLock<Known>,
    cgroups: RwLock<BTreeMap<u64, Arc<Object>>>,
}

#[derive(Debug, Default)]
struct Known {
    by_pid: BTreeMap<u32, Weak<Task>>,
    /// By the number of their process, then their own.
    by_process: BTreeMap<(u32, u32), Weak<Task>>,
    by_address: BTreeMap<u64, Weak<Task>>,
}

/// The number of a task's process, and its own.
fn numbers(info: &TaskInfo) -> (u32, u32) {
    (info.tgid, info.pid)
}

impl Known {
    fn insert(&mut self, numbers: (u32, u32), task: Weak<Task>) {
        self.by_pid.insert(numbers.1, Weak::clone(&task));
        self.by_process.insert(numbers, task);
    }

    /// Takes a task out, unless another has its numbers by now.
    fn take(&mut self, numbers: (u32, u32), task: &Task) -> Option<Weak<Task>> {
        let is_it = |known: &&Weak<Task>| std::ptr::eq(known.as_ptr(), task);
        if self.by_pid.get(&numbers.1).filter(is_it).is_some() {
            self.by_pid.remove(&numbers.1);
        }
        self.by_process.get(&numbers).filter(is_it)?;
        self.by_process.remove(&numbers)
    }
}

impl Tasks {
    fn add(&self, task: &Arc<Task>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(numbers(&task.info()), Arc::downgrade(task));
        if task.object.is_some() {
            known
                .by_address
                .insert(task.address(), Arc::downgrade(task));
        }
    }

    fn remove(&self, task: &Task) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.take(numbers(&task.info()), task);
        let is_it = |known: &Weak<Task>| std::ptr::eq(known.as_ptr(), task);
        if known.by_address.get(&task.address()).is_some_and(is_it) {
            known.by_address.remove(&task.address());
        }
    }

    /// Gives a task other numbers, which may have been another's.
    fn renumber(&self, task: &Task, was: (u32, u32), is: (u32, u32)) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = known.take(was, task) {
            known.insert(is, own);
        }
    }

    /// The task behind these numbers, of its process and its own, and what its numbers are.
    pub(crate) fn behind(&self, last: (u32, u32)) -> Option<((u32, u32), Weak<Task>)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let next = known.by_process.range((Excluded(last), Unbounded)).next();
        next.map(|(numbers, task)| (*numbers, Weak::clone(task)))
    }

    /// The task with a number (that of a thread).
    pub(crate) fn by_pid(&self, pid: u32) -> Option<Arc<Task>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let task = known.by_pid.get(&pid).cloned();
        drop(known);
        task?.upgrade()
    }

    /// The task whose `struct task_struct` is at this address.
    pub(crate) fn at(&self, address: u64) -> Option<Arc<Task>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let task = known.by_address.get(&address).cloned();
        drop(known);
        task?.upgrade()
    }

    /// Every task, by number.
    pub(crate) fn all(&self) -> Vec<Arc<Task>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = known.by_pid.values().cloned().collect();
        drop(known);
        all.iter().filter_map(Weak::upgrade).collect()
    }

    /// This thread, as it was when it first ran a program of the machine.
    pub(crate) fn own(machine: &Shared) -> Arc<Task> {
        OWN.with_borrow_mut(|own| {
            let is_of = |task: &&Arc<Task>| std::ptr::eq(task.machine.as_ptr(), machine);
            if let Some(task) = own.iter().find(is_of) {
                return Arc::clone(task);
            }
            own.retain(|task| task.machine.strong_count() > 0);
            let task = own::make(&machine.me);
            own.push(Arc::clone(&task));
            task
        })
    }

    /// The `struct cgroup` of the last of these cgroups.
    pub(crate) fn cgroup(&self, machine: &Shared, path: &[u64]) -> Option<Arc<Object>> {
        let find = |id: &u64| {
            let known = self.cgroups.read().unwrap_or_else(PoisonError::into_inner);
            known.get(id).map(Arc::clone)
        };
        if let Some(known) = find(path.last()?) {
            return Some(known);
        }
        let mut parent: Option<Arc<Object>> = None;
        for (level, id) in path.iter().enumerate() {
            let made = match find(id) {
                Some(known) => known,
                None => {
                    let made = memory::cgroup(machine, &path[..=level], parent.as_deref())?;
                    let mut known = self.cgroups.write().unwrap_or_else(PoisonError::into_inner);
                    Arc::clone(known.entry(*id).or_insert(made))
                }
            };
            parent = Some(made);
        }
        parent
    }

    /// The `struct cgroup` with this number, if it was asked for: a task is below it, or a map has
    /// a value for it.
    pub(crate) fn cgroup_by_id(&self, id: u64) -> Option<Arc<Object>> {
        let known = self.cgroups.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).cloned()
    }

    /// Of all cgroups that tasks are below, maps have values for, or the machine's tree has, by number.
    pub(crate) fn all_cgroups(&self, machine: &Shared) -> Vec<Arc<Object>> {
        for id in machine.cgroups.ids() {
            self.any_cgroup(machine, id);
        }
        let known = self.cgroups.read().unwrap_or_else(PoisonError::into_inner);
        known.values().cloned().collect()
    }

    /// The same, and of the others of the machine's tree.
    pub(crate) fn any_cgroup(&self, machine: &Shared, id: u64) -> Option<Arc<Object>> {
        self.cgroup_by_id(id).or_else(|| {
            let made = machine.cgroups.by_id(id)?;
            let mut path: Vec<u64> = made.ancestry().map(|above| above.id).collect();
            path.reverse();
            self.cgroup(machine, &path)
        })
    }
}
