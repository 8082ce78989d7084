//! Kernel functions on strings.

use super::Table;

pub(super) static TABLE: Table = &[];
