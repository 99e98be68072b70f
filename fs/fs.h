/* SPDX-License-Identifier: MIT
 *
 * The file system's own context, one per mount, and the rooms of fs/:
 *
 *   main, cli_*      commands: mount, umount, fsck, export, log (argp)
 *   mount            mounting: fusermount3 or mount(2), stale mounts, adoption, daemonising
 *   session          the loop: reading /dev/fuse through custom I/O, INIT's amendment, order of RELEASE, worker threads
 *   node_id          FUSE node numbers ↔ live inodes, virtual entries, entries of a view
 *   handle           what an open file or directory is
 *   op_*             one FUSE operation each, grouped as the kernel groups them
 *   vfile, vfile_*   TABLE of virtual files and what renders them
 *   last_close, process   who asks, and is this the last close
 *   inval            telling the kernel what changed
 *   waiters          reads that wait, parked
 *   upkeep_thread    what is due by itself: sleeps until then
 *   hidden           what one process has removed though it stays: parts of a session, until the session goes
 *
 * Nothing here changes state but through engine.h and draft.h.
 */
#ifndef MILESTONEFS_FS_H
#define MILESTONEFS_FS_H

#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "draft.h"
#include "engine.h"

struct fs_handles;     /* handle.h */
struct fs_locks;       /* op_lock.c */
struct fs_inval;       /* inval.h */
struct fs_order;       /* session.h: RELEASE order */
struct fs_loop;        /* session_internal.h */
struct vnode_table;    /* vfile.h */
struct process_cache;  /* process.h, if it keeps one */
struct view_slots;     /* view_slots.h */
struct autocommit;     /* autocommit.h */
struct hidden;         /* hidden.h */
struct recovery_cache; /* vfile_recovery.h */
struct waiters;        /* waiters.h */

struct fs {
	struct engine *engine;
	struct fuse_session *session; /**< the serving one */
	char *project;                /**< absolute path of the project directory */
	char *mount_path;             /**< absolute: PROJECT/.milestones */
	int64_t started_ns;
	bool read_only; /**< -o ro */
	struct fs_handles *handles;
	struct fs_locks *locks;
	struct fs_inval *inval;
	struct fs_order *order;
	struct fs_loop *loop;
	struct vnode_table *vnodes;
	struct process_cache *processes;
	struct view_slots *views;
	struct autocommit *autocommit;
	struct hidden *hidden;
	struct recovery_cache *recovery;
	struct waiters *waiters;
	/* counters for status/metrics, relaxed */
	atomic_uint_fast64_t requests, reads, writes, bytes_read, bytes_written, flushes, commits_at_flush, commits_at_release;
};

#define ENTRY_TIMEOUT_S 60.0
#define ATTR_TIMEOUT_S 60.0

/** The operations table (op_table.c): every op the kernel may send; userdata of the session is struct fs. */
extern const struct fuse_lowlevel_ops fs_operations;

static inline struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/** Fill a request from a FUSE request: uid, gid and actor (process.h). */
void fs_request_init(fuse_req_t req, struct request *q);

#endif
