/* SPDX-License-Identifier: MIT
 *
 * Views: the tree at a sequence number. The live view looks at live entries and newest
 * versions only. An older one follows jump pointers back to what held then: from a
 * version to its first ancestor born by the sequence number, from a name's newest dead entry likewise.
 *
 * Every walk upwards is bounded even if damage had made a directory its own ancestor.
 */
#include "tree_internal.h"

#include <errno.h>
#include <stdlib.h>

static bool holds(const struct dentry *d, uint64_t seq)
{
	return d->born <= seq && seq < d->died;
}

struct dentry *tree_lookup(const struct tree *t, const struct node *parent, const char *name, size_t len, uint64_t seq)
{
	struct dentry *d;

	if (len > TREE_NAME_MAX)
		return NULL;
	if (seq >= SEQ_LIVE)
		return tree_live_find(t, parent, name, len);
	d = tree_lookup_until(t, parent, name, len, seq);
	return d && holds(d, seq) ? d : NULL;
}

struct dentry *tree_lookup_until(const struct tree *t, const struct node *parent, const char *name, size_t len, uint64_t seq)
{
	struct dentry *d;

	if (len > TREE_NAME_MAX)
		return NULL;
	d = tree_live_find(t, parent, name, len);
	if (d && d->born <= seq)
		return d;
	d = tree_tomb_find(t, parent, name, len);
	while (d && d->born > seq) /* a dead entry's prev is its jump, next the older one */
		d = d->prev && d->prev->born > seq ? d->prev : d->next;
	return d;
}

struct dentry *tree_lookup_since(const struct tree *t, const struct node *parent, const char *name, size_t len, uint64_t seq)
{
	struct dentry *d;

	if (len > TREE_NAME_MAX)
		return NULL;
	d = tree_live_find(t, parent, name, len);
	if (d && d->born != SEQ_NEWBORN)
		return d;
	d = tree_tomb_find(t, parent, name, len); /* the newest dead one */
	return d && d->died > seq ? d : NULL;
}

struct dentry *tree_name_at(const struct node *node, uint64_t seq)
{
	struct dentry *d = node->names;

	while (d && !holds(d, seq))
		d = d->names_next;
	return d;
}

bool tree_is_linked(const struct tree *t, const struct node *node, uint64_t seq)
{
	(void)t; /* part of the contract: links might live in a table one day */
	if (seq >= SEQ_LIVE || node->ino == TREE_ROOT_INO)
		return node_is_linked(node);
	return tree_name_at(node, seq) != NULL;
}

static uint32_t nlink_at(const struct node *n, uint64_t seq)
{
	uint32_t count = 0;

	if (seq >= SEQ_LIVE)
		return n->nlink;
	if (node_is_dir(n))
		return 1;
	for (const struct dentry *d = n->names; d; d = d->names_next)
		count += holds(d, seq);
	return count;
}

static uint64_t data_bytes(const struct version *v)
{
	if (!v->has_log)
		return v->position ? v->size : 0;
	return v->log_count == v->content->count ? v->content->map.data_bytes : v->size;
}

int tree_attr_at(const struct tree *t, const struct node *node, uint64_t seq, int64_t seq_time_ns, struct tree_attr *ret)
{
	const struct version *v = tree_version_at(node, seq);
	mode_t type;

	(void)t;
	if (!v)
		return -ENOENT;
	type = v->attrs->mode & S_IFMT;
	*ret = (struct tree_attr){
		.ino = node->ino,
		.mode = v->attrs->mode,
		.uid = v->attrs->uid,
		.gid = v->attrs->gid,
		.nlink = nlink_at(node, seq),
		.rdev = type == S_IFCHR || type == S_IFBLK ? node->rdev : 0,
		.size = v->size,
		.blocks_512 = type == S_IFREG ? (data_bytes(v) + 511) / 512 : 0,
		.mtime_ns = version_mtime(v),
		.ctime_ns = v->ctime_ns,
		.born = v->born,
	};
	if (type == S_IFDIR) {
		ret->mtime_ns = MIN(ret->mtime_ns, seq_time_ns);
		ret->ctime_ns = MIN(ret->ctime_ns, seq_time_ns);
	}
	ret->atime_ns = v->attrs->atime_set ? v->attrs->atime_ns : ret->mtime_ns;
	return 0;
}

/* ---- paths ---- */

/* Length of @d's path, or 0 when its directory is not reachable at @seq. Brent's algorithm notices a cycle. */
static size_t path_bytes(const struct dentry *d, uint64_t seq)
{
	const struct dentry *mark = d;
	size_t bytes = d->name->len, steps = 0, limit = 2;

	while (d->parent->ino != TREE_ROOT_INO) {
		d = tree_name_at(d->parent, seq);
		if (!d || d == mark)
			return 0;
		if (++steps == limit) {
			mark = d;
			steps = 0;
			limit *= 2;
		}
		bytes += 1 + (size_t)d->name->len;
	}
	return bytes;
}

int tree_dentry_path(const struct tree *t, const struct dentry *d, uint64_t seq, struct buf *ret)
{
	size_t bytes = path_bytes(d, seq), at;

	(void)t;
	if (!bytes)
		return -ENOENT;
	if (buf_reserve(ret, bytes))
		return -ENOMEM;
	at = ret->len;
	buf_append_zeros(ret, bytes);
	at += bytes;
	for (;; d = tree_name_at(d->parent, seq)) {
		at -= d->name->len;
		memcpy(ret->data + at, d->name->text, d->name->len);
		if (d->parent->ino == TREE_ROOT_INO)
			return 0;
		ret->data[--at] = '/';
	}
}

int tree_path_at(const struct tree *t, const struct node *node, uint64_t seq, struct buf *ret)
{
	const struct dentry *d;

	if (node->ino == TREE_ROOT_INO)
		return buf_reserve(ret, 0);
	d = tree_name_at(node, seq);
	return d ? tree_dentry_path(t, d, seq, ret) : -ENOENT;
}

struct node *tree_resolve(const struct tree *t, const char *path, uint64_t seq)
{
	struct node *n = tree_node(t, TREE_ROOT_INO);

	while (n && *path) {
		size_t len = strcspn(path, "/");
		struct dentry *d = len ? tree_lookup(t, n, path, len, seq) : NULL;

		n = d ? d->node : len ? NULL : n;
		path += len;
		path += *path == '/';
	}
	return n;
}

/* ---- listing ---- */

bool tree_dir_is_empty(const struct node *dir)
{
	return dir->dir->live_count == 0;
}

static int compare_created(const void *a, const void *b)
{
	const struct dentry *x = *(struct dentry *const *)a, *y = *(struct dentry *const *)b;

	if (x->born != y->born)
		return x->born < y->born ? -1 : 1;
	return (int32_t)(x->order - y->order) < 0 ? -1 : x->order != y->order;
}

/* Dead entries of @dir that held at @seq, oldest first. The list of the dead is newest death first. */
static int list_dead(const struct directory *dir, uint64_t seq, struct dentry ***ret, size_t *ret_count)
{
	size_t count = 0, capacity = 0;
	struct dentry **list = NULL;

	for (struct dentry *d = dir->dead; d && d->died > seq; d = d->hash_next) {
		if (d->born > seq)
			continue;
		if (array_reserve(&list, &capacity, count + 1, sizeof(*list))) {
			free(list);
			return -ENOMEM;
		}
		list[count++] = d;
	}
	if (count)
		qsort(list, count, sizeof(*list), compare_created);
	*ret = list;
	*ret_count = count;
	return 0;
}

int tree_list(const struct tree *t, const struct node *dir, uint64_t seq, struct dentry ***ret, size_t *ret_count)
{
	cleanup_free struct dentry **dead = NULL;
	size_t dead_count = 0, i = 0, n = 0;
	struct dentry **list;

	(void)t;
	if (seq < SEQ_LIVE && list_dead(dir->dir, seq, &dead, &dead_count))
		return -ENOMEM;
	list = malloc(MAX(dir->dir->live_count + dead_count, (size_t)1) * sizeof(struct dentry *));
	if (!list)
		return -ENOMEM;
	for (struct dentry *d = dir->dir->first; d; d = d->next) {
		if (d->born > seq && d->born != SEQ_NEWBORN)
			break; /* real entries are in order of birth */
		if (d->born > seq)
			continue;
		while (i < dead_count && compare_created(&dead[i], &d) < 0)
			list[n++] = dead[i++];
		list[n++] = d;
	}
	while (i < dead_count)
		list[n++] = dead[i++];
	*ret = list;
	*ret_count = n;
	return 0;
}

/* ---- content ---- */

/* For a question about few later entries it is not worth building a map. */
#define SCAN_MAX 256

/* Do all log entries from @from to @to lie at or behind @size? */
static bool log_lies_behind(const struct content *c, uint32_t from, uint32_t to, uint64_t size)
{
	for (uint32_t i = from; i < to; i++)
		if (c->log[i].file_offset < size)
			return false;
	return true;
}

/* The same for entries written after a version of @size that has @from of them: then where appends began answers for any number. */
static bool log_only_appends(const struct content *c, uint32_t from, uint32_t to, uint64_t size)
{
	return from >= c->appends_from || log_lies_behind(c, from, to, size);
}

/* Does the content's resolved map say what @v holds, below @v's size? */
static bool map_serves(const struct version *v)
{
	const struct content *c = v->content;

	if (v->log_count == c->count || v->log_count >= c->appends_from)
		return true;
	return c->count - v->log_count <= SCAN_MAX && log_only_appends(c, v->log_count, c->count, v->size);
}

static int fill_scratch(const struct version *v, struct version_extents *scratch)
{
	if (scratch->version == v)
		return 0;
	scratch->version = NULL;
	scratch->map.count = 0;
	scratch->map.data_bytes = 0;
	if (extent_map_reserve(&scratch->map, v->log_count))
		return -ENOMEM;
	for (uint32_t i = 0; i < v->log_count; i++)
		extent_map_insert(&scratch->map, &v->content->log[i]);
	scratch->version = v;
	return 0;
}

ssize_t tree_extents(
	const struct version *v, struct version_extents *scratch, uint64_t offset, uint64_t len, struct extent *out, size_t max, uint64_t *ret_covered)
{
	uint64_t end = len > EXTENT_TO_END - offset ? EXTENT_TO_END : offset + len;
	uint64_t asked = offset < v->size ? MIN(end, v->size) - offset : 0;
	struct extent whole = {0};
	const struct extent_map one = {.items = &whole, .count = !v->has_log && v->position};
	const struct extent_map *map = &one;
	uint64_t covered;
	ssize_t n;

	if (!v->has_log) {
		whole = tree_inline_extent(v);
	} else if (map_serves(v)) {
		map = &v->content->map;
	} else if (fill_scratch(v, scratch)) {
		return -ENOMEM;
	} else {
		map = &scratch->map;
	}
	if (!asked) {
		*ret_covered = end;
		return 0;
	}
	n = (ssize_t)extent_map_range(map, offset, asked, out, max, &covered);
	*ret_covered = covered == offset + asked ? end : covered;
	return n;
}

bool tree_version_same_content(const struct version *a, const struct version *b)
{
	if (a == b)
		return true;
	if (a->size != b->size || version_log_count(a) != version_log_count(b))
		return false;
	if (a->has_log)
		return a->content == b->content;
	return a->position == b->position && a->stored_len == b->stored_len;
}

bool tree_version_extends(const struct version *older, const struct version *newer)
{
	uint64_t size = older->size;
	struct extent block;
	const struct content *c;

	if (!size || tree_version_same_content(older, newer))
		return true;
	if (size > newer->size || !S_ISREG(older->attrs->mode))
		return false;
	if (!newer->has_log)
		return !older->has_log && !older->position && !newer->position;
	c = newer->content;
	if (older->has_log)
		return older->content == c && older->log_count <= newer->log_count && log_only_appends(c, older->log_count, newer->log_count, size);
	if (!older->position) /* zeros, and @newer need not descend from it */
		return log_lies_behind(c, 0, newer->log_count, size);
	block = tree_inline_extent(older);
	return c->log[0].position == block.position && c->log[0].len == block.len && !c->log[0].file_offset && !c->log[0].skip &&
	       log_only_appends(c, 1, newer->log_count, size);
}
