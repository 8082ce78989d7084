// SPDX-License-Identifier: MIT OR Apache-2.0
// What an iterator writes as text: elements by a format, a structure by its type, and what is
// answered where that can't be.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

struct xdp_md shown = { .data = 1, .data_end = 2, .ingress_ifindex = 4 };

SEC("iter/bpf_map_elem")
int printed(struct bpf_iter__bpf_map_elem *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	__u32 *key = ctx->key;
	__u64 *value = ctx->value, values[1] = { 0 };
	struct btf_ptr ptr = {
		.ptr = &shown,
		.type_id = bpf_core_type_id_kernel(struct xdp_md),
	};
	static const char wrong[] = "%y", lacking[] = "%d and %d\n";

	if (!key || !value) {
		BPF_SEQ_PRINTF(seq, "end\n");
		return 0;
	}
	BPF_SEQ_PRINTF(seq, "%u: %llx %-6s|%5d\n", *key, *value, "text", -3);
	if (*key)
		return 0;
	BPF_SEQ_PRINTF(seq, "%ld\n", bpf_seq_printf_btf(seq, &ptr, sizeof(ptr), 0));
	BPF_SEQ_PRINTF(seq, "%ld\n", bpf_seq_printf_btf(seq, &ptr, sizeof(ptr), BTF_F_COMPACT));
	BPF_SEQ_PRINTF(seq, "%ld\n", bpf_seq_printf_btf(seq, &ptr, sizeof(ptr), 1 << 20));
	BPF_SEQ_PRINTF(seq, "%ld\n", bpf_seq_printf(seq, wrong, sizeof(wrong), values, 8));
	BPF_SEQ_PRINTF(seq, "%ld\n", bpf_seq_printf(seq, lacking, sizeof(lacking), values, 8));
	BPF_SEQ_PRINTF(seq, "%ld\n", bpf_seq_printf(seq, lacking, sizeof(lacking) - 1, values, 8));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
