// SPDX-License-Identifier: MIT OR Apache-2.0
// The calls of misc.bpf.c, by the names that functions had before.
#define OLD_NAMES
#include "misc.bpf.c"
