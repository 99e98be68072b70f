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
 * The old view never changes. The live one must not either while it is compared, yet others want the lock: so it is given up every SLICE_STEPS, and
 * whoever changes something then on which the difference depends (restore_concerns()) says so, which makes it void. Nobody looks at what was
 * found before after that: a newborn's entry is freed with its name.
 *
 * Invariant: nothing in the tree is altered here, and what is decided about an inode depends on the two views alone, so both walks agree.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "restore_internal.h"

/* About a millisecond. */
#define SLICE_STEPS 1000
/* Long enough for a thread that waits for the lock to wake up and get it. */
#define SLICE_PAUSE_NS 100000

/** A directory of the old view and the one that is or will be it. */
struct place {
	const struct node *then;
	const struct node *now;    /* NULL: it is made by this transaction */
	const struct dentry *name; /* that it had then */
	uint64_t ino;
};

static bool is_dir(const struct node *n)
{
	return S_ISDIR(n->newest->attrs->mode);
}

static bool is_there(const struct dentry *d)
{
	return d->died == SEQ_NEVER;
}

static void note(struct restore_diff *x, enum event_type type, const struct dentry *d, uint64_t seq, const struct node *old)
{
	if (array_reserve(&x->notes, &x->note_capacity, x->note_count + 1, sizeof(*x->notes)))
		x->t->error = -ENOMEM;
	else
		x->notes[x->note_count++] = (struct restore_note){type, d, seq, old};
}

/* ---- sharing the lock ---- */

bool restore_go_on(struct restore_diff *x, unsigned steps)
{
	const struct timespec pause = {.tv_nsec = SLICE_PAUSE_NS};

	if (x->t->error)
		return false;
	x->steps += steps;
	if (!x->slices || x->steps < SLICE_STEPS)
		return true;
	x->steps = 0;
	engine_unlock(x->t->e);
	(void)nanosleep(&pause, NULL); /* a shorter one does as well */
	engine_lock(x->t->e);
	if (x->moved)
		x->t->error = -EAGAIN;
	return !x->moved;
}

static void watch_begin(struct restore_diff *x)
{
	x->next = x->t->e->restoring;
	x->t->e->restoring = x;
}

static void watch_end(struct restore_diff *x)
{
	struct restore_diff **at = &x->t->e->restoring;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
}

void restores_note_entry(struct engine *e, uint64_t parent, uint64_t ino)
{
	for (struct restore_diff *x = e->restoring; x; x = x->next)
		x->moved = x->moved || restore_concerns(x, parent, ino);
}

void restores_note_changes(struct engine *e, const struct change *changes, size_t count)
{
	for (size_t i = 0; e->restoring && i < count; i++) {
		const struct change *c = &changes[i];
		bool entry = c->type == CHANGE_CREATE || c->type == CHANGE_LINK || c->type == CHANGE_UNLINK;

		restores_note_entry(e, entry ? c->parent : 0, c->ino);
	}
}

/* ---- what goes ---- */

static void remove_name(struct restore_diff *x, const struct dentry *d)
{
	struct restore_node *dir = restore_node_of(x, d->parent);

	if (dir)
		dir->touched = true;
	if (array_reserve(&x->removals, &x->removal_capacity, x->removal_count + 1, sizeof(*x->removals)))
		x->t->error = -ENOMEM;
	else
		x->removals[x->removal_count++] = d;
}

static void lose(struct restore_diff *x, const struct node *n)
{
	if (array_reserve(&x->lost, &x->lost_capacity, x->lost_count + 1, sizeof(*x->lost)))
		x->t->error = -ENOMEM;
	else
		x->lost[x->lost_count++] = n;
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
	if (n->flags & NODE_NEWBORN || (!restore_is_outside(x, n) && (!restore_names_then(x, n) || restore_needs_copy(x, n))))
		lose(x, n);
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
	kept = then && restore_stays(x, then, d);
	if (is_dir(d->node))
		live_push(x, w, d->node, kept ? then->node : restore_is_inside(x, d->node, x->seq) ? d->node : NULL);
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

		for (const struct dentry *d = at.now->dir->first; d && restore_go_on(x, 1); d = d->next)
			if (!restore_skips(&x->roots, d))
				live_entry(x, &w, &at, d);
	}
	free(w.dirs);
}

/* Deepest first; newborns beside the transaction's changes, which know nothing of them. */
static void add_removals(struct restore_diff *x)
{
	size_t newborns = 0;

	for (size_t i = 0; !x->t->error && i < x->removal_count; i++)
		newborns += (x->removals[i]->node->flags & NODE_NEWBORN) != 0;
	if (newborns) {
		x->t->newborns = txn_alloc(x->t, newborns * sizeof(*x->t->newborns));
		x->gone = calloc(newborns, sizeof(*x->gone));
		if (!x->t->newborns || !x->gone) {
			x->t->error = -ENOMEM;
			return;
		}
	}
	for (size_t i = x->removal_count; i-- > 0 && restore_go_on(x, 1);) {
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

/* ---- what comes back ---- */

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

	if (now && restore_stays(x, d, now)) {
		if (restore_compare_file(x, n, now->node, &type)) {
			x->files_restored++;
			note(x, type, d, x->seq, now->node);
		}
		return false;
	}
	if (restore_needs_copy(x, n)) {
		restore_add_copy(x, d, p->ino);
	} else {
		restore_add_link(x, d, p->ino, n->ino);
		(void)restore_compare_file(x, n, n, &type);
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
	if (now && restore_stays(x, d, now)) {
		ret->now = now->node;
		ret->ino = now->node->ino;
		return false;
	}
	if (restore_is_inside(x, d->node, SEQ_LIVE)) {
		ret->now = d->node;
		ret->ino = d->node->ino;
		restore_add_link(x, d, p->ino, ret->ino);
	} else {
		ret->ino = restore_add_create(x, d, p->ino);
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
		*restore_late_change(x) = (struct change){.type = CHANGE_ATTR, .ino = p->ino, .attr_mask = ATTR_MTIME, .mtime_ns = was.mtime_ns};
		return;
	}
	if (x->nodes)
		HASH_FIND(hh, x->nodes, &p->ino, sizeof(p->ino), i);
	if (restore_add_attrs(x, p->then, p->now, touched || (i && i->touched)))
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
	for (size_t i = 0; i < count && restore_go_on(x, 1); i++) {
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
	if (!x->t->error)
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
	watch_begin(x);
	live_walk(x);
	add_removals(x);
	old_walk(x);
	for (size_t i = 0; i < x->late_count && restore_go_on(x, 0); i++)
		*txn_add_change(x->t) = x->late[i];
	watch_end(x);
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
	free(x->lost);
	free(x->removals);
	free(x->late);
	free(x->gone);
}
