/* SPDX-License-Identifier: MIT
 *
 * What the files of the state model say, into the registry; and status/config.yaml into force. A file is read and parsed without the
 * engine's lock, so two commits may load one file in any order: whoever finds the version it read still the newest puts it into force,
 * others look again.
 *
 * Left to others: whether a file may be saved so (model*.c); which files there are (registry_places.c).
 *
 * Failure: a file that cannot be read leaves in force what it said last (at first: the defaults); a setting that is wrong is a problem
 * health shows.
 */
#include "registry_private.h"

#include <errno.h>
#include <string.h>

#include "model_schema.h"
#include "upkeep.h"

#define VERSIONS_MAX 256      /* of an agent's file, looked at for what it was before it became unhealthy */
#define CHANGED_EVENTS_MAX 64 /* looked at, at the start, for a session's newest change */

/* ---- one file ---- */

/* What a file said, until it is put into force. */
struct loaded {
	bool is_agent;
	bool incomplete; /* fields are missing; never of what cannot be parsed */
	struct session_fields session;
	struct agent_fields agent;
	uint32_t pid_said;  /* as the file says it */
	bool somebody_said; /* and it was not the daemon who saved it */
	uint64_t owned_hash;
	enum agent_status was;            /* what the agent is in memory */
	enum agent_status before_silence; /* of one that is found unhealthy; UNHEALTHY: not looked for */
};

static void loaded_release(struct loaded *l)
{
	if (l->is_agent)
		agent_fields_release(&l->agent);
	else
		session_fields_release(&l->session);
}

/* What an unhealthy agent was before, as far as history knows: its file's older versions. */
static enum agent_status find_before_silence(struct engine *e, const struct version *v)
{
	enum agent_status status = AGENT_UNHEALTHY;

	for (unsigned i = 0; status == AGENT_UNHEALTHY && i < VERSIONS_MAX && (v = v->older); i++) {
		cleanup_free char *text = NULL;
		struct agent_fields f;

		if (v->size > MODEL_BYTES_MAX || engine_read_text(e, v, &text) || agent_fields_parse(text, (size_t)v->size, &f))
			break;
		status = f.status;
		agent_fields_release(&f);
	}
	return status == AGENT_IDLE ? AGENT_IDLE : AGENT_ACTIVE;
}

/* What the writer of this version means by its pid. At the start nobody can tell that any more. */
static void find_pid_meant(struct engine *e, const struct version *v, struct loaded *l)
{
	struct record *rec;

	l->pid_said = l->agent.pid;
	if (!l->pid_said || e->registry->scanning || engine_load_record(e, v->born, &rec))
		return;
	l->somebody_said = rec->actor.pid != 0;
	l->agent.pid = registry_number_meant(e, rec->actor.pid, l->pid_said);
	record_free(rec);
}

static int load_text(struct engine *e, const struct version *v, struct loaded *l)
{
	cleanup_free char *text = NULL;
	struct doc *doc = NULL;
	int r = v->size > engine_config(e)->rule_bytes_max ? -EFBIG : engine_read_text(e, v, &text);

	if (r)
		return r;
	if (doc_parse_yaml(text, (size_t)v->size, NULL, &doc) == -ENOMEM)
		return -ENOMEM;
	l->incomplete = doc && !model_is_complete(l->is_agent ? MODEL_AGENT : MODEL_SESSION, doc_root(doc));
	l->owned_hash = l->is_agent ? 0 : session_owned_hash_of_doc(doc);
	r = l->is_agent ? agent_fields_of(doc_root(doc), &l->agent) : session_fields_of(doc_root(doc), &l->session);
	doc_free(doc);
	l->before_silence = AGENT_UNHEALTHY;
	if (!r && l->is_agent)
		find_pid_meant(e, v, l);
	if (!r && l->is_agent && l->agent.status == AGENT_UNHEALTHY && l->was != AGENT_UNHEALTHY)
		l->before_silence = find_before_silence(e, v);
	return r;
}

/* Is anything due at another time now? */
static bool deadlines_differ(const struct session_fields *a, const struct session_fields *b)
{
	return a->status != b->status || a->created_ns != b->created_ns || a->auto_checkpoint != b->auto_checkpoint ||
	       a->recovery_enabled != b->recovery_enabled || a->checkpoint_interval_s != b->checkpoint_interval_s ||
	       a->max_session_duration_s != b->max_session_duration_s || a->backup_retention_days != b->backup_retention_days ||
	       a->heartbeat_interval_s != b->heartbeat_interval_s;
}

static void session_take(struct engine *e, struct session *s, struct loaded *l)
{
	bool differ = deadlines_differ(&s->fields, &l->session);

	if (s->fields.status != l->session.status)
		s->reopened_ns = 0;
	session_fields_release(&s->fields);
	s->fields = l->session;
	session_entry(s)->owned_hash = l->owned_hash;
	session_entry(s)->incomplete = l->incomplete;
	session_entry(s)->stale = false; /* it was, perhaps, until this was read */
	session_check_owned(e, s);
	if (differ || l->incomplete)
		upkeep_wake(e);
}

static void agent_take(struct engine *e, struct agent *a, struct loaded *l, const struct version *v)
{
	enum agent_status before = a->fields.status;
	uint32_t pid_before = a->fields.pid;
	int64_t said_ns = MAX(l->agent.heartbeat_ns, l->agent.registered_ns);

	if (!l->somebody_said && l->pid_said == a->pid_said)
		l->agent.pid = pid_before; /* it means what it meant */
	a->pid_said = l->pid_said;
	agent_fields_release(&a->fields);
	a->fields = l->agent;
	if (before != AGENT_UNHEALTHY && l->before_silence != AGENT_UNHEALTHY)
		a->before_silence = l->before_silence;
	a->incomplete = l->incomplete;
	a->heartbeat_ns = MAX(a->heartbeat_ns, MIN(said_ns, env_time_ns(e->env)));
	a->pid_known_ns = MAX(a->heartbeat_ns, engine_seq_time(e, v->born));
	if (a->fields.pid != a->ended_pid)
		a->ended_pid = 0;
	agent_pid_update(e->registry, a);
	if (a->fields.status != before) {
		a->alive_ns = env_monotonic_ns(e->env);
		a->lived = false;
	}
	session_check_owned(e, a->session);
	if (a->fields.status != before || a->fields.pid != pid_before)
		upkeep_agent_changed(e, a, before);
	else if (a->incomplete)
		upkeep_wake(e);
}

/* The version to read, or NULL when the file is not the model's (any more) or is in force already. Lock held. */
static const struct version *version_wanted(struct engine *e, uint64_t ino, struct loaded *l)
{
	const struct place *p = place_find(e->registry, ino);
	const struct node *n = p && p->kind == PLACE_NONE ? tree_node(e->tree, ino) : NULL;

	if (!n || n->newest == p->loaded)
		return NULL;
	l->is_agent = p->agent != NULL;
	l->was = p->agent ? p->agent->fields.status : AGENT_INITIALIZING;
	return n->newest;
}

/* True when there is nothing left to do. Lock held. */
static bool take(struct engine *e, uint64_t ino, const struct version *v, struct loaded *l)
{
	bool was_agent = l->is_agent;
	const struct version *now = version_wanted(e, ino, l);
	struct place *p = now ? place_find(e->registry, ino) : NULL;

	if (!now || (now == v && l->is_agent == was_agent)) {
		if (p && p->agent)
			agent_take(e, p->agent, l, v);
		else if (p)
			session_take(e, p->session, l);
		if (p)
			p->loaded = v;
		else
			loaded_release(l);
		return true;
	}
	l->is_agent = was_agent;
	loaded_release(l);
	return false;
}

void registry_load_file(struct engine *e, uint64_t ino)
{
	for (;;) {
		struct loaded l = {0};
		const struct version *v;
		bool done;

		engine_lock(e);
		v = version_wanted(e, ino, &l);
		engine_unlock(e);
		if (!v || load_text(e, v, &l))
			return;
		engine_lock(e);
		done = take(e, ino, v, &l);
		engine_unlock(e);
		if (done)
			return;
	}
}

/* ---- after a transaction ---- */

static bool is_named(const char *name, size_t len, const char *wanted)
{
	return name && len == strlen(wanted) && !memcmp(name, wanted, len);
}

static bool is_config(struct engine *e, const struct change *c)
{
	const struct node *n;

	if (c->type == CHANGE_CREATE || c->type == CHANGE_LINK || c->type == CHANGE_UNLINK)
		return is_named(c->name, c->name_len, "config.yaml");
	n = tree_node(e->tree, c->ino);
	return c->type == CHANGE_CONTENT && n && n->names && is_named(n->names->name->text, n->names->name->len, "config.yaml");
}

enum concern { CONCERN_NONE, CONCERN_CONFIG, CONCERN_FILE, CONCERN_LOCK, CONCERN_BARRIER };

/* What is to be done without the lock for a change. Lock held. */
static enum concern concern_of(struct engine *e, const struct change *c)
{
	struct place *p = place_of_change(e, c), *file;

	if (!p)
		return CONCERN_NONE;
	switch (p->kind) {
	case PLACE_STATUS:
		return is_config(e, c) ? CONCERN_CONFIG : CONCERN_NONE;
	case PLACE_LOCKS:
		return CONCERN_LOCK;
	case PLACE_SYNC:
	case PLACE_BARRIER:
		barriers_changed(e, p->session, p->ino, c->ino);
		return p->kind == PLACE_BARRIER ? CONCERN_BARRIER : CONCERN_NONE;
	default:
		file = place_find(e->registry, c->ino);
		return file && file->kind == PLACE_NONE ? CONCERN_FILE : CONCERN_NONE;
	}
}

void registry_after_commit(struct engine *e, const struct change *changes, size_t count)
{
	for (size_t i = 0; e->registry && i < count; i++) {
		enum concern concern;

		engine_lock(e);
		for (concern = concern_of(e, &changes[i]); concern == CONCERN_NONE && i + 1 < count; concern = concern_of(e, &changes[i]))
			i++;
		engine_unlock(e);
		switch (concern) {
		case CONCERN_CONFIG:
			(void)engine_reload_config(e); /* a bad one is a problem health shows */
			break;
		case CONCERN_FILE:
			registry_load_file(e, changes[i].ino);
			break;
		case CONCERN_LOCK:
			lock_files_changed(e, changes[i].ino);
			break;
		case CONCERN_BARRIER:
			barriers_read_files(e);
			break;
		case CONCERN_NONE:
			break;
		}
	}
}

/* ---- the start ---- */

/* The newest transaction of somebody else than the daemon in a session, as far back as its newest checkpoint. */
static void find_changed(struct engine *e, struct session *s)
{
	uint64_t from = s->newest_checkpoint ? s->newest_checkpoint->seq : 0, before = 0;
	struct event_ref ref;

	for (size_t back = 0; back < CHANGED_EVENTS_MAX && event_log_last(engine_event_logs(e), s->id, back, &ref); back++) {
		uint64_t seq = engine_event_seq(e, &ref);
		struct record *rec;

		if (!back)
			s->changed_ns = engine_seq_time(e, seq);
		if (seq <= from)
			return;
		if (seq == before || engine_load_record(e, seq, &rec))
			continue; /* what is damaged is no reason */
		before = seq;
		if (registry_is_change(rec->operation, &rec->actor)) {
			s->changed_seq = seq;
			s->changed_ns = rec->time_ns;
			s->unsaved_ns = MAX(env_monotonic_ns(e->env) - MAX(env_time_ns(e->env) - rec->time_ns, 0), 1);
		}
		record_free(rec);
		if (s->changed_seq)
			return;
	}
}

int registry_start(struct engine *e)
{
	int r;

	e->registry = calloc(1, sizeof(*e->registry));
	if (!e->registry)
		return -ENOMEM;
	r = places_scan(e);
	for (struct session *s = e->registry->first; !r && s; s = s->next) {
		registry_load_file(e, s->file_ino);
		for (const struct agent *a = s->agents; a; a = a->next)
			registry_load_file(e, a->ino);
		find_changed(e, s);
		session_check_owned(e, s);
	}
	return r;
}

void registry_free(struct registry *r)
{
	struct place *p, *next;

	if (!r)
		return;
	while (r->first)
		session_free(r, r->first);
	HASH_ITER (hh, r->places, p, next) {
		HASH_DEL(r->places, p);
		free(p);
	}
	free(r);
}
