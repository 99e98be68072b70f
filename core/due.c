/* SPDX-License-Identifier: MIT
 *
 * A pairing heap: a tree of any shape in which no child is due before its parent. Removing one merges its children in pairs.
 */
#include "due.h"

#include <stddef.h>

/* Both are alone: neither has siblings. NULL allowed. */
static struct due *merge(struct due *a, struct due *b)
{
	struct due *later = a;

	if (!a || !b)
		return a ? a : b;
	if (b->ns < a->ns)
		a = b;
	else
		later = b;
	later->prev = a;
	later->next = a->child;
	if (later->next)
		later->next->prev = later;
	a->child = later;
	return a;
}

static struct due *take_alone(struct due **list)
{
	struct due *d = *list;

	if (d) {
		*list = d->next;
		d->next = d->prev = NULL;
	}
	return d;
}

static struct due *merge_children(struct due *list)
{
	struct due *pairs = NULL, *all = NULL;

	while (list) {
		struct due *a = take_alone(&list), *b = take_alone(&list), *pair = merge(a, b);

		pair->next = pairs;
		pairs = pair;
	}
	while (pairs)
		all = merge(all, take_alone(&pairs));
	return all;
}

void due_remove(struct due_queue *q, struct due *d)
{
	if (!d->queued)
		return;
	if (d == q->first) {
		q->first = merge_children(d->child);
	} else {
		if (d->prev->child == d)
			d->prev->child = d->next;
		else
			d->prev->next = d->next;
		if (d->next)
			d->next->prev = d->prev;
		q->first = merge(q->first, merge_children(d->child));
	}
	*d = (struct due){.ns = d->ns};
}

void due_set(struct due_queue *q, struct due *d, int64_t ns)
{
	if (d->queued && d->ns == ns)
		return;
	due_remove(q, d);
	d->ns = ns;
	d->queued = true;
	q->first = merge(q->first, d);
}
