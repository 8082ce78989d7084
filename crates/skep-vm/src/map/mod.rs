//! Maps: what all types have in common, and the trait that each implements in a file of its own.
//!
//! Programs reach a map's memory by address and without locks; user space copies in and out. A
//! map's memory stays where it is for as long as the map lives, and a run keeps alive what it
//! uses, so an address that a program was given stays good until the run ends. As in the kernel,
//! an element that was deleted may be used again for another key while a program still holds it.

mod arena;
mod array;
mod bias;
mod bloom;
mod cgroup_storage;
mod cgroups;
mod create;
mod fields;
mod hash;
mod held;
mod insn_array;
mod lpm;
mod lru;
mod perf;
mod pool;
mod queue;
mod ring;
mod signal;
mod slab;
mod slots;
mod sockets;
mod special;
mod spin;
mod stack_trace;
mod storage;
mod struct_ops;
mod table;
mod targets;
#[cfg(test)]
mod tests;
mod things;
mod types;

use std::{
    any::Any,
    fmt,
    ops::ControlFlow,
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{AcqRel, Relaxed},
        },
    },
};

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{Access, Errno};
use zerocopy::IntoBytes as _;

use crate::{
    engine::ArrayValues,
    machine::{BtfObject, Charge, Files, MapMemory},
    memory::View,
    program::Program,
    vm::Shared,
};

pub(crate) use arena::{Arena, BYTES as ARENA_BYTES, GUARD as ARENA_GUARD, WINDOW as ARENA_WINDOW};
pub(crate) use array::Array;
pub(crate) use cgroup_storage::{CgroupStorage, Entry as CgroupEntry, Prepared as CgroupEntries};
pub(crate) use cgroups::CgroupArray;
pub(crate) use create::{create, settle};
pub(crate) use fields::{Field, FieldKind, Fields, Keeper};
pub(crate) use held::ProgArray;
pub(crate) use insn_array::{Claim, InsnArray};
pub(crate) use perf::{PerfEvent, PerfEventArray};
pub(crate) use ring::{Drain, Ring, UserRing, flags as ring_flags};
pub(crate) use signal::{Listener, Signal, Waitable};
pub(crate) use sockets::Sockets;
pub(crate) use special::special_fields;
pub(crate) use stack_trace::{DEPTH as STACK_DEPTH, StackTraces, encode as encode_stack};
pub(crate) use storage::LocalStorage;
pub(crate) use struct_ops::StructOps;
pub(crate) use targets::{Target, Targets};
pub(crate) use types::check_types;

/// What a map was created with.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) map_type: MapType,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: MapCreateFlags,
    pub(crate) map_extra: u64,
    /// Its memory is asked for on a node: `NUMA_NO_NODE` is none.
    pub(crate) on_node: bool,
    /// Virtual CPUs of the machine, for values of each.
    pub(crate) cpus: u32,
    /// What of its value is more than bytes.
    pub(crate) fields: Fields,
    /// The shape of the inner maps, for maps of maps.
    pub(crate) inner: Option<Arc<Shape>>,
    /// The machine's descriptors, for values that users give as descriptors.
    pub(crate) files: Arc<Files>,
    /// The machine, for values that stand for what it has.
    pub(crate) machine: Weak<Shared>,
}

impl Shape {
    /// What the machine's maps may take, if it is on one.
    fn memory(&self) -> Option<Arc<MapMemory>> {
        let machine = self.machine.upgrade();
        machine.map(|machine| Arc::clone(&machine.memory))
    }

    /// Bytes of a value in memory: rounded up to 8.
    pub(crate) fn value_stride(&self) -> usize {
        (self.value_size as usize).next_multiple_of(8)
    }

    /// Programs may store to its values.
    pub(crate) fn writable_by_programs(&self) -> bool {
        !self.flags.contains(MapCreateFlags::RDONLY_PROG)
    }

    /// Programs may load from its values.
    pub(crate) fn readable_by_programs(&self) -> bool {
        !self.flags.contains(MapCreateFlags::WRONLY_PROG)
    }

    /// Whether an update's or lookup's flags make it one of a single CPU's value, and of which.
    pub(crate) fn single_cpu(flags: u64) -> Option<u32> {
        (flags & F_CPU != 0).then_some((flags >> 32) as u32)
    }
}

#[cfg(test)]
impl Shape {
    /// One for tests, on a machine of two CPUs.
    pub(crate) fn test(map_type: MapType, key: u32, value: u32, entries: u32) -> Self {
        Self {
            map_type,
            key_size: key,
            value_size: value,
            max_entries: entries,
            flags: MapCreateFlags::empty(),
            map_extra: 0,
            on_node: false,
            cpus: 2,
            fields: Fields::default(),
            inner: None,
            files: Arc::new(Files::new(Arc::default())),
            machine: Weak::new(),
        }
    }
}

/// A map of the machine.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) kind: Box<dyn Kind>,
    /// User space can't write any more.
    pub(crate) frozen: AtomicBool,
    /// Writable mappings by users, which forbid freezing.
    pub(crate) writers: AtomicU32,
    /// Descriptors and pins.
    pub(crate) users: AtomicU32,
    /// The types of key and value.
    pub(crate) types: Option<MapTypes>,
    /// What it takes of the machine's memory.
    #[expect(dead_code, reason = "held, to be given back with the map")]
    pub(crate) charge: Option<Charge>,
    /// The SHA-256 of the instructions of the one program that may use it.
    pub(crate) exclusive: Option<[u8; 32]>,
}

/// A map that user space holds, by a descriptor or a pin.
#[derive(Debug)]
pub(crate) struct Used(Arc<Map>);

impl Used {
    pub(crate) fn new(map: Arc<Map>) -> Self {
        map.users.fetch_add(1, Relaxed);
        Self(map)
    }
}

impl Clone for Used {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        if self.0.users.fetch_sub(1, AcqRel) == 1 {
            self.0.kind.users_gone();
            self.0.shape.fields.users_gone(&self.0);
        }
    }
}

impl std::ops::Deref for Used {
    type Target = Arc<Map>;

    fn deref(&self) -> &Arc<Map> {
        &self.0
    }
}

/// The types of a map's key and value.
#[derive(Debug, Clone)]
pub(crate) struct MapTypes {
    pub(crate) btf: Arc<BtfObject>,
    pub(crate) key: u32,
    pub(crate) value: u32,
    /// For struct_ops: the value's type in the machine's BTF, else 0.
    pub(crate) kernel_value: u32,
}

impl Map {
    /// A map without BTF.
    pub(crate) fn new(id: u32, name: String, shape: Shape, kind: Box<dyn Kind>) -> Self {
        Self {
            id,
            name,
            shape,
            kind,
            frozen: AtomicBool::new(false),
            writers: AtomicU32::new(0),
            users: AtomicU32::new(0),
            types: None,
            charge: None,
            exclusive: None,
        }
    }
}

impl Map {
    /// Its type's own operations, if it is of this type.
    #[inline]
    pub(crate) fn of<K: Kind>(&self) -> Option<&K> {
        let kind: &dyn Any = &*self.kind;
        kind.downcast_ref()
    }
}

/// Waiting for a map of a type that can't be waited for ends at once, as in the kernel.
impl Waitable for Map {
    fn signal(&self) -> &Signal {
        static NEVER: Signal = Signal::new();
        self.kind.waitable().map_or(&NEVER, Waitable::signal)
    }

    fn readable(&self) -> bool {
        self.kind.waitable().is_none_or(Waitable::readable)
    }

    fn writable(&self) -> bool {
        self.kind.waitable().is_none_or(Waitable::writable)
    }
}

/// A range of addresses that programs may use, as one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) writable: bool,
}

/// A batch of a hash map.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// The bucket to begin with; afterwards the one to go on with.
    pub(crate) position: u32,
    /// Room for `room` keys.
    pub(crate) keys: &'a mut [u8],
    /// Room for `room` values.
    pub(crate) values: &'a mut [u8],
    /// Bytes of a value here.
    pub(crate) value_size: usize,
    pub(crate) room: u32,
    pub(crate) flags: u64,
    /// Take entries out.
    pub(crate) take: bool,
    /// How many there are now.
    pub(crate) count: u32,
    /// No bucket is left.
    pub(crate) end: bool,
}

/// An entry as `for_each` shows it: the addresses of key and value.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(View<'_>, View<'_>) -> ControlFlow<()>;

/// The rules of a map type. Errors are the kernel's numbers.
///
/// Keys and values of programs are views of exactly the map's sizes; those of users are slices
/// whose lengths the caller has checked (values of per-CPU maps: one of each CPU, each rounded up
/// to 8 bytes). What a type has no word on answers as the kernel does for a type without the
/// operation.
pub(crate) trait Kind: Any + Send + Sync + fmt::Debug {
    // ── programs ────────────────────────────────────────────────────────────────────────────

    /// The value of a key, on this CPU where each has one.
    fn lookup(&self, _cpu: u32, _key: View<'_>) -> Option<View<'_>> {
        None
    }

    /// Where its values are, if they are side by side as long as it is there, and a lookup is
    /// nothing but finding one.
    fn values(&self) -> Option<ArrayValues> {
        None
    }

    /// Sets a value, on this CPU where each has one.
    fn update(
        &self,
        _cpu: u32,
        _key: View<'_>,
        _value: View<'_>,
        _flags: u64,
    ) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// The same by a run that was given no value of this map yet: it can't tell whether its
    /// memory changes or another takes its place.
    fn update_unseen(
        &self,
        cpu: u32,
        key: View<'_>,
        value: View<'_>,
        flags: u64,
    ) -> Result<(), Errno> {
        self.update(cpu, key, value, flags)
    }

    /// Deletes an entry.
    fn delete(&self, _key: View<'_>) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// Puts a value into a queue, stack or bloom filter.
    fn push(&self, _value: View<'_>, _flags: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Takes a value out of a queue or stack.
    fn pop(&self, _value: View<'_>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Looks at the next value of a queue or stack; of a bloom filter: whether it may have it.
    fn peek(&self, _value: View<'_>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Shows entries, values as this CPU sees them, until told to break; answers how many.
    fn for_each(&self, _cpu: u32, _visit: Visit<'_>) -> Result<u32, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The address of byte `offset` of the only value, for `ld_imm64`.
    fn direct_value(&self, _offset: u32) -> Result<u64, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The region of an address that lies in this map's memory. In checked mode every access that
    /// is not in the run's own memory asks this.
    fn region(&self, _address: u64) -> Option<Range> {
        None
    }

    /// The map inside an entry of a map of maps.
    fn inner(&self, _key: View<'_>) -> Option<Arc<Map>> {
        None
    }

    /// The program in a slot of a program array.
    fn program(&self, _index: u32) -> Option<Arc<Program>> {
        None
    }

    // ── user space ──────────────────────────────────────────────────────────────────────────

    /// Copies a value out; `ENOENT` when the key is not there.
    fn user_lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno>;

    /// Sets a value.
    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno>;

    /// Deletes an entry.
    fn user_delete(&self, key: &[u8]) -> Result<(), Errno>;

    /// The key behind `key`, or the first for `None`; `ENOENT` at the end.
    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno>;

    /// Takes an entry out.
    fn user_take(&self, _key: &[u8], _value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// Copies whole groups of entries out, from a numbered one on, and with `take` takes them out
    /// of the map; `None` for types whose batches go from key to key.
    fn user_batch(&self, _batch: &mut Batch<'_>) -> Option<Result<(), Errno>> {
        None
    }

    /// Bytes of a value as users see it.
    fn user_value_size(&self) -> usize;

    /// The part of its memory that users map; the caller keeps the map alive.
    fn mappable(&self, _offset: u64, _len: usize, _access: Access) -> Result<View<'_>, Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// What to wait for.
    fn waitable(&self) -> Option<&dyn Waitable> {
        None
    }

    /// No descriptor and no pin is left: only programs and maps of maps still have it.
    fn users_gone(&self) {}

    /// Bytes of memory that it takes, roughly.
    fn memory_used(&self) -> u64;
}

/// `BPF_NOEXIST`
pub(crate) const NOEXIST: u64 = 1;
/// `BPF_EXIST`
pub(crate) const EXIST: u64 = 2;
/// `BPF_F_LOCK`
pub(crate) const LOCK: u64 = 4;

/// `BPF_F_CPU`: only the value of the CPU in the upper half.
pub(crate) const F_CPU: u64 = 8;
/// `BPF_F_ALL_CPUS`: one value for all CPUs.
pub(crate) const F_ALL_CPUS: u64 = 16;

/// Shows bytes of a user as a view, whose words are aligned.
fn with_view<T>(bytes: &[u8], show: impl FnOnce(View<'_>) -> T) -> T {
    let mut few = [0_u64; 8];
    let mut many = Vec::new();
    let words = match bytes.len() {
        0..=64 => &mut few[..],
        len => {
            many.resize(len.div_ceil(8), 0);
            &mut many[..]
        }
    };
    let copy = &mut words.as_mut_bytes()[..bytes.len()];
    copy.copy_from_slice(bytes);
    show(View::of(copy))
}

/// The index that a user's key is.
fn index(key: &[u8]) -> Result<u32, Errno> {
    let bytes = key.first_chunk().ok_or(Errno::EINVAL)?;
    Ok(u32::from_ne_bytes(*bytes))
}

/// `get_next_key` of array-like maps: an index that is none starts from the beginning.
fn next_index(entries: u32, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
    let index = match key.map(index).transpose()? {
        Some(index) if index < entries => index + 1,
        _ => 0,
    };
    if index >= entries {
        return Err(Errno::ENOENT);
    }
    next.copy_from_slice(&index.to_ne_bytes());
    Ok(())
}

/// The flags of an update that every type refuses in the same way.
fn check_update_flags(flags: u64, fields: &Fields) -> Result<(), Errno> {
    if flags & !LOCK > EXIST {
        return Err(Errno::EINVAL);
    }
    if flags & LOCK != 0 && fields.find(FieldKind::SpinLock).is_none() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
