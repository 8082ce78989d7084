// SPDX-License-Identifier: MIT OR Apache-2.0
// Sets of CPUs.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *cpumask) __ksym;
extern struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *cpumask) __ksym;
extern u32 bpf_cpumask_first(const struct cpumask *cpumask) __ksym;
extern u32 bpf_cpumask_first_zero(const struct cpumask *cpumask) __ksym;
extern u32 bpf_cpumask_first_and(const struct cpumask *a, const struct cpumask *b) __ksym;
extern void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) __ksym;
extern bool bpf_cpumask_test_and_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern bool bpf_cpumask_test_and_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_setall(struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_clear(struct bpf_cpumask *cpumask) __ksym;
extern bool bpf_cpumask_and(struct bpf_cpumask *dst, const struct cpumask *a,
	const struct cpumask *b) __ksym;
extern void bpf_cpumask_or(struct bpf_cpumask *dst, const struct cpumask *a,
	const struct cpumask *b) __ksym;
extern void bpf_cpumask_xor(struct bpf_cpumask *dst, const struct cpumask *a,
	const struct cpumask *b) __ksym;
extern bool bpf_cpumask_equal(const struct cpumask *a, const struct cpumask *b) __ksym;
extern bool bpf_cpumask_intersects(const struct cpumask *a, const struct cpumask *b) __ksym;
extern bool bpf_cpumask_subset(const struct cpumask *a, const struct cpumask *b) __ksym;
extern bool bpf_cpumask_empty(const struct cpumask *cpumask) __ksym;
extern bool bpf_cpumask_full(const struct cpumask *cpumask) __ksym;
extern void bpf_cpumask_copy(struct bpf_cpumask *dst, const struct cpumask *src) __ksym;
extern u32 bpf_cpumask_any_distribute(const struct cpumask *cpumask) __ksym;
extern u32 bpf_cpumask_any_and_distribute(const struct cpumask *a,
	const struct cpumask *b) __ksym;
extern u32 bpf_cpumask_weight(const struct cpumask *cpumask) __ksym;
extern int bpf_cpumask_populate(struct cpumask *cpumask, void *src, size_t src__sz) __ksym;

#define as_mask(mask) ((const struct cpumask *)(mask))

SEC("syscall")
int sets(void *ctx)
{
	struct bpf_cpumask *a, *b, *c, *more;

	a = bpf_cpumask_create();
	if (!a)
		return 1;
	b = bpf_cpumask_create();
	if (!b) {
		bpf_cpumask_release(a);
		return 1;
	}
	c = bpf_cpumask_create();
	if (!c) {
		bpf_cpumask_release(a);
		bpf_cpumask_release(b);
		return 1;
	}
	truth(bpf_cpumask_empty(as_mask(a)));
	truth(bpf_cpumask_full(as_mask(a)));
	fact(bpf_cpumask_first(as_mask(a)));
	fact(bpf_cpumask_first_zero(as_mask(a)));
	fact(bpf_cpumask_any_distribute(as_mask(a)));
	bpf_cpumask_set_cpu(1, a);
	bpf_cpumask_set_cpu(1 << 20, a);
	fact(bpf_cpumask_weight(as_mask(a)));
	fact(bpf_cpumask_first(as_mask(a)));
	fact(bpf_cpumask_first_zero(as_mask(a)));
	fact(bpf_cpumask_any_distribute(as_mask(a)));
	fact(bpf_cpumask_any_and_distribute(as_mask(a), as_mask(b)));
	truth(bpf_cpumask_test_cpu(1, as_mask(a)));
	truth(bpf_cpumask_test_cpu(0, as_mask(a)));
	truth(bpf_cpumask_test_cpu(1 << 20, as_mask(a)));
	truth(bpf_cpumask_test_and_set_cpu(0, a));
	truth(bpf_cpumask_test_and_set_cpu(0, a));
	truth(bpf_cpumask_test_and_set_cpu(-1, a));
	truth(bpf_cpumask_test_and_clear_cpu(0, a));
	truth(bpf_cpumask_test_and_clear_cpu(0, a));
	bpf_cpumask_set_cpu(0, b);
	truth(bpf_cpumask_and(c, as_mask(a), as_mask(b)));
	truth(bpf_cpumask_empty(as_mask(c)));
	bpf_cpumask_or(c, as_mask(a), as_mask(b));
	fact(bpf_cpumask_weight(as_mask(c)));
	truth(bpf_cpumask_subset(as_mask(a), as_mask(c)));
	truth(bpf_cpumask_subset(as_mask(c), as_mask(a)));
	truth(bpf_cpumask_intersects(as_mask(a), as_mask(b)));
	truth(bpf_cpumask_intersects(as_mask(a), as_mask(c)));
	fact(bpf_cpumask_first_and(as_mask(a), as_mask(c)));
	fact(bpf_cpumask_first_and(as_mask(a), as_mask(b)));
	bpf_cpumask_xor(c, as_mask(c), as_mask(b));
	truth(bpf_cpumask_equal(as_mask(c), as_mask(a)));
	truth(bpf_cpumask_equal(as_mask(c), as_mask(b)));
	bpf_cpumask_setall(b);
	truth(bpf_cpumask_full(as_mask(b)));
	fact(bpf_cpumask_first_zero(as_mask(b)));
	fact(bpf_cpumask_weight(as_mask(b)));
	bpf_cpumask_copy(c, as_mask(b));
	truth(bpf_cpumask_equal(as_mask(c), as_mask(b)));
	bpf_cpumask_clear(c);
	truth(bpf_cpumask_empty(as_mask(c)));
	bpf_cpumask_clear_cpu(1, a);
	truth(bpf_cpumask_empty(as_mask(a)));
	more = bpf_cpumask_acquire(a);
	fact(more == a);
	bpf_cpumask_release(more);
	bpf_cpumask_release(a);
	bpf_cpumask_release(b);
	bpf_cpumask_release(c);
	return 0;
}

__u64 words[130] = { 2 };

SEC("syscall")
int populated(void *ctx)
{
	struct bpf_cpumask *a = bpf_cpumask_create();

	if (!a)
		return 1;
	fact(bpf_cpumask_populate((struct cpumask *)a, words, 4));
	fact(bpf_cpumask_populate((struct cpumask *)a, words, sizeof(words)));
	fact(bpf_cpumask_first(as_mask(a)));
	bpf_cpumask_release(a);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
