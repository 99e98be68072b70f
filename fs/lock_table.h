/* SPDX-License-Identifier: MIT
 *
 * Advisory locks of files: POSIX byte ranges (splitting and merging, owner = the process's table of open files) and flock (owner = the open
 * file). The two kinds never conflict with each other. Data structure only: no threads, no waiting.
 */
#ifndef MILESTONEFS_LOCK_TABLE_H
#define MILESTONEFS_LOCK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct lock {
	struct lock *next;
	uint64_t owner;
	uint64_t start, end; /**< inclusive; flock: 0..UINT64_MAX */
	const void *handle;  /**< through which it was obtained */
	uint32_t pid;        /**< for F_GETLK */
	short type;          /**< F_RDLCK, F_WRLCK; in requests F_UNLCK too */
	bool flock;
};

#define LOCK_BUCKETS 256

struct lock_file {
	struct lock_file *next;
	uint64_t ino;
	struct lock *first;
};

/** All zeros is an empty one. */
struct lock_table {
	struct lock_file *buckets[LOCK_BUCKETS];
};

/** The first lock that keeps @want from being obtained, or NULL. */
const struct lock *lock_conflict(const struct lock_table *t, uint64_t ino, const struct lock *want);
/** The next one after @after (NULL: the first). */
const struct lock *lock_conflict_next(const struct lock_table *t, uint64_t ino, const struct lock *want, const struct lock *after);
/** Obtain or (F_UNLCK) release; conflicts are the caller's. 0 or -ENOMEM with nothing changed. */
int lock_set(struct lock_table *t, uint64_t ino, const struct lock *want);
/** Has the owner any lock of this kind on the file? */
bool lock_held(const struct lock_table *t, uint64_t ino, uint64_t owner, bool flock);
/** Remove the locks for which @match says so. True when there was one. */
bool lock_drop(struct lock_table *t, uint64_t ino, bool (*match)(const struct lock *l, const void *arg), const void *arg);
void lock_table_release(struct lock_table *t);

#endif
