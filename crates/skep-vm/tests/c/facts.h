/* What the programs of a suite write down: pairs of a line and a number, compared between hosts. */
#define FACTS 256

__u64 facts[FACTS];
__u32 lines[FACTS];
__u32 count;

/* Writes one number down, with the line that did it. */
static __always_inline void fact_at(__u32 line, __s64 value)
{
	__u32 at = count;

	if (at < FACTS) {
		facts[at] = value;
		lines[at] = line;
		count = at + 1;
	}
}
#define fact(value) fact_at(__LINE__, (__s64)(value))

/* The same of a `bool`, of which the kernel's functions leave all bits but the lowest eight open. */
#define truth(value) ({ \
	__u32 __truth = (value); \
	asm volatile("" : "+r"(__truth)); \
	fact(__truth & 0xff); \
})
