/* SPDX-License-Identifier: MIT
 *
 * Checking a store at rest: every frame, event, block and name.
 */
#ifndef MILESTONEFS_FSCK_H
#define MILESTONEFS_FSCK_H

#include <stdio.h>

#include "engine.h"

/** What a check found, and where it says so. Zero but for `out`. */
struct fsck {
	FILE *out;
	const char *name;     /**< of the store, before each finding */
	uint64_t errors;      /**< findings that no repair brings back */
	uint64_t torn_bytes;  /**< an unfinished write at the end; no error */
	uint64_t bad_indexes; /**< index snapshots that are no good: can be dropped */
	uint64_t bad_headers; /**< of segments: can be made anew */
	bool bad_format;      /**< FORMAT is missing or damaged; store_id is what it should say */
	uint8_t store_id[16];
	uint64_t index_seq;           /**< of the newest index snapshot, by its name; 0 none */
	uint64_t snapshot_seq;        /**< the same if it is whole, else 0: all up to it were durable */
	bool index_leads_on;          /**< the journal goes on where it ends */
	struct tree_stats index_tree; /**< what it gives, when it leads on */
	uint64_t transactions, events, files, bytes;
	bool damaged_journal; /**< history is missing: chains and names may then not fit */
};

/** One finding, printf-like, without newline. Counts as an error. */
void fsck_found(struct fsck *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** FORMAT, before anything else can be read: fills bad_format. -errno with @reason when it cannot be made anew, too. */
int fsck_format(struct fsck *f, struct env *env, struct reason *reason);
/** What the newest index snapshot says, as a mount would use it; the other checks need it. 0 or -errno with @reason. */
int fsck_index(struct fsck *f, struct env *env, struct reason *reason);
/** Frames, records, event chains, content blocks. 0, or -errno with @reason when it could not be done. */
int fsck_journal(struct fsck *f, struct env *env, struct reason *reason);
/** The tree that a full replay gives: names, links, every live byte; and whether the index snapshot agrees. */
int fsck_tree(struct fsck *f, struct env *env, struct reason *reason);
/** Cut the torn tail, make headers anew, drop index snapshots that are no good. 0 or -errno with @reason (-EWOULDBLOCK: in use). */
int fsck_repair(struct fsck *f, struct env *env, struct reason *reason);

#endif
