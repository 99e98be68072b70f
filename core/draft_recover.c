/* SPDX-License-Identifier: MIT
 *
 * Drafts and the death of the daemon. While it lives: which drafts' arena space may go, because the transaction that published them is
 * safe. After a restart: which drafts were left behind; they are listed in transactions/pending/ and published or discarded by the user.
 *
 * A draft is over when the arena says so (END), or when a replayed transaction names it; the END is written only after that
 * transaction is durable, so between both there is always one of the two. A draft that ends without a transaction of its own (a temporary file's,
 * a refused one's, of which there is a copy) is named by the next one: the arena is never synced, and power loss takes its ENDs.
 */
#include <errno.h>
#include <string.h>

#include "engine_internal.h"

#define BEGIN_FIXED_BYTES (2 + 3 * 8 + 3 * 4 + 2 * 4 + ACTOR_ID_BYTES + ACTOR_COMM_BYTES)
#define REAP_MAX 64
#define OVER_MAX 4096

void draft_note_ended(struct engine *e, uint64_t id, uint64_t seq)
{
	/* Room was reserved with the transaction; drafts of refused commits share it. */
	if (array_reserve(&e->ended, &e->ended_capacity, e->ended_count + 1, sizeof(*e->ended)))
		return; /* its space in the arena is held until the next start, no more */
	e->ended[e->ended_count++] = (struct ended_draft){id, seq};
}

void draft_end(struct engine *e, uint64_t id)
{
	struct seq_list *l = &e->over;

	engine_lock(e);
	if (l->count < OVER_MAX && !array_reserve(&l->seqs, &l->capacity, l->count + 1, sizeof(*l->seqs)))
		l->seqs[l->count++] = id; /* else power loss may show it as left behind, no more */
	engine_unlock(e);
	arena_draft_end(e->arena, id);
}

uint32_t drafts_over(const struct engine *e, const uint64_t **ret_ids)
{
	*ret_ids = e->over.seqs;
	return (uint32_t)MIN(e->over.count, (size_t)RECORD_DRAFTS_OVER_MAX);
}

void drafts_over_said(struct engine *e, uint32_t count)
{
	if (!count)
		return;
	e->over.count -= count;
	memmove(e->over.seqs, e->over.seqs + count, e->over.count * sizeof(*e->over.seqs));
}

static size_t reap_some(struct engine *e)
{
	uint64_t ids[REAP_MAX], durable = journal_durable_seq(e->journal);
	size_t count = 0;

	engine_lock(e);
	/* In order of publication, nearly: one that waits for another costs a little space for a little while. */
	while (e->ended_first < e->ended_count && e->ended[e->ended_first].seq <= durable && count < REAP_MAX)
		ids[count++] = e->ended[e->ended_first++].id;
	if (e->ended_first && e->ended_first >= e->ended_count - e->ended_first) { /* each entry is moved less than once on average */
		e->ended_count -= e->ended_first;
		memmove(e->ended, e->ended + e->ended_first, e->ended_count * sizeof(*e->ended));
		e->ended_first = 0;
	}
	engine_unlock(e);
	for (size_t i = 0; i < count; i++)
		arena_draft_end(e->arena, ids[i]);
	return count;
}

void drafts_reap(struct engine *e)
{
	while (reap_some(e) == REAP_MAX)
		;
}

/* ---- at start ---- */

static struct draft **recovered_slot(struct engine *e, uint64_t id)
{
	struct draft **at = &e->recovered;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

static int recover_begin(struct engine *e, const struct arena_record *r)
{
	const uint8_t *p = r->data;
	struct draft *d;

	if (r->len <= BEGIN_FIXED_BYTES || p[0] != 1 || p[1] > DRAFT_SHARED || p[r->len - 1] || *recovered_slot(e, r->draft_id))
		return 0; /* not ours to understand: its bytes stay in the arena file */
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	pthread_mutex_init(&d->lock, NULL);
	d->e = e;
	d->recovered = true;
	d->holders = 1;
	d->id = r->draft_id;
	d->kind = (enum draft_kind)p[1];
	d->ino = get_le64(p + 2);
	d->base_seq = get_le64(p + 10);
	d->started_ns = (int64_t)get_le64(p + 18);
	d->mode = get_le32(p + 26);
	d->uid = get_le32(p + 30);
	d->gid = get_le32(p + 34);
	d->actor.pid = get_le32(p + 38);
	d->actor.uid = get_le32(p + 42);
	memcpy(d->actor.agent, p + 46, ACTOR_ID_BYTES - 1);
	memcpy(d->actor.comm, p + 46 + ACTOR_ID_BYTES, ACTOR_COMM_BYTES - 1);
	d->path = strdup((const char *)p + BEGIN_FIXED_BYTES);
	if (!d->path) {
		draft_free(d);
		return -ENOMEM;
	}
	d->next = e->recovered;
	e->recovered = d;
	e->next_draft_id = MAX(e->next_draft_id, d->id + 1);
	e->recovered_id_min = MIN(e->recovered_id_min, d->id);
	return 0;
}

static int recover_extent(struct draft *d, uint64_t offset, uint64_t position, uint64_t len)
{
	struct extent x = {.file_offset = offset, .len = len, .position = position, .raw_len = (uint32_t)len, .stored_len = (uint32_t)len};

	if (extent_map_reserve(&d->map, 1))
		return -ENOMEM;
	extent_map_insert(&d->map, &x);
	d->size = MAX(d->size, offset + len);
	d->written = true;
	return 0;
}

/* @shift: an appending draft became a patch here; its bytes began at that offset of the file. */
static int recover_truncate(struct draft *d, uint64_t size, uint64_t shift)
{
	struct extent zero = {.file_offset = size, .len = EXTENT_TO_END - size, .position = EXTENT_ZERO};

	if (extent_map_reserve(&d->map, 2))
		return -ENOMEM;
	if (d->kind == DRAFT_APPEND) {
		for (size_t i = 0; i < d->map.count; i++)
			d->map.items[i].file_offset += shift;
		d->kind = DRAFT_PATCH;
	}
	extent_map_insert(&d->map, &zero);
	d->size = size;
	d->size_set = true;
	d->written = true;
	return 0;
}

int draft_recover_record(void *arg, const struct arena_record *r, uint64_t position)
{
	struct engine *e = arg;
	struct draft *d;

	if (r->type == ARENA_DRAFT_BEGIN)
		return recover_begin(e, r);
	d = *recovered_slot(e, r->draft_id);
	if (!d)
		return 0;
	switch (r->type) {
	case ARENA_DRAFT_WRITE:
		return recover_extent(d, r->file_offset, position, r->len);
	case ARENA_DRAFT_REF:
		return r->len == 16 ? recover_extent(d, r->file_offset, get_le64(r->data), get_le64((const uint8_t *)r->data + 8)) : 0;
	case ARENA_DRAFT_TRUNCATE:
		return recover_truncate(d, r->file_offset, r->len == 8 ? get_le64(r->data) : 0);
	case ARENA_DRAFT_END:
		drafts_forget_consumed(e, r->draft_id);
		return 0;
	default:
		return 0;
	}
}

/* Its space is given back once everything is open (drafts_finish_recovery). */
void drafts_forget_consumed(struct engine *e, uint64_t id)
{
	struct draft **at, *d;

	if (id < e->recovered_id_min)
		return; /* as nearly all that a replay asks about */
	at = recovered_slot(e, id);
	d = *at;
	if (!d)
		return;
	*at = d->next;
	if (!array_reserve(&e->ended, &e->ended_capacity, e->ended_count + 1, sizeof(*e->ended)))
		e->ended[e->ended_count++] = (struct ended_draft){id, 0};
	draft_free(d);
}

/* Over before the snapshot was taken, although the arena lost the END (power loss): the journal before it is not replayed. */
static void forget_by_index(struct engine *e)
{
	struct draft *d = e->recovered;

	while (d) {
		struct draft *next = d->next;
		bool live = d->id >= e->index_draft_id;

		for (size_t at = 0; !live && at + 8 <= e->index_drafts.len; at += 8)
			live = get_le64(e->index_drafts.data + at) == d->id;
		if (!live)
			drafts_forget_consumed(e, d->id);
		d = next;
	}
}

void drafts_finish_recovery(struct engine *e)
{
	struct draft **at = &e->recovered;

	if (e->index_draft_id)
		forget_by_index(e);

	while (*at) {
		struct draft *d = *at;

		if (d->written) {
			e->drafts_pending++;
			at = &d->next;
			continue;
		}
		*at = d->next; /* opened, never written: nothing to keep */
		if (!e->options.read_only)
			arena_draft_end(e->arena, d->id);
		draft_free(d);
	}
	if (!e->options.read_only)
		drafts_reap(e);
}

/* ---- what the user decides ---- */

/* Stays on the list until its fate is sealed, so that an index snapshot meanwhile knows it. */
static struct draft *take_recovered(struct engine *e, uint64_t id, int *ret_error)
{
	struct draft *d;

	engine_lock(e);
	d = *recovered_slot(e, id);
	*ret_error = d ? -EBUSY : -ENOENT;
	if (d && d->taken)
		d = NULL;
	if (d) {
		d->taken = true;
		e->drafts_pending--;
	}
	for (size_t i = 0; i < DRAFT_BUCKETS && !d; i++)
		for (struct draft *live = e->drafts[i]; live; live = live->next)
			if (live->id == id)
				*ret_error = -EBUSY;
	engine_unlock(e);
	return d;
}

static void give_back(struct engine *e, struct draft *d)
{
	engine_lock(e);
	d->taken = false;
	e->drafts_pending++;
	engine_unlock(e);
}

static void drop_taken(struct engine *e, struct draft *d)
{
	struct draft **at;

	engine_lock(e);
	at = recovered_slot(e, d->id);
	*at = d->next;
	engine_unlock(e);
	draft_unref(d);
}

/* The inode a recovered draft goes to: the file at its path, or a newborn there. */
static int recovered_target(struct engine *e, struct draft *d, struct request *q, uint64_t *ret_ino)
{
	const char *slash = strrchr(d->path, '/');
	cleanup_free char *dir = strndup(d->path, slash ? (size_t)(slash - d->path) : 0);
	struct tree_attr attr;
	struct node *n, *parent;
	int r;

	if (!dir)
		return -ENOMEM;
	engine_lock(e);
	n = tree_resolve(e->tree, d->path, SEQ_LIVE);
	parent = tree_resolve(e->tree, dir, SEQ_LIVE);
	engine_unlock(e);
	if (n) {
		*ret_ino = n->ino;
		return 0;
	}
	if (!parent)
		return reason_set(&q->reason, -ENOENT, "draft", "%s: its directory is gone; copy the .draft file instead", d->path);
	q->uid = d->uid;
	q->gid = d->gid;
	r = engine_create(e, q, parent->ino, slash ? slash + 1 : d->path, d->mode & 07777, &attr);
	if (!r)
		*ret_ino = attr.ino;
	return r;
}

static void swap_bytes(struct draft *d, struct draft *live)
{
	struct extent_map map;
	uint64_t size;

	pthread_mutex_lock(&live->lock);
	pthread_mutex_lock(&d->lock); /* always after a live one's */
	map = live->map;
	live->map = d->map;
	d->map = map;
	size = live->size;
	live->size = d->size;
	d->size = size;
	live->size_set = d->size_set;
	live->id = live->id ? 0 : d->id;
	live->dirty = live->written = live->id != 0;
	pthread_mutex_unlock(&d->lock);
	pthread_mutex_unlock(&live->lock);
}

int draft_publish_recovered(struct engine *e, uint64_t id, struct request *q)
{
	int r;
	struct draft *d = take_recovered(e, id, &r), *live = NULL;
	uint64_t ino = 0;

	if (!d)
		return r;
	r = recovered_target(e, d, q, &ino);
	if (!r) /* a shared one is joined by whoever has the file open: this one goes alone */
		r = draft_open(e, ino, d->kind == DRAFT_SHARED ? DRAFT_PATCH : d->kind, &d->actor, &live);
	if (r) {
		give_back(e, d);
		return r;
	}
	swap_bytes(d, live);
	r = draft_commit(live, q, 0);
	if (r && r != -EBADMSG) {
		swap_bytes(d, live);
		give_back(e, d);
	} else {
		drop_taken(e, d);
	}
	draft_close(live);
	return r;
}

int draft_discard_recovered(struct engine *e, uint64_t id, struct request *q)
{
	int r;
	struct draft *d = take_recovered(e, id, &r);
	struct draft_plan p = {0};

	if (!d)
		return r;
	(void)reason_set(&p.reason, 0, "", "discarded by the user");
	p.whole = true;
	pthread_mutex_lock(&d->lock);
	r = draft_own_extents(d, &p);
	if (!r)
		r = draft_keep_refused(d, q, &p, EVENT_WRITER_KILLED, OPERATION_WRITE, 0, d->path);
	d->id = id; /* found on the list by it */
	pthread_mutex_unlock(&d->lock);
	draft_plan_release(&p);
	if (r)
		give_back(e, d);
	else
		drop_taken(e, d);
	return r;
}
