# SPDX-License-Identifier: MIT
# Programs that the preload does not reach, and how they start others: a static one, one of 32
# bits, a setuid one, one with file capabilities.
quick=1
need_command gcc busybox
printf 'int main(void) { return 0; }' | gcc -m32 -xc -o /dev/null - 2>/dev/null || without "needs gcc -m32"
version() { busybox | head -n 1; }

work() {
	chmod 755 .
	cat >work.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void *run(void *p)
{
	memset(p, 5, 8 << 20);
	return p;
}

int main(int argc, char *argv[])
{
	pthread_t thread;
	unsigned long sum = 0;
	unsigned char *p = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(p, 3, 16 << 20);
	pthread_create(&thread, NULL, run, p);
	pthread_join(thread, NULL);
	if (fork() == 0)
		_exit(7);
	wait(NULL);
	usleep(300000);
	for (int i = 0; i < 16 << 20; i++)
		sum += p[i];
	printf("%d bits, secure %d, ids %d %d, sum %lu\n", (int)sizeof(long) * 8, getauxval(AT_SECURE) != 0,
	       (int)getuid(), (int)geteuid(), sum);
	fflush(stdout);
	return argc > 1 ? system(argv[1]) >> 8 : 3;
}
C
	gcc -O1 -D_GNU_SOURCE -o dynamic work.c -pthread
	gcc -O1 -D_GNU_SOURCE -static -o static work.c -pthread
	gcc -O1 -D_GNU_SOURCE -m32 -o small work.c -pthread
	for program in dynamic static small; do
		exits 3 $program ./$program
		exits 4 "$program, and a shell" ./$program 'echo from $0; exit 4'
	done
	if [ "$(id -u)" = 0 ]; then
		for program in dynamic static; do
			cp $program $program-setuid
			chown 65533 $program-setuid
			chmod 4755 $program-setuid
			exits 3 $program-setuid ./$program-setuid
			cp $program $program-caps
			setcap cap_net_raw+ep $program-caps && exits 3 $program-caps as_user ./$program-caps
		done
		step su su -s /bin/sh nobody -c 'id -un; ./dynamic || [ $? = 3 ]'
		step mount unshare -m bash -c 'mkdir m && mount -t tmpfs none m && seq 1000 >m/x && cksum m/x && umount m'
	fi
	step busybox busybox sh -c 'seq 1 200000 | busybox sort -rn | busybox md5sum; busybox tar cf - work.c | busybox gzip | busybox wc -c | busybox grep -c .'
	exits 3 'dynamic below static' busybox env ./dynamic
}

# The loader says of a 32-bit program that it cannot load ours (docs/compat.md).
normalise() { grep -av "^ERROR: ld.so: object '.*shim.so' from LD_PRELOAD cannot be preloaded (wrong ELF class"; }
