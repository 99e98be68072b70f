/* SPDX-License-Identifier: MIT
 *
 * The store of a mount: its directory, opened before anything is mounted over it, and the engine on it.
 */
#ifndef MILESTONEFS_MOUNT_STORE_H
#define MILESTONEFS_MOUNT_STORE_H

#include "options.h"
#include "project.h"

struct mount_store; /* mount_store.c */

/** Make the directory when missing, open it, make it writable to the daemon, open the engine. 0 or -errno with @reason. */
int mount_store_open(const struct project *p, const struct mount_options *o, struct reason *reason, struct mount_store **ret);
struct engine *mount_store_engine(struct mount_store *s);
/** Its directory (borrowed). */
int mount_store_dir(struct mount_store *s);
/** For fusermount3, which mounts only where the user may write: until it is said to be over the directory is writable, of a store opened read-only, too. */
void mount_store_mounting(struct mount_store *s, bool begins);
/** Close the engine, leave the directory as nobody should write to it, give up the lock. Returns what engine_close() returned. NULL allowed. */
int mount_store_close(struct mount_store *s);

#endif
