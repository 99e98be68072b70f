/* SPDX-License-Identifier: MIT
 *
 * Where a project's mount point and store are, and what state they are in: shared by all commands.
 */
#ifndef MILESTONEFS_PROJECT_H
#define MILESTONEFS_PROJECT_H

#include <stdbool.h>
#include <sys/types.h>

#include "engine.h"

#define MILESTONES_DIR ".milestones"

struct project {
	char *path;       /**< absolute, without symbolic links */
	char *mount_path; /**< path/.milestones */
	char *word;       /**< path and */
	char *mount_word; /**< mount_path as words of a shell, for commands that are suggested */
};

enum mount_state {
	MOUNT_NONE,   /**< nothing of ours */
	MOUNT_ALIVE,  /**< a milestonefs serves there */
	MOUNT_DEAD,   /**< its daemon died; ENOTCONN */
	MOUNT_SILENT, /**< its daemon does not answer: whoever touches the mount waits for it */
};

/**
 * Find the project that @argument names: the project's directory, or its .milestones. -ENOENT, -ENOTDIR, -EACCES …
 * with @reason. Looks at nothing inside .milestones.
 */
int project_find(const char *argument, struct reason *reason, struct project *ret);
void project_release(struct project *p);
/** Is @argument a path of some .milestones, which may be a mount that is better not touched? */
bool project_names_mount(const char *argument);

/** Waits for an answer of the mount's daemon MOUNT_ANSWER_MS at most. */
enum mount_state project_mount_state(const struct project *p);
/** What is to be said about a silent mount, and what to do: fills @reason and returns -EBUSY. */
int project_silent(const struct project *p, const char *rule, struct reason *reason);
/** Take a dead mount away. 0 or -errno with @reason. */
int project_clear_dead(const struct project *p, struct reason *reason);
/** Unmount: as root by umount2(2), else by fusermount3. @lazy: even if busy. 0, -EBUSY, -EPERM (another user's) … with @reason. */
int project_unmount(const struct project *p, bool lazy, struct reason *reason);

/** The daemon that serves the mount; 0: this user cannot see it. Does not touch the mount. */
pid_t project_daemon_pid(const struct project *p);
/** The same for a sentence: " (daemon N)", or nothing. Returns @out. */
#define PROJECT_DAEMON_BYTES 40
const char *project_daemon_text(const struct project *p, char out[PROJECT_DAEMON_BYTES]);
/** The process LOCK names; 0 unknown. */
pid_t store_lock_pid(int dir_fd);
/** Does somebody hold the store's lock? */
bool store_is_locked(int dir_fd);

/**
 * A descriptor of the store's directory for reading: the directory itself, or, while mounted, what lies under the mount, through the
 * daemon's /proc. Nothing is asked of the daemon when it can be seen. -ENOENT no store, -EACCES … with @reason.
 */
int project_open_store(const struct project *p, struct reason *reason);

/** An engine that only reads, on such a descriptor. */
struct store_reader {
	int dir_fd;
	struct env *env;
	struct engine *engine;
};
int store_reader_open(const struct project *p, const struct engine_options *options, struct reason *reason, struct store_reader *ret);
void store_reader_close(struct store_reader *r);

#endif
