//! Kernel functions on packets: dynptrs of them, and XDP metadata.

use super::Table;

pub(super) static TABLE: Table = &[];
