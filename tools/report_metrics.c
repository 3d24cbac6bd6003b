/* SPDX-License-Identifier: MIT */
/*
 * --openmetrics. The text is valid OpenMetrics and valid in the older format that the node
 * exporter's textfile collector reads. They name counters differently, so everything is a gauge.
 */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "text.h"

#define NS_PER_S 1000000000u
#define NAME_MAX_BYTES 64

static void print_family(FILE *out, const char *name, const char *unit, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
	if (unit)
		fprintf(out, "# UNIT %s %s\n", name, unit);
}

static void print_label(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			fputc('\\', out);
		fputc(*value, out);
	}
	fputc('"', out);
}

static void print_ns_as_seconds(FILE *out, uint64_t ns)
{
	fprintf(out, "%" PRIu64 ".%09u\n", ns / NS_PER_S, (unsigned int)(ns % NS_PER_S));
}

static void print_series(FILE *out, const char *name, const struct sksm_entry *entry)
{
	fprintf(out, "%s{pid=\"%d\",", name, (int)entry->pid);
	print_label(out, "comm", entry->comm);
	fputc(',', out);
	print_label(out, "domain", entry->domain);
	fprintf(out, ",uid=\"%u\"} ", (unsigned int)entry->owner);
}

/* Two records may be about one process, as after exec; the newer one counts, which comes later. */
static bool is_last_of_process(const struct sksm_census *census, size_t index)
{
	size_t i;

	for (i = index + 1; i < census->count; i++)
		if (census->list[i].pid == census->list[index].pid)
			return false;
	return true;
}

/* The key in the JSON with its unit: saved -> sksm_saved_bytes, cpu_ns -> sksm_cpu_seconds. */
static const char *name_column(const struct sksm_column *column, char ret[NAME_MAX_BYTES])
{
	size_t length = strlen(column->key);

	switch (column->kind) {
	case SKSM_COLUMN_BYTES:
		snprintf(ret, NAME_MAX_BYTES, "sksm_%s_bytes", column->key);
		return "bytes";
	case SKSM_COLUMN_NS:
		snprintf(ret, NAME_MAX_BYTES, "sksm_%.*s_seconds", (int)(length - strlen("_ns")),
			 column->key);
		return "seconds";
	default:
		snprintf(ret, NAME_MAX_BYTES, "sksm_%s", column->key);
		return NULL;
	}
}

static void print_column(FILE *out, const struct sksm_column *column,
			 const struct sksm_census *census)
{
	char name[NAME_MAX_BYTES];
	const char *unit = name_column(column, name);
	size_t i;

	print_family(out, name, unit, column->help);
	for (i = 0; i < census->count; i++) {
		const struct sksm_entry *entry = &census->list[i];
		uint64_t value = sksm_column_sum(column, &entry->record.counters);

		if (!is_last_of_process(census, i))
			continue;
		print_series(out, name, entry);
		if (column->kind == SKSM_COLUMN_NS)
			print_ns_as_seconds(out, value);
		else
			fprintf(out, "%" PRIu64 "\n", value);
	}
}

static void print_states(FILE *out, const struct sksm_census *census)
{
	size_t i;

	print_family(out, "sksm_start_time_seconds", "seconds", "since 1970, when it started");
	for (i = 0; i < census->count; i++) {
		if (!is_last_of_process(census, i))
			continue;
		print_series(out, "sksm_start_time_seconds", &census->list[i]);
		print_ns_as_seconds(out, census->list[i].record.start_realtime_ns);
	}
	print_family(out, "sksm_dormant", NULL, "1 where nothing is tracked any more");
	for (i = 0; i < census->count; i++) {
		if (!is_last_of_process(census, i))
			continue;
		print_series(out, "sksm_dormant", &census->list[i]);
		fprintf(out, "%d\n", *census->list[i].dormant != '\0');
	}
}

static void print_host(FILE *out, const struct sksm_host *host)
{
	struct sksm_examination examination;
	size_t i;

	print_family(out, "sksm_info", NULL, "what a process started now would use");
	fprintf(out, "sksm_info{version=\"" SKSM_VERSION "\",");
	print_label(out, "kernel", host->kernel.release);
	fprintf(out, ",engine=\"%s\",tracker=\"%s\"} 1\n", sksm_engine_name(host->engine),
		sksm_tracker_name(sksm_probe_tracker(&host->probe, &host->options)));
	sksm_doctor_examine(&examination, host);
	print_family(out, "sksm_capable", NULL, "1 where the machine and this user can do it");
	for (i = 0; i < examination.count; i++)
		fprintf(out, "sksm_capable{name=\"%s\"} %d\n", examination.list[i].name,
			examination.list[i].works);
	fprintf(out, "sksm_capable{name=\"merge\"} %d\n", examination.can_merge);
	print_family(out, "sksm_pacer_running", NULL, "1 where a pacer is active");
	fprintf(out, "sksm_pacer_running %d\n", host->pacer != 0);
	print_family(out, "sksm_pacer_pulses", NULL, "pulses of ksmd since boot");
	fprintf(out, "sksm_pacer_pulses %" PRIu64 "\n", host->stats.pulses);
	print_family(out, "sksm_pacer_cpu_seconds", "seconds", "CPU time of all pacers since boot");
	fprintf(out, "sksm_pacer_cpu_seconds ");
	print_ns_as_seconds(out, host->stats.pacer_cpu_ns);
	print_family(out, "sksm_ksmd_cpu_seconds", "seconds",
		     "CPU time of ksmd since boot while a pacer let it run");
	fprintf(out, "sksm_ksmd_cpu_seconds ");
	print_ns_as_seconds(out, host->stats.ksmd_cpu_ns);
}

/* The whole text, to be freed. NULL: out of memory. */
static char *compose(const struct sksm_census *census, const struct sksm_host *host)
{
	char *text = NULL;
	size_t length, i;
	FILE *out = open_memstream(&text, &length);
	bool failed;

	if (!out)
		return NULL;
	print_host(out, host);
	for (i = 0; i < sksm_column_count; i++)
		if (sksm_column_is_summed(&sksm_columns[i]))
			print_column(out, &sksm_columns[i], census);
	print_states(out, census);
	fputs("# EOF\n", out);
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(text);
		return NULL;
	}
	return text;
}

/* At once: a collector, which looks for names that end in ".prom", sees the old or the new one. */
static int replace_file(const char *path, const char *text)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char *dir = slash == path ? strdup("/") :
		    slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	int dir_fd, error;

	if (!dir)
		return -ENOMEM;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	error = dir_fd < 0 ? -errno : 0;
	free(dir);
	if (error)
		return error;
	error = *name ? sksm_text_replace(dir_fd, name, text, 0644) : -EISDIR;
	close(dir_fd);
	return error;
}

int sksm_report_metrics(const struct sksm_census *census, const struct sksm_host *host,
			const char *path)
{
	char *text = compose(census, host);
	int error = 0;

	if (!text)
		return -ENOMEM;
	if (path)
		error = replace_file(path, text);
	else
		fputs(text, stdout);
	free(text);
	return error;
}
