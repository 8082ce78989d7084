//! The hooks of a machine: places where it, or its embedder, fires programs.
//!
//! A hook comes to be when something is attached to it or somebody wants to fire it. Who fires
//! keeps the [`Point`] and walks over a snapshot of its programs, without a lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::{ArcSwap, Guard};
use skep_abi::AttachType;
use skep_host::Errno;

use super::{calls, lock};
use crate::program::Program;

type Raw<T> = Result<T, Errno>;

/// The name of a hook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum HookKey {
    /// A static tracepoint.
    Tracepoint { category: String, name: String },
    /// The same without its formatted record, and with typed arguments (`tp_btf`).
    RawTracepoint { name: String },
    /// A function of the machine that its embedder defines: entry, return, decision.
    Function {
        name: String,
        attach: Option<AttachType>,
    },
    /// A probe of such a function.
    Kprobe {
        function: String,
        offset: u64,
        at_return: bool,
    },
    /// An instruction of a binary.
    Uprobe {
        binary: PathBuf,
        offset: u64,
        at_return: bool,
        /// Where the binary counts those who watch the place; 0: nowhere.
        semaphore: u64,
    },
    /// A timer that samples who runs: which software event it is, its period in nanoseconds, and
    /// whether it is for one CPU.
    PerfEvent {
        config: u64,
        period: u64,
        cpu: Option<u32>,
    },
    /// Packets that a device receives.
    Xdp { ifindex: u32 },
    /// Packets at the traffic-control hook or at an end of a netkit pair.
    Device { ifindex: u32, attach: AttachType },
    /// A hook of a cgroup.
    Cgroup { id: u64, attach: AttachType },
    /// A hook of the machine's network namespace.
    Netns { attach: AttachType },
    /// A netfilter hook.
    Netfilter { protocol_family: u32, hook: u32 },
    /// What the sockets of a map receive or send.
    Sockmap { map: u32, attach: AttachType },
    /// Packets of a socket.
    Socket { socket: i32 },
}

/// A program on a hook.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    /// Whose it is: a number that nothing else has.
    pub(crate) owner: u64,
    /// The id of its link, or 0.
    pub(crate) link: u32,
    pub(crate) program: Arc<Program>,
    /// What `bpf_get_attach_cookie` returns.
    pub(crate) cookie: u64,
    /// As queries show them.
    pub(crate) flags: u32,
    /// Lower runs earlier, where the hook goes by that.
    pub(crate) priority: i32,
    /// Only in this process.
    pub(crate) pid: Option<u32>,
}

impl Attached {
    /// A program on a hook without order.
    pub(crate) fn new(program: Arc<Program>, cookie: u64) -> Self {
        static OWNERS: AtomicU64 = AtomicU64::new(1);
        Self {
            owner: OWNERS.fetch_add(1, Relaxed),
            link: 0,
            program,
            cookie,
            flags: 0,
            priority: 0,
            pid: None,
        }
    }
}

/// The programs of a hook, in the order in which they run.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) list: Vec<Attached>,
    /// Goes up with every change.
    pub(crate) revision: u64,
    /// Flags of the hook (cgroups: how its programs stand to others).
    pub(crate) flags: u32,
}

impl Programs {
    /// The place of a holder's program.
    pub(crate) fn place(&self, owner: u64) -> Option<usize> {
        self.list.iter().position(|entry| entry.owner == owner)
    }
}

/// A hook.
#[derive(Debug)]
pub(crate) struct Point {
    now: ArcSwap<Programs>,
    change: Mutex<()>,
    /// Its revisions begin anew when its last program is gone.
    begins_anew: bool,
    /// Who wants to know of changes.
    watchers: Arc<Watchers>,
}

/// Who wants to know when something is attached or gone: whoever must do something for a hook to
/// fire, such as a tracer.
pub(crate) trait Watcher: fmt::Debug + Send + Sync {
    /// Something changed. Called by who changed it, who may hold locks: it must not wait.
    fn changed(&self);

    /// Waits until what changed before is in effect. Called without locks.
    fn settle(&self);
}

/// All of a machine.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Vec<Weak<dyn Watcher>>>);

impl Watchers {
    fn all(&self) -> Vec<Arc<dyn Watcher>> {
        let mut known = lock(&self.0);
        known.retain(|watcher| watcher.strong_count() > 0);
        known.iter().filter_map(Weak::upgrade).collect()
    }

    /// Waits until what was attached or taken off has its effect. Not to be called with locks.
    pub(crate) fn settle(&self) {
        for watcher in self.all() {
            watcher.settle();
        }
    }
}

impl Point {
    fn new(begins_anew: bool, watchers: Arc<Watchers>) -> Self {
        Self {
            begins_anew,
            watchers,
            now: ArcSwap::from_pointee(Programs {
                list: Vec::new(),
                revision: 1,
                flags: 0,
            }),
            change: Mutex::default(),
        }
    }

    /// Its programs now.
    #[inline]
    pub(crate) fn programs(&self) -> Guard<Arc<Programs>> {
        self.now.load()
    }

    /// Whether nothing is attached.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.now.load().list.is_empty()
    }

    /// Changes what is attached: all at once, or nothing.
    ///
    /// # Errors
    /// What `change` says.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Programs) -> Raw<T>) -> Raw<T> {
        let _one = lock(&self.change);
        let mut programs = Programs::clone(&self.now.load());
        let answer = change(&mut programs)?;
        programs.revision += 1;
        if self.begins_anew && programs.list.is_empty() {
            programs.revision = 1;
        }
        // Programs that go are dropped by whoever is last to see the old list.
        self.now.store(Arc::new(programs));
        for watcher in self.watchers.all() {
            watcher.changed();
        }
        Ok(answer)
    }

    /// Takes a holder's program off.
    ///
    /// # Errors
    /// `ENOENT`: it is gone already.
    pub(crate) fn remove(&self, owner: u64) -> Raw<()> {
        self.change(|programs| {
            let place = programs.place(owner).ok_or(Errno::ENOENT)?;
            programs.list.remove(place);
            if programs.list.is_empty() {
                programs.flags = 0;
            }
            Ok(())
        })
    }

    /// Takes the programs of several holders off, those that are there.
    ///
    /// # Errors
    /// None.
    pub(crate) fn remove_all(&self, owners: &BTreeSet<u64>) -> Raw<()> {
        self.change(|programs| {
            programs.list.retain(|entry| !owners.contains(&entry.owner));
            if programs.list.is_empty() {
                programs.flags = 0;
            }
            Ok(())
        })
    }

    /// Puts another program in a holder's place; `once`: where each program is but once.
    ///
    /// # Errors
    /// `ENOENT`: it is gone; `EEXIST`: the program has a place there.
    pub(crate) fn replace(&self, owner: u64, program: Arc<Program>, once: bool) -> Raw<()> {
        self.change(|programs| {
            let place = programs.place(owner).ok_or(Errno::ENOENT)?;
            let same = |known: &Attached| Arc::ptr_eq(&known.program, &program);
            if once && programs.list.iter().any(same) {
                return Err(Errno::EEXIST);
            }
            programs.list[place].program = program;
            Ok(())
        })
    }

    /// Attaches several without priority behind what is there, at once.
    ///
    /// # Errors
    /// None.
    pub(crate) fn add_all(&self, entries: Vec<Attached>) -> Raw<()> {
        self.change(|programs| {
            let after = programs.list.partition_point(|known| known.priority <= 0);
            programs.list.splice(after..after, entries);
            Ok(())
        })
    }

    /// Attaches behind what is there, of which there may be at most `most`.
    ///
    /// # Errors
    /// `full`: there are as many.
    pub(crate) fn add(&self, entry: Attached, most: usize, full: Errno) -> Raw<()> {
        self.change(|programs| {
            if programs.list.len() >= most {
                return Err(full);
            }
            let after = programs
                .list
                .partition_point(|known| known.priority <= entry.priority);
            programs.list.insert(after, entry);
            Ok(())
        })
    }
}

/// Tracepoints that the machine has itself, by category.
const TRACEPOINTS: &[(&str, &str)] = &[
    ("raw_syscalls", "sys_enter"),
    ("raw_syscalls", "sys_exit"),
    ("sched", "sched_process_exec"),
    ("sched", "sched_process_exit"),
    ("sched", "sched_process_fork"),
];

/// All hooks of a machine.
#[derive(Debug)]
pub(crate) struct Hooks {
    points: Mutex<BTreeMap<HookKey, Arc<Point>>>,
    /// What there is beside [`TRACEPOINTS`] and system calls.
    defined: Mutex<BTreeSet<(String, String)>>,
    functions: Mutex<BTreeSet<String>>,
    watchers: Arc<Watchers>,
}

impl Default for Hooks {
    fn default() -> Self {
        let own = TRACEPOINTS.iter();
        let own = own.map(|(category, name)| ((*category).to_owned(), (*name).to_owned()));
        Self {
            points: Mutex::default(),
            defined: Mutex::new(own.collect()),
            functions: Mutex::default(),
            watchers: Arc::default(),
        }
    }
}

impl Hooks {
    /// A hook by its name, to be attached to or to be fired.
    pub(crate) fn point(&self, key: HookKey) -> Arc<Point> {
        let begins_anew = matches!(key, HookKey::Device { .. });
        let mut points = lock(&self.points);
        let point = points.entry(key);
        Arc::clone(
            point.or_insert_with(|| Arc::new(Point::new(begins_anew, Arc::clone(&self.watchers)))),
        )
    }

    /// Lets somebody know of each change from now on, for as long as it is kept.
    pub(crate) fn watch(&self, watcher: &Arc<dyn Watcher>) {
        lock(&self.watchers.0).push(Arc::downgrade(watcher));
    }

    /// Who watches these hooks.
    pub(crate) fn watchers(&self) -> &Arc<Watchers> {
        &self.watchers
    }

    /// See [`Watchers::settle`].
    pub(crate) fn settle(&self) {
        self.watchers.settle();
    }

    /// The hooks that have programs.
    pub(crate) fn in_use(&self) -> Vec<(HookKey, Arc<Point>)> {
        let points = lock(&self.points);
        let used = points.iter().filter(|(_, point)| !point.is_empty());
        used.map(|(key, point)| (key.clone(), Arc::clone(point)))
            .collect()
    }

    /// A hook by its name, if anything was ever attached to it.
    pub(crate) fn known(&self, key: &HookKey) -> Option<Arc<Point>> {
        lock(&self.points).get(key).cloned()
    }

    /// The programs of a hook now; to be kept apart from the machine, use [`Hooks::point`].
    pub(crate) fn programs(&self, key: &HookKey) -> Option<Arc<Programs>> {
        Some(self.known(key)?.now.load_full())
    }

    /// The filters of all sockets now.
    pub(crate) fn of_sockets(&self) -> Vec<Attached> {
        let points = lock(&self.points);
        let sockets = points
            .iter()
            .filter(|(key, _)| matches!(key, HookKey::Socket { .. }));
        sockets
            .flat_map(|(_, point)| point.now.load().list.clone())
            .collect()
    }

    /// Adds a tracepoint, also as a raw one.
    pub(crate) fn define(&self, category: &str, name: &str) {
        lock(&self.defined).insert((category.to_owned(), name.to_owned()));
    }

    /// Adds a function that can be probed.
    pub(crate) fn define_function(&self, name: &str) {
        lock(&self.functions).insert(name.to_owned());
    }

    /// Whether there is a tracepoint. Every system call has two.
    pub(crate) fn has_tracepoint(&self, category: &str, name: &str) -> bool {
        let of_calls = category == "syscalls" && calls::of_tracepoint(name).is_some();
        of_calls || lock(&self.defined).contains(&(category.to_owned(), name.to_owned()))
    }

    /// Whether there is a raw tracepoint.
    pub(crate) fn has_raw_tracepoint(&self, name: &str) -> bool {
        lock(&self.defined).iter().any(|(_, known)| known == name)
    }

    /// Whether a function can be probed: one that the embedder defined, or of a system call.
    pub(crate) fn has_function(&self, name: &str) -> bool {
        lock(&self.functions).contains(name) || calls::of_function(name).is_some()
    }

    /// Whether the embedder defined any function.
    pub(crate) fn defines_functions(&self) -> bool {
        !lock(&self.functions).is_empty()
    }

    /// The functions that can be probed, sorted.
    pub(crate) fn functions(&self) -> Vec<String> {
        let mut all = lock(&self.functions).clone();
        all.extend(calls::functions());
        all.into_iter().collect()
    }

    /// Tracepoints as `category/name`, sorted.
    pub(crate) fn tracepoints(&self) -> Vec<String> {
        let own = calls::tracepoints().map(|name| ("syscalls".to_owned(), name));
        let mut all = lock(&self.defined).clone();
        all.extend(own);
        let names = all
            .iter()
            .map(|(category, name)| format!("{category}/{name}"));
        names.collect()
    }
}
