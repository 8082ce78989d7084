//! Memory of maps and events, mapped by users.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{Access, Errno, Error, MapFd, Memory, PerfOutput, Result};

use crate::{
    Vm,
    machine::{Object, Rights},
    map::{Arena, Map, PerfEvent},
    memory::{PAGE, Shared},
};

/// A map that somebody can write to through mapped memory: it can't be frozen.
#[derive(Debug)]
struct Writer(Arc<Map>);

impl Writer {
    fn new(map: Arc<Map>) -> std::result::Result<Self, Errno> {
        map.writers.fetch_add(1, SeqCst);
        let writer = Self(map);
        match writer.0.frozen.load(SeqCst) {
            true => Err(Errno::EPERM),
            false => Ok(writer),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, SeqCst);
    }
}

/// Maps a part of a map's memory: `Host::map_memory`.
pub(super) fn of_map(
    vm: &Vm,
    fd: &MapFd,
    offset: u64,
    len: usize,
    access: Access,
) -> Result<Box<dyn Memory>> {
    let found = vm.0.registry.files.object(fd.descriptor());
    let (name, mapped) = match found {
        Ok(Object::Map(map, rights)) => (
            format!("map `{}`", map.name),
            map_part(map, *rights, offset, len, access),
        ),
        Ok(other) => (
            "no map".to_owned(),
            Err(not_mapped(other, offset, len, access)),
        ),
        Err(errno) => (format!("descriptor {}", fd.raw()), Err(errno)),
    };
    match mapped {
        Ok(memory) => Ok(Box::new(memory)),
        Err(errno) => {
            let object = format!("{len} bytes of {name} at {offset:#x}");
            Err(Error::system("map", object, errno))
        }
    }
}

/// Why what is no map can't be mapped: what a mapping is like is looked at first, then what the file
/// is open for, which is writing for programs alone.
fn not_mapped(object: &Object, offset: u64, len: usize, access: Access) -> Errno {
    let writable = matches!(object, Object::Program(_));
    match access {
        _ if !is_mapping(offset, len) => Errno::EINVAL,
        Access::ReadWrite if !writable => Errno::EACCES,
        _ => Errno::ENODEV,
    }
}

fn is_mapping(offset: u64, len: usize) -> bool {
    len != 0 && offset.is_multiple_of(PAGE as u64)
}

fn map_part(
    map: &Arc<Map>,
    rights: Rights,
    offset: u64,
    len: usize,
    access: Access,
) -> std::result::Result<Shared, Errno> {
    if !is_mapping(offset, len) {
        return Err(Errno::EINVAL);
    }
    if let Some(arena) = map.of::<Arena>() {
        arena.mapping(offset, len)?;
    }
    let writable = access == Access::ReadWrite;
    if !rights.read || (writable && !rights.write) {
        return Err(Errno::EACCES);
    }
    // That a type has no memory to map is said before what is forbidden.
    let mappable = matches!(
        map.shape.map_type,
        MapType::Array | MapType::Ringbuf | MapType::UserRingbuf | MapType::Arena
    );
    if !mappable || map.shape.fields.iter().next().is_some() {
        return Err(Errno::ENOTSUPP);
    }
    // Linux shares no mapping of a file that can't be written to, and maps share all of theirs.
    if !rights.write {
        return Err(Errno::EINVAL);
    }
    if !writable {
        return Shared::new(Arc::clone(map), access, |map| {
            let view = map.kind.mappable(offset, len, access)?;
            view.part(0, len).ok_or(Errno::EINVAL)
        });
    }
    let writer = Writer::new(Arc::clone(map))?;
    if map.shape.flags.contains(MapCreateFlags::RDONLY_PROG) {
        return Err(Errno::EACCES);
    }
    Shared::new(Arc::new(writer), access, |writer| {
        let view = writer.0.kind.mappable(offset, len, access)?;
        view.part(0, len).ok_or(Errno::EINVAL)
    })
}

/// Records that did not fit: `Host::perf_output_lost`.
pub(super) fn perf_output_lost(vm: &Vm, output: &PerfOutput) -> Result<Option<u64>> {
    let found = vm.0.registry.files.object(&output.event);
    let found = found.map_err(|errno| Error::system("read", "a perf output", errno))?;
    let Object::Other(thing) = found else {
        return Ok(None);
    };
    Ok(thing.downcast_ref::<PerfEvent>().map(PerfEvent::all_lost))
}

/// Opens an output event of a CPU: `Host::perf_output`.
pub(super) fn perf_output(vm: &Vm, cpu: u32, pages: usize, wakeup: u32) -> Result<PerfOutput> {
    let object = || format!("the perf output of CPU {cpu}");
    if !pages.is_power_of_two() {
        return Err(Error::Request {
            object: object(),
            reason: format!("its ring has {pages} pages, which is no power of two"),
        });
    }
    let fail = |operation, errno| Error::system(operation, object(), errno);
    if cpu >= vm.0.cpus.count() {
        return Err(fail("open", Errno::ENODEV));
    }
    let event = PerfEvent::new(cpu, pages, wakeup).map_err(|errno| fail("map", errno))?;
    let event = Arc::new(event);
    let memory = Shared::new(Arc::clone(&event), Access::ReadWrite, |event| {
        Ok(event.pages())
    });
    let memory = memory.map_err(|errno| fail("map", errno))?;
    let files = &vm.0.registry.files;
    let event = files
        .open(Object::Other(event))
        .map_err(|errno| fail("open", errno))?;
    Ok(PerfOutput {
        event,
        memory: Box::new(memory),
    })
}
