/* SPDX-License-Identifier: MIT */
/* The record of this process: made once, mapped, left behind whatever happens. */
#include "shim.h"

#include <fcntl.h>
#include <string.h>

#include "tracker/domain.h"
#include "tracker/fmt.h"
#include "tracker/record_file.h"
#include "tracker/site_file.h"
#include "tracker/sys.h"

const char *shim_record_explain(int error)
{
	sksm_domain_explain(&shim.options, error, shim.reason, sizeof(shim.reason));
	return shim.reason;
}

/* What is wrong with the domain's directory, where something is. */
static const char *explain_domain(const char *reason)
{
	const struct sksm_sys *sys = &sksm_sys_kernel;
	int domain_fd = sksm_domain_open(sys, &shim.options);
	int records_fd = domain_fd < 0 ? domain_fd : sksm_domain_open_records(sys, domain_fd);

	if (domain_fd >= 0)
		sys->close(domain_fd);
	if (records_fd < 0)
		return shim_record_explain(records_fd);
	sys->close(records_fd);
	return reason;
}

const char *shim_record_make(void)
{
	struct sksm_record *record;
	const char *reason;

	if (shim.control->record)
		return NULL;
	reason = sksm_record_create(&sksm_sys_kernel, &shim.options, shim.comm, shim.command,
				    shim.run_id, shim.reservation + SHIM_RECORD_AT, &record,
				    &shim.control->record_mapped);
	if (!reason)
		__atomic_store_n(&shim.control->record, record, __ATOMIC_RELEASE);
	return reason ? explain_domain(reason) : NULL;
}

void shim_record_store(void)
{
	const struct shim_control *control = shim.control;

	if (!control->record_mapped && !shim.sandboxed)
		sksm_record_store(&sksm_sys_kernel, &shim.options, control->record);
}

int shim_record_open_sites(void)
{
	const struct sksm_sys *sys = &sksm_sys_kernel;
	const struct sksm_record *record = shim.control->record;
	char name[64 + sizeof(SKSM_SITE_FILE_SUFFIX)];
	int domain_fd = sksm_domain_open(sys, &shim.options), records_fd, fd;

	if (domain_fd < 0)
		return domain_fd;
	records_fd = sksm_domain_open_records(sys, domain_fd);
	sys->close(domain_fd);
	if (records_fd < 0)
		return records_fd;
	sksm_record_filename(name, sizeof(name), record->pid, record->start_ns);
	strcat(name, SKSM_SITE_FILE_SUFFIX);
	fd = sksm_domain_open_file(sys, records_fd, name, O_RDWR | O_CREAT);
	sys->close(records_fd);
	return fd;
}

void shim_record_dormant(const char *reason)
{
	struct sksm_record *record = shim.control->record;
	struct sksm_fmt fmt;

	if (!record)
		return;
	fmt = sksm_fmt_start(record->dormant, sizeof(record->dormant));
	sksm_fmt_str(&fmt, reason);
	shim_record_store();
}
