/* SPDX-License-Identifier: MIT
 *
 * Private to core/draft_*.c; draft.lock is held in all of them.
 */
#ifndef MILESTONEFS_DRAFT_INTERNAL_H
#define MILESTONEFS_DRAFT_INTERNAL_H

#include "engine_internal.h"

/* ---- draft_read.c ---- */
/** The newest version of the draft's inode. Takes the engine's lock. */
const struct version *draft_newest(struct draft *d);
/** draft_size(). */
uint64_t draft_size_locked(struct draft *d);

/* ---- draft_rules.c ---- */
/** Of all names of a file. */
enum rule_kind draft_strictest_rule(const struct rule_options *ro, char *const *paths, size_t count);
/** plan->text becomes the whole file as it would be. 0, -EIO, -ENOMEM. */
int draft_text_whole(struct draft *d, struct draft_plan *p);
/** Show the plan to its rule: fills text, reason, refuse and malformed, and for a stream of lines shortens what it publishes. 0; -EAGAIN: a stream that is
 *  not valid yet; -EIO, -ENOMEM. */
int draft_plan_rules(struct draft *d, const struct rule_options *ro, char *const *paths, size_t count, int flags, struct draft_plan *p);

#endif
