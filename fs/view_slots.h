/* SPDX-License-Identifier: MIT
 *
 * Views that are looked at: each has a slot, which is part of its node numbers (node_id.h), so that two versions of a file never look like the
 * same file, nor does one file seen in two places. A slot is never given to another view while mounted.
 */
#ifndef MILESTONEFS_VIEW_SLOTS_H
#define MILESTONEFS_VIEW_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct view_slots;

/** What is shown where. */
struct view {
	uint64_t seq;       /**< the tree as it was after this transaction */
	uint64_t root_ino;  /**< its directory that is the view's root */
	uint64_t above_ino; /**< live directory the root is shown in: a checkpoint's; 0: a view nobody can remove */
};

/** NULL: out of memory. */
struct view_slots *view_slots_new(void);
void view_slots_free(struct view_slots *v);
/** The slot of @view, taken now if it has none. 0, -ENOMEM, or -ENFILE after four million different views. */
int view_slots_take(struct view_slots *v, const struct view *view, uint32_t *ret_slot);
/** False for a slot never taken. */
bool view_slots_get(struct view_slots *v, uint32_t slot, struct view *ret);
/**
 * From now on its view is shown in a fresh slot, with other node numbers; nodes of the old one stay readable. For directories of it that the kernel
 * takes for removed, however many: who looks from the view's root on comes to none of them.
 */
void view_slots_renew(struct view_slots *v, uint32_t slot);

#endif
