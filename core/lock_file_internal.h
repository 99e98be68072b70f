/* SPDX-License-Identifier: MIT
 *
 * What the files of lock files share; nobody else includes it.
 *
 *   lock_file.c         the lock files in memory: found at start, looked at when they change, whose they are
 *   lock_file_upkeep.c  releasing them, and telling about them
 */
#ifndef MILESTONEFS_LOCK_FILE_INTERNAL_H
#define MILESTONEFS_LOCK_FILE_INTERNAL_H

#include "engine_internal.h"
#include "lock_file.h"

enum release_why { RELEASE_NOT, RELEASE_PROCESS_ENDED, RELEASE_AGENT_DEAD, RELEASE_CREATOR_DIED };

struct lock_file {
	struct lock_file *next;                /**< of its bucket */
	struct lock_file *pid_next, *pid_prev; /**< those with the same bucket of `pid`; lock_file_set_pid() */
	struct lock_file *due_next, *due_prev; /**< on lock_files.due; lock_file_set_due() */
	uint64_t ino;
	uint64_t token;                /**< 0: nothing but `shared` is known yet */
	const struct version *version; /**< whose content was looked at */
	uint32_t pid;                  /**< in its content; 0: none that counts */
	char named[ACTOR_ID_BYTES];    /**< in its content: perhaps an agent's id */
	struct actor creator;
	int64_t taken_ns;
	bool shared;                    /**< locked by flock or fcntl */
	enum release_why due;           /**< on lock_files.due unless RELEASE_NOT */
	char due_agent[ACTOR_ID_BYTES]; /**< RELEASE_AGENT_DEAD */
};

#define LOCK_FILE_BUCKETS 4096

/** Under the engine's lock. */
struct lock_files {
	struct lock_file *buckets[LOCK_FILE_BUCKETS]; /**< by ino */
	struct lock_file *pids[LOCK_FILE_BUCKETS];    /**< those with a pid, by it */
	struct lock_file *due;                        /**< first come, first released; shared ones are passed over */
	size_t count, sweep_at;                       /**< so many of them: look which are still there */
	bool pids_changed;                            /**< since lock_files_pids_changed() was asked */
	bool (*alive)(uint32_t pid);                  /**< set before anything changes */
	int64_t retry_ns;                             /**< monotonic, upkeep's own: nothing is released before */
};

/** The newest name of a regular file in state/.locks, newborn or not; NULL: it is no lock file. Lock held. */
const struct dentry *lock_file_name(struct engine *e, const struct node *n);
/** The process it belongs to (0: none), and why it is to be released. Lock held. */
void lock_file_set_pid(struct engine *e, struct lock_file *l, uint32_t pid);
void lock_file_set_due(struct engine *e, struct lock_file *l, enum release_why due);
/** Forget it. Lock held. */
void lock_file_drop(struct engine *e, uint64_t ino);
/** The agent it belongs to, if it belongs to one. @ret_session: that agent's, else its creator's (NULL: whichever has one of that id). Lock held. */
const char *lock_file_agent(struct engine *e, const struct lock_file *l, const char **ret_session);

#endif
