//! Kernel functions on lists and red-black trees of objects.

use super::Table;

pub(super) static TABLE: Table = &[];
