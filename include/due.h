/* SPDX-License-Identifier: MIT
 *
 * L0. What is due when: a queue by time that needs no memory of its own, since each thing carries its place in it (a pairing heap: Fredman,
 * Sedgewick, Sleator, Tarjan 1986). Setting is O(1), removing O(log n) on average. Zero-initialised. Not thread-safe.
 */
#ifndef MILESTONEFS_DUE_H
#define MILESTONEFS_DUE_H

#include <stdbool.h>
#include <stdint.h>

/** One thing's place; all but @ns is the queue's own. */
struct due {
	int64_t ns;
	bool queued;
	struct due *child, *next;
	struct due *prev; /**< the sibling before, of the first child the parent, of the first of all NULL */
};

struct due_queue {
	struct due *first;
};

/** Due at @ns from now on, whether it was queued or not. */
void due_set(struct due_queue *q, struct due *d, int64_t ns);
/** Not due any more; nothing when it is not queued. */
void due_remove(struct due_queue *q, struct due *d);

#endif
