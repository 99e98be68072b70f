/* SPDX-License-Identifier: MIT
 *
 * The first step of upkeep_records.c: under the lock, who is due, and copies of what is known of him, so that all else can be done without it.
 *
 * A session is gathered with those of its agents about whom there is something to say; its lists and its line of health are made with the
 * statuses they are about to get. What does not fit one transaction is left for the next; so is the line then, which speaks of all.
 */
#include <errno.h>
#include <string.h>

#include "upkeep_batch.h"

#define INTERVAL_NS_MAX (INT64_MAX / 8)

static bool is_editable(const struct engine *e, uint64_t ino, uint64_t uneditable)
{
	const struct node *n = ino ? tree_node(e->tree, ino) : NULL;

	return n && n->newest->born != uneditable;
}

bool agent_has_pending(const struct engine *e, const struct agent *a)
{
	return a->dirty && !a->removed_ns && is_editable(e, a->ino, a->uneditable);
}

/* When the directory, or the file, came to be where it is. */
static int64_t named_at(struct engine *e, uint64_t ino)
{
	const struct node *n = tree_node(e->tree, ino);

	return n && n->names ? engine_seq_time(e, n->names->born) : 0;
}

static int64_t registered_at(struct engine *e, const struct agent *a)
{
	return a->fields.registered_ns ? a->fields.registered_ns : named_at(e, a->ino);
}

/* False: there is no room for it in this batch. */
static bool gather_agent(struct batch *b, struct agent *a, const struct judging *j)
{
	struct agent_work *w;
	struct verdict v;
	bool changes = agent_judge(a, j, &v), fills = a->incomplete && !a->removed_ns && is_editable(b->e, a->ino, a->uneditable);
	bool pending = changes || (b->files && a->written_pass != b->files && agent_has_pending(b->e, a));

	if (a->removed_ns && !changes)
		b->next_ns = MIN(b->next_ns, a->removed_ns + REMOVED_RECENTLY_NS);
	if (!pending && !fills)
		return true;
	if (b->agent_count >= b->agents_max)
		return false;
	if (array_reserve(&b->agents, &b->agent_capacity, b->agent_count + 1, sizeof(*b->agents))) {
		b->error = -ENOMEM;
		return false;
	}
	w = &b->agents[b->agent_count++];
	*w = (struct agent_work){.ino = a->ino,
		.from = a->fields.status,
		.verdict = v,
		.changes = changes,
		.writes = !v.leaves,
		.fills = fills,
		.pending = pending,
		.lived = a->dirty,
		.heartbeat_ns = a->heartbeat_ns,
		.registered_ns = registered_at(b->e, a),
		.operations = a->operations_added,
		.errors = a->errors_added};
	memcpy(w->id, a->id, sizeof(w->id));
	return true;
}

void batch_swap_statuses(struct batch *b, const struct session_work *w, struct session *s)
{
	for (size_t i = w->first; i < w->first + w->count; i++) {
		struct agent *a = registry_agent(s, b->agents[i].id);
		enum agent_status other = b->agents[i].verdict.leaves ? AGENT_COMPLETED : b->agents[i].verdict.to;

		if (!b->agents[i].changes || !a)
			continue;
		if (a->fields.status == other)
			other = b->agents[i].from;
		a->fields.status = other;
	}
}

/* When its health is due: not at all while nobody is to be watched. */
static bool health_is_due(struct batch *b, struct session *s, int64_t interval_ns)
{
	bool watched = false;

	for (const struct agent *a = s->agents; a && !watched; a = a->next)
		watched = agent_is_watched(a);
	if (!watched || session_status_is_over(s->fields.status)) {
		s->health_due_ns = 0;
		return false;
	}
	if (!s->health_due_ns || s->health_due_ns - b->now_ns > interval_ns)
		s->health_due_ns = upkeep_next(b->now_ns, interval_ns);
	if (s->health_due_ns <= b->now_ns)
		return true;
	b->next_ns = MIN(b->next_ns, s->health_due_ns);
	return false;
}

static bool times_are_due(const struct batch *b, const struct session *s)
{
	const struct node *n = b->files && s->file_ino ? tree_node(b->e->tree, s->file_ino) : NULL;

	return n && s->changed_seq > n->newest->born && n->newest->born != s->uneditable;
}

/* A version that nobody has read yet may put the lists right; who reads it will say. */
static bool is_stale(const struct batch *b, struct session *s)
{
	const struct place *p = s->file_ino ? place_find(b->e->registry, s->file_ino) : NULL;
	const struct node *n = p ? tree_node(b->e->tree, s->file_ino) : NULL;

	return session_entry(s)->stale && (!n || n->newest == p->loaded);
}

/* last_updated stays when nothing but a stale list is put right. */
static int fill_session(struct batch *b, struct session_work *w, struct session *s, bool line)
{
	uint64_t hash = session_owned_hash(s);
	int r;

	batch_swap_statuses(b, w, s);
	w->owned_hash = session_owned_hash(s);
	w->lists = (is_stale(b, s) || w->owned_hash != hash) && is_editable(b->e, s->file_ino, s->uneditable);
	r = session_owned_fill(b->e, s, w->owned_hash != hash ? b->time_ns : w->times ? s->changed_ns : 0, &w->owned);
	if (!r && w->fills && !w->owned.owned.created_ns)
		w->owned.owned.created_ns = named_at(b->e, s->dir_ino);
	if (!r && line) {
		r = monitor_line_make(b->e, s, b->time_ns, &w->line);
		if (r)
			session_owned_release(&w->owned);
	}
	batch_swap_statuses(b, w, s);
	return r;
}

static void gather_session(struct batch *b, struct session *s)
{
	uint64_t interval_s = s->fields.heartbeat_interval_s ? s->fields.heartbeat_interval_s : SESSION_HEARTBEAT_INTERVAL_S;
	int64_t interval_ns = MIN(upkeep_after(0, interval_s), INTERVAL_NS_MAX);
	bool due = health_is_due(b, s, interval_ns), all = true;
	struct judging j = {.now_ns = b->now_ns, .interval_ns = interval_ns, .silence = due, .ends = b->ends};
	struct session_work w = {.file_ino = s->file_ino, .first = b->agent_count};

	for (struct agent *a = s->agents; a && all && !b->error; a = a->next)
		all = gather_agent(b, a, &j);
	w.count = b->agent_count - w.first;
	w.times = times_are_due(b, s);
	w.fills = session_entry(s)->incomplete && is_editable(b->e, s->file_ino, s->uneditable);
	if (b->error || !(w.count || is_stale(b, s) || w.times || w.fills || (due && all)))
		return;
	memcpy(w.id, s->id, sizeof(w.id));
	if (array_reserve(&b->sessions, &b->session_capacity, b->session_count + 1, sizeof(*b->sessions)) || fill_session(b, &w, s, due && all))
		b->error = -ENOMEM;
	else
		b->sessions[b->session_count++] = w;
}

void batch_gather(struct batch *b)
{
	engine_lock(b->e);
	b->now_ns = env_monotonic_ns(b->e->env);
	b->time_ns = env_time_ns(b->e->env);
	b->ends = b->e->upkeep->ends;
	for (struct session *s = registry_first_session(b->e); s && !b->error; s = s->next) {
		if (b->session_count == BATCH_SESSIONS_MAX || b->agent_count >= b->agents_max)
			break; /* the rest is for the next batch */
		gather_session(b, s);
	}
	engine_unlock(b->e);
}
