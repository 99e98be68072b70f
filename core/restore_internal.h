/* SPDX-License-Identifier: MIT
 *
 * What the files of restoring share; nobody else includes it.
 */
#ifndef MILESTONEFS_RESTORE_INTERNAL_H
#define MILESTONEFS_RESTORE_INTERNAL_H

#define HASH_NONFATAL_OOM 1 /* hh.tbl is NULL after a failed HASH_ADD */
#include <uthash.h>

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

/** What must be remembered of an inode: of few of them. */
struct restore_node {
	uint64_t ino;
	uint64_t copy; /**< the inode that stands for it; 0: none */
	bool compared; /**< one that is met more than once */
	bool touched;  /**< a directory that loses names */
	UT_hash_handle hh;
};

/** The difference between the live view and that of @seq, being turned into a transaction. */
struct restore_diff {
	struct txn *t;
	struct restore_roots roots;
	uint64_t seq;
	int64_t seq_time_ns;
	bool slices; /**< the lock is given up now and then */
	bool moved;  /**< in such a moment something changed that the difference depends on: it is void. Engine lock */
	struct restore_note *notes;
	size_t note_count, note_capacity;
	uint64_t files_restored, files_removed;
	struct change *gone; /**< of newborns that lose their names: for the observer */
	size_t gone_count;
	const struct node **lost; /**< files that lose a name, and who has them open for writing is to be told */
	size_t lost_count, lost_capacity;
	/* its own */
	struct restore_diff *next; /**< on engine.restoring; engine lock */
	unsigned steps;            /**< since the lock was taken */
	const struct dentry **removals;
	size_t removal_count, removal_capacity;
	struct change *late; /* attributes and contents, once all names are right */
	size_t late_count, late_capacity;
	struct restore_node *nodes;
	struct version_extents scratch, scratch_now;
};
/** Add to the transaction all that makes the live view that of @seq. Lock held, with @slices given up meanwhile, but what is returned is true when it
 *  returns; the tree is only read. 0, -EAGAIN (moved) or -ENOMEM (both sticky in @d->t). The order is one tree_apply() accepts. Names of newborns go with the
 *  transaction (txn.newborns). */
int restore_diff_make(struct restore_diff *d);
/** After a step of the work, counted as @steps: gives the lock up for a moment when it was held long enough. False: an error, or it has moved. */
bool restore_go_on(struct restore_diff *d, unsigned steps);
void restore_diff_release(struct restore_diff *d);

/* ---- restore_identity.c; lock held ---- */

/** Is the directory the session's in the view @seq: one of the roots, or below one? */
bool restore_is_inside(const struct restore_diff *x, const struct node *dir, uint64_t seq);
/** Does the difference depend on names in the directory @parent (0: none) or on the inode @ino? Asked before the change. */
bool restore_concerns(const struct restore_diff *x, uint64_t parent, uint64_t ino);
/** Names of the inode in the session in the old view; and whether it has one outside in the live one. */
size_t restore_names_then(const struct restore_diff *x, const struct node *n);
bool restore_is_outside(const struct restore_diff *x, const struct node *n);
/** Is anything of a file to be given back, from @v over @w? And: anything of its content? */
bool restore_differs(struct restore_diff *x, const struct version *v, const struct version *w);
bool restore_is_same(struct restore_diff *x, const struct version *v, const struct version *w);
/** Must a file of the old view come back as another inode? */
bool restore_needs_copy(struct restore_diff *x, const struct node *n);
/** Does the name stay, in directories that are a pair? @then is the entry in the old view, @now that in the live one. */
bool restore_stays(struct restore_diff *x, const struct dentry *then, const struct dentry *now);

/* ---- restore_change.c; lock held, errors are sticky in the transaction ---- */

/** What is remembered of an inode. NULL: no memory. */
struct restore_node *restore_node_of(struct restore_diff *x, const struct node *n);
/** A change to come after all names. Never NULL. */
struct change *restore_late_change(struct restore_diff *x);
/** @now gets mode, owner, times and extended attributes that @n had then; @touched: names in the directory @now come or go. Returns whether more than
 *  times differ. */
bool restore_add_attrs(struct restore_diff *x, const struct node *n, const struct node *now, bool touched);
/** Is the file @now as @n was then, and if not, what is to be changed? Each is looked at once. @ret_type: what a person is told. */
bool restore_compare_file(struct restore_diff *x, const struct node *n, const struct node *now, enum event_type *ret_type);
/** The name of @d in the directory @parent: for an inode that is there; for a new one without content, whose number is returned; for a copy. */
void restore_add_link(struct restore_diff *x, const struct dentry *d, uint64_t parent, uint64_t ino);
uint64_t restore_add_create(struct restore_diff *x, const struct dentry *d, uint64_t parent);
void restore_add_copy(struct restore_diff *x, const struct dentry *d, uint64_t parent);

/* ---- restore_events.c: what the log says of each name ---- */

/** What is known of a version of a file that comes or goes. */
struct restore_fact {
	const struct version *version;
	const struct node *node;
	bool wants_sha, wants_agent, found, have_sha;
	struct sha256 sha;
	struct agent_fields agent; /**< what it says as an agent's file */
	UT_hash_handle hh;
};
struct restore_facts {
	struct restore_fact *all; /**< by version */
	bool hashed;              /**< hashes are asked for once; who is still without one stays so */
};
/** Ask for what the events of the difference tell and is not known. Lock held. 0: nothing is missing; -EAGAIN: to be found; -ENOMEM. */
int restore_facts_ask(struct restore_facts *f, const struct restore_diff *d);
/** Find all that was asked for, hashes only as far as that is cheap. No lock held. 0 or -ENOMEM. */
int restore_facts_find(struct restore_facts *f, struct engine *e);
/** Once it is staged: hashes of what came back are those of the newest versions. Lock held. */
void restore_facts_keep(const struct restore_facts *f, const struct restore_diff *d);
void restore_facts_release(struct restore_facts *f);
/** The events of the difference's notes, if they are not too many, and those of agents. Lock held; errors are sticky in the transaction. */
void restore_events_add(struct restore_facts *f, const struct restore_diff *d, const char *session);

/* ---- restore_runs.c, restore_check.c ---- */

/** Do both versions of files show the same bytes of the store? Lock held. 1, 0, -ENOMEM. */
int restore_same_content(const struct version *v, const struct version *w, struct version_extents *scratch_v, struct version_extents *scratch_w);
/** Are the views of @before and @after equal below the roots, and can be read what the transaction @after gave back? Takes the lock by slices.
 *  @ret_unreadable: files that cannot be read. 0; -EIO with reason; -ENOMEM. */
int restore_check(struct engine *e, const struct restore_roots *roots, uint64_t before, uint64_t after, uint64_t *ret_unreadable, struct reason *reason);

#endif
