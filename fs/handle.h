/* SPDX-License-Identifier: MIT
 *
 * Handles: what an open file is to the daemon. fuse_file_info.fh holds the pointer.
 *
 *   HANDLE_READ    a snapshot: version chosen at first read, again at offset 0 and when the process gets a lock; follows appends
 *   HANDLE_WRITE   a draft (and, when it may read, its own view through the draft)
 *   HANDLE_VIEW    a version in a view, fixed
 *   HANDLE_VIRTUAL rendered text, or ranges of a log
 *   HANDLE_DIR     a listing taken at open / rewind
 *
 * Locking: `lock` protects the mutable fields. Before draft.lock and engine.lock.
 */
#ifndef MILESTONEFS_HANDLE_H
#define MILESTONEFS_HANDLE_H

#include <pthread.h>
#include <stdint.h>

#include "fs.h"

enum handle_kind { HANDLE_READ, HANDLE_WRITE, HANDLE_VIEW, HANDLE_VIRTUAL, HANDLE_DIR };

#define HANDLE_WRITERS_MAX 16

struct handle_dir; /* op_dir.c */

struct handle {
	enum handle_kind kind;
	uint64_t node_id;
	int open_flags;
	uint32_t opener_tgid;
	struct actor actor;	/**< learned at open, refined at the first write (after exec) */
	pthread_mutex_t lock;
	/* HANDLE_READ, HANDLE_VIEW */
	const struct version *snapshot;
	struct version_extents extents;
	/* HANDLE_WRITE */
	struct draft *draft;
	uint32_t writers[HANDLE_WRITERS_MAX]; /**< tgids seen writing */
	uint32_t writer_count;
	bool stream; /**< autocommit publishes it while open */
	/* HANDLE_VIRTUAL */
	const struct vnode *vnode;
	struct buf text;
	/* HANDLE_DIR */
	struct handle_dir *dir;
	struct handle *prev, *next; /**< list of its inode's write handles; fs_handles' lock */
};

/** Registry of open write handles by inode: for last-close counting, rename, autocommit, getattr of the writer. */
struct fs_handles *fs_handles_new(void);
void fs_handles_free(struct fs_handles *t);

#endif
