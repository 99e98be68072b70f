/* SPDX-License-Identifier: MIT
 *
 * Entries that one process has removed but that stay: virtual ones below a session, directories of a session's skeleton, what a checkpoint
 * holds. `rm -r` removes all it sees before it removes the session or checkpoint itself; those removals succeed and hide the entry from the
 * process that asked, and nobody else. Nothing is changed by them.
 *
 * An entry stays hidden while its process goes on hiding things, and HIDDEN_S after that. The table is bounded: when
 * it is full the entry nearest to its end shows again. A process is its pid and start time, so a reused pid is another one.
 *
 * All functions are thread-safe; the lock inside is a leaf. Times are monotonic nanoseconds.
 */
#ifndef MILESTONEFS_HIDDEN_H
#define MILESTONEFS_HIDDEN_H

#include <stdbool.h>
#include <stdint.h>

#define HIDDEN_S 10
#define HIDDEN_MAX 256
/** Instead of a name: all that the views in a directory show. A view may hold any number of files; they are not hidden one by one. */
#define HIDDEN_VIEWS "/"

struct hidden;

struct hidden_process {
	uint32_t tgid;       /**< 0: unknown; nothing is hidden from it */
	uint64_t start_time; /**< as in /proc/PID/stat; 0 where that can't be read */
};

/** NULL: out of memory. */
struct hidden *hidden_new(void);
void hidden_free(struct hidden *h);

/** Is anything hidden from anybody? No lock, for the fast path. */
bool hidden_any(struct hidden *h);
/** Is anything of directory @parent (a node id) hidden from anybody, @name only if not NULL? */
bool hidden_in(struct hidden *h, uint64_t parent, const char *name, int64_t now_ns);
bool hidden_from(struct hidden *h, const struct hidden_process *p, uint64_t parent, const char *name, int64_t now_ns);

/** Hide entry @name of @parent from @p. 0 or -ENOMEM. */
int hidden_add(struct hidden *h, const struct hidden_process *p, uint64_t parent, const char *name, int64_t now_ns);
/** Show it again. False: it was not hidden from @p. */
bool hidden_remove(struct hidden *h, const struct hidden_process *p, uint64_t parent, const char *name, int64_t now_ns);

/*
 * After a successful rmdir the kernel takes the directory's inode for dead for ever. While somebody still holds that, a new lookup must lead
 * to another one, or the directory would be dead for all: the kernel tells them apart by the entry's generation.
 */

/** Directory @node_id, a part of the session whose directory is @session (0: for ever), gets a new generation. 0 or -ENOMEM. */
int hidden_renew(struct hidden *h, uint64_t node_id, uint64_t session);
/** 0 for what was never renewed. Costs one load while nothing ever was. */
uint64_t hidden_generation(struct hidden *h, uint64_t node_id);
/** Directory @node_id itself is gone, and with it its entries, and its parts if it was a session: forget them. */
void hidden_forget(struct hidden *h, uint64_t node_id);

#endif
