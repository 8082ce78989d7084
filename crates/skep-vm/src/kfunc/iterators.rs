//! Open-coded iterators: numbers, bits, tasks.

use super::Table;

pub(super) static TABLE: Table = &[];
