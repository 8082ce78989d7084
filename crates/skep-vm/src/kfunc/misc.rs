//! Kernel functions that belong nowhere else: exceptions, casts, streams, map statistics.

use super::Table;

pub(super) static TABLE: Table = &[];
