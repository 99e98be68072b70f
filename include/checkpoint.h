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
 * -EEXIST, -EINVAL (not an id), -ENOENT (no such session), -ESTALE (@status, but it is over already), -ENOSPC, -EROFS.
 */
int checkpoint_create(struct engine *e, struct request *q, const char *session, const char *name, const char *reason, const char *status,
		      struct tree_attr *ret);
/** rmdir checkpoints/NAME: the directory and its checkpoint.yaml, and session.yaml's recovery_points. One transaction. -ENOENT. */
int checkpoint_remove(struct engine *e, struct request *q, const char *session, const char *name);

/** What a restore did. */
struct restore_result {
	char checkpoint[ACTOR_ID_BYTES]; /**< which one ("latest" resolved) */
	char pre_recovery[ACTOR_ID_BYTES]; /**< the checkpoint taken before */
	uint64_t files_restored, files_removed, files_unreadable; /**< unreadable: blocks that are damaged, seen when validating */
};
/**
 * Put state/ and agents/ of @session back to what they were at checkpoint @name ("latest": the newest): first a checkpoint of reason pre_recovery,
 * then one transaction: session_recovered and what differs; then it is validated: the two views must be equal and readable.
 * -ENOENT with reason, nothing changed; -EFBIG: more than one transaction can hold; -EIO: validation failed (reason).
 */
int checkpoint_restore(struct engine *e, struct request *q, const char *session, const char *name, struct restore_result *ret);

/** Branch and commit of the project (engine_options.project), by libgit2; "unknown" where there is none. @branch and @commit: owned by the caller after. 0 or -ENOMEM. */
int git_context_read(const char *project, char **ret_branch, char **ret_commit);

#endif
