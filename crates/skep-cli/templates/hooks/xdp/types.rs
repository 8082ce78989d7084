//! What the kernel side counts: `struct traffic` of bpf/{{name}}.bpf.c.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What was received of a protocol.
#[repr(C)]
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}
