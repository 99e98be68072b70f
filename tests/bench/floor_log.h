/* SPDX-License-Identifier: MIT
 *
 * The write-ahead log of floor_fs.c: records behind each other in a file of zeros that is there before, whole blocks a group, one sync a group.
 *
 * Who has something to make safe appends a record and goes on; one thread writes what has gathered meanwhile and answers all who wait for it, so that no
 * thread of FUSE ever waits for the disk. At its end the file is written from the beginning again. Nobody reads it.
 *
 * Failure: of memory, or of the file when it is made, ends the program; of a group, answers its requests with EIO.
 */
#ifndef MILESTONEFS_FLOOR_LOG_H
#define MILESTONEFS_FLOOR_LOG_H

#include "floor_tree.h"

#define FLOOR_LOG_BYTES (64u << 20)
#define FLOOR_BLOCK_BYTES 4096u

enum floor_kind { FLOOR_WRITE = 1, FLOOR_MKDIR, FLOOR_RENAME, FLOOR_UNLINK };

/** What happened to node @ino, now of @size bytes and named in @parent; the name and, of a write, @bytes bytes from @offset follow. */
struct floor_record {
	uint64_t ino, parent, size, offset;
	uint32_t bytes;
	uint16_t name_bytes, kind;
};

struct floor_batch {
	char *data;
	size_t bytes, capacity;
	fuse_req_t *waiting;
	size_t count, waiting_capacity;
};

struct floor_log {
	int fd;               /**< < 0: there is no log */
	off_t at;             /**< of the next group */
	pthread_t thread;     /**< writes one batch while others fill the other */
	pthread_mutex_t lock; /**< of what follows */
	pthread_cond_t work;
	struct floor_batch batches[2], *filling;
	bool stop;
};

#define FLOOR_LOG_INIT                                                                        \
	{                                                                                     \
		.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER \
	}

static inline void floor_log_open(struct floor_log *l, const char *path)
{
	static const char zeros[1 << 20];

	l->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (off_t at = 0; l->fd >= 0 && at < FLOOR_LOG_BYTES; at += sizeof(zeros))
		if (pwrite(l->fd, zeros, sizeof(zeros), at) != sizeof(zeros))
			bench_die(path);
	if (l->fd < 0 || fsync(l->fd))
		bench_die(path);
}

/** Append a record, in the order of the calls. Returns whether @req will be answered, when the record is on the disk: not without a log. @req may be NULL. */
static inline bool floor_log_append(struct floor_log *l, fuse_req_t req, struct floor_record r, const char *name, const char *data)
{
	struct floor_batch *b;
	char *to;

	if (l->fd < 0)
		return false;
	r.name_bytes = (uint16_t)strlen(name);
	(void)pthread_mutex_lock(&l->lock);
	b = l->filling;
	b->data = floor_reserve(b->data, &b->capacity, b->bytes + sizeof(r) + r.name_bytes + r.bytes + FLOOR_BLOCK_BYTES, 1);
	to = b->data + b->bytes;
	memcpy(to, &r, sizeof(r));
	memcpy(to + sizeof(r), name, r.name_bytes);
	if (r.bytes)
		memcpy(to + sizeof(r) + r.name_bytes, data, r.bytes);
	b->bytes += sizeof(r) + r.name_bytes + r.bytes;
	if (req) {
		b->waiting = floor_reserve(b->waiting, &b->waiting_capacity, b->count + 1, sizeof(*b->waiting));
		b->waiting[b->count++] = req;
		(void)pthread_cond_signal(&l->work);
	}
	(void)pthread_mutex_unlock(&l->lock);
	return true;
}

/** Write @b, with zeros to the end of its last block. Returns 0 or EIO. */
static inline int floor_log_write(struct floor_log *l, struct floor_batch *b)
{
	size_t whole = (b->bytes + FLOOR_BLOCK_BYTES - 1) / FLOOR_BLOCK_BYTES * FLOOR_BLOCK_BYTES;

	if (whole > FLOOR_LOG_BYTES)
		return EIO;
	if (l->at + (off_t)whole > FLOOR_LOG_BYTES)
		l->at = 0;
	memset(b->data + b->bytes, 0, whole - b->bytes);
	if (pwrite(l->fd, b->data, whole, l->at) != (ssize_t)whole || fdatasync(l->fd))
		return EIO;
	l->at += (off_t)whole;
	return 0;
}

static inline void *floor_log_main(void *arg)
{
	struct floor_log *l = arg;
	struct floor_batch *b;
	int error;

	(void)pthread_mutex_lock(&l->lock);
	for (;;) {
		while (!l->filling->count && !l->stop)
			(void)pthread_cond_wait(&l->work, &l->lock);
		b = l->filling;
		if (!b->count)
			break;
		l->filling = b == l->batches ? l->batches + 1 : l->batches;
		(void)pthread_mutex_unlock(&l->lock);
		error = floor_log_write(l, b); /* the group is on the disk here */
		for (size_t i = 0; i < b->count; i++)
			(void)fuse_reply_err(b->waiting[i], error);
		b->bytes = b->count = 0;
		(void)pthread_mutex_lock(&l->lock);
	}
	(void)pthread_mutex_unlock(&l->lock);
	return NULL;
}

static inline void floor_log_start(struct floor_log *l)
{
	if (l->fd < 0)
		return;
	l->filling = l->batches;
	l->stop = false;
	errno = pthread_create(&l->thread, NULL, floor_log_main, l);
	if (errno)
		bench_die("pthread_create");
}

/** Returns when all that was appended is answered. */
static inline void floor_log_stop(struct floor_log *l)
{
	if (l->fd < 0)
		return;
	(void)pthread_mutex_lock(&l->lock);
	l->stop = true;
	(void)pthread_cond_signal(&l->work);
	(void)pthread_mutex_unlock(&l->lock);
	(void)pthread_join(l->thread, NULL);
}

#endif
