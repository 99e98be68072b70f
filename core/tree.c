/* SPDX-License-Identifier: MIT
 *
 * The tree's bones: nodes by number, live entries by (parent, name), dead ones
 * behind them. Versions are in tree_version.c, what a change means is in tree_apply.c.
 *
 * Live entries are in a hash table of chains and in their directory's list. An
 * entry that dies moves to the history: its directory's list of the dead, and the
 * chain of dead entries of the same (parent, name), whose newest is found in a second
 * table, `tombs`. So the live table never holds a dead name, however often one was used.
 *
 * Invariants: dead entries of one name have disjoint intervals, newest first; an entry with born == died is in no list;
 * real entries of a directory's list are in order of (born, order).
 */
#include "tree_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "checksum.h"

#define SLOTS_FIRST 64

/* ---- nodes ---- */

struct node *tree_node_slot(const struct tree *t, uint64_t ino)
{
	const struct tree_inner *inner = t->nodes;

	if (ino > TREE_INO_MAX)
		return NULL;
	for (unsigned shift = 3 * TREE_FANOUT_BITS; shift > TREE_FANOUT_BITS; shift -= TREE_FANOUT_BITS) {
		inner = inner->slots[(ino >> shift) % TREE_FANOUT];
		if (!inner)
			return NULL;
	}
	struct tree_leaf *leaf = inner->slots[(ino >> TREE_FANOUT_BITS) % TREE_FANOUT];

	return leaf ? &leaf->nodes[ino % TREE_FANOUT] : NULL;
}

int tree_node_reserve(struct tree *t, uint64_t ino)
{
	struct tree_inner *inner = t->nodes;

	for (unsigned shift = 3 * TREE_FANOUT_BITS; shift; shift -= TREE_FANOUT_BITS) {
		void **slot = &inner->slots[(ino >> shift) % TREE_FANOUT];
		size_t bytes = shift == TREE_FANOUT_BITS ? sizeof(struct tree_leaf) : sizeof(struct tree_inner);

		if (!*slot) {
			*slot = calloc(1, bytes);
			if (!*slot)
				return -ENOMEM;
			t->node_bytes += bytes;
		}
		inner = *slot;
	}
	return 0;
}

struct node *tree_node_next(const struct tree *t, uint64_t ino)
{
	while (ino <= TREE_INO_MAX) {
		const struct tree_inner *inner = t->nodes;
		unsigned shift = 3 * TREE_FANOUT_BITS;

		for (; shift; shift -= TREE_FANOUT_BITS) {
			void *below = inner->slots[(ino >> shift) % TREE_FANOUT];

			if (!below)
				break;
			inner = below;
		}
		if (shift) { /* nothing below here: on to the next such stretch of numbers */
			ino = ((ino >> shift) + 1) << shift;
			continue;
		}
		struct node *n = &((struct tree_leaf *)(void *)inner)->nodes[ino % TREE_FANOUT];

		if (n->newest)
			return n;
		ino++;
	}
	return NULL;
}

struct node *tree_node(const struct tree *t, uint64_t ino)
{
	struct node *n = tree_node_slot(t, ino);

	return n && n->newest ? n : NULL;
}

void tree_ino_used(struct tree *t, uint64_t ino)
{
	t->next_ino = MAX(t->next_ino, ino + 1);
}

uint64_t tree_take_ino(struct tree *t)
{
	return t->next_ino++;
}

uint64_t tree_next_ino(const struct tree *t)
{
	return t->next_ino;
}

/* ---- names ---- */

uint32_t tree_name_hash(const char *name, size_t len)
{
	return (uint32_t)checksum_xxh3(name, len, 0);
}

bool tree_name_ok(const char *name, size_t len)
{
	if (!name || !len || len > TREE_NAME_MAX || memchr(name, '/', len) || memchr(name, '\0', len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

static size_t entry_slot(const struct node *parent, uint32_t hash, size_t slots)
{
	uint64_t h = (hash + parent->ino * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);

	return (size_t)(h >> 32 ^ h) & (slots - 1);
}

static bool entry_is(const struct dentry *d, const struct node *parent, uint32_t hash, const char *name, size_t len)
{
	return d->parent == parent && d->name->hash == hash && d->name->len == len && !memcmp(d->name->text, name, len);
}

const struct name *tree_name_new(struct tree *t, const char *text, size_t len)
{
	size_t bytes = offsetof(struct name, text) + len + 1;
	struct name *name = bump_get(&t->text, bytes, _Alignof(struct name));

	name->hash = tree_name_hash(text, len);
	name->len = (uint8_t)len;
	memcpy(name->text, text, len);
	name->text[len] = '\0';
	t->stats.names_bytes += bytes;
	return name;
}

/* Number of slots for @count entries filling at most @percent of them; 0: too many. */
static size_t slots_for(size_t slots, size_t count, unsigned percent)
{
	size_t n = slots ? slots : SLOTS_FIRST;

	while (n / 100.0 * percent < (double)count) {
		if (n > SIZE_MAX / sizeof(void *) / 4)
			return 0;
		n *= 2;
	}
	return n;
}

int tree_live_reserve(struct tree *t, size_t more)
{
	size_t slots = slots_for(t->live_slots, t->live_count + more, 100);
	struct dentry **table, *next;

	if (slots == t->live_slots)
		return 0;
	table = slots ? calloc(slots, sizeof(*table)) : NULL;
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < t->live_slots; i++)
		for (struct dentry *d = t->live[i]; d; d = next) {
			struct dentry **slot = &table[entry_slot(d->parent, d->name->hash, slots)];

			next = d->hash_next;
			d->hash_next = *slot;
			*slot = d;
		}
	free(t->live);
	t->live = table;
	t->live_slots = slots;
	return 0;
}

int tree_tombs_reserve(struct tree *t, size_t more)
{
	size_t slots = slots_for(t->tomb_slots, t->tomb_count + more + 1, 70);
	struct dentry **table;

	if (slots == t->tomb_slots)
		return 0;
	table = slots ? calloc(slots, sizeof(*table)) : NULL;
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < t->tomb_slots; i++) {
		struct dentry *d = t->tombs[i];

		if (!d)
			continue;
		size_t at = entry_slot(d->parent, d->name->hash, slots);

		while (table[at])
			at = (at + 1) & (slots - 1);
		table[at] = d;
	}
	free(t->tombs);
	t->tombs = table;
	t->tomb_slots = slots;
	return 0;
}

static struct dentry *live_find(const struct tree *t, const struct node *parent, uint32_t hash, const char *name, size_t len)
{
	struct dentry *d = t->live[entry_slot(parent, hash, t->live_slots)];

	while (d && !entry_is(d, parent, hash, name, len))
		d = d->hash_next;
	return d;
}

struct dentry *tree_live_find(const struct tree *t, const struct node *parent, const char *name, size_t len)
{
	return live_find(t, parent, tree_name_hash(name, len), name, len);
}

/* The slot of a name's newest dead entry, or the empty one where it belongs. */
static struct dentry **tomb_slot(const struct tree *t, const struct node *parent, uint32_t hash, const char *name, size_t len)
{
	size_t at = entry_slot(parent, hash, t->tomb_slots);

	while (t->tombs[at] && !entry_is(t->tombs[at], parent, hash, name, len))
		at = (at + 1) & (t->tomb_slots - 1);
	return &t->tombs[at];
}

struct dentry *tree_tomb_find(const struct tree *t, const struct node *parent, const char *name, size_t len)
{
	return *tomb_slot(t, parent, tree_name_hash(name, len), name, len);
}

/* ---- entries ---- */

/* nlink of a directory and what depends on whether the node has a name. @names: change in the number of live names. */
static void node_names_changed(struct tree *t, struct node *n, int names)
{
	bool is_dir = node_is_dir(n);
	bool was = n->nlink > 0;

	if (is_dir)
		n->nlink = node_is_linked(n) ? 2 + n->dir->subdirs : 0;
	else
		n->nlink += (uint32_t)names;

	int64_t step = (int64_t)(n->nlink > 0) - (int64_t)was;

	if (is_dir)
		t->stats.live_dirs += (uint64_t)step;
	else
		t->stats.live_files += (uint64_t)step;
	if (S_ISREG(n->newest->attrs->mode))
		t->stats.live_bytes += (uint64_t)step * n->newest->size;
}

static void dir_append(struct directory *dir, struct dentry *d)
{
	d->next = NULL;
	d->prev = dir->last;
	if (dir->last)
		dir->last->next = d;
	else
		dir->first = d;
	dir->last = d;
}

static void dir_remove(struct directory *dir, struct dentry *d)
{
	*(d->prev ? &d->prev->next : &dir->first) = d->next;
	*(d->next ? &d->next->prev : &dir->last) = d->prev;
	d->next = d->prev = NULL;
}

void tree_entry_insert_live(struct tree *t, struct dentry *d)
{
	struct directory *dir = d->parent->dir;
	struct dentry **slot = &t->live[entry_slot(d->parent, d->name->hash, t->live_slots)];

	d->hash_next = *slot;
	*slot = d;
	t->live_count++;
	dir_append(dir, d);
	dir->live_count++;
	if (node_is_dir(d->node)) {
		dir->subdirs++;
		node_names_changed(t, d->parent, 0);
	}
	node_names_changed(t, d->node, 1);
}

static void remove_live(struct tree *t, struct dentry *d)
{
	struct directory *dir = d->parent->dir;
	struct dentry **slot = &t->live[entry_slot(d->parent, d->name->hash, t->live_slots)];

	while (*slot != d)
		slot = &(*slot)->hash_next;
	*slot = d->hash_next;
	d->hash_next = NULL;
	t->live_count--;
	dir_remove(dir, d);
	dir->live_count--;
	if (node_is_dir(d->node)) {
		dir->subdirs--;
		node_names_changed(t, d->parent, 0);
	}
}

void tree_entry_insert_dead(struct tree *t, struct dentry *d)
{
	struct dentry **slot = tomb_slot(t, d->parent, d->name->hash, d->name->text, d->name->len);
	struct dentry *o = *slot;

	if (o) {
		const struct dentry *j = o->prev;

		d->depth = o->depth + 1;
		d->prev = j && j->prev && o->depth - j->depth == j->depth - j->prev->depth ? j->prev : o;
	} else {
		d->depth = 0;
		d->prev = NULL;
		t->tomb_count++;
	}
	d->next = o;
	*slot = d;
	d->hash_next = d->parent->dir->dead;
	d->parent->dir->dead = d;
}

struct dentry *tree_entry_link(struct tree *t, struct node *parent, struct node *n, const char *name, size_t len, uint64_t born)
{
	struct dentry *d = pool_get(&t->dentries);
	struct dentry *tomb = tree_tomb_find(t, parent, name, len);

	d->name = tomb ? tomb->name : tree_name_new(t, name, len);
	d->node = n;
	d->parent = parent;
	d->born = born;
	d->died = SEQ_NEVER;
	d->order = t->next_order++;
	d->names_next = n->names;
	n->names = d;
	t->stats.dentries++;
	tree_entry_insert_live(t, d);
	return d;
}

void tree_entry_unlink(struct tree *t, struct dentry *d, uint64_t died)
{
	remove_live(t, d);
	if (died > d->born) {
		d->died = died;
		tree_entry_insert_dead(t, d);
	} else { /* no view ever saw it */
		struct dentry **link = &d->node->names;

		d->died = d->born;
		while (*link != d)
			link = &(*link)->names_next;
		*link = d->names_next;
		d->names_next = NULL;
		t->stats.dentries--;
	}
	node_names_changed(t, d->node, -1);
}

void tree_entry_settle(struct tree *t, struct dentry *d, uint64_t born)
{
	d->born = born;
	d->order = t->next_order++;
	dir_remove(d->parent->dir, d);
	dir_append(d->parent->dir, d);
}

/* ---- the whole ---- */

static int tree_init_root(struct tree *t, uint32_t uid, uint32_t gid, int64_t now_ns)
{
	const struct change create = {.type = CHANGE_CREATE, .ino = TREE_ROOT_INO, .mode = S_IFDIR | 0755, .uid = uid, .gid = gid};
	struct node *root;

	if (tree_live_reserve(t, 1) || tree_tombs_reserve(t, 1) || tree_attrs_reserve(t, 1) || tree_blobs_reserve(t, 1) || tree_versions_reserve(t, 1, 0) ||
		pool_reserve(&t->directories, 1) || tree_node_reserve(t, TREE_ROOT_INO))
		return -ENOMEM;
	root = tree_node_slot(t, TREE_ROOT_INO);
	root->ino = TREE_ROOT_INO;
	tree_create_fill(t, root, tree_version_push(t, root, 0), now_ns, &create);
	root->nlink = 2;
	t->stats.live_dirs = 1;
	t->next_ino = TREE_ROOT_INO + 1;
	return 0;
}

struct tree *tree_new(uint32_t root_uid, uint32_t root_gid, int64_t now_ns)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pool_init(&t->versions, sizeof(struct version));
	pool_init(&t->far_versions, sizeof(struct version_far));
	pool_init(&t->dentries, sizeof(struct dentry));
	pool_init(&t->directories, sizeof(struct directory));
	pool_init(&t->attrs, sizeof(struct attrs));
	pool_init(&t->contents, sizeof(struct content));
	t->nodes = calloc(1, sizeof(*t->nodes));
	t->node_bytes = sizeof(*t->nodes);
	if (!t->nodes || tree_init_root(t, root_uid, root_gid, now_ns)) {
		tree_free(t);
		return NULL;
	}
	return t;
}

static void free_nodes(void *level, unsigned shift)
{
	struct tree_inner *inner = level;

	if (level && shift)
		for (size_t i = 0; i < TREE_FANOUT; i++)
			free_nodes(inner->slots[i], shift - TREE_FANOUT_BITS);
	free(level);
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	for (struct content *c = t->all_contents; c; c = c->next) {
		free(c->log);
		extent_map_release(&c->map);
	}
	pool_release(&t->versions);
	pool_release(&t->far_versions);
	pool_release(&t->dentries);
	pool_release(&t->directories);
	pool_release(&t->attrs);
	pool_release(&t->contents);
	bump_release(&t->text);
	free_nodes(t->nodes, 3 * TREE_FANOUT_BITS);
	free(t->live);
	free(t->tombs);
	free(t->attrs_table);
	free(t->blobs);
	free(t->spares);
	free(t->relinks);
	free(t);
}

void tree_get_stats(const struct tree *t, struct tree_stats *ret)
{
	*ret = t->stats;
	ret->total_bytes = sizeof(*t) + t->versions.total_bytes + t->far_versions.total_bytes + t->dentries.total_bytes + t->directories.total_bytes +
			   t->attrs.total_bytes + t->contents.total_bytes + t->text.total_bytes + t->node_bytes + t->content_bytes +
			   (t->live_slots + t->tomb_slots + t->attrs_slots + t->blob_slots) * sizeof(void *);
}
