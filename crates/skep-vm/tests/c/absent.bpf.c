// SPDX-License-Identifier: MIT OR Apache-2.0
// Calls a kernel function that the machine does not have.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

extern int bpf_iter_kmem_cache_new(struct bpf_iter_kmem_cache *it) __ksym;

SEC("syscall")
int caches(void *ctx)
{
	struct bpf_iter_kmem_cache it;

	return bpf_iter_kmem_cache_new(&it);
}

char LICENSE[] SEC("license") = "GPL";
