//! What the kernel side sends: `struct event` of bpf/{{name}}.bpf.c.

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// An environment variable is asked for.
#[repr(C)]
#[derive(Debug, FromBytes, Immutable, KnownLayout)]
pub struct Lookup {
    /// The process.
    pub pid: u32,
    /// The thread's name, up to its first zero.
    pub comm: [u8; 16],
    /// The variable's name, up to its first zero.
    pub variable: [u8; 64],
}
