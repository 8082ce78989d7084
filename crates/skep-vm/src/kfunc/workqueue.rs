//! Kernel functions on work queues.

use super::Table;

pub(super) static TABLE: Table = &[];
