// SPDX-License-Identifier: MIT OR Apache-2.0
// Objects in maps (kernel pointers), and objects with a copy a CPU. For compilers that write down
// type tags.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "facts.h"
#include "renamed.h"

extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern u32 bpf_cpumask_first(const struct cpumask *cpumask) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

#define new(type) ((type *)bpf_obj_new(bpf_core_type_id_local(type)))
#define drop(object) bpf_obj_drop(object)

struct both {
	struct bpf_refcount refs;
	long value;
};

struct counter {
	__u64 hits;
};

struct kept {
	struct both __kptr *both;
	struct counter __percpu_kptr *counter;
	struct bpf_cpumask __kptr *mask;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct kept);
} kept SEC(".maps");

SEC("syscall")
int kept_pointers(void *ctx)
{
	struct both *both = new(struct both), *old;
	struct kept *place;
	int zero = 0;

	place = bpf_map_lookup_elem(&kept, &zero);
	if (!place || !both) {
		if (both)
			drop(both);
		return 1;
	}
	both->value = 42;
	old = bpf_kptr_xchg(&place->both, both);
	fact(old != 0);
	if (old)
		drop(old);
	old = bpf_kptr_xchg(&place->both, 0);
	if (old) {
		fact(old->value);
		drop(old);
	}
	old = bpf_kptr_xchg(&place->both, 0);
	fact(old != 0);
	if (old)
		drop(old);
	return 0;
}

SEC("syscall")
int a_copy_each(void *ctx)
{
	struct counter *counter, *mine;
	struct kept *place;
	int zero = 0;

	place = bpf_map_lookup_elem(&kept, &zero);
	if (!place)
		return 1;
	counter = bpf_percpu_obj_new(bpf_core_type_id_local(struct counter));
	if (!counter)
		return 1;
	counter = bpf_kptr_xchg(&place->counter, counter);
	if (counter)
		bpf_percpu_obj_drop(counter);
	bpf_rcu_read_lock();
	counter = place->counter;
	if (counter) {
		mine = bpf_this_cpu_ptr(counter);
		mine->hits = 5;
		fact(mine->hits);
		mine = bpf_per_cpu_ptr(counter, 1 << 20);
		fact(mine != 0);
		mine = bpf_per_cpu_ptr(counter, 0);
		fact(mine != 0);
	}
	bpf_rcu_read_unlock();
	counter = bpf_kptr_xchg(&place->counter, 0);
	if (!counter)
		return 2;
	bpf_percpu_obj_drop(counter);
	return 0;
}

SEC("syscall")
int kept_masks(void *ctx)
{
	struct bpf_cpumask *mask = bpf_cpumask_create(), *old;
	struct kept *place;
	int zero = 0;

	place = bpf_map_lookup_elem(&kept, &zero);
	if (!place || !mask) {
		if (mask)
			bpf_cpumask_release(mask);
		return 1;
	}
	bpf_cpumask_set_cpu(1, mask);
	old = bpf_kptr_xchg(&place->mask, mask);
	fact(old != 0);
	if (old)
		bpf_cpumask_release(old);
	bpf_rcu_read_lock();
	mask = place->mask;
	if (mask)
		fact(bpf_cpumask_first((struct cpumask *)mask));
	bpf_rcu_read_unlock();
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
