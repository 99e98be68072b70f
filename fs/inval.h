/* SPDX-License-Identifier: MIT
 *
 * Telling the kernel what changed behind its back. Attributes (lock-free in the kernel: negative offset) and, by
 * the connection's epoch, directory entries at once; page-cache data, and entries on kernels without an epoch, on a thread of their own, because they
 * take locks a pending request may hold.
 */
#ifndef MILESTONEFS_INVAL_H
#define MILESTONEFS_INVAL_H

#include "fs.h"

/** Start the thread. Set fs->inval to the result. NULL: no memory or no thread. */
struct fs_inval *fs_inval_start(struct fs *fs);
/**
 * End the thread, give up what is queued; what comes later is ignored. Call it while requests are still served: the kernel may hold
 * the thread until one is answered. Twice is once. NULL allowed.
 */
void fs_inval_stop(struct fs_inval *i);
/** Stop and free. NULL allowed. */
void fs_inval_free(struct fs_inval *i);
/** Attributes of a node: now. */
void fs_inval_attr(struct fs *fs, uint64_t node_id);
/** One name: now. Where the kernel has no epoch it waits for the directory's lock, so nothing of ours may be locked, nor may the kernel's request be about a
 *  name in that directory. */
void fs_inval_entry(struct fs *fs, uint64_t parent, const char *name);
/** Pages of a node (mappings): soon. */
void fs_inval_data(struct fs *fs, uint64_t node_id);

/**
 * Wait until the kernel has forgotten what was queued so far: for requests that change what they do not name (control files). Not for operations in a
 * directory, whose lock the kernel holds until they are answered.
 */
void fs_inval_wait(struct fs *fs);

/** The engine's observer (arg: struct fs): what the kernel may have cached and did not change itself is made invalid. */
void fs_observe(void *arg, uint64_t seq, const struct change *changes, size_t count);

#endif
