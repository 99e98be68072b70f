/* SPDX-License-Identifier: MIT
 *
 * The daemon's own edits of files of the state model, as parts of transactions. An edit is made of the newest version outside the
 * lock, since that reads and parses; under it only that version's being still the newest is checked. Whoever finds it moved on
 * (-EAGAIN) begins again: nothing a user saved in between is ever overwritten.
 */
#include <errno.h>
#include <string.h>

#include "engine_internal.h"

int file_edit_read(struct engine *e, uint64_t ino, const struct version **ret_base, char **ret_text, size_t *ret_len)
{
	const struct version *v = NULL;
	struct node *n;
	int r;

	engine_lock(e);
	n = tree_node(e->tree, ino);
	if (n && n->nlink && !(n->flags & NODE_NEWBORN) && S_ISREG(n->newest->attrs->mode))
		v = n->newest;
	engine_unlock(e);
	if (!v)
		return -ENOENT;
	if (v->size > engine_config(e)->rule_bytes_max)
		return -EFBIG;
	r = engine_read_text(e, v, ret_text);
	if (r)
		return r;
	*ret_base = v;
	*ret_len = (size_t)v->size;
	return 0;
}

int file_edit_prepare(uint64_t ino, const struct version *base, const char *text, size_t len, struct record_blocks *blocks, struct file_edit *ret)
{
	struct file_edit f = {.ino = ino, .base = base, .size = len};
	int r = len ? record_blocks_add(blocks, text, len, &f.extent) : 0;

	f.extent.len = len;
	if (!r)
		*ret = f;
	return r;
}

int file_edit_add(const struct file_edit *f, struct txn *t)
{
	struct node *n = tree_node(t->e->tree, f->ino);
	struct extent *x;

	if (f->same)
		return 0;
	if (!n || !n->nlink || n->newest != f->base)
		return -EAGAIN;
	x = txn_alloc(t, sizeof(*x));
	if (!x)
		return -ENOMEM;
	*x = f->extent;
	*txn_add_change(t) = (struct change){.type = CHANGE_CONTENT,
		.ino = f->ino,
		.content_flags = CONTENT_REPLACE | CONTENT_KEEP_MTIME,
		.size = f->size,
		.extents = x,
		.extent_count = f->size ? 1 : 0};
	return 0;
}

int session_owned_fill(struct engine *e, const struct session *s, int64_t now_ns, struct session_owned_text *ret)
{
	*ret = (struct session_owned_text){0};
	ret->id = strdup(s->id);
	registry_put_active_agents(s, &ret->active_agents);
	registry_put_last_checkpoint(s, &ret->last_checkpoint);
	registry_put_recovery_points(s, &ret->recovery_points);
	(void)e;
	if (!ret->id || ret->active_agents.error || ret->last_checkpoint.error || ret->recovery_points.error) {
		session_owned_release(ret);
		return -ENOMEM;
	}
	ret->owned = (struct session_owned){.id = ret->id,
		.created_ns = s->fields.created_ns,
		.last_updated_ns = now_ns,
		.active_agents = ret->active_agents.data,
		.last_checkpoint = ret->last_checkpoint.data,
		.last_backup = "null",
		.recovery_points = ret->recovery_points.data};
	return 0;
}

void session_owned_release(struct session_owned_text *o)
{
	free(o->id);
	o->id = NULL;
	buf_release(&o->active_agents);
	buf_release(&o->last_checkpoint);
	buf_release(&o->recovery_points);
}
