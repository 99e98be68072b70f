/* SPDX-License-Identifier: MIT
 *
 * Lists of locks by file. Invariant: the POSIX ranges of one owner on a file do not overlap, and neighbours of
 * the same type are one.
 */
#include "lock_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "util.h"

static struct lock_file **file_place(struct lock_table *t, uint64_t ino)
{
	struct lock_file **at = &t->buckets[ino * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (LOCK_BUCKETS - 1)];

	while (*at && (*at)->ino != ino)
		at = &(*at)->next;
	return at;
}

static const struct lock *file_first(const struct lock_table *t, uint64_t ino)
{
	const struct lock_file *f = *file_place((struct lock_table *)t, ino);

	return f ? f->first : NULL;
}

static bool conflicts(const struct lock *held, const struct lock *want)
{
	return held->flock == want->flock && held->owner != want->owner && held->start <= want->end && want->start <= held->end &&
	       (held->type == F_WRLCK || want->type == F_WRLCK);
}

const struct lock *lock_conflict_next(const struct lock_table *t, uint64_t ino, const struct lock *want, const struct lock *after)
{
	for (const struct lock *l = after ? after->next : file_first(t, ino); l; l = l->next)
		if (conflicts(l, want))
			return l;
	return NULL;
}

const struct lock *lock_conflict(const struct lock_table *t, uint64_t ino, const struct lock *want)
{
	return lock_conflict_next(t, ino, want, NULL);
}

bool lock_held(const struct lock_table *t, uint64_t ino, uint64_t owner, bool flock)
{
	for (const struct lock *l = file_first(t, ino); l; l = l->next)
		if (l->owner == owner && l->flock == flock)
			return true;
	return false;
}

static void file_free_if_empty(struct lock_table *t, uint64_t ino)
{
	struct lock_file **at = file_place(t, ino), *f = *at;

	if (f && !f->first) {
		*at = f->next;
		free(f);
	}
}

/* Take [start, end] of @new's owner out of @f; widen @new over neighbours of its type. @spare is used up by a split. */
static void range_clear(struct lock_file *f, struct lock *new, struct lock **spare)
{
	struct lock **at = &f->first;

	while (*at) {
		struct lock *l = *at;

		if (l->owner != new->owner || l->flock != new->flock) {
			at = &l->next;
			continue;
		}
		if (l->type == new->type && (l->start == 0 || l->start - 1 <= new->end) && (new->start == 0 || new->start - 1 <= l->end)) {
			new->start = MIN(new->start, l->start);
			new->end = MAX(new->end, l->end);
		} else if (l->end < new->start || l->start > new->end) {
			at = &l->next;
			continue;
		} else if (l->start < new->start) {
			if (l->end > new->end) { /* in the middle: two are left */
				**spare = *l;
				(*spare)->start = new->end + 1;
				l->next = *spare;
				*spare = NULL;
			}
			l->end = new->start - 1;
			at = &l->next;
			continue;
		} else if (l->end > new->end) {
			l->start = new->end + 1;
			at = &l->next;
			continue;
		}
		*at = l->next;
		free(l);
	}
}

int lock_set(struct lock_table *t, uint64_t ino, const struct lock *want)
{
	struct lock_file **at = file_place(t, ino), *f = *at;
	struct lock *new = malloc(sizeof(*new)), *spare = malloc(sizeof(*spare));

	if (new &&spare && !f && want->type != F_UNLCK) {
		f = calloc(1, sizeof(*f));
		if (f) {
			f->ino = ino;
			*at = f;
		}
	}
	if (!new || !spare || (!f && want->type != F_UNLCK)) {
		free(new);
		free(spare);
		return -ENOMEM;
	}
	*new = *want;
	if (f)
		range_clear(f, new, &spare);
	free(spare);
	if (want->type == F_UNLCK) {
		free(new);
	} else {
		new->next = f->first;
		f->first = new;
	}
	file_free_if_empty(t, ino);
	return 0;
}

bool lock_drop(struct lock_table *t, uint64_t ino, bool (*match)(const struct lock *l, const void *arg), const void *arg)
{
	struct lock_file *f = *file_place(t, ino);
	struct lock *none = NULL, **at = f ? &f->first : &none;
	bool dropped = false;

	while (*at) {
		struct lock *l = *at;

		if (!match(l, arg)) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		free(l);
		dropped = true;
	}
	file_free_if_empty(t, ino);
	return dropped;
}

void lock_table_release(struct lock_table *t)
{
	for (size_t i = 0; i < LOCK_BUCKETS; i++) {
		while (t->buckets[i]) {
			struct lock_file *f = t->buckets[i];

			t->buckets[i] = f->next;
			while (f->first) {
				struct lock *l = f->first;

				f->first = l->next;
				free(l);
			}
			free(f);
		}
	}
}
