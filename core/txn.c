/* SPDX-License-Identifier: MIT
 *
 * One transaction, from its first change to its place in the journal:
 *
 *   txn_init → (blocks) → txn_reserve → lock → add changes and events → txn_stage → unlock → txn_finish
 *
 * txn_finish() is always called. Everything that can fail comes before the append in txn_stage(); from there on
 * nothing does: events are sealed, the frame is appended, the changes are applied. **The transaction has its place
 * in history at journal_append().** It is acknowledged when the journal says so.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine_internal.h"

void txn_init(struct txn *t, struct engine *e, struct request *q, enum operation op)
{
	*t = (struct txn){.e = e, .q = q, .operation = op, .path = ""};
}

int engine_check_writable(struct engine *e, struct request *q)
{
	if (e->options.read_only)
		return reason_set(&q->reason, -EROFS, "mount", "the store is open read-only");
	if (journal_error(e->journal))
		return reason_set(&q->reason, -EROFS, "journal", "the journal could not be written: read-only until the mount is restarted");
	return 0;
}

int txn_reserve(struct txn *t, size_t extra_bytes)
{
	size_t bytes = t->blocks.bytes.len + TXN_RESERVE_BASE + extra_bytes;
	int r;

	assert(!t->reserved);
	r = engine_check_writable(t->e, t->q);
	if (r)
		return r;
	r = journal_reserve(t->e->journal, bytes);
	if (r == -EFBIG)
		return reason_set(&t->q->reason, r, "journal", "too much changed for one transaction");
	if (r == -ENOSPC)
		return reason_set(&t->q->reason, r, "journal", "no space left on the disk that holds the store");
	if (r)
		return r == -EIO ? -EROFS : r;
	t->reserved = true;
	t->reserved_bytes = bytes;
	return 0;
}

void *txn_alloc(struct txn *t, size_t bytes)
{
	void *p;

	if (array_reserve(&t->owned, &t->owned_capacity, t->owned_count + 1, sizeof(*t->owned)) || !(p = calloc(1, bytes))) {
		t->error = -ENOMEM;
		return NULL;
	}
	t->owned[t->owned_count++] = p;
	return p;
}

char *txn_strdup(struct txn *t, const char *s)
{
	size_t len = strlen(s) + 1;
	char *p = txn_alloc(t, len);

	return p ? memcpy(p, s, len) : NULL;
}

struct change *txn_add_change(struct txn *t)
{
	static __thread struct change sink;

	if (array_reserve(&t->changes, &t->change_capacity, t->change_count + 1, sizeof(*t->changes))) {
		t->error = -ENOMEM;
		sink = (struct change){0};
		return &sink;
	}
	t->changes[t->change_count] = (struct change){0};
	return &t->changes[t->change_count++];
}

struct event *txn_add_event(struct txn *t, enum event_type type, const char *path)
{
	static __thread struct event sink;
	struct event *ev;
	char session[129];

	if (array_reserve(&t->events, &t->event_capacity, t->event_count + 1, sizeof(*t->events))) {
		t->error = -ENOMEM;
		sink = (struct event){0};
		return &sink;
	}
	ev = &t->events[t->event_count++];
	*ev = (struct event){
		.type = type, .path = path, .session = "", .operation = operation_name(t->operation), .new_path = "", .more = "", .custom_type = ""};
	if (layout_session_of(path, session)) {
		char *copy = txn_strdup(t, session);

		if (copy)
			t->events[t->event_count - 1].session = copy;
	}
	return &t->events[t->event_count - 1];
}

void txn_event_more(struct txn *t, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;
	char *copy;

	if (!t->event_count)
		return;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	copy = text.error ? NULL : txn_strdup(t, text.data ? text.data : "");
	buf_release(&text);
	if (copy)
		t->events[t->event_count - 1].more = copy;
	else
		t->error = -ENOMEM;
}

void event_set_old_sha(struct event *ev, const struct sha256 *sha)
{
	ev->flags |= EVENT_HAS_OLD_SHA;
	ev->old_sha = *sha;
}

void event_set_new_sha(struct event *ev, const struct sha256 *sha)
{
	ev->flags |= EVENT_HAS_NEW_SHA;
	ev->new_sha = *sha;
}

/* Commit times never go back, and never repeat, so that a time names one transaction. */
static int64_t txn_time(struct engine *e)
{
	int64_t now = env_time_ns(e->env);

	return now > e->last_time_ns ? now : e->last_time_ns + 1;
}

static void txn_fill_record(const struct txn *t, int64_t time_ns, struct record *r)
{
	*r = (struct record){
		.time_ns = time_ns,
		.started_ns = t->started_ns ? t->started_ns : time_ns,
		.operation = t->operation,
		.actor = t->q->actor,
		.path = t->path,
		.draft_id = t->draft_id,
		.base_seq = t->base ? t->base->born : 0,
		.base_sha = t->base_sha,
		.changes = t->changes,
		.change_count = (uint32_t)t->change_count,
		.events = t->events,
		.event_count = (uint32_t)t->event_count,
		.rollback = t->rollback,
	};
}

static size_t txn_line_bytes_max(const struct txn *t, const struct event_context *ctx)
{
	size_t most = 0;

	for (size_t i = 0; i < t->event_count; i++)
		most = MAX(most, event_line_bytes_max(&t->events[i], ctx));
	return most;
}

size_t txn_bytes_max(const struct txn *t)
{
	struct record r;

	txn_fill_record(t, 0, &r);
	return record_encoded_bytes_max(&r, &t->blocks);
}

static int txn_reserve_memory(struct txn *t, struct record *r, const struct event_context *ctx)
{
	struct engine *e = t->e;
	size_t bytes_max = record_encoded_bytes_max(r, &t->blocks);
	int err;

	if (t->error)
		return t->error;
	if (bytes_max > t->reserved_bytes && r->drafts_over_count) { /* the next one has room for them */
		r->drafts_over_count = 0;
		bytes_max = record_encoded_bytes_max(r, &t->blocks);
	}
	if (bytes_max > t->reserved_bytes)
		return -ENOSPC;
	err = engine_reserve_refs(e, ctx->tx_seq);
	if (!err)
		err = tree_reserve(e->tree, t->changes, t->change_count);
	if (!err)
		err = event_logs_reserve(e->logs, t->events, t->event_count);
	buf_clear(&e->encoded);
	if (!err)
		err = buf_reserve(&e->encoded, bytes_max - t->blocks.bytes.len);
	if (!err)
		err = buf_reserve(&e->scratch, txn_line_bytes_max(t, ctx));
	return err;
}

static void txn_seal(struct txn *t, const struct event_context *ctx)
{
	struct event_chain *global = event_logs_global_chain(t->e->logs);

	for (size_t i = 0; i < t->event_count; i++) {
		struct event_chain *session = event_logs_session_chain(t->e->logs, t->events[i].session);
		int r;

		assert(session); /* memory was reserved */
		r = event_seal(&t->events[i], ctx, (uint32_t)i, session, global, &t->e->scratch);
		assert(!r); /* as above */
	}
}

int txn_stage(struct txn *t)
{
	struct engine *e = t->e;
	int64_t time_ns = txn_time(e);
	uint64_t seq = journal_next_seq(e->journal);
	struct event_context ctx = {.tx_seq = seq, .time_ns = time_ns, .actor = &t->q->actor};
	struct record r;
	struct iovec iov[2];
	uint64_t position;
	int err;

	assert(t->reserved && !t->staged);
	txn_fill_record(t, time_ns, &r);
	r.drafts_over_count = drafts_over(e, &r.drafts_over);
	err = txn_reserve_memory(t, &r, &ctx);
	if (err)
		return err;
	txn_seal(t, &ctx);
	err = record_encode(&r, &t->blocks, &e->encoded);
	assert(!err);
	position = journal_next_position(e->journal, e->encoded.len + t->blocks.bytes.len);
	if (!position) /* poisoned meanwhile: nothing is sealed or applied after this */
		return -EIO;
	iov[0] = (struct iovec){e->encoded.data, e->encoded.len};
	iov[1] = (struct iovec){t->blocks.bytes.data, t->blocks.bytes.len};
	r.seq = journal_append(e->journal, t->reserved_bytes, iov, t->blocks.bytes.len ? 2 : 1);
	assert(r.seq == seq);
	t->staged = true;
	t->blocks_position = position + e->encoded.len;
	record_fix_positions(&r, t->blocks_position);
	restores_note_changes(e, t->changes, t->change_count);
	for (size_t i = 0; i < t->newborn_count; i++)
		engine_newborn_unlink(e, t->newborns[i]);
	for (size_t i = 0; i < t->change_count; i++) {
		err = tree_apply(e->tree, seq, time_ns, &t->changes[i]);
		assert(!err);
	}
	engine_note_record(e, &r, position);
	drafts_over_said(e, r.drafts_over_count);
	e->commits++;
	t->seq = t->q->seq = seq;
	registry_note_transaction(e, t);
	index_consider(e);
	return 0;
}

void txn_finish(struct txn *t)
{
	struct engine *e = t->e;

	if (t->staged) {
		if (t->concerns_model)
			registry_after_commit(e, t->changes, t->change_count);
		drafts_reap(e);
		if (e->observer)
			e->observer(e->observer_arg, t->seq, t->changes, t->change_count);
	} else if (t->reserved) {
		journal_unreserve(e->journal, t->reserved_bytes);
	}
	for (size_t i = 0; i < t->owned_count; i++)
		free(t->owned[i]);
	free(t->owned);
	free(t->changes);
	free(t->events);
	record_blocks_release(&t->blocks);
	*t = (struct txn){.e = e, .q = t->q, .path = ""};
}
