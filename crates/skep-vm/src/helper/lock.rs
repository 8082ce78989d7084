//! Helpers on spin locks and kernel pointers in values.

use super::Table;

pub(super) static TABLE: Table = &[];
