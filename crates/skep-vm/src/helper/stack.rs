//! Helpers on stacks.

use super::Table;

pub(super) static TABLE: Table = &[];
