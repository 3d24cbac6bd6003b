# SPDX-License-Identifier: MIT
# jemalloc, mimalloc, tcmalloc and libeatmydata, loaded before us and behind us.
quick=1
tracks='python|sort|worker'
limit=600
need_command python3 gcc sort
need_file /usr/lib/x86_64-linux-gnu/{libjemalloc.so.2,libmimalloc.so.2.0,libtcmalloc_minimal.so.4,libeatmydata.so}
version() { dpkg-query -Wf '${Package} ${Version}, ' libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4 libeatmydata1; }

work() {
	local library order path ours=${LD_PRELOAD:-} n

	n=$(amount 400 60)
	unset LD_PRELOAD
	cat >worker.c <<'C'
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 512

static unsigned rounds;

/* Each block is filled with what its slot and round say, and checked before it goes. */
static void *run(void *arg)
{
	unsigned char *slots[SLOTS] = { 0 };
	size_t sizes[SLOTS] = { 0 };
	uint64_t x = (uintptr_t)arg + 1, sum = 0;

	for (unsigned i = 0; i < rounds * 1000; i++) {
		unsigned s = (x = x * 6364136223846793005u + 1442695040888963407u) >> 55;
		size_t size = (x >> 20) % (i % 500 == 0 ? 3 << 20 : 9000) + 1;

		if (slots[s])
			for (size_t j = 0; j < sizes[s]; j += 61)
				if (slots[s][j] != (unsigned char)(s + sizes[s])) {
					printf("wrong byte\n");
					abort();
				}
		slots[s] = i % 7 ? realloc(slots[s], size) : (free(slots[s]), aligned_alloc(64, (size + 63) & -64ul));
		memset(slots[s], (unsigned char)(s + size), size);
		sizes[s] = size;
		sum += size;
	}
	for (unsigned s = 0; s < SLOTS; s++)
		free(slots[s]);
	return (void *)(uintptr_t)sum;
}

int main(int argc, char *argv[])
{
	pthread_t threads[4];
	void *sum;

	rounds = (unsigned)atoi(argv[1]);
	for (uintptr_t t = 0; t < 4; t++)
		pthread_create(&threads[t], NULL, run, (void *)t);
	for (int i = 0; i < 20; i++) {
		if (fork() == 0) {
			void *p = malloc(100000 * (size_t)i);
			memset(p, i, 100000 * (size_t)i);
			free(p);
			_exit(run((void *)7) == NULL);
		}
	}
	for (int t = 0; t < 4; t++) {
		pthread_join(threads[t], &sum);
		printf("thread %d: %zu\n", t, (size_t)sum);
	}
	for (int status, i = 0; i < 20; i++)
		if (wait(&status) < 0 || status)
			printf("child: %x\n", status);
	printf("%s\n", dlsym(RTLD_DEFAULT, "je_malloc_conf") || dlsym(RTLD_DEFAULT, "mallctl") ? "jemalloc" :
	       dlsym(RTLD_DEFAULT, "mi_malloc") ? "mimalloc" : dlsym(RTLD_DEFAULT, "tc_malloc") ? "tcmalloc" : "libc");
	return 5;
}
C
	gcc -O1 -D_GNU_SOURCE -o worker worker.c -pthread
	for library in libjemalloc.so.2 libmimalloc.so.2.0 libtcmalloc_minimal.so.4 libeatmydata.so; do
		path=/usr/lib/x86_64-linux-gnu/$library
		for order in before after; do
			[ $order = before ] && path=$path${ours:+:$ours} ||
				path=${ours:+$ours:}/usr/lib/x86_64-linux-gnu/$library
			exits 5 "$library $order: worker" env LD_PRELOAD="$path" ./worker "$n"
			step "python" env LD_PRELOAD="$path" PYTHONMALLOC=malloc python3 -c '
import hashlib, time, threading
data = [str(i) * (i % 50) for i in range(300000)]
blocks = [bytearray(1 << 20) for _ in range(32)]
for i, block in enumerate(blocks):
    block[::4096] = bytes([i]) * 256
del data[::3]
threads = [threading.Thread(target=lambda: [bytes(i) for i in range(3000)]) for _ in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
time.sleep(0.5)
print(hashlib.md5("".join(data).encode()).hexdigest(), hashlib.md5(b"".join(blocks)).hexdigest())'
			step "sort" env LD_PRELOAD="$path" bash -c 'seq 300000 | sort -R --random-source=/dev/zero -S 32M | md5sum; sync'
		done
	done
}
