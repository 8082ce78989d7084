// SPDX-License-Identifier: MIT OR Apache-2.0
// Kernel functions on strings: answers, ends, and what is no string.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "facts.h"

extern int bpf_strcmp(const char *a, const char *b) __ksym;
extern int bpf_strcasecmp(const char *a, const char *b) __ksym;
extern int bpf_strchr(const char *s, char c) __ksym;
extern int bpf_strchrnul(const char *s, char c) __ksym;
extern int bpf_strnchr(const char *s, __SIZE_TYPE__ count, char c) __ksym;
extern int bpf_strrchr(const char *s, int c) __ksym;
extern int bpf_strlen(const char *s) __ksym;
extern int bpf_strnlen(const char *s, __SIZE_TYPE__ count) __ksym;
extern int bpf_strspn(const char *s, const char *accept) __ksym;
extern int bpf_strcspn(const char *s, const char *reject) __ksym;
extern int bpf_strstr(const char *a, const char *b) __ksym;
extern int bpf_strnstr(const char *a, const char *b, __SIZE_TYPE__ len) __ksym;

char hello[] = "hello world";
char upper[] = "HELLO World";
char high[] = "\xe9t\xe9";
char plain[] = "ete";
char nothing[] = "";
char endless[70000];

SEC("syscall")
int compare(void *ctx)
{
	fact(bpf_strcmp(hello, hello));
	fact(bpf_strcmp(hello, "hello"));
	fact(bpf_strcmp("hello", hello));
	fact(bpf_strcmp(hello, upper));
	fact(bpf_strcmp(high, plain));
	fact(bpf_strcmp(nothing, nothing));
	fact(bpf_strcasecmp(hello, upper));
	fact(bpf_strcasecmp(hello, "HELLO!"));
	fact(bpf_strcasecmp(high, "\xc9T\xc9"));
	fact(bpf_strcasecmp("\xd7", "\xf7"));
	fact(bpf_strcasecmp("_", "A"));
	return 0;
}

SEC("syscall")
int find(void *ctx)
{
	fact(bpf_strchr(hello, 'o'));
	fact(bpf_strchr(hello, 'z'));
	fact(bpf_strchr(hello, 0));
	fact(bpf_strchr(high, '\xe9'));
	fact(bpf_strchrnul(hello, 'w'));
	fact(bpf_strchrnul(hello, 'z'));
	fact(bpf_strnchr(hello, 5, 'o'));
	fact(bpf_strnchr(hello, 4, 'o'));
	fact(bpf_strnchr(hello, 0, 'h'));
	fact(bpf_strnchr(hello, 11, 0));
	fact(bpf_strnchr(hello, 12, 0));
	fact(bpf_strrchr(hello, 'o'));
	fact(bpf_strrchr(hello, 'z'));
	fact(bpf_strrchr(hello, 0));
	fact(bpf_strrchr(high, 0xe9));
	fact(bpf_strrchr(high, (char)0xe9));
	fact(bpf_strlen(hello));
	fact(bpf_strlen(nothing));
	fact(bpf_strnlen(hello, 5));
	fact(bpf_strnlen(hello, 12));
	fact(bpf_strnlen(hello, 0));
	return 0;
}

SEC("syscall")
int spans(void *ctx)
{
	fact(bpf_strspn(hello, "leh"));
	fact(bpf_strspn(hello, "xyz"));
	fact(bpf_strspn(hello, ""));
	fact(bpf_strspn(hello, "helo wrd"));
	fact(bpf_strspn(nothing, "abc"));
	fact(bpf_strcspn(hello, " "));
	fact(bpf_strcspn(hello, "xyz"));
	fact(bpf_strcspn(hello, ""));
	fact(bpf_strcspn(hello, "h"));
	fact(bpf_strstr(hello, "wor"));
	fact(bpf_strstr(hello, "word"));
	fact(bpf_strstr(hello, ""));
	fact(bpf_strstr("", "a"));
	fact(bpf_strstr("", ""));
	fact(bpf_strstr(hello, hello));
	fact(bpf_strnstr(hello, "wor", 9));
	fact(bpf_strnstr(hello, "wor", 8));
	fact(bpf_strnstr(hello, "", 0));
	fact(bpf_strnstr(hello, "h", 0));
	fact(bpf_strnstr(hello, "hello", 5));
	fact(bpf_strnstr(hello, "world", 11));
	fact(bpf_strnstr(hello, "world", 12));
	return 0;
}

SEC("syscall")
int faults(void *ctx)
{
	char *null = 0, *user = (char *)1, *kernel = (char *)-1;

	fact(bpf_strcmp(null, hello));
	fact(bpf_strcmp(hello, null));
	fact(bpf_strcmp(user, hello));
	fact(bpf_strcmp(hello, kernel));
	fact(bpf_strcmp(kernel, null));
	fact(bpf_strcasecmp(null, hello));
	fact(bpf_strcasecmp(hello, kernel));
	fact(bpf_strchr(null, 'a'));
	fact(bpf_strchr(kernel, 'a'));
	fact(bpf_strchrnul(user, 'a'));
	fact(bpf_strnchr(null, 0, 'a'));
	fact(bpf_strnchr(kernel, 0, 'a'));
	fact(bpf_strrchr(kernel, 'a'));
	fact(bpf_strlen(null));
	fact(bpf_strlen(kernel));
	fact(bpf_strnlen(kernel, 0));
	fact(bpf_strspn(hello, null));
	fact(bpf_strspn(hello, kernel));
	fact(bpf_strcspn(kernel, user));
	fact(bpf_strcspn(nothing, kernel));
	fact(bpf_strstr(hello, kernel));
	fact(bpf_strstr(user, kernel));
	fact(bpf_strnstr(kernel, "", 1));
	fact(bpf_strnstr(kernel, "a", 0));
	fact(bpf_strlen((char *)0x8000000000000000ull));
	fact(bpf_strlen((char *)0x00007fffffffffffull));
	return 0;
}

SEC("syscall")
int long_ones(void *ctx)
{
	int i;

	bpf_for(i, 0, 70000)
		endless[i] = 'a';
	fact(bpf_strcmp(endless, endless));
	fact(bpf_strcasecmp(endless, endless));
	fact(bpf_strchr(endless, 'b'));
	fact(bpf_strchrnul(endless, 'b'));
	fact(bpf_strnchr(endless, 65535, 'b'));
	fact(bpf_strnchr(endless, 65536, 'b'));
	fact(bpf_strnchr(endless, 65537, 'b'));
	fact(bpf_strrchr(endless, 'a'));
	fact(bpf_strlen(endless));
	fact(bpf_strnlen(endless, 65535));
	fact(bpf_strnlen(endless, 65536));
	fact(bpf_strnlen(endless, -1));
	fact(bpf_strspn(endless, "a"));
	fact(bpf_strspn("b", endless));
	fact(bpf_strcspn(endless, "b"));
	fact(bpf_strcspn("b", endless));
	fact(bpf_strstr(endless, "b"));
	fact(bpf_strstr(endless, endless));
	fact(bpf_strnstr(endless, "b", 65535));
	fact(bpf_strnstr(endless, "b", 65536));
	endless[65534] = 0;
	fact(bpf_strlen(endless));
	endless[65534] = 'a';
	endless[65535] = 0;
	fact(bpf_strlen(endless));
	fact(bpf_strstr(endless, "b"));
	fact(bpf_strcmp(endless, endless));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
