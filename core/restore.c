/* SPDX-License-Identifier: MIT
 *
 * Restoring: a session's state/ and agents/ become what they were at a checkpoint, in one transaction, which is the difference of two views
 * (restore_diff.c). A checkpoint is taken first, so a restore can be undone by another one. Afterwards it is checked (restore_check.c).
 *
 * The difference is made in slices of the engine's lock (restore_diff.c). It is void when somebody changes what it depends on meanwhile, and then made
 * again; after SLICED_TRIES of these it is made under one hold. It is staged in the hold in which it was found to be true. Only its size, and what its
 * events tell of contents, are not known before: so room for an ordinary one is reserved first, and if that is too little, or something has to be
 * read, it is thrown away and made again with enough.
 *
 * What is not there, or too much, or cannot be written changes nothing but for the checkpoint. Damage seen by the check is told, not undone: what could be
 * put back is.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "restore_internal.h"

/* About a thousand changed files. */
#define RESERVE_FIRST (256u << 10)
#define TRIES_FOR_ROOM 8
#define SLICED_TRIES 6

/** One call's work. */
struct restoring {
	struct engine *e;
	const char *session;
	struct restore_result *result;
	struct restore_roots roots;
	struct restore_facts facts;
	uint64_t seq; /* of the checkpoint */
	size_t reserve;
	unsigned moved; /* how often it was void */
	uint64_t staged_seq;
};

/* The names a person may have meant, newest first. */
static int not_found(const struct session *s, const char *name, struct reason *reason)
{
	cleanup_buf struct buf names = BUF_INIT;
	size_t shown = 0;

	for (const struct checkpoint *c = s->newest_checkpoint; c && names.len < 200; c = c->older, shown++)
		buf_printf(&names, "%s%s", shown ? ", " : "", c->id);
	if (!shown)
		return reason_set(reason, -ENOENT, "restore", "there is no checkpoint \"%.128s\": %s has none", name, s->id);
	return reason_set(reason, -ENOENT, "restore", "there is no checkpoint \"%.128s\"; there are: %s%s", name, names.data ? names.data : "",
		shown < s->checkpoint_count ? ", …" : "");
}

static int find(struct restoring *r, const char *name, struct reason *reason)
{
	const struct session *s;
	const struct checkpoint *c;
	int err = 0;

	engine_lock(r->e);
	s = registry_session(r->e, r->session);
	c = !s ? NULL : strcmp(name, CHECKPOINT_LATEST) ? registry_checkpoint(registry_session(r->e, r->session), name) : s->newest_checkpoint;
	if (!s) {
		err = reason_set(reason, -ENOENT, "restore", "there is no session \"%.128s\"", r->session);
	} else if (!c) {
		err = not_found(s, name, reason);
	} else {
		r->seq = c->seq;
		memcpy(r->result->checkpoint, c->id, sizeof(c->id));
	}
	engine_unlock(r->e);
	return err;
}

/* ---- the transaction ---- */

static void add_recovered(struct restoring *r, struct txn *t, const struct restore_diff *d)
{
	txn_add_event(t, EVENT_SESSION_RECOVERED, t->path);
	txn_event_more(t, "\"checkpoint_id\":\"%s\",\"files_restored\":%llu,\"files_removed\":%llu,\"pre_recovery\":\"%s\"", r->result->checkpoint,
		(unsigned long long)d->files_restored, (unsigned long long)d->files_removed, r->result->pre_recovery);
}

/* Lock held, but perhaps not all of the time. -EOVERFLOW: r->reserve has become what it needs; -EAGAIN also when there are facts to be found. */
static int stage(struct restoring *r, struct txn *t, struct restore_diff *d, const struct session_edit *edit)
{
	const struct session *s = registry_session(r->e, r->session);
	const struct node *dir = s ? tree_node(r->e->tree, s->dir_ino) : NULL;
	cleanup_buf struct buf path = BUF_INIT;
	size_t needed;
	int err;

	if (!dir)
		return -ENOENT;
	d->t = t;
	d->seq = r->seq;
	d->seq_time_ns = engine_seq_time(r->e, r->seq);
	r->roots = d->roots = (struct restore_roots){s->state_ino, s->agents_ino};
	if (tree_path_at(r->e->tree, dir, SEQ_LIVE, &path) || !(t->path = txn_strdup(t, path.data)))
		return -ENOMEM;
	d->slices = r->moved < SLICED_TRIES;
	err = restore_diff_make(d);
	r->moved += d->moved;
	if (!err)
		err = restore_facts_ask(&r->facts, d);
	if (!err)
		err = session_edit_add(edit, r->session, t);
	if (err)
		return err;
	add_recovered(r, t, d);
	restore_events_add(&r->facts, d, r->session);
	needed = txn_bytes_max(t);
	if (needed > t->reserved_bytes) {
		r->reserve = needed;
		return t->error ? t->error : -EOVERFLOW;
	}
	for (size_t i = 0; i < d->lost_count; i++)
		drafts_note_unlinked(t->e, d->lost[i], UINT32_MAX); /* by nobody: their bytes are kept */
	err = txn_stage(t);
	if (!err)
		restore_facts_keep(&r->facts, d);
	return err;
}

static int attempt(struct restoring *r, struct request *q)
{
	struct restore_diff d = {0};
	struct session_edit edit;
	struct engine *e = r->e;
	struct txn t;
	int err;

	txn_init(&t, e, q, OPERATION_RESTORE);
	err = session_edit_prepare(e, r->session, NULL, NULL, NULL, &t.blocks, &edit);
	if (!err)
		err = txn_reserve(&t, r->reserve);
	if (!err) {
		engine_lock(e);
		err = stage(r, &t, &d, &edit);
		engine_unlock(e);
	}
	if (!err) {
		r->staged_seq = t.seq;
		r->result->files_restored = d.files_restored;
		r->result->files_removed = d.files_removed;
	}
	txn_finish(&t);
	if (!err && d.gone_count && e->observer)
		e->observer(e->observer_arg, 0, d.gone, d.gone_count);
	restore_diff_release(&d);
	return err == -EAGAIN && restore_facts_find(&r->facts, e) ? -ENOMEM : err;
}

static int transact(struct restoring *r, struct request *q)
{
	unsigned rooms = 0;
	int err = -EAGAIN;

	for (unsigned i = 0; i < CHECKPOINT_TRIES && (err == -EAGAIN || (err == -EOVERFLOW && rooms < TRIES_FOR_ROOM)); i++) {
		err = attempt(r, q);
		rooms += err == -EOVERFLOW;
	}
	if (err == -EFBIG)
		return reason_set(&q->reason, err, "restore", "so much has changed since %s that it does not fit into one transaction", r->result->checkpoint);
	return err == -EAGAIN || err == -EOVERFLOW ? reason_set(&q->reason, -EBUSY, "restore", "%s changes all the time: try again", r->session) : err;
}

int checkpoint_restore(struct engine *e, struct request *q, const char *session, const char *name, struct restore_result *ret)
{
	struct restore_result result = {0};
	struct restoring r = {.e = e, .session = session, .result = &result, .reserve = RESERVE_FIRST};
	struct request before = *q;
	int err = engine_check_writable(e, q);

	q->seq = 0;
	if (!err)
		err = find(&r, name, &q->reason);
	if (!err) {
		err = checkpoint_take(e, &before, session, NULL, "pre_recovery", NULL, result.pre_recovery, NULL);
		if (err)
			q->reason = before.reason;
	}
	if (!err)
		err = transact(&r, q);
	restore_facts_release(&r.facts);
	if (err)
		return err;
	err = restore_check(e, &r.roots, r.seq, r.staged_seq, &result.files_unreadable, &q->reason);
	*ret = result;
	return err;
}
