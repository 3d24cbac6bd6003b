/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "fmt.h"
#include "sys.h"

_Static_assert(sizeof(struct sksm_record) <= SKSM_RECORD_BYTES, "a record is one page");

void sksm_record_init(struct sksm_record *record, const char *comm, const char *command,
		      uint64_t run_id)
{
	struct sksm_fmt fmt;

	memset(record, 0, sizeof(*record));
	record->version = SKSM_RECORD_VERSION;
	record->bytes = SKSM_RECORD_BYTES;
	record->pid = (uint32_t)sksm_call0(SYS_getpid);
	record->ppid = (uint32_t)sksm_call0(SYS_getppid);
	record->uid = (uint32_t)sksm_call0(SYS_geteuid);
	record->state = SKSM_STATE_RUNNING;
	record->start_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	record->start_realtime_ns = sksm_clock_ns(CLOCK_REALTIME);
	record->updated_ns = record->start_ns;
	record->run_id = run_id;
	fmt = sksm_fmt_start(record->comm, sizeof(record->comm));
	sksm_fmt_str(&fmt, comm);
	fmt = sksm_fmt_start(record->command, sizeof(record->command));
	sksm_fmt_str(&fmt, command);
	/* Last, so that a reader never takes a half-made record for a whole one. */
	__atomic_store_n(&record->magic, SKSM_RECORD_MAGIC, __ATOMIC_RELEASE);
}

void sksm_record_filename(char *ret, size_t size, uint32_t pid, uint64_t start_ns)
{
	struct sksm_fmt fmt = sksm_fmt_start(ret, size);

	sksm_fmt_uint(&fmt, pid, 10);
	sksm_fmt_char(&fmt, '-');
	sksm_fmt_uint(&fmt, start_ns, 16);
	sksm_fmt_str(&fmt, ".rec");
}

void sksm_record_publish(struct sksm_record *record, const struct sksm_counters *counters)
{
	uint32_t sequence = record->sequence | 1;
	struct sksm_sample sample = {
		.saved = counters->saved, .duplicate = counters->duplicate,
		.offered = counters->offered, .merged = counters->merged,
		.writes_seen = counters->writes_seen, .cow_breaks = counters->cow_breaks,
		.cpu_ns = counters->cpu_ns,
	};

	__atomic_store_n(&record->sequence, sequence, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	record->counters = *counters;
	record->updated_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	sample.at_ns = record->updated_ns;
	sksm_history_add(&record->history, &sample);
	__atomic_store_n(&record->sequence, sequence + 1, __ATOMIC_RELEASE);
}

void sksm_record_carry(struct sksm_counters *to, const struct sksm_counters *from)
{
	to->passes = from->passes;
	to->writes_seen = from->writes_seen;
	to->cow_breaks = from->cow_breaks;
	to->huge_lost = from->huge_lost;
	to->twin_writes = from->twin_writes;
	to->digests = from->digests;
}

/* No count of bytes is larger than an address space. */
static bool is_absurd(const struct sksm_counters *counters)
{
	const uint64_t *value = &counters->tracked;

	for (; value <= &counters->debt; value++)
		if (*value >> 57)
			return true;
	return counters->pending >> 57 || counters->possible >> 57 || counters->own >> 57 ||
	       counters->huge_kept >> 57 || counters->shared_unmergeable >> 57 ||
	       counters->sensitive_skipped >> 57;
}

/* Length of the UTF-8 character at @text that JSON and a terminal can take; 0: none. */
static size_t character_length(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t length = c[0] < 0x80 ? 1 : c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;

	if (c[0] < 0x20 || c[0] == 0x7f || (c[0] >= 0x80 && c[0] < 0xc2) || c[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, what lies behind Unicode, and the C1 control characters. */
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] >= 0x90) ||
	    (c[0] == 0xc2 && c[1] < 0xa0))
		return 0;
	return length;
}

/* Terminate a string of @size bytes and replace what cannot be shown. */
static void clean_string(char *text, size_t size)
{
	text[size - 1] = '\0';
	while (*text) {
		size_t length = character_length(text);

		if (!length)
			*text = '?';
		text += length ? length : 1;
	}
}

/* One that was killed while it thinned its history has none. */
static bool check_history(struct sksm_record *record)
{
	if (record->version >= 2 && sksm_history_valid(&record->history, record->start_ns))
		return true;
	memset(&record->history, 0, sizeof(record->history));
	return record->version < 2 || record->sequence & 1;
}

int sksm_record_decode(struct sksm_record *ret, const void *data, size_t length,
		       const char **ret_reason)
{
	struct sksm_record record;

	if (length < sizeof(record)) {
		*ret_reason = "truncated";
		return -EINVAL;
	}
	memcpy(&record, data, sizeof(record));
	if (record.magic != SKSM_RECORD_MAGIC) {
		*ret_reason = "not a record";
		return -EINVAL;
	}
	if (record.version < SKSM_RECORD_OLDEST || record.version > SKSM_RECORD_VERSION) {
		*ret_reason = record.version > SKSM_RECORD_VERSION ?
			      "written by a newer version" : "written by an older version";
		return -EINVAL;
	}
	if (record.bytes != SKSM_RECORD_BYTES || !record.pid || record.pid > INT32_MAX ||
	    record.state < SKSM_STATE_RUNNING || record.state > SKSM_STATE_EXEC ||
	    record.engine > SKSM_ENGINE_NONE || record.tracker > SKSM_TRACKER_DIGEST ||
	    record.mode > SKSM_MODE_OFF || is_absurd(&record.counters) || !check_history(&record)) {
		*ret_reason = "corrupt";
		return -EINVAL;
	}
	clean_string(record.comm, sizeof(record.comm));
	clean_string(record.command, sizeof(record.command));
	clean_string(record.dormant, sizeof(record.dormant));
	*ret = record;
	if (record.sequence & 1) {
		*ret_reason = "being written";
		return -EAGAIN;
	}
	return 0;
}
