/* SPDX-License-Identifier: MIT
 *
 * Making names: files (newborns), directories, special files, symlinks, hard links. Each is one transaction but for
 * the newborn, which enters the journal with its first commit. Sessions, checkpoints and barriers are made elsewhere.
 *
 * Checks come in the order a person expects the errors: is the parent a directory, is the name allowed here, is it free.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "barrier.h"
#include "checkpoint.h"
#include "engine_internal.h"
#include "session.h"

#define PATH_BYTES_MAX 12288

struct node *engine_live_dir(struct engine *e, uint64_t ino, int *ret_error)
{
	struct node *n = tree_node(e->tree, ino);

	if (!n || !tree_is_linked(e->tree, n, engine_live_seq(e))) {
		*ret_error = -ENOENT;
		return NULL;
	}
	if (!S_ISDIR(n->newest->attrs->mode)) {
		*ret_error = -ENOTDIR;
		return NULL;
	}
	return n;
}

char *engine_child_path(struct txn *t, const struct node *parent, const char *name)
{
	struct buf path = BUF_INIT;
	char *copy = NULL;

	if (tree_path_at(t->e->tree, parent, SEQ_LIVE, &path))
		t->error = -ENOMEM;
	if (path.len)
		buf_append_str(&path, "/");
	buf_append_str(&path, name);
	if (path.error || t->error)
		t->error = -ENOMEM;
	else if (path.len > PATH_BYTES_MAX) /* two of them must fit a record beside everything else */
		t->error = -ENAMETOOLONG;
	else
		copy = txn_strdup(t, path.data);
	buf_release(&path);
	return copy;
}

void engine_newborn_unlink(struct engine *e, struct node *n)
{
	restores_note_entry(e, 0, n->ino);
	tree_newborn_unlink(e->tree, n);
}

void engine_inherit(const struct node *parent, const struct request *q, uint32_t *mode, uint32_t *gid)
{
	*gid = q->gid;
	if (parent->newest->attrs->mode & S_ISGID) {
		*gid = parent->newest->attrs->gid;
		if (S_ISDIR(*mode))
			*mode |= S_ISGID;
	}
}

static int name_check(const char *name)
{
	size_t len = strlen(name);

	if (!len || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EEXIST;
	return len > TREE_NAME_MAX ? -ENAMETOOLONG : 0;
}

int engine_place_new(struct txn *t, uint64_t parent, const char *name, uint32_t mode, struct node **ret_dir, char **ret_path)
{
	int r = name_check(name);
	struct node *dir = r ? NULL : engine_live_dir(t->e, parent, &r);
	char *path;

	if (!dir)
		return r;
	path = engine_child_path(t, dir, name);
	if (!path)
		return t->error;
	if (tree_lookup(t->e->tree, dir, name, strlen(name), engine_live_seq(t->e)))
		return -EEXIST;
	r = layout_check_create(path, mode, &t->q->reason);
	if (!r && registry_place_of(t->e, dir->ino, NULL) == PLACE_BARRIER)
		r = barrier_check_entry(t->e, dir->ino, name, mode, &t->q->reason);
	if (r)
		return r;
	t->path = path;
	*ret_dir = dir;
	*ret_path = path;
	return 0;
}

/* The CREATE of a new inode; the caller owns what the strings point to. */
static struct change *add_create(struct txn *t, const struct node *dir, const char *name, uint32_t mode, uint32_t uid, uint32_t gid)
{
	struct change *c = txn_add_change(t);

	*c = (struct change){.type = CHANGE_CREATE,
		.ino = tree_take_ino(t->e->tree),
		.parent = dir->ino,
		.name = name,
		.name_len = (uint32_t)strlen(name),
		.mode = mode,
		.uid = uid,
		.gid = gid};
	return c;
}

int engine_create(struct engine *e, struct request *q, uint64_t parent, const char *name, uint32_t mode, struct tree_attr *ret)
{
	struct change c = {.type = CHANGE_CREATE, .parent = parent, .name = name, .name_len = (uint32_t)strlen(name), .uid = q->uid};
	struct node *dir, *n;
	struct txn t;
	char *path;
	int r = engine_check_writable(e, q);

	if (r)
		return r;
	txn_init(&t, e, q, OPERATION_CREATE);
	q->seq = 0;
	engine_lock(e);
	r = engine_place_new(&t, parent, name, S_IFREG, &dir, &path);
	if (!r) {
		c.mode = S_IFREG | (mode & 07777);
		engine_inherit(dir, q, &c.mode, &c.gid);
		c.ino = tree_take_ino(e->tree);
		restores_note_entry(e, parent, c.ino);
		r = tree_newborn_create(e->tree, &c, env_time_ns(e->env), &n);
	}
	if (!r)
		r = tree_attr_at(e->tree, n, SEQ_LIVE, INT64_MAX, ret);
	engine_unlock(e);
	txn_finish(&t);
	return r;
}

/* ---- one inode, one transaction ---- */

struct make {
	uint32_t mode;
	uint64_t rdev;
	const char *target; /* symlink */
	enum event_type event;
};

static int engine_make(struct engine *e, struct request *q, enum operation op, uint64_t parent, const char *name, const struct make *m, struct tree_attr *ret)
{
	struct node *dir;
	struct change *c;
	struct txn t;
	uint32_t mode = m->mode, gid;
	char *path;
	int r;

	txn_init(&t, e, q, op);
	r = txn_reserve(&t, 0);
	if (!r) {
		engine_lock(e);
		r = engine_place_new(&t, parent, name, mode, &dir, &path);
		if (!r) {
			engine_inherit(dir, q, &mode, &gid);
			c = add_create(&t, dir, name, mode, q->uid, gid);
			c->rdev = m->rdev;
			c->value = m->target;
			c->value_len = m->target ? (uint32_t)strlen(m->target) : 0;
			txn_add_event(&t, m->event, path);
			r = txn_stage(&t);
		}
		if (!r)
			r = tree_attr_at(e->tree, tree_node(e->tree, t.changes[0].ino), SEQ_LIVE, INT64_MAX, ret);
		engine_unlock(e);
	}
	txn_finish(&t);
	return r;
}

int engine_mkdir(struct engine *e, struct request *q, uint64_t parent, const char *name, uint32_t mode, struct tree_attr *ret)
{
	struct make m = {.mode = S_IFDIR | (mode & 07777), .event = EVENT_DIRECTORY_CREATED};
	char session[ACTOR_ID_BYTES];

	switch (engine_place_of(e, parent, session)) {
	case PLACE_SESSIONS:
		return session_create(e, q, parent, name, m.mode, ret);
	case PLACE_CHECKPOINTS:
		return checkpoint_create(e, q, session, name, NULL, NULL, ret);
	case PLACE_SYNC:
		return barrier_start(e, q, session, name, m.mode, ret);
	default:
		return engine_make(e, q, OPERATION_MKDIR, parent, name, &m, ret);
	}
}

/* A file made where files are more than bytes comes into being by an (empty) save. */
static int make_saved(struct engine *e, struct request *q, uint64_t parent, const char *name, uint32_t mode, struct tree_attr *ret)
{
	struct draft *d;
	int r = engine_create(e, q, parent, name, mode, ret);

	if (!r)
		r = draft_open(e, ret->ino, DRAFT_WHOLE, &q->actor, &d);
	if (r)
		return r;
	r = draft_commit(d, q, 0);
	draft_close(d);
	if (!r) {
		engine_lock(e);
		r = tree_attr_at(e->tree, tree_node(e->tree, ret->ino), SEQ_LIVE, INT64_MAX, ret);
		engine_unlock(e);
	}
	return r;
}

int engine_mknod(struct engine *e, struct request *q, uint64_t parent, const char *name, uint32_t mode, uint64_t rdev, struct tree_attr *ret)
{
	struct make m = {.mode = mode, .rdev = rdev, .event = EVENT_NODE_CREATED};
	char session[ACTOR_ID_BYTES];

	if (S_ISREG(mode) && engine_place_of(e, parent, session) == PLACE_AGENTS)
		return make_saved(e, q, parent, name, mode, ret);
	if (S_ISREG(mode)) {
		m.event = EVENT_FILE_CREATED;
		return engine_make(e, q, OPERATION_CREATE, parent, name, &m, ret);
	}
	if (!S_ISFIFO(mode) && !S_ISSOCK(mode) && !S_ISCHR(mode) && !S_ISBLK(mode))
		return -EINVAL;
	return engine_make(e, q, OPERATION_MKNOD, parent, name, &m, ret);
}

int engine_symlink(struct engine *e, struct request *q, uint64_t parent, const char *name, const char *target, struct tree_attr *ret)
{
	struct make m = {.mode = S_IFLNK | 0777, .target = target, .event = EVENT_SYMLINK_CREATED};

	if (strlen(target) > 4095)
		return -ENAMETOOLONG;
	return engine_make(e, q, OPERATION_SYMLINK, parent, name, &m, ret);
}

/* ---- hard links ---- */

int engine_settle_newborn(struct engine *e, struct request *q, uint64_t ino)
{
	struct node *n;
	struct draft *d = NULL;
	bool newborn;
	int r = 0;

	engine_lock(e);
	n = tree_node(e->tree, ino);
	newborn = n && n->flags & NODE_NEWBORN;
	if (newborn)
		d = draft_of_node(e, n);
	engine_unlock(e);
	if (d) {
		r = draft_commit(d, q, 0);
		draft_unref(d);
	}
	return r;
}

static int link_stage(struct txn *t, uint64_t ino, uint64_t parent, const char *name)
{
	struct engine *e = t->e;
	struct node *n = tree_node(e->tree, ino), *dir;
	struct buf old_path = BUF_INIT;
	struct change *c;
	struct event *ev;
	char *path, *from;
	int r;

	if (!n || !n->nlink || n->flags & NODE_NEWBORN)
		return -ENOENT;
	if (S_ISDIR(n->newest->attrs->mode))
		return -EPERM;
	r = engine_place_new(t, parent, name, n->newest->attrs->mode, &dir, &path);
	if (!r)
		r = tree_path_at(e->tree, n, SEQ_LIVE, &old_path);
	if (r)
		return r;
	from = txn_strdup(t, old_path.data ? old_path.data : "");
	buf_release(&old_path);
	if (!from)
		return -ENOMEM;
	if ((layout_flags_of(from) | layout_flags_of(path)) & (LAYOUT_NO_LINK | LAYOUT_NAMED))
		return reason_set(&t->q->reason, -EPERM, "layout", "%s cannot have hard links: it has one identity", from);
	c = txn_add_change(t);
	*c = (struct change){.type = CHANGE_LINK, .ino = ino, .parent = dir->ino, .name = name, .name_len = (uint32_t)strlen(name)};
	ev = txn_add_event(t, EVENT_LINKED, from);
	ev->new_path = path;
	t->base = n->newest;
	return txn_stage(t);
}

/* Content that a rule of the new name would refuse may not get that name. */
static int link_check_rules(struct engine *e, struct request *q, uint64_t ino, uint64_t parent, const char *name)
{
	struct buf path = BUF_INIT;
	struct node *dir, *n;
	const struct version *v = NULL;
	int r = 0;

	engine_lock(e);
	dir = tree_node(e->tree, parent);
	n = tree_node(e->tree, ino);
	if (dir && n && S_ISREG(n->newest->attrs->mode) && !tree_path_at(e->tree, dir, SEQ_LIVE, &path)) {
		buf_append_str(&path, path.len ? "/" : "");
		buf_append_str(&path, name);
		v = tree_version_at(n, engine_live_seq(e));
	}
	engine_unlock(e);
	if (v && !path.error)
		r = engine_check_content(e, q, path.data, v, NULL, NULL);
	buf_release(&path);
	return r;
}

int engine_link(struct engine *e, struct request *q, uint64_t ino, uint64_t parent, const char *name, struct tree_attr *ret)
{
	struct txn t;
	int r = engine_settle_newborn(e, q, ino);

	if (!r)
		r = link_check_rules(e, q, ino, parent, name);
	if (r)
		return r;
	txn_init(&t, e, q, OPERATION_LINK);
	r = txn_reserve(&t, 0);
	if (!r) {
		engine_lock(e);
		r = link_stage(&t, ino, parent, name);
		if (!r)
			r = tree_attr_at(e->tree, tree_node(e->tree, ino), SEQ_LIVE, INT64_MAX, ret);
		engine_unlock(e);
	}
	txn_finish(&t);
	return r;
}
