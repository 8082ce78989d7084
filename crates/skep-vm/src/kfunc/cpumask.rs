//! Kernel functions on sets of CPUs.

use super::Table;

pub(super) static TABLE: Table = &[];
