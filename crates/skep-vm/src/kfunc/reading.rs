//! Kernel functions that read memory which may not be there, into dynptrs or with a string's end.

use skep_host::Errno;

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, errno, shim},
    machine::objects::ObjectKind,
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

/// What a failed read leaves behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// The buffer is zeroed.
    Zeros,
    /// It is an empty text.
    Empty,
    /// It is as it was.
    Nothing,
}

/// Writes what `read` finds into a dynptr; answers 0, or the length of a text.
fn fill(
    run: &Run<'_>,
    [place, offset, size, ..]: Arguments,
    after: After,
    read: impl FnOnce(&mut [u8]) -> Result<Option<usize>, Errno>,
) -> Outcome {
    let dynptr = Dynptr::load(run, place)?;
    let (offset, size) = (offset as u32, size as u32);
    if let Err(failed) = dynptr.check(offset, size) {
        return Ok(errno(failed));
    }
    if size == 0 {
        return Ok(0);
    }
    let mut bytes = vec![0; size as usize];
    let done = read(&mut bytes);
    let len = match done {
        Ok(None) => bytes.len(),
        Ok(Some(len)) => len.min(bytes.len()),
        Err(failed) => {
            let zeros = match after {
                After::Zeros => bytes.len(),
                After::Empty => 1,
                After::Nothing => 0,
            };
            if zeros > 0 && dynptr.kind.is_memory() {
                bytes.fill(0);
                let part = bytes.get_mut(..zeros).unwrap_or_default();
                let _ = dynptr.write(run, offset, View::of(part), 0)?;
            }
            return Ok(errno(failed));
        }
    };
    let part = bytes.get_mut(..len).unwrap_or_default();
    if let Err(failed) = dynptr.write(run, offset, View::of(part), 0)? {
        return Ok(errno(failed));
    }
    Ok(done.ok().flatten().unwrap_or_default() as u64)
}

/// `bpf_probe_read_kernel_dynptr(dptr, off, size, unsafe_ptr)`
fn kernel_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    fill(run, arguments, After::Nothing, |bytes| {
        run.peek(arguments[3], bytes).map(|()| None)
    })
}

/// `bpf_probe_read_kernel_str_dynptr(dptr, off, size, unsafe_ptr)`
fn kernel_str_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    fill(run, arguments, After::Empty, |bytes| {
        run.peek_text(arguments[3], bytes).map(Some)
    })
}

/// `bpf_probe_read_user_dynptr(dptr, off, size, unsafe_ptr)`
fn user_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    fill(run, arguments, After::Nothing, |bytes| {
        run.peek_user(arguments[3], bytes).map(|()| None)
    })
}

/// `bpf_copy_from_user_dynptr(dptr, off, size, unsafe_ptr)`
fn copy_user_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    fill(run, arguments, After::Zeros, |bytes| {
        run.peek_user(arguments[3], bytes).map(|()| None)
    })
}

/// `bpf_probe_read_user_str_dynptr(dptr, off, size, unsafe_ptr)`, and
/// `bpf_copy_from_user_str_dynptr`, which may wait for memory that is not there yet.
fn user_str_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    fill(run, arguments, After::Nothing, |bytes| {
        run.peek_user_text(arguments[3], bytes).map(Some)
    })
}

/// Reads memory of a task that the program has.
fn read_task(
    run: &Run<'_>,
    task: u64,
) -> Result<impl Fn(u64, &mut [u8]) -> Result<(), Errno>, FaultKind> {
    run.object(task, ObjectKind::Task, "bpf_copy_from_user_task_dynptr")?;
    let task = run.vm.tasks.at(task);
    Ok(move |address, bytes: &mut [u8]| {
        let task = task.as_ref().ok_or(Errno::EFAULT)?;
        task.read_user(address, bytes)
    })
}

/// A string in a task's memory with its NUL, cut to the buffer.
fn text_of(
    read: impl Fn(u64, &mut [u8]) -> Result<(), Errno>,
    address: u64,
    bytes: &mut [u8],
) -> Result<usize, Errno> {
    for at in 0..bytes.len() {
        let place = bytes.get_mut(at..=at).unwrap_or_default();
        read(address.wrapping_add(at as u64), place)?;
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
    let read = read_task(run, arguments[4])?;
    fill(run, arguments, After::Nothing, |bytes| {
        read(arguments[3], bytes).map(|()| None)
    })
}

/// `bpf_copy_from_user_task_str_dynptr(dptr, off, size, unsafe_ptr, tsk)`
fn task_str_dynptr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let read = read_task(run, arguments[4])?;
    fill(run, arguments, After::Nothing, |bytes| {
        text_of(read, arguments[3], bytes).map(Some)
    })
}

/// Writes a string into the program's buffer; answers its length with its NUL.
fn copy_text(
    run: &Run<'_>,
    [to, size, ..]: Arguments,
    flags: u64,
    read: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
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
            if flags & PAD != 0 {
                to.fill(0);
            }
            Ok(errno(failed))
        }
    }
}

/// `bpf_copy_from_user_str(dst, dst__sz, unsafe_ptr, flags)`
fn copy_user_str(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let [_, _, from, flags, _] = arguments;
    let read = |bytes: &mut [u8]| run.peek_user_text(from, bytes);
    copy_text(run, arguments, flags, read)
}

/// `bpf_copy_from_user_task_str(dst, dst__sz, unsafe_ptr, tsk, flags)`
fn copy_task_str(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let [_, _, from, task, flags] = arguments;
    let memory = read_task(run, task)?;
    let read = |bytes: &mut [u8]| text_of(memory, from, bytes);
    copy_text(run, arguments, flags, read)
}
