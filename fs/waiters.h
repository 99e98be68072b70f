/* SPDX-License-Identifier: MIT
 *
 * Virtual files whose reading waits until something has happened (rows of kind VFILE_WAIT, vfile.h): reads are parked, which holds no thread,
 * and answered by whoever brings it about. They answer poll, signals (EINTR at once), O_NONBLOCK (EAGAIN) and the end of the mount.
 *
 * All functions are thread-safe. Order of locks: the waiters' → the handle's → the engine's.
 */
#ifndef MILESTONEFS_WAITERS_H
#define MILESTONEFS_WAITERS_H

#include "fs.h"

struct handle;
struct waiters;

/** NULL: out of memory. */
struct waiters *waiters_new(void);
void waiters_free(struct waiters *ws);

/** Answer a read of such a file, now or later. @flags: the open file's, as they are now. */
void waiters_read(fuse_req_t req, struct handle *h, size_t size, uint64_t offset, int flags);
/** Answer a poll of it. @ph: to be told when it becomes readable; taken over, NULL allowed. */
void waiters_poll(fuse_req_t req, struct handle *h, struct fuse_pollhandle *ph);
/** Something has happened: who waits for it is answered. No lock may be held. */
void waiters_wake(struct fs *fs);
/** The handle is released: nobody is to be told any more. */
void waiters_forget(struct fs *fs, struct handle *h);
/** The mount ends: everybody is answered with ENOTCONN, and so is who comes later. */
void waiters_stop(struct fs *fs);

#endif
