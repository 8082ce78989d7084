// SPDX-License-Identifier: MIT OR Apache-2.0
// What a traced program may do: `tasks MODE [COUNT]`. It exits with 0 if all went as without a
// tracer, and says on standard error what did not.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARK 0x1234567
#define CHECK(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "%s:%d: %s: %s\n", __func__, __LINE__, #what, strerror(errno)); \
			exit(99); \
		} \
	} while (0)

static long mark(void) { return syscall(SYS_getppid, MARK); }

static void reap(pid_t pid, int expected)
{
	int status;
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(status == expected);
}

static int calls(int count)
{
	pid_t parent = getppid();
	for (int i = 0; i < count; i++)
		CHECK(mark() == parent);
	return 0;
}

static int forks(int count)
{
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (!pid)
			_exit(7);
		reap(pid, 7 << 8);
	}
	return 0;
}

/* Many at once, so that children stop before their parents tell of them. */
static int storm(int count)
{
	for (int round = 0; round < count / 50; round++) {
		pid_t pids[50];
		for (int i = 0; i < 50; i++) {
			pids[i] = fork();
			CHECK(pids[i] >= 0);
			if (!pids[i]) {
				mark();
				_exit(3);
			}
		}
		for (int i = 0; i < 50; i++)
			reap(pids[i], 3 << 8);
	}
	return 0;
}

/* Children that fork for ever, killed at any moment. */
static int killed(int count)
{
	srand(7);
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			for (;;) {
				pid_t inner = fork();
				mark();
				if (!inner)
					_exit(0);
				waitpid(inner, 0, 0);
			}
		}
		struct timespec soon = { 0, rand() % 3000000 };
		nanosleep(&soon, 0);
		CHECK(!kill(pid, SIGKILL));
		reap(pid, SIGKILL);
	}
	return 0;
}

static int vforks(int count)
{
	for (int i = 0; i < count; i++) {
		pid_t pid = vfork();
		CHECK(pid >= 0);
		if (!pid) {
			execl("/bin/true", "true", (char *)0);
			_exit(1);
		}
		reap(pid, 0);
	}
	return 0;
}

static int clone3s(int count)
{
	for (int i = 0; i < count; i++) {
		struct clone_args args = { .exit_signal = SIGCHLD };
		pid_t pid = syscall(SYS_clone3, &args, sizeof(args));
		CHECK(pid >= 0);
		if (!pid) {
			mark();
			_exit(5);
		}
		reap(pid, 5 << 8);
	}
	return 0;
}

static void *thread(void *count)
{
	pid_t parent = getppid();
	for (long i = 0; i < (long)count; i++)
		CHECK(mark() == parent);
	return 0;
}

static int threads(int count)
{
	pthread_t all[64];
	for (int i = 0; i < 64; i++)
		CHECK(!pthread_create(&all[i], 0, thread, (void *)(long)count));
	for (int i = 0; i < 64; i++)
		CHECK(!pthread_join(all[i], 0));
	return 0;
}

static void *executes(void *path)
{
	execl(path, path, "calls", "3", (char *)0);
	exit(98);
}

static void *sleeps(void *nothing)
{
	pause();
	return nothing;
}

/* A thread takes the whole process over. */
static int thread_exec(const char *path)
{
	pthread_t one, other;
	CHECK(!pthread_create(&one, 0, sleeps, 0));
	CHECK(!pthread_create(&other, 0, executes, (void *)path));
	pause();
	return 97;
}

static volatile sig_atomic_t got, value, sender, traps;
static void handler(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (signal == SIGTRAP) {
		traps++;
		return;
	}
	got++;
	value = info->si_value.sival_int;
	sender = info->si_pid;
}

static int signals(int count)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	int expected = 0;
	for (int signal = 1; signal < SIGRTMAX; signal++) {
		if (signal == SIGKILL || signal == SIGSTOP || (signal > 31 && signal < SIGRTMIN))
			continue;
		CHECK(!sigaction(signal, &action, 0));
	}
	for (int i = 0; i < count; i++) {
		for (int signal = 1; signal < SIGRTMAX; signal++) {
			if (signal == SIGKILL || signal == SIGSTOP || signal == SIGTRAP ||
			    (signal > 31 && signal < SIGRTMIN))
				continue;
			union sigval sent = { .sival_int = 1000 + signal };
			CHECK(!sigqueue(getpid(), signal, sent));
			expected++;
			CHECK(got == expected && value == 1000 + signal && sender == getpid());
			mark();
		}
		CHECK(!raise(SIGTRAP));
		asm volatile("int3");
		CHECK(traps == 2 * (i + 1));
	}
	return 0;
}

static void nothing(int signal) { (void)signal; }

/* Calls that signals interrupt: restarted, or not, as without a tracer. */
static int interrupted(int count)
{
	struct sigaction restarts = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	struct sigaction ends = { .sa_handler = nothing };
	int pipes[2];
	CHECK(!pipe(pipes));
	CHECK(!sigaction(SIGUSR1, &restarts, 0) && !sigaction(SIGUSR2, &ends, 0));
	for (int i = 0; i < count; i++) {
		pid_t parent = getpid(), pid = fork();
		char byte;
		if (!pid) {
			usleep(20000);
			kill(parent, SIGUSR1);
			usleep(20000);
			if (write(pipes[1], "x", 1) != 1)
				_exit(1);
			usleep(20000);
			kill(parent, SIGUSR2);
			_exit(0);
		}
		CHECK(read(pipes[0], &byte, 1) == 1);
		CHECK(read(pipes[0], &byte, 1) == -1 && errno == EINTR);
		reap(pid, 0);
	}
	return 0;
}

/* A child that is stopped and goes on, as its parent sees it. */
static int stopped(int count)
{
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();
		int status;
		if (!pid) {
			raise(SIGSTOP);
			mark();
			/* Its parent looks before it ends. */
			usleep(200000);
			_exit(4);
		}
		CHECK(waitpid(pid, &status, WUNTRACED) == pid);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
		usleep(10000);
		CHECK(waitpid(pid, &status, WNOHANG) == 0);
		CHECK(!kill(pid, SIGCONT));
		CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
		reap(pid, 4 << 8);
	}
	return 0;
}

/* A policy of its own: getppid fails with EACCES, getpgrp asks a tracer that is not there. */
static int policy(int count)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 7),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };
	for (int i = 0; i < count; i++)
		CHECK(mark() > 0);
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	for (int i = 0; i < count; i++) {
		CHECK(mark() == -1 && errno == EACCES);
		CHECK(syscall(SYS_getpgrp) == -1 && errno == ENOSYS);
	}
	return 0;
}

static int renamed(int count)
{
	char name[32];
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "renamed-%d", i);
		CHECK(!prctl(PR_SET_NAME, name));
	}
	return 0;
}

static int another_user(int count)
{
	CHECK(!setgid(65533) && !setuid(65534));
	return forks(count);
}

/* Strings at the end of a page, and over it. */
static int pages(int count)
{
	char *two = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(two != MAP_FAILED);
	strcpy(two + 4096 - 8, "/nowhere");
	for (int i = 0; i < count; i++)
		CHECK(open(two + 4096 - 8, O_RDONLY) == -1 && errno == ENOENT);
	CHECK(!munmap(two + 4096, 4096));
	memcpy(two + 4096 - 6, "/last", 6);
	CHECK(open(two + 4096 - 6, O_RDONLY) == -1 && errno == ENOENT);
	/* Without an end: the kernel can't read it, and no program either. */
	memset(two + 4096 - 6, '/', 6);
	CHECK(open(two + 4096 - 6, O_RDONLY) == -1 && errno == EFAULT);
	return 0;
}

/* Calls by the table of 32-bit programs, whose numbers mean something else. */
static int foreign(int count)
{
	for (int i = 0; i < count; i++) {
		long answer = 64; /* getppid there, semget here */
		asm volatile("int $0x80" : "+a"(answer) : : "memory", "r8", "r9", "r10", "r11");
		/* A kernel without that table ends the program. */
		CHECK(answer == getppid());
	}
	return 0;
}

/* A program changes this word, and sends a signal, before the call begins. */
static int changed(int count)
{
	static volatile long word = 1;
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	CHECK(!sigaction(SIGUSR1, &action, 0));
	for (int i = 0; i < count; i++) {
		word = 1;
		syscall(SYS_getpgid, -1, MARK, &word);
		CHECK(word == 42);
		CHECK(got == i + 1);
	}
	return 0;
}

/* A program sends a signal with a value before the call begins: to the thread, then to the process. */
static int queued(int count)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	CHECK(!sigaction(SIGUSR2, &action, 0));
	for (int i = 0; i < 2 * count; i++) {
		syscall(SYS_getpgid, -1, MARK, 7000 + i, i % 2);
		CHECK(got == i + 1 && value == 7000 + i);
	}
	return 0;
}

static int self_traced(int count)
{
	(void)count;
	CHECK(ptrace(PTRACE_TRACEME, 0, 0, 0) == -1 && errno == EPERM);
	return 0;
}

/* Threads that end before the first one, and a first one that ends before them. */
static void *late(void *nothing)
{
	usleep(30000);
	mark();
	exit(6);
	return nothing;
}

static int leaderless(int count)
{
	(void)count;
	pthread_t one;
	CHECK(!pthread_create(&one, 0, late, 0));
	pthread_exit(0);
}

/* Goes on after its parent: a daemon. */
static int daemonized(int count)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		usleep(100000);
		calls(count);
		_exit(0);
	}
	return 0;
}

/* Runs until it is told to end, and says then how often calls failed. */
static int busy(int count)
{
	(void)count;
	long done = 0;
	struct sigaction ends = { .sa_handler = nothing };
	sigaction(SIGUSR2, &ends, 0);
	while (!access("/proc/self", F_OK)) {
		CHECK(mark() >= 0);
		if (++done % 16 == 0)
			usleep(500);
		char go[2];
		int flags = fcntl(0, F_GETFL);
		CHECK(!fcntl(0, F_SETFL, flags | O_NONBLOCK));
		if (read(0, go, 1) == 0)
			return 0;
	}
	return 1;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[2]) : 1;
	struct { const char *name; int (*run)(int); } modes[] = {
		{ "calls", calls }, { "forks", forks }, { "storm", storm }, { "killed", killed },
		{ "vforks", vforks }, { "clone3s", clone3s }, { "threads", threads },
		{ "signals", signals }, { "interrupted", interrupted }, { "stopped", stopped },
		{ "policy", policy }, { "renamed", renamed }, { "another_user", another_user },
		{ "pages", pages }, { "foreign", foreign }, { "changed", changed },
		{ "queued", queued }, { "self_traced", self_traced }, { "leaderless", leaderless },
		{ "daemonized", daemonized }, { "busy", busy },
	};
	if (argc < 2)
		return 96;
	if (!strcmp(argv[1], "thread_exec"))
		return thread_exec(argv[0]);
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name))
			return modes[i].run(count);
	return 96;
}
