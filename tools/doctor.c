/* SPDX-License-Identifier: MIT */
#include "doctor.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frames.h"
#include "locate.h"
#include "text.h"

#define NEWER_KERNEL "boot Linux %s or newer (Debian 12: apt install -t bookworm-backports " \
		     "linux-image-amd64)"
#define OPEN_SECCOMP "allow %s in the seccomp profile (docker run --security-opt " \
		     "seccomp=profile.json, or =unconfined)"
#define DIRECTORY_MAX (SKSM_PATH_MAX + SKSM_DOMAIN_MAX + 16)
#define SCOPE_FILE "/proc/sys/kernel/yama/ptrace_scope"

static struct sksm_symptom *add_symptom(struct sksm_examination *examination, const char *name,
					const char *text, bool works)
{
	struct sksm_symptom *symptom = &examination->list[examination->count++];

	*symptom = (struct sksm_symptom){ .name = name, .text = text, .works = works };
	return symptom;
}

#define SAY(text, ...) snprintf(text, SKSM_SYMPTOM_TEXT_MAX, __VA_ARGS__)

/* What each ability needs: a kernel that has it, or a container that allows it. */
static const struct {
	const char *since;	/* the first kernel that has it; NULL: another command */
	const char *call;	/* what a seccomp filter may refuse */
	const char *command;
	const char *instead;
	bool always_needed;
} cures[SKSM_ABILITIES] = {
	[SKSM_ABLE_PROC] = { .command = "as root: mount -t proc proc /proc", .always_needed = true },
	[SKSM_ABLE_PAGEMAP_SCAN] = { "6.7", "ioctl", NULL, "SKSM_TRACKER=digest", false },
	[SKSM_ABLE_USERFAULTFD] = { "5.11", "userfaultfd", NULL, "SKSM_TRACKER=digest", false },
	[SKSM_ABLE_WP_ASYNC] = { "6.7", "userfaultfd and ioctl", NULL, "SKSM_TRACKER=digest",
				 false },
	[SKSM_ABLE_ARM] = { "6.7", "userfaultfd and ioctl", NULL, "SKSM_TRACKER=digest", false },
	[SKSM_ABLE_PROCMAP_QUERY] = { "6.11", "ioctl", NULL, "/proc/self/maps as text", false },
	[SKSM_ABLE_READ] = { "3.2", "process_vm_readv", NULL, NULL, true },
	[SKSM_ABLE_EXCLUSIVE] = { "4.2", NULL, NULL, NULL, true },
	[SKSM_ABLE_KSM] = { .command = "boot a kernel with CONFIG_KSM=y (Debian's has it)" },
	[SKSM_ABLE_MADV_MERGE] = { .command = "boot a kernel with the MADV_MERGE proposal; no "
					      "released one has it" },
};

static bool is_refused(int error)
{
	return error == EPERM || error == EACCES;
}

static void examine_ability(struct sksm_examination *examination, const struct sksm_host *host,
			    enum sksm_ability ability)
{
	int error = host->probe.error[ability];
	struct sksm_symptom *symptom;

	symptom = add_symptom(examination, sksm_ability_name(ability), sksm_ability_text(ability),
			      !error);
	symptom->needed = cures[ability].always_needed;
	if (!error)
		return;
	SAY(symptom->reason, "%s", strerror(error));
	symptom->instead = cures[ability].instead;
	if (ability == SKSM_ABLE_MADV_MERGE && !host->probe.error[SKSM_ABLE_KSM])
		symptom->instead = "SKSM_ENGINE=ksm";
	else if (ability == SKSM_ABLE_KSM && !host->probe.error[SKSM_ABLE_MADV_MERGE])
		symptom->instead = "SKSM_ENGINE=sksm";
	if (cures[ability].call && is_refused(error))
		SAY(symptom->command, OPEN_SECCOMP, cures[ability].call);
	else if (cures[ability].since)
		SAY(symptom->command, NEWER_KERNEL, cures[ability].since);
	else
		SAY(symptom->command, "%s", cures[ability].command);
}

static void examine_library(struct sksm_examination *examination)
{
	char path[PATH_MAX];
	bool found = !sksm_locate_preload(path);
	struct sksm_symptom *symptom;

	symptom = add_symptom(examination, "library", "libsksm_preload.so can be preloaded",
			      found && !strpbrk(path, " :"));
	symptom->needed = true;
	if (symptom->works)
		return;
	if (found) {
		SAY(symptom->reason, "a blank or a colon in its path, %.400s", path);
		SAY(symptom->command, "export SKSM_PRELOAD=/path/to/libsksm_preload.so");
	} else {
		SAY(symptom->reason, "not there (looked for: %.400s)", path);
		SAY(symptom->command, "cmake --install build, or export "
		    "SKSM_PRELOAD=/path/to/libsksm_preload.so");
	}
}

/* Why a process of this user could not use @dir; see open_directory in domain.c. */
static void judge_directory(struct sksm_symptom *symptom, const char *dir)
{
	char parent[DIRECTORY_MAX];
	struct stat status;
	char *slash;

	if (!lstat(dir, &status)) {
		if (!S_ISDIR(status.st_mode)) {
			SAY(symptom->reason, "%s is %s", dir, S_ISLNK(status.st_mode) ?
			    "a symbolic link" : "not a directory");
			SAY(symptom->command, "export SKSM_DIR=/another/directory");
		} else if (status.st_uid != geteuid()) {
			SAY(symptom->reason, "%s belongs to another user", dir);
			SAY(symptom->command, "export SKSM_DIR=/another/directory");
		} else if (status.st_mode & 022) {
			SAY(symptom->reason, "others can write to %s", dir);
			SAY(symptom->command, "chmod 700 %s", dir);
		} else if (access(dir, R_OK | W_OK | X_OK)) {
			SAY(symptom->reason, "%s: %s", dir, strerror(errno));
			SAY(symptom->command, errno == EROFS ? "export SKSM_DIR=/another/directory" :
			    "chmod 700 %s", dir);
		}
		return;
	}
	snprintf(parent, sizeof(parent), "%s", dir);
	slash = strrchr(parent, '/');
	if (errno != ENOENT || !slash) {
		SAY(symptom->reason, "%s: %s", dir, strerror(errno));
		SAY(symptom->command, "export SKSM_DIR=/another/directory");
		return;
	}
	*(slash == parent ? slash + 1 : slash) = '\0';
	if (!access(parent, W_OK | X_OK))
		return;
	SAY(symptom->reason, "%s cannot be made: %s", dir, strerror(errno));
	if (errno == ENOENT)
		SAY(symptom->command, "mkdir -p %s", parent);
	else
		SAY(symptom->command, "export SKSM_DIR=/another/directory");
}

static void examine_directory(struct sksm_examination *examination, const struct sksm_host *host)
{
	const char *const steps[] = { host->options.dir, host->options.domain, "records" };
	struct sksm_symptom *symptom;
	char path[DIRECTORY_MAX];
	size_t used = 0, i;

	symptom = add_symptom(examination, "directory", "SKSM_DIR can hold records and indexes",
			      true);
	symptom->needed = true;
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]) && !*symptom->reason; i++) {
		/* What is in a directory that is not there yet will be made as it has to be. */
		if (i && access(path, F_OK))
			break;
		used += (size_t)snprintf(path + used, sizeof(path) - used, "%s%s", i ? "/" : "",
					 steps[i]);
		judge_directory(symptom, path);
	}
	symptom->works = !*symptom->reason;
}

static void complain(const char *name, const char *value, const char *expected, void *arg)
{
	struct sksm_symptom *symptom = arg;

	SAY(symptom->reason, "SKSM_%s=%.200s: not %s", name, value, expected);
	SAY(symptom->command, "unset SKSM_%s", name);
	symptom->works = false;
}

static void examine_settings(struct sksm_examination *examination)
{
	struct sksm_symptom *symptom;
	struct sksm_options options;

	symptom = add_symptom(examination, "settings", "all SKSM_ variables can be used", true);
	symptom->instead = "the default";
	sksm_options_parse(&options, environ, complain, symptom);
}

static void examine_ksmd(struct sksm_examination *examination, const struct sksm_host *host)
{
	struct sksm_verdict verdict = { 0 };
	struct sksm_symptom *symptom;
	bool needed = host->engine == SKSM_ENGINE_KSM;

	symptom = add_symptom(examination, "ksmd_runs", "ksmd runs, or a pacer lets it run",
			      host->has_ksm && !sksm_host_ksmd_stands(host, &verdict));
	if (!symptom->works) {
		SAY(symptom->reason, "%s", host->has_ksm ? verdict.reason :
		    SKSM_KSMD_ROOT " cannot be read");
		SAY(symptom->command, "%s", host->has_ksm ? verdict.command :
		    host->probe.error[SKSM_ABLE_KSM] ? cures[SKSM_ABLE_KSM].command :
		    "as root: mount -t sysfs sysfs /sys");
		if (needed && sksm_host_can_merge(host, &verdict))
			symptom->instead = "the pacer that sksm-run starts";
		else if (!needed)
			symptom->instead = "not used by this engine";
	}
	symptom = add_symptom(examination, "pacer_clean", "no killed pacer has left its settings",
			      !host->left_over);
	if (!symptom->works) {
		SAY(symptom->reason, SKSM_PACER_HOME "/" SKSM_PACER_STATE " is there");
		SAY(symptom->command, "as root: sksm-pacer --restore");
	}
}

/* What the tools can see; nothing of it is needed for merging. */
static void examine_sight(struct sksm_examination *examination)
{
	struct sksm_symptom *symptom;
	int error = sksm_frames_able();
	char scope[16];

	symptom = add_symptom(examination, "frames", "the report counts merged frames itself",
			      !error);
	if (error == -EOPNOTSUPP) {
		SAY(symptom->reason, "this kernel's /proc/kpageflags calls all memory merged");
		SAY(symptom->command, "boot a newer kernel (6.18.44 has it right)");
	} else if (error) {
		SAY(symptom->reason, "/proc/kpageflags is for root");
		SAY(symptom->command, "sudo sksm-report");
	}
	if (error)
		symptom->instead = "what the processes count";
	symptom = add_symptom(examination, "ptrace", "other programs of this user can be looked at",
			      geteuid() == 0 ||
			      sksm_text_read(-1, SCOPE_FILE, scope, sizeof(scope)) < 0 ||
			      !strcmp(scope, "0"));
	if (!symptom->works) {
		SAY(symptom->reason, "kernel.yama.ptrace_scope is %s", scope);
		SAY(symptom->command, "as root: sysctl kernel.yama.ptrace_scope=0");
		symptom->instead = "children, or everything as root";
	}
}

void sksm_doctor_examine(struct sksm_examination *ret, const struct sksm_host *host)
{
	size_t i;
	int ability;

	memset(ret, 0, sizeof(*ret));
	for (ability = 0; ability < SKSM_ABILITIES; ability++)
		examine_ability(ret, host, ability);
	examine_library(ret);
	examine_directory(ret, host);
	examine_settings(ret);
	examine_ksmd(ret, host);
	examine_sight(ret);
	ret->can_merge = sksm_host_can_merge(host, &ret->verdict);
	for (i = 0; i < ret->count && ret->can_merge; i++) {
		if (ret->list[i].works || !ret->list[i].needed)
			continue;
		ret->can_merge = false;
		ret->verdict.reason = ret->list[i].reason;
		ret->verdict.command = ret->list[i].command;
	}
}

static void print_ksm(const struct sksm_host *host)
{
	const struct sksm_ksmd_settings *settings = &host->settings;

	if (!host->has_ksm) {
		printf("ksmd       not there: " SKSM_KSMD_ROOT " cannot be read\n");
		return;
	}
	printf("ksmd       run %s, pages_to_scan %s, sleep_millisecs %s, advisor %s\n",
	       settings->value[SKSM_KSMD_RUN], settings->value[SKSM_KSMD_PAGES_TO_SCAN],
	       settings->value[SKSM_KSMD_SLEEP_MILLISECS],
	       *settings->value[SKSM_KSMD_ADVISOR_MODE] ?
	       settings->value[SKSM_KSMD_ADVISOR_MODE] : "not there");
	if (host->pacer)
		printf("pacer      runs (pid %d)\n", (int)host->pacer);
	else
		printf("pacer      none\n");
}

static void print_symptom(const struct sksm_symptom *symptom)
{
	printf("%-4s %-14s %s%s%s\n", symptom->works ? "yes" : "no", symptom->name,
	       symptom->text, *symptom->reason ? ": " : "", symptom->reason);
	if (symptom->works)
		return;
	if (symptom->instead)
		printf("     instead: %s\n", symptom->instead);
	printf("     %s\n", symptom->command);
}

int sksm_doctor_print(const struct sksm_examination *examination, const struct sksm_host *host)
{
	const struct sksm_verdict *verdict = &examination->verdict;
	enum sksm_tracker_kind tracker = sksm_probe_tracker(&host->probe, &host->options);
	size_t i;

	printf("kernel     %s\nengine     %s\ntracker    %s\n", host->kernel.release,
	       sksm_engine_name(host->engine), sksm_tracker_name(tracker));
	print_ksm(host);
	printf("\n");
	for (i = 0; i < examination->count; i++)
		print_symptom(&examination->list[i]);
	printf("\nmerging    %s: %s\n", examination->can_merge ? "possible" : "NOT possible",
	       verdict->reason ? verdict->reason : "unknown");
	if (!examination->can_merge && verdict->command)
		printf("           %s\n", verdict->command);
	return examination->can_merge ? EXIT_SUCCESS : EXIT_FAILURE;
}
