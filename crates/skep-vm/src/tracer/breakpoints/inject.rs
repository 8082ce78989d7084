//! System calls that a tracee makes because its tracer wants it to: mapping the memory that slots
//! are in, and unmapping it.

use std::{fs::File, os::unix::fs::FileExt as _};

use libc::pid_t;
use skep_host::Errno;

use super::{
    maps::Mapping,
    thread::{Quiet, Statuses, Stepped},
};
use crate::tracer::system;

/// `syscall`
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// Most bytes that are searched for one.
const SEARCHED: usize = 8 << 20;

/// Where the process has an instruction `syscall`: in the vDSO, as a rule, or else anywhere in its
/// code, also within other instructions.
pub(super) fn instruction(memory: &File, mappings: &[Mapping]) -> Option<u64> {
    let executable = mappings.iter().filter(|mapping| mapping.executable);
    // Not there to be read or jumped to as other code is.
    let executable = executable.filter(|mapping| mapping.name != "[vsyscall]");
    let mut left = SEARCHED;
    let (first, others): (Vec<_>, Vec<_>) =
        executable.partition(|mapping| mapping.name == "[vdso]");
    for mapping in first.into_iter().chain(others) {
        let len = usize::try_from(mapping.end - mapping.start).ok()?.min(left);
        left -= len;
        let mut bytes = vec![0; len];
        // What can't be read has none.
        let read = memory
            .read_at(&mut bytes, mapping.start)
            .unwrap_or_default();
        let found = bytes[..read].windows(2).position(|pair| pair == SYSCALL);
        if let Some(at) = found {
            return Some(mapping.start + at as u64);
        }
    }
    None
}

/// Makes a thread that stands execute a system call at `instruction`, and gives what it returned.
/// The thread must stand where it could receive a signal: not at the start of a system call, nor at
/// an event in the midst of one. Its registers are as before.
///
/// # Errors
/// The call's own; or `ESRCH`: the thread is ending.
pub(super) fn call(
    tid: pid_t,
    instruction: u64,
    number: i64,
    arguments: [u64; 6],
    statuses: &mut Statuses,
) -> Result<u64, Errno> {
    let before = system::registers(tid)?;
    let mut registers = before;
    registers.rip = instruction;
    registers.rax = number as u64;
    // It is in no call that would have to be restarted.
    registers.orig_rax = u64::MAX;
    let [first, second, third, fourth, fifth, sixth] = arguments;
    registers.rdi = first;
    registers.rsi = second;
    registers.rdx = third;
    registers.r10 = fourth;
    registers.r8 = fifth;
    registers.r9 = sixth;
    let mut quiet = Quiet::new(tid, statuses)?;
    system::set_registers(tid, &registers)?;
    let answer = match quiet.step() {
        Ok(()) => {
            let after = system::registers(tid)?;
            match after.rip == instruction.wrapping_add(2) {
                true => Ok(after.rax),
                false => Err(Errno::EFAULT),
            }
        }
        Err(Stepped::Gone) => return Err(Errno::ESRCH),
        // Its seccomp filter, or there is no such instruction any more.
        Err(Stepped::Signal(_)) => Err(Errno::EPERM),
        Err(Stepped::Failed(errno)) => Err(errno),
    };
    system::set_registers(tid, &before)?;
    let value = answer?;
    match value as i64 {
        error @ -4095..0 => Err(Errno(-error as i32)),
        _ => Ok(value),
    }
}

/// Maps `size` bytes of anonymous memory at an address that is free, to be read and executed.
///
/// # Errors
/// As [`call`].
pub(super) fn map(
    tid: pid_t,
    instruction: u64,
    address: u64,
    size: u64,
    statuses: &mut Statuses,
) -> Result<u64, Errno> {
    let rights = libc::PROT_READ | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let arguments = [address, size, rights as u64, flags as u64, u64::MAX, 0];
    let at = call(tid, instruction, libc::SYS_mmap, arguments, statuses)?;
    if at == address {
        return Ok(at);
    }
    // Before Linux 4.17 an address that is taken is only a hint.
    unmap(tid, instruction, at, size, statuses)?;
    Err(Errno::EEXIST)
}

/// Unmaps it.
///
/// # Errors
/// As [`call`].
pub(super) fn unmap(
    tid: pid_t,
    instruction: u64,
    address: u64,
    size: u64,
    statuses: &mut Statuses,
) -> Result<(), Errno> {
    let arguments = [address, size, 0, 0, 0, 0];
    call(tid, instruction, libc::SYS_munmap, arguments, statuses).map(drop)
}
