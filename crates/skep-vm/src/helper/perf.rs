//! Helpers on perf event arrays.

use super::Table;

pub(super) static TABLE: Table = &[];
