//! What the machine tells of its things: ids, info, status.

use std::sync::{Arc, atomic::Ordering::Relaxed, atomic::Ordering::SeqCst};

use sha2::{Digest as _, Sha256};
use skep_abi::{Command, MapCreateFlags, MapType, ObjectFlags, ProgramType};
use skep_host::{
    BtfFd, Cause, Errno, Error, LinkFd, MapFd, MapInfo, MapStatus, ObjectId, ProgramDetails,
    ProgramFd, ProgramInfo, ProgramParts, Result, TokenFd,
};
use skep_isa::{Endian, Imm64, Insn, InsnIndex, RawInsn, decode_program, decode_slots};

use super::{btf, link, map, program};
use crate::{
    Vm,
    machine::{Rights, lock},
    map::{Map, ProgArray},
    program::Program,
};

type Raw<T> = std::result::Result<T, Errno>;

/// What user space may do with a map that it opens with these flags.
///
/// # Errors
/// `EINVAL`: other flags, or both at once.
pub(super) fn rights(flags: ObjectFlags) -> Raw<Rights> {
    let both = ObjectFlags::RDONLY | ObjectFlags::WRONLY;
    if !both.contains(flags) || flags == both {
        return Err(Errno::EINVAL);
    }
    Ok(Rights {
        read: flags != ObjectFlags::WRONLY,
        write: flags != ObjectFlags::RDONLY,
    })
}

pub(super) fn next_id(vm: &Vm, id: ObjectId) -> Result<Option<ObjectId>> {
    let registry = &vm.0.registry;
    let (command, number) = match id {
        ObjectId::Program(id) => (Command::ProgGetNextId, id),
        ObjectId::Map(id) => (Command::MapGetNextId, id),
        ObjectId::Btf(id) => (Command::BtfGetNextId, id),
        ObjectId::Link(id) => (Command::LinkGetNextId, id),
    };
    // A kernel calls this number and those above invalid; of those above no host asks it.
    if number == i32::MAX as u32 {
        let object = format!("what comes after {number}");
        return Err(Error::command(command, object, Errno::EINVAL));
    }
    Ok(match id {
        ObjectId::Program(id) => registry.programs.after(id).map(ObjectId::Program),
        ObjectId::Map(id) => registry.maps.after(id).map(ObjectId::Map),
        ObjectId::Btf(id) => registry.btf.after(id).map(ObjectId::Btf),
        ObjectId::Link(id) => registry.links.after(id).map(ObjectId::Link),
    })
}

fn opened<T>(command: Command, kind: &str, id: u32, open: Raw<Option<T>>) -> Result<Option<T>> {
    open.map_err(|errno| Error::command(command, format!("{kind} {id}"), errno))
}

pub(super) fn prog_by_id(vm: &Vm, id: u32) -> Result<Option<ProgramFd>> {
    let found = vm.0.registry.programs.by_id(id);
    let open = found.map(|found| program::open(vm, found)).transpose();
    opened(Command::ProgGetFdById, "program", id, open)
}

pub(super) fn map_by_id(vm: &Vm, id: u32, flags: ObjectFlags) -> Result<Option<MapFd>> {
    let open = rights(flags).and_then(|rights| {
        let found = vm.0.registry.maps.by_id(id);
        found.map(|found| map::open(vm, found, rights)).transpose()
    });
    opened(Command::MapGetFdById, "map", id, open)
}

pub(super) fn btf_by_id(vm: &Vm, id: u32, token: Option<&TokenFd>) -> Result<Option<BtfFd>> {
    let open = match token {
        Some(_) => Err(Errno::EINVAL),
        None => {
            let found = vm.0.registry.btf.by_id(id);
            found.map(|found| btf::open(vm, found)).transpose()
        }
    };
    opened(Command::BtfGetFdById, "btf", id, open)
}

pub(super) fn link_by_id(vm: &Vm, id: u32) -> Result<Option<LinkFd>> {
    let found = vm.0.registry.links.by_id(id);
    let open = found.map(|found| link::open(vm, found)).transpose();
    opened(Command::LinkGetFdById, "link", id, open)
}

/// The map behind a descriptor, whatever may be done with it.
fn any_map<'m>(vm: &Vm, fd: &'m MapFd) -> Result<&'m Arc<Map>> {
    let found = map::map(vm, fd).map(|(map, _)| map);
    found.map_err(|errno| map::failed(vm, Command::ObjGetInfoByFd, fd, errno))
}

pub(super) fn map_info(vm: &Vm, fd: &MapFd) -> Result<MapInfo> {
    let map = any_map(vm, fd)?;
    let types = map.types.as_ref();
    let kernel_value_type = types.map_or(0, |types| types.kernel_value);
    let own = vm.own_btf().map_or(0, |own| own.id);
    Ok(MapInfo {
        id: map.id,
        name: map.name.clone(),
        type_raw: map.shape.map_type.raw(),
        key_size: map.shape.key_size,
        value_size: map.shape.value_size,
        max_entries: map.shape.max_entries,
        // What user space may do is a matter of descriptors.
        flags: (map.shape.flags - (MapCreateFlags::RDONLY | MapCreateFlags::WRONLY)).bits(),
        ifindex: 0,
        btf_id: types.map_or(0, |types| types.btf.id),
        key_type: types.map_or(0, |types| types.key),
        value_type: types.map_or(0, |types| types.value),
        kernel_value_type,
        kernel_btf_id: if kernel_value_type == 0 { 0 } else { own },
        netns_device: 0,
        netns_inode: 0,
        map_extra: map.shape.map_extra,
    })
}

pub(super) fn map_hash(vm: &Vm, fd: &MapFd) -> Result<[u8; 32]> {
    let map = any_map(vm, fd)?;
    let refuse = |errno, what: &str, fix: &str| {
        let (what, fix) = (what.to_owned(), fix.to_owned());
        Err(map::failed(vm, Command::ObjGetInfoByFd, fd, errno)
            .because(Some(Cause::Other { what, fix })))
    };
    if map.shape.map_type != MapType::Array {
        return refuse(
            Errno::EINVAL,
            "only arrays are hashed",
            "ask it of a map of type array",
        );
    }
    if !map.frozen.load(SeqCst) {
        return refuse(
            Errno::EPERM,
            "the map is not frozen, so its contents may still change",
            "freeze it first",
        );
    }
    let mut hash = Sha256::new();
    let mut value = vec![0; map.shape.value_stride()];
    let size = map.shape.value_size as usize;
    for index in 0..map.shape.max_entries {
        let place = value.get_mut(..size).unwrap_or_default();
        let read = map.kind.user_lookup(&index.to_ne_bytes(), place, 0);
        read.map_err(|errno| map::failed(vm, Command::ObjGetInfoByFd, fd, errno))?;
        hash.update(&value);
    }
    Ok(hash.finalize().into())
}

pub(super) fn map_status(vm: &Vm, fd: &MapFd) -> Result<MapStatus> {
    let map = any_map(vm, fd)?;
    let owner = map.of::<ProgArray>().and_then(ProgArray::owner);
    Ok(MapStatus {
        frozen: map.frozen.load(SeqCst),
        memory: map.kind.memory_used(),
        owner_type: owner.map(ProgramType::raw),
        owner_jited: owner.map(|_| vm.0.engine == crate::Engine::Jit),
    })
}

fn any_program<'p>(vm: &Vm, fd: &'p ProgramFd) -> Result<&'p Arc<Program>> {
    program::program(vm, fd).map_err(|errno| {
        let object = program::describe(vm, fd);
        Error::command(Command::ObjGetInfoByFd, object, errno)
    })
}

pub(super) fn prog_info(vm: &Vm, fd: &ProgramFd) -> Result<ProgramInfo> {
    Ok(told(any_program(vm, fd)?))
}

fn told(program: &Program) -> ProgramInfo {
    let meta = &program.meta;
    let counters = &meta.counters;
    let bound = lock(&meta.bound);
    let mut maps: Vec<u32> = Vec::new();
    for map in program.maps.iter().chain(bound.iter()) {
        if !maps.contains(&map.id) {
            maps.push(map.id);
        }
    }
    ProgramInfo {
        id: program.id,
        name: program.name.clone(),
        type_raw: program.program_type.raw(),
        tag: meta.tag,
        loaded_at: meta.loaded_at,
        created_by_uid: rustix::process::getuid().as_raw(),
        maps,
        gpl_compatible: meta.gpl_compatible,
        ifindex: meta.ifindex,
        netns_device: 0,
        netns_inode: 0,
        translated_size: meta.instructions.len() as u32,
        jited_size: program.executable.machine_code().len() as u32,
        btf_id: meta.btf.as_ref().map_or(0, |btf| btf.id),
        run_time: std::time::Duration::from_nanos(counters.time.load(Relaxed)),
        run_count: counters.runs.load(Relaxed),
        recursion_misses: counters.misses.load(Relaxed),
        verified_instructions: meta.verified,
        attach_btf_object: meta.attach_btf.as_ref().map_or(0, |btf| btf.id),
        attach_btf_id: meta.attach_btf_id,
    }
}

pub(super) fn prog_details(vm: &Vm, fd: &ProgramFd, parts: ProgramParts) -> Result<ProgramDetails> {
    let program = any_program(vm, fd)?;
    let meta = &program.meta;
    let machine_code = program.executable.machine_code();
    let slots = decode_slots(&meta.instructions, Endian::NATIVE).unwrap_or_default();
    let compiled = !machine_code.is_empty();
    Ok(ProgramDetails {
        info: told(program),
        translated: parts.translated.then(|| translated(program, &slots)),
        jited: parts.jited.then(|| machine_code.to_vec()),
        // The functions of a program are compiled into one piece.
        symbols: parts.symbols.then(|| match compiled {
            true => vec![machine_code.as_ptr().addr() as u64],
            false => Vec::new(),
        }),
        symbol_lengths: parts.symbols.then(|| match compiled {
            true => vec![machine_code.len() as u32],
            false => Vec::new(),
        }),
        functions: parts.functions.then(|| meta.functions.clone()),
        lines: parts.lines.then(|| meta.lines.clone()),
        jited_lines: parts.jited_lines.then(Vec::new),
        tags: parts.tags.then(|| tags(program, &slots)),
    })
}

/// The instructions with the ids of maps in the place of descriptors.
fn translated(program: &Program, slots: &[RawInsn]) -> Vec<u8> {
    /// `BPF_PSEUDO_MAP_FD` and `BPF_PSEUDO_MAP_VALUE`, in which the kernel shows both.
    const BY_ID: [u8; 2] = [1, 2];
    let mut bytes = program.meta.instructions.clone();
    let mut order = program.meta.references.iter();
    for (at, insn) in decode_program(slots).flatten() {
        let Insn::LoadImm64 { value, .. } = insn else {
            continue;
        };
        let (source, offset) = match value {
            Imm64::MapFd { .. } | Imm64::MapIndex { .. } => (BY_ID[0], 0),
            Imm64::MapValue { offset, .. } | Imm64::MapIndexValue { offset, .. } => {
                (BY_ID[1], offset)
            }
            _ => continue,
        };
        let id = order
            .next()
            .map_or(0, |place| program.maps.get(*place).map_or(0, |map| map.id));
        set_imm64(&mut bytes, at, source, id, offset);
    }
    bytes
}

/// Sets source register and immediate of a `ld_imm64`.
fn set_imm64(bytes: &mut [u8], at: InsnIndex, source: u8, low: u32, high: u32) {
    let start = at.as_usize().saturating_mul(8);
    let Some(slots) = bytes.get_mut(start..start.saturating_add(16)) else {
        return;
    };
    slots[1] = match cfg!(target_endian = "little") {
        true => (slots[1] & 0x0f) | (source << 4),
        false => (slots[1] & 0xf0) | source,
    };
    slots[4..8].copy_from_slice(&low.to_ne_bytes());
    slots[12..16].copy_from_slice(&high.to_ne_bytes());
}

/// The hash of each function's instructions.
fn tags(program: &Program, slots: &[RawInsn]) -> Vec<[u8; 8]> {
    let code = &program.code;
    let whole = program.meta.tag;
    if code.functions() == 1 {
        return vec![whole];
    }
    (0..code.functions())
        .map(|function| {
            let start = code.function_start(function).unwrap_or_default().as_usize();
            let len = code.function_len(function) as usize;
            let part = slots
                .get(start..start.saturating_add(len))
                .unwrap_or_default();
            program::tag(&program::digest(part))
        })
        .collect()
}
