//! Limits of the kernel that no header of user space names (kernel/bpf, Linux 7.3).

use crate::KernelVersion;

/// Instructions that a privileged program may have, and that the verifier follows before it gives
/// up. Before Linux 5.2: 4,096 and 131,072.
#[doc(alias = "BPF_COMPLEXITY_LIMIT_INSNS")]
pub const VERIFIED_INSTRUCTIONS: u32 = 1_000_000;

/// Instructions that an unprivileged program may have.
#[doc(alias = "BPF_MAXINSNS")]
pub const UNPRIVILEGED_INSTRUCTIONS: u32 = 4096;

/// Bytes of stack of one frame, and of all frames of a call chain together unless each frame has
/// its own stack (JIT, since 6.13).
#[doc(alias = "MAX_BPF_STACK")]
pub const STACK_BYTES: u32 = 512;

/// Subprograms of a program, the main one included.
#[doc(alias = "BPF_MAX_SUBPROGS")]
pub const SUBPROGRAMS: u32 = 256;

/// Maps that a program can use.
#[doc(alias = "MAX_USED_MAPS")]
pub const MAPS: u32 = 64;

/// Tail calls in a row.
#[doc(alias = "MAX_TAIL_CALL_CNT")]
pub const TAIL_CALLS: u32 = 33;

/// Rounds that one `bpf_loop` makes at most, and a `may_goto` loop where the JIT does not bound it
/// by time instead.
#[doc(alias = "BPF_MAX_LOOPS")]
pub const LOOP_ROUNDS: u32 = 8 * 1024 * 1024;

/// Arguments of a helper or subprogram that stand in registers, R1 to R5.
#[doc(alias = "MAX_BPF_FUNC_REG_ARGS")]
pub const REGISTER_ARGUMENTS: u32 = 5;

/// Frames of a call chain in a kernel: 16 since Linux 7.2, 8 before, 1 before 4.16.
#[doc(alias = "MAX_CALL_FRAMES")]
#[must_use]
pub const fn call_frames(kernel: KernelVersion) -> u32 {
    match (kernel.major, kernel.minor) {
        (..=3, _) | (4, ..16) => 1,
        (4..=6, _) | (7, ..2) => 8,
        _ => 16,
    }
}
