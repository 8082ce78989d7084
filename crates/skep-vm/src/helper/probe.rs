//! Helpers that read and write memory which may not be there: the machine's objects and what the
//! run may touch stand for the kernel's memory, the current task's own for user memory.

use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim, status};
use crate::{
    machine::Task,
    memory::View,
    run::{Run, is_user, may_be_user},
};

pub(super) static TABLE: Table = &[
    (4, shim!(probe_read)),
    (36, shim!(probe_write_user)),
    (45, shim!(probe_read_str)),
    (112, shim!(probe_read_user)),
    (113, shim!(probe_read_kernel)),
    (114, shim!(probe_read_user_str)),
    (115, shim!(probe_read_kernel_str)),
    (148, shim!(copy_from_user)),
    (191, shim!(copy_from_user_task)),
];

/// Fills the program's buffer by `read`, or with zeros.
fn fill(
    run: &Run<'_>,
    to: u64,
    size: u64,
    read: impl FnOnce(&mut [u8]) -> Result<(), Errno>,
) -> Outcome {
    let to = run.view(to, u64::from(size as u32), true)?;
    let mut bytes = Bytes::new(to.len());
    let done = read(bytes.all());
    match done {
        Ok(()) => {
            to.write(bytes.all());
        }
        Err(_) => to.fill(0),
    }
    Ok(status(done))
}

/// The same with a string; answers its length.
fn fill_text(
    run: &Run<'_>,
    to: u64,
    size: u64,
    read: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
) -> Outcome {
    let to = run.view(to, u64::from(size as u32), true)?;
    if to.len() == 0 {
        return Ok(0);
    }
    let mut bytes = Bytes::new(to.len());
    match read(bytes.all()) {
        Ok(len) => {
            to.write(bytes.all().get(..len).unwrap_or_default());
            Ok(len as u64)
        }
        Err(failed) => {
            to.fill(0);
            Ok(errno(failed))
        }
    }
}

/// A buffer, on the stack for the sizes that programs have.
struct Bytes {
    small: [u8; 256],
    large: Vec<u8>,
    len: usize,
}

impl Bytes {
    fn new(len: usize) -> Self {
        let large = if len > 256 { vec![0; len] } else { Vec::new() };
        Self {
            small: [0; 256],
            large,
            len,
        }
    }

    fn all(&mut self) -> &mut [u8] {
        match self.len {
            0..=256 => &mut self.small[..self.len],
            _ => &mut self.large,
        }
    }
}

/// `bpf_probe_read_kernel(dst, size, unsafe_ptr)`
fn probe_read_kernel(run: &Run<'_>, [to, size, from, ..]: Arguments) -> Outcome {
    fill(run, to, size, |bytes| run.peek(from, bytes))
}

/// `bpf_probe_read_user(dst, size, unsafe_ptr)`
fn probe_read_user(run: &Run<'_>, [to, size, from, ..]: Arguments) -> Outcome {
    fill(run, to, size, |bytes| match may_be_user(from) {
        true => run.peek_user(from, bytes),
        false => Err(Errno::EFAULT),
    })
}

/// `bpf_probe_read(dst, size, unsafe_ptr)`
fn probe_read(run: &Run<'_>, [to, size, from, ..]: Arguments) -> Outcome {
    fill(run, to, size, |bytes| match run.peek(from, bytes) {
        Err(_) if is_user(from) => run.peek_user(from, bytes),
        done => done,
    })
}

/// `bpf_probe_read_kernel_str(dst, size, unsafe_ptr)`
fn probe_read_kernel_str(run: &Run<'_>, [to, size, from, ..]: Arguments) -> Outcome {
    fill_text(run, to, size, |bytes| run.peek_text(from, bytes))
}

/// `bpf_probe_read_user_str(dst, size, unsafe_ptr)`
fn probe_read_user_str(run: &Run<'_>, [to, size, from, ..]: Arguments) -> Outcome {
    fill_text(run, to, size, |bytes| run.peek_user_text(from, bytes))
}

/// `bpf_probe_read_str(dst, size, unsafe_ptr)`
fn probe_read_str(run: &Run<'_>, [to, size, from, ..]: Arguments) -> Outcome {
    fill_text(run, to, size, |bytes| run.peek_any_text(from, bytes))
}

/// `bpf_probe_write_user(dst, src, len)`
fn probe_write_user(run: &Run<'_>, [to, from, len, ..]: Arguments) -> Outcome {
    let from = run.view(from, u64::from(len as u32), false)?;
    Ok(status(run.task().write_user(to, &from.to_vec())))
}

/// `bpf_copy_from_user(dst, size, user_ptr)`
fn copy_from_user(run: &Run<'_>, [to, size, from, ..]: Arguments) -> Outcome {
    fill(run, to, size, |bytes| run.peek_user(from, bytes))
}

/// `bpf_copy_from_user_task(dst, size, user_ptr, tsk, flags)`
fn copy_from_user_task(run: &Run<'_>, [to, size, from, task, flags]: Arguments) -> Outcome {
    let view: View<'_> = run.view(to, u64::from(size as u32), true)?;
    if flags != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    if view.len() == 0 {
        return Ok(0);
    }
    let task: std::sync::Arc<Task> = super::task(run, "bpf_copy_from_user_task", task)?;
    fill(run, to, size, |bytes| task.read_user(from, bytes))
}
