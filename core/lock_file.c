/* SPDX-License-Identifier: MIT
 *
 * Lock files in memory: whom each belongs to, so that it can be released with its owner. Derived from the tree, the content and the record
 * of the transaction that gave the file its name, so it is found again at the next mount, agents that have left since included.
 *
 * Leaves to others: taking (an O_EXCL create like any other), knowing which processes live (upkeep thread, through lock_files_process_ended()),
 * who has a file open (fs/), releasing (lock_file_upkeep.c).
 *
 * Everything is under the engine's lock. What is read without it counts only if it is still so under it.
 *
 * Failure: a lock that cannot be read (no memory, damage) has no owner that could die: it stays until somebody unlinks it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "lock_file_internal.h"
#include "upkeep.h"

#define CONTENT_BYTES_MAX 4096
#define PID_MAX (1 << 22)
#define SWEEP_MIN 1024
/* Clocks are set a little now and then, and a process's start is known in ticks. */
#define STARTED_SLACK_NS (2 * NS_PER_S)

/* ---- the table; the lock is held ---- */

static struct lock_file **slot_of(struct engine *e, uint64_t ino)
{
	struct lock_file **at = &e->lock_files->buckets[ino % LOCK_FILE_BUCKETS];

	while (*at && (*at)->ino != ino)
		at = &(*at)->next;
	return at;
}

static struct lock_file *lock_find(struct engine *e, uint64_t ino)
{
	return e->lock_files ? *slot_of(e, ino) : NULL;
}

/* Newborns come and go without a word; so when there are twice as many as were found there, look again. */
static void sweep(struct engine *e)
{
	struct lock_files *ls = e->lock_files;

	for (size_t i = 0; i < LOCK_FILE_BUCKETS; i++)
		for (struct lock_file *l = ls->buckets[i], *next; l; l = next) {
			next = l->next;
			if (!lock_file_name(e, tree_node(e->tree, l->ino)))
				lock_file_drop(e, l->ino);
		}
	ls->sweep_at = 2 * ls->count + SWEEP_MIN;
}

static struct lock_file *lock_get(struct engine *e, uint64_t ino)
{
	struct lock_files *ls = e->lock_files;
	struct lock_file **at;

	if (ls->count > ls->sweep_at)
		sweep(e);
	at = slot_of(e, ino);
	if (!*at && (*at = calloc(1, sizeof(**at)))) {
		(*at)->ino = ino;
		ls->count++;
	}
	return *at;
}

void lock_file_set_pid(struct engine *e, struct lock_file *l, uint32_t pid)
{
	struct lock_file **pids = e->lock_files->pids;

	if (l->pid == pid)
		return;
	if (l->pid)
		DL_DELETE2(pids[l->pid % LOCK_FILE_BUCKETS], l, pid_prev, pid_next);
	l->pid = pid;
	if (pid)
		DL_PREPEND2(pids[pid % LOCK_FILE_BUCKETS], l, pid_prev, pid_next);
	e->lock_files->pids_changed = true;
}

void lock_file_set_due(struct engine *e, struct lock_file *l, enum release_why due)
{
	if (l->due == due)
		return;
	if (l->due)
		DL_DELETE2(e->lock_files->due, l, due_prev, due_next);
	if (due)
		DL_APPEND2(e->lock_files->due, l, due_prev, due_next);
	l->due = due;
	e->lock_files->pids_changed = true;
}

void lock_file_drop(struct engine *e, uint64_t ino)
{
	struct lock_file **at = slot_of(e, ino), *l = *at;

	if (!l)
		return;
	lock_file_set_pid(e, l, 0);
	lock_file_set_due(e, l, RELEASE_NOT);
	*at = l->next;
	e->lock_files->count--;
	free(l);
}

void lock_files_free(struct lock_files *ls)
{
	for (size_t i = 0; ls && i < LOCK_FILE_BUCKETS; i++)
		while (ls->buckets[i]) {
			struct lock_file *l = ls->buckets[i];

			ls->buckets[i] = l->next;
			free(l);
		}
	free(ls);
}

const struct dentry *lock_file_name(struct engine *e, const struct node *n)
{
	const struct dentry *d = n && S_ISREG(n->newest->attrs->mode) && n->nlink ? n->names : NULL;

	while (d && (d->died != SEQ_NEVER || registry_place_of(e, d->parent->ino, NULL) != PLACE_LOCKS))
		d = d->names_next;
	return d;
}

/* ---- looking at one ---- */

/* What was found out about a file without the lock. */
struct look {
	uint64_t ino, token;
	const struct version *version;
	uint32_t pid;
	char named[ACTOR_ID_BYTES];
	struct actor creator;
	int64_t taken_ns;
};

/* Is there anything to look at? Drops what is no lock file (any more). */
static bool look_begin(struct engine *e, struct look *l)
{
	const struct node *n = tree_node(e->tree, l->ino);
	const struct dentry *d = lock_file_name(e, n);
	const struct lock_file *known = lock_find(e, l->ino);

	if (!d || n->flags & NODE_NEWBORN) {
		if (!d)
			lock_file_drop(e, l->ino);
		return false;
	}
	l->token = d->born;
	l->version = n->newest;
	if (known && known->token == l->token && tree_version_same_content(known->version, l->version))
		return false;
	l->taken_ns = engine_seq_time(e, d->born);
	return true;
}

/* The first line, without blanks around it: a process's number or perhaps an agent's id. */
static void look_parse(struct look *l, const char *text, size_t len)
{
	const char *end = memchr(text, '\n', len);
	char word[ACTOR_ID_BYTES];
	uint64_t number;

	len = end ? (size_t)(end - text) : len;
	while (len && strchr(" \t\r", text[len - 1]))
		len--;
	while (len && (*text == ' ' || *text == '\t')) {
		text++;
		len--;
	}
	if (!id_valid(text, len))
		return;
	memcpy(word, text, len);
	word[len] = '\0';
	if (strspn(word, "0123456789") == len) {
		if (!parse_u64(word, &number) && number && number <= PID_MAX)
			l->pid = (uint32_t)number;
	} else {
		memcpy(l->named, word, len + 1);
	}
}

static void look_read(struct engine *e, struct look *l)
{
	struct version_extents scratch = {0};
	char text[CONTENT_BYTES_MAX];
	ssize_t got = l->version->size <= sizeof(text) ? engine_read(e, l->version, &scratch, 0, text, sizeof(text)) : 0;
	struct record *rec;

	extent_map_release(&scratch.map);
	if (got > 0 && !memchr(text, '\0', (size_t)got))
		look_parse(l, text, (size_t)got);
	if (!engine_load_record(e, l->token, &rec)) {
		l->creator = rec->actor;
		record_free(rec);
	}
	if (!l->creator.pid)
		l->pid = 0;
}

/* True when there is nothing left to do. Lock held. */
static bool look_end(struct engine *e, const struct look *l)
{
	const struct node *n = tree_node(e->tree, l->ino);
	const struct dentry *d = lock_file_name(e, n);
	struct lock_file *known;

	if (!d || d->born != l->token || n->newest != l->version)
		return false;
	known = lock_get(e, l->ino);
	if (!known)
		return true; /* it has no owner that could die */
	known->token = l->token;
	known->version = l->version;
	lock_file_set_pid(e, known, l->pid);
	memcpy(known->named, l->named, sizeof(known->named));
	known->creator = l->creator;
	known->taken_ns = l->taken_ns;
	lock_file_set_due(e, known, RELEASE_NOT);
	return true;
}

/* @written: just now, so that it can be told whether its process lives. */
static void lock_look(struct engine *e, uint64_t ino, bool written)
{
	struct look l;

	for (bool done = false; !done;) {
		l = (struct look){.ino = ino};

		engine_lock(e);
		done = !look_begin(e, &l);
		engine_unlock(e);
		if (done)
			return;
		look_read(e, &l);
		if (written)
			l.pid = registry_number_meant(e, l.creator.pid, l.pid);
		if (written && l.pid && l.pid != l.creator.pid && !(e->lock_files->alive && e->lock_files->alive(l.pid)))
			l.pid = 0;
		engine_lock(e);
		done = look_end(e, &l);
		engine_unlock(e);
	}
	if (l.pid)
		upkeep_wake(e); /* there may be another process to watch */
}

void lock_files_changed(struct engine *e, uint64_t ino)
{
	if (e->lock_files)
		lock_look(e, ino, true);
}

/* ---- owners; the lock is held ---- */

static bool is_agent(struct engine *e, const char *id, const char *gone)
{
	return id[0] && ((gone && !strcmp(id, gone)) || registry_agents_of_id(e, id));
}

/* Is that agent the one that has just gone? */
struct gone {
	const char *session, *agent; /* NULL: nobody has */
};

static bool is_gone(const struct gone *g, const char *agent, const char *session)
{
	return g->agent && !strcmp(g->agent, agent) && !strcmp(g->session, session);
}

/* Which session's agent of that id its creator means: that of the session he named, if it knows one, else the only one there is. NULL: any. */
static const char *session_meant(struct engine *e, const struct lock_file *l, const char *agent, const struct gone *gone)
{
	const char *named = l->creator.session;
	struct session *s = named[0] ? registry_session(e, named) : NULL;
	const struct agent *a = registry_agents_of_id(e, agent);

	if ((s && registry_agent(s, agent)) || is_gone(gone, agent, named))
		return named;
	return a && !a->next_of_id ? a->session->id : NULL;
}

static const char *owning_agent(struct engine *e, const struct lock_file *l, const struct gone *gone)
{
	if (l->pid)
		return NULL;
	if (is_agent(e, l->named, gone->agent))
		return l->named;
	return is_agent(e, l->creator.agent, gone->agent) ? l->creator.agent : NULL;
}

const char *lock_file_agent(struct engine *e, const struct lock_file *l, const char **ret_session)
{
	static const struct gone nobody;
	const char *owner = owning_agent(e, l, &nobody), *agent = owner ? owner : l->creator.agent;

	*ret_session = agent[0] ? session_meant(e, l, agent, &nobody) : NULL;
	return owner;
}

/* Is an agent of that id alive in the session (NULL: in any), the session @but left out? */
static bool agent_lives(struct engine *e, const char *agent, const char *session, const char *but)
{
	for (const struct agent *a = registry_agents_of_id(e, agent); a; a = a->next_of_id)
		if (a->fields.status != AGENT_DEAD && (!but || strcmp(a->session->id, but) != 0) && (!session || !strcmp(a->session->id, session)))
			return true;
	return false;
}

static void owner_died(struct engine *e, struct lock_file *l, const char *agent)
{
	lock_file_set_due(e, l, RELEASE_AGENT_DEAD);
	memcpy(l->due_agent, agent, strlen(agent) + 1);
}

/* @agent of @session has died. */
static void agent_check(struct engine *e, struct lock_file *l, const char *session, const char *agent)
{
	const struct gone gone = {session, agent};
	const char *owner = owning_agent(e, l, &gone);

	if (owner && !strcmp(owner, agent) && !agent_lives(e, owner, session_meant(e, l, owner, &gone), session))
		owner_died(e, l, owner);
}

void lock_files_agent_died(struct engine *e, const char *session, const char *agent)
{
	for (size_t i = 0; e->lock_files && i < LOCK_FILE_BUCKETS; i++)
		for (struct lock_file *l = e->lock_files->buckets[i]; l; l = l->next)
			agent_check(e, l, session, agent);
	upkeep_wake(e);
}

static void process_gone(struct engine *e, uint32_t pid, int64_t written_before_ns)
{
	for (struct lock_file *l = e->lock_files ? e->lock_files->pids[pid % LOCK_FILE_BUCKETS] : NULL; l; l = l->pid_next)
		if (l->pid == pid && engine_seq_time(e, l->version->born) < written_before_ns)
			lock_file_set_due(e, l, RELEASE_PROCESS_ENDED);
}

void lock_files_process_ended(struct engine *e, uint32_t pid)
{
	process_gone(e, pid, INT64_MAX);
}

void lock_files_process_seen(struct engine *e, uint32_t pid, int64_t started_ns)
{
	process_gone(e, pid, started_ns - STARTED_SLACK_NS);
}

void lock_file_creator_died(struct engine *e, uint64_t ino, uint32_t pid)
{
	struct lock_file *l;
	const char *session;

	engine_lock(e);
	l = lock_find(e, ino);
	if (l && l->token && !l->pid && !lock_file_agent(e, l, &session)) {
		if (!l->creator.pid)
			l->creator.pid = pid;
		lock_file_set_due(e, l, RELEASE_CREATOR_DIED);
		upkeep_wake(e);
	}
	engine_unlock(e);
}

void lock_file_shared(struct engine *e, uint64_t ino)
{
	struct lock_file *l;

	engine_lock(e);
	l = e->lock_files && lock_file_name(e, tree_node(e->tree, ino)) ? lock_get(e, ino) : NULL;
	if (l)
		l->shared = true;
	engine_unlock(e);
}

void lock_files_each_pid(struct engine *e, void (*fn)(void *arg, uint32_t pid), void *arg)
{
	for (size_t i = 0; e->lock_files && i < LOCK_FILE_BUCKETS; i++)
		for (const struct lock_file *l = e->lock_files->pids[i]; l; l = l->pid_next)
			if (l->due != RELEASE_PROCESS_ENDED)
				fn(arg, l->pid);
}

bool lock_files_pids_changed(struct engine *e)
{
	bool changed = e->lock_files && e->lock_files->pids_changed;

	if (changed)
		e->lock_files->pids_changed = false;
	return changed;
}

void lock_files_set_probe(struct engine *e, bool (*alive)(uint32_t pid))
{
	e->lock_files->alive = alive;
}

/* ---- the start ---- */

/* Had this session's directory, whenever it was, an agent of that id at @seq or later? */
static bool was_agent_in(struct engine *e, const struct node *session, const char *id, uint64_t seq)
{
	const struct dentry *d = session->dir ? tree_lookup_since(e->tree, session, "agents", strlen("agents"), seq) : NULL;
	char name[ACTOR_ID_BYTES + sizeof(".yaml")];
	int len = snprintf(name, sizeof(name), "%s.yaml", id);

	d = d && S_ISDIR(d->node->newest->attrs->mode) ? tree_lookup_since(e->tree, d->node, name, (size_t)len, seq) : NULL;
	return d && S_ISREG(d->node->newest->attrs->mode);
}

/* Was an agent of that id registered at @seq or later, in @session (NULL: in any)? Sessions that were removed count. */
static bool was_agent(struct engine *e, const char *id, const char *session, uint64_t seq)
{
	const struct node *sessions = tree_resolve(e->tree, "state/sessions", SEQ_LIVE);
	const struct directory *dir = sessions ? sessions->dir : NULL;
	bool found = false;

	if (!dir || !id[0])
		return false;
	for (const struct dentry *d = dir->first; d && !found; d = d->next)
		found = (!session || !strcmp(d->name->text, session)) && S_ISDIR(d->node->newest->attrs->mode) && was_agent_in(e, d->node, id, seq);
	for (const struct dentry *d = dir->dead; d && !found; d = d->hash_next)
		found = d->died > seq && (!session || !strcmp(d->name->text, session)) && S_ISDIR(d->node->newest->attrs->mode) &&
			was_agent_in(e, d->node, id, seq);
	return found;
}

/* Since when it says what it says. */
static uint64_t written_seq(const struct lock_file *l)
{
	const struct version *v = l->version;

	while (v->older && tree_version_same_content(v->older, v))
		v = v->older;
	return MAX(v->born, l->token);
}

/*
 * An owner that had left when the last mount ended, with its session perhaps, is in no registry: history knows that it was an agent.
 */
static void start_check(struct engine *e, struct lock_file *l)
{
	const struct actor *c = &l->creator;
	const char *owner = NULL, *of;
	uint64_t since = l->token;

	if (l->pid)
		return;
	if (was_agent(e, l->named, NULL, written_seq(l))) {
		owner = l->named;
		since = written_seq(l);
	} else if (was_agent(e, c->agent, NULL, l->token)) {
		owner = c->agent;
	}
	of = owner && c->session[0] && was_agent(e, owner, c->session, since) ? c->session : NULL;
	if (owner && !agent_lives(e, owner, of, NULL))
		owner_died(e, l, owner);
}

int lock_files_start(struct engine *e)
{
	const struct node *dir = tree_resolve(e->tree, "state/.locks", SEQ_LIVE);
	const struct dentry *d;

	e->lock_files = calloc(1, sizeof(*e->lock_files));
	if (!e->lock_files)
		return -ENOMEM;
	for (d = dir && dir->dir ? dir->dir->first : NULL; d; d = d->next)
		if (S_ISREG(d->node->newest->attrs->mode))
			lock_look(e, d->node->ino, false);
	for (size_t i = 0; i < LOCK_FILE_BUCKETS; i++)
		for (struct lock_file *l = e->lock_files->buckets[i]; l; l = l->next)
			start_check(e, l);
	return 0;
}
