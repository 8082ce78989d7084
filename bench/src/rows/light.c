/* `light_tool.rs` with libbpf's light skeleton: loads, attaches, says so, waits. Of libbpf there is
 * nothing in it but headers, so that the ring is mapped by hand. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "start.lskel.h"

int main(void)
{
	long page = sysconf(_SC_PAGESIZE);
	struct start *skel = start__open_and_load();
	void *consumer, *producer;

	if (!skel || start__attach(skel) < 0)
		return 1;
	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, skel->maps.events.map_fd, 0);
	producer = mmap(NULL, page + 2 * 256 * 1024, PROT_READ, MAP_SHARED,
			skel->maps.events.map_fd, page);
	if (consumer == MAP_FAILED || producer == MAP_FAILED)
		return 1;
	puts("ready");
	fflush(stdout);
	getchar();
	start__destroy(skel);
	return 0;
}
