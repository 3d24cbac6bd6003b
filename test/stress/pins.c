/* SPDX-License-Identifier: MIT */
/*
 * Memory that the kernel or a device reads and writes by its physical address: O_DIRECT, vmsplice
 * and buffers registered with io_uring. A merge in between would take the page from under it.
 */
#include "stress.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define FILE_PAGES 64u
#define ENTRIES 4u

struct ring {
	int fd;
	unsigned char *queues;
	struct io_uring_sqe *entries;
	struct io_uring_params params;
	struct area *area;
	size_t first, count;	/* the pages of it that are registered */
};

static int file = -1, direct = -1;

/* A file whose page i is of the content that tag i + 1 stands for. */
void pins_prepare(void)
{
	char path[] = "/var/tmp/sksm-stress-XXXXXX";
	unsigned char page[PAGE];

	file = mkstemp(path);
	if (file < 0)
		die(path);
	for (unsigned int i = 0; i < FILE_PAGES; i++) {
		page_write(page, i + 1);
		if (pwrite(file, page, PAGE, (off_t)(i * PAGE)) != (ssize_t)PAGE)
			die("pwrite");
	}
	fsync(file);
	direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	unlink(path);
}

void pins_init(struct worker *worker, unsigned int number)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	size_t bytes;

	if (!ring)
		die("calloc");
	ring->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &ring->params);
	if (ring->fd < 0 || !(ring->params.features & IORING_FEAT_SINGLE_MMAP)) {
		free(ring);
		return;
	}
	bytes = ring->params.cq_off.cqes + ring->params.cq_entries * sizeof(struct io_uring_cqe);
	if (bytes < ring->params.sq_off.array + ENTRIES * sizeof(uint32_t))
		bytes = ring->params.sq_off.array + ENTRIES * sizeof(uint32_t);
	ring->queues = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
			    IORING_OFF_SQ_RING);
	ring->entries = mmap(NULL, ENTRIES * sizeof(*ring->entries), PROT_READ | PROT_WRITE,
			     MAP_SHARED, ring->fd, IORING_OFF_SQES);
	if (ring->queues == MAP_FAILED || ring->entries == MAP_FAILED)
		die("mmap of a ring");
	worker->ring = ring;
}

static uint32_t *field(struct ring *ring, uint32_t offset)
{
	return (uint32_t *)(ring->queues + offset);
}

static int submit(struct ring *ring, const struct io_uring_sqe *entry)
{
	const struct io_sqring_offsets *sq = &ring->params.sq_off;
	const struct io_cqring_offsets *cq = &ring->params.cq_off;
	uint32_t tail = *field(ring, sq->tail), index = tail & *field(ring, sq->ring_mask);
	uint32_t head = *field(ring, cq->head);
	struct io_uring_cqe *done;

	ring->entries[index] = *entry;
	field(ring, sq->array)[index] = index;
	__atomic_store_n(field(ring, sq->tail), tail + 1, __ATOMIC_RELEASE);
	while (syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		if (errno != EINTR)
			die("io_uring_enter");
	while (__atomic_load_n(field(ring, cq->tail), __ATOMIC_ACQUIRE) == head)
		if (syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) <
			    0 && errno != EINTR)
			die("io_uring_enter");
	done = (struct io_uring_cqe *)(ring->queues + cq->cqes) +
	       (head & *field(ring, cq->ring_mask));
	index = (uint32_t)done->res;
	__atomic_store_n(field(ring, cq->head), head + 1, __ATOMIC_RELEASE);
	return (int)index;
}

void pin_area(struct worker *worker, struct area *area)
{
	struct ring *ring = worker->ring;
	struct iovec buffer;

	if (!ring || ring->area)
		return;
	worker->doing = "pin";
	ring->first = pick(worker, area->pages);
	ring->count = 1 + pick(worker, area->pages - ring->first);
	if (ring->count > FILE_PAGES)
		ring->count = FILE_PAGES;
	buffer.iov_base = area->start + ring->first * PAGE;
	buffer.iov_len = ring->count * PAGE;
	if (syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_BUFFERS, &buffer, 1) < 0) {
		/*
		 * What may be locked is limited, and mappings of several kinds are refused, on 6.1
		 * with EINVAL.
		 */
		if (errno != ENOMEM && errno != EOPNOTSUPP && errno != EFAULT && errno != EINVAL)
			die("IORING_REGISTER_BUFFERS");
		return;
	}
	ring->area = area;
	area->pinned = true;
	counted_pins++;
}

void unpin_area(struct worker *worker, struct area *area)
{
	worker->doing = "unpin";
	if (syscall(SYS_io_uring_register, worker->ring->fd, IORING_UNREGISTER_BUFFERS, NULL, 0) <
	    0)
		die("IORING_UNREGISTER_BUFFERS");
	worker->ring->area = NULL;
	area->pinned = false;
}

/* Through the registered buffer: the kernel writes to the frames that it holds. */
void read_into_pinned(struct worker *worker, struct area *area)
{
	struct ring *ring = worker->ring;
	size_t skip = pick(worker, ring->count), count = 1 + pick(worker, ring->count - skip);
	size_t from = pick(worker, FILE_PAGES - count + 1);
	struct io_uring_sqe entry = {
		.opcode = IORING_OP_READ_FIXED,
		.fd = file,
		.off = from * PAGE,
		.addr = (uintptr_t)(area->start + (ring->first + skip) * PAGE),
		.len = (uint32_t)(count * PAGE),
	};
	int got = submit(ring, &entry);

	worker->doing = "read into a registered buffer";
	if (got != (int)(count * PAGE)) {
		errno = got < 0 ? -got : EIO;
		die("IORING_OP_READ_FIXED");
	}
	for (size_t i = 0; i < count; i++)
		area->tags[ring->first + skip + i] = from + i + 1;
	verify_pages(worker, area, ring->first + skip, count);
}

void read_direct(struct worker *worker, struct area *area)
{
	size_t first = pick(worker, area->pages), count = 1 + pick(worker, area->pages - first);
	size_t from = pick(worker, FILE_PAGES);

	if (direct < 0)
		return;
	worker->doing = "direct read";
	if (count > FILE_PAGES - from)
		count = FILE_PAGES - from;
	if (pread(direct, area->start + first * PAGE, count * PAGE, (off_t)(from * PAGE)) !=
	    (ssize_t)(count * PAGE))
		die("pread with O_DIRECT");
	for (size_t i = 0; i < count; i++)
		area->tags[first + i] = from + i + 1;
	verify_pages(worker, area, first, count);
}

/* The pipe holds the frames themselves until they are read from it. */
void splice_out(struct worker *worker, struct area *area)
{
	size_t first = pick(worker, area->pages), count = 1 + pick(worker, area->pages - first);
	static _Thread_local unsigned char copy[8 * PAGE];
	struct iovec part;
	int ends[2];
	ssize_t got;

	worker->doing = "vmsplice";
	if (count > 8)
		count = 8;
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe2");
	part.iov_base = area->start + first * PAGE;
	part.iov_len = count * PAGE;
	got = vmsplice(ends[1], &part, 1, 0);
	if (got < 0)
		die("vmsplice");
	/* Time for a merge to come by. */
	if (pick(worker, 8) == 0)
		sleep_ms(20);
	if (read(ends[0], copy, (size_t)got) != got)
		die("read from a pipe");
	for (size_t i = 0; i < (size_t)got / PAGE; i++)
		if (!page_is(copy + i * PAGE, area->tags[first + i]))
			wrong("vmsplice", first + i);
	close(ends[0]);
	close(ends[1]);
}
