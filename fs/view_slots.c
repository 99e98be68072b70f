/* SPDX-License-Identifier: MIT
 *
 * A list of views (a slot is an index) and an open-addressing hash from view to its newest slot, at most half full.
 * Thread-safe; one mutex.
 */
#include "view_slots.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "util.h"

enum { SLOTS_MAX = 1 << 22 };

struct slot {
	struct view view;
	bool over; /* a fresh one is to be taken */
};

struct view_slots {
	pthread_mutex_t lock;
	struct slot *slots;
	size_t count, capacity;
	uint32_t *table;   /* slot + 1; 0 free */
	size_t table_size; /* a power of two */
};

struct view_slots *view_slots_new(void)
{
	struct view_slots *v = calloc(1, sizeof(*v));

	if (v)
		pthread_mutex_init(&v->lock, NULL);
	return v;
}

void view_slots_free(struct view_slots *v)
{
	if (!v)
		return;
	pthread_mutex_destroy(&v->lock);
	free(v->slots);
	free(v->table);
	free(v);
}

static bool same_view(const struct view *a, const struct view *b)
{
	return a->seq == b->seq && a->root_ino == b->root_ino && a->above_ino == b->above_ino;
}

/* Where @view is, or the free place for it. The table has one. */
static uint32_t *table_find(const struct view_slots *v, const struct view *view)
{
	uint64_t key = view->seq ^ view->root_ino << 24 ^ view->above_ino << 44;
	size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32);

	for (;; i++) {
		uint32_t *slot = &v->table[i & (v->table_size - 1)];

		if (!*slot || same_view(&v->slots[*slot - 1].view, view))
			return slot;
	}
}

static int table_grow(struct view_slots *v)
{
	size_t size = v->table_size ? v->table_size * 2 : 64;
	uint32_t *table = calloc(size, sizeof(*table));

	if (!table)
		return -ENOMEM;
	free(v->table);
	v->table = table;
	v->table_size = size;
	for (size_t i = 0; i < v->count; i++)
		*table_find(v, &v->slots[i].view) = (uint32_t)i + 1; /* of several the newest */
	return 0;
}

static int take(struct view_slots *v, const struct view *view, uint32_t *ret_slot)
{
	uint32_t *slot;
	int r;

	if (v->table_size <= 2 * v->count) {
		r = table_grow(v);
		if (r < 0)
			return r;
	}
	slot = table_find(v, view);
	if (!*slot || v->slots[*slot - 1].over) {
		if (v->count == SLOTS_MAX)
			return -ENFILE;
		r = array_reserve(&v->slots, &v->capacity, v->count + 1, sizeof(*v->slots));
		if (r < 0)
			return r;
		v->slots[v->count++] = (struct slot){.view = *view};
		*slot = (uint32_t)v->count;
	}
	*ret_slot = *slot - 1;
	return 0;
}

int view_slots_take(struct view_slots *v, const struct view *view, uint32_t *ret_slot)
{
	int r;

	pthread_mutex_lock(&v->lock);
	r = take(v, view, ret_slot);
	pthread_mutex_unlock(&v->lock);
	return r;
}

bool view_slots_get(struct view_slots *v, uint32_t slot, struct view *ret)
{
	bool found;

	pthread_mutex_lock(&v->lock);
	found = slot < v->count;
	if (found)
		*ret = v->slots[slot].view;
	pthread_mutex_unlock(&v->lock);
	return found;
}

void view_slots_renew(struct view_slots *v, uint32_t slot)
{
	pthread_mutex_lock(&v->lock);
	if (slot < v->count)
		v->slots[slot].over = true;
	pthread_mutex_unlock(&v->lock);
}
