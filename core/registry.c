/* SPDX-License-Identifier: MIT
 *
 * Sessions, agents and checkpoints as objects in memory: making, finding and freeing them, and the texts session.yaml gets of them.
 *
 * Left to others: which of them there are (registry_places.c), what their files say (registry_load.c), what transactions mean for them
 * (registry_note.c), when something is done about them (upkeep*.c).
 *
 * Invariants: agents of a session are in order of id, checkpoints in order of sequence number; every agent is in the chain of its id.
 * Failure: only making can fail, for lack of memory, and changes nothing.
 */
#include "registry_private.h"

#include <errno.h>
#include <string.h>

#include "checkpoint.h"
#include "upkeep.h"

#define DIGITS "0123456789"
#define TIME_DIGITS 10 /* of a unix time, from 2001 to 2286 */

/* ---- sessions ---- */

struct session *session_new(struct registry *r, const char *id, uint64_t dir_ino)
{
	struct registry_session *entry = calloc(1, sizeof(*entry));
	struct session *s = &entry->s;

	if (!entry)
		return NULL;
	memcpy(s->id, id, strlen(id) + 1);
	s->dir_ino = dir_ino;
	entry->registry = r;
	entry->owned_hash = session_owned_hash_of_doc(NULL);
	if (session_fields_parse("", 0, &s->fields)) {
		free(entry);
		return NULL;
	}
	HASH_ADD_STR(r->sessions, s.id, entry);
	if (!entry->hh.tbl) {
		session_fields_release(&s->fields);
		free(entry);
		return NULL;
	}
	*(r->last ? &r->last->next : &r->first) = s;
	r->last = s;
	return s;
}

static void session_unlink(struct registry *r, const struct session *s)
{
	struct session *before = NULL;

	for (struct session *i = r->first; i != s; i = i->next)
		before = i;
	*(before ? &before->next : &r->first) = s->next;
	if (r->last == s)
		r->last = before;
}

void session_free(struct registry *r, struct session *s)
{
	struct registry_session *entry = session_entry(s);

	while (s->agents)
		agent_free(r, s->agents);
	while (s->newest_checkpoint)
		checkpoint_free(s, s->newest_checkpoint);
	place_drop_session(r, s);
	session_unlink(r, s);
	HASH_DEL(r->sessions, entry);
	session_fields_release(&s->fields);
	free(entry);
}

struct session *registry_session(struct engine *e, const char *id)
{
	struct registry_session *entry = NULL;

	if (e->registry)
		HASH_FIND_STR(e->registry->sessions, id, entry);
	return entry ? &entry->s : NULL;
}

struct session *registry_first_session(struct engine *e)
{
	return e->registry ? e->registry->first : NULL;
}

uint64_t registry_operation_count(struct engine *e, const struct session *s)
{
	uint64_t transactions, events;

	event_log_session_counts(engine_event_logs(e), s->id, &transactions, &events);
	return transactions;
}

uint64_t registry_event_count(struct engine *e, const struct session *s)
{
	uint64_t transactions, events;

	event_log_session_counts(engine_event_logs(e), s->id, &transactions, &events);
	return events;
}

/* ---- agents ---- */

static struct agent_id *agent_id_get(struct registry *r, const char *id)
{
	struct agent_id *i;

	HASH_FIND_STR(r->agent_ids, id, i);
	if (i)
		return i;
	i = calloc(1, sizeof(*i));
	if (!i)
		return NULL;
	memcpy(i->id, id, strlen(id) + 1);
	HASH_ADD_STR(r->agent_ids, id, i);
	if (!i->hh.tbl) {
		free(i);
		return NULL;
	}
	return i;
}

static void agent_id_put(struct registry *r, struct agent_id *i)
{
	if (i->first)
		return;
	HASH_DEL(r->agent_ids, i);
	free(i);
}

struct agent *agent_new(struct registry *r, struct session *s, const char *id, uint64_t ino)
{
	struct registry_agent *entry = calloc(1, sizeof(*entry));
	struct agent *a = &entry->a, **link = &s->agents;

	if (!entry)
		return NULL;
	memcpy(a->id, id, strlen(id) + 1);
	a->ino = ino;
	a->session = s;
	a->before_silence = AGENT_ACTIVE;
	entry->of_id = agent_id_get(r, id);
	if (!entry->of_id || agent_fields_parse("", 0, &a->fields)) {
		if (entry->of_id)
			agent_id_put(r, entry->of_id);
		free(entry);
		return NULL;
	}
	while (*link && strcmp((*link)->id, id) < 0)
		link = &(*link)->next;
	a->next = *link;
	*link = a;
	s->agent_count++;
	for (link = &entry->of_id->first; *link; link = &(*link)->next_of_id)
		;
	*link = a;
	return a;
}

void agent_free(struct registry *r, struct agent *a)
{
	struct registry_agent *entry = agent_entry(a);
	struct agent **link = &a->session->agents;

	a->fields.pid = 0;
	agent_pid_update(r, a);
	place_drop_agent(r, a);
	while (*link != a)
		link = &(*link)->next;
	*link = a->next;
	a->session->agent_count--;
	for (link = &entry->of_id->first; *link != a; link = &(*link)->next_of_id)
		;
	*link = a->next_of_id;
	agent_id_put(r, entry->of_id);
	agent_fields_release(&a->fields);
	free(entry);
}

struct agent *registry_agents_of_id(struct engine *e, const char *id)
{
	struct agent_id *i = NULL;

	if (e->registry)
		HASH_FIND_STR(e->registry->agent_ids, id, i);
	return i ? i->first : NULL;
}

struct agent *registry_agent(struct session *s, const char *id)
{
	struct agent_id *i;
	struct agent *a;

	HASH_FIND_STR(session_entry(s)->registry->agent_ids, id, i);
	for (a = i ? i->first : NULL; a && a->session != s; a = a->next_of_id)
		;
	return a;
}

struct agent *registry_agent_of_file(struct engine *e, uint64_t ino)
{
	struct place *p = e->registry ? place_find(e->registry, ino) : NULL;

	return p ? p->agent : NULL;
}

void agent_pid_update(struct registry *r, struct agent *a)
{
	struct registry_agent *entry = agent_entry(a);
	uint32_t pid = a->removed_ns ? 0 : a->fields.pid;

	if (pid == entry->counted_pid)
		return;
	__atomic_store_n(&r->pid_count, r->pid_count + (pid != 0) - (entry->counted_pid != 0), __ATOMIC_RELAXED);
	__atomic_store_n(&r->pid_changes, r->pid_changes + 1, __ATOMIC_RELAXED);
	entry->counted_pid = pid;
}

void registry_set_numbers(struct engine *e, uint32_t (*meant)(uint32_t writer, uint32_t number))
{
	e->registry->number_meant = meant;
}

uint32_t registry_number_meant(struct engine *e, uint32_t writer, uint32_t number)
{
	return number && writer && e->registry->number_meant ? e->registry->number_meant(writer, number) : number;
}

bool engine_has_agent_pids(struct engine *e)
{
	return e->registry && __atomic_load_n(&e->registry->pid_count, __ATOMIC_RELAXED) != 0;
}

uint64_t engine_agent_pids_generation(struct engine *e)
{
	return engine_has_agent_pids(e) ? __atomic_load_n(&e->registry->pid_changes, __ATOMIC_RELAXED) : 0;
}

bool engine_agent_of_pid(struct engine *e, uint32_t pid, char out[ACTOR_ID_BYTES], char session[ACTOR_ID_BYTES])
{
	const struct agent *found = NULL;

	engine_lock(e);
	for (const struct session *s = pid ? registry_first_session(e) : NULL; s && !found; s = s->next)
		for (struct agent *a = s->agents; a && !found; a = a->next)
			if (agent_entry(a)->counted_pid == pid)
				found = a;
	if (found) {
		memcpy(out, found->id, sizeof(found->id));
		memcpy(session, found->session->id, sizeof(found->session->id));
	}
	engine_unlock(e);
	return found != NULL;
}

/* ---- checkpoints ---- */

/* checkpoint-<unix time>, perhaps with -2, -3 …: what anybody else calls checkpoint-something is his. */
static bool is_daemons_name(const char *id)
{
	const char *rest;

	if (strncmp(id, CHECKPOINT_AUTOMATIC_PREFIX, strlen(CHECKPOINT_AUTOMATIC_PREFIX)) != 0)
		return false;
	rest = id + strlen(CHECKPOINT_AUTOMATIC_PREFIX);
	if (strspn(rest, DIGITS) != TIME_DIGITS)
		return false;
	rest += TIME_DIGITS;
	return !*rest || (*rest == '-' && rest[1] && !rest[1 + strspn(rest + 1, DIGITS)]);
}

struct checkpoint *checkpoint_new(struct session *s, const char *id, uint64_t dir_ino, uint64_t seq, int64_t time_ns)
{
	struct checkpoint *c = calloc(1, sizeof(*c)), *older = s->newest_checkpoint;

	if (!c)
		return NULL;
	memcpy(c->id, id, strlen(id) + 1);
	c->dir_ino = dir_ino;
	c->seq = seq;
	c->time_ns = time_ns;
	c->automatic = is_daemons_name(id);
	while (older && older->seq > seq)
		older = older->older;
	c->older = older;
	c->newer = older ? older->newer : s->oldest_checkpoint;
	*(c->older ? &c->older->newer : &s->oldest_checkpoint) = c;
	*(c->newer ? &c->newer->older : &s->newest_checkpoint) = c;
	s->checkpoint_count++;
	return c;
}

void checkpoint_free(struct session *s, struct checkpoint *c)
{
	*(c->older ? &c->older->newer : &s->oldest_checkpoint) = c->newer;
	*(c->newer ? &c->newer->older : &s->newest_checkpoint) = c->older;
	s->checkpoint_count--;
	free(c);
}

struct checkpoint *registry_checkpoint(struct session *s, const char *id)
{
	struct checkpoint *c = s->newest_checkpoint;

	while (c && strcmp(c->id, id) != 0)
		c = c->older;
	return c;
}

/* ---- what session.yaml says of them ---- */

static void put_item(struct buf *out, bool *first, const char *id)
{
	buf_append_str(out, *first ? "" : ", ");
	yaml_put_string(out, id);
	*first = false;
}

void registry_put_active_agents(const struct session *s, struct buf *out)
{
	bool first = true;

	buf_append_str(out, "[");
	for (const struct agent *a = s->agents; a; a = a->next)
		if (agent_status_is_live(a->fields.status))
			put_item(out, &first, a->id);
	buf_append_str(out, "]");
}

void registry_put_recovery_points(const struct session *s, struct buf *out)
{
	size_t n = 0;
	bool first = true;

	buf_append_str(out, "[");
	for (const struct checkpoint *c = s->newest_checkpoint; c && n < SESSION_RECOVERY_POINTS_MAX; c = c->older, n++)
		put_item(out, &first, c->id);
	buf_append_str(out, "]");
}

void registry_put_last_checkpoint(const struct session *s, struct buf *out)
{
	if (s->newest_checkpoint)
		yaml_put_string(out, s->newest_checkpoint->id);
	else
		buf_append_str(out, "null");
}

static uint64_t hash_item(uint64_t hash, const char *text)
{
	return checksum_xxh3(text, strlen(text), hash);
}

/* Ends one list and begins the next. */
static uint64_t hash_end(uint64_t hash)
{
	return checksum_xxh3("", 1, hash);
}

uint64_t session_owned_hash(const struct session *s)
{
	uint64_t hash = 0;
	size_t n = 0;

	for (const struct agent *a = s->agents; a; a = a->next)
		if (agent_status_is_live(a->fields.status))
			hash = hash_item(hash, a->id);
	hash = hash_end(hash);
	if (s->newest_checkpoint)
		hash = hash_item(hash, s->newest_checkpoint->id);
	hash = hash_end(hash);
	for (const struct checkpoint *c = s->newest_checkpoint; c && n < SESSION_RECOVERY_POINTS_MAX; c = c->older, n++)
		hash = hash_item(hash, c->id);
	return hash_end(hash);
}

static uint64_t hash_member(uint64_t hash, const struct doc_node *root, const char *path)
{
	const struct doc_node *n = doc_get_path(root, path);

	if (n && n->type == DOC_STRING)
		hash = hash_item(hash, n->text);
	for (const struct doc_node *i = n && n->type == DOC_SEQUENCE ? n->child : NULL; i; i = i->next)
		hash = hash_item(hash, i->text ? i->text : "");
	return hash_end(hash);
}

uint64_t session_owned_hash_of_doc(const struct doc *doc)
{
	const struct doc_node *root = doc ? doc_root(doc) : NULL;
	uint64_t hash = hash_member(0, root, "state.active_agents");

	hash = hash_member(hash, root, "state.last_checkpoint");
	return hash_member(hash, root, "recovery.recovery_points");
}

void session_check_owned(struct engine *e, struct session *s)
{
	struct registry_session *entry = session_entry(s);

	if (entry->registry->scanning || entry->stale || entry->owned_hash == session_owned_hash(s))
		return;
	entry->stale = true;
	upkeep_wake(e);
}
