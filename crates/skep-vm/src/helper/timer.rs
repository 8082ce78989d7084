//! Helpers on timers.

use super::Table;

pub(super) static TABLE: Table = &[];
