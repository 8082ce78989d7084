// SPDX-License-Identifier: MIT OR Apache-2.0
// The work of later.bpf.c, by the names that functions had before.
#define OLD_NAMES
#include "later.bpf.c"
