//! Registers of the hooked function, on x86-64 and arm64: one object does for both.
//!
//! Which of the two it is, a CO-RE relocation says when the program is loaded: whether `pt_regs` has
//! x86's register. The verifier then never sees the other side. Each register asks for itself: one
//! question for all would make the compiler write the whole program twice. On other machines the load fails and names
//! `user_pt_regs`, which they lack or have otherwise.

use core::ffi::c_void;

use crate::prelude::*;

#[kernel]
struct pt_regs {
    di: u64,
    si: u64,
    dx: u64,
    cx: u64,
    r8: u64,
    r9: u64,
    r10: u64,
    ax: u64,
    bp: u64,
    sp: u64,
    ip: u64,
}

/// What arm64 shows of its registers.
#[kernel]
struct user_pt_regs {
    regs: [u64; 31],
    sp: u64,
    pc: u64,
}

/// The rest, which the kernel keeps to itself.
#[kernel(name = "pt_regs")]
struct pt_regs_arm64 {
    orig_x0: u64,
}

/// Loads a register: of x86-64, and of arm64.
macro_rules! load {
    ($base:ident; $x86:ident; $($arm64:tt)*) => {
        if core_exists!(pt_regs, $x86) {
            let x86 = $base.cast::<pt_regs>().cast_const();
            core_load!(x86.$x86)
        } else {
            let arm64 = $base.cast::<user_pt_regs>().cast_const();
            core_load!(arm64.$($arm64)*)
        }
    };
}

/// An argument of a function, by the calling convention of C.
#[inline(always)]
pub(super) fn argument(base: *mut c_void, index: usize) -> u64 {
    match index {
        0 => load!(base; di; regs[0]),
        1 => load!(base; si; regs[1]),
        2 => load!(base; dx; regs[2]),
        3 => load!(base; cx; regs[3]),
        4 => load!(base; r8; regs[4]),
        5 => load!(base; r9; regs[5]),
        _ => panic!("behind the sixth, arguments are not in registers on every machine"),
    }
}

/// What a function returned.
#[inline(always)]
pub(super) fn returned(base: *mut c_void) -> u64 {
    load!(base; ax; regs[0])
}

/// The address of the next instruction.
#[inline(always)]
pub(super) fn instruction(base: *mut c_void) -> u64 {
    load!(base; ip; pc)
}

/// Where the stack ends.
#[inline(always)]
pub(super) fn stack(base: *mut c_void) -> u64 {
    load!(base; sp; sp)
}

/// Reads a register of a process that entered the kernel: nothing of it fails, so an error is 0.
macro_rules! read {
    ($outer:ident; $x86:ident; $arm64:ident $($at:tt)*) => {{
        let inner = argument($outer, 0) as *const c_void;
        let register: *const u64 = if core_exists!(pt_regs, $x86) {
            let x86 = inner.cast::<pt_regs>();
            core_address!(x86.$x86)
        } else {
            let arm64 = inner.cast::<$arm64>();
            core_address!(arm64.$($at)*)
        };
        read_kernel(register).unwrap_or(0)
    }};
}

/// An argument of a system call: its handler gets the process's registers as its only one (on
/// x86-64 since 4.17, on arm64 since 4.19).
#[inline(always)]
pub(super) fn syscall_argument(outer: *mut c_void, index: usize) -> u64 {
    match index {
        // The first register of arm64 is where the result goes.
        0 => read!(outer; di; pt_regs_arm64 orig_x0),
        1 => read!(outer; si; user_pt_regs regs[1]),
        2 => read!(outer; dx; user_pt_regs regs[2]),
        3 => read!(outer; r10; user_pt_regs regs[3]),
        4 => read!(outer; r8; user_pt_regs regs[4]),
        5 => read!(outer; r9; user_pt_regs regs[5]),
        _ => panic!("a system call has six arguments at most"),
    }
}
