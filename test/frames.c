/* SPDX-License-Identifier: MIT */
/*
 * frames: what is merged, counted from the kernel's page tables as root and by nothing of ours.
 *
 *	frames [--threshold BYTES] [--min-saved-percent P] PID...
 *
 * Prints one JSON object over all PIDs:
 *	merged_pages	page-table entries of private mappings that map a KSM page, and those that
 *			map the zero page as far as ksm_stat says that KSM put them there
 *	frames		distinct frames behind them
 *	saved_bytes	(merged_pages - frames) * page size
 *	possible_bytes	what a perfect merger would have freed: frames that would be there without
 *			merging, less distinct contents, over private anonymous pages of mappings of
 *			at least --threshold
 *	zero_pages	those of merged_pages that are the zero page
 *	anon_pages	the pages that possible_bytes looked at
 * Exit status 1 where saved_bytes is below P percent of possible_bytes, 2 on an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define PAGE_BYTES 4096u
#define PM_PFN ((1ull << 55) - 1)
#define PM_FILE (1ull << 61)
#define PM_PRESENT (1ull << 63)
#define KPF_KSM (1ull << 21)
#define KPF_ZERO_PAGE (1ull << 24)
#define CHUNK_PAGES 512u

struct page {
	uint64_t pfn;
	uint64_t flags;	/* KPF_* */
	XXH128_hash_t digest;
	uint32_t process;
	bool large;	/* in a mapping of at least the threshold */
};

struct pages {
	struct page *page;
	size_t count;
	size_t capacity;
};

struct mapping {
	uint64_t start;
	uint64_t end;
	char perms[5];
	uint64_t inode;
	bool anonymous;
};

struct result {
	uint64_t merged_pages;
	uint64_t frames;
	uint64_t possible_pages;
	uint64_t zero_pages;
	uint64_t anon_pages;
};

static void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(2);
}

static struct page *add_page(struct pages *pages)
{
	if (pages->count == pages->capacity) {
		pages->capacity = pages->capacity ? pages->capacity * 2 : 1 << 16;
		pages->page = realloc(pages->page, pages->capacity * sizeof(*pages->page));
		if (!pages->page)
			die("memory");
	}
	memset(&pages->page[pages->count], 0, sizeof(*pages->page));
	return &pages->page[pages->count++];
}

static int open_proc(const char *pid, const char *file)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

/* Pages that the kernel replaced by the zero page on KSM's account. */
static uint64_t read_ksm_zero_pages(const char *pid)
{
	char path[64], line[128];
	uint64_t zero_pages = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/ksm_stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "ksm_zero_pages %" SCNu64, &zero_pages) == 1)
			break;
	fclose(file);
	return zero_pages;
}

static bool read_mapping(FILE *maps, struct mapping *ret)
{
	char line[4608];

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %" SCNu64, &ret->start,
			   &ret->end, ret->perms, &ret->inode) != 4)
			continue;
		ret->anonymous = ret->inode == 0;
		return true;
	}
	return false;
}

/* A mapping that was marked MADV_MERGEABLE in part is several; the threshold means the whole. */
static bool continues(const struct mapping *before, const struct mapping *next)
{
	return before->end == next->start && before->anonymous == next->anonymous &&
	       before->inode == next->inode && strcmp(before->perms, next->perms) == 0;
}

static bool is_wanted(uint64_t entry)
{
	return (entry & (PM_PRESENT | PM_FILE)) == PM_PRESENT;
}

/* @count pages from @start, all there. Nothing else is read: that would bring in what is not. */
static void collect_run(struct pages *pages, uint32_t process, int mem, uint64_t start,
			const uint64_t *entry, unsigned int count, bool large)
{
	static unsigned char content[CHUNK_PAGES][PAGE_BYTES];
	ssize_t length = large ? pread(mem, content, count * (size_t)PAGE_BYTES, (off_t)start) : 0;

	for (unsigned int i = 0; i < count; i++) {
		struct page *page = add_page(pages);

		page->pfn = entry[i] & PM_PFN;
		page->process = process;
		page->large = length >= (ssize_t)((i + 1) * PAGE_BYTES);
		if (page->large)
			page->digest = XXH3_128bits(content[i], PAGE_BYTES);
	}
}

static void collect_chunk(struct pages *pages, uint32_t process, int pagemap, int mem,
			  uint64_t start, unsigned int count, bool large)
{
	static uint64_t entry[CHUNK_PAGES];
	ssize_t length = pread(pagemap, entry, count * sizeof(entry[0]),
			       (off_t)(start / PAGE_BYTES * sizeof(entry[0])));
	unsigned int first = 0, end;

	if (length < 0 || (size_t)length != count * sizeof(entry[0]))
		return;		/* unmapped meanwhile */
	for (; first < count; first = end + 1) {
		for (end = first; end < count && is_wanted(entry[end]); end++)
			;
		if (end > first)
			collect_run(pages, process, mem, start + first * (uint64_t)PAGE_BYTES,
				    entry + first, end - first, large);
	}
}

static void collect_mapping(struct pages *pages, uint32_t process, int pagemap, int mem,
			    const struct mapping *mapping, uint64_t threshold)
{
	bool large = mapping->end - mapping->start >= threshold;

	if (mapping->perms[3] != 'p')
		return;
	for (uint64_t at = mapping->start; at < mapping->end; at += CHUNK_PAGES * PAGE_BYTES) {
		uint64_t left = (mapping->end - at) / PAGE_BYTES;

		collect_chunk(pages, process, pagemap, mem, at,
			      left < CHUNK_PAGES ? (unsigned int)left : CHUNK_PAGES, large);
	}
}

static void collect_process(struct pages *pages, uint32_t process, const char *pid,
			    uint64_t threshold)
{
	int pagemap = open_proc(pid, "pagemap"), mem = open_proc(pid, "mem");
	FILE *maps = fdopen(open_proc(pid, "maps"), "re");
	struct mapping whole = { 0 }, next;

	if (!maps)
		die("maps");
	while (read_mapping(maps, &next)) {
		if (next.start >= 1ull << 63)	/* vsyscall */
			break;
		if (continues(&whole, &next)) {
			whole.end = next.end;
			continue;
		}
		collect_mapping(pages, process, pagemap, mem, &whole, threshold);
		whole = next;
	}
	collect_mapping(pages, process, pagemap, mem, &whole, threshold);
	fclose(maps);
	close(mem);
	close(pagemap);
}

static int compare_pfn(const void *a, const void *b)
{
	const struct page *x = a, *y = b;

	return (x->pfn > y->pfn) - (x->pfn < y->pfn);
}

static int compare_digest(const void *a, const void *b)
{
	const struct page *x = a, *y = b;

	if (x->large != y->large)
		return y->large - x->large;
	return XXH128_cmp(&x->digest, &y->digest);
}

/* The words of a file of /proc that has one for each frame, at the frames of @pages, sorted. */
static void read_words(struct pages *pages, const char *path,
		       void (*take)(struct page *page, uint64_t word))
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t window = UINT64_MAX, words[CHUNK_PAGES] = { 0 };

	if (fd < 0)
		die(path);
	for (size_t i = 0; i < pages->count; i++) {
		struct page *page = &pages->page[i];

		if (!page->pfn) {
			errno = EPERM;
			die("frame numbers");
		}
		if (page->pfn / CHUNK_PAGES != window) {
			window = page->pfn / CHUNK_PAGES;
			if (pread(fd, words, sizeof(words), (off_t)(window * sizeof(words))) <= 0)
				die(path);
		}
		take(page, words[page->pfn % CHUNK_PAGES]);
	}
	close(fd);
}

static void take_flags(struct page *page, uint64_t flags)
{
	page->flags = flags;
}

static void take_mapcount(struct page *page, uint64_t mappings)
{
	if (mappings < 2)
		page->flags &= ~KPF_KSM;
}

/*
 * Needs @pages sorted by frame. Linux 6.10 and many after it set KPF_KSM for every anonymous page,
 * one of our own too. There a frame with several mappings is taken for a merged one, which one that
 * is shared by fork is not; one with a single mapping saves nothing.
 */
static void read_flags(struct pages *pages)
{
	char *mine = malloc(2 * PAGE_BYTES);
	struct pages own = { 0 };
	int pagemap = open_proc("self", "pagemap");
	uint64_t entry;

	if (!mine)
		die("memory");
	memset(mine, 1, 2 * PAGE_BYTES);
	if (pread(pagemap, &entry, sizeof(entry),
		  (off_t)(((uintptr_t)mine / PAGE_BYTES + 1) * sizeof(entry))) != sizeof(entry))
		die("our own pagemap");
	add_page(&own)->pfn = entry & PM_PFN;
	read_words(&own, "/proc/kpageflags", take_flags);
	read_words(pages, "/proc/kpageflags", take_flags);
	if (own.page->flags & KPF_KSM)
		read_words(pages, "/proc/kpagecount", take_mapcount);
	free(own.page);
	free(mine);
	close(pagemap);
}

/*
 * Needs @pages sorted by frame. The zero page is counted for each process up to @zero_left;
 * other entries of it are holes that were read, no anonymous memory: they are dropped.
 */
static void count_frames(struct pages *pages, uint64_t *zero_left, struct result *ret)
{
	uint64_t last_merged = 0, last_plain = 0;

	for (size_t i = 0; i < pages->count; i++) {
		struct page *page = &pages->page[i];
		bool zero = page->flags & KPF_ZERO_PAGE;

		if (zero && !zero_left[page->process]) {
			page->large = false;
			continue;
		}
		if (zero)
			zero_left[page->process]--;
		ret->zero_pages += zero;
		if (zero || (page->flags & KPF_KSM)) {
			ret->merged_pages++;
			ret->frames += page->pfn != last_merged;
			last_merged = page->pfn;
			ret->possible_pages += page->large;
		} else {
			ret->possible_pages += page->large && page->pfn != last_plain;
			last_plain = page->pfn;
		}
		ret->anon_pages += page->large;
	}
}

static void take_contents(struct pages *pages, struct result *ret)
{
	uint64_t contents = 0;

	qsort(pages->page, pages->count, sizeof(*pages->page), compare_digest);
	for (size_t i = 0; i < pages->count && pages->page[i].large; i++)
		contents += i == 0 || compare_digest(&pages->page[i - 1], &pages->page[i]) != 0;
	ret->possible_pages -= contents < ret->possible_pages ? contents : ret->possible_pages;
}

static uint64_t parse_number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (*end == 'K' || *end == 'M' || *end == 'G')
		value <<= *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
	else if (*end || end == text) {
		errno = EINVAL;
		die(text);
	}
	return value;
}

int main(int argc, char **argv)
{
	uint64_t threshold = 1 << 20, min_percent = 0, saved_bytes, possible_bytes;
	struct pages pages = { 0 };
	struct result result = { 0 };
	uint64_t *zero_left = calloc((size_t)argc, sizeof(*zero_left));
	int i = 1;

	for (; zero_left && i + 1 < argc && argv[i][0] == '-'; i += 2) {
		if (strcmp(argv[i], "--threshold") == 0)
			threshold = parse_number(argv[i + 1]);
		else if (strcmp(argv[i], "--min-saved-percent") == 0)
			min_percent = parse_number(argv[i + 1]);
		else
			break;
	}
	if (!zero_left || i >= argc || argv[i][0] == '-') {
		fprintf(stderr,
			"usage: frames [--threshold BYTES] [--min-saved-percent P] PID...\n");
		return 2;
	}
	for (; i < argc; i++) {
		zero_left[i] = read_ksm_zero_pages(argv[i]);
		collect_process(&pages, (uint32_t)i, argv[i], threshold);
	}
	qsort(pages.page, pages.count, sizeof(*pages.page), compare_pfn);
	read_flags(&pages);
	count_frames(&pages, zero_left, &result);
	take_contents(&pages, &result);

	saved_bytes = (result.merged_pages - result.frames) * PAGE_BYTES;
	possible_bytes = result.possible_pages * PAGE_BYTES;
	printf("{\"merged_pages\":%" PRIu64 ",\"frames\":%" PRIu64 ",\"saved_bytes\":%" PRIu64
	       ",\"possible_bytes\":%" PRIu64 ",\"zero_pages\":%" PRIu64 ",\"anon_pages\":%" PRIu64
	       "}\n", result.merged_pages, result.frames, saved_bytes, possible_bytes,
	       result.zero_pages, result.anon_pages);
	return saved_bytes * 100 < possible_bytes * min_percent;
}
