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
/** Serve with @workers threads until unmounted or told to stop. Returns 0 or -errno. */
int fs_session_loop(struct fs *fs, unsigned workers);
/** Ask the loop to end (signal-safe through a pipe or flag). */
void fs_session_stop(struct fs *fs);
void fs_session_close(struct fs *fs);

/** Called by the RELEASE operation once its draft is applied (or there was nothing to publish). */
void fs_order_release_done(struct fs *fs, uint64_t fh);
/** Called at the start of every operation that looks at live state: waits for RELEASEs read before this request. */
void fs_order_wait(struct fs *fs, fuse_req_t req);

#endif
