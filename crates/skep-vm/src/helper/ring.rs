//! Helpers on ring buffers and user ring buffers.

use super::Table;

pub(super) static TABLE: Table = &[];
