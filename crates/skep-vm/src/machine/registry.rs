//! The things of a machine: by descriptor, by id, by pin.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use skep_abi::limits;
use skep_btf::Btf;
use skep_host::{Descriptor, DescriptorTable, Errno, StatsFd};

use super::{cgroup::Cgroup, hooks::Watchers, link::Link};
use crate::{
    map::{Map, Used},
    program::Program,
};

/// Locks, and takes what a panic left behind as it is: all that is kept here is whole at any time.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// BTF that was loaded, or the machine's own.
#[derive(Debug)]
pub(crate) struct BtfObject {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// The machine's own.
    pub(crate) kernel: bool,
    pub(crate) btf: Arc<Btf>,
}

/// What user space may do with a map by one of its descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// What a descriptor stands for.
#[derive(Clone)]
pub(crate) enum Object {
    Map(Used, Rights),
    Program(Arc<Program>),
    Btf(Arc<BtfObject>),
    Link(Arc<Link>),
    Cgroup(Arc<Cgroup>),
    /// Something that a file of its own knows: an event, a stream, an iterator.
    Other(Arc<dyn Any + Send + Sync>),
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(map, _) => write!(f, "map {}", map.id),
            Self::Program(program) => write!(f, "program {}", program.id),
            Self::Btf(btf) => write!(f, "btf {}", btf.id),
            Self::Link(link) => write!(f, "link {}", link.id),
            Self::Cgroup(cgroup) => write!(f, "cgroup {}", cgroup.id),
            Self::Other(_) => f.write_str("other"),
        }
    }
}

/// An open descriptor. It is the descriptor's note, so that commands need not look it up.
#[derive(Debug)]
pub(crate) struct Open {
    /// The machine's number: descriptors of another one are bad here.
    machine: u64,
    pub(crate) object: Object,
}

/// The descriptor table of a machine.
#[derive(Debug)]
pub(crate) struct Files {
    machine: u64,
    open: Mutex<Vec<Option<Arc<Open>>>>,
    /// Who has to follow when a link ends.
    watchers: Arc<Watchers>,
}

/// The lowest number that is given out: those below mean "none" in places, or are what every
/// process has.
const FIRST: usize = 3;
/// Most open descriptors.
const MOST: usize = 1 << 20;

impl Files {
    /// The table of a new machine.
    pub(crate) fn new(watchers: Arc<Watchers>) -> Self {
        static MACHINES: AtomicU64 = AtomicU64::new(1);
        Self {
            machine: MACHINES.fetch_add(1, Relaxed),
            open: Mutex::default(),
            watchers,
        }
    }

    fn add(&self, entry: Arc<Open>) -> Result<i32, Errno> {
        let mut open = lock(&self.open);
        let free = open.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            open.push(None);
            open.len() - 1
        });
        if index >= MOST {
            open.pop();
            return Err(Errno::EMFILE);
        }
        open[index] = Some(entry);
        Ok((index + FIRST) as i32)
    }

    fn entry(&self, raw: i32) -> Option<Arc<Open>> {
        let index = usize::try_from(raw).ok()?.checked_sub(FIRST)?;
        lock(&self.open).get(index)?.clone()
    }

    /// Opens `object`.
    ///
    /// # Errors
    /// `EMFILE`.
    pub(crate) fn open(self: &Arc<Self>, object: Object) -> Result<Descriptor, Errno> {
        let machine = self.machine;
        let entry = Arc::new(Open { machine, object });
        let raw = self.add(Arc::clone(&entry))?;
        let table: Arc<dyn DescriptorTable> = Arc::clone(self) as _;
        Ok(Descriptor::new(raw, table).with_note(entry))
    }

    /// What a descriptor stands for.
    ///
    /// # Errors
    /// `EBADF`: it is another machine's, or another host's.
    #[inline]
    pub(crate) fn object<'d>(&self, descriptor: &'d Descriptor) -> Result<&'d Object, Errno> {
        match descriptor.note::<Open>() {
            Some(open) if open.machine == self.machine => Ok(&open.object),
            _ => Err(Errno::EBADF),
        }
    }

    /// What a number stands for, as instructions and values of maps name descriptors.
    ///
    /// # Errors
    /// `EBADF`: it is closed; `EINVAL`: every process has it open, and it is nothing of the machine's.
    pub(crate) fn by_number(&self, raw: i32) -> Result<Object, Errno> {
        match self.entry(raw) {
            Some(entry) => Ok(entry.object.clone()),
            None if usize::try_from(raw).is_ok_and(|raw| raw < FIRST) => Err(Errno::EINVAL),
            None => Err(Errno::EBADF),
        }
    }

    /// The map of a number.
    ///
    /// # Errors
    /// `EBADF`: it is closed; `EINVAL`: it is no map.
    pub(crate) fn map(&self, raw: i32) -> Result<Arc<Map>, Errno> {
        match self.by_number(raw)? {
            Object::Map(map, _) => Ok(Arc::clone(&map)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The program of a number.
    ///
    /// # Errors
    /// `EBADF`: it is closed; `EINVAL`: it is no program.
    pub(crate) fn program(&self, raw: i32) -> Result<Arc<Program>, Errno> {
        match self.by_number(raw)? {
            Object::Program(program) => Ok(program),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl DescriptorTable for Files {
    fn close(&self, raw: i32) {
        let Some(index) = usize::try_from(raw)
            .ok()
            .and_then(|raw| raw.checked_sub(FIRST))
        else {
            return;
        };
        // Dropped after the lock: what ends with it may close descriptors of its own.
        let last = lock(&self.open).get_mut(index).and_then(Option::take);
        let is_link = last
            .as_ref()
            .is_some_and(|last| matches!(last.object, Object::Link(_)));
        drop(last);
        if is_link {
            self.watchers.settle();
        }
    }

    fn duplicate(&self, raw: i32) -> Result<i32, Errno> {
        self.add(self.entry(raw).ok_or(Errno::EBADF)?)
    }
}

/// Things of one kind by their ids, which are given once and go upwards.
#[derive(Debug)]
pub(crate) struct Ids<T>(Mutex<List<T>>);

#[derive(Debug)]
struct List<T> {
    last: u32,
    live: BTreeMap<u32, Weak<T>>,
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Self(Mutex::new(List {
            last: 0,
            live: BTreeMap::new(),
        }))
    }
}

impl<T> Ids<T> {
    /// Makes a thing that knows its id.
    pub(crate) fn make(&self, thing: impl FnOnce(u32) -> T) -> Arc<T> {
        let made = self.try_make(|id| Ok::<_, std::convert::Infallible>(thing(id)));
        made.unwrap_or_else(|never| match never {})
    }

    /// The same for a thing that may not come to be.
    ///
    /// # Errors
    /// What `thing` says.
    pub(crate) fn try_make<E>(&self, thing: impl FnOnce(u32) -> Result<T, E>) -> Result<Arc<T>, E> {
        let id = {
            let mut list = lock(&self.0);
            list.last = list.last.wrapping_add(1).max(1);
            list.last
        };
        let made = Arc::new(thing(id)?);
        let mut list = lock(&self.0);
        // Now and then, what is gone is forgotten.
        if id.is_power_of_two() || id.is_multiple_of(1024) {
            list.live.retain(|_, thing| thing.strong_count() > 0);
        }
        list.live.insert(id, Arc::downgrade(&made));
        Ok(made)
    }

    /// Puts another thing in the place of one.
    fn replace(&self, id: u32, thing: &Arc<T>) {
        lock(&self.0).live.insert(id, Arc::downgrade(thing));
    }

    /// The thing with an id.
    pub(crate) fn by_id(&self, id: u32) -> Option<Arc<T>> {
        lock(&self.0).live.get(&id)?.upgrade()
    }

    /// The id after `id`.
    pub(crate) fn after(&self, id: u32) -> Option<u32> {
        let list = lock(&self.0);
        let mut later = list.live.range(id.checked_add(1)?..);
        later.find_map(|(id, thing)| (thing.strong_count() > 0).then_some(*id))
    }

    /// All that live, by id.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let list = lock(&self.0);
        list.live.values().filter_map(Weak::upgrade).collect()
    }
}

/// The things of a machine.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) files: Arc<Files>,
    pub(crate) maps: Ids<Map>,
    pub(crate) programs: Ids<Program>,
    pub(crate) btf: Ids<BtfObject>,
    pub(crate) links: Ids<Link>,
    /// The machine's own types: BTF number 1. Types are added to it, and none is ever changed.
    own: ArcSwapOption<BtfObject>,
    pub(crate) pins: Mutex<BTreeMap<PathBuf, Object>>,
    /// Run times are counted as long as somebody wants that.
    pub(crate) statistics: Arc<()>,
}

impl Registry {
    /// That of a new machine, whose hooks these watch.
    pub(crate) fn new(watchers: Arc<Watchers>) -> Self {
        let btf = Ids::default();
        let own = Btf::parse(super::types::BYTES).ok();
        let own = own.map(|types| {
            btf.make(|id| BtfObject {
                id,
                name: "vmlinux".to_owned(),
                kernel: true,
                btf: Arc::new(types),
            })
        });
        Self {
            files: Arc::new(Files::new(watchers)),
            maps: Ids::default(),
            programs: Ids::default(),
            btf,
            links: Ids::default(),
            own: ArcSwapOption::new(own),
            pins: Mutex::default(),
            statistics: Arc::default(),
        }
    }
}

impl Registry {
    /// The machine's own types.
    pub(crate) fn own(&self) -> Option<Arc<BtfObject>> {
        self.own.load_full()
    }

    /// Puts types in the place of the machine's own, which begin with those. Whoever calls this
    /// sees to it that nobody else does at the same time.
    ///
    /// # Errors
    /// What `add` says; `EINVAL` for what is no BTF.
    pub(crate) fn extend_types<T>(
        &self,
        add: impl FnOnce(&Btf) -> Result<(Vec<u8>, T), Errno>,
    ) -> Result<T, Errno> {
        let own = self.own().ok_or(Errno::ENOENT)?;
        let (bytes, answer) = add(&own.btf)?;
        let extended = Arc::new(BtfObject {
            id: own.id,
            name: own.name.clone(),
            kernel: true,
            btf: Arc::new(Btf::parse(bytes).map_err(|_| Errno::EINVAL)?),
        });
        self.btf.replace(own.id, &extended);
        self.own.store(Some(extended));
        Ok(answer)
    }

    /// Whether run times are counted.
    pub(crate) fn counts(&self) -> bool {
        Arc::strong_count(&self.statistics) > 1
    }

    /// Counts run times while it is open.
    pub(crate) fn count(&self) -> Result<StatsFd, Errno> {
        let wanted: Arc<dyn Any + Send + Sync> = Arc::clone(&self.statistics) as _;
        self.files.open(Object::Other(wanted)).map(StatsFd::new)
    }
}

/// A name as hosts keep it: its first 15 bytes, with `_` for what is no letter, digit, `_` or `.`.
pub(crate) fn object_name(name: &str) -> String {
    const KEPT: usize = 15;
    let kept = |byte: u8| match byte {
        b'_' | b'.' => char::from(byte),
        byte if byte.is_ascii_alphanumeric() => char::from(byte),
        _ => '_',
    };
    name.bytes().take(KEPT).map(kept).collect()
}

/// Maps that a program can use.
pub(crate) const MOST_MAPS: usize = limits::MAPS as usize;
