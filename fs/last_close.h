/* SPDX-License-Identifier: MIT
 *
 * Is this FLUSH the writer's last close? The kernel sends one at each close()
 * of each process that shares an open file, and one when a process dies; only
 * the last one of the writer may publish its draft.
 *
 * Reads /proc only, never the mount. Thread-safe. No state but the process cache.
 *
 * Not to be seen by anyone, and so decided as if there were none: descriptors
 * passed over a socket to a process that has not written yet, and descriptors held by
 * orphans (their parent has died) that neither wrote nor were ever reported as holder.
 */
#ifndef MILESTONEFS_FS_LAST_CLOSE_H
#define MILESTONEFS_FS_LAST_CLOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process_cache;

enum last_close {
	LAST_CLOSE_NO,     /**< not yet: leave it to a later FLUSH or to RELEASE */
	LAST_CLOSE_YES,    /**< nobody can write through this handle any more: commit now */
	LAST_CLOSE_KILLED, /**< as YES, but the writer is dying by a signal: never publish */
};

/** All about the handle that is flushed. Pids are thread groups (process_tgid_get). */
struct last_close_query {
	uint32_t tid;            /**< of the FLUSH request */
	uint32_t opener;         /**< who opened the handle */
	const uint32_t *writers; /**< who wrote through it; borrowed */
	size_t writer_count;
	const uint32_t *holders; /**< `ret->holder` of earlier FLUSHes of this handle; borrowed */
	size_t holder_count;
	bool written;           /**< has anybody written or truncated through it? */
	bool opener_killed;     /**< an earlier FLUSH had `ret->killed` with `ret->tgid` the opener's */
	uint64_t ino;           /**< the inode number as FUSE knows it (st_ino) */
	dev_t dev;              /**< st_dev of the mount; 0 unknown */
	uint32_t other_handles; /**< other handles of the flushing process, open for writing on the inode
				       and not yet found to be closed */
};

struct last_close_result {
	enum last_close verdict;
	uint32_t tgid;   /**< who flushed; the thread id where that can't be known */
	uint32_t holder; /**< with NO: a process that still holds the file for writing, 0 none known. Kept by the caller, its
			      own close can be judged even if it never writes */
	bool killed;     /**< the flushing process is dying by a signal, whatever the verdict */
	bool unwritten;  /**< with YES: nothing was written yet, and the descriptor may be on its way to a process
			      unknown to us, so publish at RELEASE only */
	bool unreadable; /**< with NO: somebody's descriptors can't be read (other user, /proc hidden) */
};

/** Decide. Always fills @ret. */
void last_close_decide(struct process_cache *cache, const struct last_close_query *query, struct last_close_result *ret);

#endif
