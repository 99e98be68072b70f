/* SPDX-License-Identifier: MIT
 *
 * Private to fs/session*.c.
 */
#ifndef MILESTONEFS_SESSION_INTERNAL_H
#define MILESTONEFS_SESSION_INTERNAL_H

#include <pthread.h>

#include "options.h"
#include "session.h"
#include "session_pool.h"

/** The serving side of a mount. */
struct fs_loop {
	int fuse_fd;          /**< the session's own, non-blocking; closed with it */
	int wake_fd;          /**< eventfd: told to stop, or a worker has ended */
	int end_fd;           /**< eventfd: workers are to end; stays readable */
	struct fs_pool *pool; /**< of the running loop */
	size_t buffer_bytes;  /**< largest request */
	/** One thread reads at a time, so that RELEASEs are registered in order; never held while waiting. */
	pthread_mutex_t read_lock;
	uint32_t caller, caller_run;          /**< thread of the last request and how many came from it in a row; under read_lock */
	atomic_bool stopping;                 /**< no further request is read */
	atomic_uint alive;                    /**< workers that still run */
	atomic_int error;                     /**< of reading, -errno */
	atomic_uint_fast64_t init_unique;     /**< of the INIT whose reply is to be amended, 0 none */
	atomic_uint init_flags;               /**< what the kernel offered in it */
	const struct fs_session_calls *calls; /**< of the running loop */
};

/** What fs_order_take() found out about a request. */
struct order_ticket {
	uint64_t after;           /**< RELEASEs up to this number were read before; 0 none */
	uint64_t register_number; /**< its own, when it is a RELEASE that others wait for; else 0 */
	bool alone;               /**< so many requests in a row are its thread's that it seems to be the only one */
};

/** Give a request just read its place. Under the read lock. @publishes: a RELEASE of @fh that later requests must wait for. */
void fs_order_take(struct fs_order *o, uint64_t node_id, uint64_t fh, bool publishes, struct order_ticket *ret);
/** Start on the request: wait until all registered RELEASEs up to @t->after are done (a RELEASE: only those of its own file). */
void fs_order_enter(struct fs_order *o, const struct order_ticket *t);
/** The request is over: whatever it registered is done. */
void fs_order_leave(struct fs_order *o, const struct order_ticket *t);

#endif
