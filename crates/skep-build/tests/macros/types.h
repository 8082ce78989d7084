/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The types of a test: from uapi headers with -DUAPI, else from vmlinux.h. */
#ifdef UAPI
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <linux/types.h>
#else
#include "vmlinux.h"
#endif
