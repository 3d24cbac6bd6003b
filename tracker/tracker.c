/* SPDX-License-Identifier: MIT */
#include "tracker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "compare.h"
#include "domain.h"
#include "scan.h"
#include "sys.h"

#define MIN_TICK_NS 1000000u
#define INDEX_RETRY_NS 1000000000ull
#define DEFAULT_MAX_MAP_COUNT 65530
/* Two pages for the probe, wherever they begin. */
#define SCRATCH_BYTES (4 * SKSM_PAGE_BYTES)
/* After so many passes in which less than this part of the pages changed, wait twice as long. */
#define CALM_PASSES 2
#define CALM_PART 256
#define STRETCH_SHIFT_MAX 4
/* New memory, merges undone and writes to what was armed all show as minor faults. */
#define STIR_FAULTS 256
/* Whoever finds twins of ours one by one is not followed step by step. */
#define EVENT_INTERVALS 4
#define SLICE_MIN_NS 100000000u
#define SLICE_MAX_NS 1000000000u

static unsigned int read_max_mappings(const struct sksm_sys *sys)
{
	unsigned int value = 0;
	char text[24];

	if (sksm_read_file(sys, AT_FDCWD, "/proc/sys/vm/max_map_count", text, sizeof(text)) > 0)
		for (const char *p = text; *p >= '0' && *p <= '9'; p++)
			value = value * 10 + (unsigned int)(*p - '0');
	/* Half of what is allowed stays the program's. */
	return (value ? value : DEFAULT_MAX_MAP_COUNT) / 2;
}

static uint64_t interval_of(const struct sksm_tracker *tracker)
{
	return (uint64_t)tracker->options->interval_ms * 1000000;
}

/* The stamps have 8 bits: the age, eight times over, and several passes fit into them. */
static void choose_tick(struct sksm_tracker *tracker)
{
	uint64_t age_ns = (uint64_t)tracker->options->age_ms * 1000000;
	uint64_t interval_ns = interval_of(tracker);

	tracker->tick_ns = age_ns / 16 > interval_ns / 8 ? age_ns / 16 : interval_ns / 8;
	if (tracker->tick_ns < MIN_TICK_NS)
		tracker->tick_ns = MIN_TICK_NS;
	if (age_ns)
		tracker->age_ticks = (unsigned int)(age_ns / tracker->tick_ns) + 1;
}

static void close_uffd(struct sksm_tracker *tracker)
{
	if (tracker->uffd >= 0)
		tracker->sys->close(tracker->uffd);
}

static const char *open_kernel(struct sksm_tracker *tracker)
{
	const struct sksm_sys *sys = tracker->sys;
	bool text = tracker->probe.error[SKSM_ABLE_PROCMAP_QUERY] != 0;

	tracker->pagemap_fd = sys->openat(AT_FDCWD, "/proc/thread-self/pagemap",
					  O_RDONLY | O_CLOEXEC, 0);
	if (tracker->pagemap_fd < 0)
		return "/proc/thread-self/pagemap cannot be opened";
	tracker->uffd = tracker->kind == SKSM_TRACKER_WP ? sksm_scan_open_uffd(sys) : -1;
	if (tracker->uffd < 0 && tracker->kind == SKSM_TRACKER_WP) {
		sys->close(tracker->pagemap_fd);
		return "userfaultfd is refused";
	}
	if (sksm_regions_open(&tracker->regions, sys, &tracker->arena, tracker->options, text)) {
		close_uffd(tracker);
		sys->close(tracker->pagemap_fd);
		return "/proc/thread-self/maps cannot be opened";
	}
	if (tracker->kind == SKSM_TRACKER_DIGEST)
		tracker->regions.max_bytes = SKSM_COMPARE_MAX_BYTES;
	tracker->mem_fd = sys->openat(AT_FDCWD, "/proc/thread-self/mem", O_RDONLY | O_CLOEXEC, 0);
	tracker->audit.pagemap_fd = tracker->pagemap_fd;
	tracker->audit.uffd_is_foreign = tracker->kind == SKSM_TRACKER_DIGEST;
	tracker->audit.unmarked = tracker->engine == SKSM_ENGINE_SKSM;
	sksm_pressure_open(&tracker->pressure, sys);
	/* Absent in a container without /sys: then refused pages are not told from waiting ones. */
	tracker->full_scans_fd = sys->openat(AT_FDCWD, "/sys/kernel/mm/ksm/full_scans",
					     O_RDONLY | O_CLOEXEC, 0);
	return NULL;
}

struct sksm_tracker *sksm_tracker_init(const struct sksm_sys *sys,
				       const struct sksm_options *options, int domain_fd,
				       void *reservation, size_t bytes, size_t skip,
				       const char **ret_reason)
{
	uint8_t key[SKSM_KEY_BYTES];
	struct sksm_tracker *tracker;
	struct sksm_arena arena;
	struct sksm_probe probe;
	void *scratch;

	int error = sksm_domain_key(sys, domain_fd, key);

	if (error) {
		*ret_reason = error == -EPERM ? "the domain's key: expected a plain file of this "
						"user's alone, of 32 bytes" :
			      "the key of the domain cannot be read or made";
		return NULL;
	}
	sksm_arena_init(&arena, sys, reservation, bytes, skip);
	tracker = sksm_arena_alloc(&arena, sizeof(*tracker));
	scratch = sksm_arena_alloc(&arena, SCRATCH_BYTES);
	if (!tracker || !scratch) {
		*ret_reason = "the kernel gives no memory";
		return NULL;
	}
	sksm_probe_run(sys, (void *)(((uintptr_t)scratch + SKSM_PAGE_BYTES - 1) & -SKSM_PAGE_BYTES),
		       &probe);
	sksm_arena_free(&arena, scratch, SCRATCH_BYTES);
	*ret_reason = sksm_probe_obstacle(&probe, sksm_probe_tracker(&probe, options));
	if (*ret_reason) {
		sksm_arena_fini(&arena);
		return NULL;
	}
	tracker->sys = sys;
	tracker->options = options;
	tracker->probe = probe;
	tracker->arena = arena;
	tracker->domain_fd = domain_fd;
	tracker->engine = sksm_probe_engine(&probe, options);
	tracker->kind = sksm_probe_tracker(&probe, options);
	tracker->max_mappings = read_max_mappings(sys);
	choose_tick(tracker);
	*ret_reason = open_kernel(tracker);
	if (*ret_reason) {
		arena = tracker->arena;
		sksm_arena_fini(&arena);
		return NULL;
	}
	sksm_blocks_init(&tracker->blocks, &tracker->arena);
	sksm_digester_init(&tracker->digester, key);
	memset(key, 0, sizeof(key));
	sksm_budget_init(&tracker->budget, options->cpu_percent, sksm_clock_ns(CLOCK_BOOTTIME),
			 sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID));
	return tracker;
}

void sksm_tracker_attribute(struct sksm_tracker *tracker, struct sksm_sites *sites,
			    int (*open_file)(void), const struct sksm_record *record)
{
	struct sksm_mappings *mappings = &tracker->mappings;

	mappings->arena = &tracker->arena;
	mappings->sites = sites;
	tracker->site_file.open = open_file;
	tracker->site_file.fd = -1;
	tracker->site_file.pid = record->pid;
	tracker->site_file.start_ns = record->start_ns;
	sksm_site_adopt(sites, record->pid);
	tracker->regions.see = sksm_mappings_see;
	tracker->regions.see_arg = mappings;
	tracker->audit.gain = sksm_mappings_gain;
	tracker->audit.gain_arg = mappings;
}

void sksm_tracker_fini(struct sksm_tracker *tracker)
{
	const struct sksm_sys *sys = tracker->sys;
	struct sksm_arena arena;

	if (tracker->index_open)
		sksm_index_close(&tracker->index);
	sksm_regions_close(&tracker->regions);
	sksm_pressure_close(&tracker->pressure);
	/* Ends every registration, and with them all protection. */
	close_uffd(tracker);
	sys->close(tracker->pagemap_fd);
	if (tracker->mem_fd >= 0)
		sys->close(tracker->mem_fd);
	if (tracker->full_scans_fd >= 0)
		sys->close(tracker->full_scans_fd);
	sys->close(tracker->domain_fd);
	if (tracker->mappings.sites && tracker->site_file.fd >= 0)
		sys->close(tracker->site_file.fd);
	/* The tracker lives in the arena that goes. */
	arena = tracker->arena;
	sksm_arena_fini(&arena);
}

/* Opened once it is known how much there is to publish. */
static void open_index(struct sksm_tracker *tracker)
{
	uint64_t pages = tracker->counters.resident / SKSM_PAGE_BYTES;
	int error;

	if (tracker->index_open || tracker->now_ns < tracker->index_retry_ns || !pages)
		return;
	error = sksm_index_open(&tracker->index, tracker->sys, &tracker->arena,
				tracker->domain_fd, pages);
	tracker->index_open = !error;
	if (error == -EPERM)
		tracker->obstacle = "the domain's members: expected a plain file of this user's "
				    "alone";
	if (tracker->index_open)
		sksm_twins_republish(tracker);
	/* A member that passes rarely is not to be taken for dead. */
	if (tracker->index_open)
		tracker->index.lease_ns += (2ull << STRETCH_SHIFT_MAX) * 1000000 *
					   tracker->options->interval_ms;
	tracker->index_retry_ns = tracker->now_ns + INDEX_RETRY_NS;
}

static uint64_t count_faults(void)
{
	struct rusage usage = { 0 };

	sksm_call2(SYS_getrusage, RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_minflt;
}

bool sksm_tracker_stirs(const struct sksm_tracker *tracker)
{
	uint64_t paused_ns = sksm_clock_ns(CLOCK_BOOTTIME) - tracker->now_ns;

	return count_faults() - tracker->faults_seen >= STIR_FAULTS ||
	       (tracker->index_open &&
		paused_ns >= EVENT_INTERVALS * interval_of(tracker) &&
		sksm_index_has_event(&tracker->index));
}

bool sksm_tracker_is_due(const struct sksm_tracker *tracker, uint64_t waited_ns, uint64_t pause_ns)
{
	/* A pause for want of budget is not cut short: then nothing could be done. */
	return waited_ns >= pause_ns ||
	       (waited_ns >= interval_of(tracker) && sksm_budget_left(&tracker->budget) &&
		sksm_tracker_stirs(tracker));
}

/* A wake-up costs some 60 us of CPU time, more than what is done then. */
uint64_t sksm_tracker_slice_ns(const struct sksm_tracker *tracker)
{
	uint64_t ns = interval_of(tracker);

	return ns < SLICE_MIN_NS ? SLICE_MIN_NS : ns < SLICE_MAX_NS ? ns : SLICE_MAX_NS;
}

/*
 * Where next to nothing changes, passes become rarer: what a pass costs would be the whole of what
 * a converged process pays. Not while pages ripen or wait for ksmd, whose pulse ends when we see
 * it.
 */
static uint64_t stretch(struct sksm_tracker *tracker)
{
	const struct sksm_blocks *blocks = &tracker->blocks;
	uint64_t pages = tracker->counters.resident / SKSM_PAGE_BYTES;
	uint64_t busy = blocks->changes - tracker->changes_seen;

	if (busy * CALM_PART > pages)
		tracker->changed_ns = tracker->now_ns;
	/* What has not ripened after the longest age (pages in swap) never may. */
	if (tracker->now_ns - tracker->changed_ns < ((uint64_t)tracker->options->age_ms << 4) *
	    1000000 + 2000000000)
		busy += blocks->total[SKSM_PAGE_ARMED];
	/* Where nobody runs ksmd, offers wait for good. */
	if (tracker->quiet_scans < 8)
		busy += blocks->total[SKSM_PAGE_OFFERED];
	tracker->changes_seen = blocks->changes;
	tracker->faults_seen = count_faults();
	if (busy * CALM_PART > pages)
		tracker->calm_passes = 0;
	else if (tracker->calm_passes < CALM_PASSES * STRETCH_SHIFT_MAX)
		tracker->calm_passes++;
	return 1ull << tracker->calm_passes / CALM_PASSES;
}

uint64_t sksm_tracker_pass(struct sksm_tracker *tracker)
{
	uint64_t interval_ns = interval_of(tracker), pause_ns;
	uint64_t writes_before = tracker->counters.writes_seen;

	tracker->now_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	tracker->tick = (uint8_t)(tracker->now_ns / tracker->tick_ns);
	sksm_budget_update(&tracker->budget, tracker->now_ns,
			   sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID), 0);
	sksm_pressure_update(&tracker->pressure, tracker->now_ns);
	tracker->budget.percent = sksm_pressure_share(&tracker->pressure,
						      tracker->options->cpu_percent);
	sksm_mappings_begin(&tracker->mappings);
	if (!sksm_regions_refresh(&tracker->regions, tracker->uffd, sksm_look_forget, tracker)) {
		sksm_mappings_end(&tracker->mappings, &tracker->regions.watched);
		sksm_look_pass(tracker);
	}
	sksm_heat_pass(tracker);
	open_index(tracker);
	sksm_content_pass(tracker);
	sksm_offer_pass(tracker);
	sksm_account_pass(tracker);
	sksm_site_file_write(tracker);
	sksm_budget_update(&tracker->budget, sksm_clock_ns(CLOCK_BOOTTIME),
			   sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID),
			   tracker->counters.writes_seen - writes_before);
	interval_ns *= stretch(tracker);
	pause_ns = sksm_budget_pause_ns(&tracker->budget);
	return pause_ns > interval_ns ? pause_ns : interval_ns;
}
