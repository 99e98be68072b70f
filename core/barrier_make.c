/* SPDX-License-Identifier: MIT
 *
 * mkdir and rmdir of a barrier: each one transaction, with its record and its event.
 *
 * The record's text is made of what is known under the lock, its block is prepared without it, and under it again both must still be
 * so; else everything begins again (BARRIER_TRIES times, then -EBUSY). Nothing is changed before the transaction is staged.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "barrier_internal.h"
#include "upkeep.h"

static size_t list_bytes(const struct id_list *l)
{
	size_t bytes = 2;

	for (size_t i = 0; i < l->count; i++)
		bytes += strlen(l->ids[i]) + 3;
	return bytes;
}

size_t barrier_event_bytes(const struct barrier_record *r)
{
	return 4096 + MAX(list_bytes(&r->participants), list_bytes(&r->missing));
}

void barrier_add_content(struct txn *t, const struct node *record, const struct extent *x, uint64_t size)
{
	*txn_add_change(t) =
		(struct change){.type = CHANGE_CONTENT, .ino = record->ino, .content_flags = CONTENT_REPLACE, .size = size, .extents = x, .extent_count = 1};
}

void barrier_add_event(struct txn *t, const char *path, const char *id, const struct barrier_record *r)
{
	struct buf missing = BUF_INIT;

	if (r->status == BARRIER_COMPLETED) {
		txn_add_event(t, EVENT_AGENTS_SYNCHRONIZED, path);
		txn_event_more(t, "\"sync_id\":\"%s\",\"agent_count\":%zu", id, r->participants.count);
		return;
	}
	id_list_put(&r->missing, false, &missing);
	if (missing.error)
		t->error = missing.error;
	txn_add_event(t, EVENT_SYNC_FAILED, path);
	txn_event_more(t, "\"sync_id\":\"%s\",\"missing\":%s,\"reason\":\"%s\"", id, missing.error ? "[]" : missing.data, barrier_reason_name(r->reason));
	buf_release(&missing);
}

/* ---- mkdir ---- */

struct start {
	const char *session, *name;
	uint32_t mode;
	struct barrier *b;
	uint64_t parent;
	const struct node *record; /* of an earlier barrier of that name */
	struct extent x;
	uint64_t size;
};

/* What it is made of now. Lock held. */
static int start_find(struct engine *e, const struct request *q, struct start *s)
{
	struct session *session = registry_session(e, s->session);
	struct id_list live = {0};
	int r;

	if (!session || !session->sync_ino)
		return -ENOENT;
	r = barrier_live_agents(session, &live);
	if (!r)
		r = barrier_new(e, s->session, s->name, &live, session->fields.sync_timeout_s ? session->fields.sync_timeout_s : SESSION_SYNC_TIMEOUT_S, &s->b);
	id_list_release(&live);
	if (r)
		return r;
	(void)snprintf(s->b->record.trigger_agent, sizeof(s->b->record.trigger_agent), "%s", q->actor.agent[0] ? q->actor.agent : "system"); /* an id fits */
	s->parent = session->sync_ino;
	s->record = barrier_record_node(e, s->session, s->name, NULL);
	return id_list_copy(&s->b->first, &s->b->record.missing);
}

/* Lock held. */
static bool start_holds(struct engine *e, const struct start *s)
{
	struct session *session = registry_session(e, s->session);
	struct id_list live = {0};
	bool same = session && session->sync_ino == s->parent && !barrier_live_agents(session, &live) && id_list_equal(&live, &s->b->first) &&
		    barrier_record_node(e, s->session, s->name, NULL) == s->record;

	id_list_release(&live);
	return same;
}

static void start_add_record(struct txn *t, const struct start *s, uint32_t gid)
{
	uint64_t ino = s->record ? s->record->ino : tree_take_ino(t->e->tree);
	char text[ACTOR_ID_BYTES + 8];
	const char *name;

	(void)snprintf(text, sizeof(text), "%s.yaml", s->name); /* an id fits */
	name = txn_strdup(t, text);
	if (!name)
		return;
	if (!s->record)
		*txn_add_change(t) = (struct change){.type = CHANGE_CREATE,
			.ino = ino,
			.parent = s->parent,
			.name = name,
			.name_len = (uint32_t)strlen(name),
			.mode = S_IFREG | (s->mode & 0444),
			.uid = t->q->uid,
			.gid = gid};
	*txn_add_change(t) =
		(struct change){.type = CHANGE_CONTENT, .ino = ino, .content_flags = CONTENT_REPLACE, .size = s->size, .extents = &s->x, .extent_count = 1};
}

/* Lock held. */
static int start_stage(struct txn *t, struct start *s)
{
	struct engine *e = t->e;
	struct buf participants = BUF_INIT;
	uint32_t mode = s->mode, gid;
	struct node *dir;
	char *path;
	int r = engine_place_new(t, s->parent, s->name, mode, &dir, &path);

	if (r)
		return r;
	if (!start_holds(e, s))
		return -EAGAIN;
	if (s->record && !S_ISREG(s->record->newest->attrs->mode))
		return reason_set(&t->q->reason, -EEXIST, "barrier", "%s.yaml is where the record of the barrier %s belongs", s->name, s->name);
	engine_inherit(dir, t->q, &mode, &gid);
	s->b->dir_ino = tree_take_ino(e->tree);
	*txn_add_change(t) = (struct change){.type = CHANGE_CREATE,
		.ino = s->b->dir_ino,
		.parent = dir->ino,
		.name = s->name,
		.name_len = (uint32_t)strlen(s->name),
		.mode = mode,
		.uid = t->q->uid,
		.gid = gid};
	start_add_record(t, s, gid);
	id_list_put(&s->b->first, false, &participants);
	if (participants.error)
		t->error = participants.error;
	txn_add_event(t, EVENT_SYNC_STARTED, path);
	txn_event_more(t, "\"sync_id\":\"%s\",\"participants\":%s", s->name, participants.error ? "[]" : participants.data);
	buf_release(&participants);
	return txn_stage(t);
}

static int start_once(struct engine *e, struct request *q, struct start *s, struct tree_attr *ret)
{
	struct buf text = BUF_INIT;
	struct txn t;
	int r;

	txn_init(&t, e, q, OPERATION_START_SYNC);
	engine_lock(e);
	r = start_find(e, q, s);
	engine_unlock(e);
	if (!r) {
		barrier_record_render(&s->b->record, s->name, s->session, &text);
		r = text.error ? text.error : record_blocks_add(&t.blocks, text.data, text.len, &s->x);
		s->x.len = s->size = text.len;
	}
	if (!r)
		r = txn_reserve(&t, barrier_event_bytes(&s->b->record));
	if (!r) {
		engine_lock(e);
		r = start_stage(&t, s); /* the barrier begins here */
		if (!r)
			r = tree_attr_at(e->tree, tree_node(e->tree, s->b->dir_ino), SEQ_LIVE, INT64_MAX, ret);
		if (!r) {
			barrier_insert(e, s->b);
			s->b = NULL;
		}
		engine_unlock(e);
	}
	txn_finish(&t);
	buf_release(&text);
	barrier_free(s->b);
	return r;
}

static bool is_record_name(const char *name)
{
	size_t len = strlen(name);

	return len >= 5 && !strcmp(name + len - 5, ".yaml");
}

int barrier_start(struct engine *e, struct request *q, const char *session, const char *name, uint32_t mode, struct tree_attr *ret)
{
	int r = -EAGAIN;

	q->seq = 0;
	if (!id_valid(name, strlen(name)))
		return reason_set(&q->reason, -EINVAL, "layout",
			"%s: an id begins with a letter or digit and holds at most 128 letters, digits, '.', '_' and "
			"'-'",
			name);
	if (is_record_name(name))
		return reason_set(&q->reason, -EINVAL, "barrier", "%s: a barrier's name cannot end in .yaml, which is how its record is called", name);
	for (int tries = 0; tries < BARRIER_TRIES && r == -EAGAIN; tries++) {
		struct start s = {.session = session, .name = name, .mode = S_IFDIR | (mode & 07777)};

		r = start_once(e, q, &s, ret);
	}
	if (!r)
		upkeep_wake(e);
	return r == -EAGAIN ? -EBUSY : r;
}

/* ---- rmdir ---- */

struct removal {
	const char *session, *name;
	uint64_t dir_ino, changes; /* changes: of the barrier while it is in progress */
	size_t entries;
	bool fails;                /* it is in progress */
	const struct node *record; /* NULL: none, or it says all already */
	struct extent x;
	uint64_t size;
};

/* How the record is when it is removed now: the lists are the barrier's own. */
static struct barrier_record removed_record(struct engine *e, const struct barrier *b)
{
	struct barrier_record r = b->record;

	r.status = BARRIER_FAILED;
	r.reason = BARRIER_REMOVED;
	r.ended_ns = env_time_ns(e->env);
	return r;
}

/* Lock held. */
static int removal_find(struct engine *e, struct removal *m, struct dentry **ret)
{
	struct session *s = registry_session(e, m->session);
	struct node *dir = s && s->sync_ino ? tree_node(e->tree, s->sync_ino) : NULL;
	struct dentry *d = dir ? tree_lookup(e->tree, dir, m->name, strlen(m->name), engine_live_seq(e)) : NULL;

	if (!d)
		return -ENOENT;
	if (!S_ISDIR(d->node->newest->attrs->mode))
		return -ENOTDIR;
	*ret = d;
	return 0;
}

/* What is to be written, as of now. Lock held. */
static int removal_prepare(struct engine *e, struct removal *m, struct buf *text)
{
	struct barrier_record record;
	struct dentry *d;
	struct barrier *b;
	int r = removal_find(e, m, &d);

	if (r)
		return r;
	m->dir_ino = d->node->ino;
	m->entries = d->node->dir ? d->node->dir->live_count : 0;
	b = barrier_find(e, m->dir_ino);
	if (!b || b->record.status != BARRIER_IN_PROGRESS)
		return 0;
	r = barrier_look(e, b);
	m->fails = true;
	m->changes = b->changes;
	m->record = barrier_record_node(e, m->session, m->name, NULL);
	record = removed_record(e, b);
	barrier_record_render(&record, m->name, m->session, text);
	return r ? r : text->error;
}

static void add_unlink(struct txn *t, const struct dentry *d)
{
	*txn_add_change(t) =
		(struct change){.type = CHANGE_UNLINK, .ino = d->node->ino, .parent = d->parent->ino, .name = d->name->text, .name_len = d->name->len};
}

/* All that is in it goes with it. Lock held. */
static int removal_add_entries(struct txn *t, const struct node *dir)
{
	for (const struct dentry *d = dir->dir ? dir->dir->first : NULL; d; d = d->next) {
		if (d->node->flags & NODE_NEWBORN || S_ISDIR(d->node->newest->attrs->mode))
			return -ENOTEMPTY;
		add_unlink(t, d);
	}
	return 0;
}

static void note_unlinked(struct engine *e, const struct node *dir, uint32_t pid)
{
	for (const struct dentry *d = dir->dir ? dir->dir->first : NULL; d; d = d->next)
		if (d->node->nlink == 1)
			drafts_note_unlinked(e, d->node, pid);
}

/* Lock held. */
static int removal_stage(struct txn *t, struct removal *m)
{
	struct engine *e = t->e;
	struct dentry *d;
	int r = removal_find(e, m, &d);
	struct barrier *b = barrier_find(e, m->dir_ino);
	bool fails = b && b->record.status == BARRIER_IN_PROGRESS;
	struct barrier_record record;

	if (r)
		return r;
	if (d->node->ino != m->dir_ino || fails != m->fails || (fails && b->changes != m->changes) || d->node->dir->live_count > m->entries ||
		(fails && barrier_record_node(e, m->session, m->name, NULL) != m->record))
		return -EAGAIN;
	t->path = engine_child_path(t, d->parent, m->name);
	if (!t->path)
		return -ENOMEM;
	r = removal_add_entries(t, d->node);
	if (r)
		return r;
	add_unlink(t, d);
	if (fails) {
		record = removed_record(e, b);
		if (m->record)
			barrier_add_content(t, m->record, &m->x, m->size);
		barrier_add_event(t, t->path, m->name, &record);
	}
	txn_add_event(t, EVENT_DIRECTORY_REMOVED, t->path);
	note_unlinked(e, d->node, t->q->actor.pid);
	r = txn_stage(t);
	if (!r && b)
		barrier_drop(e, b);
	return r;
}

static int remove_once(struct engine *e, struct request *q, struct removal *m)
{
	struct buf text = BUF_INIT;
	struct txn t;
	int r;

	txn_init(&t, e, q, OPERATION_REMOVE_SYNC);
	engine_lock(e);
	r = removal_prepare(e, m, &text);
	engine_unlock(e);
	if (!r && m->record) {
		r = record_blocks_add(&t.blocks, text.data, text.len, &m->x);
		m->x.len = m->size = text.len;
	}
	if (!r)
		r = txn_reserve(&t, 4096 + text.len + m->entries * 512);
	if (!r) {
		engine_lock(e);
		r = removal_stage(&t, m);
		engine_unlock(e);
	}
	txn_finish(&t);
	buf_release(&text);
	return r;
}

int barrier_remove(struct engine *e, struct request *q, const char *session, const char *name)
{
	int r = -EAGAIN;

	q->seq = 0;
	for (int tries = 0; tries < BARRIER_TRIES && r == -EAGAIN; tries++) {
		struct removal m = {.session = session, .name = name};

		r = remove_once(e, q, &m);
	}
	if (!r)
		barriers_tell(e);
	return r == -EAGAIN ? -EBUSY : r;
}
