//! Helpers on dynptrs.

use super::Table;

pub(super) static TABLE: Table = &[];
