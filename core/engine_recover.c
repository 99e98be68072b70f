/* SPDX-License-Identifier: MIT
 *
 * Recovery: from a store on disk to an engine at its head. Opens the stores, replays each record through the same
 * tree_apply() live transactions use, makes what a store must have (fixed directories, settings) in one transaction, completes sessions of
 * earlier versions, and collects in `problems` the sentences health shows.
 *
 * A record that cannot be decoded or does not fit the tree after damage is skipped and named; a record of a newer format stops
 * everything, since ignoring it would lose data.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine_internal.h"
#include "session.h"

void engine_problem(struct engine *e, const char *fmt, ...)
{
	va_list ap;

	if (e->problems.len > 16384)
		return; /* a thousand of them say no more than a hundred */
	va_start(ap, fmt);
	buf_vprintf(&e->problems, fmt, ap);
	va_end(ap);
	buf_append_str(&e->problems, "\n");
}

int engine_reserve_refs(struct engine *e, uint64_t seq)
{
	int r = array_reserve(&e->txns, &e->txn_capacity, seq, sizeof(*e->txns));

	if (!r)
		r = array_reserve(&e->rollbacks.seqs, &e->rollbacks.capacity, e->rollbacks.count + 1, sizeof(*e->rollbacks.seqs));
	if (!r)
		r = array_reserve(&e->restores.seqs, &e->restores.capacity, e->restores.count + 1, sizeof(*e->restores.seqs));
	if (!r)
		r = array_reserve(&e->ended, &e->ended_capacity, e->ended_count + 1, sizeof(*e->ended));
	return r;
}

bool engine_seq_lost(const struct engine *e, uint64_t seq)
{
	return e->txns[seq - 1].position == (seq > 1 ? e->txns[seq - 2].position : 0);
}

/* Numbers that no record is left of; room is reserved. */
static void note_lost(struct engine *e, uint64_t last)
{
	struct txn_ref before = e->head_seq ? e->txns[e->head_seq - 1] : (struct txn_ref){0};

	for (uint64_t lost = e->head_seq + 1; lost <= last; lost++)
		e->txns[lost - 1] = before;
}

int engine_note_lost(struct engine *e, uint64_t last)
{
	int r = last > e->head_seq ? engine_reserve_refs(e, last) : 0;

	if (r || last <= e->head_seq)
		return r;
	note_lost(e, last);
	__atomic_store_n(&e->head_seq, last, __ATOMIC_RELEASE);
	return 0;
}

void engine_note_record(struct engine *e, const struct record *r, uint64_t position)
{
	note_lost(e, r->seq - 1);
	e->txns[r->seq - 1] = (struct txn_ref){position, r->time_ns};
	if (r->operation == OPERATION_ROLLBACK)
		e->rollbacks.seqs[e->rollbacks.count++] = r->seq;
	else if (r->operation == OPERATION_RESTORE)
		e->restores.seqs[e->restores.count++] = r->seq;
	for (uint32_t i = 0; i < r->event_count; i++)
		event_logs_add(e->logs, &r->events[i], position, r->seq, r->time_ns);
	/* What history calls over is never begun again. */
	e->next_draft_id = MAX(e->next_draft_id, r->draft_id + 1);
	for (uint32_t i = 0; i < r->drafts_over_count; i++)
		e->next_draft_id = MAX(e->next_draft_id, r->drafts_over[i] + 1);
	e->last_time_ns = r->time_ns;
	__atomic_store_n(&e->head_seq, r->seq, __ATOMIC_RELEASE);
}

static int replay_apply(struct engine *e, struct record *r, uint64_t position)
{
	int err = engine_reserve_refs(e, r->seq);

	if (!err)
		err = event_logs_reserve(e->logs, r->events, r->event_count);
	if (!err)
		err = tree_reserve(e->tree, r->changes, r->change_count);
	if (err)
		return err;
	for (uint32_t i = 0; i < r->change_count; i++) {
		if (tree_apply(e->tree, r->seq, r->time_ns, &r->changes[i]))
			engine_problem(e, "transaction %llu: a change to inode %llu could not be applied because earlier history is damaged",
				(unsigned long long)r->seq, (unsigned long long)r->changes[i].ino);
	}
	for (uint32_t i = 0; i < r->event_count; i++) {
		struct event_chain *session = event_logs_session_chain(e->logs, r->events[i].session);

		if (!session)
			return -ENOMEM;
		event_follow(&r->events[i], session, event_logs_global_chain(e->logs));
	}
	engine_note_record(e, r, position);
	if (r->draft_id)
		drafts_forget_consumed(e, r->draft_id);
	for (uint32_t i = 0; i < r->drafts_over_count; i++)
		drafts_forget_consumed(e, r->drafts_over[i]);
	e->replayed++;
	return 0;
}

static int replay_frame(void *arg, uint64_t seq, uint64_t position, const uint8_t *payload, size_t len)
{
	struct engine *e = arg;
	struct record *r;
	int err = record_decode_into(&e->replay_memory, payload, len, position, seq, &r);

	if (err == -EPROTONOSUPPORT)
		return reason_set(e->recover_reason, err, "journal", "transaction %llu was written by a newer milestonefs: use that version, or a newer one",
			(unsigned long long)seq);
	if (err == -ENOMEM)
		return err;
	if (err) {
		engine_problem(e, "transaction %llu: its record is malformed and was skipped", (unsigned long long)seq);
		return 0;
	}
	return replay_apply(e, r, position);
}

/* ---- what every store has ---- */

struct layout_walk {
	struct txn *t;
	struct engine *e;
};

static struct node *txn_parent_of(struct engine *e, struct txn *t, const char *path, const char **ret_name, uint64_t *ret_ino)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = slash ? strndup(path, (size_t)(slash - path)) : NULL;
	struct node *n = NULL;

	*ret_name = slash ? slash + 1 : path;
	if (!slash) {
		*ret_ino = TREE_ROOT_INO;
		return tree_node(e->tree, TREE_ROOT_INO);
	}
	n = dir ? tree_resolve(e->tree, dir, SEQ_LIVE) : NULL;
	if (n) {
		*ret_ino = n->ino;
		return n;
	}
	/* Made earlier in this very transaction: found by its path among the changes' owned names. */
	for (size_t i = 0; dir && i < t->change_count; i++)
		if (t->changes[i].type == CHANGE_CREATE && t->changes[i].value && !strcmp(t->changes[i].value, dir))
			*ret_ino = t->changes[i].ino;
	return NULL;
}

static int layout_make_dir(void *arg, const char *path)
{
	struct layout_walk *w = arg;
	const char *name;
	uint64_t parent = 0;
	struct change *c;

	if (tree_resolve(w->e->tree, path, SEQ_LIVE))
		return 0;
	(void)txn_parent_of(w->e, w->t, path, &name, &parent);
	c = txn_add_change(w->t);
	*c = (struct change){.type = CHANGE_CREATE,
		.ino = tree_take_ino(w->e->tree),
		.parent = parent,
		.name = name,
		.name_len = (uint32_t)strlen(name),
		.mode = S_IFDIR | 0755,
		.uid = w->e->options.root_uid,
		.gid = w->e->options.root_gid,
		.value = path,
		.value_len = 0};
	return 0;
}

static void layout_make_config(struct engine *e, struct txn *t, const struct buf *text)
{
	const char *name;
	uint64_t parent = 0, ino = tree_take_ino(e->tree);
	struct extent *x = txn_alloc(t, sizeof(*x));
	struct change *c;

	(void)txn_parent_of(e, t, "status/config.yaml", &name, &parent);
	if (!x)
		return;
	if (record_blocks_add(&t->blocks, text->data, text->len, x))
		t->error = -ENOMEM;
	x->file_offset = 0;
	x->len = text->len;
	c = txn_add_change(t);
	*c = (struct change){.type = CHANGE_CREATE,
		.ino = ino,
		.parent = parent,
		.name = name,
		.name_len = (uint32_t)strlen(name),
		.mode = S_IFREG | 0644,
		.uid = e->options.root_uid,
		.gid = e->options.root_gid};
	c = txn_add_change(t);
	*c = (struct change){.type = CHANGE_CONTENT, .ino = ino, .content_flags = CONTENT_REPLACE, .size = text->len, .extents = x, .extent_count = 1};
}

/* Changes of directories carry their own path in `value` with length 0 until here, for txn_parent_of(). */
static void layout_forget_paths(struct txn *t)
{
	for (size_t i = 0; i < t->change_count; i++)
		t->changes[i].value = NULL;
}

static int layout_lacks_dir(void *arg, const char *path)
{
	return !tree_resolve(((struct engine *)arg)->tree, path, SEQ_LIVE);
}

/* Only a new store does, or one of an earlier version; others can be mounted on a full disk. */
static bool layout_lacks_something(struct engine *e)
{
	return layout_each_fixed_dir(layout_lacks_dir, e) || !tree_resolve(e->tree, "status/config.yaml", SEQ_LIVE);
}

static int layout_make(struct engine *e, struct request *q)
{
	struct txn t;
	struct layout_walk w = {.t = &t, .e = e};
	struct buf text = BUF_INIT;
	bool fresh = e->head_seq == 0;
	int r;

	txn_init(&t, e, q, OPERATION_FORMAT);
	config_render(e->config, &text);
	r = text.error ? text.error : txn_reserve(&t, text.len);
	if (!r) {
		engine_lock(e);
		(void)layout_each_fixed_dir(layout_make_dir, &w); /* errors are sticky in the transaction */
		if (!tree_resolve(e->tree, "status/config.yaml", SEQ_LIVE))
			layout_make_config(e, &t, &text);
		layout_forget_paths(&t);
		if (fresh)
			txn_add_event(&t, EVENT_STORE_CREATED, "");
		r = txn_stage(&t);
		engine_unlock(e);
	}
	txn_finish(&t);
	buf_release(&text);
	return r;
}

static int engine_ensure_layout(struct engine *e)
{
	struct request q = {0};
	int r = 0;

	snprintf(q.actor.comm, sizeof(q.actor.comm), "milestonefs");
	q.actor.uid = e->options.root_uid;
	q.actor.gid = e->options.root_gid;
	if (layout_lacks_something(e))
		r = layout_make(e, &q);
	if (!r)
		r = sessions_complete(e, &q);
	return r ? r : engine_wait(e, q.seq, JOURNAL_DURABLE);
}

static void recover_describe(struct engine *e)
{
	char text[256];

	for (size_t i = 0; i < e->recovery.damage_count; i++) {
		journal_damage_describe(&e->recovery.damage[i], text, sizeof(text));
		engine_problem(e, "%s", text);
	}
}

static int engine_set_config(struct engine *e, struct config *fresh)
{
	engine_lock(e);
	if (array_reserve(&e->retired, &e->retired_capacity, e->retired_count + 1, sizeof(*e->retired))) {
		engine_unlock(e);
		return -ENOMEM;
	}
	e->retired[e->retired_count++] = fresh;
	__atomic_store_n(&e->config, fresh, __ATOMIC_RELEASE);
	engine_unlock(e);
	if (e->journal)
		journal_set_sync_interval(e->journal, e->options.sync_given ? e->options.sync_interval_ms : (uint32_t)fresh->sync_interval_ms);
	return 0;
}

static int engine_read_path(struct engine *e, const char *path, struct buf *out, uint64_t *ret_ino)
{
	struct version_extents scratch = {0};
	const struct version *v = NULL;
	struct node *n;
	ssize_t got = 0;

	engine_lock(e);
	n = tree_resolve(e->tree, path, engine_live_seq(e));
	v = n ? tree_version_at(n, engine_live_seq(e)) : NULL;
	engine_unlock(e);
	if (!v)
		return -ENOENT;
	*ret_ino = n->ino;
	if (v->size > (1u << 20) || buf_reserve(out, (size_t)v->size))
		return -EFBIG;
	if (v->size)
		got = engine_read(e, v, &scratch, 0, out->data, (size_t)v->size);
	extent_map_release(&scratch.map);
	if (got < 0)
		return (int)got;
	out->len = (size_t)got;
	return 0;
}

int engine_reload_config(struct engine *e)
{
	struct buf text = BUF_INIT;
	struct reason why = {0};
	struct config *fresh = calloc(1, sizeof(*fresh));
	uint64_t ino;
	int r = fresh ? engine_read_path(e, "status/config.yaml", &text, &ino) : -ENOMEM;

	if (!r)
		r = config_parse(text.data ? text.data : "", text.len, &why, fresh);
	else if (r == -ENOENT)
		r = config_init(fresh);
	buf_release(&text);
	if (!r)
		r = engine_set_config(e, fresh);
	if (r) {
		free(fresh);
		engine_lock(e);
		if (why.text[0])
			engine_problem(e, "status/config.yaml is not in force: line %u: %s", why.line, why.text);
		else
			engine_problem(e, "status/config.yaml is not in force: it cannot be read: %s", strerror(-r));
		engine_unlock(e);
	}
	return r;
}

static int recover_default_config(struct engine *e)
{
	struct config *c = calloc(1, sizeof(*c));
	int r = c ? config_init(c) : -ENOMEM;

	if (!r)
		r = engine_set_config(e, c);
	if (r)
		free(c);
	return r;
}

int engine_recover(struct engine *e, struct reason *reason)
{
	int64_t start = env_monotonic_ns(e->env);
	struct reason own = {0};
	int r;

	e->opened_ns = env_time_ns(e->env);
	e->recover_reason = reason ? reason : &own;
	r = recover_default_config(e);
	if (!r)
		r = engine_open_stores(e, replay_frame, e->recover_reason);
	if (r)
		return r;
	record_arena_release(&e->replay_memory);
	recover_describe(e);
	drafts_finish_recovery(e);
	if (e->options.threads && !e->options.read_only)
		r = journal_start(e->journal);
	if (!r && !e->options.read_only)
		r = engine_ensure_layout(e);
	if (r)
		return reason_set(reason, r, "store", "the store cannot be written: %s%s", strerror(-r),
			r == -ENOSPC ? "; a new one takes some 50 MiB; mount again when there is room" : "");
	(void)engine_reload_config(e); /* a bad file is a problem health shows; the defaults hold */
	r = registry_start(e);
	if (!r)
		r = upkeep_start(e);
	if (!r)
		r = barriers_start(e);
	if (!r)
		r = lock_files_start(e);
	if (r)
		return r;
	e->recovery_ns = env_monotonic_ns(e->env) - start;
	if (e->options.threads && !e->options.read_only)
		r = index_start(e);
	if (!r && e->index_started)
		r = scrub_start(e, e->index_seq);
	return r;
}
