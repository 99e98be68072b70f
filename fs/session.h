/* SPDX-License-Identifier: MIT
 *
 * The FUSE session: custom I/O on /dev/fuse, INIT's amendment (ALLOW_MMAP), worker threads, and the order of RELEASE.
 *
 * RELEASE is asynchronous but ordered: no request sent after a close() is read before that close's RELEASE (with
 * max_background raised). So a RELEASE that still has something to publish is registered when it is *read*, under the read lock, and every request
 * read later waits in fs_order_wait() until it has been applied. Everything else runs in parallel.
 */
#ifndef MILESTONEFS_SESSION_H
#define MILESTONEFS_SESSION_H

#include "fs.h"

/** Make the serving session on the descriptor of an already mounted one (kept by the caller). 0 or -errno. */
int fs_session_open(struct fs *fs, struct fuse_args *args, int fuse_fd);
/**
 * Serve with @workers threads until unmounted or told to stop, by fs_session_stop() or one of SIGTERM and SIGINT, which must be
 * blocked in all threads. @ready (NULL allowed) is called once, on a worker, when INIT was answered; @unmount when told to
 * stop, while requests are still served, to take the mount away. Requests read are all carried out before it returns 0 or -errno.
 */
struct fs_session_calls {
	void (*ready)(void *arg);
	void (*unmount)(void *arg);
	void *arg;
};
int fs_session_loop(struct fs *fs, unsigned workers, const struct fs_session_calls *calls);
/** Ask the loop to end. Any thread, signal handlers too. */
void fs_session_stop(struct fs *fs);
/** Late replies (reply.h) need the session, so close it after the engine. */
void fs_session_close(struct fs *fs);

/** The `init` operation: what is wanted of the kernel. */
void fs_session_init(void *userdata, struct fuse_conn_info *conn);

/** RELEASE order (session_order.c). NULL: out of memory. */
struct fs_order *fs_order_new(void);
void fs_order_free(struct fs_order *o);
/** Called by the RELEASE operation once its draft is applied (or there was nothing to publish), before the handle is freed. */
void fs_order_release_done(struct fs *fs, uint64_t fh);
/** Waits for RELEASEs read before the request this thread works on. The loop does it before it hands a request out, so
 *  within an operation it costs one load; @req may be NULL. */
void fs_order_wait(struct fs *fs, fuse_req_t req);

/** The kernel's request this thread works on; all 0 on any other thread (autocommit, timers). */
struct fs_session_request {
	uint64_t node_id;
	uint32_t opcode;  /**< FUSE_… of <linux/fuse.h> */
	uint64_t second;  /**< RENAME: the new directory; LINK: the file */
	bool kills_setid; /**< the kernel asks for removal of set-id bits (setid.h) */
	bool alone;       /**< its thread is the only one that has asked for anything lately */
};
const struct fs_session_request *fs_session_request(void);

/** This thread has waited for the disk in the middle of a request, and its caller with it (session_pool.c adapts). */
void fs_session_slept(struct fs *fs);

/** What the calling thread writes goes through this opening of the device from now on; -1: the session's. For notifications only: a reply
 *  belongs to the opening its request was read from. */
void fs_session_write_through(int fd);

#endif
