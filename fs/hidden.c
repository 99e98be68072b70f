/* SPDX-License-Identifier: MIT
 *
 * The table behind hidden.h: at most HIDDEN_MAX entries, searched one by one, because it is empty but while somebody
 * removes a session. What ended is dropped by whoever looks next.
 *
 * Generations are kept for directories that were removed by themselves and are still there, until their session goes. They
 * are numbers of one counter, so none comes back after it was forgotten.
 */
#include "hidden.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

struct hidden_entry {
	struct hidden_process process;
	uint64_t parent;
	char *name;
	int64_t end_ns;
};

struct hidden_generation {
	uint64_t node_id, session, generation;
};

struct hidden {
	pthread_mutex_t lock;
	struct hidden_entry entries[HIDDEN_MAX]; /* lock; the first count */
	atomic_size_t count;                     /* written under lock */
	struct hidden_generation *generations;   /* lock */
	size_t generation_capacity;              /* lock */
	atomic_size_t generation_count;          /* written under lock */
	uint64_t last_generation;                /* lock */
};

struct hidden *hidden_new(void)
{
	struct hidden *h = calloc(1, sizeof(*h));

	if (h)
		pthread_mutex_init(&h->lock, NULL);
	return h;
}

void hidden_free(struct hidden *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->count; i++)
		free(h->entries[i].name);
	free(h->generations);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

bool hidden_any(struct hidden *h)
{
	return atomic_load_explicit(&h->count, memory_order_acquire) != 0;
}

/* --- entries; lock held ------------------------------------------------------------- */

static void entry_drop(struct hidden *h, size_t i)
{
	size_t last = h->count - 1;

	free(h->entries[i].name);
	h->entries[i] = h->entries[last];
	h->count = last;
}

static void drop_ended(struct hidden *h, int64_t now_ns)
{
	for (size_t i = h->count; i-- > 0;)
		if (h->entries[i].end_ns <= now_ns)
			entry_drop(h, i);
}

static bool same_process(const struct hidden_process *a, const struct hidden_process *b)
{
	return a->tgid == b->tgid && a->start_time == b->start_time;
}

/* @p and @name: NULL any. */
static struct hidden_entry *entry_find(struct hidden *h, const struct hidden_process *p, uint64_t parent, const char *name)
{
	for (size_t i = 0; i < h->count; i++) {
		struct hidden_entry *e = &h->entries[i];

		if (e->parent == parent && (!p || same_process(&e->process, p)) && (!name || !strcmp(e->name, name)))
			return e;
	}
	return NULL;
}

static void make_room(struct hidden *h)
{
	size_t first = 0;

	if (h->count < HIDDEN_MAX)
		return;
	for (size_t i = 1; i < h->count; i++)
		if (h->entries[i].end_ns < h->entries[first].end_ns)
			first = i;
	entry_drop(h, first);
}

/* --- entries --------------------------------------------------------------------------- */

bool hidden_in(struct hidden *h, uint64_t parent, const char *name, int64_t now_ns)
{
	bool found;

	if (!hidden_any(h))
		return false;
	pthread_mutex_lock(&h->lock);
	drop_ended(h, now_ns);
	found = entry_find(h, NULL, parent, name);
	pthread_mutex_unlock(&h->lock);
	return found;
}

bool hidden_from(struct hidden *h, const struct hidden_process *p, uint64_t parent, const char *name, int64_t now_ns)
{
	bool found;

	if (!hidden_any(h))
		return false;
	pthread_mutex_lock(&h->lock);
	drop_ended(h, now_ns);
	found = entry_find(h, p, parent, name);
	pthread_mutex_unlock(&h->lock);
	return found;
}

int hidden_add(struct hidden *h, const struct hidden_process *p, uint64_t parent, const char *name, int64_t now_ns)
{
	int64_t end_ns = now_ns + HIDDEN_S * NS_PER_S;
	char *copy;

	if (!p->tgid)
		return 0;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&h->lock);
	drop_ended(h, now_ns);
	for (size_t i = 0; i < h->count; i++)
		if (same_process(&h->entries[i].process, p))
			h->entries[i].end_ns = end_ns;
	if (!entry_find(h, p, parent, name)) {
		make_room(h);
		h->entries[h->count] = (struct hidden_entry){.process = *p, .parent = parent, .name = copy, .end_ns = end_ns};
		h->count++;
		copy = NULL;
	}
	pthread_mutex_unlock(&h->lock);
	free(copy);
	return 0;
}

bool hidden_remove(struct hidden *h, const struct hidden_process *p, uint64_t parent, const char *name, int64_t now_ns)
{
	struct hidden_entry *e;

	if (!hidden_any(h))
		return false;
	pthread_mutex_lock(&h->lock);
	drop_ended(h, now_ns);
	e = entry_find(h, p, parent, name);
	if (e)
		entry_drop(h, (size_t)(e - h->entries));
	pthread_mutex_unlock(&h->lock);
	return e;
}

/* --- generations --------------------------------------------------------------------- */

/* Lock held. */
static struct hidden_generation *generation_find(struct hidden *h, uint64_t node_id)
{
	for (size_t i = 0; i < h->generation_count; i++)
		if (h->generations[i].node_id == node_id)
			return &h->generations[i];
	return NULL;
}

int hidden_renew(struct hidden *h, uint64_t node_id, uint64_t session)
{
	struct hidden_generation *g;
	int r = 0;

	pthread_mutex_lock(&h->lock);
	g = generation_find(h, node_id);
	if (!g) {
		r = array_reserve(&h->generations, &h->generation_capacity, h->generation_count + 1, sizeof(*g));
		if (!r)
			g = &h->generations[h->generation_count++];
	}
	if (g)
		*g = (struct hidden_generation){node_id, session, ++h->last_generation};
	pthread_mutex_unlock(&h->lock);
	return r;
}

uint64_t hidden_generation(struct hidden *h, uint64_t node_id)
{
	const struct hidden_generation *g;
	uint64_t generation;

	if (!atomic_load_explicit(&h->generation_count, memory_order_acquire))
		return 0;
	pthread_mutex_lock(&h->lock);
	g = generation_find(h, node_id);
	generation = g ? g->generation : 0;
	pthread_mutex_unlock(&h->lock);
	return generation;
}

void hidden_forget(struct hidden *h, uint64_t node_id)
{
	pthread_mutex_lock(&h->lock);
	for (size_t i = h->count; i-- > 0;)
		if (h->entries[i].parent == node_id)
			entry_drop(h, i);
	for (size_t i = h->generation_count; i-- > 0;)
		if (h->generations[i].session == node_id)
			h->generations[i] = h->generations[--h->generation_count];
	pthread_mutex_unlock(&h->lock);
}
