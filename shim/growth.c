/* SPDX-License-Identifier: MIT */
/*
 * Noticing that a process without a thread of ours has grown. Memory that glibc maps for malloc,
 * brk, or a bare system call gets reaches no mmap hook; but whoever is to stay for a while waits
 * for something sooner or later. So the calls that wait look once per tick of the coarse clock
 * (about 5 ns) whether the peak resident size has passed a mark (about 0.3 us, only when the tick
 * is new). Each is a tail call to the real function: cancellation and stack traces are as before.
 */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tracker/sys.h"

/* What shells and filters do all the time, most often without waiting for long. */
#define BRIEF_WAITS(X) \
	X(ssize_t, read, (int fd, void *buf, size_t size), (fd, buf, size)) \
	X(ssize_t, recv, (int fd, void *buf, size_t size, int flags), (fd, buf, size, flags)) \
	X(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags)) \
	X(pid_t, wait, (int *status), (status)) \
	X(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options)) \
	X(pid_t, wait4, (pid_t pid, int *status, int options, struct rusage *usage), \
	  (pid, status, options, usage)) \
	X(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int options), \
	  (type, id, info, options))

/* What is called to wait. */
#define WAITS(X) \
	X(int, poll, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout)) \
	X(int, ppoll, (struct pollfd *fds, nfds_t count, const struct timespec *timeout, \
		       const sigset_t *mask), (fds, count, timeout, mask)) \
	X(int, select, (int count, fd_set *in, fd_set *out, fd_set *except, \
			struct timeval *timeout), (count, in, out, except, timeout)) \
	X(int, pselect, (int count, fd_set *in, fd_set *out, fd_set *except, \
			 const struct timespec *timeout, const sigset_t *mask), \
	  (count, in, out, except, timeout, mask)) \
	X(int, epoll_wait, (int fd, struct epoll_event *events, int count, int timeout), \
	  (fd, events, count, timeout)) \
	X(int, epoll_pwait, (int fd, struct epoll_event *events, int count, int timeout, \
			     const sigset_t *mask), (fd, events, count, timeout, mask)) \
	X(int, nanosleep, (const struct timespec *time, struct timespec *rest), (time, rest)) \
	X(int, clock_nanosleep, (clockid_t clock, int flags, const struct timespec *time, \
				 struct timespec *rest), (clock, flags, time, rest)) \
	X(unsigned int, sleep, (unsigned int seconds), (seconds)) \
	X(int, usleep, (useconds_t us), (us)) \
	X(int, pause, (void), ()) \
	X(int, sigsuspend, (const sigset_t *mask), (mask)) \
	X(int, sigwait, (const sigset_t *set, int *number), (set, number)) \
	X(int, sigwaitinfo, (const sigset_t *set, siginfo_t *info), (set, info)) \
	X(int, sigtimedwait, (const sigset_t *set, siginfo_t *info, \
			      const struct timespec *timeout), (set, info, timeout)) \
	X(int, pthread_join, (pthread_t thread, void **value), (thread, value)) \
	X(int, sem_wait, (sem_t *semaphore), (semaphore))

/* Accept is left out: who accepts also reads or polls. */

uint64_t shim_peak_rss_kb(void)
{
	struct rusage usage = { 0 };

	sksm_call2(SYS_getrusage, RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_maxrss;
}

static void look_closely(struct shim_control *control)
{
	uint64_t rss_kb = shim_peak_rss_kb();

	/* Whoever held our thread off last may have met the one before on its way out. */
	if (rss_kb < control->next_rss_kb && !control->interrupted)
		return;
	control->next_rss_kb = rss_kb + shim.options.threshold_bytes / 1024;
	shim_thread_start();
}

void shim_look(void)
{
	struct shim_control *control = shim.control;
	struct timespec now;
	uint64_t now_ns;

	if (shim.sandboxed)
		return;
	if (!control->alive)
		shim_child();
	if (shim_likely(control->phase != SHIM_IDLE))
		return;
	if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now))
		return;
	now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	if (now_ns == control->last_tick_ns)
		return;
	control->last_tick_ns = now_ns;
	look_closely(control);
}

#define DECLARE(type, name, parameters, arguments) static type (*real_##name) parameters;
BRIEF_WAITS(DECLARE)
WAITS(DECLARE)

#define RESOLVE(type, name, parameters, arguments) \
	real_##name = (type (*) parameters)dlsym(RTLD_NEXT, #name);

void shim_growth_resolve(void)
{
	BRIEF_WAITS(RESOLVE)
	WAITS(RESOLVE)
}

/* Before our constructor: other libraries' constructors may wait too. */
#define DEFINE_DOZING(type, name, parameters, arguments, doze_ns) \
	SHIM_EXPORT type name parameters; \
	SHIM_EXPORT type name parameters \
	{ \
		if (shim_active()) \
			shim_look(); \
		else if (!real_##name) \
			RESOLVE(type, name, parameters, arguments) \
		else if (shim.sleep == SHIM_ASLEEP) \
			shim_doze(doze_ns); \
		return real_##name arguments; \
	}
#define DEFINE_BRIEF(type, name, parameters, arguments) \
	DEFINE_DOZING(type, name, parameters, arguments, SHIM_DOZE_NS)
#define DEFINE(type, name, parameters, arguments) \
	DEFINE_DOZING(type, name, parameters, arguments, 0)
BRIEF_WAITS(DEFINE_BRIEF)
WAITS(DEFINE)
