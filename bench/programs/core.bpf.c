/* A thousand CO-RE relocations: of 50 members of 10 of the kernel's structs, their offset (twice),
 * size and presence, five times. */
#include "bench.h"

#define KERNEL __attribute__((preserve_access_index))
typedef struct { __u32 val; } kuid_t, kgid_t;

struct task_struct { int pid, tgid; char comm[16]; void *mm; __u64 start_time; } KERNEL;
struct mm_struct { unsigned long mmap_base, start_code, end_code, brk, start_stack; } KERNEL;
struct file { __u32 f_mode, f_flags; long long f_pos; void *f_op, *f_inode; } KERNEL;
struct inode { unsigned short i_mode; kuid_t i_uid; unsigned long i_ino; void *i_sb; long long i_size; } KERNEL;
struct dentry { __u32 d_flags; void *d_parent, *d_inode, *d_sb, *d_op; } KERNEL;
struct super_block { __u32 s_dev; unsigned long s_flags, s_magic; void *s_type, *s_root; } KERNEL;
struct sk_buff { __u32 len, data_len; void *head, *data, *dev; } KERNEL;
struct net_device { char name[16]; int ifindex; __u32 mtu, flags; void *dev_addr; } KERNEL;
struct cred { kuid_t uid, euid; kgid_t gid, egid; void *user_ns; } KERNEL;
struct vm_area_struct { unsigned long vm_start, vm_end, vm_pgoff; void *vm_mm, *vm_file; } KERNEL;

/* The barrier keeps the compiler from asking once for all. */
#define INFO(type, member, what)                                                             \
	sum += __builtin_preserve_field_info(((struct type *)ctx)->member, what);              \
	asm volatile("" : "+r"(sum) : : "memory");
#define MEMBER(type, member) INFO(type, member, 0) INFO(type, member, 1) INFO(type, member, 2) INFO(type, member, 0)
#define FIVE(type, a, b, c, d, e) MEMBER(type, a) MEMBER(type, b) MEMBER(type, c) MEMBER(type, d) MEMBER(type, e)
#define ALL                                                                  \
	FIVE(task_struct, pid, tgid, comm, mm, start_time)                   \
	FIVE(mm_struct, mmap_base, start_code, end_code, brk, start_stack)   \
	FIVE(file, f_mode, f_flags, f_pos, f_op, f_inode)                    \
	FIVE(inode, i_mode, i_uid, i_ino, i_sb, i_size)                      \
	FIVE(dentry, d_flags, d_parent, d_inode, d_sb, d_op)                 \
	FIVE(super_block, s_dev, s_flags, s_magic, s_type, s_root)           \
	FIVE(sk_buff, len, data_len, head, data, dev)                        \
	FIVE(net_device, name, ifindex, mtu, flags, dev_addr)                \
	FIVE(cred, uid, euid, gid, egid, user_ns)                            \
	FIVE(vm_area_struct, vm_start, vm_end, vm_pgoff, vm_mm, vm_file)

SEC("xdp")
int relocated(void *ctx)
{
	__u64 sum = 0;
	ALL ALL ALL ALL ALL
	return sum != 0;
}
