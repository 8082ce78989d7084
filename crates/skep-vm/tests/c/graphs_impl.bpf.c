// SPDX-License-Identifier: MIT OR Apache-2.0
// The objects of graphs.bpf.c, by the names that functions had before.
#define OLD_NAMES
#include "graphs.bpf.c"
