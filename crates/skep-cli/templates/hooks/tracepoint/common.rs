//! What the kernel side sends and user space reads: one definition for both.
//!
//! `#[shared]` has the compiler check on either side that a type is its fields and nothing else, so
//! that both have the same layout, and lets user space read it by zerocopy.

#![no_std]

use skep_ebpf::shared;

/// A file was opened, or was not.
#[shared]
pub struct Open {
    /// The process.
    #[show(pid)]
    pub pid: u32,
    /// The descriptor, or an error's number, negative.
    pub ret: i32,
    /// The thread's name, up to its first zero.
    #[show(text)]
    pub comm: [u8; 16],
    /// What was to be opened, up to its first zero.
    #[show(text)]
    pub path: [u8; 256],
}
