/* SPDX-License-Identifier: MIT
 *
 * Views that are looked at: each sequence number in use has a slot, which is part of its node numbers (node_id.h), so
 * that two versions of a file never look like the same file. A slot is never given to another number while mounted.
 */
#ifndef MILESTONEFS_VIEW_SLOTS_H
#define MILESTONEFS_VIEW_SLOTS_H

#include <stdint.h>

struct view_slots;

/** NULL: out of memory. */
struct view_slots *view_slots_new(void);
void view_slots_free(struct view_slots *v);
/** The slot of @seq, taken now if it has none. 0, -ENOMEM, or -ENFILE after four million different views. */
int view_slots_take(struct view_slots *v, uint64_t seq, uint32_t *ret_slot);
/** The sequence number of a slot; 0 for one never taken. */
uint64_t view_slots_seq(struct view_slots *v, uint32_t slot);

#endif
