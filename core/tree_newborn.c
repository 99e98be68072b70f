/* SPDX-License-Identifier: MIT
 *
 * Newborns: names that exist for everybody now and for the journal not yet. A
 * newborn is an ordinary live entry and node, born at SEQ_NEWBORN, which is greater than
 * every real sequence number, so only the live view sees it. tree_apply() of its CREATE settles it.
 *
 * These functions reserve their own memory, so each either does all of its work or nothing.
 */
#include "tree_internal.h"

#include <assert.h>
#include <errno.h>

static int place_check(const struct tree *t, const struct node *parent, const char *name, size_t len)
{
	if (!parent || (parent->flags & NODE_NEWBORN) || !node_is_dir(parent) || !node_is_linked(parent) || !tree_name_ok(name, len))
		return -EIO;
	return tree_live_find(t, parent, name, len) ? -EEXIST : 0;
}

int tree_newborn_create(struct tree *t, const struct change *create, int64_t time_ns, struct node **ret)
{
	struct node *parent = tree_node(t, create->parent), *n;
	int r;

	if (!tree_create_fits(create) || tree_node(t, create->ino))
		return -EIO;
	r = place_check(t, parent, create->name, create->name_len);
	if (r)
		return r;
	r = tree_reserve(t, create, 1);
	if (r)
		return r;
	n = tree_node_slot(t, create->ino);
	n->ino = create->ino;
	n->flags |= NODE_NEWBORN;
	tree_create_fill(t, n, tree_version_push(t, n, SEQ_NEWBORN), time_ns, create);
	tree_entry_link(t, parent, n, create->name, create->name_len, SEQ_NEWBORN);
	tree_dir_touch(t, parent, time_ns);
	tree_ino_used(t, create->ino);
	*ret = n;
	return 0;
}

int tree_newborn_change(struct tree *t, struct node *n, int64_t time_ns, const struct change *c)
{
	struct version *v = n->newest;
	const char *value;
	bool keep_ctime;
	size_t len;
	int r;

	assert(n->flags & NODE_NEWBORN);
	if (c->type == CHANGE_XATTR) {
		if (!tree_xattr_fits(c, v->attrs))
			return -EIO;
		if (c->value && xattrs_count(v->attrs->xattrs) >= TREE_NEWBORN_CHANGES - 1 && tree_xattr_get(v->attrs, c->name, c->name_len, &value, &len))
			return -ENOSPC;
	} else if (c->type != CHANGE_ATTR) {
		return -EIO;
	}
	r = tree_reserve(t, c, 1);
	if (r)
		return r;
	keep_ctime = c->type == CHANGE_ATTR && (c->attr_mask & ATTR_KEEP_CTIME);
	tree_attrs_change(t, v, keep_ctime ? v->ctime_ns : MAX(v->ctime_ns, time_ns), c);
	return 0;
}

void tree_newborn_unlink(struct tree *t, struct node *n)
{
	assert(n->flags & NODE_NEWBORN);
	if (n->names)
		tree_entry_unlink(t, n->names, SEQ_NEWBORN);
}

int tree_newborn_rename(struct tree *t, struct node *n, struct node *new_parent, const char *name, size_t len)
{
	const struct change want = {.type = CHANGE_LINK, .ino = n->ino, .name = name, .name_len = (uint32_t)len};
	int r = place_check(t, new_parent, name, len);

	assert(n->flags & NODE_NEWBORN);
	if (r)
		return r;
	r = tree_reserve(t, &want, 1);
	if (r)
		return r;
	tree_newborn_unlink(t, n);
	tree_entry_link(t, new_parent, n, name, len, SEQ_NEWBORN);
	return 0;
}

struct describe {
	struct change *out;
	size_t count, max;
	const struct node *node;
};

static int describe_xattr(void *arg, const char *name, size_t len)
{
	struct describe *d = arg;
	struct change *c;
	const char *value;
	size_t value_len;

	if (d->count == d->max)
		return -ENOSPC;
	c = &d->out[d->count++];
	(void)tree_xattr_get(d->node->newest->attrs, name, len, &value, &value_len); /* it was just listed */
	*c = (struct change){
		.type = CHANGE_XATTR,
		.ino = d->node->ino,
		.name = name,
		.name_len = (uint32_t)len,
		.value = value,
		.value_len = (uint32_t)value_len,
	};
	return 0;
}

int tree_newborn_describe(const struct tree *t, const struct node *n, struct change *out, size_t max)
{
	struct describe d = {.out = out, .max = max, .node = n};
	const struct version *v = n->newest;
	const struct attrs *a = v->attrs;

	(void)t;
	assert(max >= TREE_NEWBORN_CHANGES);
	out[d.count] = (struct change){
		.type = CHANGE_CREATE,
		.ino = n->ino,
		.parent = n->names ? n->names->parent->ino : 0,
		.name = n->names ? n->names->name->text : NULL,
		.name_len = n->names ? n->names->name->len : 0,
		.mode = a->mode,
		.uid = a->uid,
		.gid = a->gid,
		.attr_mask = (a->atime_set ? ATTR_ATIME : 0) | (a->mtime_set ? ATTR_MTIME : 0),
		.atime_ns = a->atime_ns,
		.mtime_ns = a->mtime_set ? a->mtime_ns : 0,
	};
	if (S_ISLNK(a->mode)) {
		out[0].value = n->symlink;
		out[0].value_len = (uint32_t)v->size;
	} else if (S_ISCHR(a->mode) || S_ISBLK(a->mode)) {
		out[0].rdev = n->rdev;
	}
	d.count++;
	(void)tree_xattr_list(a, describe_xattr, &d); /* newborn_change keeps them few enough */
	return (int)d.count;
}
