/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Programs in sections of names that only their loader knows.
 */
#include "test.h"

char LICENSE[] SEC("license") = "GPL";

SEC("plugin")
int called(void *ctx)
{
	return 0;
}

SEC("on/eth0")
int packet(void *ctx)
{
	return 2;
}
