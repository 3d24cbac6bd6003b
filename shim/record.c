/* SPDX-License-Identifier: MIT */
/* The record of this process: made once, mapped, left behind whatever happens. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tracker/domain.h"
#include "tracker/fmt.h"
#include "tracker/sys.h"

static struct sksm_record *map_file(int dir_fd, const struct sksm_record *record)
{
	const struct sksm_sys *sys = &sksm_sys_kernel;
	void *page = NULL;
	char name[64];
	int fd;

	sksm_record_filename(name, sizeof(name), record->pid, record->start_ns);
	fd = sys->openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	/* With its block in hand: a full disk found later, by a store, would be a SIGBUS. */
	if (sys->write(fd, record, sizeof(*record)) == (ssize_t)sizeof(*record) &&
	    sksm_call4(SYS_fallocate, fd, 0, 0, SKSM_RECORD_BYTES) == 0)
		page = sys->mmap(shim.reservation + SHIM_RECORD_AT, SKSM_RECORD_BYTES,
				 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	sys->close(fd);
	if (!page || sksm_is_error(page)) {
		sksm_call3(SYS_unlinkat, dir_fd, name, 0);
		return NULL;
	}
	/*
	 * A child inherits the mapping, so that no hole opens there, but not the pointer to it: the
	 * control page is wiped.
	 */
	return page;
}

const char *shim_record_make(void)
{
	const struct sksm_sys *sys = &sksm_sys_kernel;
	struct sksm_record record, *mapped;
	int domain_fd, records_fd;

	if (shim.control->record)
		return NULL;
	domain_fd = sksm_domain_open(sys, &shim.options);
	if (domain_fd < 0)
		return "the domain's directory cannot be used";
	records_fd = sksm_domain_open_records(sys, domain_fd);
	sys->close(domain_fd);
	if (records_fd < 0)
		return "the directory of records cannot be used";
	sksm_record_init(&record, shim.comm, shim.command, shim.run_id);
	record.mode = shim.options.mode;
	mapped = map_file(records_fd, &record);
	sys->close(records_fd);
	if (!mapped)
		return "the record cannot be made";
	__atomic_store_n(&shim.control->record, mapped, __ATOMIC_RELEASE);
	return NULL;
}

void shim_record_dormant(const char *reason)
{
	struct sksm_record *record = shim.control->record;
	struct sksm_fmt fmt;

	if (!record)
		return;
	fmt = sksm_fmt_start(record->dormant, sizeof(record->dormant));
	sksm_fmt_str(&fmt, reason);
}
