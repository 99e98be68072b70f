/* SPDX-License-Identifier: MIT
 *
 * Versions of a node: a chain, newest first, in which every TREE_FAR_STRIDE-th is a `struct version_far` that points further back. The far
 * ones of a node form Myers' skew-binary list (tree.h); between two of them the walk is one by one, so a version costs an eighth of such a pointer
 * and finding the one of a sequence number is still O(log n).
 *
 * mtime: nearly always a version's mtime is its ctime, since commits set both. Where it is not (utimens, or ctime alone moved on: chmod,
 * rename, upkeep), it is one of the interned attributes, which such a version rarely shares anyway. Who alters ctime or mtime does it by
 * tree_version_set_times() or tree_attrs_set_mtime(), so that the other one stays what it was meant to be.
 */
#include "tree_internal.h"

#include <errno.h>

static struct version_far *version_far(struct version *v)
{
	return v->depth % TREE_FAR_STRIDE == TREE_FAR_STRIDE - 1 ? (struct version_far *)v : NULL;
}

/* What the far version after @o points to: the far one before, or further back so that the distances double. */
static struct version_far *far_jump(struct version *o)
{
	struct version_far *p, *j;

	while (o && !version_far(o))
		o = o->older;
	p = o ? version_far(o) : NULL;
	j = p ? p->jump : NULL;
	return j && j->jump && p->version.depth - j->version.depth == j->version.depth - j->jump->version.depth ? j->jump : p;
}

int tree_versions_reserve(struct tree *t, size_t count, size_t far)
{
	return pool_reserve(&t->versions, count) || pool_reserve(&t->far_versions, far) ? -ENOMEM : 0;
}

struct version *tree_version_push(struct tree *t, struct node *n, uint64_t born)
{
	struct version *o = n->newest, *v;
	uint32_t depth = o ? (uint32_t)o->depth + 1 : 0;

	if (depth % TREE_FAR_STRIDE == TREE_FAR_STRIDE - 1) {
		struct version_far *f = pool_get(&t->far_versions);

		f->jump = far_jump(o);
		v = &f->version;
	} else {
		v = pool_get(&t->versions);
	}
	v->born = born;
	v->older = o;
	v->depth = depth;
	t->stats.nodes += !o;
	t->stats.versions++;
	n->newest = v;
	return v;
}

struct version *tree_version_at(const struct node *node, uint64_t seq)
{
	struct version *v = node->newest;

	while (v && v->born > seq) {
		struct version_far *f = version_far(v);

		v = f && f->jump && f->jump->version.born > seq ? &f->jump->version : v->older;
	}
	return v;
}

/* ---- times ---- */

void tree_attrs_set_mtime(struct attrs *a, int64_t mtime_ns, int64_t ctime_ns, bool is_set)
{
	a->mtime_set = is_set;
	a->mtime_own = is_set || mtime_ns != ctime_ns;
	a->mtime_ns = a->mtime_own ? mtime_ns : 0;
}

void tree_version_set_times(struct tree *t, struct version *v, int64_t mtime_ns, int64_t ctime_ns, bool is_set)
{
	struct attrs a = *v->attrs;

	tree_attrs_set_mtime(&a, mtime_ns, ctime_ns, is_set);
	v->ctime_ns = ctime_ns;
	if (a.mtime_set != v->attrs->mtime_set || a.mtime_own != v->attrs->mtime_own || a.mtime_ns != v->attrs->mtime_ns)
		v->attrs = tree_attrs_intern(t, &a);
}

void tree_dir_touch(struct tree *t, struct node *dir, int64_t time_ns)
{
	struct version *v = dir->newest;
	int64_t mtime_ns = v->attrs->mtime_set ? time_ns : MAX(version_mtime(v), time_ns);

	tree_version_set_times(t, v, mtime_ns, MAX(v->ctime_ns, time_ns), false);
}
