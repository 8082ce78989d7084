//! Helpers that read and write memory which may not be there.

use super::Table;

pub(super) static TABLE: Table = &[];
