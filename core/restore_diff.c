/* SPDX-License-Identifier: MIT
 *
 * From the live view to an older one, as changes of one transaction. No bytes are copied: what the old versions held is in the store.
 *
 * Two walks over pairs of directories, what one was and what it is:
 *   - over the live view: every name that was not there, or meant something else, is taken away (deepest first);
 *   - over the old view: every name that is missing is given back (highest first), and every inode its attributes and content.
 *
 * Identity: an inode that still has a name in the session keeps its number, whatever it was renamed to; a file without any name gets its old
 * name again; a directory that is gone is made anew, because to the kernel a removed directory is dead. What lies outside the session is never
 * touched: a file that is linked or was moved there is given back as a copy, unless it is the same still and was linked there then, too.
 * What has been made anew under a name since, because the old inode could not come back, stands in for it and is kept.
 *
 * Invariant: nothing in the tree is altered here, and what is decided about an inode depends on the two views alone, so both walks agree.
 */
#include <errno.h>
#include <string.h>

#include <uthash.h>

#include "restore_internal.h"

/* Files of more extents than this are given back by the ranges that were overwritten, if those are fewer. */
#define WHOLE_EXTENTS_MAX 64
#define RANGES_MAX 4096

/** What must be remembered of an inode: of few of them. */
struct restore_node {
	uint64_t ino;
	uint64_t copy; /* the inode that stands for it; 0: none */
	bool compared; /* one that is met more than once */
	bool touched;  /* a directory that loses names */
	UT_hash_handle hh;
};

/** A directory of the old view and the one that is or will be it. */
struct place {
	const struct node *then;
	const struct node *now; /* NULL: it is made by this transaction */
	const struct dentry *name; /* that it had then */
	uint64_t ino;
};

bool restore_skips(const struct restore_roots *roots, const struct dentry *d)
{
	return d->parent->ino == roots->agents && (!strcmp(d->name->text, ".sync") || !strcmp(d->name->text, ".health"));
}

/* Is the directory the session's at @seq: below one of the roots, or one? */
static bool is_inside(const struct restore_diff *x, const struct node *dir, uint64_t seq)
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

static int64_t atime_of(const struct version *v)
{
	return v->attrs->atime_set ? v->attrs->atime_ns : v->mtime_ns;
}

static bool same_content(struct restore_diff *x, const struct version *v, const struct version *w)
{
	int same = S_ISREG(v->attrs->mode) ? restore_same_content(v, w, &x->scratch, &x->scratch_now) : 1;

	if (same < 0)
		x->t->error = same;
	return same;
}

/* Is there anything of the file to give back? */
static bool differs(struct restore_diff *x, const struct version *v, const struct version *w)
{
	const struct attrs *a = v->attrs, *b = w->attrs;

	return v != w && (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || a->xattrs != b->xattrs || v->mtime_ns != w->mtime_ns ||
			  atime_of(v) != atime_of(w) || !same_content(x, v, w));
}

/* Must an inode of the old view (no directory) come back as another one? */
static bool needs_copy(struct restore_diff *x, const struct node *n)
{
	bool inside = false, outside = false, outside_is_new = false;

	if (!n->nlink || (n->nlink == 1 && is_there(n->names) && is_inside(x, n->names->parent, SEQ_LIVE)))
		return false;
	for (const struct dentry *d = n->names; d; d = d->names_next) {
		if (!is_there(d))
			continue;
		if (is_inside(x, d->parent, SEQ_LIVE)) {
			inside = true;
		} else {
			outside = true;
			outside_is_new = outside_is_new || !was_there(d, x->seq);
		}
	}
	return outside && (differs(x, tree_version_at(n, x->seq), n->newest) || (!inside && outside_is_new));
}

/* Names of the inode in the session in the old view. */
static size_t names_then(const struct restore_diff *x, const struct node *n)
{
	size_t count = 0;

	for (const struct dentry *d = n->names; d; d = d->names_next)
		count += was_there(d, x->seq) && is_inside(x, d->parent, x->seq);
	return count;
}

static bool is_outside(const struct restore_diff *x, const struct node *n)
{
	for (const struct dentry *d = n->names; d; d = d->names_next)
		if (is_there(d) && !is_inside(x, d->parent, SEQ_LIVE))
			return true;
	return false;
}

/* Can the newer file @now be what @then was, which itself cannot come back? */
static bool stands_in(const struct restore_diff *x, const struct node *then, const struct node *now)
{
	mode_t type = then->newest->attrs->mode & S_IFMT;

	if (type != (now->newest->attrs->mode & S_IFMT) || now->nlink != 1 || names_then(x, now) || names_then(x, then) != 1)
		return false;
	if (type == S_IFLNK)
		return !strcmp(then->symlink, now->symlink);
	return (type != S_IFCHR && type != S_IFBLK) || then->rdev == now->rdev;
}

/* Does the name stay, in directories that are a pair? @then is the entry in the old view, @now that in the live one. */
static bool stays(struct restore_diff *x, const struct dentry *then, const struct dentry *now)
{
	if (is_dir(then->node) != is_dir(now->node) || now->node->flags & NODE_NEWBORN)
		return false;
	if (is_dir(then->node))
		return is_inside(x, then->node, SEQ_LIVE) ? now->node == then->node : !is_inside(x, now->node, x->seq);
	if (now->node == then->node)
		return !needs_copy(x, then->node);
	return needs_copy(x, then->node) && stands_in(x, then->node, now->node);
}

static struct restore_node *node_of(struct restore_diff *x, const struct node *n)
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
	return i;
}

static void note(struct restore_diff *x, enum event_type type, const struct dentry *d, uint64_t seq, const struct node *old)
{
	if (array_reserve(&x->notes, &x->note_capacity, x->note_count + 1, sizeof(*x->notes)))
		x->t->error = -ENOMEM;
	else
		x->notes[x->note_count++] = (struct restore_note){type, d, seq, old};
}

/* ---- what goes ---- */

static void remove_name(struct restore_diff *x, const struct dentry *d)
{
	struct restore_node *dir = node_of(x, d->parent);

	if (dir)
		dir->touched = true;
	if (array_reserve(&x->removals, &x->removal_capacity, x->removal_count + 1, sizeof(*x->removals)))
		x->t->error = -ENOMEM;
	else
		x->removals[x->removal_count++] = d;
}

/* What happens to a file whose name goes: those who have it open for writing are told, and a person is, unless it is replaced. @then: what had the
   name in the old view, or NULL. */
static void note_removal(struct restore_diff *x, const struct dentry *d, const struct dentry *then)
{
	const struct node *n = d->node;

	if (is_dir(n)) {
		if (!then || !is_dir(then->node))
			note(x, EVENT_DIRECTORY_REMOVED, d, SEQ_LIVE, NULL);
		return;
	}
	if (n->flags & NODE_NEWBORN || (!is_outside(x, n) && (!names_then(x, n) || needs_copy(x, n))))
		drafts_note_unlinked(x->t->e, n, UINT32_MAX); /* by nobody: their bytes are kept */
	if (n->flags & NODE_NEWBORN || (then && !is_dir(then->node)))
		return;
	note(x, EVENT_FILE_REMOVED, d, SEQ_LIVE, n);
	x->files_removed++;
}

struct live_dir {
	const struct node *now, *then; /* then NULL: it was not in the session */
};

struct live_walk {
	struct live_dir *dirs;
	size_t count, capacity;
};

static void live_push(struct restore_diff *x, struct live_walk *w, const struct node *now, const struct node *then)
{
	if (array_reserve(&w->dirs, &w->capacity, w->count + 1, sizeof(*w->dirs)))
		x->t->error = -ENOMEM;
	else
		w->dirs[w->count++] = (struct live_dir){now, then};
}

static void live_entry(struct restore_diff *x, struct live_walk *w, const struct live_dir *at, const struct dentry *d)
{
	const struct dentry *then = NULL;
	bool kept;

	if (at->then == at->now && d->born <= x->seq)
		then = d;
	else if (at->then)
		then = tree_lookup(x->t->e->tree, at->then, d->name->text, d->name->len, x->seq);
	kept = then && stays(x, then, d);
	if (is_dir(d->node))
		live_push(x, w, d->node, kept ? then->node : is_inside(x, d->node, x->seq) ? d->node : NULL);
	if (kept)
		return;
	remove_name(x, d);
	note_removal(x, d, then);
}

static void live_walk(struct restore_diff *x)
{
	struct live_walk w = {0};
	const uint64_t roots[] = {x->roots.state, x->roots.agents};

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		const struct node *n = roots[i] ? tree_node(x->t->e->tree, roots[i]) : NULL;

		if (n)
			live_push(x, &w, n, n);
	}
	for (size_t i = 0; i < w.count && !x->t->error; i++) {
		struct live_dir at = w.dirs[i];

		for (const struct dentry *d = at.now->dir->first; d; d = d->next)
			if (!restore_skips(&x->roots, d))
				live_entry(x, &w, &at, d);
	}
	free(w.dirs);
}

/* Deepest first; newborns beside the transaction's changes, which know nothing of them. */
static void add_removals(struct restore_diff *x)
{
	size_t newborns = 0;

	for (size_t i = 0; i < x->removal_count; i++)
		newborns += (x->removals[i]->node->flags & NODE_NEWBORN) != 0;
	if (newborns) {
		x->t->newborns = txn_alloc(x->t, newborns * sizeof(*x->t->newborns));
		x->gone = calloc(newborns, sizeof(*x->gone));
		if (!x->t->newborns || !x->gone) {
			x->t->error = -ENOMEM;
			return;
		}
	}
	for (size_t i = x->removal_count; i-- > 0;) {
		const struct dentry *d = x->removals[i];
		const struct change c = {.type = CHANGE_UNLINK, .ino = d->node->ino, .parent = d->parent->ino, .name = d->name->text, .name_len = d->name->len};

		if (d->node->flags & NODE_NEWBORN) {
			x->t->newborns[x->t->newborn_count++] = d->node;
			x->gone[x->gone_count++] = c;
		} else {
			*txn_add_change(x->t) = c;
		}
	}
}

/* ---- attributes ---- */

/* Changes that must wait until names no longer alter the times of directories. */
static struct change *late_change(struct restore_diff *x)
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
	*late_change(w->x) = (struct change){.type = CHANGE_XATTR, .ino = w->ino, .name = name, .name_len = (uint32_t)len,
					     .value = w->put ? value : NULL, .value_len = w->put ? (uint32_t)value_len : 0};
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
static bool add_attrs(struct restore_diff *x, const struct node *n, const struct node *now, bool touched)
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
		*late_change(x) = c;
	return add_xattrs(x, now->ino, tree_version_at(n, x->seq)->attrs, now->newest->attrs) || c.attr_mask & (ATTR_MODE | ATTR_UID | ATTR_GID);
}

/* ---- content ---- */

struct extent_list {
	struct extent *items;
	size_t count, capacity;
};

/* What @v shows of [from, to), holes included. 0 or -ENOMEM. */
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
	}
	return 0;
}

/* The ranges that were written since, as they were. False: there are too many, or @w has not grown out of @v. */
static bool list_since(struct restore_diff *x, const struct version *v, const struct version *w, struct extent_list *l)
{
	if (v->log_count <= WHOLE_EXTENTS_MAX || w->log_count < v->log_count || v->content != w->content || w->log_count - v->log_count > RANGES_MAX)
		return false;
	for (uint32_t i = v->log_count; i < w->log_count; i++) {
		const struct extent *written = &w->content->log[i];
		uint64_t end = written->len > UINT64_MAX - written->file_offset ? UINT64_MAX : written->file_offset + written->len;

		if (list_range(x, v, written->file_offset, MIN(end, v->size), true, l))
			x->t->error = -ENOMEM;
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
		if (list_range(x, v, 0, v->size, false, &l))
			x->t->error = -ENOMEM;
	}
	if (l.count && (kept = txn_alloc(x->t, l.count * sizeof(*kept))))
		memcpy(kept, l.items, l.count * sizeof(*kept));
	c.extents = kept;
	c.extent_count = kept ? (uint32_t)l.count : 0;
	*late_change(x) = c;
	free(l.items);
}

/* ---- what comes back ---- */

static void add_link(struct restore_diff *x, const struct dentry *d, uint64_t parent, uint64_t ino)
{
	*txn_add_change(x->t) = (struct change){.type = CHANGE_LINK, .ino = ino, .parent = parent, .name = d->name->text, .name_len = d->name->len};
}

/* A new inode that is what @d named then, but for a file's content. */
static uint64_t add_create(struct restore_diff *x, const struct dentry *d, uint64_t parent)
{
	const struct node *n = d->node;
	const struct version *v = tree_version_at(n, x->seq);
	struct change c = {.type = CHANGE_CREATE, .ino = tree_take_ino(x->t->e->tree), .parent = parent, .name = d->name->text, .name_len = d->name->len,
			   .mode = v->attrs->mode, .uid = v->attrs->uid, .gid = v->attrs->gid, .attr_mask = ATTR_MTIME, .mtime_ns = v->mtime_ns};

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

static void add_copy(struct restore_diff *x, const struct dentry *d, uint64_t parent)
{
	struct restore_node *i = node_of(x, d->node);
	const struct version *v = tree_version_at(d->node, x->seq);

	if (i && i->copy) {
		add_link(x, d, parent, i->copy);
	} else if (i) {
		i->copy = add_create(x, d, parent);
		if (S_ISREG(v->attrs->mode) && v->size)
			add_content(x, i->copy, v, NULL);
	}
}

/* Is the file @now as @n was then, and if not, what is to be changed? Each is looked at once. */
static bool compare_file(struct restore_diff *x, const struct node *n, const struct node *now, enum event_type *ret_type)
{
	const struct version *v = tree_version_at(n, x->seq), *w = now->newest;

	if (!differs(x, v, w))
		return false;
	if (n->names->names_next) { /* it has, or had, other names */
		struct restore_node *i = node_of(x, n);

		if (!i || i->compared)
			return false;
		i->compared = true;
	}
	if (!same_content(x, v, w))
		add_content(x, now->ino, v, w);
	(void)add_attrs(x, n, now, false);
	*ret_type = !same_content(x, v, w) ? EVENT_FILE_WRITTEN : v->attrs->xattrs == w->attrs->xattrs ? EVENT_ATTRIBUTES_CHANGED : EVENT_XATTR_CHANGED;
	return true;
}

static enum event_type created_type(uint32_t mode)
{
	return S_ISREG(mode) ? EVENT_FILE_CREATED : S_ISLNK(mode) ? EVENT_SYMLINK_CREATED : EVENT_NODE_CREATED;
}

/* What has the name now, in the directory that will have it. */
static const struct dentry *name_now(const struct restore_diff *x, const struct place *p, const struct dentry *d)
{
	if (p->now == p->then && is_there(d))
		return d;
	return p->now ? tree_lookup(x->t->e->tree, p->now, d->name->text, d->name->len, SEQ_LIVE) : NULL;
}

/* Returns whether a name was added. */
static bool old_file(struct restore_diff *x, const struct place *p, const struct dentry *d)
{
	const struct node *n = d->node;
	const struct dentry *now = name_now(x, p, d);
	bool replaces = now && !is_dir(now->node) && !(now->node->flags & NODE_NEWBORN);
	uint32_t mode = tree_version_at(n, x->seq)->attrs->mode;
	enum event_type type;

	if (now && stays(x, d, now)) {
		if (compare_file(x, n, now->node, &type)) {
			x->files_restored++;
			note(x, type, d, x->seq, now->node);
		}
		return false;
	}
	if (needs_copy(x, n)) {
		add_copy(x, d, p->ino);
	} else {
		add_link(x, d, p->ino, n->ino);
		(void)compare_file(x, n, n, &type);
	}
	x->files_restored++;
	note(x, replaces && S_ISREG(mode) ? EVENT_FILE_WRITTEN : created_type(mode), d, x->seq, replaces ? now->node : NULL);
	return true;
}

/* The directory @d named then, and what will be it. Returns whether a name was added. */
static bool old_dir(struct restore_diff *x, const struct place *p, const struct dentry *d, struct place *ret)
{
	const struct dentry *now = name_now(x, p, d);

	*ret = (struct place){.then = d->node, .name = d};
	if (now && stays(x, d, now)) {
		ret->now = now->node;
		ret->ino = now->node->ino;
		return false;
	}
	if (is_inside(x, d->node, SEQ_LIVE)) {
		ret->now = d->node;
		ret->ino = d->node->ino;
		add_link(x, d, p->ino, ret->ino);
	} else {
		ret->ino = add_create(x, d, p->ino);
	}
	if (!now || !is_dir(now->node))
		note(x, EVENT_DIRECTORY_CREATED, d, x->seq, NULL);
	return true;
}

/* Its own attributes, last: names coming and going alter its times. */
static void old_dir_attrs(struct restore_diff *x, const struct place *p, bool touched)
{
	struct restore_node *i = NULL;
	struct tree_attr was;

	if (!p->now) {
		(void)tree_attr_at(x->t->e->tree, p->then, x->seq, x->seq_time_ns, &was); /* it was there */
		*late_change(x) = (struct change){.type = CHANGE_ATTR, .ino = p->ino, .attr_mask = ATTR_MTIME, .mtime_ns = was.mtime_ns};
		return;
	}
	if (x->nodes)
		HASH_FIND(hh, x->nodes, &p->ino, sizeof(p->ino), i);
	if (add_attrs(x, p->then, p->now, touched || (i && i->touched)))
		note(x, EVENT_ATTRIBUTES_CHANGED, p->name, x->seq, NULL);
}

struct old_walk {
	struct place *places;
	size_t count, capacity;
};

static void old_push(struct restore_diff *x, struct old_walk *w, const struct place *p)
{
	if (array_reserve(&w->places, &w->capacity, w->count + 1, sizeof(*w->places)))
		x->t->error = -ENOMEM;
	else
		w->places[w->count++] = *p;
}

static void old_entries(struct restore_diff *x, struct old_walk *w, struct place p)
{
	cleanup_free struct dentry **list = NULL;
	bool touched = false;
	size_t count;

	if (tree_list(x->t->e->tree, p.then, x->seq, &list, &count)) {
		x->t->error = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < count && !x->t->error; i++) {
		const struct dentry *d = list[i];

		if (restore_skips(&x->roots, d))
			continue;
		if (is_dir(d->node)) {
			struct place q;

			touched |= old_dir(x, &p, d, &q);
			old_push(x, w, &q);
		} else {
			touched |= old_file(x, &p, d);
		}
	}
	old_dir_attrs(x, &p, touched);
}

static void old_walk(struct restore_diff *x)
{
	struct old_walk w = {0};
	const uint64_t roots[] = {x->roots.state, x->roots.agents};

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		struct place p = {.then = roots[i] ? tree_node(x->t->e->tree, roots[i]) : NULL, .ino = roots[i]};

		if (!p.then)
			continue;
		p.now = p.then;
		p.name = tree_name_at(p.then, x->seq);
		old_push(x, &w, &p);
	}
	for (size_t i = 0; i < w.count && !x->t->error; i++)
		old_entries(x, &w, w.places[i]);
	free(w.places);
}

int restore_diff_make(struct restore_diff *x)
{
	live_walk(x);
	add_removals(x);
	old_walk(x);
	for (size_t i = 0; i < x->late_count && !x->t->error; i++)
		*txn_add_change(x->t) = x->late[i];
	return x->t->error;
}

void restore_diff_release(struct restore_diff *x)
{
	while (x->nodes) {
		struct restore_node *i = x->nodes;

		HASH_DEL(x->nodes, i);
		free(i);
	}
	extent_map_release(&x->scratch.map);
	extent_map_release(&x->scratch_now.map);
	free(x->notes);
	free(x->removals);
	free(x->late);
	free(x->gone);
}
