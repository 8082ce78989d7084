// SPDX-License-Identifier: MIT OR Apache-2.0
// Sections without preemption or interrupts, RCU, and resilient spin locks.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym;
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock,
	unsigned long *flags) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock,
	unsigned long *flags) __ksym;

struct guarded {
	struct bpf_res_spin_lock lock;
	int value;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 40);
	__type(key, int);
	__type(value, struct guarded);
} guarded SEC(".maps");

SEC("syscall")
int sections(void *ctx)
{
	unsigned long outer, inner;

	bpf_rcu_read_lock();
	fact(1);
	bpf_rcu_read_unlock();
	bpf_preempt_disable();
	bpf_preempt_disable();
	fact(2);
	bpf_preempt_enable();
	bpf_preempt_enable();
	bpf_local_irq_save(&outer);
	bpf_local_irq_save(&inner);
	fact(3);
	bpf_local_irq_restore(&inner);
	bpf_local_irq_restore(&outer);
	return 0;
}

static __always_inline struct guarded *at(int index)
{
	return bpf_map_lookup_elem(&guarded, &index);
}

SEC("tc")
int locks(void *ctx)
{
	struct guarded *one = at(0), *other = at(1);
	int answer;

	if (!one || !other)
		return 1;
	answer = bpf_res_spin_lock(&one->lock);
	fact(answer);
	if (answer)
		return 2;
	one->value++;
	/* The same lock, through another pointer. */
	answer = bpf_res_spin_lock(&other->lock);
	fact(answer);
	if (!answer)
		bpf_res_spin_unlock(&other->lock);
	bpf_res_spin_unlock(&one->lock);
	answer = bpf_res_spin_lock(&one->lock);
	fact(answer);
	if (answer)
		return 3;
	bpf_res_spin_unlock(&one->lock);
	return 0;
}

SEC("tc")
int twice(void *ctx)
{
	struct guarded *one = at(0), *same = at(0);
	int answer;

	if (!one || !same)
		return 1;
	answer = bpf_res_spin_lock(&one->lock);
	fact(answer);
	if (answer)
		return 2;
	answer = bpf_res_spin_lock(&same->lock);
	fact(answer);
	if (!answer)
		bpf_res_spin_unlock(&same->lock);
	bpf_res_spin_unlock(&one->lock);
	return 0;
}

SEC("tc")
int without_interrupts(void *ctx)
{
	struct guarded *one = at(2);
	unsigned long flags;
	int answer;

	if (!one)
		return 1;
	answer = bpf_res_spin_lock_irqsave(&one->lock, &flags);
	fact(answer);
	if (answer)
		return 2;
	bpf_res_spin_unlock_irqrestore(&one->lock, &flags);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
