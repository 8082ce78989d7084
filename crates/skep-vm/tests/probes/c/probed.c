// SPDX-License-Identifier: MIT OR Apache-2.0
// A program whose functions are probed. Each scenario checks itself, and prints what it did: with
// probes and without, the output and the exit status must be the same.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __clang__
#define PROBED __attribute__((noinline))
#else
#define PROBED __attribute__((noipa))
#endif
#define CHECK(what) do { if (!(what)) { printf("wrong: %s (line %d)\n", #what, __LINE__); exit(9); } } while (0)

extern char **environ;
static volatile long sink;

PROBED long probed(long a, long b)
{
	sink += a;
	return a * 3 + b;
}

PROBED long recursive(long n)
{
	if (n == 0)
		return 0;
	// Not a loop.
	volatile long got = recursive(n - 1);
	return got + 1;
}

PROBED long tail_end(long a)
{
	sink += a;
	return a + 7;
}

// Jumps to the other at its end.
PROBED long tail(long a)
{
	sink += a;
	return tail_end(a * 2);
}

static jmp_buf back;

PROBED long jumps_out(long a)
{
	if (a & 1)
		longjmp(back, 1);
	return a;
}

// First instructions of all kinds, one a function.
#define KIND(name, body) \
	long name(long a, long b); \
	__asm__(".globl " #name "\n.type " #name ", @function\n" #name ":\n" \
		".cfi_startproc\n" body "\n.cfi_endproc\n.size " #name ", .-" #name "\n")
static long table_word = 5;
long *kind_table[1] = { &table_word };
long kind_target(long a, long b) { return a + b; }
long (*kind_pointer)(long, long) = kind_target;

KIND(kind_push, "push %rbx; mov %rdi, %rbx; lea (%rbx,%rsi), %rax; pop %rbx; ret");
KIND(kind_nop, "nop; lea (%rdi,%rsi), %rax; ret");
KIND(kind_long_nop, ".byte 0x66,0x0f,0x1f,0x44,0,0; lea (%rdi,%rsi), %rax; ret");
KIND(kind_endbr, "endbr64; lea (%rdi,%rsi), %rax; ret");
KIND(kind_riprel, "mov kind_table(%rip), %rax; mov (%rax), %rax; add %rdi, %rax; add %rsi, %rax; sub $5, %rax; ret");
KIND(kind_lea, "lea kind_table(%rip), %rax; mov (%rax), %rax; mov (%rax), %rax; add %rdi, %rax; add %rsi, %rax; sub $5, %rax; ret");
KIND(kind_jmp, "jmp 1f; ud2; 1: lea (%rdi,%rsi), %rax; ret");
KIND(kind_jmp_far_away, "jmp kind_target; ud2");
KIND(kind_jcc, "test %rdi, %rdi; jnz 1f; mov %rsi, %rax; ret; 1: lea (%rdi,%rsi), %rax; ret");
KIND(kind_jrcxz, "jrcxz 1f; lea (%rdi,%rsi), %rax; ret; 1: lea (%rsi,%rdi), %rax; ret");
KIND(kind_call, "call kind_target; ret");
KIND(kind_call_pointer, "call *kind_pointer(%rip); ret");
KIND(kind_call_register, "mov kind_pointer(%rip), %rax; call *%rax; ret");
KIND(kind_call_stack, "push kind_pointer(%rip); call *(%rsp); pop %rcx; ret");
KIND(kind_jmp_pointer, "jmp *kind_pointer(%rip)");
KIND(kind_ret, "ret");
KIND(kind_string, "push %rdi; push %rsi; lea -128(%rsp), %rdi; lea -256(%rsp), %rsi; mov $8, %rcx; cld; "
	"rep movsb; pop %rsi; pop %rdi; lea (%rdi,%rsi), %rax; ret");
KIND(kind_syscall, "push %rdi; push %rsi; mov $39, %eax; syscall; pop %rsi; pop %rdi; lea (%rdi,%rsi), %rax; ret");
KIND(kind_pushf, "pushf; pop %rax; lea (%rdi,%rsi), %rax; ret");
KIND(kind_faults, "mov (%rdi), %rax; ret");
KIND(kind_illegal, "ud2; lea (%rdi,%rsi), %rax; ret");
KIND(kind_divides, "idiv %rcx; lea (%rdi,%rsi), %rax; ret");

static void kinds(long n)
{
	long (*all[])(long, long) = {
		kind_push, kind_nop, kind_long_nop, kind_endbr, kind_riprel, kind_lea, kind_jmp,
		kind_jmp_far_away, kind_jcc, kind_jrcxz, kind_call, kind_call_pointer,
		kind_call_register, kind_call_stack, kind_jmp_pointer, kind_string, kind_syscall,
		kind_pushf,
	};
	for (long i = 0; i < n; i++)
		for (unsigned k = 0; k < sizeof(all) / sizeof(*all); k++)
			CHECK(all[k](i, k) == i + k);
	for (long i = 0; i < n; i++)
		kind_ret(i, i);
	printf("kinds %ld\n", n);
}

static void calls(long n)
{
	long sum = 0;
	for (long i = 0; i < n; i++) {
		long got = probed(i, 1);
		CHECK(got == i * 3 + 1);
		sum += got;
	}
	printf("calls %ld %ld\n", n, sum);
}

static void *thread(void *n)
{
	for (long i = 0; i < (long)n; i++)
		CHECK(probed(i, 2) == i * 3 + 2);
	return NULL;
}

static void threads(long n)
{
	pthread_t all[64];
	for (int i = 0; i < 64; i++)
		CHECK(pthread_create(&all[i], NULL, thread, (void *)n) == 0);
	for (int i = 0; i < 64; i++)
		pthread_join(all[i], NULL);
	printf("threads %ld\n", n);
}

static void forks(long n)
{
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			CHECK(probed(i, 3) == i * 3 + 3);
			_exit(i & 63);
		}
		if (i % 8 == 7)
			for (int k = 0; k < 8; k++) {
				int status;
				CHECK(wait(&status) > 0 && WIFEXITED(status));
			}
		CHECK(probed(i, 4) == i * 3 + 4);
	}
	while (wait(NULL) > 0)
		;
	printf("forks %ld\n", n);
}

static void vforks(long n)
{
	for (long i = 0; i < n; i++) {
		int status;
		pid_t pid = vfork();
		if (pid == 0) {
			long got = probed(i, 5);
			_exit(got == i * 3 + 5 ? 11 : 12);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 11);
		CHECK(probed(i, 6) == i * 3 + 6);
	}
	printf("vforks %ld\n", n);
}

static void spawns(char *self, long n)
{
	for (long i = 0; i < n; i++) {
		char *args[] = { self, "calls", "3", NULL };
		pid_t pid;
		int status;
		fflush(stdout);
		CHECK(posix_spawn(&pid, self, NULL, NULL, args, environ) == 0);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 5);
	}
	printf("spawns %ld\n", n);
}

static volatile sig_atomic_t alarms;
static long in_handler;

static void alarmed(int signal, siginfo_t *info, void *context)
{
	(void)signal; (void)info;
	ucontext_t *user = context;
	Dl_info where;
	// It was interrupted in code that belongs to a file.
	if (!dladdr((void *)user->uc_mcontext.gregs[REG_RIP], &where) || !where.dli_fname) {
		write(1, "elsewhere\n", 10);
		_exit(8);
	}
	in_handler += probed(1, 1) == 4;
	alarms++;
}

static void signals(long n)
{
	struct sigaction action = { .sa_sigaction = alarmed, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { 0 };
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (long i = 0; i < n; i++)
		CHECK(probed(i, 7) == i * 3 + 7);
	setitimer(ITIMER_REAL, &never, NULL);
	CHECK(in_handler == alarms);
	fprintf(stderr, "alarms %d\n", (int)alarms);
	printf("signals %ld\n", n);
}

static long faults_seen;
static long good_word = 41;

static void fault(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	greg_t *regs = user->uc_mcontext.gregs;
	void *at = (void *)regs[REG_RIP];

	faults_seen++;
	switch (signal) {
	case SIGSEGV:
		CHECK(at == (void *)kind_faults && info->si_addr == (void *)0x10);
		regs[REG_RDI] = (greg_t)&good_word;
		break;
	case SIGILL:
		CHECK(at == (void *)kind_illegal && info->si_addr == at);
		regs[REG_RIP] += 2;
		break;
	case SIGFPE:
		CHECK(at == (void *)kind_divides && info->si_addr == at);
		regs[REG_RIP] += 3;
		break;
	}
}

static void faults(long n)
{
	struct sigaction action = { .sa_sigaction = fault, .sa_flags = SA_SIGINFO };
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGFPE, &action, NULL);
	for (long i = 0; i < n; i++) {
		CHECK(kind_faults(0x10, 0) == 41);
		CHECK(kind_illegal(i, 1) == i + 1);
		register long zero __asm__("rcx") = 0;
		__asm__ volatile("" : "+r"(zero));
		long got;
		__asm__ volatile("xor %%edx, %%edx; xor %%eax, %%eax; xor %%ecx, %%ecx; call kind_divides"
			: "=a"(got) : "D"(i), "S"(2L) : "rcx", "rdx", "memory", "cc");
		CHECK(got == i + 2);
	}
	CHECK(faults_seen == 3 * n);
	printf("faults %ld\n", n);
}

static volatile long own_traps;

static void trapped(int signal, siginfo_t *info, void *context)
{
	(void)signal; (void)info; (void)context;
	own_traps++;
}

static void traps(long n)
{
	struct sigaction action = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO };
	sigaction(SIGTRAP, &action, NULL);
	for (long i = 0; i < n; i++) {
		__asm__ volatile("int3");
		raise(SIGTRAP);
		CHECK(probed(i, 8) == i * 3 + 8);
	}
	CHECK(own_traps == 2 * n);
	printf("traps %ld\n", n);
}

// With all signals blocked, as the C library does it at times.
static void masks(long n)
{
	sigset_t all, now;
	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
	for (long i = 0; i < n; i++) {
		CHECK(probed(i, 8) == i * 3 + 8);
		CHECK(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
		CHECK(sigismember(&now, SIGTRAP) && sigismember(&now, SIGINT));
	}
	printf("masks %ld\n", n);
}

// Called from code that is made at run time.
static void made(long n)
{
	// sub $8, %rsp; movabs probed, %rax; call *%rax; add $8, %rsp; ret
	unsigned char code[] = { 0x48, 0x83, 0xec, 8, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xd0,
		0x48, 0x83, 0xc4, 8, 0xc3 };
	void *function = probed;
	memcpy(code + 6, &function, 8);
	long (*page)(long, long) = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED);
	memcpy(page, code, sizeof(code));
	for (long i = 0; i < n; i++)
		CHECK(page(i, 1) == i * 3 + 1);
	CHECK(memcmp(page, code, sizeof(code)) == 0);
	printf("made %ld\n", n);
}

static void jumps(long n)
{
	volatile long out = 0, in = 0;
	for (volatile long i = 0; i < n; i++) {
		if (setjmp(back) == 0) {
			CHECK(jumps_out(i) == i);
			in++;
		} else {
			out++;
		}
	}
	printf("jumps %ld %ld\n", in, out);
}

static long cleaned;
static void clean(void *unused) { (void)unused; cleaned++; }

PROBED long exits_thread(long depth)
{
	if (depth == 0)
		pthread_exit((void *)77);
	pthread_cleanup_push(clean, NULL);
	sink += exits_thread(depth - 1);
	pthread_cleanup_pop(0);
	return depth;
}

static void *unwound(void *unused)
{
	(void)unused;
	exits_thread(5);
	return NULL;
}

static void unwinds(long n)
{
	for (long i = 0; i < n; i++) {
		pthread_t one;
		void *got;
		cleaned = 0;
		CHECK(pthread_create(&one, NULL, unwound, NULL) == 0);
		CHECK(pthread_join(one, &got) == 0 && got == (void *)77 && cleaned == 5);
	}
	printf("unwinds %ld\n", n);
}

static void library(char *path, long n)
{
	for (long i = 0; i < n; i++) {
		void *loaded = dlopen(path, RTLD_NOW);
		CHECK(loaded);
		long (*function)(long) = (long (*)(long))dlsym(loaded, "in_library");
		int *watched = dlsym(loaded, "watched_from_outside");
		CHECK(function && function(i) == i + 100 && watched);
		dlclose(loaded);
	}
	printf("library %ld\n", n);
}

// How many watch a place of this program. A "function", to be found as one.
extern unsigned short watchers;
__asm__(".pushsection .probes, \"aw\"\n.globl watchers\n.type watchers, @function\nwatchers: .2byte 0\n.size watchers, 2\n.popsection");

// Lines say how often to call.
static void waits(long n)
{
	char line[16];
	(void)n;
	printf("ready %d\n", watchers);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		// Nobody without capabilities may read or write its memory then.
		if (!strcmp(line, "hide\n"))
			CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
		for (long i = 0; i < atol(line); i++)
			CHECK(probed(i, 9) == i * 3 + 9);
		unsigned char first;
		memcpy(&first, (void *)probed, 1);
		printf("done %d %02x\n", watchers, first);
		fflush(stdout);
	}
	printf("end\n");
}

static void *spins(void *stop)
{
	long n = 0;
	while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED)) {
		CHECK(probed(n, 1) == n * 3 + 1);
		CHECK(kind_call(n, 1) == n + 1);
		CHECK(recursive(5) == 5);
		n++;
	}
	return (void *)n;
}

// Threads that are in probed functions all the time, until a line comes.
static void busy(long n)
{
	pthread_t all[16];
	int stop = 0;
	char line[16];
	if (n > 16)
		n = 16;
	for (long i = 0; i < n; i++)
		CHECK(pthread_create(&all[i], NULL, spins, &stop) == 0);
	printf("ready\n");
	fflush(stdout);
	CHECK(fgets(line, sizeof(line), stdin));
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (long i = 0; i < n; i++)
		pthread_join(all[i], NULL);
	FILE *maps = fopen("/proc/self/maps", "r");
	char text[512];
	int odd = 0;
	while (fgets(text, sizeof(text), maps))
		// Executable, and of no file.
		if (strstr(text, " r-xp ") && !strchr(text, '/') && !strchr(text, '['))
			odd++;
	printf("busy %d\n", odd);
}

// What threads of the child that is stopped have done.
static long *done;

static void *works(void *unused)
{
	for (;;) {
		CHECK(probed(1, 1) == 4);
		CHECK(kind_call(1, 1) == 2);
		CHECK(recursive(2) == 2);
		__atomic_add_fetch(done, 1, __ATOMIC_SEQ_CST);
	}
	return unused;
}

static void *works_once(void *unused)
{
	CHECK(probed(1, 1) == 4);
	__atomic_add_fetch(done, 1, __ATOMIC_SEQ_CST);
	return unused;
}

static long done_so_far(void)
{
	return __atomic_load_n(done, __ATOMIC_SEQ_CST);
}

static void works_on(void)
{
	for (long before = done_so_far(); done_so_far() == before;)
		usleep(100);
}

// A child whose threads are in probed functions all the time, and that makes new ones, is stopped
// and continued by its parent, who is told of it by the kernel.
static void stops(long n)
{
	static const int how[] = { SIGSTOP, SIGTSTP, SIGTTIN };
	int status;
	pid_t parent = getpid();
	done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(done != MAP_FAILED);
	// Who waits for ever is wrong.
	alarm(100);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		pthread_t one;
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent);
		// The kernel lets no terminal's signal stop a group that nobody could continue.
		CHECK(setpgid(0, 0) == 0);
		for (int i = 0; i < 4; i++)
			CHECK(pthread_create(&one, NULL, works, NULL) == 0);
		for (;;) {
			CHECK(pthread_create(&one, NULL, works_once, NULL) == 0);
			pthread_join(one, NULL);
		}
	}
	works_on();
	for (long i = 0; i < n; i++) {
		int signal = how[i % 3];
		CHECK(kill(pid, signal) == 0);
		CHECK(waitpid(pid, &status, WUNTRACED) == pid);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == signal);
		long before = done_so_far();
		usleep(2000);
		CHECK(done_so_far() == before);
		CHECK(kill(pid, SIGCONT) == 0);
		CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
		works_on();
		// However far it has come with the first, the second is the last word.
		CHECK(kill(pid, signal) == 0);
		usleep(i % 5 * 50);
		CHECK(kill(pid, SIGCONT) == 0);
		works_on();
	}
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	printf("stops %ld\n", n);
}

// Lets nobody map memory any more, on pain of death.
static void sandbox(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, rules };
	// What they need is there before.
	static char out[4096], in[4096];
	setvbuf(stdout, out, _IOFBF, sizeof(out));
	setvbuf(stdin, in, _IOFBF, sizeof(in));
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void *executes(void *self)
{
	usleep(20000);
	execl(self, self, "calls", "6", NULL);
	return NULL;
}

// A thread that is not the first executes another program, while others are in probed functions.
static void threadexec(char *self)
{
	pthread_t one, two;
	int stop = 0;
	CHECK(pthread_create(&one, NULL, spins, &stop) == 0);
	CHECK(pthread_create(&two, NULL, executes, self) == 0);
	spins(&stop);
}

int main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[3], "sandboxed"))
		sandbox();

	const char *what = argc > 1 ? argv[1] : "";
	long n = argc > 2 ? atol(argv[2]) : 10;

	if (!strcmp(what, "calls")) calls(n);
	else if (!strcmp(what, "kinds")) kinds(n);
	else if (!strcmp(what, "threads")) threads(n);
	else if (!strcmp(what, "forks")) forks(n);
	else if (!strcmp(what, "vforks")) vforks(n);
	else if (!strcmp(what, "spawns")) spawns(argv[0], n);
	else if (!strcmp(what, "exec")) execl(argv[0], argv[0], "calls", argv[2], NULL);
	else if (!strcmp(what, "signals")) signals(n);
	else if (!strcmp(what, "faults")) faults(n);
	else if (!strcmp(what, "traps")) traps(n);
	else if (!strcmp(what, "masks")) masks(n);
	else if (!strcmp(what, "made")) made(n);
	else if (!strcmp(what, "jumps")) jumps(n);
	else if (!strcmp(what, "unwinds")) unwinds(n);
	else if (!strcmp(what, "recursive")) printf("recursive %ld\n", recursive(n));
	else if (!strcmp(what, "tail")) { for (long i = 0; i < n; i++) CHECK(tail(i) == 2 * i + 7); puts("tail"); }
	else if (!strcmp(what, "library")) library(argv[3], n);
	else if (!strcmp(what, "waits")) waits(n);
	else if (!strcmp(what, "busy")) busy(n);
	else if (!strcmp(what, "stops")) stops(n);
	else if (!strcmp(what, "threadexec")) threadexec(argv[0]);
	else if (!strcmp(what, "exits")) exit(probed(n, 0));
	else return 64;
	return 5;
}
