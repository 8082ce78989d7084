// Numbers that programs write by name, so that sources compile with a vmlinux.h of these types.

enum vm_truth {
	false = 0,
	true = 1,
};

enum vm_update_flags {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
	BPF_F_LOCK = 4,
};

enum vm_map_flags {
	BPF_F_NO_PREALLOC = 1,
	BPF_F_NO_COMMON_LRU = 2,
	BPF_F_RDONLY = 8,
	BPF_F_WRONLY = 16,
	BPF_F_RDONLY_PROG = 128,
	BPF_F_WRONLY_PROG = 256,
	BPF_F_MMAPABLE = 1024,
};

enum vm_stack_flags {
	BPF_F_SKIP_FIELD_MASK = 255,
	BPF_F_USER_STACK = 256,
	BPF_F_FAST_STACK_CMP = 512,
	BPF_F_REUSE_STACKID = 1024,
	BPF_F_USER_BUILD_ID = 2048,
};

enum vm_ring_flags {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
};

enum vm_ring_queries {
	BPF_RB_AVAIL_DATA = 0,
	BPF_RB_RING_SIZE = 1,
	BPF_RB_CONS_POS = 2,
	BPF_RB_PROD_POS = 3,
};

enum vm_event_flags {
	BPF_F_CURRENT_CPU = 4294967295,
};

enum vm_storage_flags {
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
};
