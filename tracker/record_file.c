/* SPDX-License-Identifier: MIT */
#include "record_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "domain.h"
#include "sys.h"

static bool map_file(const struct sksm_sys *sys, int dir_fd, struct sksm_record *record)
{
	void *page = NULL;
	char name[64];
	int fd;

	sksm_record_filename(name, sizeof(name), record->pid, record->start_ns);
	fd = sys->openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	/* With its block in hand: a full disk found later, by a store, would be a SIGBUS. */
	if (sys->write(fd, record, sizeof(*record)) == (ssize_t)sizeof(*record) &&
	    sksm_call4(SYS_fallocate, fd, 0, 0, SKSM_RECORD_BYTES) == 0)
		page = sys->mmap(record, SKSM_RECORD_BYTES, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED, fd, 0);
	sys->close(fd);
	if (!page || sksm_is_error(page)) {
		sksm_call3(SYS_unlinkat, dir_fd, name, 0);
		return false;
	}
	/*
	 * A child inherits the mapping, so that no hole opens there, but not the pointer to it:
	 * what holds it is wiped on fork, or asks for the pid.
	 */
	return true;
}

const char *sksm_record_create(const struct sksm_sys *sys, const struct sksm_options *options,
			       const char *comm, const char *command, uint64_t run_id, void *at,
			       struct sksm_record **ret_record)
{
	/* Not in what is there: in a child that is its parent's record. */
	struct sksm_record *record = sys->mmap(at, SKSM_RECORD_BYTES, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	int domain_fd, records_fd;
	struct rlimit limit;
	bool mapped;

	if (sksm_is_error(record))
		return "no memory for a record";
	sksm_record_init(record, comm, command, run_id);
	record->mode = options->mode;
	domain_fd = sksm_domain_open(sys, options);
	if (domain_fd < 0)
		return "the domain's directory cannot be used";
	records_fd = sksm_domain_open_records(sys, domain_fd);
	sys->close(domain_fd);
	if (records_fd < 0)
		return "the directory of records cannot be used";
	/* What would be written beyond it is answered by SIGXFSZ, to the program. */
	if (sksm_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) == 0 &&
	    limit.rlim_cur < SKSM_RECORD_BYTES) {
		sys->close(records_fd);
		return "the limit of file sizes (ulimit -f) leaves no room for a record";
	}
	mapped = map_file(sys, records_fd, record);
	sys->close(records_fd);
	if (!mapped)
		return "the record cannot be made";
	*ret_record = record;
	return NULL;
}
