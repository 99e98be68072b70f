/* SPDX-License-Identifier: MIT
 *
 * Publishing the draft of a handle, or giving it to rollbacks: the only callers of draft_commit() in fs/.
 * Refusals are logged here, so that a person finds why.
 */
#ifndef MILESTONEFS_PUBLISH_H
#define MILESTONEFS_PUBLISH_H

#include "handle.h"

/**
 * Commit what @h has. Caller holds h->lock; h->draft is set.
 * Returns as draft_commit(); *@ret_seq is written always: wait for it before answering (0: nothing), on -EBADMSG too, as the
 * refused bytes are in that transaction.
 */
int handle_publish(struct fs *fs, struct handle *h, int flags, uint64_t *ret_seq);
/** The writer @tgid was killed: keep its bytes aside. Same locking and @ret_seq. */
int handle_discard(struct fs *fs, struct handle *h, uint32_t tgid, uint64_t *ret_seq);
/** Commit all drafts of the inode that process @tgid writes (it releases a lock). No lock held. */
void handles_publish_of(struct fs *fs, uint64_t ino, uint32_t tgid);
/** Log why an operation on @name was refused; says nothing when the reason is empty. */
void log_refusal(const char *operation, const char *name, const struct request *q, int error);

#endif
