/* SPDX-License-Identifier: MIT */
/*
 * The record of one process: a file of one page that the process maps and updates in place, or
 * writes after each pass (record_file.h), so that it says what was last known however the process
 * ended.
 *
 * Path: SKSM_DIR/DOMAIN/records/PID-START.rec, START being start_ns in hexadecimal. A process
 * that calls exec and is preloaded again writes a second record with the same pid.
 *
 * Readers use pread and sksm_record_decode, never a mapping: another user's file may be
 * truncated while it is read, and a mapping would then fault.
 */
#ifndef SKSM_RECORD_H
#define SKSM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "history.h"
#include "options.h"

#define SKSM_RECORD_MAGIC 0x314345524d534b53ull /* "SKSMREC1" in memory */
#define SKSM_RECORD_VERSION 2u
#define SKSM_RECORD_OLDEST 1u	/* that can be read: without a history, and less counted */
#define SKSM_RECORD_BYTES 4096u
#define SKSM_COMM_MAX 16
#define SKSM_COMMAND_MAX 512
#define SKSM_REASON_MAX 128

enum sksm_record_state {
	SKSM_STATE_RUNNING = 1,	/* or killed: see whether the process is there */
	SKSM_STATE_EXITED = 2,	/* ended by exit, _exit or a return from main */
	SKSM_STATE_EXEC = 3,	/* called exec: where it is mapped still, that is under way */
};

/*
 * What the report shows for a process. Bytes where the name has no unit, as in the JSON of
 * sksm-report; the order is part of the format.
 */
struct sksm_counters {
	uint64_t passes;
	uint64_t tracked;
	uint64_t resident;
	uint64_t armed;
	uint64_t invariant;
	uint64_t hot;
	uint64_t digested;
	uint64_t duplicate;
	uint64_t offered;
	uint64_t merged;
	uint64_t zero;
	uint64_t saved;
	uint64_t debt;
	uint64_t writes_seen;
	uint64_t cow_breaks;
	uint64_t cpu_ns;
	uint64_t sensitive_skipped;
	uint64_t shared_unmergeable;
	/* Not in the JSON contract, for the pacer and for people. */
	uint64_t pending;	/* offered, not merged, and ksmd has not yet had its scans */
	uint64_t own;		/* our own memory in this process */
	uint64_t huge_kept;	/* left alone because it is in transparent huge pages */
	uint64_t huge_lost;	/* of huge pages given up for their twins, ever */
	uint64_t possible;	/* frames that merging all duplicates would free */
	uint64_t twin_writes;	/* writes to pages with a twin that were not merged */
	uint64_t digests;	/* pages digested, ever */
	uint64_t hurried;	/* of pending: what somebody waits for (sksm_merge_now) */
	uint64_t spare[6];
};

struct sksm_record {
	uint64_t magic;
	uint32_t version;
	uint32_t bytes;		/* SKSM_RECORD_BYTES */
	uint32_t pid;		/* as the process sees itself */
	uint32_t ppid;
	uint32_t uid;
	uint32_t state;		/* enum sksm_record_state */
	uint64_t start_ns;	/* CLOCK_BOOTTIME when the record was made */
	uint64_t start_realtime_ns;
	uint64_t updated_ns;	/* CLOCK_BOOTTIME of the last update */
	uint64_t run_id;	/* of the sksm-run that started it, else 0 */
	uint32_t engine;	/* enum sksm_engine_kind, AUTO while not yet known */
	uint32_t tracker;	/* enum sksm_tracker_kind, AUTO while not yet known */
	uint32_t mode;		/* enum sksm_mode */
	uint32_t sequence;	/* odd while counters are being written */
	char comm[SKSM_COMM_MAX];
	char command[SKSM_COMMAND_MAX];	/* arguments joined by blanks, cut at a character */
	char dormant[SKSM_REASON_MAX];	/* empty, or why nothing is tracked */
	struct sksm_counters counters;
	struct sksm_history history;	/* since version 2 */
};

/*
 * Fill in a new record for this process: ids, times, state; @command as above (may be empty).
 * Async-signal-safe.
 */
void sksm_record_init(struct sksm_record *record, const char *comm, const char *command,
		      uint64_t run_id);

/*
 * Write the name of the file of (@pid, @start_ns), without a directory, to @ret of @size bytes
 * (64 are enough). Async-signal-safe.
 */
void sksm_record_filename(char *ret, size_t size, uint32_t pid, uint64_t start_ns);

/*
 * Publish @counters under the record's sequence. One writer at a time; readers never wait.
 * Async-signal-safe.
 */
void sksm_record_publish(struct sksm_record *record, const struct sksm_counters *counters);

/*
 * Counts of what happened, which go on where another thread, or another tracker, takes over what
 * @from describes. Async-signal-safe.
 */
void sksm_record_carry(struct sksm_counters *to, const struct sksm_counters *from);

/*
 * Check the @length bytes in @data and copy them to @ret. 0; -EINVAL and a reason in words in
 * *ret_reason ("truncated", "not a record", "a newer version (9)"...) where they are no record
 * that this version can read; -EAGAIN where an update was under way: read the file again, but a
 * process killed in that moment leaves it so for good, so @ret is filled in nonetheless.
 * A record of version 1 comes out with an empty history. Never trusts a byte: strings come out
 * terminated and printable, enums within their range.
 */
int sksm_record_decode(struct sksm_record *ret, const void *data, size_t length,
		       const char **ret_reason);

#endif
