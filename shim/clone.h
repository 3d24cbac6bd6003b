/* SPDX-License-Identifier: MIT */
/*
 * clone(2) with a stack, without libc: its clone() may be interposed (ThreadSanitizer does, and
 * crashes in a thread that has no libc state).
 */
#ifndef SHIM_CLONE_H
#define SHIM_CLONE_H

#include <stdint.h>
#include <sys/syscall.h>

/*
 * Start @function(@arg) on the stack that ends at @stack_end. It must not return. The kernel's
 * answer: the new thread's id or -errno.
 */
static inline long shim_clone(unsigned long flags, void *stack_end, void *parent_tid,
			      void *child_tid, void *tls, int (*function)(void *), void *arg)
{
	uintptr_t *top = (uintptr_t *)((uintptr_t)stack_end & -(uintptr_t)16) - 2;
	long ret;

	top[0] = (uintptr_t)function;
	top[1] = (uintptr_t)arg;
#if defined(__x86_64__)
	{
		register void *r10 __asm__("r10") = child_tid;
		register void *r8 __asm__("r8") = tls;

		__asm__ volatile("syscall\n\t"
				 "test %%rax, %%rax\n\t"
				 "jnz 1f\n\t"
				 "xor %%ebp, %%ebp\n\t"
				 "pop %%rax\n\t"
				 "pop %%rdi\n\t"
				 "call *%%rax\n\t"
				 "hlt\n"
				 "1:"
				 : "=a"(ret)
				 : "a"((long)SYS_clone), "D"(flags), "S"(top), "d"(parent_tid),
				   "r"(r10), "r"(r8)
				 : "rcx", "r11", "memory", "cc");
	}
#elif defined(__aarch64__)
	{
		register long x8 __asm__("x8") = SYS_clone;
		register unsigned long x0 __asm__("x0") = flags;
		register void *x1 __asm__("x1") = top;
		register void *x2 __asm__("x2") = parent_tid;
		register void *x3 __asm__("x3") = tls;
		register void *x4 __asm__("x4") = child_tid;

		__asm__ volatile("svc 0\n\t"
				 "cbnz x0, 1f\n\t"
				 "mov x29, xzr\n\t"
				 "ldp x9, x0, [sp], #16\n\t"
				 "blr x9\n\t"
				 "brk 0\n"
				 "1:"
				 : "+r"(x0)
				 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
				 : "memory", "cc");
		ret = (long)x0;
	}
#endif
	return ret;
}

#endif
