/* SPDX-License-Identifier: MIT
 *
 * The order of RELEASE. A RELEASE that publishes is registered under the read lock when it is read; its number is the count of
 * those before it plus one. A request waits until every registered number up to the count at its own reading is done.
 *
 * Invariants: numbers are given in order of reading; a registered RELEASE is already in some worker's hands and waits, if at all, only for
 * RELEASEs of the same file read before it; so the oldest one never waits and there is no deadlock even when all other workers wait.
 *
 * Costs one atomic load for a request when nothing is registered. Which request a thread works on is kept per
 * thread, because operations are called through libfuse, which passes nothing along.
 *
 * There are never more registered than there are workers, so the table has a fixed size and nothing here can fail.
 */
#include <assert.h>
#include <stdlib.h>

#include "session_internal.h"

struct pending {
	uint64_t number; /* 0: free */
	uint64_t node_id, fh;
};

struct fs_order {
	pthread_mutex_t lock;
	pthread_cond_t done;
	atomic_uint_fast64_t oldest;                 /* registered and not done; UINT64_MAX: none. Written under lock */
	uint64_t registered;                         /* so far; the read lock's holder writes it, under lock */
	struct pending pending[SESSION_WORKERS_MAX]; /* under lock */
	size_t used;                                 /* entries from here on are free */
};

static _Thread_local const struct order_ticket *current_ticket;

struct fs_order *fs_order_new(void)
{
	struct fs_order *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->done, NULL);
	atomic_store(&o->oldest, UINT64_MAX);
	return o;
}

void fs_order_free(struct fs_order *o)
{
	if (!o)
		return;
	pthread_cond_destroy(&o->done);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

/* Under lock. */
static void order_update_oldest(struct fs_order *o)
{
	uint64_t oldest = UINT64_MAX;

	while (o->used && !o->pending[o->used - 1].number)
		o->used--;
	for (size_t i = 0; i < o->used; i++)
		if (o->pending[i].number && o->pending[i].number < oldest)
			oldest = o->pending[i].number;
	atomic_store(&o->oldest, oldest);
	pthread_cond_broadcast(&o->done);
}

/* Under lock. */
static struct pending *order_free_entry(struct fs_order *o)
{
	for (size_t i = 0; i < o->used; i++)
		if (!o->pending[i].number)
			return &o->pending[i];
	assert(o->used < SESSION_WORKERS_MAX);
	return &o->pending[o->used++];
}

void fs_order_take(struct fs_order *o, uint64_t node_id, uint64_t fh, bool publishes, struct order_ticket *ret)
{
	*ret = (struct order_ticket){.after = o->registered};
	if (!publishes)
		return;
	pthread_mutex_lock(&o->lock);
	*order_free_entry(o) = (struct pending){.number = ++o->registered, .node_id = node_id, .fh = fh};
	if (atomic_load(&o->oldest) == UINT64_MAX)
		atomic_store(&o->oldest, o->registered);
	pthread_mutex_unlock(&o->lock);
	ret->register_number = o->registered;
}

/* Under lock: is a RELEASE of the same file, read before @number, still pending? */
static bool order_same_file_before(const struct fs_order *o, uint64_t number)
{
	uint64_t node_id = 0;

	for (size_t i = 0; i < o->used; i++)
		if (o->pending[i].number == number)
			node_id = o->pending[i].node_id;
	for (size_t i = 0; i < o->used; i++)
		if (o->pending[i].number && o->pending[i].number < number && o->pending[i].node_id == node_id)
			return true;
	return false;
}

static void order_wait(struct fs_order *o, const struct order_ticket *t)
{
	if (atomic_load(&o->oldest) > t->after)
		return;
	pthread_mutex_lock(&o->lock);
	while (t->register_number ? order_same_file_before(o, t->register_number) : atomic_load(&o->oldest) <= t->after)
		pthread_cond_wait(&o->done, &o->lock);
	pthread_mutex_unlock(&o->lock);
}

void fs_order_enter(struct fs_order *o, const struct order_ticket *t)
{
	current_ticket = t;
	order_wait(o, t);
}

void fs_order_wait(struct fs *fs, fuse_req_t req)
{
	(void)req;
	if (current_ticket)
		order_wait(fs->order, current_ticket);
}

void fs_order_release_done(struct fs *fs, uint64_t fh)
{
	struct fs_order *o = fs->order;

	if (!current_ticket || !current_ticket->register_number)
		return;
	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < o->used; i++)
		if (o->pending[i].number == current_ticket->register_number) {
			assert(o->pending[i].fh == fh);
			o->pending[i].number = 0;
		}
	order_update_oldest(o);
	pthread_mutex_unlock(&o->lock);
}

void fs_order_leave(struct fs_order *o, const struct order_ticket *t)
{
	current_ticket = NULL;
	if (!t->register_number)
		return;
	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < o->used; i++)
		if (o->pending[i].number == t->register_number)
			o->pending[i].number = 0;
	order_update_oldest(o);
	pthread_mutex_unlock(&o->lock);
}
