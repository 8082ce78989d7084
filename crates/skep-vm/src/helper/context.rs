//! Helpers that ask what the program is attached to: cookies, function addresses, return values, arguments.

use super::Table;

pub(super) static TABLE: Table = &[];
