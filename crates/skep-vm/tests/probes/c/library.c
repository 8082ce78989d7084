// SPDX-License-Identifier: MIT OR Apache-2.0
// A shared library that comes and goes.
int watched_from_outside;

long in_library(long a)
{
	return a + 100;
}
