//! What the kernel side counts and user space reads: one definition for both.
//!
//! `#[shared]` has the compiler check on either side that a type is its fields and nothing else, so
//! that both have the same layout, and lets user space read it by zerocopy.

#![no_std]

use skep_ebpf::shared;

/// What was received of a protocol.
#[shared]
pub struct Traffic {
    pub packets: u64,
    #[show(bytes)]
    pub bytes: u64,
}
