/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "tracker/record.h"

struct file {
	_Alignas(64) unsigned char bytes[SKSM_RECORD_BYTES];
};

static struct sksm_record *make_record(struct file *file)
{
	struct sksm_record *record = (struct sksm_record *)file->bytes;

	memset(file, 0, sizeof(*file));
	sksm_record_init(record, "prog", "prog --flag", 77);
	return record;
}

static int decode(const struct file *file, struct sksm_record *ret, const char **ret_reason)
{
	*ret_reason = NULL;
	return sksm_record_decode(ret, file->bytes, sizeof(file->bytes), ret_reason);
}

Test(record, init_describes_this_process)
{
	struct sksm_record record;
	const char *reason;
	struct file file;

	make_record(&file);
	cr_assert_eq(decode(&file, &record, &reason), 0);
	cr_assert_eq(record.pid, (uint32_t)getpid());
	cr_assert_eq(record.ppid, (uint32_t)getppid());
	cr_assert_eq(record.uid, geteuid());
	cr_assert_eq(record.state, SKSM_STATE_RUNNING);
	cr_assert_eq(record.run_id, 77);
	cr_assert_str_eq(record.comm, "prog");
	cr_assert_str_eq(record.command, "prog --flag");
	cr_assert_str_empty(record.dormant);
	cr_assert_gt(record.start_ns, 0);
	cr_assert_eq(record.updated_ns, record.start_ns);
}

Test(record, long_names_are_cut)
{
	char command[2 * SKSM_COMMAND_MAX];
	struct sksm_record record;

	memset(command, 'c', sizeof(command));
	command[sizeof(command) - 1] = '\0';
	sksm_record_init(&record, command, command, 0);
	cr_assert_eq(strlen(record.comm), SKSM_COMM_MAX - 1);
	cr_assert_eq(strlen(record.command), SKSM_COMMAND_MAX - 1);
	sksm_record_init(&record, "", "", 0);
	cr_assert_str_empty(record.command);
}

Test(record, file_names)
{
	char name[64], small[8];

	sksm_record_filename(name, sizeof(name), 4194304, 0xfedcba9876543210ull);
	cr_assert_str_eq(name, "4194304-fedcba9876543210.rec");
	sksm_record_filename(small, sizeof(small), 4194304, 1);
	cr_assert_str_eq(small, "4194304");
}

Test(record, publish)
{
	struct sksm_counters counters = { .tracked = 4096, .spare = { [5] = 5 } };
	struct sksm_record *record, read;
	const char *reason;
	struct file file;
	uint32_t before;

	record = make_record(&file);
	before = record->sequence;
	sksm_record_publish(record, &counters);
	cr_assert_eq(record->sequence, before + 2);
	sksm_record_publish(record, &counters);
	cr_assert_eq(record->sequence, before + 4);
	cr_assert_eq(decode(&file, &read, &reason), 0);
	cr_assert_eq(memcmp(&read.counters, &counters, sizeof(counters)), 0);
	cr_assert_geq(read.updated_ns, read.start_ns);
}

Test(record, an_update_that_never_ended_is_readable)
{
	struct sksm_counters counters = { .merged = 1 };
	struct sksm_record *record, read;
	const char *reason;
	struct file file;

	record = make_record(&file);
	record->sequence = 7;
	record->counters.merged = 3;
	memset(&read, 0, sizeof(read));
	cr_assert_eq(decode(&file, &read, &reason), -EAGAIN);
	cr_assert_not_null(reason);
	cr_assert_eq(read.counters.merged, 3);
	cr_assert_eq(read.pid, (uint32_t)getpid());
	/* The next update by whoever takes the record over leaves it whole. */
	sksm_record_publish(record, &counters);
	cr_assert_eq(record->sequence % 2, 0);
	cr_assert_eq(decode(&file, &read, &reason), 0);
	cr_assert_eq(read.counters.merged, 1);
}

Test(record, truncated)
{
	struct sksm_record read, untouched;
	const char *reason;
	struct file file;

	make_record(&file);
	memset(&read, 0x5a, sizeof(read));
	untouched = read;
	for (size_t length = 0; length < sizeof(read); length++) {
		reason = NULL;
		cr_assert_eq(sksm_record_decode(&read, file.bytes, length, &reason), -EINVAL);
		cr_assert_str_eq(reason, "truncated");
	}
	cr_assert_eq(memcmp(&read, &untouched, sizeof(read)), 0, "ret is untouched on failure");
	cr_assert_eq(sksm_record_decode(&read, file.bytes, sizeof(read), &reason), 0);
}

#define REFUSED(change, said) \
	do { \
		struct sksm_record *record = make_record(&file); \
		change; \
		cr_assert_eq(decode(&file, &read, &reason), -EINVAL, #change); \
		cr_assert_not_null(strstr(reason, said), "%s: %s", #change, reason); \
	} while (0)

Test(record, foreign_newer_and_corrupt)
{
	struct sksm_record read;
	const char *reason;
	struct file file;

	REFUSED(record->magic = 0, "not a record");
	REFUSED(record->magic ^= 1ull << 63, "not a record");
	REFUSED(record->version = SKSM_RECORD_VERSION + 1, "newer");
	REFUSED(record->version = UINT32_MAX, "newer");
	REFUSED(record->version = 0, "older");
	REFUSED(record->bytes = 0, "corrupt");
	REFUSED(record->bytes = UINT32_MAX, "corrupt");
	REFUSED(record->pid = 0, "corrupt");
	REFUSED(record->pid = 1u << 31, "corrupt");
	REFUSED(record->state = 0, "corrupt");
	REFUSED(record->state = SKSM_STATE_EXEC + 1, "corrupt");
	REFUSED(record->engine = SKSM_ENGINE_NONE + 1, "corrupt");
	REFUSED(record->tracker = SKSM_TRACKER_DIGEST + 1, "corrupt");
	REFUSED(record->mode = SKSM_MODE_OFF + 1, "corrupt");
	REFUSED(record->mode = UINT32_MAX, "corrupt");
}

Test(record, strings_come_out_terminated_and_printable)
{
	struct sksm_record *record, read;
	const char *reason;
	struct file file;

	record = make_record(&file);
	memset(record->comm, 'a', sizeof(record->comm));
	memset(record->command, 0x1b, sizeof(record->command));
	memset(record->dormant, 0x7f, sizeof(record->dormant));
	record->dormant[3] = '\n';
	cr_assert_eq(decode(&file, &read, &reason), 0);
	cr_assert_eq(strlen(read.comm), sizeof(read.comm) - 1);
	cr_assert_eq(strspn(read.command, "?"), sizeof(read.command) - 1);
	cr_assert_eq(strlen(read.command), sizeof(read.command) - 1);
	cr_assert_eq(strspn(read.dormant, "?"), sizeof(read.dormant) - 1);
	/* UTF-8 stays what it is. */
	strcpy(record->command, "na\xc3\xafve");
	cr_assert_eq(decode(&file, &read, &reason), 0);
	cr_assert_str_eq(read.command, "na\xc3\xafve");
}

/* Whatever bytes there are: an answer, and strings that end. */
Test(record, random_bytes)
{
	struct sksm_record *record, read;
	unsigned int decoded = 0;
	uint64_t seed = 1;
	const char *reason;
	struct file file;

	for (int round = 0; round < 20000; round++) {
		record = make_record(&file);
		for (int i = 0; i < 8; i++) {
			uint64_t r = unit_random(&seed);
			size_t at = round % 2 ? (size_t)(r % sizeof(*record)) :
				    (size_t)(r % offsetof(struct sksm_record, comm));

			file.bytes[at] = (unsigned char)(r >> 32);
		}
		memset(&read, 0x5a, sizeof(read));
		if (decode(&file, &read, &reason) == -EINVAL) {
			cr_assert_not_null(reason);
			continue;
		}
		decoded++;
		cr_assert_lt(strnlen(read.comm, sizeof(read.comm)), sizeof(read.comm));
		cr_assert_lt(strnlen(read.command, sizeof(read.command)), sizeof(read.command));
		cr_assert_lt(strnlen(read.dormant, sizeof(read.dormant)), sizeof(read.dormant));
		cr_assert_leq(read.engine, SKSM_ENGINE_NONE);
		cr_assert_leq(read.mode, SKSM_MODE_OFF);
	}
	cr_assert_gt(decoded, 1000);
}

static void publish_at(struct sksm_record *record, uint64_t saved)
{
	struct sksm_counters counters = { .saved = saved, .duplicate = 2 * saved };

	sksm_record_publish(record, &counters);
}

Test(record, publishing_keeps_a_history)
{
	struct sksm_record *record, read;
	const char *reason;
	struct file file;

	record = make_record(&file);
	publish_at(record, 4096);
	publish_at(record, 8192);
	cr_assert_eq(decode(&file, &read, &reason), 0);
	cr_assert_eq(read.history.count, 1, "too soon for another sample");
	cr_assert_eq(read.history.list[0].saved, 4096);
	cr_assert_eq(read.history.list[0].duplicate, 8192);
	cr_assert_leq(read.history.list[0].at_ns, read.updated_ns);
}

Test(record, version_1_has_no_history)
{
	struct sksm_record *record, read;
	const char *reason;
	struct file file;

	record = make_record(&file);
	publish_at(record, 4096);
	record->version = 1;
	record->history.count = UINT32_MAX;
	cr_assert_eq(decode(&file, &read, &reason), 0);
	cr_assert_eq(read.counters.saved, 4096);
	cr_assert_eq(read.history.count, 0);
}

/* Killed in the middle of an update, it may have half a history; else it is not ours. */
Test(record, histories_that_cannot_be)
{
	struct sksm_record *record, read;
	const char *reason;
	struct file file;

	record = make_record(&file);
	publish_at(record, 4096);
	record->history.list[0].at_ns = record->start_ns - 1;
	cr_assert_eq(decode(&file, &read, &reason), -EINVAL);
	record->sequence++;
	cr_assert_eq(decode(&file, &read, &reason), -EAGAIN);
	cr_assert_eq(read.history.count, 0);
	cr_assert_eq(read.counters.saved, 4096);
	REFUSED(record->history.count = SKSM_HISTORY_MAX + 1, "corrupt");
}

Test(record, what_happened_goes_on)
{
	struct sksm_counters from = {
		.passes = 1, .writes_seen = 2, .cow_breaks = 3, .huge_lost = 4, .twin_writes = 5,
		.digests = 6, .saved = 7,
	}, to = { 0 };

	sksm_record_carry(&to, &from);
	cr_assert_eq(to.passes + to.writes_seen + to.cow_breaks + to.huge_lost + to.twin_writes +
		     to.digests, 21);
	cr_assert_eq(to.saved, 0, "what is, is counted anew");
}

/* The layout that sksm-record(5) tells. */
Test(record, is_as_documented)
{
	static const struct {
		size_t offset;
		size_t documented;
	} fields[] = {
		{ offsetof(struct sksm_record, state), 28 },
		{ offsetof(struct sksm_record, run_id), 56 },
		{ offsetof(struct sksm_record, sequence), 76 },
		{ offsetof(struct sksm_record, command), 96 },
		{ offsetof(struct sksm_record, dormant), 608 },
		{ offsetof(struct sksm_record, counters), 736 },
		{ offsetof(struct sksm_counters, pending), 18 * 8 },
		{ offsetof(struct sksm_counters, digests), 24 * 8 },
		{ sizeof(struct sksm_counters), 256 },
		{ offsetof(struct sksm_record, history), 992 },
		{ offsetof(struct sksm_history, list), 16 },
		{ offsetof(struct sksm_sample, duplicate), 16 },
		{ offsetof(struct sksm_sample, cpu_ns), 56 },
		{ sizeof(struct sksm_history), 3088 },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		cr_assert_eq(fields[i].offset, fields[i].documented, "field %zu: %zu", i,
			     fields[i].offset);
}
