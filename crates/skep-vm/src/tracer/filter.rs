//! The seccomp filter that sends the hooked system calls, and no other, to the tracer.
//!
//! It is in force for as long as the command and its children live, and can't be taken away: a
//! call that it names fails with `ENOSYS` where there is no tracer. So whoever has one is traced
//! to its end.

use std::collections::BTreeSet;

use super::calls::{ARCH, MMAP, PRCTL, PROT_EXEC_CALLS};

/// What the filter's verdicts carry, so that they are told from those of a tracee's own filter.
pub(super) const MARK: u32 = 0x5ce9;

/// `PR_SET_NAME`
const SET_NAME: u32 = 15;
const EXEC: u32 = libc::PROT_EXEC as u32;
const WRITE: u32 = libc::PROT_WRITE as u32;
const ANONYMOUS: u32 = libc::MAP_ANONYMOUS as u32;

/// Calls of another kind on x86-64 have this bit (x32).
#[cfg(target_arch = "x86_64")]
const OTHER_KIND: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
/// The lower half of an argument.
const fn argument(index: u32) -> u32 {
    let low = if cfg!(target_endian = "little") { 0 } else { 4 };
    16 + 8 * index + low
}

/// `SECCOMP_RET_ALLOW`
const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_TRACE`
const TRACE: u32 = 0x7ff0_0000 | MARK;

/// Which calls go to the tracer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// By their numbers, whatever their arguments.
    pub(super) calls: BTreeSet<u32>,
    /// Those that rename the thread.
    pub(super) names: bool,
    /// Those that map code.
    pub(super) code: bool,
}

/// An instruction of classic BPF, as the kernel has it: `struct sock_filter`.
pub(super) type Insn = libc::sock_filter;

const fn insn(code: u32, jt: u8, jf: u8, k: u32) -> Insn {
    Insn {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

const fn load(offset: u32) -> Insn {
    insn(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

const fn answer(verdict: u32) -> Insn {
    insn(libc::BPF_RET | libc::BPF_K, 0, 0, verdict)
}

/// Goes on with the next instruction where the accumulator is `value`, else leaves out `skip`.
const fn is(value: u32, skip: u8) -> Insn {
    insn(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, skip, value)
}

/// Leaves out `yes` instructions where the accumulator has one of these bits, else `no`.
const fn has(bits: u32, yes: u8, no: u8) -> Insn {
    insn(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, yes, no, bits)
}

impl Filter {
    /// The filter's instructions; empty if nothing is to be traced.
    pub(super) fn instructions(&self) -> Vec<Insn> {
        let mut all = Vec::new();
        if self.calls.is_empty() && !self.names && !self.code {
            return all;
        }
        // Other machines' calls have other numbers: nobody has hooked them.
        all.extend([
            load(MACHINE),
            insn(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, ARCH),
        ]);
        all.push(answer(ALLOW));
        all.push(load(NUMBER));
        #[cfg(target_arch = "x86_64")]
        all.extend([
            insn(
                libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K,
                0,
                1,
                OTHER_KIND,
            ),
            answer(ALLOW),
        ]);
        for call in &self.calls {
            all.extend([is(*call, 1), answer(TRACE)]);
        }
        if self.names && !self.calls.contains(&PRCTL) {
            all.extend([
                is(PRCTL, 4),
                load(argument(0)),
                is(SET_NAME, 1),
                answer(TRACE),
                answer(ALLOW),
            ]);
        }
        for call in PROT_EXEC_CALLS {
            if !self.code || self.calls.contains(call) {
                continue;
            }
            let of_files = *call == MMAP;
            all.extend([
                is(*call, if of_files { 8 } else { 4 }),
                load(argument(2)),
                has(EXEC, 0, 1),
                answer(TRACE),
            ]);
            if of_files {
                // A file's data that can be written may have counters of those who probe it.
                all.extend([
                    has(WRITE, 0, 3),
                    load(argument(3)),
                    has(ANONYMOUS, 1, 0),
                    answer(TRACE),
                ]);
            }
            all.push(answer(ALLOW));
        }
        all.push(answer(ALLOW));
        all
    }
}
