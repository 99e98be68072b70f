/* SPDX-License-Identifier: MIT
 *
 * The changes a restore is made of: names, attributes and contents as they were, for inodes that stay and for new ones. No bytes are copied:
 * contents are given by where they lie in the store. Attributes and contents are kept apart and come last, because names that come and
 * go alter the times of directories.
 */
#include <errno.h>
#include <string.h>

#include "restore_internal.h"

/* Files of more extents than this are given back by the ranges that were overwritten, if those are fewer. */
#define WHOLE_EXTENTS_MAX 64
#define RANGES_MAX 4096

struct restore_node *restore_node_of(struct restore_diff *x, const struct node *n)
{
	struct restore_node *i = NULL;

	if (x->nodes)
		HASH_FIND(hh, x->nodes, &n->ino, sizeof(n->ino), i);
	if (i)
		return i;
	i = calloc(1, sizeof(*i));
	if (!i) {
		x->t->error = -ENOMEM;
		return NULL;
	}
	i->ino = n->ino;
	HASH_ADD(hh, x->nodes, ino, sizeof(i->ino), i);
	if (i->hh.tbl)
		return i;
	free(i);
	x->t->error = -ENOMEM;
	return NULL;
}

/* ---- attributes ---- */

/* Changes that must wait until names no longer alter the times of directories. */
struct change *restore_late_change(struct restore_diff *x)
{
	static __thread struct change sink;

	if (array_reserve(&x->late, &x->late_capacity, x->late_count + 1, sizeof(*x->late))) {
		x->t->error = -ENOMEM;
		return &sink;
	}
	return &x->late[x->late_count++];
}

struct xattr_walk {
	struct restore_diff *x;
	const struct attrs *from, *other; /* those walked over, and those compared with; NULL: none */
	uint64_t ino;
	bool put; /* give back what differs; else take away what is missing in @other */
};

static int xattr_change(void *arg, const char *name, size_t len)
{
	struct xattr_walk *w = arg;
	const char *value, *other = NULL;
	size_t value_len, other_len = 0;
	bool there = w->other && !tree_xattr_get(w->other, name, len, &other, &other_len);

	(void)tree_xattr_get(w->from, name, len, &value, &value_len); /* it was just listed */
	if (w->put ? there && other_len == value_len && !memcmp(other, value, value_len) : there)
		return 0;
	*restore_late_change(w->x) = (struct change){.type = CHANGE_XATTR,
		.ino = w->ino,
		.name = name,
		.name_len = (uint32_t)len,
		.value = w->put ? value : NULL,
		.value_len = w->put ? (uint32_t)value_len : 0};
	return 0;
}

/* @now NULL: the inode is made by this transaction. */
static bool add_xattrs(struct restore_diff *x, uint64_t ino, const struct attrs *then, const struct attrs *now)
{
	struct xattr_walk take = {x, now, then, ino, false}, put = {x, then, now, ino, true};

	if (then->xattrs == (now ? now->xattrs : NULL))
		return false;
	if (now)
		(void)tree_xattr_list(now, xattr_change, &take);
	(void)tree_xattr_list(then, xattr_change, &put);
	return true;
}

/* @now gets mode, owner, times and extended attributes that @n had then; @touched: names in the directory @now come or go. Returns whether more than
   times differ. */
bool restore_add_attrs(struct restore_diff *x, const struct node *n, const struct node *now, bool touched)
{
	struct change c = {.type = CHANGE_ATTR, .ino = now->ino};
	struct tree_attr was, is;
	int64_t atime_ns;

	(void)tree_attr_at(x->t->e->tree, n, x->seq, x->seq_time_ns, &was); /* both exist */
	(void)tree_attr_at(x->t->e->tree, now, SEQ_LIVE, INT64_MAX, &is);
	c.mode = was.mode & 07777;
	c.uid = was.uid;
	c.gid = was.gid;
	c.mtime_ns = was.mtime_ns;
	c.atime_ns = was.atime_ns;
	c.attr_mask = (was.mode != is.mode ? ATTR_MODE : 0) | (was.uid != is.uid ? ATTR_UID : 0) | (was.gid != is.gid ? ATTR_GID : 0);
	if (was.mtime_ns != is.mtime_ns || touched)
		c.attr_mask |= ATTR_MTIME;
	atime_ns = now->newest->attrs->atime_set ? now->newest->attrs->atime_ns : was.mtime_ns; /* it follows mtime unless it was set */
	if (atime_ns != was.atime_ns)
		c.attr_mask |= ATTR_ATIME;
	if (c.attr_mask)
		*restore_late_change(x) = c;
	return add_xattrs(x, now->ino, tree_version_at(n, x->seq)->attrs, now->newest->attrs) || c.attr_mask & (ATTR_MODE | ATTR_UID | ATTR_GID);
}

/* ---- content ---- */

struct extent_list {
	struct extent *items;
	size_t count, capacity;
};

/* What @v shows of [from, to), holes included. 0, or -ENOMEM and -EAGAIN as of the transaction. */
static int list_range(struct restore_diff *x, const struct version *v, uint64_t from, uint64_t to, bool holes, struct extent_list *l)
{
	struct extent found[WHOLE_EXTENTS_MAX];

	while (from < to) {
		uint64_t covered, at = from;
		ssize_t n;

		if (array_reserve(&l->items, &l->capacity, l->count + 2 * WHOLE_EXTENTS_MAX + 1, sizeof(*l->items)))
			return -ENOMEM;
		n = tree_extents(v, &x->scratch, from, to - from, found, ARRAY_SIZE(found), &covered);
		if (n < 0)
			return (int)n;
		covered = MIN(covered, to);
		for (ssize_t i = 0; i < n; i++) {
			if (holes && found[i].file_offset > at)
				l->items[l->count++] = (struct extent){.file_offset = at, .len = found[i].file_offset - at};
			l->items[l->count++] = found[i];
			at = found[i].file_offset + found[i].len;
		}
		if (holes && covered > at)
			l->items[l->count++] = (struct extent){.file_offset = at, .len = covered - at};
		from = covered;
		if (!restore_go_on(x, (unsigned)n / 8))
			return x->t->error;
	}
	return 0;
}

/* The ranges that were written since, as they were. False: there are too many, or @w has not grown out of @v. */
static bool list_since(struct restore_diff *x, const struct version *v, const struct version *w, struct extent_list *l)
{
	uint32_t from = version_log_count(v), to = version_log_count(w);

	if (from <= WHOLE_EXTENTS_MAX || to < from || v->content != w->content || to - from > RANGES_MAX)
		return false;
	for (uint32_t i = from; i < to && !x->t->error; i++) {
		const struct extent *written = &w->content->log[i];
		uint64_t end = written->len > UINT64_MAX - written->file_offset ? UINT64_MAX : written->file_offset + written->len;

		int r = list_range(x, v, written->file_offset, MIN(end, v->size), true, l);

		if (r)
			x->t->error = r;
	}
	return true;
}

/* The content of @v for the inode @ino, whose newest version is @w (NULL: it is made by this transaction). */
static void add_content(struct restore_diff *x, uint64_t ino, const struct version *v, const struct version *w)
{
	struct change c = {.type = CHANGE_CONTENT, .ino = ino, .content_flags = CONTENT_KEEP_MTIME, .size = v->size};
	struct extent_list l = {0};
	struct extent *kept = NULL;

	if (!w || (!tree_version_extends(v, w) && !list_since(x, v, w, &l))) {
		c.content_flags |= CONTENT_REPLACE;
		int r = list_range(x, v, 0, v->size, false, &l);

		if (r)
			x->t->error = r;
	}
	if (l.count && (kept = txn_alloc(x->t, l.count * sizeof(*kept))))
		memcpy(kept, l.items, l.count * sizeof(*kept));
	c.extents = kept;
	c.extent_count = kept ? (uint32_t)l.count : 0;
	*restore_late_change(x) = c;
	free(l.items);
}

/* ---- what comes back ---- */

void restore_add_link(struct restore_diff *x, const struct dentry *d, uint64_t parent, uint64_t ino)
{
	*txn_add_change(x->t) = (struct change){.type = CHANGE_LINK, .ino = ino, .parent = parent, .name = d->name->text, .name_len = d->name->len};
}

/* A new inode that is what @d named then, but for a file's content. */
uint64_t restore_add_create(struct restore_diff *x, const struct dentry *d, uint64_t parent)
{
	const struct node *n = d->node;
	const struct version *v = tree_version_at(n, x->seq);
	struct change c = {.type = CHANGE_CREATE,
		.ino = tree_take_ino(x->t->e->tree),
		.parent = parent,
		.name = d->name->text,
		.name_len = d->name->len,
		.mode = v->attrs->mode,
		.uid = v->attrs->uid,
		.gid = v->attrs->gid,
		.attr_mask = ATTR_MTIME,
		.mtime_ns = version_mtime(v)};

	if (v->attrs->atime_set) {
		c.attr_mask |= ATTR_ATIME;
		c.atime_ns = v->attrs->atime_ns;
	}
	if (S_ISLNK(c.mode)) {
		c.value = n->symlink;
		c.value_len = (uint32_t)v->size;
	} else if (S_ISCHR(c.mode) || S_ISBLK(c.mode)) {
		c.rdev = n->rdev;
	}
	*txn_add_change(x->t) = c;
	(void)add_xattrs(x, c.ino, v->attrs, NULL);
	return c.ino;
}

void restore_add_copy(struct restore_diff *x, const struct dentry *d, uint64_t parent)
{
	struct restore_node *i = restore_node_of(x, d->node);
	const struct version *v = tree_version_at(d->node, x->seq);

	if (i && i->copy) {
		restore_add_link(x, d, parent, i->copy);
	} else if (i) {
		i->copy = restore_add_create(x, d, parent);
		if (S_ISREG(v->attrs->mode) && v->size)
			add_content(x, i->copy, v, NULL);
	}
}

/* Is the file @now as @n was then, and if not, what is to be changed? Each is looked at once. */
bool restore_compare_file(struct restore_diff *x, const struct node *n, const struct node *now, enum event_type *ret_type)
{
	const struct version *v = tree_version_at(n, x->seq), *w = now->newest;

	if (!restore_differs(x, v, w))
		return false;
	if (n->names->names_next) { /* it has, or had, other names */
		struct restore_node *i = restore_node_of(x, n);

		if (!i || i->compared)
			return false;
		i->compared = true;
	}
	if (!restore_is_same(x, v, w))
		add_content(x, now->ino, v, w);
	(void)restore_add_attrs(x, n, now, false);
	*ret_type = !restore_is_same(x, v, w) ? EVENT_FILE_WRITTEN : v->attrs->xattrs == w->attrs->xattrs ? EVENT_ATTRIBUTES_CHANGED : EVENT_XATTR_CHANGED;
	return true;
}
