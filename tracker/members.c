/* SPDX-License-Identifier: MIT */
/* Who takes part in a domain, and which table is in use (index.h). */
#include "index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "arena.h"
#include "domain.h"
#include "fmt.h"

#define MEMBERS_MAGIC 0x31424d454d4d534bull	/* "KSMMEMB1" */
#define TABLE_MAGIC 0x32444e494d534b53ull	/* "SKSMIND2" */
#define LEASE_NS 30000000000ull	/* no beat for this long: gone or stopped */

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

/*
 * How far the clock of our time namespace is ahead, so that members in different ones (containers
 * that were moved) agree on the time. The file shows the namespace that our children would be in,
 * which is another one only in a program that is about to change it. None before 5.6.
 */
static uint64_t read_skew_ns(const struct sksm_sys *sys)
{
	static const char name[] = "boottime";
	char text[160];
	uint64_t seconds = 0;
	const char *p;
	bool negative;

	if (sksm_read_file(sys, AT_FDCWD, "/proc/self/timens_offsets", text, sizeof(text)) <= 0)
		return 0;
	p = strstr(text, name);
	if (!p)
		return 0;
	for (p += sizeof(name) - 1; *p == ' ' || *p == '\t'; p++)
		;
	negative = *p == '-';
	for (p += negative; *p >= '0' && *p <= '9'; p++)
		seconds = seconds * 10 + (uint64_t)(*p - '0');
	/* Leases are long: the part below a second is of no account. */
	return (negative ? -seconds : seconds) * 1000000000u;
}

/* CLOCK_BOOTTIME as it is outside of time namespaces. */
static uint64_t clock_now(const struct sksm_index *index)
{
	return sksm_clock_ns(CLOCK_BOOTTIME) - index->skew_ns;
}

static bool has_lease(const struct sksm_index *index, const struct sksm_member *member)
{
	/* A beat in the future is from before a reboot. */
	return member->pid && member->beat_ns <= index->now_ns &&
	       index->now_ns - member->beat_ns < member->lease_ns;
}

bool sksm_index_alive(struct sksm_index *index, uint16_t owner)
{
	unsigned int slot = owner % SKSM_INDEX_MEMBERS;
	struct sksm_member *member = &index->members[slot], now;

	if (!owner || owner == index->me)
		return owner != 0;
	if ((member->generation & 63) == owner / SKSM_INDEX_MEMBERS && has_lease(index, member))
		return true;
	/* It may have joined, or come back, since the last beat: ask once. */
	if (index->asked[slot / 8] & 1u << slot % 8)
		return false;
	index->asked[slot / 8] |= (uint8_t)(1u << slot % 8);
	if (index->sys->pread(index->members_fd, &now, sizeof(now), sksm_member_offset(slot)) !=
	    (ssize_t)sizeof(now))
		return false;
	*member = now;
	index->now_ns = clock_now(index);
	return (now.generation & 63) == owner / SKSM_INDEX_MEMBERS && has_lease(index, &now);
}

static int read_members(struct sksm_index *index, struct sksm_members_header *ret)
{
	size_t size;

	if (index->sys->pread(index->members_fd, ret, sizeof(*ret), 0) != sizeof(*ret))
		return -EIO;
	if (ret->magic != MEMBERS_MAGIC || ret->used > SKSM_INDEX_MEMBERS)
		return -EINVAL;
	size = ret->used * sizeof(struct sksm_member);
	if (size && index->sys->pread(index->members_fd, index->members, size,
				      sksm_member_offset(0)) != (ssize_t)size)
		return -EIO;
	index->members_used = (unsigned int)ret->used;
	memset(index->asked, 0, sizeof(index->asked));
	index->now_ns = clock_now(index);
	return 0;
}

/* Make an empty table and name it in the header. The lock is held. */
static int make_table(struct sksm_index *index, struct sksm_members_header *header,
		      unsigned int order)
{
	struct sksm_table_header table = { .magic = TABLE_MAGIC, .order = order };
	char name[32], old[32];
	int fd, error = 0;

	table_name(old, sizeof(old), header->generation);
	table_name(name, sizeof(name), header->generation + 1);
	sksm_call3(SYS_unlinkat, index->domain_fd, name, 0);
	fd = index->sys->openat(index->domain_fd, name,
				O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fd;
	if (sksm_write_at(fd, &table, sizeof(table), 0) != sizeof(table))
		error = -ENOSPC;
	if (!error)
		error = index->sys->ftruncate(fd,
					      SKSM_TABLE_HEADER + sksm_index_table_bytes(order));
	index->sys->close(fd);
	if (error)
		return error;
	header->magic = MEMBERS_MAGIC;
	header->generation++;
	if (sksm_write_at(index->members_fd, header, sizeof(*header), 0) != sizeof(*header))
		return -ENOSPC;
	sksm_call3(SYS_unlinkat, index->domain_fd, old, 0);
	return 0;
}

static int open_table(struct sksm_index *index, uint64_t generation)
{
	struct sksm_table_header table;
	struct stat st;
	char name[32];
	int fd;

	table_name(name, sizeof(name), generation);
	fd = sksm_domain_open_file(index->sys, index->domain_fd, name, O_RDWR);
	if (fd < 0)
		return fd;
	if (index->sys->pread(fd, &table, sizeof(table), 0) != sizeof(table) ||
	    table.magic != TABLE_MAGIC || table.order < SKSM_INDEX_MIN_ORDER ||
	    table.order > SKSM_INDEX_MAX_ORDER ||
	    sksm_call4(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) != 0 ||
	    (uint64_t)st.st_size < SKSM_TABLE_HEADER + sksm_index_table_bytes(table.order)) {
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

	/*
	 * Between a third and two thirds full, to begin with: at two thirds one entry in 800
	 * finds its bucket full (buckets of 16: one in 110, and one in 20,000 at three eighths).
	 */
	while (order < SKSM_INDEX_MAX_ORDER && (uint64_t)SKSM_INDEX_WAYS << order < pages * 3 / 2)
		order++;
	return order;
}

/* Find a slot for us, and a fresh table where nobody else is there. The lock is held. */
static int join(struct sksm_index *index, uint64_t pages)
{
	struct sksm_members_header header = { 0 };
	unsigned int slot = SKSM_INDEX_MEMBERS, alive = 0;
	struct sksm_member *member;
	int error = read_members(index, &header);

	if (error) {
		/* New or damaged: begin again; the others notice the new generation. */
		header =
			(struct sksm_members_header){ .generation = sksm_clock_ns(CLOCK_REALTIME) };
		memset(index->members, 0, SKSM_INDEX_MEMBERS * sizeof(*member));
		index->now_ns = clock_now(index);
		index->members_used = 0;
	}
	for (unsigned int i = 0; i < header.used; i++) {
		uint16_t owner = (uint16_t)((index->members[i].generation & 63) *
					    SKSM_INDEX_MEMBERS + i);

		if (sksm_index_alive(index, owner))
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
	} else if (sksm_write_at(index->members_fd, &header, sizeof(header), 0) != sizeof(header)) {
		return -ENOSPC;
	}
	member = &index->members[slot];
	*member = (struct sksm_member){
		.pid = (uint32_t)sksm_call0(SYS_getpid),
		.generation = member->generation + 1,
		.beat_ns = index->now_ns,
		.lease_ns = index->lease_ns,
		.joined_ns = clock_now(index),
	};
	if (sksm_write_at(index->members_fd, member, sizeof(*member), sksm_member_offset(slot)) !=
	    sizeof(*member))
		return -ENOSPC;
	index->slot = slot;
	index->pid = member->pid;
	index->joined_ns = member->joined_ns;
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
	index->lease_ns = LEASE_NS;
	index->skew_ns = read_skew_ns(sys);
	index->members_fd = sksm_domain_open_file(sys, domain_fd, "members", O_RDWR | O_CREAT);
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
	uint32_t nobody = 0;

	if (index->me)
		sksm_write_at(index->members_fd, &nobody, sizeof(nobody),
			      sksm_member_offset(index->slot) + offsetof(struct sksm_member, pid));
	index->sys->close(index->members_fd);
	index->sys->close(index->fd);
	sksm_arena_free(index->arena, index->members,
			SKSM_INDEX_MEMBERS * sizeof(struct sksm_member));
	index->members = NULL;
}

/* Is our slot still ours? Not after somebody truncated or replaced the file. */
static bool is_member(const struct sksm_index *index)
{
	const struct sksm_member *member = &index->members[index->slot];

	return index->slot < index->members_used && member->pid == index->pid &&
	       member->joined_ns == index->joined_ns;
}

void sksm_index_flush(struct sksm_index *index)
{
	for (unsigned int slot = 0; slot < SKSM_INDEX_MEMBERS; slot++) {
		uint64_t now_ns;

		if (!(index->to_notify[slot / 8] & 1u << slot % 8))
			continue;
		now_ns = clock_now(index);
		sksm_write_at(index->members_fd, &now_ns, sizeof(now_ns),
			 sksm_member_offset(slot) + offsetof(struct sksm_member, event_ns));
	}
	memset(index->to_notify, 0, sizeof(index->to_notify));
}

bool sksm_index_is_full(const struct sksm_index *index)
{
	return index->overflows > 64 && index->overflows > index->publishes / 64 &&
	       index->order < SKSM_INDEX_MAX_ORDER;
}

static void grow(struct sksm_index *index)
{
	/* All that we hold, and as much again of others. */
	unsigned int order = order_for(index->held * 2);
	struct sksm_members_header header;

	if (!lock_members(index->members_fd, F_WRLCK))
		return;
	if (read_members(index, &header) == 0 && header.generation == index->generation)
		make_table(index, &header, order > index->order + 1 ? order :
			   index->order + 1);
	lock_members(index->members_fd, F_UNLCK);
}

bool sksm_index_has_event(const struct sksm_index *index)
{
	uint64_t event_ns;

	return index->sys->pread(index->members_fd, &event_ns, sizeof(event_ns),
				 sksm_member_offset(index->slot) +
				 offsetof(struct sksm_member, event_ns)) ==
	       (ssize_t)sizeof(event_ns) && event_ns != index->seen_event_ns;
}

int sksm_index_beat(struct sksm_index *index)
{
	struct sksm_members_header header;
	uint64_t beat[2] = { clock_now(index), index->lease_ns }, alive_hash = 0;
	int found = 0, error;

	sksm_index_flush(index);
	sksm_write_at(index->members_fd, beat, sizeof(beat),
		 sksm_member_offset(index->slot) + offsetof(struct sksm_member, beat_ns));
	if (sksm_index_is_full(index))
		grow(index);
	error = read_members(index, &header);
	if (error || !is_member(index)) {
		index->me = 0;
		return -ESTALE;
	}
	for (unsigned int i = 1; i < index->members_used; i++) {
		uint16_t owner = (uint16_t)((index->members[i].generation & 63) *
					    SKSM_INDEX_MEMBERS + i);

		if (sksm_index_alive(index, owner))
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
