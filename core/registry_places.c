/* SPDX-License-Identifier: MIT
 *
 * What is where: the directories and files of the state model by inode number, so that a change is told to matter, or not to, by
 * one look into a table and no path is built. Directories of the model are never renamed, which makes that possible.
 *
 * A place is kept current by *looking*: a name in a known directory came or went, and whatever the tree has there now is what holds. So
 * the order in which changes are told does not matter, nor whether one is told twice. All under the engine's lock.
 *
 * Left to others: what the files say (registry_load.c).
 *
 * Invariants: what the table holds is linked in the live tree and in the journal (no newborns); directories of a session are known as
 * long as it is. Failure: what there is no memory for is not known until its name changes or the next mount; health says so.
 */
#include "registry_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "upkeep.h"

static void look_in(struct engine *e, uint64_t dir_ino);

/* ---- the table ---- */

struct place *place_find(struct registry *r, uint64_t ino)
{
	struct place *p;

	HASH_FIND(hh, r->places, &ino, sizeof(ino), p);
	return p;
}

static bool place_add(struct engine *e, const struct place *what)
{
	struct registry *r = e->registry;
	struct place *p = place_find(r, what->ino);

	if (p) {
		if (p->session != what->session || p->agent != what->agent)
			p->loaded = NULL; /* it has not said anything about these yet */
		p->kind = what->kind;
		p->session = what->session;
		p->agent = what->agent;
		return true;
	}
	p = malloc(sizeof(*p));
	if (p) {
		*p = *what;
		HASH_ADD(hh, r->places, ino, sizeof(p->ino), p);
		if (p->hh.tbl)
			return true;
		free(p);
	}
	engine_problem(e, "no memory: a part of the state model is not known until the next mount");
	return false;
}

void place_drop(struct registry *r, uint64_t ino)
{
	struct place *p = place_find(r, ino);

	if (!p)
		return;
	HASH_DEL(r->places, p);
	free(p);
}

void place_drop_agent(struct registry *r, const struct agent *a)
{
	const struct place *p = place_find(r, a->ino);

	if (p && p->agent == a)
		place_drop(r, a->ino);
}

void place_drop_session(struct registry *r, const struct session *s)
{
	struct place *p, *next;

	HASH_ITER (hh, r->places, p, next)
		if (p->session == s) {
			HASH_DEL(r->places, p);
			free(p);
		}
}

enum place_kind registry_place_of(struct engine *e, uint64_t dir_ino, struct session **ret_session)
{
	const struct place *p = e->registry ? place_find(e->registry, dir_ino) : NULL;

	if (ret_session)
		*ret_session = p && p->kind != PLACE_NONE ? p->session : NULL;
	return p ? p->kind : PLACE_NONE;
}

enum place_kind engine_place_of(struct engine *e, uint64_t dir_ino, char session[ACTOR_ID_BYTES])
{
	struct session *s = NULL;
	enum place_kind kind;

	engine_lock(e);
	kind = registry_place_of(e, dir_ino, &s);
	if (s)
		memcpy(session, s->id, sizeof(s->id));
	else
		session[0] = '\0';
	engine_unlock(e);
	return kind;
}

/* ---- looking ---- */

/* What the live tree has under that name, if it is of that type and in the journal. */
static const struct dentry *entry_of(struct engine *e, uint64_t dir_ino, const char *name, size_t len, mode_t type)
{
	const struct node *dir = tree_node(e->tree, dir_ino);
	const struct dentry *d = dir ? tree_lookup(e->tree, dir, name, len, SEQ_LIVE) : NULL;

	return d && !(d->node->flags & NODE_NEWBORN) && (d->node->newest->attrs->mode & S_IFMT) == type ? d : NULL;
}

static bool is_named(const char *wanted, const char *name, size_t len)
{
	return strlen(wanted) == len && !memcmp(wanted, name, len);
}

/* One of a session's directories, or its file: *@slot follows what the tree has. True: it is another one than before. */
static bool slot_follow(struct engine *e, uint64_t *slot, const struct dentry *d, struct place *what)
{
	uint64_t ino = d ? d->node->ino : 0;
	const struct place *before = *slot ? place_find(e->registry, *slot) : NULL;

	if (*slot == ino)
		return false;
	if (before && before->session == what->session) /* else it was moved, and another session has it now */
		place_drop(e->registry, *slot);
	what->ino = ino;
	*slot = ino && place_add(e, what) ? ino : 0;
	return *slot != 0;
}

static void look_session_child(struct engine *e, struct session *s, const char *name, size_t len)
{
	static const struct {
		const char *name;
		size_t slot;
		mode_t type;
		enum place_kind kind;
	} rows[] = {
		{"session.yaml", offsetof(struct session, file_ino), S_IFREG, PLACE_NONE},
		{"agents", offsetof(struct session, agents_ino), S_IFDIR, PLACE_AGENTS},
		{"checkpoints", offsetof(struct session, checkpoints_ino), S_IFDIR, PLACE_CHECKPOINTS},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct place what = {.kind = rows[i].kind, .session = s};
		uint64_t *slot = (uint64_t *)((char *)s + rows[i].slot);

		if (is_named(rows[i].name, name, len) && slot_follow(e, slot, entry_of(e, s->dir_ino, name, len, rows[i].type), &what))
			look_in(e, *slot);
	}
	if (is_named("state", name, len)) { /* what is in it is free: no place */
		const struct dentry *d = entry_of(e, s->dir_ino, name, len, S_IFDIR);

		s->state_ino = d ? d->node->ino : 0;
	}
}

static void look_agent(struct engine *e, struct session *s, const char *id, const struct dentry *d)
{
	struct registry *r = e->registry;
	struct agent *a = registry_agent(s, id);
	struct place what = {.session = s};

	if (!d) {
		if (!a || a->removed_ns)
			return;
		a->removed_ns = env_monotonic_ns(e->env);
		place_drop_agent(r, a);
		agent_pid_update(r, a);
		upkeep_wake(e);
		return;
	}
	if (!a) {
		a = agent_new(r, s, id, d->node->ino);
		if (!a) {
			engine_problem(e, "no memory: agent %s of session %s is not known until its file is saved again", id, s->id);
			return;
		}
		a->alive_ns = env_monotonic_ns(e->env);
		upkeep_wake(e);
		if (!r->scanning) {
			a->heartbeat_ns = e->last_time_ns;
			a->user_seq = e->head_seq;
		}
	}
	if (a->ino != d->node->ino)
		place_drop_agent(r, a);
	a->ino = what.ino = d->node->ino;
	what.agent = a;
	(void)__atomic_fetch_or(&r->agent_bits[agent_bit(a->ino) / 64], UINT64_C(1) << agent_bit(a->ino) % 64, __ATOMIC_RELAXED);
	(void)place_add(e, &what); /* without it the file is not read again: a problem of health */
	a->removed_ns = 0;
	agent_pid_update(r, a);
	session_check_owned(e, s);
}

static void look_agents_child(struct engine *e, struct session *s, const char *name, size_t len)
{
	struct place sync = {.kind = PLACE_SYNC, .session = s}, health = {.kind = PLACE_HEALTH, .session = s};
	char path[sizeof("state/sessions//agents/") + ACTOR_ID_BYTES + TREE_NAME_MAX], id[ACTOR_ID_BYTES];

	if (is_named(".sync", name, len)) {
		if (slot_follow(e, &s->sync_ino, entry_of(e, s->agents_ino, name, len, S_IFDIR), &sync))
			look_in(e, s->sync_ino);
		return;
	}
	if (is_named(".health", name, len)) {
		(void)slot_follow(e, &s->health_ino, entry_of(e, s->agents_ino, name, len, S_IFDIR), &health);
		return;
	}
	snprintf(path, sizeof(path), "state/sessions/%s/agents/%.*s", s->id, (int)len, name);
	if (model_kind_of(path, NULL, id) == MODEL_AGENT)
		look_agent(e, s, id, entry_of(e, s->agents_ino, name, len, S_IFREG));
}

static void look_barrier(struct engine *e, struct session *s, const char *name, size_t len, uint64_t ino)
{
	const struct dentry *d = entry_of(e, s->sync_ino, name, len, S_IFDIR);
	struct place what = {.kind = PLACE_BARRIER, .session = s};

	if (ino && (!d || d->node->ino != ino))
		place_drop(e->registry, ino);
	if (!d)
		return;
	what.ino = d->node->ino;
	(void)place_add(e, &what); /* a problem of health */
}

static void look_checkpoint(struct engine *e, struct session *s, const char *name, size_t len)
{
	const struct dentry *d = entry_of(e, s->checkpoints_ino, name, len, S_IFDIR);
	char id[ACTOR_ID_BYTES];
	struct checkpoint *c;

	if (!id_valid(name, len))
		return;
	memcpy(id, name, len);
	id[len] = '\0';
	c = e->registry->scanning ? NULL : registry_checkpoint(s, id);
	if (c && (!d || d->node->ino != c->dir_ino)) {
		checkpoint_free(s, c);
		c = NULL;
	}
	if (d && !c) {
		c = checkpoint_new(s, id, d->node->ino, d->born, engine_seq_time(e, d->born));
		if (!c)
			engine_problem(e, "no memory: checkpoint %s of session %s is not known until the next mount", id, s->id);
		if (c && s->newest_checkpoint == c && c->seq >= s->changed_seq)
			s->unsaved_ns = 0;
	}
	session_check_owned(e, s);
}

static void look_session(struct engine *e, const struct place *sessions, const char *name, size_t len)
{
	const struct dentry *d = entry_of(e, sessions->ino, name, len, S_IFDIR);
	char id[ACTOR_ID_BYTES];
	struct session *s;

	if (!id_valid(name, len))
		return;
	memcpy(id, name, len);
	id[len] = '\0';
	s = registry_session(e, id);
	if (s && (!d || d->node->ino != s->dir_ino)) {
		for (const struct agent *a = s->agents; a; a = a->next)
			lock_files_agent_died(e, s->id, a->id); /* those that were about to leave leave now */
		session_free(e->registry, s);
		s = NULL;
	}
	if (!d || s)
		return;
	s = session_new(e->registry, id, d->node->ino);
	if (s && place_add(e, &(struct place){.ino = s->dir_ino, .kind = PLACE_SESSION, .session = s}))
		look_in(e, s->dir_ino);
	else
		engine_problem(e, "no memory: session %s is not known until the next mount", id);
	upkeep_wake(e);
}

void place_look(struct engine *e, const struct place *p, const char *name, size_t len, uint64_t ino)
{
	switch (p->kind) {
	case PLACE_SESSIONS:
		look_session(e, p, name, len);
		break;
	case PLACE_SESSION:
		look_session_child(e, p->session, name, len);
		break;
	case PLACE_AGENTS:
		look_agents_child(e, p->session, name, len);
		break;
	case PLACE_SYNC:
		look_barrier(e, p->session, name, len, ino);
		break;
	case PLACE_CHECKPOINTS:
		look_checkpoint(e, p->session, name, len);
		break;
	case PLACE_NONE:
	case PLACE_STATUS:
	case PLACE_BARRIER:
	case PLACE_HEALTH:
	case PLACE_LOCKS:
		break;
	}
}

/* At everything that is in a directory just found. As deep as the model: five levels. */
static void look_in(struct engine *e, uint64_t dir_ino)
{
	const struct node *dir = tree_node(e->tree, dir_ino);
	const struct place *p = place_find(e->registry, dir_ino);

	for (const struct dentry *d = dir && p && p->kind != PLACE_NONE ? dir->dir->first : NULL; d; d = d->next)
		place_look(e, p, d->name->text, d->name->len, d->node->ino);
}

struct place *place_of_change(struct engine *e, const struct change *c)
{
	struct registry *r = e->registry;
	const struct node *n;
	struct place *p;

	if (c->type == CHANGE_CREATE || c->type == CHANGE_LINK || c->type == CHANGE_UNLINK)
		return place_find(r, c->parent);
	p = place_find(r, c->ino);
	if (p && p->kind == PLACE_NONE)
		return p;
	n = tree_node(e->tree, c->ino);
	return n && n->names ? place_find(r, n->names->parent->ino) : NULL;
}

int places_scan(struct engine *e)
{
	static const struct {
		const char *path;
		enum place_kind kind;
	} rows[] = {
		{"status", PLACE_STATUS},
		{"state/.locks", PLACE_LOCKS},
		{"state/sessions", PLACE_SESSIONS},
	};

	e->registry->scanning = true;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct node *n = tree_resolve(e->tree, rows[i].path, SEQ_LIVE);
		struct place what = {.kind = rows[i].kind};

		if (!n || !S_ISDIR(n->newest->attrs->mode))
			continue; /* a store opened read-only that was never mounted */
		what.ino = n->ino;
		if (!place_add(e, &what))
			return -ENOMEM;
		look_in(e, n->ino);
	}
	e->registry->scanning = false;
	return 0;
}
