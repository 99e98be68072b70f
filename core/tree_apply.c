/* SPDX-License-Identifier: MIT
 *
 * What each change means. One transaction's changes to a node share one version: the
 * first makes it (a copy of the newest), the others alter it in place.
 *
 * Every change is checked in full before anything is altered, since after damage to the
 * journal anything may come: an unfit change returns -EIO and leaves the tree as it was.
 *
 * Times: a commit sets ctime to its time, or to one nanosecond after the previous version's where the clock has not moved on, and
 * mtime to the same; so two contents of a file never share an mtime that commits made. Names coming and going alter the times of the
 * directory, and a file's ctime, in the newest version in place: a version for each would make directories grow with every save.
 */
#include "tree_internal.h"

#include <errno.h>

static int64_t tick(int64_t time_ns, int64_t before_ns)
{
	if (before_ns < time_ns)
		return time_ns;
	return before_ns == INT64_MAX ? before_ns : before_ns + 1;
}

/* The version of @seq. Its ctime is the caller's: see next_ctime(). */
static struct version *version_begin(struct tree *t, struct node *n, uint64_t seq)
{
	struct version *v = n->newest;

	if (v->born != seq) {
		const struct version *o = v;

		v = tree_version_push(t, n, seq);
		v->size = o->size;
		v->ctime_ns = o->ctime_ns;
		v->attrs = o->attrs;
		v->has_log = o->has_log;
		if (o->has_log) {
			v->content = o->content;
			v->log_count = o->log_count;
		} else {
			v->position = o->position;
			v->stored_len = o->stored_len;
		}
	}
	return v;
}

static int64_t next_ctime(const struct version *v, int64_t time_ns)
{
	return MAX(v->ctime_ns, v->older ? tick(time_ns, v->older->ctime_ns) : time_ns);
}

/* A real node that changes can name. */
static struct node *node_get(const struct tree *t, uint64_t ino)
{
	struct node *n = tree_node(t, ino);

	return n && !(n->flags & NODE_NEWBORN) ? n : NULL;
}

static bool is_relinked(const struct tree *t, uint64_t ino)
{
	size_t low = 0, high = t->relink_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->relinks[middle] < ino)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->relink_count && t->relinks[low] == ino;
}

/* A directory that can take a name: one with a name itself, or that this transaction will give one. */
static struct node *parent_get(const struct tree *t, uint64_t ino)
{
	struct node *n = node_get(t, ino);

	return n && node_is_dir(n) && (node_is_linked(n) || is_relinked(t, ino)) ? n : NULL;
}

/* Is @n @dir, or above it, in the live view? (Also when the walk upwards does not end: a loaded tree may be damaged.) */
static bool is_above(const struct tree *t, const struct node *n, const struct node *dir)
{
	for (uint64_t steps = 0; dir != n && steps <= t->stats.nodes; steps++) {
		if (!dir->names || dir->names->died != SEQ_NEVER)
			return false;
		dir = dir->names->parent;
	}
	return true;
}

/* ---- create ---- */

bool tree_create_fits(const struct change *c)
{
	mode_t type = c->mode & S_IFMT;

	if (c->ino <= TREE_ROOT_INO || c->ino > TREE_INO_MAX || !tree_name_ok(c->name, c->name_len) || (c->mode & ~(uint32_t)(S_IFMT | 07777)))
		return false;
	if (type == S_IFLNK)
		return c->value && c->value_len && c->value_len <= TREE_SYMLINK_MAX && !memchr(c->value, '\0', c->value_len);
	return type == S_IFREG || type == S_IFDIR || type == S_IFIFO || type == S_IFSOCK || type == S_IFCHR || type == S_IFBLK;
}

static const char *symlink_new(struct tree *t, const struct change *c)
{
	char *text = bump_get(&t->text, c->value_len + 1, 1);

	memcpy(text, c->value, c->value_len);
	text[c->value_len] = '\0';
	return text;
}

void tree_create_fill(struct tree *t, struct node *n, struct version *v, int64_t time_ns, const struct change *c)
{
	struct attrs attrs = {
		.mode = c->mode,
		.uid = c->uid,
		.gid = c->gid,
		.atime_set = c->attr_mask & ATTR_ATIME,
		.atime_ns = c->attr_mask & ATTR_ATIME ? c->atime_ns : 0,
	};

	tree_attrs_set_mtime(&attrs, c->attr_mask & ATTR_MTIME ? c->mtime_ns : time_ns, time_ns, c->attr_mask & ATTR_MTIME);
	v->attrs = tree_attrs_intern(t, &attrs);
	v->ctime_ns = time_ns;
	v->size = 0;
	if (S_ISDIR(c->mode)) {
		n->dir = n->dir ? n->dir : pool_get(&t->directories);
	} else if (S_ISLNK(c->mode)) {
		v->size = c->value_len;
		if (!n->symlink || strlen(n->symlink) != c->value_len || memcmp(n->symlink, c->value, c->value_len))
			n->symlink = symlink_new(t, c);
	} else if (S_ISCHR(c->mode) || S_ISBLK(c->mode)) {
		n->rdev = c->rdev;
	}
}

static int apply_create(struct tree *t, uint64_t seq, int64_t time_ns, const struct change *c)
{
	struct node *parent, *n;
	struct dentry *d;

	if (!tree_create_fits(c) || !(parent = parent_get(t, c->parent)))
		return -EIO;
	n = tree_node(t, c->ino);
	d = tree_live_find(t, parent, c->name, c->name_len);
	if (n && (!(n->flags & NODE_NEWBORN) || ((n->newest->attrs->mode ^ c->mode) & S_IFMT)))
		return -EIO;
	if (d != (n ? n->names : NULL))
		return -EIO;
	if (!n) {
		n = tree_node_slot(t, c->ino);
		n->ino = c->ino;
		tree_version_push(t, n, seq);
	}
	n->newest->born = seq;
	n->flags &= ~(uint32_t)NODE_NEWBORN;
	tree_create_fill(t, n, n->newest, time_ns, c);
	if (d)
		tree_entry_settle(t, d, seq);
	else
		tree_entry_link(t, parent, n, c->name, c->name_len, seq);
	tree_dir_touch(t, parent, time_ns);
	tree_ino_used(t, c->ino);
	return 0;
}

/* ---- names ---- */

static void node_touch(struct tree *t, struct node *n, int64_t time_ns)
{
	struct version *v = n->newest;

	tree_version_set_times(t, v, version_mtime(v), MAX(v->ctime_ns, time_ns), v->attrs->mtime_set);
}

static int apply_link(struct tree *t, uint64_t seq, int64_t time_ns, const struct change *c)
{
	struct node *n = node_get(t, c->ino), *parent = parent_get(t, c->parent);

	if (!n || !parent || n->ino == TREE_ROOT_INO || !tree_name_ok(c->name, c->name_len))
		return -EIO;
	if (tree_live_find(t, parent, c->name, c->name_len))
		return -EIO;
	if (node_is_dir(n) && (node_is_linked(n) || is_above(t, n, parent)))
		return -EIO;
	tree_entry_link(t, parent, n, c->name, c->name_len, seq);
	node_touch(t, n, time_ns);
	tree_dir_touch(t, parent, time_ns);
	return 0;
}

static int apply_unlink(struct tree *t, uint64_t seq, int64_t time_ns, const struct change *c)
{
	struct node *n, *parent = node_get(t, c->parent);
	struct dentry *d;

	if (!parent || !node_is_dir(parent) || !tree_name_ok(c->name, c->name_len))
		return -EIO;
	d = tree_live_find(t, parent, c->name, c->name_len);
	if (!d || (d->node->flags & NODE_NEWBORN) || (c->ino && c->ino != d->node->ino))
		return -EIO;
	n = d->node;
	if (node_is_dir(n) && !tree_dir_is_empty(n) && !is_relinked(t, n->ino))
		return -EIO;
	tree_entry_unlink(t, d, seq);
	node_touch(t, n, time_ns);
	tree_dir_touch(t, parent, time_ns);
	return 0;
}

/* ---- attributes and content ---- */

#define ATTR_ALL (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME | ATTR_KEEP_CTIME)

void tree_attrs_change(struct tree *t, struct version *v, int64_t ctime_ns, const struct change *c)
{
	uint32_t mask = c->type == CHANGE_ATTR ? c->attr_mask : 0;
	struct attrs a = *v->attrs;

	if (c->type == CHANGE_XATTR)
		a.xattrs = tree_xattrs_with(t, a.xattrs, c->name, c->name_len, c->value, c->value_len);
	if (mask & ATTR_MODE)
		a.mode = (a.mode & S_IFMT) | (c->mode & 07777);
	if (mask & ATTR_UID)
		a.uid = c->uid;
	if (mask & ATTR_GID)
		a.gid = c->gid;
	if (mask & ATTR_ATIME) {
		a.atime_set = true;
		a.atime_ns = c->atime_ns;
	}
	tree_attrs_set_mtime(&a, mask & ATTR_MTIME ? c->mtime_ns : version_mtime(v), ctime_ns, a.mtime_set || mask & ATTR_MTIME);
	v->attrs = tree_attrs_intern(t, &a);
	v->ctime_ns = ctime_ns;
}

static int apply_attr(struct tree *t, uint64_t seq, int64_t time_ns, const struct change *c)
{
	struct node *n = node_get(t, c->ino);
	bool is_attr = c->type == CHANGE_ATTR;
	struct version *v;

	if (!n || (is_attr ? c->attr_mask & ~(uint32_t)ATTR_ALL : !tree_xattr_fits(c, n->newest->attrs)))
		return -EIO;
	v = version_begin(t, n, seq);
	tree_attrs_change(t, v, is_attr && (c->attr_mask & ATTR_KEEP_CTIME) ? v->ctime_ns : next_ctime(v, time_ns), c);
	return 0;
}

static int apply_content(struct tree *t, uint64_t seq, int64_t time_ns, const struct change *c)
{
	struct node *n = node_get(t, c->ino);
	bool keep = c->content_flags & CONTENT_KEEP_MTIME;
	struct version *v;
	int64_t ctime_ns;

	if (!n || !S_ISREG(n->newest->attrs->mode) || !tree_content_fits(c))
		return -EIO;
	v = version_begin(t, n, seq);
	ctime_ns = next_ctime(v, time_ns);
	tree_content_change(t, n, v, c);
	tree_version_set_times(t, v, keep ? version_mtime(v) : ctime_ns, ctime_ns, keep && v->attrs->mtime_set);
	return 0;
}

int tree_apply(struct tree *t, uint64_t seq, int64_t time_ns, const struct change *c)
{
	int r = -EIO;

	if (!seq || seq < t->last_seq || seq >= SEQ_NEWBORN)
		return -EIO;
	switch (c->type) {
	case CHANGE_CREATE:
		r = apply_create(t, seq, time_ns, c);
		break;
	case CHANGE_LINK:
		r = apply_link(t, seq, time_ns, c);
		break;
	case CHANGE_UNLINK:
		r = apply_unlink(t, seq, time_ns, c);
		break;
	case CHANGE_ATTR:
	case CHANGE_XATTR:
		r = apply_attr(t, seq, time_ns, c);
		break;
	case CHANGE_CONTENT:
		r = apply_content(t, seq, time_ns, c);
		break;
	}
	if (!r)
		t->last_seq = seq;
	return r;
}
