//! Kernel functions that read memory which may not be there, into dynptrs or with a string's end.

use skep_host::Errno;

use super::Table;
use crate::{
    helper::{self, Arguments, Outcome, errno, shim},
    machine::Task,
    memory::View,
    run::{Dynptr, Run},
};

pub(super) static TABLE: Table = &[
    ("bpf_probe_read_kernel_dynptr", shim!(kernel_dynptr)),
    ("bpf_probe_read_kernel_str_dynptr", shim!(kernel_str_dynptr)),
    ("bpf_probe_read_user_dynptr", shim!(user_dynptr)),
    ("bpf_probe_read_user_str_dynptr", shim!(user_str_dynptr)),
    ("bpf_copy_from_user_dynptr", shim!(copy_user_dynptr)),
    ("bpf_copy_from_user_str_dynptr", shim!(user_str_dynptr)),
    ("bpf_copy_from_user_task_dynptr", shim!(task_dynptr)),
    ("bpf_copy_from_user_task_str_dynptr", shim!(task_str_dynptr)),
    ("bpf_copy_from_user_str", shim!(copy_user_str)),
    ("bpf_copy_from_user_task_str", shim!(copy_task_str)),
];

/// `BPF_F_PAD_ZEROS`
const PAD: u64 = 1;

/// A read that failed, and how many bytes of the buffer it has written all the same.
struct Failed {
    errno: Errno,
    left: usize,
}

impl From<Errno> for Failed {
    /// Nothing is written.
    fn from(errno: Errno) -> Self {
        Self { errno, left: 0 }
    }
}

/// A failed read that leaves zeros.
fn zeros(bytes: &mut [u8], errno: Errno) -> Failed {
    bytes.fill(0);
    let left = bytes.len();
    Failed { errno, left }
}

/// A failed read that leaves an empty text.
fn empty(bytes: &mut [u8], errno: Errno) -> Failed {
    zeros(bytes.get_mut(..1).unwrap_or_default(), errno)
}

/// A failed read that leaves what there was before the first byte that is not there.
fn rest(task: &Task, address: u64, bytes: &mut [u8], errno: Errno) -> Failed {
    let left = task.read_some(address, bytes).unwrap_or_default();
    Failed { errno, left }
}

/// Writes what `read` finds into a dynptr; answers 0, or the length of a text.
fn fill(
    run: &Run<'_>,
    [place, offset, size, ..]: Arguments,
    read: impl FnOnce(&mut [u8]) -> Result<Option<usize>, Failed>,
) -> Outcome {
    let dynptr = Dynptr::load(run, place)?;
    let (offset, size) = (offset as u32, size as u32);
    if let Err(failed) = dynptr.check(offset, size) {
        return Ok(errno(failed));
    }
    if size == 0 {
        return Ok(0);
    }
    // In checked mode the length may be any that a program has written there.
    run.pay(size / 16)?;
    let mut bytes = vec![0; size as usize];
    let done = read(&mut bytes);
    let len = match &done {
        Ok(len) => len.unwrap_or(bytes.len()),
        Err(failed) => failed.left,
    };
    let len = len.min(bytes.len());
    let part = bytes.get_mut(..len).unwrap_or_default();
    match done {
        Ok(text) => Ok(match dynptr.write(run, offset, View::of(part), 0)? {
            Ok(()) => text.unwrap_or_default() as u64,
            Err(failed) => errno(failed),
        }),
        Err(failed) => {
            if len > 0 && dynptr.kind.is_memory() {
                let _ = dynptr.write(run, offset, View::of(part), 0)?;
            }
            Ok(errno(failed.errno))
        }
    }
}

/// `bpf_probe_read_kernel_dynptr(dptr, off, size, unsafe_ptr)`
fn kernel_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    fill(run, arguments, |bytes| {
        run.peek(arguments[3], bytes)?;
        Ok(None)
    })
}

/// `bpf_probe_read_kernel_str_dynptr(dptr, off, size, unsafe_ptr)`
fn kernel_str_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    fill(run, arguments, |bytes| {
        let read = run.peek_text(arguments[3], bytes);
        read.map(Some).map_err(|errno| empty(bytes, errno))
    })
}

/// `bpf_probe_read_user_dynptr(dptr, off, size, unsafe_ptr)`
fn user_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    fill(run, arguments, |bytes| {
        let read = run.peek_user(arguments[3], bytes);
        let done = read.map_err(|errno| rest(run.task(), arguments[3], bytes, errno));
        done.map(|()| None)
    })
}

/// `bpf_copy_from_user_dynptr(dptr, off, size, unsafe_ptr)`
fn copy_user_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    fill(run, arguments, |bytes| {
        let read = run.peek_user(arguments[3], bytes);
        read.map(|()| None).map_err(|errno| zeros(bytes, errno))
    })
}

/// `bpf_probe_read_user_str_dynptr(dptr, off, size, unsafe_ptr)`, and
/// `bpf_copy_from_user_str_dynptr`, which may wait for memory that is not there yet.
fn user_str_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    fill(run, arguments, |bytes| {
        Ok(Some(run.peek_user_text(arguments[3], bytes)?))
    })
}

/// A string in a task's memory with its NUL, cut to the buffer.
fn text_of(task: &Task, address: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
    for at in 0..bytes.len() {
        let place = bytes.get_mut(at..=at).unwrap_or_default();
        task.read_user(address.wrapping_add(at as u64), place)?;
        if place == [0] {
            return Ok(at + 1);
        }
    }
    if let Some(last) = bytes.last_mut() {
        *last = 0;
    }
    Ok(bytes.len())
}

/// `bpf_copy_from_user_task_dynptr(dptr, off, size, unsafe_ptr, tsk)`
fn task_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let task = helper::task(run, "bpf_copy_from_user_task_dynptr", arguments[4])?;
    fill(run, arguments, |bytes| {
        let read = task.read_user(arguments[3], bytes);
        let done = read.map_err(|errno| rest(&task, arguments[3], bytes, errno));
        done.map(|()| None)
    })
}

/// `bpf_copy_from_user_task_str_dynptr(dptr, off, size, unsafe_ptr, tsk)`
fn task_str_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let task = helper::task(run, "bpf_copy_from_user_task_str_dynptr", arguments[4])?;
    fill(run, arguments, |bytes| {
        let read = text_of(&task, arguments[3], bytes);
        read.map(Some).map_err(|errno| empty(bytes, errno))
    })
}

/// Writes a string into the program's buffer; answers its length with its NUL.
fn copy_text(
    run: &Run<'_>,
    [to, size, ..]: Arguments,
    flags: u64,
    read: impl FnOnce(&mut [u8]) -> Result<usize, Failed>,
) -> Outcome {
    let to = run.view(to, u64::from(size as u32), true)?;
    if flags & !PAD != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    if to.len() == 0 {
        return Ok(0);
    }
    let mut bytes = vec![0; to.len()];
    let done = read(&mut bytes);
    match done {
        Ok(len) => {
            let all = if flags & PAD == 0 { len } else { bytes.len() };
            if let Some(rest) = bytes.get_mut(len..) {
                rest.fill(0);
            }
            to.write(bytes.get(..all).unwrap_or_default());
            Ok(len as u64)
        }
        Err(failed) => {
            match flags & PAD {
                0 => to.write(bytes.get(..failed.left).unwrap_or_default()),
                _ => {
                    to.fill(0);
                    to.len()
                }
            };
            Ok(errno(failed.errno))
        }
    }
}

/// `bpf_copy_from_user_str(dst, dst__sz, unsafe_ptr, flags)`
fn copy_user_str(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let [_, _, from, flags, _] = arguments;
    copy_text(run, arguments, flags, |bytes| {
        Ok(run.peek_user_text(from, bytes)?)
    })
}

/// `bpf_copy_from_user_task_str(dst, dst__sz, unsafe_ptr, tsk, flags)`
fn copy_task_str(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let [_, _, from, task, flags] = arguments;
    let task = helper::task(run, "bpf_copy_from_user_task_str", task)?;
    copy_text(run, arguments, flags, |bytes| {
        text_of(&task, from, bytes).map_err(|errno| empty(bytes, errno))
    })
}
