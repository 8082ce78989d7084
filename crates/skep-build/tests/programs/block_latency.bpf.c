/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Time of block requests as histograms by device, on kernels old and new. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define SLOTS 27

struct histogram {
	u32 slots[SLOTS];
};

/* Before Linux 5.16 a request had its disk itself. */
struct request___old {
	struct gendisk *rq_disk;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct request *);
	__type(value, u64);
} issued SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, u32);
	__type(value, struct histogram);
} latency SEC(".maps");

static struct histogram none;

static __always_inline u64 log2_of(u64 v)
{
	u64 log = 0;

#pragma unroll
	for (int step = 32; step; step >>= 1)
		if (v >> step) {
			v >>= step;
			log += step;
		}
	return log;
}

static __always_inline struct gendisk *disk_of(struct request *rq)
{
	struct request___old *old = (void *)rq;

	if (bpf_core_field_exists(old->rq_disk))
		return BPF_CORE_READ(old, rq_disk);
	return BPF_CORE_READ(rq, q, disk);
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(issue, struct request *rq)
{
	u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&issued, &rq, &now, 0);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(complete, struct request *rq, int error, unsigned int bytes)
{
	u64 *start = bpf_map_lookup_elem(&issued, &rq);
	struct histogram *h;
	struct gendisk *disk;
	u64 slot;
	u32 dev;

	if (!start)
		return 0;
	disk = disk_of(rq);
	dev = disk ? BPF_CORE_READ(disk, major) << 20 | BPF_CORE_READ(disk, first_minor) : 0;
	h = bpf_map_lookup_elem(&latency, &dev);
	if (!h) {
		bpf_map_update_elem(&latency, &dev, &none, BPF_NOEXIST);
		h = bpf_map_lookup_elem(&latency, &dev);
		if (!h)
			goto out;
	}
	slot = log2_of((bpf_ktime_get_ns() - *start) / 1000);
	if (slot >= SLOTS)
		slot = SLOTS - 1;
	__sync_fetch_and_add(&h->slots[slot], 1);
out:
	bpf_map_delete_elem(&issued, &rq);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
