//! Kernel functions that make, share and drop objects.

use super::Table;

pub(super) static TABLE: Table = &[];
