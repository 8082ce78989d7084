//! What the kernel side sends: `struct event` of bpf/{{name}}.bpf.c.

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// A file was opened, or was not.
#[repr(C)]
#[derive(Debug, FromBytes, Immutable, KnownLayout)]
pub struct Open {
    /// The process.
    pub pid: u32,
    /// The descriptor, or an error's number, negative.
    pub ret: i32,
    /// The thread's name, up to its first zero.
    pub comm: [u8; 16],
    /// What was to be opened, up to its first zero.
    pub path: [u8; 256],
}
