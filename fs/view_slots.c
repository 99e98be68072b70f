/* SPDX-License-Identifier: MIT
 *
 * A list of sequence numbers (a slot is an index) and an open-addressing hash from number to slot, at most half full.
 * Thread-safe; one mutex.
 */
#include "view_slots.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "util.h"

enum { SLOTS_MAX = 1 << 22 };

struct view_slots {
	pthread_mutex_t lock;
	uint64_t *seqs;
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
	free(v->seqs);
	free(v->table);
	free(v);
}

/* Where @seq is, or the free place for it. The table has one. */
static uint32_t *table_find(const struct view_slots *v, uint64_t seq)
{
	size_t i = (size_t)(seq * UINT64_C(0x9e3779b97f4a7c15) >> 32);

	for (;; i++) {
		uint32_t *slot = &v->table[i & (v->table_size - 1)];

		if (!*slot || v->seqs[*slot - 1] == seq)
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
		*table_find(v, v->seqs[i]) = (uint32_t)i + 1;
	return 0;
}

static int take(struct view_slots *v, uint64_t seq, uint32_t *ret_slot)
{
	uint32_t *slot;
	int r;

	if (v->table_size <= 2 * v->count) {
		r = table_grow(v);
		if (r < 0)
			return r;
	}
	slot = table_find(v, seq);
	if (!*slot) {
		if (v->count == SLOTS_MAX)
			return -ENFILE;
		r = array_reserve(&v->seqs, &v->capacity, v->count + 1, sizeof(*v->seqs));
		if (r < 0)
			return r;
		v->seqs[v->count++] = seq;
		*slot = (uint32_t)v->count;
	}
	*ret_slot = *slot - 1;
	return 0;
}

int view_slots_take(struct view_slots *v, uint64_t seq, uint32_t *ret_slot)
{
	int r;

	pthread_mutex_lock(&v->lock);
	r = take(v, seq, ret_slot);
	pthread_mutex_unlock(&v->lock);
	return r;
}

uint64_t view_slots_seq(struct view_slots *v, uint32_t slot)
{
	uint64_t seq;

	pthread_mutex_lock(&v->lock);
	seq = slot < v->count ? v->seqs[slot] : 0;
	pthread_mutex_unlock(&v->lock);
	return seq;
}
