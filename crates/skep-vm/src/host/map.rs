//! The commands on maps. Every buffer is measured against the map before its type sees it.

use std::sync::{Arc, Weak, atomic::Ordering::SeqCst};

use skep_abi::{Command, MapCreateFlags, MapProperties, MapType, MapUpdateFlags};
use skep_host::{BtfFd, Cause, Descriptor, Errno, Error, MapBtf, MapCreate, MapFd, Result};

use crate::{
    Vm,
    machine::{BtfObject, Object, Rights, object_name},
    map::{
        FieldKind, Fields, Keeper, Kind, Map, MapTypes, Shape, StructOps, Used, check_types,
        create as make, settle,
    },
    memory::View,
    vm::Shared,
};

type Raw<T> = std::result::Result<T, Errno>;

/// Flags that hosts set themselves, for what the request says otherwise.
const TOLD_OTHERWISE: MapCreateFlags = MapCreateFlags::NUMA_NODE
    .union(MapCreateFlags::TOKEN_FD)
    .union(MapCreateFlags::VTYPE_BTF_OBJ_FD);

/// `NUMA_NO_NODE`
const NO_NODE: u32 = u32::MAX;

pub(super) fn create(vm: &Vm, request: &MapCreate<'_>) -> Result<MapFd> {
    created(vm, request).map_err(|(errno, cause)| {
        let object = format!("map `{}`", request.name);
        let cause = cause.or_else(|| request.too_large(errno));
        Error::command(Command::MapCreate, object, errno).because(cause)
    })
}

fn created(vm: &Vm, request: &MapCreate<'_>) -> std::result::Result<MapFd, (Errno, Option<Cause>)> {
    let bare = |errno| (errno, None);
    let said = |errno, text: &str| (errno, Some(Cause::Said(text.to_owned())));
    let name = object_name(request.name);
    let rights = rights(request.flags).map_err(bare)?;
    if request.flags.intersects(TOLD_OTHERWISE) {
        return Err(bare(Errno::EINVAL));
    }
    if request.ifindex != 0 {
        return Err(said(
            Errno::EINVAL,
            "the vm has no device to offload a map to",
        ));
    }
    if !matches!(request.numa_node, None | Some(0 | NO_NODE)) {
        return Err(said(Errno::EINVAL, "the vm has one NUMA node, number 0"));
    }
    let rules = request.map_type.rules();
    let typed = request
        .btf
        .is_some_and(|btf| btf.key_type != 0 && btf.value_type != 0);
    if rules.properties.contains(MapProperties::NEEDS_BTF) && !typed {
        return Err(said(Errno::EINVAL, "it needs the types of key and value"));
    }
    let of_kernel = request.btf.filter(|btf| btf.kernel_value_type != 0);
    let fits = of_kernel.is_none_or(|btf| {
        request.map_type == MapType::StructOps && btf.key_type == 0 && btf.value_type == 0
    });
    let only_key = request
        .btf
        .is_some_and(|btf| btf.key_type != 0 && btf.value_type == 0);
    // A flag says that there is one, which other types do not know.
    let kernel_types = request.btf.is_some_and(|btf| btf.kernel_btf.is_some());
    let for_nothing = kernel_types && request.map_type != MapType::StructOps;
    let no_value = request.map_type == MapType::StructOps && of_kernel.is_none();
    if !fits || only_key || for_nothing || no_value {
        return Err(bare(Errno::EINVAL));
    }
    let mut shape = shape(vm, request).map_err(bare)?;
    settle(&mut shape).map_err(bare)?;
    // Where no type is named, nobody looks at the descriptor.
    let named = |btf: &MapBtf<'_>| btf.value_type != 0 || btf.kernel_value_type != 0;
    let types = request.btf.filter(named).map(|btf| types(vm, btf));
    let types = types.transpose().map_err(bare)?;
    if let Some(types) = &types {
        shape.fields = fields(vm, &shape, types).map_err(bare)?;
    }
    let too_large = |errno| said(errno, "the vm's limit of memory for maps");
    vm.0.memory.has_room(&shape).map_err(too_large)?;
    let kind = match shape.map_type {
        MapType::StructOps => struct_ops(vm, request, &shape)?,
        _ => make(shape.clone()).map_err(bare)?,
    };
    let charge = vm.0.memory.charge(&shape, &*kind);
    let charge = charge.map_err(too_large)?;
    let map = vm.0.registry.maps.make(|id| Map {
        types,
        charge: Some(charge),
        exclusive: request.exclusive.copied(),
        ..Map::new(id, name, shape, kind)
    });
    if let Some(ops) = map.of::<StructOps>() {
        ops.is_in(&map);
    }
    open(vm, map, rights).map_err(bare)
}

/// The operations of a map of programs, by the type of its value.
fn struct_ops(
    vm: &Vm,
    request: &MapCreate<'_>,
    shape: &Shape,
) -> std::result::Result<Box<dyn Kind>, (Errno, Option<Cause>)> {
    let bare = |errno| (errno, None);
    let types = request.btf.filter(|btf| btf.kernel_value_type != 0);
    let types = types.ok_or(bare(Errno::EINVAL))?;
    let of_module = match types.kernel_btf {
        Some(btf) => !btf_object(vm, btf).map_err(bare)?.kernel,
        None => false,
    };
    if of_module {
        return Err(bare(Errno::EINVAL));
    }
    let ops = vm.0.struct_ops.by_value(types.kernel_value_type);
    let ops = ops.ok_or_else(|| {
        let text = "its value's type is no struct that was defined: Vm::define_struct_ops";
        (Errno::ENOTSUPP, Some(Cause::Said(text.to_owned())))
    })?;
    let kind = StructOps::new(ops, shape).map_err(bare)?;
    Ok(Box::new(kind))
}

fn shape(vm: &Vm, request: &MapCreate<'_>) -> Raw<Shape> {
    let outer = matches!(request.map_type, MapType::ArrayOfMaps | MapType::HashOfMaps);
    let inner = match request.inner_map.filter(|_| outer) {
        Some(inner) => Some(Arc::new(map(vm, inner)?.0.shape.clone())),
        None => None,
    };
    Ok(Shape {
        map_type: request.map_type,
        key_size: request.key_size,
        value_size: request.value_size,
        max_entries: request.max_entries,
        flags: match request.numa_node {
            Some(_) => request.flags | MapCreateFlags::NUMA_NODE,
            None => request.flags,
        },
        map_extra: request.map_extra,
        on_node: request.numa_node.is_some_and(|node| node != NO_NODE),
        cpus: vm.0.cpus.count(),
        fields: Fields::default(),
        inner,
        files: Arc::clone(&vm.0.registry.files),
        machine: vm.0.me.clone(),
    })
}

/// The special fields of a map's values, and what frees them.
fn fields(vm: &Vm, shape: &Shape, types: &MapTypes) -> Raw<Fields> {
    if types.btf.kernel {
        return Err(Errno::EACCES);
    }
    let fields = check_types(shape, &types.btf.btf, types.key, types.value)?;
    Ok(match fields.is_empty() {
        true => fields,
        false => fields.kept_by(Arc::new(Keep(Arc::downgrade(&vm.0)))),
    })
}

/// Frees what values of maps hold, for as long as there is a machine.
struct Keep(Weak<Shared>);

impl Keeper for Keep {
    fn free(&self, value: View<'_>, fields: &Fields) {
        let Some(machine) = self.0.upgrade() else {
            return;
        };
        machine.objects.free_fields(value, fields);
        machine.timers.free_fields(value, fields);
    }

    fn users_gone(&self, map: &Map) {
        if let Some(machine) = self.0.upgrade() {
            machine.timers.free_map(map);
        }
    }
}

fn types(vm: &Vm, btf: MapBtf<'_>) -> Raw<MapTypes> {
    Ok(MapTypes {
        btf: btf_object(vm, btf.btf)?,
        key: btf.key_type,
        value: btf.value_type,
        kernel_value: btf.kernel_value_type,
    })
}

/// What user space may do, by the flags of creation or opening.
fn rights(flags: MapCreateFlags) -> Raw<Rights> {
    let read_only = flags.contains(MapCreateFlags::RDONLY);
    let write_only = flags.contains(MapCreateFlags::WRONLY);
    if read_only && write_only {
        return Err(Errno::EINVAL);
    }
    Ok(Rights {
        read: !write_only,
        write: !read_only,
    })
}

/// Opens a map once more.
pub(super) fn open(vm: &Vm, map: Arc<Map>, rights: Rights) -> Raw<MapFd> {
    vm.0.registry
        .files
        .open(Object::Map(Used::new(map), rights))
        .map(MapFd::new)
}

/// The BTF behind a descriptor.
pub(super) fn btf_object(vm: &Vm, btf: &BtfFd) -> Raw<Arc<BtfObject>> {
    match vm.0.registry.files.object(btf.descriptor())? {
        Object::Btf(btf) => Ok(Arc::clone(btf)),
        _ => Err(Errno::EINVAL),
    }
}

/// The map behind a descriptor, and what may be done with it.
#[inline]
pub(super) fn map<'m>(vm: &Vm, map: &'m MapFd) -> Raw<(&'m Arc<Map>, Rights)> {
    behind(vm, map.descriptor())
}

#[inline]
fn behind<'m>(vm: &Vm, descriptor: &'m Descriptor) -> Raw<(&'m Arc<Map>, Rights)> {
    match vm.0.registry.files.object(descriptor)? {
        Object::Map(map, rights) => Ok((map, *rights)),
        _ => Err(Errno::EINVAL),
    }
}

/// The map by name, for errors.
pub(super) fn describe(vm: &Vm, descriptor: &MapFd) -> String {
    match map(vm, descriptor) {
        Ok((map, _)) if !map.name.is_empty() => format!("map `{}`", map.name),
        Ok((map, _)) => format!("map {}", map.id),
        Err(_) => format!("map descriptor {}", descriptor.raw()),
    }
}

/// A refused command on a map.
#[cold]
pub(super) fn failed(vm: &Vm, command: Command, descriptor: &MapFd, errno: Errno) -> Error {
    let cause = map(vm, descriptor)
        .ok()
        .and_then(|(map, rights)| cause(map, rights, errno));
    Error::command(command, describe(vm, descriptor), errno).because(cause)
}

fn cause(map: &Map, rights: Rights, errno: Errno) -> Option<Cause> {
    let other = |what: String, fix: &str| {
        let fix = fix.to_owned();
        Some(Cause::Other { what, fix })
    };
    match errno {
        Errno::EPERM if map.frozen.load(SeqCst) => other(
            "the map is frozen: user space can't write to it any more".into(),
            "write before it is frozen",
        ),
        Errno::EPERM if !rights.write => other(
            "the descriptor is for reading only".into(),
            "open the map without BPF_F_RDONLY",
        ),
        Errno::EPERM if !rights.read => other(
            "the descriptor is for writing only".into(),
            "open the map without BPF_F_WRONLY",
        ),
        Errno::E2BIG => other(
            format!("the map is full: it has {} entries", map.shape.max_entries),
            "make it larger, delete what is old, or use an LRU map",
        ),
        Errno::ENOTSUPP | Errno::EOPNOTSUPP => other(
            format!(
                "maps of type {} don't have this operation",
                map.shape.map_type
            ),
            "use another one",
        ),
        _ => None,
    }
}

fn check(vm: &Vm, map: &MapFd, what: &str, have: usize, need: usize) -> Result<()> {
    if have == need {
        return Ok(());
    }
    Err(Error::Request {
        object: describe(vm, map),
        reason: format!("the {what} has {have} bytes where the map's has {need}"),
    })
}

/// Bytes of the value that a command with these flags takes.
pub(super) fn value_size(map: &Map, flags: u64) -> usize {
    // These make a per-CPU command one of a single value.
    let single = MapUpdateFlags::CPU | MapUpdateFlags::ALL_CPUS;
    if MapUpdateFlags::from_bits_retain(flags).intersects(single) {
        map.shape.value_size as usize
    } else {
        map.kind.user_value_size()
    }
}

/// What holds for the flags of elements in all commands; `allowed` are those of the command.
///
/// # Errors
/// `EINVAL`, and `ERANGE` for a CPU that is none.
pub(super) fn check_flags(map: &Map, flags: u64, allowed: MapUpdateFlags) -> Raw<()> {
    let known = MapUpdateFlags::from_bits_retain(flags & u64::from(u32::MAX));
    let cpu = flags >> 32;
    if !allowed.contains(known) {
        return Err(Errno::EINVAL);
    }
    let has_lock = map.shape.fields.find(FieldKind::SpinLock).is_some();
    if known.contains(MapUpdateFlags::LOCK) && !has_lock {
        return Err(Errno::EINVAL);
    }
    if !known.contains(MapUpdateFlags::CPU) && cpu != 0 {
        return Err(Errno::EINVAL);
    }
    let of_cpus = known & (MapUpdateFlags::CPU | MapUpdateFlags::ALL_CPUS);
    if of_cpus.is_empty() {
        return Ok(());
    }
    if !map.shape.map_type.is_per_cpu() || of_cpus.bits().count_ones() > 1 {
        return Err(Errno::EINVAL);
    }
    match cpu < u64::from(map.shape.cpus) {
        true => Ok(()),
        false => Err(Errno::ERANGE),
    }
}

/// `Ok(false)` for the answer that says "not there".
fn there(vm: &Vm, command: Command, map: &MapFd, answer: Raw<()>) -> Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(failed(vm, command, map, errno)),
    }
}

/// The map, if user space may read it.
#[inline]
pub(super) fn readable<'m>(vm: &Vm, command: Command, fd: &'m MapFd) -> Result<&'m Arc<Map>> {
    match map(vm, fd) {
        Ok((map, Rights { read: true, .. })) => Ok(map),
        Ok(_) => Err(failed(vm, command, fd, Errno::EPERM)),
        Err(errno) => Err(failed(vm, command, fd, errno)),
    }
}

/// The map, if user space may write to it.
#[inline]
pub(super) fn writable<'m>(vm: &Vm, command: Command, fd: &'m MapFd) -> Result<&'m Arc<Map>> {
    match map(vm, fd) {
        Ok((map, Rights { write: true, .. })) if !map.frozen.load(SeqCst) => Ok(map),
        Ok(_) => Err(failed(vm, command, fd, Errno::EPERM)),
        Err(errno) => Err(failed(vm, command, fd, errno)),
    }
}

pub(super) fn lookup(
    vm: &Vm,
    fd: &MapFd,
    key: &[u8],
    value: &mut [u8],
    flags: u64,
) -> Result<bool> {
    let command = Command::MapLookupElem;
    if flags & !MapUpdateFlags::LOCK.bits() != 0 && flags & MapUpdateFlags::CPU.bits() == 0 {
        return Err(failed(vm, command, fd, Errno::EINVAL));
    }
    let map = readable(vm, command, fd)?;
    check(vm, fd, "key", key.len(), map.shape.key_size as usize)?;
    check(vm, fd, "value", value.len(), value_size(map, flags))?;
    let answer = check_flags(map, flags, MapUpdateFlags::LOCK | MapUpdateFlags::CPU)
        .and_then(|()| map.kind.user_lookup(key, value, flags));
    there(vm, command, fd, answer)
}

pub(super) fn take(vm: &Vm, fd: &MapFd, key: &[u8], value: &mut [u8], flags: u64) -> Result<bool> {
    let command = Command::MapLookupAndDeleteElem;
    if flags & !MapUpdateFlags::LOCK.bits() != 0 {
        return Err(failed(vm, command, fd, Errno::EINVAL));
    }
    let map = readable(vm, command, fd)?;
    writable(vm, command, fd)?;
    check(vm, fd, "key", key.len(), map.shape.key_size as usize)?;
    check(vm, fd, "value", value.len(), value_size(map, flags))?;
    let queue = matches!(map.shape.map_type, MapType::Queue | MapType::Stack);
    let answer = match check_flags(map, flags, MapUpdateFlags::LOCK) {
        Ok(()) if queue && flags != 0 => Err(Errno::EINVAL),
        Ok(()) => map.kind.user_take(key, value, flags),
        Err(errno) => Err(errno),
    };
    there(vm, command, fd, answer)
}

pub(super) fn update(vm: &Vm, fd: &MapFd, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
    let command = Command::MapUpdateElem;
    let map = writable(vm, command, fd)?;
    check(vm, fd, "key", key.len(), map.shape.key_size as usize)?;
    check(vm, fd, "value", value.len(), value_size(map, flags))?;
    let answer = check_flags(map, flags, MapUpdateFlags::from_bits_retain(u64::MAX))
        .and_then(|()| map.kind.user_update(key, value, flags));
    answer.map_err(|errno| failed(vm, command, fd, errno))
}

pub(super) fn delete(vm: &Vm, fd: &MapFd, key: &[u8]) -> Result<bool> {
    let command = Command::MapDeleteElem;
    let map = writable(vm, command, fd)?;
    check(vm, fd, "key", key.len(), map.shape.key_size as usize)?;
    there(vm, command, fd, map.kind.user_delete(key))
}

pub(super) fn next_key(vm: &Vm, fd: &MapFd, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
    let command = Command::MapGetNextKey;
    let map = readable(vm, command, fd)?;
    if let Some(key) = key {
        check(vm, fd, "key", key.len(), map.shape.key_size as usize)?;
    }
    check(vm, fd, "next key", next.len(), map.shape.key_size as usize)?;
    there(vm, command, fd, map.kind.user_next_key(key, next))
}

pub(super) fn freeze(vm: &Vm, fd: &MapFd) -> Result<()> {
    let command = Command::MapFreeze;
    let refuse = |errno| failed(vm, command, fd, errno);
    let (map, rights) = map(vm, fd).map_err(refuse)?;
    if map.shape.map_type == MapType::StructOps || map.shape.fields.iter().next().is_some() {
        return Err(refuse(Errno::ENOTSUPP));
    }
    if !rights.write || map.frozen.load(SeqCst) {
        return Err(refuse(Errno::EPERM));
    }
    // A mapping that begins now sees the mark, or is seen here.
    if map.frozen.swap(true, SeqCst) {
        return Err(refuse(Errno::EBUSY));
    }
    if map.writers.load(SeqCst) > 0 {
        map.frozen.store(false, SeqCst);
        return Err(refuse(Errno::EBUSY));
    }
    Ok(())
}
