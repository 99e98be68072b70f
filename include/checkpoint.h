/* SPDX-License-Identifier: MIT
 *
 * L8. Checkpoints: a name for a sequence number. checkpoints/NAME/ is a real directory with a real checkpoint.yaml, both made by one
 * transaction; the state/ and agents/ it shows are those of the session as of that very transaction (fs/ makes views of them).
 *
 * Taking one costs the same whatever the session holds. Restoring is the difference of two views, committed as one transaction.
 */
#ifndef MILESTONEFS_CHECKPOINT_H
#define MILESTONEFS_CHECKPOINT_H

#include "registry.h"

/** Names the daemon gives: checkpoint-<unix time>, with -2, -3 … when taken. */
#define CHECKPOINT_AUTOMATIC_PREFIX "checkpoint-"

/**
 * Take one. @name NULL: the daemon names it. @reason NULL: the name, or "manual" when the name begins with checkpoint-. @status NULL, or a status that
 * session.yaml gets in the same transaction (expiry). checkpoint.yaml, session.yaml's last_checkpoint and recovery_points, checkpoint_created: one transaction.
 * A session.yaml that is missing or cannot be edited stays as it is, its status too. What the daemon names belongs to the owner of the session, else to @q's.
 * @ret: the directory; NULL allowed. -EEXIST, -EINVAL (not an id, or "latest"), -ENOENT (no such session), -ESTALE (@status, but it is over already), -EBUSY (it
 * changed again and again meanwhile), -ENOSPC, -EROFS.
 */
int checkpoint_create(
	struct engine *e, struct request *q, const char *session, const char *name, const char *reason, const char *status, struct tree_attr *ret);
/** Did somebody take the checkpoint, and give it such a name as the daemon gives? Its checkpoint.yaml says so; false if it cannot be read. No lock held. */
bool checkpoint_is_manual(struct engine *e, uint64_t dir_ino);
/** rmdir checkpoints/NAME: the directory and its checkpoint.yaml, and session.yaml's recovery_points. One transaction. -ENOENT. */
int checkpoint_remove(struct engine *e, struct request *q, const char *session, const char *name);

/** What a restore did. */
struct restore_result {
	char checkpoint[ACTOR_ID_BYTES];                          /**< which one ("latest" resolved) */
	char pre_recovery[ACTOR_ID_BYTES];                        /**< the checkpoint taken before */
	uint64_t files_restored, files_removed, files_unreadable; /**< unreadable: blocks that are damaged, seen when validating */
};
/**
 * Put state/ and agents/ of @session back to what they were at checkpoint @name ("latest": the newest): first a checkpoint of reason pre_recovery,
 * then one transaction: session_recovered and what differs; then it is validated: the two views must be equal and readable.
 * agents/.sync and agents/.health are history and stay. What is outside is never touched: a file that was moved or linked there comes back as a copy.
 * An error while request.seq is 0: nothing changed but for the checkpoint: -ENOENT (reason lists what there is; no checkpoint either), -EFBIG (more than one transaction can
 * hold), -EBUSY, -ENOSPC, -EROFS. An error with request.seq: restored (@ret is filled), but validation failed: -EIO with reason, or -ENOMEM.
 */
int checkpoint_restore(struct engine *e, struct request *q, const char *session, const char *name, struct restore_result *ret);

/** Branch and commit of the project (engine_options.project), by libgit2; "unknown" where there is none. @branch and @commit: owned by the caller after. 0 or -ENOMEM. */
int git_context_read(const char *project, char **ret_branch, char **ret_commit);

#endif
