/* SPDX-License-Identifier: MIT */
#include "html.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "diagnose.h"
#include "report.h"

#define MARK "@DATA@"

/* tools/report.html, which holds MARK once. */
__asm__(".section .rodata\n"
	"sksm_html_page: .incbin \"" SKSM_HTML_PAGE "\"\n"
	".byte 0\n"
	".previous\n");
extern const char sksm_html_page[];

static struct json_object *data_object(const struct sksm_census *census,
				       const struct sksm_host *host)
{
	struct json_object *data = json_object_new_object(), *report = NULL, *diagnosis = NULL;
	struct sksm_site_report sites;
	time_t now = time(NULL);
	char when[32] = "";
	struct tm tm;

	if (sksm_sites_take(&sites, census) == 0) {
		report = sksm_report_object(census, host, &sites, true);
		sksm_diagnosis_object(census, host, &sites, &diagnosis);
		sksm_sites_fini(&sites);
	}
	if (gmtime_r(&now, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M UTC", &tm);
	json_object_object_add(data, "when", json_object_new_string(when));
	json_object_object_add(data, "report", report);
	json_object_object_add(data, "diagnosis", diagnosis);
	if (report && diagnosis)
		return data;
	json_object_put(data);
	return NULL;
}

/* Names of processes and files are others' words: none may end the element that holds the data. */
static void put_escaped(FILE *out, const char *json)
{
	for (; *json; json++) {
		if (*json == '<')
			fputs("\\u003c", out);
		else
			putc(*json, out);
	}
}

static void put_page(FILE *out, const char *json)
{
	const char *mark = strstr(sksm_html_page, MARK);

	fwrite(sksm_html_page, 1, (size_t)(mark - sksm_html_page), out);
	put_escaped(out, json);
	fputs(mark + strlen(MARK), out);
}

static int finish(FILE *out, const char *partial, const char *path)
{
	int error = ferror(out) ? EIO : 0;

	if (fclose(out) && !error)
		error = errno;
	if (!error && rename(partial, path))
		error = errno;
	if (error)
		unlink(partial);
	return -error;
}

static int replace_file(const char *path, const char *json)
{
	char *partial;
	FILE *out;
	int fd, error;

	if (asprintf(&partial, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(partial, O_CLOEXEC);
	out = fd < 0 || fchmod(fd, 0644) ? NULL : fdopen(fd, "w");
	if (!out) {
		error = -errno;
		if (fd >= 0) {
			close(fd);
			unlink(partial);
		}
		free(partial);
		return error;
	}
	put_page(out, json);
	error = finish(out, partial, path);
	free(partial);
	return error;
}

int sksm_html(const struct sksm_census *census, const struct sksm_host *host, const char *path)
{
	struct json_object *data = data_object(census, host);
	const char *json =
		data ? json_object_to_json_string_ext(data, JSON_C_TO_STRING_PLAIN) : NULL;
	int error = json ? 0 : -ENOMEM;

	if (json && !strcmp(path, "-"))
		put_page(stdout, json);
	else if (json)
		error = replace_file(path, json);
	json_object_put(data);
	return error;
}
