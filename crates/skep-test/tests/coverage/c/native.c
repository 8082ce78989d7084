/* Runs a case natively: `case 1 2 3 - 4 5` are two runs. */
#include <stdlib.h>
#include <string.h>

struct args {
	unsigned v[8];
};
int test(struct args *args);

int main(int argc, char **argv)
{
	struct args args = {};
	int filled = 0;

	for (int i = 1; i <= argc; i++) {
		if (i == argc || !strcmp(argv[i], "-")) {
			test(&args);
			memset(&args, 0, sizeof(args));
			filled = 0;
		} else if (filled < 8) {
			args.v[filled++] = strtoul(argv[i], 0, 0);
		}
	}
	return 0;
}
