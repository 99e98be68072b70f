/* SPDX-License-Identifier: MIT
 *
 * After a restore: is the tree what it was, and can it be read? The two views are compared name by name, by other means than those the restore was made
 * with, and every file it gave back is read, which checks its blocks. Both views are of the past and never change, so the engine's lock is
 * held for a few entries at a time.
 *
 * Not compared: ctime, and the times of directories (names that come and go later alter them).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "restore_internal.h"

#define ENTRIES_AT_ONCE 256
#define EXTENTS_AT_ONCE 64
#define READ_BYTES ARENA_RECORD_MAX

/** Of a file of several names: what it is in the other view. Keys are inode numbers, doubled; odd ones of the view after. */
struct twin {
	uint64_t key, other;
	UT_hash_handle hh;
};

struct dir_pair {
	const struct node *before, *after;
};

struct check {
	struct engine *e;
	const struct restore_roots *roots;
	uint64_t before, after;
	int64_t before_ns, after_ns;
	struct dir_pair *dirs;
	size_t count, capacity;
	struct twin *twins;
	struct version_extents scratch_before, scratch_after;
	char *bytes; /* READ_BYTES */
	uint64_t unreadable;
	struct reason *reason;
	int error;
};

static void fail(struct check *c, const struct dentry *d, uint64_t seq, const char *what)
{
	cleanup_buf struct buf path = BUF_INIT;

	if (c->error)
		return;
	(void)tree_dentry_path(c->e->tree, d, seq, &path);
	c->error = reason_set(c->reason, -EIO, "restore", "%s: %s", path.data ? path.data : d->name->text, what);
}

static void push(struct check *c, const struct node *before, const struct node *after)
{
	if (array_reserve(&c->dirs, &c->capacity, c->count + 1, sizeof(*c->dirs)))
		c->error = -ENOMEM;
	else
		c->dirs[c->count++] = (struct dir_pair){before, after};
}

/* ---- content ---- */

static bool extent_is_readable(struct check *c, const struct extent *x)
{
	for (uint64_t done = 0; x->position && done < x->len; done += READ_BYTES) {
		int r = extent_read(c->e, x, done, c->bytes, (size_t)MIN(x->len - done, (uint64_t)READ_BYTES));

		if (r == -ENOMEM)
			c->error = r;
		if (r)
			return r == -ENOMEM;
	}
	return true;
}

/* Reads all of it. False: some of it cannot be. */
static bool is_readable(struct check *c, const struct version *v)
{
	struct extent items[EXTENTS_AT_ONCE];
	uint64_t at = 0;

	while (at < v->size) {
		ssize_t n;

		engine_lock(c->e);
		n = tree_extents(v, &c->scratch_after, at, v->size - at, items, EXTENTS_AT_ONCE, &at);
		engine_unlock(c->e);
		if (n < 0)
			c->error = (int)n;
		for (ssize_t i = 0; i < n; i++)
			if (!extent_is_readable(c, &items[i]))
				return false;
		if (c->error)
			break;
	}
	return true;
}

/* ---- entries ---- */

/* Is @other always the same for @key? */
static bool twin_holds(struct check *c, uint64_t key, uint64_t other)
{
	struct twin *t = NULL;

	if (c->twins)
		HASH_FIND(hh, c->twins, &key, sizeof(key), t);
	if (t)
		return t->other == other;
	t = calloc(1, sizeof(*t));
	if (!t) {
		c->error = -ENOMEM;
		return true;
	}
	t->key = key;
	t->other = other;
	HASH_ADD(hh, c->twins, key, sizeof(t->key), t);
	if (!t->hh.tbl) {
		free(t);
		c->error = -ENOMEM;
	}
	return true;
}

/* Names that were one file are one file, and no others. */
static bool same_links(struct check *c, const struct node *a, const struct node *b)
{
	if (!a->names->names_next && !b->names->names_next)
		return true;
	return twin_holds(c, a->ino * 2, b->ino) && twin_holds(c, b->ino * 2 + 1, a->ino);
}

static const char *difference(struct check *c, const struct node *a, const struct node *b)
{
	const struct version *v = tree_version_at(a, c->before), *w = tree_version_at(b, c->after);
	struct tree_attr x, y;
	int same = 1;

	if (v && v == w)
		return S_ISDIR(v->attrs->mode) || same_links(c, a, b) ? NULL : "is not the same file as others any more";
	if (tree_attr_at(c->e->tree, a, c->before, c->before_ns, &x) || tree_attr_at(c->e->tree, b, c->after, c->after_ns, &y))
		return "is not there as it was";
	if (x.mode != y.mode || x.uid != y.uid || x.gid != y.gid || x.rdev != y.rdev || v->attrs->xattrs != w->attrs->xattrs)
		return "has other attributes than it had";
	if (S_ISDIR(x.mode))
		return NULL;
	if (x.mtime_ns != y.mtime_ns || x.atime_ns != y.atime_ns)
		return "has other times than it had";
	if (!same_links(c, a, b))
		return "is not the same file as others any more";
	if (S_ISLNK(x.mode) && strcmp(a->symlink, b->symlink))
		return "points elsewhere than it did";
	if (S_ISREG(x.mode))
		same = restore_same_content(v, w, &c->scratch_before, &c->scratch_after);
	if (same < 0)
		c->error = same;
	return same ? NULL : "holds something else than it did";
}

/* Entries of a directory in a view, without those a restore passes by. No lock held. */
static size_t list(struct check *c, const struct node *dir, uint64_t seq, struct dentry ***ret)
{
	size_t count = 0, kept = 0;

	engine_lock(c->e);
	if (tree_list(c->e->tree, dir, seq, ret, &count))
		c->error = -ENOMEM;
	engine_unlock(c->e);
	for (size_t i = 0; !c->error && i < count; i++)
		if (!restore_skips(c->roots, (*ret)[i]))
			(*ret)[kept++] = (*ret)[i];
	return kept;
}

/* The entry of @dir in the view @seq that has the name of @d, which may be that very entry. Lock held. */
static const struct dentry *find(struct check *c, const struct node *dir, const struct dentry *d, uint64_t seq)
{
	if (d->parent == dir && d->born <= seq && seq < d->died)
		return d;
	return tree_lookup(c->e->tree, dir, d->name->text, d->name->len, seq);
}

/* Entries [from, to) of the directory after. Lock held. */
static void compare_some(struct check *c, struct dir_pair p, struct dentry **after, size_t from, size_t to)
{
	for (size_t i = from; i < to && !c->error; i++) {
		const struct dentry *a = find(c, p.before, after[i], c->before), *b = after[i];
		const char *what = a ? difference(c, a->node, b->node) : "was not there";

		if (what)
			fail(c, b, c->after, what);
		else if (S_ISDIR(a->node->newest->attrs->mode))
			push(c, a->node, b->node);
	}
}

/* All that is there now was there then; is something that was there missing? */
static void find_missing(struct check *c, struct dir_pair p, struct dentry **before, size_t count)
{
	engine_lock(c->e);
	for (size_t i = 0; i < count && !c->error; i++)
		if (!find(c, p.after, before[i], c->after))
			fail(c, before[i], c->before, "is missing");
	engine_unlock(c->e);
}

static void unreadable(struct check *c, const struct dentry *d)
{
	cleanup_buf struct buf path = BUF_INIT;

	if (c->unreadable++)
		return;
	engine_lock(c->e);
	(void)tree_dentry_path(c->e->tree, d, c->after, &path); /* without memory: only its directory is missing in the sentence */
	engine_unlock(c->e);
	(void)reason_set(c->reason, -EIO, "restore", "%s was put back, but what it held is damaged in the store", path.data ? path.data : d->name->text);
}

/* What the transaction gave back of these files; NULL: nothing. Lock held. */
static const struct version *given_back(struct check *c, const struct dentry *d)
{
	const struct version *w = S_ISREG(d->node->newest->attrs->mode) ? tree_version_at(d->node, c->after) : NULL;

	return w && (w->born == c->after || d->born == c->after) ? w : NULL;
}

/* What the transaction gave back is read. No lock held. */
static void read_some(struct check *c, struct dentry **b, size_t from, size_t to)
{
	const struct version *w[ENTRIES_AT_ONCE];

	engine_lock(c->e);
	for (size_t i = from; i < to; i++)
		w[i - from] = given_back(c, b[i]);
	engine_unlock(c->e);
	for (size_t i = from; i < to && !c->error; i++)
		if (w[i - from] && !is_readable(c, w[i - from]))
			unreadable(c, b[i]);
}

static void compare_dirs(struct check *c, struct dir_pair p)
{
	cleanup_free struct dentry **before = NULL, **after = NULL;
	size_t were = list(c, p.before, c->before, &before), are = list(c, p.after, c->after, &after);

	for (size_t i = 0; i < are && !c->error; i += ENTRIES_AT_ONCE) {
		size_t end = MIN(i + ENTRIES_AT_ONCE, are);

		engine_lock(c->e);
		compare_some(c, p, after, i, end);
		engine_unlock(c->e);
		if (!c->error)
			read_some(c, after, i, end);
	}
	if (were != are)
		find_missing(c, p, before, were);
}

static void check_roots(struct check *c)
{
	const uint64_t roots[] = {c->roots->state, c->roots->agents};

	engine_lock(c->e);
	c->before_ns = engine_seq_time(c->e, c->before);
	c->after_ns = engine_seq_time(c->e, c->after);
	for (size_t i = 0; i < ARRAY_SIZE(roots) && !c->error; i++) {
		const struct node *n = roots[i] ? tree_node(c->e->tree, roots[i]) : NULL;
		const struct dentry *d = n ? tree_name_at(n, c->after) : NULL;
		const char *what = d ? difference(c, n, n) : NULL;

		if (what)
			fail(c, d, c->after, what);
		else if (n)
			push(c, n, n);
	}
	engine_unlock(c->e);
}

int restore_check(struct engine *e, const struct restore_roots *roots, uint64_t before, uint64_t after, uint64_t *ret_unreadable, struct reason *reason)
{
	struct check c = {.e = e, .roots = roots, .before = before, .after = after, .reason = reason, .bytes = malloc(READ_BYTES)};
	struct twin *t, *next;

	if (!c.bytes)
		return -ENOMEM;
	check_roots(&c);
	for (size_t i = 0; i < c.count && !c.error; i++)
		compare_dirs(&c, c.dirs[i]);
	HASH_ITER (hh, c.twins, t, next) {
		HASH_DEL(c.twins, t);
		free(t);
	}
	extent_map_release(&c.scratch_before.map);
	extent_map_release(&c.scratch_after.map);
	free(c.dirs);
	free(c.bytes);
	*ret_unreadable = c.unreadable;
	return !c.error && c.unreadable ? -EIO : c.error;
}
