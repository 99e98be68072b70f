/* SPDX-License-Identifier: MIT
 *
 * The end of locks: what FLUSH and RELEASE let go. Everything else is between the kernel and op_lock.c.
 */
#ifndef MILESTONEFS_OP_LOCK_H
#define MILESTONEFS_OP_LOCK_H

#include "fs.h"

struct handle;

/** NULL: out of memory. */
struct fs_locks *fs_locks_new(void);
/** Nobody may be waiting any more. NULL allowed. */
void fs_locks_free(struct fs_locks *l);

/** A process closed a descriptor: its POSIX locks of the file go. */
void fs_locks_drop_owner(struct fs *fs, uint64_t ino, uint64_t owner);
/** The handle is released: its flock (of @flock_owner, 0 none), and POSIX locks obtained through it that no FLUSH dropped. */
void fs_locks_drop_handle(struct fs *fs, uint64_t ino, struct handle *h, uint64_t flock_owner);

#endif
