/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* bpf_helpers.h: attributes, map definitions, plain C. */
#include "types.h"
#include <bpf/bpf_helpers.h>

_Static_assert(KERNEL_VERSION(5, 10, 7) == 0x050a07, "version");
_Static_assert(KERNEL_VERSION(4, 19, 300) == 0x0413ff, "a stable kernel's 300th patch");
_Static_assert(LIBBPF_PIN_NONE == 0 && LIBBPF_PIN_BY_NAME == 1, "pinning");
_Static_assert(TRI_NO == 0 && TRI_YES == 1 && TRI_MODULE == 2, "tristate");

struct value {
	__u64 count;
	struct task_struct __kptr *owned;
	struct task_struct __kptr_untrusted *seen;
	struct task_struct __percpu_kptr *each;
	struct task_struct __uptr *theirs;
};

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};

struct inner one SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [1] = &one } };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct value);
	__ulong(map_extra, 0x123456789);
	__ulong(other, 2);
} values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 3);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} programs SEC(".maps");

extern int LINUX_KERNEL_VERSION __kconfig;
extern enum libbpf_tristate CONFIG_BPF_SYSCALL __kconfig __weak;
extern const void jiffies __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;

const volatile int option = 3;

__weak __hidden int hidden(int n)
{
	return n + 1;
}

static __noinline int apart(int n)
{
	barrier();
	return n * 3;
}

__noinline int checked(void *ctx __arg_ctx, struct value *a __arg_nonnull,
		       struct value *b __arg_nullable, struct value *c __arg_trusted,
		       struct value *d __arg_untrusted)
{
	return ctx && a && b && c && d;
}

__noinline int in_arena(void *a __arg_arena)
{
	return a != NULL;
}

static __always_inline int known(int n)
{
	switch (n) {
	case 1:
		return 10;
	default:
		__bpf_unreachable();
	}
}

SEC("?socket")
int use(struct __sk_buff *skb)
{
	__u32 key = skb->len;
	struct value *value = bpf_map_lookup_elem(&values, &key);
	__u64 length = skb->len;

	if (unlikely(!value))
		return 0;
	if (likely(value->count != 0))
		value = container_of(&value->owned, struct value, owned);
	barrier_var(length);
	if (length > offsetof(struct value, owned) && bpf_ksym_exists(bpf_rcu_read_lock))
		value->count += known(1);
	if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(5, 15, 0) && CONFIG_BPF_SYSCALL == TRI_YES)
		value->count += hidden(option) + apart(option);
	if (&jiffies == NULL)
		return 1;
	bpf_tail_call_static(skb, &programs, 2);
	return bpf_map_lookup_elem(&outer, &key) != NULL;
}

char LICENSE[] SEC("license") = "GPL";
