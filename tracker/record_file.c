/* SPDX-License-Identifier: MIT */
#include "record_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "domain.h"
#include "sys.h"

/*
 * Does a store into a mapping of a file with its blocks in hand need nothing more? Where each write
 * goes to a new block (btrfs; overlayfs may lie upon it), or to a server, it may find no room, and
 * the program would get SIGBUS.
 */
bool sksm_record_is_mappable(int fd)
{
	struct statfs fs;

	return sksm_call2(SYS_fstatfs, fd, &fs) == 0 &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC ||
		fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC);
}

/* What would be written beyond the limit is answered by SIGXFSZ, to the program. */
static bool has_room(void)
{
	struct rlimit limit;

	return sksm_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) != 0 ||
	       limit.rlim_cur >= SKSM_RECORD_BYTES;
}

static bool make_file(const struct sksm_sys *sys, int dir_fd, struct sksm_record *record,
		      bool *ret_mapped)
{
	bool written, mappable;
	void *page = NULL;
	char name[64];
	int fd;

	sksm_record_filename(name, sizeof(name), record->pid, record->start_ns);
	fd = sys->openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	written = sys->write(fd, record, sizeof(*record)) == (ssize_t)sizeof(*record);
	mappable = written && sksm_record_is_mappable(fd);
	/* With its block in hand: a full disk found later, by a store, would be a SIGBUS. */
	if (mappable && sksm_call4(SYS_fallocate, fd, 0, 0, SKSM_RECORD_BYTES) == 0)
		page = sys->mmap(record, SKSM_RECORD_BYTES, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED, fd, 0);
	sys->close(fd);
	*ret_mapped = page && !sksm_is_error(page);
	if (!written || (mappable && !*ret_mapped)) {
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
			       struct sksm_record **ret_record, bool *ret_mapped)
{
	/* Not in what is there: in a child that is its parent's record. */
	struct sksm_record *record = sys->mmap(at, SKSM_RECORD_BYTES, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	int domain_fd, records_fd;
	bool made;

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
	if (!has_room()) {
		sys->close(records_fd);
		return "the limit of file sizes (ulimit -f) leaves no room for a record";
	}
	made = make_file(sys, records_fd, record, ret_mapped);
	sys->close(records_fd);
	if (!made)
		return "the record cannot be made";
	*ret_record = record;
	return NULL;
}

void sksm_record_store(const struct sksm_sys *sys, const struct sksm_options *options,
		       const struct sksm_record *record)
{
	int domain_fd = sksm_domain_open(sys, options), records_fd, fd = -1;
	char name[64];

	if (domain_fd < 0)
		return;
	records_fd = sksm_domain_open_records(sys, domain_fd);
	sys->close(domain_fd);
	if (records_fd < 0)
		return;
	sksm_record_filename(name, sizeof(name), record->pid, record->start_ns);
	if (has_room())
		fd = sksm_domain_open_file(sys, records_fd, name, O_WRONLY);
	sys->close(records_fd);
	if (fd < 0)
		return;
	sksm_call4(SYS_pwrite64, fd, record, sizeof(*record), 0);
	sys->close(fd);
}
