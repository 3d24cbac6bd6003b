/* SPDX-License-Identifier: MIT */
/* The pages of each mapping, and the file that tells of them. */
#include "rig.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tracker/site_file.h"

#define PAGES 1024
#define BYTES (PAGES * PAGE)

static uint64_t sum(const uint64_t *list, unsigned int count)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < count; i++)
		total += list[i];
	return total;
}

Test(tally, shares_sum_up)
{
	uint64_t weight[20], cap[20], share[20], seed = 3;

	for (int round = 0; round < 100000; round++) {
		unsigned int count = (unsigned int)(unit_random(&seed) % 20) + 1;
		uint64_t total;

		for (unsigned int i = 0; i < count; i++) {
			weight[i] = unit_random(&seed) % 3 ? unit_random(&seed) % 1000 * PAGE : 0;
			cap[i] = unit_random(&seed) % 1000 * PAGE;
		}
		total = unit_random(&seed) % (sum(cap, count) / PAGE + 1) * PAGE;
		sksm_tally_deal(total, weight, cap, count, share);
		cr_assert_eq(sum(share, count), total);
		for (unsigned int i = 0; i < count; i++) {
			cr_assert_leq(share[i], cap[i]);
			cr_assert_eq(share[i] % PAGE, 0);
		}
	}
}

Test(tally, shares_follow_the_weights)
{
	const uint64_t weight[3] = { PAGE, 2 * PAGE, PAGE }, cap[3] = { BYTES, BYTES, BYTES };
	uint64_t share[3];

	sksm_tally_deal(8 * PAGE, weight, cap, 3, share);
	cr_assert_eq(share[0], 2 * PAGE);
	cr_assert_eq(share[1], 4 * PAGE);
	cr_assert_eq(share[2], 2 * PAGE);
}

/* ---- with a tracker ---- */

static struct rig rig;
static struct sksm_sites *sites;
static struct sksm_record record;
static char file_name[64];
static _Alignas(8) char data[2 * SKSM_SITE_FILE_SLOT];

static int open_file(void)
{
	return open(file_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void start(void)
{
	rig_start(&rig, NULL);
	sites = mmap(NULL, sizeof(*sites), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	sksm_record_init(&record, "unit", "unit", 0);
	snprintf(file_name, sizeof(file_name), "%s/sites", rig.dir);
	sksm_tracker_attribute(rig.tracker, sites, open_file, &record);
}

/* A site of its own for each @stack, with one frame in no module. */
static void note(char *address, size_t bytes, uint64_t id)
{
	struct sksm_site_stack *stack = sksm_site_get(sites, id);

	sites->slots[id] = (uint32_t)id;
	stack->count = 1;
	stack->frame[0] = (uint64_t)SKSM_SITE_MODULES << 48 | id;
	sksm_site_note(sites, record.pid, sksm_site_ticket(sites), (uintptr_t)address,
		       (uintptr_t)address + bytes, id);
}

static size_t read_file(void)
{
	int fd = open(file_name, O_RDONLY | O_CLOEXEC);
	ssize_t length = read(fd, data, sizeof(data));

	close(fd);
	cr_assert_gt(length, 0);
	return (size_t)length;
}

static uint64_t sum_sites(const struct sksm_file_view *view, enum sksm_tally tally)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < view->header.sites; i++)
		total += view->sites[i].tally[tally];
	return total;
}

static const struct sksm_file_site *find_site(const struct sksm_file_view *view, uint64_t id)
{
	for (uint32_t i = 0; i < view->header.sites; i++)
		if (view->sites[i].frames == 1 &&
		    view->frames[view->sites[i].first_frame].address == id)
			return &view->sites[i];
	return NULL;
}

/* Two sites in one mapping of the kernel's, cut within a block; and one that nobody saw. */
static char *fill(void)
{
	char *start = unit_map(3 * BYTES);

	for (unsigned int i = 0; i < 3 * PAGES; i++)
		unit_fill_page(start + i * PAGE, (uint64_t)getpid() << 32 | (i % 512 + 1));
	note(start, BYTES + 8 * PAGE, 100);
	note(start + BYTES + 8 * PAGE, BYTES, 200);
	return start;
}

Test(tally, the_sites_sum_up_to_the_record)
{
	const struct sksm_counters *counters;
	struct sksm_file_view view;
	const char *reason = NULL;
	char *memory;

	start();
	memory = fill();
	counters = &rig.tracker->counters;
	cr_assert(rig_pass_until(&rig, memory, 3 * PAGES, RIG_BIT(TWIN), 3 * PAGES));
	memory[0] = memory[BYTES + 9 * PAGE] = memory[3 * BYTES - PAGE] = 1;
	rig_pass(&rig, 1);
	cr_assert_eq(sksm_site_file_decode(&view, data, read_file(), record.pid, record.start_ns,
					   &reason), 0, "%s", reason);
	cr_assert_eq(sum_sites(&view, SKSM_TALLY_TRACKED), counters->tracked);
	cr_assert_eq(sum_sites(&view, SKSM_TALLY_RESIDENT), counters->resident);
	cr_assert_eq(sum_sites(&view, SKSM_TALLY_INVARIANT), counters->invariant);
	cr_assert_eq(sum_sites(&view, SKSM_TALLY_DUPLICATE), counters->duplicate);
	cr_assert_eq(sum_sites(&view, SKSM_TALLY_WRITES), counters->writes_seen);
	cr_assert_geq(counters->writes_seen, 3);
	cr_assert_eq(find_site(&view, 100)->tally[SKSM_TALLY_TRACKED], BYTES + 8 * PAGE);
	cr_assert_eq(find_site(&view, 100)->tally[SKSM_TALLY_RESIDENT], BYTES + 8 * PAGE);
	cr_assert_eq(find_site(&view, 100)->tally[SKSM_TALLY_DUPLICATE], BYTES + 7 * PAGE);
	cr_assert_geq(find_site(&view, 100)->tally[SKSM_TALLY_WRITES], 1);
	cr_assert_eq(find_site(&view, 200)->tally[SKSM_TALLY_DUPLICATE], BYTES - PAGE);
	cr_assert_eq(view.sites[SKSM_OWNER_UNKNOWN].tally[SKSM_TALLY_RESIDENT], BYTES - 8 * PAGE);
	/* What a site wrote it has written, also when its memory is gone. */
	munmap(memory, BYTES + 8 * PAGE);
	rig_pass(&rig, 1);
	cr_assert_eq(sksm_site_file_decode(&view, data, read_file(), record.pid, record.start_ns,
					   &reason), 0);
	cr_assert_eq(sum_sites(&view, SKSM_TALLY_WRITES), counters->writes_seen);
	rig_stop(&rig);
}

/* Whoever tampers can make the checksum right again. */
static int decode_slot(char *slot, struct sksm_file_view *view)
{
	struct sksm_file_header *header = (struct sksm_file_header *)slot;
	const char *reason = NULL;

	header->checksum = 0;
	header->checksum = XXH3_64bits(slot, sizeof(*header) + header->bytes);
	return sksm_site_file_decode(view, slot, SKSM_SITE_FILE_SLOT, record.pid,
				     record.start_ns, &reason);
}

Test(tally, a_file_with_lies_in_it)
{
	static _Alignas(8) char copy[SKSM_SITE_FILE_SLOT];
	struct sksm_file_view view, lies;
	char *memory;

	start();
	memory = fill();
	rig_pass(&rig, 3);
	(void)memory;
	read_file();
#define LIE(what, value) \
	do { \
		memcpy(copy, data, sizeof(copy)); \
		cr_assert_eq(decode_slot(copy, &view), 0); \
		lies = view; \
		what = (value); \
		cr_assert_eq(decode_slot(copy, &view), -EINVAL, #what " = " #value); \
	} while (0)
#define OF(type, part) ((type *)(uintptr_t)lies.part)
	LIE(OF(struct sksm_file_mapping, mappings)->site, lies.header.sites);
	LIE(OF(struct sksm_file_mapping, mappings)->end, lies.mappings->start);
	LIE(OF(struct sksm_file_mapping, mappings)->name, lies.header.name_bytes);
	LIE(OF(struct sksm_file_mapping, mappings)->tally[0], 1ull << 60);
	LIE(OF(struct sksm_file_site, sites)[SKSM_OWNERS].first_frame, lies.header.frames);
	LIE(OF(struct sksm_file_site, sites)[SKSM_OWNERS].frames, UINT32_MAX);
	LIE(OF(struct sksm_file_site, sites)[SKSM_OWNERS].owner, SKSM_OWNERS);
	LIE(OF(struct sksm_file_site, sites)->owner, SKSM_OWNER_SITE);
	LIE(OF(struct sksm_file_frame, frames)->module, lies.header.modules);
	LIE(OF(char, names)[lies.header.name_bytes - 1], 'x');
	LIE(((struct sksm_file_header *)copy)->mappings, lies.header.mappings + 1);
	LIE(((struct sksm_file_header *)copy)->sites, 0);
	rig_stop(&rig);
}

Test(tally, a_file_that_was_tampered_with)
{
	static _Alignas(8) char copy[sizeof(data)];
	struct sksm_file_view view;
	const char *reason = NULL;
	uint64_t seed = 5;
	size_t length;
	char *memory;

	start();
	memory = fill();
	rig_pass(&rig, 3);
	(void)memory;
	length = read_file();
	cr_assert_eq(sksm_site_file_decode(&view, data, length, record.pid, record.start_ns,
					   &reason), 0);
	cr_assert_neq(sksm_site_file_decode(&view, data, length, record.pid + 1, record.start_ns,
					    &reason), 0);
	cr_assert_str_eq(reason, "of another process");
	for (int round = 0; round < 20000; round++) {
		struct sksm_file_header *header = (struct sksm_file_header *)copy;
		size_t cut = unit_random(&seed) % (length + 1);

		memcpy(copy, data, length);
		for (int i = 0; i < 4; i++)
			copy[unit_random(&seed) % 4096 + unit_random(&seed) % 2 *
			     SKSM_SITE_FILE_SLOT] ^= (char)(1 << unit_random(&seed) % 8);
		if (round % 2)
			header->bytes = (uint32_t)sksm_site_file_bytes(header);
		/* It may only not crash, and a changed byte is seen by the checksum. */
		sksm_site_file_decode(&view, copy, round % 3 ? length : cut, record.pid,
				      record.start_ns, &reason);
	}
	memset(copy, 0, sizeof(copy));
	cr_assert_eq(sksm_site_file_decode(&view, copy, sizeof(copy), record.pid, record.start_ns,
					   &reason), -EINVAL);
	((struct sksm_file_header *)data)->version = 77;
	((struct sksm_file_header *)(data + SKSM_SITE_FILE_SLOT))->version = 77;
	cr_assert_eq(sksm_site_file_decode(&view, data, length, record.pid, record.start_ns,
					   &reason), -EINVAL);
	cr_assert_str_eq(reason, "written by a newer version");
	rig_stop(&rig);
}
