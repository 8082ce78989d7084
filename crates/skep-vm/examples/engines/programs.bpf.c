/* What the engines are measured with: arithmetic, division, and memory of the frame. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
/* Keeps loops as they are written: the compiler knows nothing of memory across it. */
#define barrier() asm volatile("" ::: "memory")

SEC("tc/alu")
int alu(void *ctx)
{
	u64 a = 1, b = 0x9e3779b97f4a7c15;

	for (u32 i = 0; i < 30000; i++) {
		a = a * 31 + i;
		b ^= a >> 7;
		b += a << 3;
		a -= b & 0xffff;
	}
	return a ^ b;
}

SEC("tc/prime")
int prime(void *ctx)
{
	u64 count = 0;

	for (u64 n = 2; n < 1500; n++) {
		u64 d = 2;

		while (d * d <= n && n % d)
			d++;
		count += d * d > n;
	}
	return count;
}

SEC("tc/mem")
int mem(void *ctx)
{
	u8 from[240], to[240];
	u32 same = 0;

	for (u32 i = 0; i < 240; i++) {
		from[i] = i * 7;
		barrier();
	}
	for (u32 round = 0; round < 30; round++) {
		for (u32 i = 0; i < 240; i++) {
			to[i] = from[i];
			barrier();
		}
		for (u32 i = 0; i < 240; i++) {
			same += to[i] == from[i];
			barrier();
		}
		from[round] ^= round;
	}
	return same;
}
