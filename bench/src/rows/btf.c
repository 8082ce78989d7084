/* `btf.rs` with libbpf. */
#include "row.h"
#include <bpf/btf.h>

int main(void)
{
	struct counters before = counters(), after;
	double start = now(), opened, all;
	struct btf *kernel = btf__load_vmlinux_btf();

	opened = now();
	if (!kernel || btf__find_by_name_kind(kernel, "vfs_read", BTF_KIND_FUNC) < 0)
		return 1;
	all = now();
	after = counters();
	printf("open %.0f\nall %.0f\n", opened - start, all - start);
	printf("live %lu\nallocations %lu\n", after.live - before.live, after.allocations - before.allocations);
	return 0;
}
