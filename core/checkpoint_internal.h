/* SPDX-License-Identifier: MIT
 *
 * What the files of checkpoints share; nobody else includes it.
 *
 * checkpoint.yaml is made in two parts, each a block: the head holds what is counted at the very moment the transaction is staged, and
 * costs the same for every session; the rest holds what has to be gathered and is prepared without the engine's lock.
 */
#ifndef MILESTONEFS_CHECKPOINT_INTERNAL_H
#define MILESTONEFS_CHECKPOINT_INTERNAL_H

#include "checkpoint.h"
#include "engine_internal.h"

#define CHECKPOINT_FILE "checkpoint.yaml"
/** The newest one, where a checkpoint is asked for; so none can be called that. */
#define CHECKPOINT_LATEST "latest"
/** The reason of one that somebody took and called checkpoint-something. */
#define CHECKPOINT_MANUAL "manual"
/** Attempts before somebody who prepares against a busy session gives up (-EBUSY). */
#define CHECKPOINT_TRIES 100
/** More than a head ever has, its block's checksum included. */
#define CHECKPOINT_HEAD_BYTES_MAX 4096
/** A reason is cut to so many bytes. */
#define CHECKPOINT_REASON_BYTES_MAX 256

/** `checkpoint` and `state_snapshot`. Borrowed. */
struct checkpoint_head {
	const char *id, *session, *reason;
	int64_t created_ns;
	const struct sha256 *session_file; /**< NULL: there is none */
	uint64_t agent_count, operation_count, event_count;
};
void checkpoint_render_head(const struct checkpoint_head *h, struct buf *out);

/** An agent's file as it was when its checksum was taken. */
struct checkpoint_agent {
	char id[ACTOR_ID_BYTES];
	enum agent_status status;
	const struct node *node;
	const struct version *version;
	struct sha256 sha;
	bool have_sha;
};

/** `context` and `recovery_data`. Borrowed. */
struct checkpoint_rest {
	const char *working_directory; /**< NULL: unknown */
	const char *git_branch, *git_commit;
	const struct draft_info *drafts; /**< of the session */
	size_t draft_count;
	const struct checkpoint_agent *agents;
	size_t agent_count;
};
void checkpoint_render_rest(const struct checkpoint_rest *r, struct buf *out);

/** A new checkpoint as a part of a transaction: where, whose, and its text. */
struct checkpoint_new {
	uint64_t parent; /**< the session's checkpoints directory */
	uint32_t mode;   /**< of its directory, with the type; checkpoint.yaml has its read and write bits */
	uint32_t uid, gid;
	struct checkpoint_head head;
	struct extent rest; /**< block of the rest, in the transaction's blocks */
	const char *path;   /**< of the checkpoint, for the event; outlives the transaction */
};
/** Add the directory, checkpoint.yaml and checkpoint_created. Lock held; the room for the head was reserved. Returns the directory's inode number. */
uint64_t checkpoint_add(struct txn *t, const struct checkpoint_new *n);
/** checkpoint_create(), telling the name it got. */
int checkpoint_take(struct engine *e, struct request *q, const char *session, const char *name, const char *reason, const char *status,
	char ret_id[ACTOR_ID_BYTES], struct tree_attr *ret);
/** Add what removes a checkpoint's directory @d and its files. Lock held. 0; -ENOTEMPTY: something foreign is in it. */
int checkpoint_add_removal(struct txn *t, const struct dentry *d);

/** session.yaml's own values once @added (NULL: none) is the newest checkpoint and @removed (NULL: none) is gone. Lock held. 0 or -ENOMEM. */
int checkpoint_owned_fill(struct engine *e, const struct session *s, const char *added, const char *removed, int64_t now_ns, struct session_owned_text *ret);
/** Prepare the edit of session.yaml that the above asks for; @status NULL: stays. @ret_sha: the file as it will be. 0 with *@ret_edits false when there is no such
 *  file or it cannot be edited (then @ret_sha is the file as it is, where *@ret_have_sha); -ENOENT: no such session; -ENOMEM. No lock held. */
struct session_edit {
	uint64_t ino; /**< of session.yaml, 0: there was none */
	bool edits, have_sha;
	struct file_edit edit;
	struct sha256 sha;
};
int session_edit_prepare(struct engine *e, const char *session, const char *added, const char *removed, const char *status, struct record_blocks *blocks,
	struct session_edit *ret);
/** Lock held. 0, -EAGAIN when the file has moved on, -ENOENT when the session has. */
int session_edit_add(const struct session_edit *s, const char *session, struct txn *t);

#endif
