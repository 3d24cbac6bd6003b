/* SPDX-License-Identifier: MIT */
/*
 * Who mapped what: hooks note each mapping that may be watched with the stack that asked for it
 * (tracker/site.h). No lock, no memory, no system call but those that ask whether a page of the
 * stack can be read. A vfork child maps into its parent's memory, so what it notes is right.
 */
#include "shim.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include "tracker/abi.h"
#include "tracker/sys.h"

void shim_site_resolve(void)
{
	/* Since glibc 2.35; a direct reference would keep us from being loaded by older ones. */
	shim.unwinder.find_object = (int (*)(void *, struct dl_find_object *))dlsym(RTLD_DEFAULT,
							"_dl_find_object");
}

void shim_site_start(void)
{
	const struct sksm_sys *sys = &sksm_sys_kernel;
	char *area = shim.reservation + SHIM_SITES_AT;

	/* Small reservations (RLIMIT_AS) are for the tracker alone. */
	if (!shim.options.backtrace_frames || !shim.unwinder.find_object ||
	    shim.reservation_bytes < 16 * SHIM_SITES_BYTES)
		return;
	/* A child's memory is its parent's, so is what made it. */
	if (sys->madvise(area, SHIM_SITES_BYTES, MADV_KEEPONFORK) ||
	    sys->mprotect(area, SHIM_SITES_BYTES, PROT_READ | PROT_WRITE))
		return;
	shim.sites = (struct sksm_sites *)area;
	shim.unwinder.cache = &shim.sites->cache;
	shim.tracker_at = SHIM_SITES_AT + SHIM_SITES_BYTES;
}

static uint64_t page_end(const void *addr, size_t length)
{
	return ((uintptr_t)addr + length + SKSM_PAGE_BYTES - 1) & -(uint64_t)SKSM_PAGE_BYTES;
}

void shim_site_mapped(void *addr, size_t length, int flags, struct sksm_frame frame)
{
	struct sksm_sites *sites = shim.sites;
	uint64_t stack = 0;

	if (!sites)
		return;
	/* Shared memory is never offered. */
	if ((flags & MAP_TYPE) == MAP_PRIVATE)
		stack = sksm_site_stack(sites, &shim.unwinder, frame,
					shim.options.backtrace_frames, shim.control->pid);
	sksm_site_note(sites, shim.control->pid, sksm_site_ticket(sites), (uintptr_t)addr,
		       page_end(addr, length), stack);
}

void shim_site_unmapped(void *addr, size_t length)
{
	struct sksm_sites *sites = shim.sites;

	if (!sites || shim.sandboxed)
		return;
	if (!shim.control->alive)
		shim_child();
	sksm_site_note(sites, shim.control->pid, sksm_site_ticket(sites), (uintptr_t)addr,
		       page_end(addr, length), 0);
}

uint64_t shim_site_ticket(void)
{
	if (!shim_active() || !shim.sites || shim.sandboxed)
		return 0;
	return sksm_site_ticket(shim.sites);
}

void shim_site_moved(uint64_t ticket, void *from, size_t old_length, void *to, size_t length)
{
	if (!ticket || shim.sandboxed || !old_length)
		return;
	if (!shim.control->alive)
		shim_child();
	sksm_site_note_move(shim.sites, shim.control->pid, ticket, (uintptr_t)from,
			    page_end(from, old_length), (uintptr_t)to, page_end(to, length));
}
