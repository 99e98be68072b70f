/* SPDX-License-Identifier: MIT
 *
 * Drafts as transactions/pending/ shows them: all that have bytes in the arena, open ones and those a dead daemon left. Each is held while it is
 * looked at, so that its own lock can be taken without the engine's.
 */
#include <errno.h>
#include <string.h>

#include "engine_internal.h"

void draft_info_release(struct draft_info *i)
{
	free(i->path);
	i->path = NULL;
}

/* The caller holds the draft, and no lock. */
static int draft_describe(struct draft *d, struct draft_info *ret)
{
	struct engine *e = d->e;
	struct buf path = BUF_INIT;
	struct draft_info info;
	int r = 0;

	pthread_mutex_lock(&d->lock);
	info = (struct draft_info){.id = d->id, .ino = d->ino, .kind = d->kind, .size = d->size, .started_ns = d->started_ns, .actor = d->actor};
	info.operation = d->kind == DRAFT_APPEND ? OPERATION_APPEND : d->kind == DRAFT_WHOLE ? OPERATION_WRITE : OPERATION_PATCH;
	engine_lock(e);
	info.recovered = d->recovered;
	if (d->recovered) {
		buf_append_str(&path, d->path);
		info.has_base = d->base_seq != 0;
	} else {
		r = tree_path_at(e->tree, d->node, SEQ_LIVE, &path);
		info.has_base = !(d->node->flags & NODE_NEWBORN);
		if (info.has_base)
			(void)sha_cache_get(e->shas, d->ino, d->node->newest->born, &info.base_sha); /* zeros: not known */
	}
	engine_unlock(e);
	pthread_mutex_unlock(&d->lock);
	if (r == -ENOENT)
		buf_clear(&path); /* it has lost its name */
	else if (r)
		return r;
	buf_append(&path, "", 0);
	info.path = path.data ? buf_take(&path, NULL) : strdup("");
	if (!info.path)
		return -ENOMEM;
	*ret = info;
	return 0;
}

/* Engine lock held: a holder for each draft with bytes in the arena. */
static int drafts_gather(struct engine *e, struct draft ***ret, size_t *ret_count)
{
	struct draft **all = NULL;
	size_t capacity = 0, count = 0;
	int r = 0;

	for (size_t i = 0; i <= DRAFT_BUCKETS; i++)
		for (struct draft *d = i < DRAFT_BUCKETS ? e->drafts[i] : e->recovered; d && !r; d = d->next) {
			if (!d->id || d->taken)
				continue;
			r = array_reserve(&all, &capacity, count + 1, sizeof(*all));
			if (!r) {
				d->holders++;
				all[count++] = d;
			}
		}
	*ret = all;
	*ret_count = count;
	return r;
}

int draft_list(struct engine *e, struct draft_info **ret, size_t *ret_count)
{
	struct draft_info *list;
	struct draft **all;
	size_t held, count = 0;
	int r;

	engine_lock(e);
	r = drafts_gather(e, &all, &held);
	engine_unlock(e);
	list = calloc(held + 1, sizeof(*list));
	if (!list)
		r = -ENOMEM;
	for (size_t i = 0; i < held; i++) {
		if (!r)
			r = draft_describe(all[i], &list[count]);
		if (!r && list[count].id)
			count++;
		else if (!r)
			draft_info_release(&list[count]); /* published meanwhile */
		draft_unref(all[i]);
	}
	free(all);
	if (r) {
		while (count)
			draft_info_release(&list[--count]);
		free(list);
		return r;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

/* Engine lock held; the draft gets a holder. */
static struct draft *draft_by_id(struct engine *e, uint64_t id)
{
	for (size_t i = 0; i < DRAFT_BUCKETS; i++)
		for (struct draft *d = e->drafts[i]; d; d = d->next)
			if (d->id == id) {
				d->holders++;
				return d;
			}
	for (struct draft *d = e->recovered; d; d = d->next)
		if (d->id == id && !d->taken) {
			d->holders++;
			return d;
		}
	return NULL;
}

int draft_info_get(struct engine *e, uint64_t id, struct draft_info *ret)
{
	struct draft *d;
	int r;

	engine_lock(e);
	d = id ? draft_by_id(e, id) : NULL;
	engine_unlock(e);
	if (!d)
		return -ENOENT;
	r = draft_describe(d, ret);
	draft_unref(d);
	return r;
}

ssize_t draft_read_by_id(struct engine *e, uint64_t id, uint64_t offset, void *buf, size_t len)
{
	struct draft *d;
	ssize_t n;

	engine_lock(e);
	d = id ? draft_by_id(e, id) : NULL;
	engine_unlock(e);
	if (!d)
		return -ENOENT;
	n = draft_read(d, offset, buf, len);
	draft_unref(d);
	return n;
}
