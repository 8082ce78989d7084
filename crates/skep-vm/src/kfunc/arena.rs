//! Kernel functions on arenas: pages.

use super::Table;

pub(super) static TABLE: Table = &[];
