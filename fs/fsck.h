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
	const char *name;    /**< of the store, before each finding */
	uint64_t errors;     /**< findings that no repair brings back */
	uint64_t torn_bytes; /**< an unfinished write at the end; no error */
	uint64_t bad_indexes; /**< index snapshots that are no good: can be dropped */
	uint64_t transactions, events, files, bytes;
	bool damaged_journal; /**< chains and names may then not fit */
};

/** One finding, printf-like, without newline. Counts as an error. */
void fsck_found(struct fsck *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Frames, records, event chains, content blocks. 0, or -errno with @reason when it could not be done. */
int fsck_journal(struct fsck *f, struct env *env, struct reason *reason);
/** The tree that a full replay gives: names, links, every live byte; and whether index snapshots agree. */
int fsck_tree(struct fsck *f, struct env *env, struct reason *reason);
/** Cut the torn tail, drop index snapshots that are no good. 0 or -errno with @reason (-EWOULDBLOCK: in use). */
int fsck_repair(struct fsck *f, struct env *env, struct reason *reason);

#endif
