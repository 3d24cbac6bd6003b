/* SPDX-License-Identifier: MIT */
/*
 * company MODE [LIBRARY]: live with other libraries and handlers, next to 16 MiB of calm memory.
 * "dlopen" and "deepbind" load test/plugins/guest.c again and again, "waiting" waiting.c, "shim"
 * loads and unloads the library it is given and goes on; "malloc" allocates much; "exit" maps
 * memory as threads end, "fault" in the handlers of SIGSEGV and SIGBUS on a stack of their own.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "victim.h"

#define CALM (16ul << 20)
#define LAZY (8ul << 20)
#define STEP (64ul << 10)

static unsigned char *map(size_t bytes)
{
	unsigned char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(p + i, 1 + i / PAGE % 64);
	return p;
}

static void verify(const unsigned char *p, size_t bytes, const char *what)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		if (!page_is(p + i, 1 + i / PAGE % 64))
			wrong(what, i / PAGE);
}

static void *load(const char *path, int flags)
{
	void *library = dlopen(path, flags);

	if (!library) {
		printf("dlopen: %s\n", dlerror());
		exit(1);
	}
	return library;
}

static void use_guest(const char *path, int flags)
{
	for (uint64_t round = 1; round <= 4; round++) {
		void *library = load(path, flags);
		void (*fill)(uint64_t) = (void (*)(uint64_t))dlsym(library, "guest_fill");
		bool (*check)(uint64_t) = (bool (*)(uint64_t))dlsym(library, "guest_check");
		bool (*work)(unsigned int) = (bool (*)(unsigned int))dlsym(library, "guest_work");

		fill(round * 100);
		printf("work: %d\n", work(60));
		printf("bytes: %d\n", check(round * 100));
		fill(round * 200);
		sleep_ms(40);
		printf("bytes: %d\n", check(round * 200));
		printf("dlclose: %d\n", dlclose(library));
	}
}

static void test_dlopen(const char *path)
{
	use_guest(path, RTLD_NOW);
}

static void test_waiting(const char *path)
{
	printf("dlclose: %d\n", dlclose(load(path, RTLD_NOW)));
}

static void test_deepbind(const char *path)
{
	use_guest(path, RTLD_NOW | RTLD_DEEPBIND);
}

static void test_shim(const char *path)
{
	for (int round = 0; round < 3; round++) {
		void *library = load(path, round % 2 ? RTLD_NOW | RTLD_GLOBAL : RTLD_LAZY);
		unsigned char *p = map(4 << 20);

		sleep_ms(50);
		printf("dlclose: %d\n", dlclose(library));
		sleep_ms(50);
		verify(p, 4 << 20, "shim");
		printf("again: %d\n", dlclose(load(path, RTLD_NOW)));
		munmap(p, 4 << 20);
	}
}

static void test_malloc(const char *path)
{
	unsigned char *block[64];

	for (unsigned int round = 0; round < 8; round++) {
		for (size_t i = 0; i < 64; i++) {
			block[i] = i % 2 ? malloc(1000 + i * 10000) : calloc(10 + i, 10000);
			if (!block[i])
				die("malloc");
			memset(block[i], (int)i, 1000 + i * 10000 - 1000 * (i % 2));
		}
		sleep_ms(50);
		for (size_t i = 0; i < 64; i++) {
			for (size_t at = 0; at < i * 9000; at += 100)
				if (block[i][at] != i)
					wrong("malloc", i);
			free(block[i]);
		}
		/* Its first use by a thread allocates in dlsym and its kin. */
		if (dlsym(RTLD_DEFAULT, "no_such_function") || !dlerror())
			die("dlsym");
	}
}

static pthread_key_t key;

static void at_thread_exit(void *argument)
{
	unsigned char *p = map(2 << 20);

	sleep_ms(5);
	verify(p, 2 << 20, "thread exit");
	munmap(p, 2 << 20);
	(void)argument;
}

static void *short_lived(void *argument)
{
	pthread_setspecific(key, argument);
	return argument;
}

static void test_exit(const char *path)
{
	pthread_t threads[4];

	pthread_key_create(&key, at_thread_exit);
	for (unsigned int round = 0; round < 20; round++) {
		for (int i = 0; i < 4; i++)
			if (pthread_create(&threads[i], NULL, short_lived, threads) != 0)
				die("pthread_create");
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
	}
}

static unsigned char *lazy;
static volatile sig_atomic_t faults[2];

/* As garbage collectors do: what was touched is made accessible, and memory is mapped for it. */
static void on_fault(int number, siginfo_t *info, void *context)
{
	unsigned char *at = (unsigned char *)((uintptr_t)info->si_addr & -PAGE), *p;
	int error = errno;

	faults[number == SIGBUS]++;
	p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		_exit(4);
	p[PAGE] = 1;
	if (number == SIGBUS) {
		if (mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) != at)
			_exit(5);
	} else {
		at = lazy + (at - lazy) / (ptrdiff_t)STEP * (ptrdiff_t)STEP;
		if (mprotect(at, STEP, PROT_READ | PROT_WRITE) < 0)
			_exit(6);
	}
	if (munmap(p, 1 << 20) < 0)
		_exit(7);
	errno = error;
	(void)context;
}

static unsigned char *map_short_file(void)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	unsigned char *p;

	if (fd < 0 || ftruncate(fd, 1 << 20) < 0)
		die("memfd_create");
	p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED || ftruncate(fd, PAGE) < 0)
		die("ftruncate");
	close(fd);
	return p;
}

static void test_fault(const char *path)
{
	stack_t stack = { .ss_sp = malloc(64 << 10), .ss_size = 64 << 10 };
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	unsigned int sum = 0;

	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	lazy = map(LAZY);
	for (unsigned int round = 0; round < 4; round++) {
		unsigned char *file = map_short_file();

		sleep_ms(60);
		if (mprotect(lazy, LAZY, PROT_NONE) < 0)
			die("mprotect");
		sleep_ms(60);
		verify(lazy, LAZY, "fault");
		for (size_t at = 0; at < 1 << 20; at += PAGE)
			sum += file[at];
		munmap(file, 1 << 20);
	}
	printf("SIGSEGV: %d, SIGBUS: %d, sum %u\n", (int)faults[0], (int)faults[1], sum);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(const char *path);
	} modes[] = {
		{ "dlopen", test_dlopen }, { "deepbind", test_deepbind }, { "shim", test_shim },
		{ "malloc", test_malloc }, { "exit", test_exit }, { "fault", test_fault },
		{ "waiting", test_waiting },
	};
	unsigned char *calm = map(CALM);

	setvbuf(stdout, NULL, _IOLBF, 0);
	sleep_ms(200);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc > 1 && strcmp(argv[1], modes[i].name) == 0)
			modes[i].test(argc > 2 ? argv[2] : NULL);
	verify(calm, CALM, "calm");
	printf("verified\n");
	return 0;
}
