//! Kernel functions on tasks and cgroups.

use super::Table;

pub(super) static TABLE: Table = &[];
