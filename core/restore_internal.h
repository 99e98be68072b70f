/* SPDX-License-Identifier: MIT
 *
 * What the files of restoring share; nobody else includes it.
 */
#ifndef MILESTONEFS_RESTORE_INTERNAL_H
#define MILESTONEFS_RESTORE_INTERNAL_H

#include "checkpoint_internal.h"

/** Above so many changed names the log says how many, not which. */
#define RESTORE_EVENTS_MAX 2000

/** The directories of a session that a restore is about, as they are numbered in every view; 0: missing. */
struct restore_roots {
	uint64_t state, agents;
};
/** Does a restore pass by this entry (agents/.sync, agents/.health: what happened, not what was the state)? */
bool restore_skips(const struct restore_roots *roots, const struct dentry *d);

/** Something a person hears of, with the view in which the entry has its path. */
struct restore_note {
	enum event_type type;
	const struct dentry *d;
	uint64_t seq;
	const struct node *old; /**< whose content the name stood for until now; NULL: none */
};

/** The difference between the live view and that of @seq, being turned into a transaction. */
struct restore_diff {
	struct txn *t;
	struct restore_roots roots;
	uint64_t seq;
	int64_t seq_time_ns;
	struct restore_note *notes;
	size_t note_count, note_capacity;
	uint64_t files_restored, files_removed;
	struct change *gone; /**< of newborns that lose their names: for the observer */
	size_t gone_count;
	/* restore_diff.c's own */
	const struct dentry **removals;
	size_t removal_count, removal_capacity;
	struct change *late; /* attributes and contents, once all names are right */
	size_t late_count, late_capacity;
	struct restore_node *nodes;
	struct version_extents scratch, scratch_now;
};
/** Add to the transaction all that makes the live view that of @seq. Lock held; the tree is only read. 0 or -ENOMEM (sticky in @d->t). The order is one tree_apply()
 *  accepts. Names of newborns go with the transaction (txn.newborns). */
int restore_diff_make(struct restore_diff *d);
void restore_diff_release(struct restore_diff *d);

/** Do both versions of files show the same bytes of the store? Lock held. 1, 0, -ENOMEM. */
int restore_same_content(const struct version *v, const struct version *w, struct version_extents *scratch_v, struct version_extents *scratch_w);
/** Are the views of @before and @after equal below the roots, and can be read what the transaction @after gave back? Takes the lock by slices.
 *  @ret_unreadable: files that cannot be read. 0; -EIO with reason; -ENOMEM. */
int restore_check(struct engine *e, const struct restore_roots *roots, uint64_t before, uint64_t after, uint64_t *ret_unreadable, struct reason *reason);

#endif
