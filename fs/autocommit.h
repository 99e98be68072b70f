/* SPDX-License-Identifier: MIT
 *
 * Publishing what is written through handles kept open for long: every autocommit_ms after a first unpublished write.
 *
 * Which handles (handle.streams):
 *   O_APPEND and shared drafts of free-form files; truncating handles on a file that was empty at open, or that
 *   matches the `stream` globs, if it is free-form. JSON lines likewise, by whole valid lines.
 *   Never files that must be valid as a whole: those are published at close or fsync.
 *
 * One thread, which sleeps until something is due and for ever when nothing is.
 */
#ifndef MILESTONEFS_AUTOCOMMIT_H
#define MILESTONEFS_AUTOCOMMIT_H

#include "fs.h"

struct autocommit;
struct handle;

/** Start the thread. Set fs->autocommit to the result. 0 or -errno. */
int autocommit_start(struct fs *fs, struct autocommit **ret);
/** Stop and free it; what is not published yet stays with its handle. NULL allowed. */
void autocommit_stop(struct autocommit *a);
/** Something was written through a handle that streams. Costs one load when it is already known to be due. */
void autocommit_arm(struct fs *fs, struct handle *h);
/** The settings may have changed: what waits is due by the new interval. Costs two loads when it is the old one. */
void autocommit_settings(struct autocommit *a);
/** Publish what is due at @now_ns (monotonic). Returns when the next one is due, INT64_MAX when nothing waits. */
int64_t handles_autocommit(struct fs *fs, int64_t now_ns);

#endif
