//! Kernel functions on resilient locks, and sections without preemption, interrupts or grace periods.

use super::Table;

pub(super) static TABLE: Table = &[];
