/* SPDX-License-Identifier: MIT
 *
 * Memory ahead of apply: walk a transaction's changes, add up the most each kind of object can
 * need, and get it. Changes that do not fit the tree are counted like any other or
 * not at all; tree_apply() will refuse them.
 *
 * It also notes which inodes the transaction links, so that a directory with children may be unlinked when that is half of a rename.
 */
#include "tree_internal.h"

#include <errno.h>

/* Up to so many changes of extended attributes are taken to be of one inode. */
#define XATTRS_FEW 32

struct demand {
	size_t versions, far, dentries, dead, directories, attrs, blobs, contents;
	size_t xattrs_of_one; /* most changes of extended attributes that one inode has */
	size_t text_bytes;
};

static int compare_u64(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

/* A further version of a node: a first one is never far. */
static void demand_version(struct demand *d)
{
	d->versions++;
	d->far++;
	d->attrs++;
}

static void demand_name(struct demand *d, const struct change *c)
{
	d->dentries++;
	if (c->name_len <= TREE_NAME_MAX)
		d->text_bytes += sizeof(struct name) + c->name_len + 1 + BUMP_ALIGN_MAX;
	d->attrs += 2; /* times of what has the name and of its directory */
}

static void demand_xattr(const struct tree *t, struct demand *d, const struct change *c)
{
	const struct node *n = tree_node(t, c->ino);
	size_t count = n ? xattrs_count(n->newest->attrs->xattrs) : 0;

	if (c->value_len <= TREE_XATTR_VALUE_MAX && c->name_len <= 255)
		d->text_bytes += tree_xattr_bytes(c->name_len, c->value_len, count + d->xattrs_of_one);
	d->blobs += 2;
	demand_version(d);
}

/* Each of an inode's changes may make its set one larger than it was; so what they need together grows with the square of their number. */
static int demand_xattrs_of_one(struct demand *d, const struct change *changes, size_t count)
{
	cleanup_free uint64_t *inos = NULL;
	size_t n = 0, run = 0;

	for (size_t i = 0; i < count; i++)
		n += changes[i].type == CHANGE_XATTR;
	d->xattrs_of_one = n;
	if (n <= XATTRS_FEW)
		return 0;
	inos = malloc(n * sizeof(*inos));
	if (!inos)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < count; i++)
		if (changes[i].type == CHANGE_XATTR)
			inos[n++] = changes[i].ino;
	qsort(inos, n, sizeof(*inos), compare_u64);
	d->xattrs_of_one = 0;
	for (size_t i = 0; i < n; i++) {
		run = i && inos[i] == inos[i - 1] ? run + 1 : 1;
		d->xattrs_of_one = MAX(d->xattrs_of_one, run);
	}
	return 0;
}

static int demand_change(struct tree *t, struct demand *d, const struct change *c)
{
	switch (c->type) {
	case CHANGE_CREATE:
		if (c->ino > TREE_INO_MAX)
			return 0;
		demand_name(d, c);
		d->versions++;
		d->directories += S_ISDIR(c->mode);
		if (S_ISLNK(c->mode) && c->value_len <= TREE_SYMLINK_MAX)
			d->text_bytes += c->value_len + 1 + BUMP_ALIGN_MAX;
		return tree_node_reserve(t, c->ino);
	case CHANGE_LINK:
		demand_name(d, c);
		return array_reserve(&t->relinks, &t->relink_capacity, ++t->relink_count, sizeof(*t->relinks));
	case CHANGE_UNLINK:
		d->dead++;
		d->attrs += 2; /* as above */
		return 0;
	case CHANGE_ATTR:
		demand_version(d);
		return 0;
	case CHANGE_XATTR:
		demand_xattr(t, d, c);
		return 0;
	case CHANGE_CONTENT:
		demand_version(d);
		d->contents++;
		return 0;
	}
	return 0;
}

static void note_relinks(struct tree *t, const struct change *changes, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count && n < t->relink_count; i++)
		if (changes[i].type == CHANGE_LINK)
			t->relinks[n++] = changes[i].ino;
	if (n > 1)
		qsort(t->relinks, n, sizeof(*t->relinks), compare_u64);
}

/* ---- write logs ---- */

static int compare_spares(const void *a, const void *b)
{
	const struct tree_spare *x = a, *y = b;

	return (x->ino > y->ino) - (x->ino < y->ino);
}

/* One entry for each node whose content changes, with what all its changes add to a log at most. */
static int collect_spares(struct tree *t, const struct change *changes, size_t count, size_t contents)
{
	size_t n = 0, merged = 0;
	int r = array_reserve(&t->spares, &t->spare_capacity, contents, sizeof(*t->spares));

	if (r)
		return r;
	for (size_t i = 0; i < count; i++) {
		const struct change *c = &changes[i];
		bool whole = c->type == CHANGE_CONTENT && tree_content_is_inline(c);

		if (c->type == CHANGE_CONTENT)
			t->spares[n++] = (struct tree_spare){
				.ino = c->ino,
				.extents = whole ? 0 : (size_t)c->extent_count + 2, /* the first block, a cut */
				.fresh = whole || (c->content_flags & CONTENT_REPLACE),
			};
	}
	qsort(t->spares, n, sizeof(*t->spares), compare_spares);
	for (size_t i = 0; i < n; i++) {
		struct tree_spare *last = merged ? &t->spares[merged - 1] : NULL;

		if (last && last->ino == t->spares[i].ino) {
			last->extents += t->spares[i].extents;
			last->fresh |= t->spares[i].fresh;
		} else {
			t->spares[merged++] = t->spares[i];
		}
	}
	t->spare_count = merged;
	return 0;
}

static int reserve_contents(struct tree *t, const struct change *changes, size_t count, size_t contents)
{
	size_t kept = 0;
	int r = collect_spares(t, changes, count, contents);

	if (r || (r = pool_reserve(&t->contents, t->spare_count)))
		goto out;
	for (size_t i = 0; i < t->spare_count; i++) {
		struct tree_spare *s = &t->spares[i];
		const struct node *n = tree_node(t, s->ino);
		bool has_log = n && S_ISREG(n->newest->attrs->mode) && n->newest->has_log;

		if (!s->extents)
			continue;
		if (has_log && (r = tree_content_reserve(t, n->newest->content, s->extents)))
			goto out;
		s->content = s->fresh || !has_log ? tree_content_new(t) : NULL;
		t->spares[kept++] = *s;
		if (t->spares[kept - 1].content && (r = tree_content_reserve(t, t->spares[kept - 1].content, s->extents)))
			goto out;
	}
out:
	t->spare_count = kept;
	return r;
}

int tree_reserve(struct tree *t, const struct change *changes, size_t count)
{
	struct demand d = {0};

	tree_spares_clear(t);
	t->relink_count = 0;
	if (demand_xattrs_of_one(&d, changes, count))
		goto fail;
	for (size_t i = 0; i < count; i++)
		if (demand_change(t, &d, &changes[i]))
			goto fail;
	if (tree_versions_reserve(t, d.versions, d.far) || pool_reserve(&t->dentries, d.dentries) || pool_reserve(&t->directories, d.directories) ||
		bump_reserve(&t->text, d.text_bytes) || tree_live_reserve(t, d.dentries) || tree_tombs_reserve(t, d.dead) || tree_attrs_reserve(t, d.attrs) ||
		tree_blobs_reserve(t, d.blobs))
		goto fail;
	note_relinks(t, changes, count);
	/* The frequent transaction, one whole file of one block, needs no log. */
	for (size_t i = 0; d.contents == 1 && i < count; i++)
		if (changes[i].type == CHANGE_CONTENT && tree_content_is_inline(&changes[i]))
			return 0;
	if (d.contents && reserve_contents(t, changes, count, d.contents))
		goto fail;
	return 0;
fail:
	t->relink_count = 0;
	return -ENOMEM;
}
