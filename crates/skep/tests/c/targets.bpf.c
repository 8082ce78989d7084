// SPDX-License-Identifier: MIT OR Apache-2.0
// Programs for functions and security hooks that take no such programs, or not what they return. The
// tests load one at a time. And one that has the kernel refuse.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define RETURNING(name, section, value) \
	SEC("?" section) int name(void *ctx) { return value; }

RETURNING(misspelt, "lsm/file_opne", 0)
RETURNING(disabled, "lsm/getprocattr", 0)
RETURNING(positive, "lsm/file_open", 1)
RETURNING(awake, "lsm.s/task_free", 0)
RETURNING(unmodifiable, "fmod_ret/vfs_read", 0)
RETURNING(unknown, "fmod_ret/security_file_opne", 0)
RETURNING(unsleepable, "fentry.s/vfs_read", 0)
RETURNING(returning, "fentry/vfs_read", 1)

// Lets a process make no map (command 0).
const volatile __u32 guarded = 0;

SEC("?lsm/bpf")
int BPF_PROG(guarding, int command)
{
	return command == 0 && bpf_get_current_pid_tgid() >> 32 == guarded ? -1 : 0;
}

char LICENSE[] SEC("license") = "GPL";
