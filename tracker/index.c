/* SPDX-License-Identifier: MIT */
#include "index_file.h"

#include <errno.h>
#include <string.h>

#include "arena.h"

/* Buckets that are read and written at once: 4 KiB. */
#define SPAN_SHIFT 4
#define SPAN_BUCKETS (1u << SPAN_SHIFT)
#define NO_OP UINT32_MAX

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

static unsigned int bucket_of(const struct sksm_index *index, uint64_t digest)
{
	/* Of the 48 bits, those that the tag leaves. */
	return (unsigned int)(digest >> 16 & ((1ull << index->order) - 1));
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

/*
 * Add a page of ours to an entry whose tag matches; it may be @counted there already. True: a
 * living twin is known.
 */
static bool add_to(struct sksm_index *index, struct entry *entry, bool counted)
{
	bool live_a = sksm_index_alive(index, entry->a), live_b = sksm_index_alive(index, entry->b);

	if (live_a && live_b) {
		entry->count += !counted && entry->count < 15;
		return true;
	}
	if (!entry->a && !entry->b && entry->count < 15) {
		/* All that were named took theirs back; whose the others are is not known. */
		entry->a = index->me;
		entry->count += !counted || !entry->count;
		return entry->count > 1;
	}
	if (!live_a && !live_b) {
		*entry = (struct entry){ .tag = entry->tag, .count = 1, .a = index->me };
		return false;
	}
	notify(index, live_a ? entry->a : entry->b);
	/* How many pages the dead had is not known; none of them is left. */
	if (entry->a && entry->b)
		entry->count = 1;
	entry->count += !counted && entry->count < 15;
	if (entry->count < 2)
		entry->count = 2;
	entry->a = live_a ? entry->a : entry->b;
	entry->b = index->me;
	return true;
}

static int publish_in(struct sksm_index *index, uint64_t *bucket, uint64_t digest)
{
	int i = find_tag(bucket, tag_of(digest));
	struct entry entry;
	bool twin = false;

	index->publishes++;
	if (i >= 0) {
		entry = unpack(bucket[i]);
		twin = add_to(index, &entry, false);
	} else {
		i = find_place(index, bucket);
		if (i < 0) {
			index->overflows++;
			return -ENOSPC;
		}
		entry = (struct entry){ .tag = tag_of(digest), .count = 1, .a = index->me };
	}
	bucket[i] = pack(&entry);
	return twin;
}

static int withdraw_in(struct sksm_index *index, uint64_t *bucket, uint64_t digest)
{
	int i = find_tag(bucket, tag_of(digest));
	struct entry entry;
	unsigned int named;

	if (i < 0)
		return 0;
	entry = unpack(bucket[i]);
	/* In a new table it may be only others' yet. */
	if (entry.a != index->me && entry.b != index->me &&
	    entry.count <= (unsigned int)(entry.a != 0) + (entry.b != 0))
		return 0;
	/* A count that has saturated is no longer known. */
	entry.count -= entry.count < 15 && entry.count;
	if (entry.b == index->me) {
		entry.b = 0;
	} else if (entry.a == index->me) {
		entry.a = entry.b;
		entry.b = 0;
	}
	named = (unsigned int)(entry.a != 0) + (entry.b != 0);
	/* Pages that are named by nobody may be ours: they have to say so. */
	if (entry.count > named && entry.a != index->me)
		index->self_event = true;
	bucket[i] = entry.count ? pack(&entry) : 0;
	return 0;
}

/* Was the entry that is now @entry, and was @before, written since for pages of ours alone? */
static bool is_anew(struct sksm_index *index, uint64_t before, const struct entry *entry)
{
	struct entry old = unpack(before);

	return !before || old.tag != entry->tag ||
	       ((old.a || old.b) && !sksm_index_alive(index, old.a) &&
		!sksm_index_alive(index, old.b));
}

static int look_up_in(struct sksm_index *index, const uint64_t *before, uint64_t *bucket,
		      uint64_t digest)
{
	int i = find_tag(bucket, tag_of(digest));
	bool live_a, live_b, mine, twin = false;
	struct entry entry;

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
		mine = (live_a && entry.a == index->me) || (live_b && entry.b == index->me);
		if (mine && is_anew(index, before[i], &entry))
			/* Another page of ours had been lost with the one that made the entry. */
			twin = add_to(index, &entry, false);
		else if (live_a && live_b)
			return 1;
		else if (mine)
			/* With one owner gone, are there other pages of ours? */
			return entry.count > (entry.a && entry.b ? 2 : 1);
		else
			twin = add_to(index, &entry, true);
	}
	bucket[i] = pack(&entry);
	return twin;
}

/* @before: the bucket as it was before the batch. */
static int apply_in(struct sksm_index *index, const uint64_t *before, uint64_t *bucket,
		    const struct sksm_index_op *op)
{
	switch (op->kind) {
	case SKSM_INDEX_PUBLISH:
		return publish_in(index, bucket, op->digest);
	case SKSM_INDEX_WITHDRAW:
		return withdraw_in(index, bucket, op->digest);
	default:
		return look_up_in(index, before, bucket, op->digest);
	}
}

/*
 * Entries of @now that differ from @before go to the file, neighbours in one write, others' entries
 * in between as they were. 0 or -ENOSPC.
 */
static int write_changed(const struct sksm_index *index, const uint64_t *before,
			 const uint64_t *now, unsigned int count, uint64_t offset)
{
	unsigned int from, to, i = 0;

	for (;;) {
		long bytes;

		while (i < count && now[i] == before[i])
			i++;
		if (i == count)
			return 0;
		for (from = i, to = i + 1; i < count && i < to + SKSM_INDEX_WAYS; i++)
			if (now[i] != before[i])
				to = i + 1;
		bytes = (long)(to - from) * 8;
		if (sksm_write_at(index->fd, now + from, (size_t)bytes,
				  offset + from * 8ull) != bytes)
			return -ENOSPC;
	}
}

/*
 * Apply the list of operations that starts at @first, all of whose buckets lie in one span: read
 * what they need of it, change it, write it back. What others write in between is lost: that a page
 * was published shows when they look it up; that one was withdrawn does not, and leaves a false
 * twin.
 */
static void apply_span(struct sksm_index *index, struct sksm_index_op *ops, uint32_t first)
{
	uint64_t before[SPAN_BUCKETS * SKSM_INDEX_WAYS], now[SPAN_BUCKETS * SKSM_INDEX_WAYS];
	unsigned int low = UINT32_MAX, high = 0, entries;
	uint64_t offset;
	int error = 0;
	ssize_t size;

	for (uint32_t i = first; i != NO_OP; i = ops[i].next) {
		unsigned int bucket = bucket_of(index, ops[i].digest);

		low = bucket < low ? bucket : low;
		high = bucket > high ? bucket : high;
	}
	entries = (high - low + 1) * SKSM_INDEX_WAYS;
	offset = SKSM_TABLE_HEADER + low * SKSM_INDEX_WAYS * 8ull;
	size = index->sys->pread(index->fd, before, entries * 8, offset);
	if (size != (ssize_t)entries * 8)
		error = size < 0 ? (int)size : -EIO;
	memcpy(now, before, entries * 8);
	for (uint32_t i = first; i != NO_OP; i = ops[i].next) {
		unsigned int at = (bucket_of(index, ops[i].digest) - low) * SKSM_INDEX_WAYS;

		ops[i].result = (int16_t)(error ? error :
					 apply_in(index, before + at, now + at, &ops[i]));
	}
	if (!error)
		error = write_changed(index, before, now, entries, offset);
	for (uint32_t i = first; error && i != NO_OP; i = ops[i].next)
		ops[i].result = (int16_t)error;
}

void sksm_index_apply(struct sksm_index *index, struct sksm_index_op *ops, unsigned int count)
{
	unsigned int spans = 1u << (index->order - SPAN_SHIFT);
	uint32_t *heads = NULL;

	if (count > 1)
		heads = sksm_arena_alloc(index->arena, spans * sizeof(*heads));
	if (!heads) {
		for (uint32_t i = 0; i < count; i++) {
			ops[i].next = NO_OP;
			apply_span(index, ops, i);
		}
		return;
	}
	memset(heads, 0xff, spans * sizeof(*heads));
	/* From the last to the first, so that each list is in the order of the operations. */
	for (uint32_t i = count; i-- > 0;) {
		uint32_t *head = &heads[bucket_of(index, ops[i].digest) >> SPAN_SHIFT];

		ops[i].next = *head;
		*head = i;
	}
	/* Members that publish at the same time had better not be at the same place. */
	for (unsigned int i = 0; i < spans; i++) {
		uint32_t head = heads[(i + index->slot * (spans / 8 + 1)) % spans];

		if (head != NO_OP)
			apply_span(index, ops, head);
	}
	sksm_arena_free(index->arena, heads, spans * sizeof(*heads));
}

static int apply_one(struct sksm_index *index, enum sksm_index_op_kind kind, uint64_t digest)
{
	struct sksm_index_op op = { .kind = kind, .digest = digest };

	sksm_index_apply(index, &op, 1);
	return op.result;
}

int sksm_index_publish(struct sksm_index *index, uint64_t digest)
{
	return apply_one(index, SKSM_INDEX_PUBLISH, digest);
}

void sksm_index_withdraw(struct sksm_index *index, uint64_t digest)
{
	apply_one(index, SKSM_INDEX_WITHDRAW, digest);
}

int sksm_index_lookup(struct sksm_index *index, uint64_t digest)
{
	return apply_one(index, SKSM_INDEX_LOOKUP, digest);
}

static bool is_ours_to_count(struct sksm_index *index, const struct entry *entry)
{
	bool live_a, live_b;

	if (entry->a != index->me && entry->b != index->me)
		return false;
	live_a = sksm_index_alive(index, entry->a);
	live_b = sksm_index_alive(index, entry->b);
	if (!(live_a && live_b) && entry->count <= (entry->a && entry->b ? 2 : 1))
		return false;
	return entry->a == index->me || !live_a;
}

int64_t sksm_index_count_frames(struct sksm_index *index)
{
	uint64_t raw[SPAN_BUCKETS * SKSM_INDEX_WAYS];
	uint64_t offset, end = SKSM_TABLE_HEADER + sksm_index_table_bytes(index->order);
	int64_t frames = 0;

	for (offset = SKSM_TABLE_HEADER; offset < end; offset += sizeof(raw)) {
		ssize_t size = index->sys->pread(index->fd, raw, sizeof(raw), offset);

		if (size < 0)
			return size;
		for (size_t i = 0; i < (size_t)size / sizeof(raw[0]); i++) {
			struct entry entry = unpack(raw[i]);

			frames += is_ours_to_count(index, &entry);
		}
	}
	return frames;
}
