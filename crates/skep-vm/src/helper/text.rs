//! Helpers on text: formats, numbers, `bpf_trace_printk`.

use super::Table;

pub(super) static TABLE: Table = &[];
