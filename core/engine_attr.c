/* SPDX-License-Identifier: MIT
 *
 * Attributes and extended attributes, and events that change nothing else. A newborn takes attribute changes in place; they
 * enter the journal with its first commit.
 */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "engine_internal.h"

#define XATTR_VALUE_MAX 65536
#define XATTR_NAME_BYTES_MAX 255

/* Stage one change of one inode with one event. Lock held. */
static int attr_stage(struct txn *t, struct node *n, const struct change *c, enum event_type type)
{
	struct engine *e = t->e;
	struct buf path = BUF_INIT;
	char *copy;

	if (n->flags & NODE_NEWBORN)
		return tree_newborn_change(e->tree, n, env_time_ns(e->env), c);
	if (tree_path_at(e->tree, n, SEQ_LIVE, &path) == -ENOMEM) /* an inode without a name has path "" */
		return -ENOMEM;
	copy = txn_strdup(t, path.data ? path.data : "");
	buf_release(&path);
	if (!copy)
		return -ENOMEM;
	t->path = copy;
	t->base = n->newest;
	*txn_add_change(t) = *c;
	txn_add_event(t, type, copy);
	return txn_stage(t);
}

int engine_setattr(struct engine *e, struct request *q, uint64_t ino, const struct change *c, struct tree_attr *ret)
{
	struct node *n;
	struct txn t;
	int r;

	txn_init(&t, e, q, OPERATION_SETATTR);
	r = txn_reserve(&t, 0);
	if (!r) {
		engine_lock(e);
		n = tree_node(e->tree, ino);
		r = n ? attr_stage(&t, n, c, EVENT_ATTRIBUTES_CHANGED) : -ENOENT;
		if (!r && c->attr_mask & ATTR_MTIME)
			drafts_note_utimens(e, n);
		if (!r)
			r = tree_attr_at(e->tree, n, SEQ_LIVE, INT64_MAX, ret);
		engine_unlock(e);
	}
	txn_finish(&t);
	q->seq = 0; /* durable with the next batch; nobody waits for it */
	return r;
}

int engine_setxattr(struct engine *e, struct request *q, uint64_t ino, const char *name, const char *value, size_t len, int flags)
{
	struct change c = {.type = CHANGE_XATTR, .ino = ino, .name = name, .name_len = (uint32_t)strlen(name), .value = value, .value_len = (uint32_t)len};
	const char *old;
	size_t old_len;
	struct node *n;
	struct txn t;
	int r;

	if (c.name_len > XATTR_NAME_BYTES_MAX)
		return -ERANGE;
	if (len > XATTR_VALUE_MAX)
		return -E2BIG;
	txn_init(&t, e, q, OPERATION_SETXATTR);
	r = txn_reserve(&t, len);
	if (!r) {
		engine_lock(e);
		n = tree_node(e->tree, ino);
		r = n ? tree_xattr_get(n->newest->attrs, name, c.name_len, &old, &old_len) : -ENOENT;
		if (r == -ENODATA && value && !(flags & XATTR_REPLACE))
			r = 0;
		else if (!r && flags & XATTR_CREATE)
			r = -EEXIST;
		if (!r)
			r = attr_stage(&t, n, &c, EVENT_XATTR_CHANGED);
		engine_unlock(e);
	}
	txn_finish(&t);
	q->seq = 0;
	return r;
}

int engine_log_event(
	struct engine *e, struct request *q, enum event_type type, const char *session, const char *path, const char *custom_type, const char *more)
{
	struct event *ev;
	struct txn t;
	int r;

	txn_init(&t, e, q, OPERATION_LOG_EVENT);
	r = txn_reserve(&t, strlen(more));
	if (!r) {
		engine_lock(e);
		ev = txn_add_event(&t, type, path);
		ev->session = session;
		ev->custom_type = custom_type ? custom_type : "";
		ev->more = more;
		t.path = path;
		r = txn_stage(&t);
		engine_unlock(e);
	}
	txn_finish(&t);
	return r;
}
