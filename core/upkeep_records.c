/* SPDX-License-Identifier: MIT
 *
 * What is due of agents and sessions, in one transaction: statuses that changed (each an event), agents that left, heartbeats and counts
 * that are not in the files yet, session.yaml's own fields, lines of monitor.jsonl. So however many agents beat, the journal gets one
 * transaction in UPKEEP_FILES_NS, and one an interval for health; both come at multiples of their intervals, so that they coincide.
 *
 * In three steps: *gathered* under the lock (who is due, and what is known of him), *prepared* without it (files are read and edited), and
 * *staged* under it, if all that was gathered still holds; else it is gathered again. What is in memory follows only what was staged.
 *
 * Left to others: gathering (upkeep_gather.c), who is healthy (upkeep_agents.c), how a file is edited (model*.c).
 *
 * Failure: nothing is staged and it is tried again later. A file that cannot be edited (from before there was a schema, or very large) is
 * left alone until somebody saves it; statuses and events do without.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "upkeep_batch.h"

/* What a frame needs for an agent, or a session, beside the texts: changes, an event, paths. */
#define AGENT_BYTES 1536
#define SESSION_BYTES 1024
#define BATCHES_MAX 64
#define MOVED_RETRY_NS (100 * NS_PER_MS)

/* ---- preparing; no lock is held ---- */

/* What is wrong with one file is no error of the batch. */
static int edit_result(int r, bool *unwritable)
{
	*unwritable = r && r != -ENOMEM;
	return r == -ENOMEM ? r : 0;
}

static int edit_prepare(struct batch *b, uint64_t ino, const struct version *base, const char *text, size_t len, const struct buf *out, struct file_edit *edit)
{
	if (out->len == len && !memcmp(out->data, text, len))
		return 0;
	return file_edit_prepare(ino, base, out->data, out->len, &b->t.blocks, edit);
}

static int64_t mtime_of(struct engine *e, const struct version *v)
{
	int64_t mtime_ns;

	engine_lock(e); /* a rename alters a version's times in place */
	mtime_ns = version_mtime(v);
	engine_unlock(e);
	return mtime_ns;
}

static int prepare_agent(struct batch *b, const char *session, struct agent_work *w)
{
	struct agent_owned owned = {.id = w->id,
		.session_id = session,
		.registered_ns = w->registered_ns,
		.last_updated_ns = b->time_ns,
		.heartbeat_ns = w->heartbeat_ns,
		.operations_added = w->operations,
		.errors_added = w->errors,
		.fill = w->fills};
	const char *status = w->verdict.to != w->from ? agent_status_name(w->verdict.to) : "";
	cleanup_buf struct buf out = BUF_INIT;
	cleanup_free char *text = NULL;
	const struct version *base;
	size_t len;
	int r;

	if (!w->writes)
		return 0;
	r = file_edit_read(b->e, w->ino, &base, &text, &len);
	if (w->changes)
		registry_load_file(b->e, w->ino); /* who saved it may not have come to that; another status than w->from is seen when staging */
	if (!r && !w->pending && !w->lived)
		owned.last_updated_ns = mtime_of(b->e, base);
	if (!r)
		r = len > UPKEEP_TEXT_BYTES_MAX ? -EFBIG : model_edit_agent(text, len, &owned, status, NULL, &out);
	if (r == -EBADMSG && owned.fill) { /* it holds something else where fields would go: then without them */
		owned.fill = false;
		w->writes = w->pending;
		r = w->pending ? model_edit_agent(text, len, &owned, status, NULL, &out) : 0;
	}
	if (!r && w->writes)
		r = edit_prepare(b, w->ino, base, text, len, &out, &w->edit);
	return edit_result(r, &w->unwritable);
}

static bool lists_hold(const char *text, size_t len, uint64_t hash)
{
	struct doc *doc = NULL;
	bool hold = !doc_parse_yaml(text, len, NULL, &doc) && session_owned_hash_of_doc(doc) == hash;

	doc_free(doc);
	return hold;
}

static int prepare_session(struct batch *b, struct session_work *w)
{
	struct session_owned *o = &w->owned.owned;
	cleanup_buf struct buf out = BUF_INIT;
	cleanup_free char *text = NULL;
	const struct version *base;
	size_t len;
	int r;

	if (!w->file_ino || !(w->lists || w->times || w->fills))
		return 0;
	o->id = w->id; /* it pointed into what has been copied */
	r = file_edit_read(b->e, w->file_ino, &base, &text, &len);
	if (!r && !w->fills && !o->last_updated_ns && lists_hold(text, len, w->owned_hash))
		return 0;
	o->fill = w->fills;
	if (!r && w->fills && !o->last_updated_ns)
		o->last_updated_ns = mtime_of(b->e, base);
	if (!r)
		r = len > UPKEEP_TEXT_BYTES_MAX ? -EFBIG : model_edit_session(text, len, o, "", NULL, &out);
	if (r == -EBADMSG && o->fill) {
		o->fill = false;
		if (!(w->lists || w->times))
			return 0;
		r = model_edit_session(text, len, o, "", NULL, &out);
	}
	if (!r)
		r = edit_prepare(b, w->file_ino, base, text, len, &out, &w->edit);
	return edit_result(r, &w->unwritable);
}

/* Whole sessions, until the texts are enough for one transaction; the rest is for the next. */
static int prepare(struct batch *b)
{
	int r = 0;

	for (size_t i = 0; !r && i < b->session_count; i++) {
		struct session_work *w = &b->sessions[i];

		if (b->t.blocks.bytes.len > BATCH_TEXT_BYTES_MAX) {
			while (b->session_count > i) {
				session_owned_release(&b->sessions[--b->session_count].owned);
				monitor_line_release(&b->sessions[b->session_count].line);
			}
			b->agent_count = w->first;
			break;
		}
		for (size_t k = w->first; !r && k < w->first + w->count; k++)
			r = prepare_agent(b, w->id, &b->agents[k]);
		if (!r)
			r = prepare_session(b, w);
		if (!r)
			r = monitor_line_prepare(b->e, &w->line, &b->t.blocks);
	}
	return r;
}

/* ---- staging; the lock is held ---- */

static bool agent_holds(const struct agent *a, const struct agent_work *w)
{
	return a && a->ino == w->ino && a->fields.status == w->from && (a->removed_ns != 0) == w->verdict.leaves && a->operations_added >= w->operations &&
	       a->errors_added >= w->errors && !(w->verdict.to == AGENT_UNHEALTHY && w->changes && a->heartbeat_ns > w->heartbeat_ns);
}

static bool batch_holds(struct batch *b)
{
	for (size_t i = 0; i < b->session_count; i++) {
		struct session_work *w = &b->sessions[i];
		struct session *s = registry_session(b->e, w->id);
		bool holds = s && s->file_ino == w->file_ino;

		for (size_t k = w->first; holds && k < w->first + w->count; k++)
			holds = agent_holds(registry_agent(s, b->agents[k].id), &b->agents[k]);
		if (!holds)
			return false;
		batch_swap_statuses(b, w, s);
		holds = session_owned_hash(s) == w->owned_hash;
		batch_swap_statuses(b, w, s);
		if (!holds)
			return false;
	}
	return true;
}

static void add_agent_event(struct txn *t, const char *session, const struct agent_work *w)
{
	char path[sizeof("state/sessions//agents/.yaml") + 2 * ACTOR_ID_BYTES];
	const char *copy;

	snprintf(path, sizeof(path), "state/sessions/%s/agents/%s.yaml", session, w->id);
	copy = txn_strdup(t, path);
	if (!copy)
		return; /* sticky */
	if (!w->verdict.leaves) {
		model_add_agent_status(t, copy, w->id, agent_status_name(w->from), agent_status_name(w->verdict.to), w->verdict.reason);
		return;
	}
	txn_add_event(t, EVENT_AGENT_DEREGISTERED, copy);
	txn_event_more(t, "\"agent_id\":\"%s\"", w->id);
}

static int add_agent(struct txn *t, const char *session, const struct agent_work *w)
{
	int r = w->edit.base ? file_edit_add(&w->edit, t) : 0;

	if (!r && w->edit.base && w->lived && w->heartbeat_ns > version_mtime(w->edit.base))
		*txn_add_change(t) =
			(struct change){.type = CHANGE_ATTR, .ino = w->ino, .attr_mask = ATTR_MTIME | ATTR_KEEP_CTIME, .mtime_ns = w->heartbeat_ns};
	if (!r && w->changes)
		add_agent_event(t, session, w);
	return r;
}

static int add_all(struct batch *b)
{
	int r = 0;

	for (size_t i = 0; !r && i < b->session_count; i++) {
		const struct session_work *w = &b->sessions[i];

		for (size_t k = w->first; !r && k < w->first + w->count; k++)
			r = add_agent(&b->t, w->id, &b->agents[k]);
		if (!r && w->edit.base)
			r = file_edit_add(&w->edit, &b->t);
		if (!r)
			r = monitor_line_add(&w->line, &b->t);
	}
	return r;
}

/* The version that could not be edited: it is not tried again. */
static uint64_t version_of(struct engine *e, uint64_t ino)
{
	const struct node *n = tree_node(e->tree, ino);

	return n ? n->newest->born : 0;
}

static void settle_agent(struct batch *b, struct agent *a, const struct agent_work *w)
{
	a->written_pass = b->files ? b->files : a->written_pass;
	a->incomplete &= !w->fills; /* once; the file is read again when it has been written */
	if (w->unwritable) {
		a->uneditable = version_of(b->e, w->ino);
	} else if (w->writes) {
		a->operations_added -= w->operations;
		a->errors_added -= w->errors;
		a->fields.operations_completed += w->operations; /* until the file has been read again */
		a->fields.errors_encountered += w->errors;
		a->dirty = a->operations_added || a->errors_added || a->heartbeat_ns > w->heartbeat_ns;
	}
	if (a->dirty && agent_has_pending(b->e, a))
		upkeep_arm_files(b->e);
	if (w->changes)
		agent_become(b->e, a, &w->verdict, b->now_ns);
}

static void settle_session(struct batch *b, struct session *s, const struct session_work *w)
{
	for (size_t k = w->first; k < w->first + w->count; k++)
		settle_agent(b, registry_agent(s, b->agents[k].id), &b->agents[k]);
	if (w->unwritable)
		s->uneditable = version_of(b->e, w->file_ino);
	session_entry(s)->stale = false;
	session_entry(s)->incomplete = false;
	if (w->line.due)
		s->health_due_ns = 0;
}

static int stage(struct batch *b)
{
	bool empty;
	int r;

	if (!batch_holds(b))
		return -EAGAIN;
	r = add_all(b);
	empty = !b->t.change_count && !b->t.event_count && !b->t.error;
	if (!r && !empty)
		r = txn_stage(&b->t);
	for (size_t i = 0; !r && i < b->session_count; i++) {
		struct session *s = registry_session(b->e, b->sessions[i].id);

		if (s)
			settle_session(b, s, &b->sessions[i]);
	}
	return r;
}

/* ---- a batch ---- */

static const char *batch_path(struct batch *b)
{
	char path[sizeof("state/sessions/") + ACTOR_ID_BYTES];
	const char *copy;

	snprintf(path, sizeof(path), "state/sessions/%s", b->sessions[0].id);
	copy = b->session_count == 1 ? txn_strdup(&b->t, path) : NULL;
	return copy ? copy : "state/sessions";
}

static int batch_run(struct batch *b)
{
	struct engine *e = b->e;
	int r;

	batch_gather(b);
	if (b->error || !b->session_count)
		return b->error;
	upkeep_request(e, &b->q);
	txn_init(&b->t, e, &b->q, OPERATION_UPKEEP);
	b->t.path = batch_path(b);
	r = prepare(b);
	if (!r)
		r = txn_reserve(&b->t, b->agent_count * AGENT_BYTES + b->session_count * SESSION_BYTES);
	if (!r) {
		engine_lock(e);
		r = stage(b);
		engine_unlock(e);
	}
	txn_finish(&b->t);
	return r;
}

static void batch_release(struct batch *b)
{
	for (size_t i = 0; i < b->session_count; i++) {
		session_owned_release(&b->sessions[i].owned);
		monitor_line_release(&b->sessions[i].line);
	}
	free(b->sessions);
	free(b->agents);
}

/* The number of a new pass over pending heartbeats, counts and times, if they are due. Whoever adds to them after this makes them due again. */
static uint64_t take_files(struct engine *e, int64_t now_ns)
{
	struct upkeep *u = e->upkeep;
	uint64_t pass = 0;

	engine_lock(e);
	if (u->ends || (u->files_due_ns && u->files_due_ns <= now_ns)) {
		u->files_due_ns = 0;
		pass = ++u->files_passes;
	}
	engine_unlock(e);
	return pass;
}

/* When to come again for files; @left: not all of them were written. */
static int64_t files_next(struct engine *e, bool left)
{
	int64_t due_ns;

	engine_lock(e);
	if (left)
		upkeep_arm_files(e);
	due_ns = e->upkeep->files_due_ns;
	engine_unlock(e);
	return due_ns ? due_ns : INT64_MAX;
}

/* Until nothing is due: only who finds nothing knows when the next thing is. */
int64_t upkeep_records(struct engine *e, int64_t now_ns)
{
	uint64_t files = take_files(e, now_ns);
	size_t agents_max = BATCH_AGENTS_MAX;
	int64_t next_ns = INT64_MAX;
	bool more = true;
	int r = 0;

	for (unsigned i = 0; more && i < BATCHES_MAX; i++) {
		struct batch b = {.e = e, .files = files, .agents_max = agents_max, .next_ns = INT64_MAX};

		r = batch_run(&b);
		more = b.session_count && (!r || r == -EAGAIN || (r == -EFBIG && agents_max > 1));
		agents_max = r == -EFBIG ? MAX(agents_max / 2, (size_t)1) : agents_max;
		next_ns = b.next_ns;
		batch_release(&b);
	}
	if (more || r == -EAGAIN)
		next_ns = MIN(next_ns, now_ns + MOVED_RETRY_NS);
	else if (r)
		next_ns = MIN(next_ns, now_ns + UPKEEP_RETRY_NS);
	return MIN(next_ns, files_next(e, files && (more || r)));
}
