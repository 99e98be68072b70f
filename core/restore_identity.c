/* SPDX-License-Identifier: MIT
 *
 * What is what in two views: which directories and files are a session's, which inode comes back as itself, which as a copy, and what stands in
 * for one that cannot. Every answer depends on the two views alone, so whoever asks, and whenever, hears the same until the lock is given up.
 */
#include <errno.h>
#include <string.h>

#include "restore_internal.h"

bool restore_skips(const struct restore_roots *roots, const struct dentry *d)
{
	return d->parent->ino == roots->agents && (!strcmp(d->name->text, ".sync") || !strcmp(d->name->text, ".health"));
}

/* Is the directory the session's at @seq: below one of the roots, or one? */
bool restore_is_inside(const struct restore_diff *x, const struct node *dir, uint64_t seq)
{
	while (dir->ino != x->roots.state && dir->ino != x->roots.agents) {
		const struct dentry *d = dir->ino == TREE_ROOT_INO ? NULL : tree_name_at(dir, seq);

		if (!d || restore_skips(&x->roots, d))
			return false;
		dir = d->parent;
	}
	return true;
}

static bool was_there(const struct dentry *d, uint64_t seq)
{
	return d->born <= seq && seq < d->died;
}

static bool is_there(const struct dentry *d)
{
	return d->died == SEQ_NEVER;
}

static bool is_dir(const struct node *n)
{
	return S_ISDIR(n->newest->attrs->mode);
}

bool restore_concerns(const struct restore_diff *x, uint64_t parent, uint64_t ino)
{
	const struct tree *t = x->t->e->tree;
	const struct node *dir = parent ? tree_node(t, parent) : NULL, *n = tree_node(t, ino);

	if (ino == x->roots.state || ino == x->roots.agents)
		return true;
	if (dir && (restore_is_inside(x, dir, SEQ_LIVE) || restore_is_inside(x, dir, x->seq)))
		return true;
	for (const struct dentry *d = n ? n->names : NULL; d; d = d->names_next)
		if ((is_there(d) && restore_is_inside(x, d->parent, SEQ_LIVE)) || (was_there(d, x->seq) && restore_is_inside(x, d->parent, x->seq)))
			return true;
	return false;
}

static int64_t atime_of(const struct version *v)
{
	return v->attrs->atime_set ? v->attrs->atime_ns : version_mtime(v);
}

bool restore_is_same(struct restore_diff *x, const struct version *v, const struct version *w)
{
	int same = S_ISREG(v->attrs->mode) ? restore_same_content(v, w, &x->scratch, &x->scratch_now) : 1;

	if (same < 0)
		x->t->error = same;
	return same;
}

/* Is there anything of the file to give back? */
bool restore_differs(struct restore_diff *x, const struct version *v, const struct version *w)
{
	const struct attrs *a = v->attrs, *b = w->attrs;

	return v != w && (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || a->xattrs != b->xattrs || version_mtime(v) != version_mtime(w) ||
				 atime_of(v) != atime_of(w) || !restore_is_same(x, v, w));
}

/* Must an inode of the old view (no directory) come back as another one? */
bool restore_needs_copy(struct restore_diff *x, const struct node *n)
{
	bool inside = false, outside = false, outside_is_new = false;

	if (!n->nlink || (n->nlink == 1 && is_there(n->names) && restore_is_inside(x, n->names->parent, SEQ_LIVE)))
		return false;
	for (const struct dentry *d = n->names; d; d = d->names_next) {
		if (!is_there(d))
			continue;
		if (restore_is_inside(x, d->parent, SEQ_LIVE)) {
			inside = true;
		} else {
			outside = true;
			outside_is_new = outside_is_new || !was_there(d, x->seq);
		}
	}
	return outside && (restore_differs(x, tree_version_at(n, x->seq), n->newest) || (!inside && outside_is_new));
}

/* Names of the inode in the session in the old view. */
size_t restore_names_then(const struct restore_diff *x, const struct node *n)
{
	size_t count = 0;

	for (const struct dentry *d = n->names; d; d = d->names_next)
		count += was_there(d, x->seq) && restore_is_inside(x, d->parent, x->seq);
	return count;
}

bool restore_is_outside(const struct restore_diff *x, const struct node *n)
{
	for (const struct dentry *d = n->names; d; d = d->names_next)
		if (is_there(d) && !restore_is_inside(x, d->parent, SEQ_LIVE))
			return true;
	return false;
}

/* Can the newer file @now be what @then was, which itself cannot come back? */
static bool stands_in(const struct restore_diff *x, const struct node *then, const struct node *now)
{
	mode_t type = then->newest->attrs->mode & S_IFMT;

	if (type != (now->newest->attrs->mode & S_IFMT) || now->nlink != 1 || restore_names_then(x, now) || restore_names_then(x, then) != 1)
		return false;
	if (type == S_IFLNK)
		return !strcmp(then->symlink, now->symlink);
	return (type != S_IFCHR && type != S_IFBLK) || then->rdev == now->rdev;
}

/* Does the name stay, in directories that are a pair? @then is the entry in the old view, @now that in the live one. */
bool restore_stays(struct restore_diff *x, const struct dentry *then, const struct dentry *now)
{
	if (is_dir(then->node) != is_dir(now->node) || now->node->flags & NODE_NEWBORN)
		return false;
	if (is_dir(then->node))
		return restore_is_inside(x, then->node, SEQ_LIVE) ? now->node == then->node : !restore_is_inside(x, now->node, x->seq);
	if (now->node == then->node)
		return !restore_needs_copy(x, then->node);
	return restore_needs_copy(x, then->node) && stands_in(x, then->node, now->node);
}
