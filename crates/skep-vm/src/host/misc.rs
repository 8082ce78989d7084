//! Commands on programs beside loading and running: bound maps, streams, associations; and what
//! asks about a task's descriptors.

use std::sync::Arc;

use skep_abi::{Command, MapType, ProgramType, TaskFdType};
use skep_host::{
    Errno, Error, LinkDetails, MapFd, ProgramFd, ProgramStream, Result, TaskAttachment,
};

use super::{
    map,
    program::{describe, program},
};
use crate::{
    Vm,
    machine::{Object, lock},
};

type Raw<T> = std::result::Result<T, Errno>;

pub(super) fn bind_map(vm: &Vm, fd: &ProgramFd, map: &MapFd) -> Result<()> {
    bound(vm, fd, map)
        .map_err(|errno| Error::command(Command::ProgBindMap, describe(vm, fd), errno))
}

fn bound(vm: &Vm, fd: &ProgramFd, map: &MapFd) -> Raw<()> {
    let program = program(vm, fd)?;
    let (map, _) = map::map(vm, map)?;
    let mut bound = lock(&program.meta.bound);
    let mut known = program.maps.iter().chain(bound.iter());
    if !known.any(|known| Arc::ptr_eq(known, map)) {
        bound.push(Arc::clone(map));
    }
    Ok(())
}

pub(super) fn stream_read(
    vm: &Vm,
    fd: &ProgramFd,
    stream: ProgramStream,
    buffer: &mut [u8],
) -> Result<usize> {
    let program = program(vm, fd)
        .map_err(|errno| Error::command(Command::ProgStreamReadByFd, describe(vm, fd), errno))?;
    Ok(match stream {
        ProgramStream::Output => program.meta.output.read(buffer),
        ProgramStream::Error => program.meta.errors.read(buffer),
    })
}

pub(super) fn assoc_struct_ops(vm: &Vm, fd: &ProgramFd, map: &MapFd) -> Result<()> {
    associated(vm, fd, map)
        .map_err(|errno| Error::command(Command::ProgAssocStructOps, describe(vm, fd), errno))
}

fn associated(vm: &Vm, fd: &ProgramFd, map: &MapFd) -> Raw<()> {
    let program = program(vm, fd)?;
    let (map, _) = map::map(vm, map)?;
    if map.shape.map_type != MapType::StructOps || program.program_type == ProgramType::StructOps {
        return Err(Errno::EINVAL);
    }
    let mut associated = lock(&program.meta.associated);
    match &*associated {
        Some(known) if !Arc::ptr_eq(known, map) => Err(Errno::EBUSY),
        _ => {
            *associated = Some(Arc::clone(map));
            Ok(())
        }
    }
}

pub(super) fn task_fd_query(vm: &Vm, pid: u32, fd: i32) -> Result<TaskAttachment> {
    task_fd(vm, pid, fd).map_err(|errno| {
        Error::command(
            Command::TaskFdQuery,
            format!("descriptor {fd} of {pid}"),
            errno,
        )
    })
}

/// The descriptors of a machine belong to the process that it is in.
fn task_fd(vm: &Vm, pid: u32, fd: i32) -> Raw<TaskAttachment> {
    if pid != std::process::id() {
        return Err(Errno::ENOENT);
    }
    let link = match vm.0.registry.files.by_number(fd) {
        Ok(Object::Link(link)) => link,
        Err(Errno::EBADF) => return Err(Errno::EBADF),
        _ => return Err(Errno::ENOTSUPP),
    };
    let told = link.info();
    let mut answer = TaskAttachment {
        program_id: told.program_id,
        ..TaskAttachment::default()
    };
    let kind = match told.details {
        LinkDetails::RawTracepoint { name, .. } => {
            answer.name = name;
            TaskFdType::RawTracepoint
        }
        LinkDetails::Tracepoint { name, .. } => {
            answer.name = name;
            TaskFdType::Tracepoint
        }
        LinkDetails::Uprobe {
            at_return,
            path,
            offset,
            ..
        } => {
            (answer.name, answer.offset) = (path, offset);
            match at_return {
                true => TaskFdType::Uretprobe,
                false => TaskFdType::Uprobe,
            }
        }
        LinkDetails::Kprobe {
            at_return,
            function,
            offset,
            ..
        } => {
            (answer.name, answer.offset) = (function, offset);
            match at_return {
                true => TaskFdType::Kretprobe,
                false => TaskFdType::Kprobe,
            }
        }
        _ => return Err(Errno::ENOTSUPP),
    };
    answer.kind = kind.raw();
    Ok(answer)
}
