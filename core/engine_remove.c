/* SPDX-License-Identifier: MIT
 *
 * Names going away: unlink and rmdir, and what is remembered of a ruled name for two seconds so that remove-and-create is a
 * replacement. An inode without names stays readable by number (open handles, history).
 *
 * A session goes whole, in one transaction: its empty skeleton, session.yaml, what the daemon made by itself (automatic checkpoints, the
 * monitor's log, records of barriers that are gone) and its directory. Anything else that is really in it, a newborn or a named checkpoint too,
 * makes it -ENOTEMPTY. Nothing is altered before every entry has been looked at.
 */
#include <errno.h>
#include <string.h>

#include "barrier.h"
#include "checkpoint_internal.h"

#define PUT_BACK_EXTENTS_MAX 1024
/* More than the UNLINK of an id takes in a record. */
#define REMOVED_NAME_BYTES 160

void engine_note_removed(struct engine *e, const char *path, uint64_t ino)
{
	struct rule_options ro;
	struct removed_name *slot;
	char *copy;

	config_rule_options(e->config, &ro);
	if (!rule_applies(&ro, path))
		return;
	copy = strdup(path);
	if (!copy)
		return; /* only the two seconds' grace is lost */
	slot = &e->removed[e->removed_next++ % REMOVED_RECENTLY_MAX];
	free(slot->path);
	*slot = (struct removed_name){copy, ino, env_monotonic_ns(e->env)};
}

uint64_t engine_removed_recently(struct engine *e, const char *path)
{
	int64_t now = env_monotonic_ns(e->env);
	uint64_t ino = 0;
	int64_t newest = 0;

	for (size_t i = 0; i < REMOVED_RECENTLY_MAX; i++) {
		const struct removed_name *s = &e->removed[i];

		if (s->path && now - s->time_ns <= REMOVED_RECENTLY_NS && s->time_ns >= newest && !strcmp(s->path, path)) {
			ino = s->ino;
			newest = s->time_ns;
		}
	}
	return ino;
}

/* A version of a file that has another name by now: the same bytes under a new inode. */
static void put_back_copy(struct txn *t, const struct node *n, uint64_t parent, const char *name)
{
	const struct version *v = n->newest;
	struct version_extents scratch = {0};
	struct extent *extents = txn_alloc(t, PUT_BACK_EXTENTS_MAX * sizeof(*extents));
	uint64_t ino = tree_take_ino(t->e->tree), covered = 0;
	ssize_t count = extents ? tree_extents(v, &scratch, 0, v->size, extents, PUT_BACK_EXTENTS_MAX, &covered) : -ENOMEM;

	extent_map_release(&scratch.map);
	if (count < 0 || covered < v->size)
		return; /* it is still under its other name */
	*txn_add_change(t) = (struct change){.type = CHANGE_CREATE,
		.ino = ino,
		.parent = parent,
		.name = name,
		.name_len = (uint32_t)strlen(name),
		.mode = v->attrs->mode,
		.uid = v->attrs->uid,
		.gid = v->attrs->gid,
		.attr_mask = ATTR_MTIME,
		.mtime_ns = version_mtime(v)};
	*txn_add_change(t) = (struct change){.type = CHANGE_CONTENT,
		.ino = ino,
		.content_flags = CONTENT_REPLACE | CONTENT_KEEP_MTIME,
		.size = v->size,
		.extents = extents,
		.extent_count = (uint32_t)count};
}

struct node *engine_removed_file(struct engine *e, const char *path)
{
	uint64_t ino = engine_removed_recently(e, path);
	struct node *n = ino ? tree_node(e->tree, ino) : NULL;

	return n && S_ISREG(n->newest->attrs->mode) ? n : NULL;
}

void engine_put_back(struct txn *t, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct node *n = engine_removed_file(t->e, path), *dir;
	char *dir_path = n ? txn_strdup(t, path) : NULL;

	if (!dir_path)
		return;
	dir_path[slash ? slash - path : 0] = '\0';
	dir = tree_resolve(t->e->tree, dir_path, SEQ_LIVE);
	if (!dir || !S_ISDIR(dir->newest->attrs->mode) || tree_lookup(t->e->tree, dir, name, strlen(name), SEQ_LIVE))
		return;
	if (n->nlink)
		put_back_copy(t, n, dir->ino, name);
	else
		*txn_add_change(t) = (struct change){.type = CHANGE_LINK, .ino = n->ino, .parent = dir->ino, .name = name, .name_len = (uint32_t)strlen(name)};
}

static int find_entry(struct txn *t, uint64_t parent, const char *name, struct dentry **ret, char **ret_path)
{
	int r = 0;
	struct node *dir = engine_live_dir(t->e, parent, &r);
	struct dentry *d = dir ? tree_lookup(t->e->tree, dir, name, strlen(name), engine_live_seq(t->e)) : NULL;

	if (!d)
		return r ? r : -ENOENT;
	*ret_path = engine_child_path(t, dir, name);
	if (!*ret_path)
		return -ENOMEM;
	t->path = *ret_path;
	*ret = d;
	return layout_check_remove(*ret_path, &t->q->reason);
}

static void add_unlink(struct txn *t, const struct dentry *d)
{
	struct change *c = txn_add_change(t);

	*c = (struct change){.type = CHANGE_UNLINK, .ino = d->node->ino, .parent = d->parent->ino, .name = d->name->text, .name_len = d->name->len};
}

static int unlink_stage(struct txn *t, uint64_t parent, const char *name)
{
	struct engine *e = t->e;
	struct dentry *d;
	struct node *n;
	struct event *ev;
	char *path;
	int r = find_entry(t, parent, name, &d, &path);

	if (r)
		return r;
	n = d->node;
	if (S_ISDIR(n->newest->attrs->mode))
		return -EISDIR;
	if (n->nlink == 1)
		drafts_note_unlinked(e, n, t->q->actor.pid);
	if (n->flags & NODE_NEWBORN) {
		engine_newborn_unlink(e, n);
		return 0;
	}
	add_unlink(t, d);
	t->base = n->newest;
	ev = txn_add_event(t, EVENT_FILE_REMOVED, path);
	if (sha_cache_get(e->shas, n->ino, n->newest->born, &t->base_sha))
		event_set_old_sha(ev, &t->base_sha);
	engine_note_removed(e, path, n->ino);
	return txn_stage(t);
}

int engine_unlink(struct engine *e, struct request *q, uint64_t parent, const char *name)
{
	struct txn t;
	int r;

	q->seq = 0;
	txn_init(&t, e, q, OPERATION_REMOVE);
	r = txn_reserve(&t, 0);
	if (!r) {
		engine_lock(e);
		r = unlink_stage(&t, parent, name);
		engine_unlock(e);
	}
	txn_finish(&t);
	return r;
}

/* ---- sessions ---- */

static int session_add_dir(struct txn *t, const struct dentry *d, const struct dentry **ret_file);

/* A directory of a session: a part of its skeleton, or a checkpoint nobody asked for. */
static int session_add_subdir(struct txn *t, const struct dentry *d, enum place_kind place, struct session *s, const struct dentry **ret_file)
{
	const struct checkpoint *c = place == PLACE_CHECKPOINTS ? registry_checkpoint(s, d->name->text) : NULL;
	const char *path;

	if (c)
		return c->automatic ? checkpoint_add_removal(t, d) : -ENOTEMPTY;
	path = engine_child_path(t, d->parent, d->name->text);
	if (!path)
		return t->error;
	return layout_flags_of(path) & LAYOUT_SKELETON ? session_add_dir(t, d, ret_file) : -ENOTEMPTY;
}

static bool is_record(const struct dentry *d)
{
	return d->name->len > 5 && !strcmp(d->name->text + d->name->len - 5, ".yaml");
}

/* What goes with its session: the skeleton, session.yaml, and what the daemon made by itself. */
static int session_add_entry(struct txn *t, const struct dentry *d, const struct dentry **ret_file)
{
	struct session *s = NULL;
	enum place_kind place = registry_place_of(t->e, d->parent->ino, &s);

	if (S_ISDIR(d->node->newest->attrs->mode))
		return session_add_subdir(t, d, place, s, ret_file);
	if (d->node->flags & NODE_NEWBORN)
		return -ENOTEMPTY;
	if (place == PLACE_SESSION && !strcmp(d->name->text, "session.yaml"))
		*ret_file = d;
	else if (place != PLACE_HEALTH && !(place == PLACE_SYNC && is_record(d)))
		return -ENOTEMPTY;
	add_unlink(t, d);
	return 0;
}

/* All that is in it, then itself. */
static int session_add_dir(struct txn *t, const struct dentry *d, const struct dentry **ret_file)
{
	int r = 0;

	for (const struct dentry *child = d->node->dir->first; !r && child; child = child->next)
		r = session_add_entry(t, child, ret_file);
	if (!r)
		add_unlink(t, d);
	return r;
}

static int session_rmdir_stage(struct txn *t, const struct dentry *d, const char *path)
{
	const struct dentry *file = NULL;
	const char *file_path;
	int r = session_add_dir(t, d, &file);

	if (r)
		return r;
	txn_add_event(t, EVENT_SESSION_REMOVED, path);
	file_path = file ? engine_child_path(t, d->node, file->name->text) : NULL;
	r = txn_stage(t); /* with the error of any of the above */
	if (!r && file) {
		drafts_note_unlinked(t->e, file->node, t->q->actor.pid);
		engine_note_removed(t->e, file_path, file->node->ino);
	}
	return r;
}

/* Room for the names that go with the session @name: its checkpoints, and records of its barriers. */
static size_t session_removal_bytes(struct engine *e, const char *name)
{
	const struct session *s;
	const struct node *sync;
	size_t names = 0;

	engine_lock(e);
	s = registry_session(e, name);
	sync = s && s->sync_ino ? tree_node(e->tree, s->sync_ino) : NULL;
	if (s)
		names = 2 * s->checkpoint_count + (sync ? sync->dir->live_count : 0);
	engine_unlock(e);
	return names * REMOVED_NAME_BYTES;
}

static int rmdir_stage(struct txn *t, uint64_t parent, const char *name)
{
	struct dentry *d;
	char *path;
	int r = find_entry(t, parent, name, &d, &path);

	if (r)
		return r;
	if (!S_ISDIR(d->node->newest->attrs->mode))
		return -ENOTDIR;
	if (layout_flags_of(path) & LAYOUT_SESSION)
		return session_rmdir_stage(t, d, path);
	if (!tree_dir_is_empty(d->node))
		return -ENOTEMPTY;
	add_unlink(t, d);
	txn_add_event(t, EVENT_DIRECTORY_REMOVED, path);
	return txn_stage(t);
}

int engine_rmdir(struct engine *e, struct request *q, uint64_t parent, const char *name)
{
	char session[ACTOR_ID_BYTES];
	size_t extra = 0;
	struct txn t;
	int r;

	q->seq = 0;
	switch (engine_place_of(e, parent, session)) {
	case PLACE_SESSIONS:
		extra = session_removal_bytes(e, name);
		break;
	case PLACE_CHECKPOINTS:
		return checkpoint_remove(e, q, session, name);
	case PLACE_SYNC:
		return barrier_remove(e, q, session, name);
	default:
		break;
	}
	txn_init(&t, e, q, OPERATION_RMDIR);
	r = txn_reserve(&t, extra);
	if (!r) {
		engine_lock(e);
		r = rmdir_stage(&t, parent, name);
		engine_unlock(e);
	}
	txn_finish(&t);
	return r;
}
