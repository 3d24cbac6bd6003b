# SPDX-License-Identifier: MIT
# qemu with TCG: a machine that boots a small kernel of its own, which fills its memory, checks it
# and switches paging on; snapshots; and programs of another process's libc by user emulation.
quick=1
tracks=qemu
limit=400
need_command qemu-system-x86_64 qemu-x86_64 qemu-i386 gcc busybox
printf 'int main(void) { return 0; }' | gcc -m32 -xc -o /dev/null - 2>/dev/null || without "needs gcc -m32"
version() { qemu-system-x86_64 --version | head -n 1; }

work() {
	cat >kernel.c <<'C'
#define PORT 0x3f8
typedef unsigned int u32;
/* The first of the text, so that it lies in the first 8 KiB of the file. */
__asm__(".section .text.unlikely, \"ax\"\n.align 4\n.long 0x1badb002, 0, -0x1badb002\n.text");
static u32 directory[1024] __attribute__((aligned(4096)));
static void out(unsigned short port, unsigned char c) { __asm__ volatile("outb %0, %1" : : "a"(c), "Nd"(port)); }
static void say(const char *s) { while (*s) out(PORT, *s++); }
static void number(u32 n) { for (int i = 28; i >= 0; i -= 4) out(PORT, "0123456789abcdef"[n >> i & 15]); out(PORT, '\n'); }

static u32 fill(u32 *from, u32 *to, u32 seed)
{
	u32 sum = 0;

	for (u32 *p = from; p < to; p += 4) {
		seed = seed * 1664525 + 1013904223;
		p[0] = seed; p[1] = seed >> 5; p[2] = 0; p[3] = (u32)p;
		sum += p[0] ^ p[1] ^ p[3];
	}
	return sum;
}

static u32 check(u32 *from, u32 *to)
{
	u32 sum = 0;

	for (u32 *p = from; p < to; p += 4)
		sum += p[0] ^ p[1] ^ p[2] ^ p[3];
	return sum;
}

void __attribute__((used)) body(void)
{
	u32 *from = (u32 *)(16 << 20), *to = (u32 *)(112 << 20);

	for (u32 i = 0; i < 1024; i++)
		directory[i] = i << 22 | 0x83;
	__asm__ volatile("mov %%cr4, %%eax; or $0x10, %%eax; mov %%eax, %%cr4; mov %0, %%cr3;"
			 "mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0" : : "r"(directory) : "eax");
	say("paging\n");
	for (u32 round = 0; round < ROUNDS; round++) {
		u32 sum = fill(from, to, round);

		for (volatile u32 i = 0; i < 30000000; i++)
			;
		number(sum);
		say(check(from, to) == sum ? "same\n" : "WRONG\n");
	}
	out(0xf4, 21);
	for (;;)
		__asm__ volatile("hlt");
}

__asm__(".globl _start\n_start: mov $stack + 16384, %esp\ncall body\n.bss\n.align 16\nstack: .skip 16384\n");
C
	local build=(gcc -m32 -O1 -ffreestanding -fno-pic -fno-stack-protector -nostdlib -static -no-pie -Wl,--build-id=none,-z,max-page-size=4096 \
		-Wl,-Ttext=0x100000 kernel.c)
	"${build[@]}" -DROUNDS="$(amount 6 2)" -o kernel && "${build[@]}" -DROUNDS="$(amount 30 12)" -o long ||
		return
	local machine=(-accel tcg,thread=multi -m 128 -display none -no-reboot -nodefaults
		-device isa-debug-exit,iobase=0xf4,iosize=1)

	exits 43 boot timeout 300 qemu-system-x86_64 "${machine[@]}" -serial stdio -kernel kernel
	exits 43 'two processors' timeout 300 qemu-system-x86_64 "${machine[@]}" -smp 2 -serial stdio -kernel kernel
	exits 43 'memory from a memfd' timeout 300 qemu-system-x86_64 "${machine[@]}" -serial stdio -kernel kernel \
		-object memory-backend-memfd,id=m,size=128M,share=off -machine memory-backend=m
	exits 43 'mergeable is off' timeout 300 qemu-system-x86_64 "${machine[@]}" -machine mem-merge=off -serial stdio -kernel kernel
	migrate
	for program in x86_64 i386; do
		[ $program = x86_64 ] && bits=-m64 || bits=-m32
		cat >guest.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <signal.h>
#include <setjmp.h>
static sigjmp_buf out;
static void caught(int s) { siglongjmp(out, s); }
static void *run(void *p) { for (int i = 0; i < 4 << 20; i++) ((char *)p)[i] += i % 7; return p; }
int main(void)
{
	pthread_t t[4];
	unsigned long sum = 0;
	unsigned char *p = mmap(0, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, run, p + (i << 22));
	for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
	p = mremap(p, 16 << 20, 24 << 20, MREMAP_MAYMOVE);
	if (!fork()) { memset(p, 1, 16 << 20); _exit(p[5] + 3); }
	int status; wait(&status);
	usleep(300000);
	for (int i = 0; i < 24 << 20; i++) sum += p[i];
	printf("%lu %d\n", sum, WEXITSTATUS(status));
	signal(SIGSEGV, caught);
	mprotect(p, 4096, PROT_NONE);
	int s = sigsetjmp(out, 1);
	if (!s) *p = 1;
	printf("signal %d\n", s);
	return 7;
}
C
		gcc $bits -O1 -static -D_GNU_SOURCE -o guest guest.c -pthread
		exits 7 "user $program" qemu-$program ./guest
	done
	step 'user busybox' bash -c 'seq 100000 | qemu-x86_64 /bin/busybox sort -rn | qemu-x86_64 /bin/busybox sha256sum'
	exits 1 error qemu-system-x86_64 -machine no-such-machine
}

# Into a file and out of it again: the second machine goes on with the memory of the first.
migrate() {
	local monitor=(-chardev "socket,id=mon,path=$PWD/mon,server=on,wait=off" -mon chardev=mon)

	qemu-system-x86_64 "${machine[@]}" "${monitor[@]}" -serial file:first -kernel long &
	wait_until 20 grep -q same first
	python3 - <<'PY'
import socket, time
s = socket.socket(socket.AF_UNIX)
s.connect("mon")
f = s.makefile("rw")
for line in ("migrate_set_parameter max-bandwidth 10G", "migrate_set_parameter downtime-limit 20000", "migrate \"exec:cat >state\""):
    f.write(line + "\n")
    f.flush()
for _ in range(300):
    f.write("info migrate\n")
    f.flush()
    time.sleep(0.1)
    s.setblocking(False)
    try:
        text = s.recv(1 << 16).decode()
    except BlockingIOError:
        text = ""
    s.setblocking(True)
    if "Migration status: completed" in text:
        break
f.write("quit\n")
f.flush()
# What is closed with something unread ends in an error there, and the command is lost.
s.settimeout(30)
try:
    while s.recv(1 << 16):
        pass
except ConnectionError:
    pass
PY
	step 'first machine' wait $!
	exits 43 'second machine' timeout 200 qemu-system-x86_64 "${machine[@]}" -serial file:second -kernel long -incoming 'exec:cat state'
	# Where the first was stopped is by chance; both together say all rounds.
	cat first second
}
