/* SPDX-License-Identifier: MIT
 *
 * Which of the worker threads serve, and how they wait for the next request. Private to fs/session*.c.
 *
 * Thread-safe; one pool for one FUSE descriptor.
 */
#ifndef MILESTONEFS_SESSION_POOL_H
#define MILESTONEFS_SESSION_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct fs_pool;

/** How often fs_pool_tick() is to be called. */
#define POOL_TICK_MS 1

/** A worker's own memory, zeroed at first. */
struct pool_worker {
	bool waiting;          /**< it is the one that waits */
	unsigned in_a_row;     /**< requests found without waiting */
	uint32_t opcode;       /**< of its last request */
	int64_t idle_since_ns; /**< while waiting */
	int64_t spin_until_ns; /**< while waiting; 0: it sleeps */
};

/**
 * For @workers threads. @fuse_fd, non-blocking, and @end_fd, readable for ever at the end, are borrowed. NULL: no memory or
 * descriptors.
 */
struct fs_pool *fs_pool_new(int fuse_fd, int end_fd, unsigned workers);
/** No worker may be inside. NULL allowed. */
void fs_pool_free(struct fs_pool *p);

/**
 * A worker found nothing to read. Returns when it is to try again: at once while something is expected soon, else when
 * there is something, when it is needed in addition to others, or at the end.
 */
void fs_pool_wait(struct fs_pool *p, struct pool_worker *w);
/** Callers wait for the disk these days: for a while no worker reads again and again before it sleeps. */
void fs_pool_slept(struct fs_pool *p);
/** A worker has read a request of kind @opcode and is about to serve it. */
void fs_pool_took(struct fs_pool *p, struct pool_worker *w, uint32_t opcode);

/**
 * To be called every POOL_TICK_MS by one thread that serves nothing: where all who serve are held up, somebody else reads on.
 * False: nothing is going on, so not again before fs_pool_busy_fd() is readable.
 */
bool fs_pool_tick(struct fs_pool *p);
/** An eventfd, to be read by who ticks. */
int fs_pool_busy_fd(const struct fs_pool *p);

/** Wake everybody for ever. */
void fs_pool_end(struct fs_pool *p);

#endif
