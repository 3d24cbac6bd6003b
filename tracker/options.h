/* SPDX-License-Identifier: MIT */
/*
 * The SKSM_* environment, parsed once from an environ-style array.
 *
 * Parsing allocates nothing, takes no lock and calls no locale or stdio function, so that the
 * shim may do it from a constructor that runs before the program's own allocator is ready.
 */
#ifndef SKSM_OPTIONS_H
#define SKSM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define SKSM_PATH_MAX 256	/* longest SKSM_DIR and SKSM_REPORT, with the final NUL */
#define SKSM_DOMAIN_MAX 64	/* longest SKSM_DOMAIN, with the final NUL */
#define SKSM_GLOBS_MAX 512	/* longest SKSM_INCLUDE and SKSM_EXCLUDE, with the final NUL */

enum sksm_mode { SKSM_MODE_MERGE, SKSM_MODE_ESTIMATE, SKSM_MODE_OFF };
enum sksm_engine_kind { SKSM_ENGINE_AUTO, SKSM_ENGINE_SKSM, SKSM_ENGINE_KSM, SKSM_ENGINE_NONE };
enum sksm_tracker_kind { SKSM_TRACKER_AUTO, SKSM_TRACKER_WP, SKSM_TRACKER_DIGEST };
enum sksm_report_kind { SKSM_REPORT_NONE, SKSM_REPORT_STDERR, SKSM_REPORT_PATH };
enum sksm_log_level { SKSM_LOG_OFF, SKSM_LOG_ERROR, SKSM_LOG_INFO, SKSM_LOG_DEBUG };

/* Bits of sksm_options.track. */
#define SKSM_TRACK_ANON 1u
#define SKSM_TRACK_MEMFD 2u
#define SKSM_TRACK_FILE 4u

struct sksm_options {
	enum sksm_mode mode;
	enum sksm_engine_kind engine;
	enum sksm_tracker_kind tracker;
	enum sksm_report_kind report;
	enum sksm_log_level log;
	bool split_hugepages;	/* SKSM_HUGEPAGES=split */
	bool merge_sensitive;	/* SKSM_SENSITIVE=merge */
	bool keeps_marks;	/* no setting: the program marks memory itself, so none is taken */
	unsigned int track;
	unsigned int interval_ms;
	unsigned int age_ms;
	unsigned int cpu_percent;
	unsigned int backtrace_frames;
	uint64_t threshold_bytes;
	char dir[SKSM_PATH_MAX];	/* always absolute once parsed */
	bool dir_given;			/* SKSM_DIR was set: dir does not follow the user */
	char runtime_dir[SKSM_PATH_MAX];	/* XDG_RUNTIME_DIR, or empty */
	char domain[SKSM_DOMAIN_MAX];
	char report_path[SKSM_PATH_MAX];
	char include[SKSM_GLOBS_MAX];	/* empty: every program */
	char exclude[SKSM_GLOBS_MAX];	/* empty: none */
};

/*
 * Called once for each variable whose value cannot be used. @name lacks the SKSM_ in front;
 * @expected says in words what would have been valid, for example "merge, estimate or off".
 */
typedef void (*sksm_options_complain_fn)(const char *name, const char *value, const char *expected,
					 void *arg);

/*
 * Fill @ret with the defaults, then with what @envp (NAME=VALUE strings, NULL at the end) says.
 * A value that cannot be parsed keeps the default and is passed to @complain (may be NULL).
 * Async-signal-safe, thread-safe. Uses geteuid and, to see whether XDG_RUNTIME_DIR is ours, stat.
 */
void sksm_options_parse(struct sksm_options *ret, char *const envp[],
			sksm_options_complain_fn complain, void *arg);

/* Likewise, but without a system call: sksm_options_update_dir is still to come. */
void sksm_options_read(struct sksm_options *ret, char *const envp[],
		       sksm_options_complain_fn complain, void *arg);

/*
 * Where SKSM_DIR was not set, dir follows the effective user: call again after that may have
 * changed. Async-signal-safe.
 */
void sksm_options_update_dir(struct sksm_options *options);

/*
 * True where @program (its base name is what counts) is to be tracked: it matches a glob of
 * include, or include is empty, and it matches none of exclude. Globs know '*' and '?'.
 */
bool sksm_options_admit(const struct sksm_options *options, const char *program);

/* Can @name be a domain: 1 to 63 of [A-Za-z0-9._-], not starting with "." or "pacer."? */
bool sksm_options_domain_valid(const char *name);

/* The words of the enums above, as in the environment ("merge", "ksm", "wp"...). */
const char *sksm_mode_name(enum sksm_mode mode);
const char *sksm_engine_name(enum sksm_engine_kind engine);
const char *sksm_tracker_name(enum sksm_tracker_kind tracker);

#endif
