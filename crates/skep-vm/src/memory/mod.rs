//! Memory that programs and this process share: blocks that own it, views that read and write it.
//!
//! Programs hold its addresses and change it at any time, so it is never lent as `&[u8]`: a
//! [`View`] copies in words, each an atomic access with relaxed ordering, as a processor does for
//! compiled code. All raw pointers of the maps and helpers live in this folder.

mod block;
mod mirror;
mod shared;
mod view;

pub(crate) use block::{Block, Reserved};
pub(crate) use mirror::Mirror;
pub(crate) use shared::Shared;
pub(crate) use view::View;

/// Bytes of a page of memory that is mapped for users.
pub(crate) const PAGE: usize = 4096;

/// `n` rounded up to a multiple of `unit`, a power of two; `None` if it does not fit.
pub(crate) fn round_up(n: usize, unit: usize) -> Option<usize> {
    Some(n.checked_add(unit - 1)? & !(unit - 1))
}
