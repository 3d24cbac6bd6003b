/* SPDX-License-Identifier: MIT */
#include "index.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "arena.h"
#include "fmt.h"
#include "sys.h"

#define MEMBERS_MAGIC 0x31424d454d4d534bull	/* "KSMMEMB1" */
#define TABLE_MAGIC 0x31444e494d534b53ull	/* "SKSMIND1" */
#define TABLE_HEADER 4096
#define MEMBER_LOST_NS 30000000000ull	/* no beat for this long: gone or stopped */
#define SNAPSHOT_MAX (16u << 20)

/* The first 64 bytes of "members"; slots follow. Changed under the file's lock only. */
struct members_header {
	uint64_t magic;
	uint64_t generation;	/* of the table in use */
	uint64_t used;		/* slots that were ever in use */
	uint64_t pad[5];
};

struct sksm_member {
	uint32_t pid;
	uint32_t generation;	/* counts the owners of the slot */
	uint64_t beat_ns;	/* CLOCK_BOOTTIME */
	uint64_t event_ns;	/* when somebody last found a twin of a page of this member */
	uint64_t pad[5];
};

struct table_header {
	uint64_t magic;
	uint64_t order;
};

_Static_assert(sizeof(struct members_header) == 64 && sizeof(struct sksm_member) == 64, "layout");

/*
 * An entry: 28 bits of the digest, how many pages were published (up to 15), and two owners of
 * such pages. 0 is an empty entry, and owner 0 nobody.
 */
struct entry {
	uint32_t tag;
	unsigned int count;
	uint16_t a;
	uint16_t b;
};

static struct entry unpack(uint64_t raw)
{
	return (struct entry){
		.tag = (uint32_t)(raw >> 36),
		.count = (raw >> 32) & 15,
		.a = (uint16_t)(raw >> 16),
		.b = (uint16_t)raw,
	};
}

static uint64_t pack(const struct entry *entry)
{
	return (uint64_t)entry->tag << 36 | (uint64_t)entry->count << 32 |
	       (uint64_t)entry->a << 16 | entry->b;
}

static uint32_t tag_of(uint64_t digest)
{
	return (uint32_t)(digest >> 36);
}

static uint64_t member_offset(unsigned int slot)
{
	return sizeof(struct members_header) + (uint64_t)slot * sizeof(struct sksm_member);
}

static uint64_t bucket_offset(const struct sksm_index *index, uint64_t digest)
{
	uint64_t bucket = digest & ((1ull << index->order) - 1);

	return TABLE_HEADER + bucket * SKSM_INDEX_WAYS * 8;
}

static long write_at(int fd, const void *data, size_t size, uint64_t offset)
{
	return sksm_call4(SYS_pwrite64, fd, data, size, offset);
}

/* Taken for a join or a new table; never waited for. It ends with its holder. */
static bool lock_members(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	return sksm_call3(SYS_fcntl, fd, F_OFD_SETLK, &lock) == 0;
}

static void table_name(char *ret, size_t size, uint64_t generation)
{
	struct sksm_fmt fmt = sksm_fmt_start(ret, size);

	sksm_fmt_str(&fmt, "index-");
	sksm_fmt_uint(&fmt, generation, 10);
}

static bool is_alive(const struct sksm_index *index, uint16_t owner)
{
	const struct sksm_member *member = &index->members[owner % SKSM_INDEX_MEMBERS];

	if (!owner)
		return false;
	if (owner == index->me)
		return true;
	/* A beat in the future is from before a reboot. */
	return member->pid && (member->generation & 63) == owner / SKSM_INDEX_MEMBERS &&
	       member->beat_ns <= index->now_ns &&
	       index->now_ns - member->beat_ns < MEMBER_LOST_NS;
}

static int read_members(struct sksm_index *index, struct members_header *ret)
{
	size_t size;

	if (index->sys->pread(index->members_fd, ret, sizeof(*ret), 0) != sizeof(*ret))
		return -EIO;
	if (ret->magic != MEMBERS_MAGIC || ret->used > SKSM_INDEX_MEMBERS)
		return -EINVAL;
	size = ret->used * sizeof(struct sksm_member);
	if (size && index->sys->pread(index->members_fd, index->members, size,
				      member_offset(0)) != (ssize_t)size)
		return -EIO;
	index->members_used = (unsigned int)ret->used;
	index->now_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	return 0;
}

/* Make an empty table and name it in the header. The lock is held. */
static int make_table(struct sksm_index *index, struct members_header *header, unsigned int order)
{
	struct table_header table = { .magic = TABLE_MAGIC, .order = order };
	char name[32], old[32];
	int fd, error = 0;

	table_name(old, sizeof(old), header->generation);
	table_name(name, sizeof(name), header->generation + 1);
	sksm_call3(SYS_unlinkat, index->domain_fd, name, 0);
	fd = index->sys->openat(index->domain_fd, name,
				O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fd;
	if (write_at(fd, &table, sizeof(table), 0) != sizeof(table))
		error = -ENOSPC;
	if (!error)
		error = index->sys->ftruncate(fd, TABLE_HEADER + (128ull << order));
	index->sys->close(fd);
	if (error)
		return error;
	header->magic = MEMBERS_MAGIC;
	header->generation++;
	if (write_at(index->members_fd, header, sizeof(*header), 0) != sizeof(*header))
		return -ENOSPC;
	sksm_call3(SYS_unlinkat, index->domain_fd, old, 0);
	return 0;
}

static int open_table(struct sksm_index *index, uint64_t generation)
{
	struct table_header table;
	struct stat st;
	char name[32];
	int fd;

	table_name(name, sizeof(name), generation);
	fd = index->sys->openat(index->domain_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	if (index->sys->pread(fd, &table, sizeof(table), 0) != sizeof(table) ||
	    table.magic != TABLE_MAGIC || table.order < SKSM_INDEX_MIN_ORDER ||
	    table.order > SKSM_INDEX_MAX_ORDER ||
	    sksm_call4(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) != 0 || !S_ISREG(st.st_mode)) {
		index->sys->close(fd);
		return -EINVAL;
	}
	if (index->fd >= 0)
		index->sys->close(index->fd);
	index->fd = fd;
	index->order = (unsigned int)table.order;
	index->generation = generation;
	index->publishes = 0;
	index->overflows = 0;
	return 0;
}

static unsigned int order_for(uint64_t pages)
{
	unsigned int order = SKSM_INDEX_MIN_ORDER;

	/* Half full at most, to begin with. */
	while (order < SKSM_INDEX_MAX_ORDER && (uint64_t)SKSM_INDEX_WAYS << order < pages * 2)
		order++;
	return order;
}

/* Find a slot for us, and a fresh table where nobody else is there. The lock is held. */
static int join(struct sksm_index *index, uint64_t pages)
{
	struct members_header header = { 0 };
	unsigned int slot = SKSM_INDEX_MEMBERS, alive = 0;
	struct sksm_member *member;
	int error = read_members(index, &header);

	if (error) {
		/* New or damaged: begin again; the others notice the new generation. */
		header = (struct members_header){ .generation = sksm_clock_ns(CLOCK_REALTIME) };
		memset(index->members, 0, SKSM_INDEX_MEMBERS * sizeof(*member));
		index->now_ns = sksm_clock_ns(CLOCK_BOOTTIME);
		index->members_used = 0;
	}
	for (unsigned int i = 0; i < header.used; i++) {
		uint16_t owner = (uint16_t)((index->members[i].generation & 63) *
					    SKSM_INDEX_MEMBERS + i);

		if (is_alive(index, owner))
			alive++;
		else if (slot == SKSM_INDEX_MEMBERS && i)
			slot = i;
	}
	/* Slot 0 stays unused, so that no owner is 0. */
	if (slot == SKSM_INDEX_MEMBERS)
		slot = header.used ? (unsigned int)header.used : 1;
	if (slot >= SKSM_INDEX_MEMBERS)
		return -ENOSPC;
	if (header.used < slot + 1)
		header.used = slot + 1;
	/* What dead processes left in a table tells nothing; the last one out did not clean up. */
	if (!alive || open_table(index, header.generation) < 0) {
		error = make_table(index, &header, order_for(pages));
		if (!error)
			error = open_table(index, header.generation);
		if (error)
			return error;
	} else if (write_at(index->members_fd, &header, sizeof(header), 0) != sizeof(header)) {
		return -ENOSPC;
	}
	member = &index->members[slot];
	*member = (struct sksm_member){
		.pid = (uint32_t)sksm_call0(SYS_getpid),
		.generation = member->generation + 1,
		.beat_ns = index->now_ns,
	};
	if (write_at(index->members_fd, member, sizeof(*member), member_offset(slot)) !=
	    sizeof(*member))
		return -ENOSPC;
	index->slot = slot;
	index->me = (uint16_t)((member->generation & 63) * SKSM_INDEX_MEMBERS + slot);
	return 0;
}

int sksm_index_open(struct sksm_index *index, const struct sksm_sys *sys,
		    struct sksm_arena *arena, int domain_fd, uint64_t pages)
{
	int error = -EAGAIN;

	memset(index, 0, sizeof(*index));
	index->sys = sys;
	index->arena = arena;
	index->domain_fd = domain_fd;
	index->fd = -1;
	index->members_fd = sys->openat(domain_fd, "members",
					O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
					0600);
	if (index->members_fd < 0)
		return index->members_fd;
	index->members = sksm_arena_alloc(arena, SKSM_INDEX_MEMBERS * sizeof(struct sksm_member));
	if (!index->members)
		error = -ENOMEM;
	else if (lock_members(index->members_fd, F_WRLCK))
		error = join(index, pages);
	if (error) {
		if (index->fd >= 0)
			sys->close(index->fd);
		/* Closing drops the lock. */
		sys->close(index->members_fd);
		sksm_arena_free(arena, index->members,
				SKSM_INDEX_MEMBERS * sizeof(struct sksm_member));
		index->members = NULL;
		return error;
	}
	lock_members(index->members_fd, F_UNLCK);
	return 0;
}

void sksm_index_close(struct sksm_index *index)
{
	uint64_t gone = 0;

	sksm_index_leave_lookups(index);
	write_at(index->members_fd, &gone, sizeof(gone),
		 member_offset(index->slot) + offsetof(struct sksm_member, beat_ns));
	index->sys->close(index->members_fd);
	index->sys->close(index->fd);
	sksm_arena_free(index->arena, index->members,
			SKSM_INDEX_MEMBERS * sizeof(struct sksm_member));
	index->members = NULL;
}

static void grow(struct sksm_index *index)
{
	struct members_header header;

	if (!lock_members(index->members_fd, F_WRLCK))
		return;
	if (read_members(index, &header) == 0 && header.generation == index->generation)
		make_table(index, &header, index->order + 2 < SKSM_INDEX_MAX_ORDER ?
			   index->order + 2 : SKSM_INDEX_MAX_ORDER);
	lock_members(index->members_fd, F_UNLCK);
}

int sksm_index_beat(struct sksm_index *index)
{
	struct members_header header;
	uint64_t now_ns = sksm_clock_ns(CLOCK_BOOTTIME), alive_hash = 0;
	int found = 0, error;

	write_at(index->members_fd, &now_ns, sizeof(now_ns),
		 member_offset(index->slot) + offsetof(struct sksm_member, beat_ns));
	if (index->overflows > 64 && index->overflows > index->publishes / 64 &&
	    index->order < SKSM_INDEX_MAX_ORDER)
		grow(index);
	error = read_members(index, &header);
	if (error)
		return error;
	memset(index->notified, 0, sizeof(index->notified));
	for (unsigned int i = 1; i < index->members_used; i++) {
		uint16_t owner = (uint16_t)((index->members[i].generation & 63) *
					    SKSM_INDEX_MEMBERS + i);

		if (is_alive(index, owner))
			alive_hash += (uint64_t)owner * 0x9e3779b97f4a7c15ull;
	}
	if (header.generation != index->generation) {
		error = open_table(index, header.generation);
		if (error)
			return error;
		found |= SKSM_INDEX_MOVED;
	}
	/* Whoever came or went may have left entries that name the dead: look again. */
	if (index->members[index->slot].event_ns != index->seen_event_ns || index->self_event ||
	    alive_hash != index->alive_hash)
		found |= SKSM_INDEX_EVENT;
	index->seen_event_ns = index->members[index->slot].event_ns;
	index->self_event = false;
	index->alive_hash = alive_hash;
	return found;
}

/* Tell a member that a page of its has a twin; once a beat is enough. */
static void notify(struct sksm_index *index, uint16_t owner)
{
	unsigned int slot = owner % SKSM_INDEX_MEMBERS;
	uint64_t now_ns;

	if (owner == index->me) {
		index->self_event = true;
		return;
	}
	if (index->notified[slot / 8] & (1u << slot % 8))
		return;
	index->notified[slot / 8] |= (uint8_t)(1u << slot % 8);
	now_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	write_at(index->members_fd, &now_ns, sizeof(now_ns),
		 member_offset(slot) + offsetof(struct sksm_member, event_ns));
}

static int read_bucket(struct sksm_index *index, uint64_t offset,
		       uint64_t bucket[SKSM_INDEX_WAYS])
{
	ssize_t size = SKSM_INDEX_WAYS * 8, n;

	if (index->snapshot) {
		memcpy(bucket, (char *)index->snapshot + (offset - TABLE_HEADER), (size_t)size);
		return 0;
	}
	n = index->sys->pread(index->fd, bucket, (size_t)size, offset);
	if (n < 0)
		return (int)n;
	return n == size ? 0 : -EIO;
}

static int find_tag(const uint64_t bucket[SKSM_INDEX_WAYS], uint32_t tag)
{
	for (int i = 0; i < SKSM_INDEX_WAYS; i++)
		if (bucket[i] && bucket[i] >> 36 == tag)
			return i;
	return -1;
}

/* A free place, or one whose owners are all gone; -1 where the bucket is full of the living. */
static int find_place(struct sksm_index *index, const uint64_t bucket[SKSM_INDEX_WAYS])
{
	for (int i = 0; i < SKSM_INDEX_WAYS; i++)
		if (!bucket[i])
			return i;
	for (int i = 0; i < SKSM_INDEX_WAYS; i++) {
		struct entry entry = unpack(bucket[i]);

		if (!is_alive(index, entry.a) && !is_alive(index, entry.b))
			return i;
	}
	return -1;
}

/* Add a page of ours to an entry whose tag matches. True: a living twin is known. */
static bool add_to(struct sksm_index *index, struct entry *entry)
{
	bool live_a = is_alive(index, entry->a), live_b = is_alive(index, entry->b);

	if (live_a && live_b) {
		entry->count += entry->count < 15;
		return true;
	}
	if (!live_a && !live_b) {
		*entry = (struct entry){ .tag = entry->tag, .count = 1, .a = index->me };
		return false;
	}
	notify(index, live_a ? entry->a : entry->b);
	entry->a = live_a ? entry->a : entry->b;
	entry->b = index->me;
	entry->count = 2;
	return true;
}

int sksm_index_publish(struct sksm_index *index, uint64_t digest)
{
	uint64_t offset = bucket_offset(index, digest), bucket[SKSM_INDEX_WAYS], raw;
	struct entry entry;
	bool twin = false;
	int error, i;

	error = read_bucket(index, offset, bucket);
	if (error)
		return error;
	index->publishes++;
	i = find_tag(bucket, tag_of(digest));
	if (i >= 0) {
		entry = unpack(bucket[i]);
		twin = add_to(index, &entry);
	} else {
		i = find_place(index, bucket);
		if (i < 0) {
			index->overflows++;
			return -ENOSPC;
		}
		entry = (struct entry){ .tag = tag_of(digest), .count = 1, .a = index->me };
	}
	raw = pack(&entry);
	if (raw != bucket[i] && write_at(index->fd, &raw, 8, offset + (uint64_t)i * 8) != 8)
		return -ENOSPC;
	return twin;
}

void sksm_index_withdraw(struct sksm_index *index, uint64_t digest)
{
	uint64_t offset = bucket_offset(index, digest), bucket[SKSM_INDEX_WAYS], raw;
	struct entry entry;
	int i;

	if (read_bucket(index, offset, bucket))
		return;
	i = find_tag(bucket, tag_of(digest));
	if (i < 0)
		return;
	entry = unpack(bucket[i]);
	if (entry.b == index->me) {
		entry.b = 0;
	} else if (entry.a == index->me) {
		entry.a = entry.b;
		entry.b = 0;
	}
	/* A count that has saturated is no longer known. */
	if (entry.count < 15 && entry.count)
		entry.count--;
	raw = entry.a || entry.count > 1 ? pack(&entry) : 0;
	write_at(index->fd, &raw, 8, offset + (uint64_t)i * 8);
}

int sksm_index_lookup(struct sksm_index *index, uint64_t digest)
{
	uint64_t offset = bucket_offset(index, digest), bucket[SKSM_INDEX_WAYS], raw;
	bool live_a, live_b, mine;
	struct entry entry;
	int error, i;

	error = read_bucket(index, offset, bucket);
	if (error)
		return error;
	i = find_tag(bucket, tag_of(digest));
	if (i < 0) {
		/* A writer that raced with us, or a bucket that was full, took it away. */
		i = find_place(index, bucket);
		if (i < 0)
			return -ENOSPC;
		entry = (struct entry){ .tag = tag_of(digest), .count = 1, .a = index->me };
	} else {
		entry = unpack(bucket[i]);
		live_a = is_alive(index, entry.a);
		live_b = is_alive(index, entry.b);
		if (live_a && live_b)
			return 1;
		mine = (live_a && entry.a == index->me) || (live_b && entry.b == index->me);
		if (mine)
			return entry.count > 2;
		if (!live_a && !live_b && entry.count <= 2)
			entry = (struct entry){ .tag = entry.tag, .count = 1, .a = index->me };
		else
			add_to(index, &entry);
	}
	raw = pack(&entry);
	if (write_at(index->fd, &raw, 8, offset + (uint64_t)i * 8) != 8)
		return -ENOSPC;
	if (index->snapshot)
		index->snapshot[(offset - TABLE_HEADER) / 8 + (uint64_t)i] = raw;
	return entry.b != 0;
}

void sksm_index_enter_lookups(struct sksm_index *index)
{
	size_t size = (size_t)128 << index->order;
	uint64_t *copy;

	if (size > SNAPSHOT_MAX)
		return;
	copy = sksm_arena_alloc(index->arena, size);
	if (!copy)
		return;
	if (index->sys->pread(index->fd, copy, size, TABLE_HEADER) == (ssize_t)size)
		index->snapshot = copy;
	else
		sksm_arena_free(index->arena, copy, size);
}

void sksm_index_leave_lookups(struct sksm_index *index)
{
	if (index->snapshot)
		sksm_arena_free(index->arena, index->snapshot, (size_t)128 << index->order);
	index->snapshot = NULL;
}
