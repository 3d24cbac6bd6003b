/* SPDX-License-Identifier: MIT */
#include "index_file.h"

#include <errno.h>
#include <string.h>

#include "arena.h"

#define SNAPSHOT_MAX (16u << 20)

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

static uint64_t bucket_offset(const struct sksm_index *index, uint64_t digest)
{
	uint64_t bucket = digest & ((1ull << index->order) - 1);

	return SKSM_TABLE_HEADER + bucket * SKSM_INDEX_WAYS * 8;
}

/* A page of this member has a twin. */
static void notify(struct sksm_index *index, uint16_t owner)
{
	unsigned int slot = owner % SKSM_INDEX_MEMBERS;

	if (owner == index->me)
		index->self_event = true;
	else
		index->to_notify[slot / 8] |= (uint8_t)(1u << slot % 8);
}

static int read_bucket(struct sksm_index *index, uint64_t offset,
		       uint64_t bucket[SKSM_INDEX_WAYS])
{
	ssize_t size = SKSM_INDEX_WAYS * 8, n;

	if (index->snapshot) {
		memcpy(bucket, (char *)index->snapshot + (offset - SKSM_TABLE_HEADER), (size_t)size);
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

		if (!sksm_index_alive(index, entry.a) && !sksm_index_alive(index, entry.b))
			return i;
	}
	return -1;
}

/* Add a page of ours to an entry whose tag matches. True: a living twin is known. */
static bool add_to(struct sksm_index *index, struct entry *entry)
{
	bool live_a = sksm_index_alive(index, entry->a), live_b = sksm_index_alive(index, entry->b);

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
	if (raw != bucket[i] && sksm_write_at(index->fd, &raw, 8, offset + (uint64_t)i * 8) != 8)
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
	sksm_write_at(index->fd, &raw, 8, offset + (uint64_t)i * 8);
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
		live_a = sksm_index_alive(index, entry.a);
		live_b = sksm_index_alive(index, entry.b);
		if (live_a && live_b)
			return 1;
		mine = (live_a && entry.a == index->me) || (live_b && entry.b == index->me);
		/* With one owner gone, dead or withdrawn, are there other pages of ours? */
		if (mine)
			return entry.count > (entry.a && entry.b ? 2 : 1);
		if (!live_a && !live_b && entry.count <= 2)
			entry = (struct entry){ .tag = entry.tag, .count = 1, .a = index->me };
		else
			add_to(index, &entry);
	}
	raw = pack(&entry);
	if (sksm_write_at(index->fd, &raw, 8, offset + (uint64_t)i * 8) != 8)
		return -ENOSPC;
	if (index->snapshot)
		index->snapshot[(offset - SKSM_TABLE_HEADER) / 8 + (uint64_t)i] = raw;
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
	if (index->sys->pread(index->fd, copy, size, SKSM_TABLE_HEADER) == (ssize_t)size)
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
