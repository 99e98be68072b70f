/* SPDX-License-Identifier: MIT
 *
 * Publishing a draft, refusing it, rolling it back.
 *
 * The way of a commit: plan (draft_plan.c, no engine lock) → reserve journal room → engine lock: is the plan still true, stage → unlock. A plan
 * that lost a race is made again; ruled commits of one file take turns (commit_locks), so that each gets through.
 *
 * Nothing a user typed is thrown away: what a rule refuses, a killed writer left, or a lost inode can no longer hold, is kept by a
 * transaction of its own under transactions/rollbacks/.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "engine_internal.h"

#define COMMIT_TRIES 64
#define PATHS_MAX 64

struct paths {
	char *items[PATHS_MAX];
	size_t count;
};

static void paths_release(struct paths *p)
{
	while (p->count)
		free(p->items[--p->count]);
}

/* All names of the inode (the rules of each apply). */
static int paths_of(struct draft *d, struct paths *ret)
{
	struct engine *e = d->e;
	int r = 0;

	engine_lock(e);
	for (struct dentry *n = d->node->names; n && ret->count < PATHS_MAX && !r; n = n->names_next) {
		struct buf path = BUF_INIT;

		if (n->died != SEQ_NEVER)
			continue;
		r = tree_dentry_path(e->tree, n, SEQ_LIVE, &path);
		if (!r)
			ret->items[ret->count++] = buf_take(&path, NULL);
	}
	engine_unlock(e);
	return r;
}

/* ---- staging ---- */

static void add_newborn(struct txn *t, const struct node *n)
{
	struct change list[TREE_NEWBORN_CHANGES];
	int count = tree_newborn_describe(t->e->tree, n, list, ARRAY_SIZE(list));

	for (int i = 0; i < count; i++)
		*txn_add_change(t) = list[i];
}

size_t draft_newborn_bytes(struct draft *d)
{
	struct change list[TREE_NEWBORN_CHANGES];
	size_t bytes = 0;
	int count = 0;

	engine_lock(d->e);
	if (d->node->flags & NODE_NEWBORN)
		count = tree_newborn_describe(d->e->tree, d->node, list, ARRAY_SIZE(list));
	for (int i = 0; i < count; i++)
		bytes += (size_t)list[i].name_len + list[i].value_len + 64;
	engine_unlock(d->e);
	return bytes;
}

static void add_content_events(struct draft *d, struct draft_plan *p, struct txn *t, const char *path, uint64_t size, bool newborn)
{
	uint64_t old_size = newborn ? 0 : d->node->newest->size;
	enum event_type type = newborn ? EVENT_FILE_CREATED : d->kind == DRAFT_APPEND ? EVENT_FILE_APPENDED : EVENT_FILE_WRITTEN;
	struct event *ev = txn_add_event(t, type, path);
	char hex[SHA256_HEX_BYTES];

	ev->flags |= EVENT_HAS_SIZE;
	ev->size = size;
	if (p->have_sha)
		event_set_new_sha(ev, &p->sha);
	if (p->have_old_sha)
		event_set_old_sha(ev, &p->old_sha);
	if (p->have_bytes_sha) {
		sha256_hex(&p->bytes_sha, hex);
		txn_event_more(t, "\"bytes\":%llu,\"bytes_sha256\":\"%s\"", (unsigned long long)p->append_len, hex);
	}
	if (p->malformed) {
		struct buf text = BUF_INIT;

		buf_put_json_string(&text, p->reason.text, strlen(p->reason.text));
		txn_add_event(t, EVENT_MALFORMED_ACCEPTED, path);
		txn_event_more(t, "\"line\":%u,\"column\":%u,\"rule\":\"%s\",\"message\":%s", p->reason.line, p->reason.column, p->reason.rule,
			text.data ? text.data : "\"\"");
		buf_release(&text);
	}
	if (!(p->model ? p->model->user_len : size) && old_size && p->rule != RULE_KIND_NONE)
		txn_add_event(t, EVENT_SHRUNK_TO_EMPTY, path);
}

static bool base_moved(const struct draft *d, const struct draft_plan *p)
{
	const struct version *now = d->node->flags & NODE_NEWBORN ? NULL : d->node->newest;

	if (now == p->base)
		return false;
	return !now || !p->base || !tree_version_same_content(p->base, now);
}

bool draft_plan_holds(const struct draft *d, const struct draft_plan *p)
{
	/* A patch's size and a newborn's creation depend on the base even where no rule looked at it. */
	return !base_moved(d, p) || !(p->base_matters || !p->base || (!p->whole && d->kind != DRAFT_APPEND));
}

int draft_add_to_txn(struct draft *d, struct draft_plan *p, struct txn *t, const char *path)
{
	bool newborn = d->node->flags & NODE_NEWBORN;
	uint64_t below = newborn ? 0 : d->node->newest->size;
	bool appends = d->kind == DRAFT_APPEND && !p->model;
	uint64_t size = appends ? below + p->append_len : p->size;
	struct change *c;
	int r;

	if (!draft_plan_holds(d, p))
		return -EAGAIN;
	if (base_moved(d, p)) {
		p->have_old_sha = sha_cache_get(d->e->shas, d->ino, d->node->newest->born, &p->old_sha);
	}
	if (appends)
		for (size_t i = 0; i < p->extent_count; i++)
			p->extents[i].file_offset += below;
	if (newborn)
		add_newborn(t, d->node);
	c = txn_add_change(t);
	*c = (struct change){.type = CHANGE_CONTENT, .ino = d->ino, .size = size, .extents = p->extents, .extent_count = (uint32_t)p->extent_count};
	c->content_flags = (p->whole || newborn ? CONTENT_REPLACE : 0u) | (d->keep_mtime ? CONTENT_KEEP_MTIME : 0u);
	t->started_ns = d->started_ns;
	t->draft_id = p->rest_id ? p->rest_id : d->id;
	t->path = path;
	t->base = newborn ? NULL : d->node->newest;
	if (p->have_old_sha)
		t->base_sha = p->old_sha;
	add_content_events(d, p, t, path, size, newborn);
	r = p->model ? model_save_add(p->model, t, path) : 0;
	return r;
}

/* What was published leaves the draft; an unfinished line of a stream stays, under its own id. */
static void draft_shift(struct draft *d, struct draft_plan *p)
{
	draft_recent_forget(d);
	extent_map_release(&d->map);
	d->map = p->rest;
	p->rest = (struct extent_map){0};
	d->size = p->rest_id ? d->size - p->append_len : 0;
}

void draft_committed(struct draft *d, struct draft_plan *p, struct txn *t)
{
	struct engine *e = d->e;

	if (p->have_sha)
		sha_cache_put(e->shas, d->ino, t->seq, &p->sha);
	if (p->running)
		hash_resume_put(e->hashes, d->ino, t->seq, p->running);
	p->running = NULL;
	draft_shift(d, p);
	if (d->kind == DRAFT_WHOLE)
		d->kind = DRAFT_PATCH; /* what follows changes the file it has just made */
	if (d->append)
		d->kind = DRAFT_APPEND;
	d->size_set = false;
	d->created = false;
	d->last_seq = t->seq;
	sha256_free(d->sha);
	d->sha = NULL;
	engine_lock(e);
	d->base = d->node->newest;
	free(d->base_text);
	d->base_text = NULL;
	if (p->model && d->kind == DRAFT_PATCH) { /* its writer goes on in the text he saved */
		d->base_text = p->model->user_text;
		d->base_len = p->model->user_len;
		p->model->user_text = NULL;
	}
	for (size_t i = 0; i < p->extent_count; i++)
		e->bytes_committed += p->extents[i].len;
	if (p->rest_id) {
		draft_note_ended(e, p->rest_id, t->seq);
		d->split_id = p->rest_id = 0;
	} else if (d->id) {
		draft_note_ended(e, d->id, t->seq);
		d->id = 0;
	}
	engine_unlock(e);
	d->dirty = d->written = d->size != 0;
	if (!d->dirty)
		d->started_ns = env_time_ns(e->env);
}

/* ---- refusing ---- */

/* A refused newborn loses its name if something stood there up to two seconds ago: that comes back. Engine lock held. */
static void put_back(struct txn *t, struct draft *d, const char *path)
{
	if (!(d->node->flags & NODE_NEWBORN) || !d->node->nlink || !engine_removed_file(t->e, path))
		return;
	drafts_note_unlinked(t->e, d->node, UINT32_MAX); /* by nobody */
	engine_newborn_unlink(t->e, d->node);
	engine_put_back(t, path);
}

static int rollback_extents(struct draft *d, struct draft_plan *p, struct record_rollback *rb)
{
	struct extent x = {0};
	int r;

	if (p->text) { /* refused by a rule: exactly what the rule saw */
		p->extent_count = 0;
		record_blocks_release(&p->blocks);
		for (size_t at = 0; at < p->text_len; at += x.len) {
			size_t n = MIN(p->text_len - at, (size_t)COMMIT_INLINE_MAX);

			r = p->text_len <= COMMIT_INLINE_MAX ? record_blocks_add(&p->blocks, p->text + at, n, &x)
							     : arena_content_append(d->e->arena, d->id, p->text + at, n, &x.position);
			if (r)
				return r;
			if (p->text_len > COMMIT_INLINE_MAX) {
				x.raw_len = x.stored_len = (uint32_t)n;
				x.skip = 0;
			}
			x.file_offset = at;
			x.len = n;
			r = array_reserve(&p->extents, &p->extent_capacity, p->extent_count + 1, sizeof(x));
			if (r)
				return r;
			p->extents[p->extent_count++] = x;
		}
		rb->draft_size = p->text_len;
	} else {
		rb->draft_size = d->size;
	}
	rb->draft = p->extents;
	rb->draft_extents = (uint32_t)p->extent_count;
	return 0;
}

int draft_keep_refused(struct draft *d, struct request *q, struct draft_plan *p, enum event_type type, enum operation wanted, int error, const char *path)
{
	struct record_rollback rb = {
		.wanted = wanted, .error = error, .line = p->reason.line, .column = p->reason.column, .rule = p->reason.rule, .text = p->reason.text};
	struct buf text = BUF_INIT;
	struct txn t;
	bool over = !error; /* a refused draft stays as it is: what is kept is a copy */
	int r = rollback_extents(d, p, &rb);

	txn_init(&t, d->e, q, OPERATION_ROLLBACK);
	t.blocks = p->blocks;
	p->blocks = (struct record_blocks){0};
	if (!r)
		r = txn_reserve(&t, (size_t)(rb.draft_extents + 1024) * RECORD_EXTENT_BYTES); /* and for what is put back */
	buf_put_json_string(&text, rb.text, strlen(rb.text));
	if (!r)
		r = text.error;
	if (!r) {
		engine_lock(d->e);
		t.rollback = &rb;
		t.started_ns = d->started_ns;
		t.draft_id = over ? d->id : 0;
		t.path = path;
		t.base = !d->node || d->node->flags & NODE_NEWBORN ? NULL : d->node->newest; /* a recovered draft has no node */
		if (p->have_old_sha)
			t.base_sha = p->old_sha;
		txn_add_event(&t, type, path);
		txn_event_more(&t, "\"wanted\":\"%s\",\"rule\":\"%s\",\"line\":%u,\"column\":%u,\"message\":%s", operation_name(wanted), rb.rule, rb.line,
			rb.column, text.data);
		if (error && wanted != OPERATION_RENAME && wanted != OPERATION_EXCHANGE)
			put_back(&t, d, path);
		else if (error)
			engine_put_back(&t, path);
		r = txn_stage(&t);
		if (!r && type == EVENT_COMMIT_REFUSED)
			d->e->refusals++;
		if (!r && type == EVENT_CONFLICT_DETECTED)
			d->e->conflicts++;
		if (!r && over && d->id) {
			draft_note_ended(d->e, d->id, t.seq);
			d->id = 0;
		}
		engine_unlock(d->e);
		if (!r)
			d->last_seq = t.seq;
	}
	buf_release(&text);
	txn_finish(&t);
	return r;
}

/* After its bytes are safe elsewhere the draft starts afresh. */
static void draft_reset(struct draft *d)
{
	draft_recent_forget(d);
	d->map.count = 0;
	d->map.data_bytes = 0;
	d->size = 0;
	d->size_set = false;
	d->dirty = d->written = false;
	sha256_free(d->sha);
	d->sha = NULL;
	engine_lock(d->e);
	d->base = d->node->newest;
	engine_unlock(d->e);
	free(d->base_text);
	d->base_text = NULL;
	if (d->kind == DRAFT_WHOLE || d->append)
		d->kind = d->append ? DRAFT_APPEND : DRAFT_PATCH;
}

static enum operation draft_operation(const struct draft *d)
{
	return d->kind == DRAFT_WHOLE ? OPERATION_WRITE : d->kind == DRAFT_APPEND ? OPERATION_APPEND : OPERATION_PATCH;
}

static int commit_refused(struct draft *d, struct request *q, struct draft_plan *p, const char *path)
{
	int r;

	draft_plan_old_sha(d, p);
	r = p->text ? 0 : draft_own_extents(d, p); /* too large to be looked at, not to be kept */
	if (!r)
		r = draft_keep_refused(d, q, p, EVENT_COMMIT_REFUSED, draft_operation(d), EBADMSG, path);
	q->reason = p->reason;
	if (r)
		return r;
	d->dirty = false; /* until it is written again; then all of it is looked at again */
	d->refused = true;
	return -EBADMSG;
}

/* Keep what the draft itself holds: a killed writer's, or of an inode that somebody took away. */
static int keep_own_bytes(struct draft *d, struct request *q, enum event_type type, const char *text, const char *path)
{
	struct draft_plan p = {0};
	enum operation wanted = draft_operation(d);
	int r;

	(void)reason_set(&p.reason, 0, "", "%s", text);
	p.whole = true;
	r = draft_own_extents(d, &p);
	if (!r)
		r = draft_keep_refused(d, q, &p, type, wanted, 0, path);
	draft_plan_release(&p);
	if (!r)
		draft_reset(d);
	return r;
}

int draft_rollback(struct draft *d, struct request *q, const char *text)
{
	struct paths paths = {0};
	int r = 0;

	q->seq = 0;
	pthread_mutex_lock(&d->lock);
	if (d->written)
		r = paths_of(d, &paths);
	if (!r && d->written)
		r = keep_own_bytes(d, q, EVENT_WRITER_KILLED, text, paths.count ? paths.items[0] : "");
	if (!r)
		d->dirty = d->written = false;
	pthread_mutex_unlock(&d->lock);
	paths_release(&paths);
	return r;
}

/* ---- committing ---- */

static int commit_once(struct draft *d, struct request *q, const struct paths *paths, int flags)
{
	struct draft_plan p;
	struct txn t;
	int r = draft_prepare(d, paths->items, paths->count, d->node, flags, &p);

	if (r == -EAGAIN) { /* a stream whose rest is not valid yet: stays a draft */
		draft_plan_release(&p);
		return 0;
	}
	if (!r && p.refuse) {
		r = commit_refused(d, q, &p, paths->items[0]);
		draft_plan_release(&p);
		return r;
	}
	if (!r && d->kind == DRAFT_APPEND && d->size && !p.append_len) {
		draft_plan_release(&p);
		return 0;
	}
	txn_init(&t, d->e, q, draft_operation(d));
	t.blocks = p.blocks;
	p.blocks = (struct record_blocks){0};
	if (!r)
		r = txn_reserve(&t, p.extent_count * RECORD_EXTENT_BYTES + draft_newborn_bytes(d));
	if (!r && d->kind == DRAFT_APPEND && p.append_len < d->size)
		r = draft_split(d, &p);
	if (!r) {
		engine_lock(d->e);
		r = d->node->nlink ? draft_add_to_txn(d, &p, &t, paths->items[0]) : -EAGAIN;
		if (!r)
			r = txn_stage(&t);
		if (!r && p.model)
			model_save_staged(p.model, d->e, t.seq);
		engine_unlock(d->e);
	}
	if (!r)
		draft_committed(d, &p, &t);
	else
		draft_unsplit(d, &p);
	txn_finish(&t);
	draft_plan_release(&p);
	return r;
}

/* The inode has no name any more. */
static int commit_nameless(struct draft *d, struct request *q)
{
	cleanup_buf struct buf path = BUF_INIT;

	if (d->unlinked_by_own || !d->written)
		return 0; /* a private temporary file: its handle goes on reading it */
	engine_lock(d->e);
	draft_last_path(d, &path);
	engine_unlock(d->e);
	return keep_own_bytes(
		d, q, EVENT_CONFLICT_DETECTED, "the file was removed or replaced by somebody else while this was being written", path.data ? path.data : "");
}

/* Opened on a newborn that somebody else has committed since, and not written: there is nothing left to say. */
static bool only_created(struct draft *d)
{
	bool newborn;

	engine_lock(d->e);
	newborn = d->node->flags & NODE_NEWBORN;
	engine_unlock(d->e);
	return d->created && !newborn && !d->written;
}

int draft_commit(struct draft *d, struct request *q, int flags)
{
	pthread_mutex_t *turn = &d->e->commit_locks[d->ino % COMMIT_LOCKS];
	int r = 0;

	q->seq = 0;
	pthread_mutex_lock(&d->lock);
	if (d->actor.pid || !q->actor.pid)
		q->actor = d->actor;
	pthread_mutex_lock(turn);
	for (int tries = 0; tries < COMMIT_TRIES && d->dirty; tries++) {
		struct paths paths = {0};

		if (only_created(d)) {
			d->dirty = false;
			break;
		}
		r = paths_of(d, &paths);
		if (!r)
			r = paths.count ? commit_once(d, q, &paths, flags) : commit_nameless(d, q);
		paths_release(&paths);
		if (r != -EAGAIN)
			break;
	}
	pthread_mutex_unlock(turn);
	if (!r && d->refused && !d->dirty) /* the copy is kept, the answer is the same as before */
		r = reason_set(&q->reason, -EBADMSG, "refused", "what was written was refused before and has not been changed since");
	if ((!r || r == -EBADMSG) && !d->dirty)
		q->seq = d->last_seq; /* also when somebody else's commit, or a rename, has published it already */
	pthread_mutex_unlock(&d->lock);
	return r == -EAGAIN ? -EBUSY : r;
}
