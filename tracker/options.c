/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fmt.h"
#include "sys.h"

static const char *const mode_words[] = { "merge", "estimate", "off", NULL };
static const char *const engine_words[] = { "auto", "sksm", "ksm", "none", NULL };
static const char *const tracker_words[] = { "auto", "wp", "digest", NULL };
static const char *const huge_words[] = { "keep", "split", NULL };
static const char *const sensitive_words[] = { "skip", "merge", NULL };
static const char *const log_words[] = { "off", "error", "info", "debug", NULL };
static const char *const track_words[] = { "anon", "memfd", "file", NULL };

const char *sksm_mode_name(enum sksm_mode mode)
{
	return mode_words[mode];
}

const char *sksm_engine_name(enum sksm_engine_kind engine)
{
	return engine_words[engine];
}

const char *sksm_tracker_name(enum sksm_tracker_kind tracker)
{
	return tracker_words[tracker];
}

/* The index of the @length bytes at @text in @words, or -1. */
static int find_word(const char *const *words, const char *text, size_t length)
{
	for (int i = 0; words[i]; i++)
		if (strlen(words[i]) == length && memcmp(words[i], text, length) == 0)
			return i;
	return -1;
}

/* Decimal digits only, at most @max; *ret_end is behind the last digit. False: no such number. */
static bool parse_digits(const char *text, uint64_t max, uint64_t *ret, const char **ret_end)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		unsigned int digit = (unsigned int)(*p - '0');

		if (value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (p == text)
		return false;
	*ret = value;
	*ret_end = p;
	return true;
}

/* How a variable's text becomes a member of struct sksm_options. */
enum value_kind { VALUE_WORD, VALUE_BOOL, VALUE_UINT, VALUE_BYTES, VALUE_TRACK, VALUE_STRING,
		  VALUE_DIR, VALUE_DOMAIN, VALUE_REPORT };

struct variable {
	const char *name;	/* behind "SKSM_" */
	enum value_kind kind;
	size_t offset;
	const char *const *words;
	uint64_t min;
	uint64_t max;		/* largest number; for strings the size of the member */
	const char *expected;
};

#define MEMBER(m) offsetof(struct sksm_options, m)

static const struct variable variables[] = {
	{ "MODE", VALUE_WORD, MEMBER(mode), mode_words, 0, 0, "merge, estimate or off" },
	{ "ENGINE", VALUE_WORD, MEMBER(engine), engine_words, 0, 0, "auto, sksm, ksm or none" },
	{ "TRACKER", VALUE_WORD, MEMBER(tracker), tracker_words, 0, 0, "auto, wp or digest" },
	{ "LOG", VALUE_WORD, MEMBER(log), log_words, 0, 0, "off, error, info or debug" },
	{ "HUGEPAGES", VALUE_BOOL, MEMBER(split_hugepages), huge_words, 0, 0, "keep or split" },
	{ "SENSITIVE", VALUE_BOOL, MEMBER(merge_sensitive), sensitive_words, 0, 0,
	  "skip or merge" },
	{ "THRESHOLD", VALUE_BYTES, MEMBER(threshold_bytes), NULL, 4096, 1ull << 46,
	  "a size of at least 4K, as 65536, 64K, 1M or 1G" },
	{ "TRACK", VALUE_TRACK, MEMBER(track), track_words, 0, 0,
	  "a comma-separated list of anon, memfd and file" },
	{ "INTERVAL_MS", VALUE_UINT, MEMBER(interval_ms), NULL, 1, 3600000,
	  "milliseconds from 1 to 3600000" },
	{ "AGE_MS", VALUE_UINT, MEMBER(age_ms), NULL, 0, 86400000,
	  "milliseconds from 0 to 86400000" },
	{ "CPU_PERCENT", VALUE_UINT, MEMBER(cpu_percent), NULL, 1, 100, "a number from 1 to 100" },
	{ "BACKTRACE", VALUE_UINT, MEMBER(backtrace_frames), NULL, 0, 64,
	  "a number from 0 to 64" },
	{ "DIR", VALUE_DIR, MEMBER(dir), NULL, 0, SKSM_PATH_MAX,
	  "an absolute path of at most 255 bytes" },
	{ "DOMAIN", VALUE_DOMAIN, MEMBER(domain), NULL, 0, SKSM_DOMAIN_MAX,
	  "1 to 63 letters, digits, '.', '_' or '-', not starting with '.'" },
	{ "REPORT", VALUE_REPORT, MEMBER(report), NULL, 0, SKSM_PATH_MAX,
	  "none, stderr or a path of at most 255 bytes" },
	{ "INCLUDE", VALUE_STRING, MEMBER(include), NULL, 0, SKSM_GLOBS_MAX,
	  "comma-separated globs of at most 511 bytes" },
	{ "EXCLUDE", VALUE_STRING, MEMBER(exclude), NULL, 0, SKSM_GLOBS_MAX,
	  "comma-separated globs of at most 511 bytes" },
};

static bool copy_string(char *to, const char *value, size_t size)
{
	size_t length = strlen(value);

	if (length >= size)
		return false;
	memcpy(to, value, length + 1);
	return true;
}

static bool parse_bytes(const struct variable *variable, const char *value, uint64_t *ret)
{
	unsigned int shift = 0;
	uint64_t number;
	const char *end;

	if (!parse_digits(value, variable->max, &number, &end))
		return false;
	if (*end) {
		switch (*end++) {
		case 'k': case 'K': shift = 10; break;
		case 'm': case 'M': shift = 20; break;
		case 'g': case 'G': shift = 30; break;
		default: return false;
		}
	}
	if (*end || number > variable->max >> shift || number << shift < variable->min)
		return false;
	*ret = number << shift;
	return true;
}

static bool parse_track(const char *value, unsigned int *ret)
{
	unsigned int track = 0;

	for (;;) {
		size_t length = strcspn(value, ",");
		int word = find_word(track_words, value, length);

		if (word < 0)
			return false;
		track |= 1u << word;
		if (!value[length])
			break;
		value += length + 1;
	}
	*ret = track;
	return true;
}

static bool parse_report(struct sksm_options *options, const char *value)
{
	if (strcmp(value, "none") == 0) {
		options->report = SKSM_REPORT_NONE;
	} else if (strcmp(value, "stderr") == 0) {
		options->report = SKSM_REPORT_STDERR;
	} else {
		if (!*value || !copy_string(options->report_path, value, SKSM_PATH_MAX))
			return false;
		options->report = SKSM_REPORT_PATH;
	}
	return true;
}

static bool parse_value(struct sksm_options *options, const struct variable *variable,
			const char *value)
{
	void *member = (char *)options + variable->offset;
	uint64_t number;
	const char *end;
	int word;

	switch (variable->kind) {
	case VALUE_WORD:
	case VALUE_BOOL:
		word = find_word(variable->words, value, strlen(value));
		if (word < 0)
			return false;
		if (variable->kind == VALUE_BOOL)
			*(bool *)member = word == 1;
		else
			*(unsigned int *)member = (unsigned int)word;
		return true;
	case VALUE_UINT:
		if (!parse_digits(value, variable->max, &number, &end) || *end ||
		    number < variable->min)
			return false;
		*(unsigned int *)member = (unsigned int)number;
		return true;
	case VALUE_BYTES:
		return parse_bytes(variable, value, member);
	case VALUE_TRACK:
		return parse_track(value, member);
	case VALUE_REPORT:
		return parse_report(options, value);
	case VALUE_DIR:
		return value[0] == '/' && copy_string(member, value, variable->max);
	case VALUE_DOMAIN:
		return sksm_options_domain_valid(value) &&
		       copy_string(member, value, variable->max);
	case VALUE_STRING:
		return copy_string(member, value, variable->max);
	}
	return false;
}

/* SKSM_DIR where nobody chose one: a runtime directory that nobody else can write to. */
void sksm_options_update_dir(struct sksm_options *options)
{
	unsigned int uid = (unsigned int)sksm_call0(SYS_geteuid);
	const char *runtime_dir = options->runtime_dir;
	struct sksm_fmt fmt;
	struct stat st;

	if (options->dir_given)
		return;
	fmt = sksm_fmt_start(options->dir, sizeof(options->dir));
	if (uid == 0) {
		sksm_fmt_str(&fmt, "/run/sksm");
		return;
	}
	/* A program that changed its user keeps the old one's XDG_RUNTIME_DIR. */
	if (runtime_dir[0] == '/' &&
	    strlen(runtime_dir) + sizeof("/sksm") <= sizeof(options->dir) &&
	    sksm_call4(SYS_newfstatat, AT_FDCWD, runtime_dir, &st, 0) == 0 &&
	    S_ISDIR(st.st_mode) && st.st_uid == uid) {
		sksm_fmt_str(&fmt, runtime_dir);
		sksm_fmt_str(&fmt, "/sksm");
		return;
	}
	sksm_fmt_str(&fmt, "/tmp/sksm-");
	sksm_fmt_uint(&fmt, uid, 10);
}

void sksm_options_read(struct sksm_options *ret, char *const envp[],
		       sksm_options_complain_fn complain, void *arg)
{
	memset(ret, 0, sizeof(*ret));
	ret->log = SKSM_LOG_ERROR;
	ret->track = SKSM_TRACK_ANON | SKSM_TRACK_MEMFD;
	ret->threshold_bytes = 1u << 20;
	ret->interval_ms = 1000;
	ret->age_ms = 2000;
	ret->cpu_percent = 5;
	ret->backtrace_frames = 8;
	memcpy(ret->domain, "default", sizeof("default"));

	for (; envp && *envp; envp++) {
		const char *entry = *envp;

		if (strncmp(entry, "XDG_RUNTIME_DIR=", 16) == 0)
			copy_string(ret->runtime_dir, entry + 16, sizeof(ret->runtime_dir));
		if (strncmp(entry, "SKSM_", 5) != 0)
			continue;
		for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
			const struct variable *variable = &variables[i];
			size_t length = strlen(variable->name);

			if (strncmp(entry + 5, variable->name, length) != 0 ||
			    entry[5 + length] != '=')
				continue;
			if (!parse_value(ret, variable, entry + 6 + length) && complain)
				complain(variable->name, entry + 6 + length, variable->expected,
					 arg);
		}
	}
	ret->dir_given = ret->dir[0] != '\0';
}

void sksm_options_parse(struct sksm_options *ret, char *const envp[],
			sksm_options_complain_fn complain, void *arg)
{
	sksm_options_read(ret, envp, complain, arg);
	sksm_options_update_dir(ret);
}

bool sksm_options_domain_valid(const char *name)
{
	size_t length = 0;

	/* /run/sksm holds the pacer's files next to root's domains. */
	if (name[0] == '.' || strncmp(name, "pacer.", 6) == 0)
		return false;
	for (; name[length]; length++) {
		char c = name[length];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '_' || c == '-'))
			return false;
	}
	return length >= 1 && length < SKSM_DOMAIN_MAX;
}

/* '*' and '?' over the @length bytes of @glob; the last '*' is where a mismatch goes back to. */
static bool match_glob(const char *glob, size_t length, const char *text)
{
	const char *end = glob + length, *star = NULL, *star_text = NULL;

	while (*text) {
		if (glob < end && *glob == '*') {
			star = glob++;
			star_text = text;
		} else if (glob < end && (*glob == '?' || *glob == *text)) {
			glob++;
			text++;
		} else if (star) {
			glob = star + 1;
			text = ++star_text;
		} else {
			return false;
		}
	}
	while (glob < end && *glob == '*')
		glob++;
	return glob == end;
}

static bool match_any(const char *globs, const char *text)
{
	while (*globs) {
		size_t length = strcspn(globs, ",");

		if (length && match_glob(globs, length, text))
			return true;
		globs += length + (globs[length] == ',');
	}
	return false;
}

bool sksm_options_admit(const struct sksm_options *options, const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash ? slash + 1 : program;

	if (options->include[0] && !match_any(options->include, name))
		return false;
	return !match_any(options->exclude, name);
}
