//! Static probe points of user-space binaries (USDT): what a binary says of its own points, and
//! what of that a BPF program needs to find their arguments.
//!
//! A point is an instruction that does nothing (`nop`), and a note in the file (section
//! `.note.stapsdt`, by systemtap's `sys/sdt.h` and its kin) that says where it is, what it is
//! called and where its arguments are when control comes by. [`Notes`] reads the notes;
//! [`Argument`]s are what they say of arguments; `layout` writes those as `bpf/usdt.bpf.h` reads
//! them, and `specs` keeps the map that they are written into. `attach/usdt.rs` puts it together.

mod argument;
mod binary;
mod layout;
mod notes;
mod specs;

pub use argument::{Argument, BadArgument, Machine, Place, Register};
pub use binary::{Notes, Point, Semaphore};

pub(crate) use specs::{ADDRESSES, Lease, SPECS, Specs};
