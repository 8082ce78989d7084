// SPDX-License-Identifier: MIT OR Apache-2.0
// The objects of kept.bpf.c, by the names that functions had before.
#define OLD_NAMES
#include "kept.bpf.c"
