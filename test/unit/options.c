/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "tracker/options.h"

struct complaints {
	unsigned int count;
	char name[32];
	char value[600];
	bool expected;
};

static void complain(const char *name, const char *value, const char *expected, void *arg)
{
	struct complaints *complaints = arg;

	complaints->count++;
	snprintf(complaints->name, sizeof(complaints->name), "%s", name);
	snprintf(complaints->value, sizeof(complaints->value), "%s", value);
	complaints->expected = expected && *expected;
}

static struct sksm_options parse(const char *entry, struct complaints *ret)
{
	const char *envp[] = { "PATH=/bin", entry, NULL };
	struct sksm_options options;

	memset(ret, 0, sizeof(*ret));
	sksm_options_parse(&options, (char *const *)envp, complain, ret);
	return options;
}

static struct sksm_options parse_valid(const char *entry)
{
	struct complaints complaints;
	struct sksm_options options = parse(entry, &complaints);

	cr_assert_eq(complaints.count, 0, "%s is valid", entry);
	return options;
}

Test(options, defaults)
{
	struct sksm_options options = parse_valid("HOME=/");

	cr_assert_eq(options.mode, SKSM_MODE_MERGE);
	cr_assert_eq(options.engine, SKSM_ENGINE_AUTO);
	cr_assert_eq(options.tracker, SKSM_TRACKER_AUTO);
	cr_assert_eq(options.threshold_bytes, 1 << 20);
	cr_assert_eq(options.track, SKSM_TRACK_ANON | SKSM_TRACK_MEMFD);
	cr_assert_eq(options.interval_ms, 1000);
	cr_assert_eq(options.age_ms, 2000);
	cr_assert_eq(options.cpu_percent, 5);
	cr_assert_str_eq(options.domain, "default");
	cr_assert_eq(options.report, SKSM_REPORT_NONE);
	cr_assert_str_empty(options.include);
	cr_assert_str_empty(options.exclude);
	cr_assert_not(options.split_hugepages);
	cr_assert_not(options.merge_sensitive);
	cr_assert_eq(options.backtrace_frames, 8);
	cr_assert_eq(options.log, SKSM_LOG_ERROR);
	cr_assert_not(options.dir_given);
}

/* Values that are taken, each with the member it changes and what that then holds. */
#define TAKES(entry, member, value) \
	cr_assert_eq(parse_valid(entry).member, value, "%s", entry)

Test(options, words)
{
	TAKES("SKSM_MODE=merge", mode, SKSM_MODE_MERGE);
	TAKES("SKSM_MODE=estimate", mode, SKSM_MODE_ESTIMATE);
	TAKES("SKSM_MODE=off", mode, SKSM_MODE_OFF);
	TAKES("SKSM_ENGINE=auto", engine, SKSM_ENGINE_AUTO);
	TAKES("SKSM_ENGINE=sksm", engine, SKSM_ENGINE_SKSM);
	TAKES("SKSM_ENGINE=ksm", engine, SKSM_ENGINE_KSM);
	TAKES("SKSM_ENGINE=none", engine, SKSM_ENGINE_NONE);
	TAKES("SKSM_TRACKER=auto", tracker, SKSM_TRACKER_AUTO);
	TAKES("SKSM_TRACKER=wp", tracker, SKSM_TRACKER_WP);
	TAKES("SKSM_TRACKER=digest", tracker, SKSM_TRACKER_DIGEST);
	TAKES("SKSM_HUGEPAGES=keep", split_hugepages, false);
	TAKES("SKSM_HUGEPAGES=split", split_hugepages, true);
	TAKES("SKSM_SENSITIVE=skip", merge_sensitive, false);
	TAKES("SKSM_SENSITIVE=merge", merge_sensitive, true);
	TAKES("SKSM_LOG=off", log, SKSM_LOG_OFF);
	TAKES("SKSM_LOG=error", log, SKSM_LOG_ERROR);
	TAKES("SKSM_LOG=info", log, SKSM_LOG_INFO);
	TAKES("SKSM_LOG=debug", log, SKSM_LOG_DEBUG);
}

Test(options, numbers)
{
	TAKES("SKSM_THRESHOLD=4096", threshold_bytes, 4096);
	TAKES("SKSM_THRESHOLD=4K", threshold_bytes, 4096);
	TAKES("SKSM_THRESHOLD=4k", threshold_bytes, 4096);
	TAKES("SKSM_THRESHOLD=65537", threshold_bytes, 65537);
	TAKES("SKSM_THRESHOLD=64M", threshold_bytes, 64 << 20);
	TAKES("SKSM_THRESHOLD=2g", threshold_bytes, 2ull << 30);
	TAKES("SKSM_THRESHOLD=65536G", threshold_bytes, 1ull << 46);
	TAKES("SKSM_INTERVAL_MS=1", interval_ms, 1);
	TAKES("SKSM_INTERVAL_MS=3600000", interval_ms, 3600000);
	TAKES("SKSM_AGE_MS=0", age_ms, 0);
	TAKES("SKSM_AGE_MS=86400000", age_ms, 86400000);
	TAKES("SKSM_CPU_PERCENT=1", cpu_percent, 1);
	TAKES("SKSM_CPU_PERCENT=100", cpu_percent, 100);
	TAKES("SKSM_CPU_PERCENT=007", cpu_percent, 7);
	TAKES("SKSM_BACKTRACE=0", backtrace_frames, 0);
	TAKES("SKSM_BACKTRACE=64", backtrace_frames, 64);
	TAKES("SKSM_TRACK=file", track, SKSM_TRACK_FILE);
	TAKES("SKSM_TRACK=memfd,anon", track, SKSM_TRACK_MEMFD | SKSM_TRACK_ANON);
	TAKES("SKSM_TRACK=anon,anon,file", track, SKSM_TRACK_ANON | SKSM_TRACK_FILE);
}

static char long_value[640];

static const char *longer(const char *prefix, size_t value_length)
{
	size_t length = strlen(prefix);

	memset(long_value, 'x', sizeof(long_value));
	memcpy(long_value, prefix, length);
	if (prefix[length - 1] == '=' && strcmp(prefix, "SKSM_DIR=") == 0)
		long_value[length] = '/';
	long_value[length + value_length] = '\0';
	return long_value;
}

Test(options, strings)
{
	cr_assert_str_eq(parse_valid("SKSM_DIR=/x/y").dir, "/x/y");
	cr_assert(parse_valid("SKSM_DIR=/x/y").dir_given);
	cr_assert_eq(strlen(parse_valid(longer("SKSM_DIR=", 255)).dir), 255);
	cr_assert_str_eq(parse_valid("SKSM_DOMAIN=a.B-c_9").domain, "a.B-c_9");
	cr_assert_eq(strlen(parse_valid(longer("SKSM_DOMAIN=", 63)).domain), 63);
	cr_assert_str_eq(parse_valid("SKSM_INCLUDE=a*,b").include, "a*,b");
	cr_assert_str_eq(parse_valid("SKSM_INCLUDE=").include, "");
	cr_assert_eq(strlen(parse_valid(longer("SKSM_EXCLUDE=", 511)).exclude), 511);
	TAKES("SKSM_REPORT=none", report, SKSM_REPORT_NONE);
	TAKES("SKSM_REPORT=stderr", report, SKSM_REPORT_STDERR);
	TAKES("SKSM_REPORT=/tmp/r", report, SKSM_REPORT_PATH);
	cr_assert_str_eq(parse_valid("SKSM_REPORT=out.json").report_path, "out.json");
	cr_assert_eq(strlen(parse_valid(longer("SKSM_REPORT=", 255)).report_path), 255);
}

Test(options, the_last_of_equal_names_counts)
{
	const char *envp[] = { "SKSM_AGE_MS=5", "SKSM_AGE_MS=6", NULL };
	struct sksm_options options;

	sksm_options_parse(&options, (char *const *)envp, NULL, NULL);
	cr_assert_eq(options.age_ms, 6);
}

/* The same but for @name, which is reported once; everything else is as by default. */
static void refuses(const char *entry)
{
	struct sksm_options defaults = parse_valid("HOME=/"), options;
	struct complaints complaints;
	size_t length = strcspn(entry, "=");

	options = parse(entry, &complaints);
	cr_assert_eq(complaints.count, 1, "%s: %u complaints", entry, complaints.count);
	cr_assert_eq(strlen(complaints.name), length - 5);
	cr_assert_eq(strncmp(complaints.name, entry + 5, length - 5), 0, "%s", entry);
	cr_assert_str_eq(complaints.value, entry + length + 1);
	cr_assert(complaints.expected);
	cr_assert_eq(memcmp(&options, &defaults, sizeof(options)), 0, "%s changed something",
		     entry);
	/* Nobody has to listen. */
	sksm_options_parse(&options, (char *const[]){ (char *)entry, NULL }, NULL, NULL);
}

Test(options, wrong_values_keep_the_default)
{
	static const char *const wrong[] = {
		"SKSM_MODE=", "SKSM_MODE=MERGE", "SKSM_MODE=merge ", "SKSM_MODE=mergeestimate",
		"SKSM_ENGINE=ksmd", "SKSM_ENGINE=1", "SKSM_TRACKER=", "SKSM_TRACKER=uffd",
		"SKSM_THRESHOLD=", "SKSM_THRESHOLD=4095", "SKSM_THRESHOLD=0", "SKSM_THRESHOLD=3K",
		"SKSM_THRESHOLD=1MB", "SKSM_THRESHOLD=1.5M", "SKSM_THRESHOLD=-1M",
		"SKSM_THRESHOLD=1T", "SKSM_THRESHOLD=K", "SKSM_THRESHOLD=65537G",
		"SKSM_THRESHOLD=99999999999999999999999", "SKSM_THRESHOLD=18446744073709551617",
		"SKSM_THRESHOLD=70368744177665", "SKSM_TRACK=", "SKSM_TRACK=anon,", "SKSM_TRACK=,",
		"SKSM_TRACK=anon memfd", "SKSM_TRACK=heap", "SKSM_INTERVAL_MS=0",
		"SKSM_INTERVAL_MS=3600001", "SKSM_INTERVAL_MS=1s", "SKSM_INTERVAL_MS= 1",
		"SKSM_AGE_MS=", "SKSM_AGE_MS=-1", "SKSM_AGE_MS=+1", "SKSM_AGE_MS=86400001",
		"SKSM_AGE_MS=4294967296", "SKSM_CPU_PERCENT=0", "SKSM_CPU_PERCENT=101",
		"SKSM_CPU_PERCENT=5%", "SKSM_CPU_PERCENT=0x5", "SKSM_DIR=", "SKSM_DIR=relative",
		"SKSM_DOMAIN=", "SKSM_DOMAIN=.", "SKSM_DOMAIN=..", "SKSM_DOMAIN=.x",
		"SKSM_DOMAIN=a/b", "SKSM_DOMAIN=a b", "SKSM_DOMAIN=pacer.lock",
		"SKSM_DOMAIN=\xc3\xa4", "SKSM_REPORT=",
		"SKSM_HUGEPAGES=yes", "SKSM_SENSITIVE=", "SKSM_BACKTRACE=65", "SKSM_BACKTRACE=-1",
		"SKSM_LOG=verbose",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refuses(wrong[i]);
	refuses(longer("SKSM_DIR=", 256));
	refuses(longer("SKSM_DOMAIN=", 64));
	refuses(longer("SKSM_REPORT=", 256));
	refuses(longer("SKSM_INCLUDE=", 512));
	refuses(longer("SKSM_EXCLUDE=", 512));
}

Test(options, names_that_only_begin_alike_are_not_ours)
{
	static const char *const other[] = { "SKSM_MODEL=x", "SKSM_=x", "SKSM_MODE", "sksm_mode=x",
					     "XSKSM_MODE=x", "SKSM_LOGS=x" };
	struct sksm_options defaults = parse_valid("HOME=/");

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		struct sksm_options options = parse_valid(other[i]);

		cr_assert_eq(memcmp(&options, &defaults, sizeof(options)), 0, "%s", other[i]);
	}
}

Test(options, no_environment_at_all)
{
	struct sksm_options options;

	sksm_options_parse(&options, NULL, NULL, NULL);
	cr_assert_eq(options.interval_ms, 1000);
	cr_assert_eq(options.dir[0], '/');
}

Test(options, default_directory_follows_the_user)
{
	struct sksm_options options;
	char runtime[48], dir[32];

	if (geteuid() != 0)
		unit_skip("needs root to become another user");
	unit_make_dir(dir);
	snprintf(runtime, sizeof(runtime), "XDG_RUNTIME_DIR=%s", dir);
	sksm_options_parse(&options, (char *const[]){ runtime, NULL }, NULL, NULL);
	cr_assert_str_eq(options.dir, "/run/sksm");

	/* Somebody else's runtime directory is not taken over. */
	cr_assert_eq(seteuid(65534), 0);
	sksm_options_update_dir(&options);
	cr_assert_str_eq(options.dir, "/tmp/sksm-65534");
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(chown(dir, 65534, 65534), 0);
	cr_assert_eq(seteuid(65534), 0);
	sksm_options_update_dir(&options);
	cr_assert_eq(strncmp(options.dir, dir, strlen(dir)), 0);
	cr_assert_str_eq(options.dir + strlen(dir), "/sksm");

	options = parse_valid("SKSM_DIR=/given");
	sksm_options_update_dir(&options);
	cr_assert_str_eq(options.dir, "/given");
	cr_assert_eq(seteuid(0), 0);
	unit_remove_dir(dir);
}

static bool admits(const char *include, const char *exclude, const char *program)
{
	struct sksm_options options = { 0 };

	strcpy(options.include, include);
	strcpy(options.exclude, exclude);
	return sksm_options_admit(&options, program);
}

Test(options, globs)
{
	cr_assert(admits("", "", "/usr/bin/x"));
	cr_assert(admits("x", "", "/usr/bin/x"));
	cr_assert(admits("x", "", "x"));
	cr_assert_not(admits("usr*", "", "/usr/bin/x"));
	cr_assert(admits("a,b,py*", "", "/usr/bin/python3.11"));
	cr_assert_not(admits("a,b,py?", "", "/usr/bin/python3.11"));
	cr_assert(admits("py*n3.??", "", "python3.11"));
	cr_assert(admits("*", "", "anything"));
	cr_assert(admits("**a**", "", "bab"));
	cr_assert_not(admits("*ab", "", "aba"));
	cr_assert(admits("*aab", "", "aaaab"));
	cr_assert_not(admits("?", "", ""));
	cr_assert_not(admits(",", "", ""));
	cr_assert(admits("", ",", "x"));
	cr_assert_not(admits("", "x", "/bin/x"));
	cr_assert_not(admits("x*", "xy", "xy"));
	cr_assert(admits("x*", "xy", "xyz"));
	cr_assert_not(admits("x", "", "/dir/x/"));
	/* Would take for ever where each '*' tries all the ways of the ones before. */
	cr_assert_not(admits("*a*a*a*a*a*a*a*a*a*a*b", "",
			     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

Test(options, domain_names)
{
	cr_assert(sksm_options_domain_valid("a"));
	cr_assert(sksm_options_domain_valid("-a..b"));
	cr_assert_not(sksm_options_domain_valid(""));
	cr_assert_not(sksm_options_domain_valid(".a"));
	cr_assert_not(sksm_options_domain_valid("a\n"));
	cr_assert_not(sksm_options_domain_valid("pacer.lock"));
	cr_assert(sksm_options_domain_valid("pacer"));
}

Test(options, words_of_the_enums)
{
	cr_assert_str_eq(sksm_mode_name(SKSM_MODE_ESTIMATE), "estimate");
	cr_assert_str_eq(sksm_engine_name(SKSM_ENGINE_KSM), "ksm");
	cr_assert_str_eq(sksm_tracker_name(SKSM_TRACKER_DIGEST), "digest");
}
