//! Helpers on packets, their metadata and checksums; redirects and routes.

use super::Table;

pub(super) static TABLE: Table = &[];
