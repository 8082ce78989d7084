// SPDX-License-Identifier: MIT OR Apache-2.0
// What the kernel provides: its configuration in every form, symbols with and without a type,
// functions, and what is not there but weak.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern _Bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_BPF_JIT __kconfig;
extern char CONFIG_BPF __kconfig;
extern unsigned char CONFIG_PANIC_TIMEOUT __kconfig;
extern unsigned short CONFIG_HZ __kconfig;
extern unsigned long long CONFIG_PHYSICAL_START __kconfig;
extern long CONFIG_NR_CPUS __kconfig;
extern const char CONFIG_DEFAULT_HOSTNAME[16] __kconfig;
extern const char CONFIG_CC_VERSION_TEXT[4] __kconfig;
extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_BPF_COOKIE __kconfig;
extern _Bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;
extern int CONFIG_NO_SUCH_OPTION __kconfig __weak;
extern enum libbpf_tristate CONFIG_NO_SUCH_MODULE __kconfig __weak;

_Bool bpf_syscall;
int bpf_jit;
char bpf_letter;
unsigned char panic_timeout;
unsigned short hz;
unsigned long long physical_start;
long cpus;
char hostname[16];
char compiler[4];
int version;
_Bool has_cookie, has_wrapper;
int missing_option = 1, missing_module = 1;

SEC("raw_tp/sys_enter")
int configuration(void *ctx)
{
	bpf_syscall = CONFIG_BPF_SYSCALL;
	bpf_jit = CONFIG_BPF_JIT;
	bpf_letter = CONFIG_BPF;
	panic_timeout = CONFIG_PANIC_TIMEOUT;
	hz = CONFIG_HZ;
	physical_start = CONFIG_PHYSICAL_START;
	cpus = CONFIG_NR_CPUS;
	for (int i = 0; i < sizeof(hostname); i++)
		hostname[i] = CONFIG_DEFAULT_HOSTNAME[i];
	for (int i = 0; i < sizeof(compiler); i++)
		compiler[i] = CONFIG_CC_VERSION_TEXT[i];
	version = LINUX_KERNEL_VERSION;
	has_cookie = LINUX_HAS_BPF_COOKIE;
	has_wrapper = LINUX_HAS_SYSCALL_WRAPPER;
	missing_option = CONFIG_NO_SUCH_OPTION;
	missing_module = CONFIG_NO_SUCH_MODULE;
	return 0;
}

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

extern const void linux_banner __ksym __weak;
extern const void bpf_prog_put __ksym;
extern const void no_such_symbol __ksym __weak;
extern const struct task_struct init_task __ksym __weak;
extern const int bpf_prog_active __ksym __weak;
extern const int no_such_variable __ksym __weak;

__u64 banner, put, nothing = 1;
char banner_text[8];
int init_pid = 1, active = -1, nothing_typed = 1, init_there;

SEC("raw_tp/sys_enter")
int symbols(void *ctx)
{
	banner = (__u64)&linux_banner;
	put = (__u64)&bpf_prog_put;
	nothing = (__u64)&no_such_symbol;
	if (banner)
		bpf_probe_read_kernel(banner_text, sizeof(banner_text), (void *)banner);
	nothing_typed = &no_such_variable ? 1 : 0;
	return 0;
}

SEC("raw_tp/sys_enter")
int variables(void *ctx)
{
	const int *on_this;

	if (&init_task) {
		init_there = 1;
		bpf_probe_read_kernel(&init_pid, sizeof(init_pid), &init_task.pid);
	}
	if (&bpf_prog_active) {
		on_this = bpf_this_cpu_ptr(&bpf_prog_active);
		active = *on_this;
	}
	return 0;
}

extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;
extern int bpf_no_such_function(int number) __ksym __weak;

int locked, called;

SEC("raw_tp/sys_enter")
int functions(void *ctx)
{
	if (bpf_ksym_exists(bpf_rcu_read_lock)) {
		bpf_rcu_read_lock();
		locked = 1;
		bpf_rcu_read_unlock();
	}
	if (bpf_ksym_exists(bpf_no_such_function))
		called = bpf_no_such_function(1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
