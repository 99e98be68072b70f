/* SPDX-License-Identifier: MIT
 *
 * What a regular file's versions hold. A whole file of one block lives in the
 * version itself. Anything else is a *content*: a log of extents that only
 * grows, of which each version is a prefix, so that a save costs what it changed. The log's resolved map
 * serves the newest version, and older ones as long as only appends followed.
 *
 * A shrink is a hole from the new size to the end: growing later reads zeros. A version that replaces
 * everything starts over. The newest version of a node always uses all of its content's log.
 *
 * Contents that a transaction will begin are made by tree_reserve() and wait in `spares`, by inode number.
 */
#include "tree_internal.h"

#include <assert.h>
#include <errno.h>

bool tree_extent_ok(const struct extent *e, uint64_t size)
{
	uint64_t end;

	if (!e->len || __builtin_add_overflow(e->file_offset, e->len, &end))
		return false;
	if (!e->position)
		return true;
	return end <= size && e->stored_len && e->stored_len <= e->raw_len && e->skip + e->len <= e->raw_len;
}

bool tree_content_fits(const struct change *c)
{
	if (c->size > INT64_MAX || (c->extent_count && !c->extents))
		return false;
	for (uint32_t i = 0; i < c->extent_count; i++)
		if (!tree_extent_ok(&c->extents[i], c->size))
			return false;
	return true;
}

bool tree_content_is_inline(const struct change *c)
{
	const struct extent *e = c->extents;

	if (!c->extent_count || !c->size)
		return (c->content_flags & CONTENT_REPLACE) || !c->size;
	return (c->content_flags & CONTENT_REPLACE) && c->extent_count == 1 &&
	       (!e->position || (!e->file_offset && !e->skip && e->len == c->size && e->raw_len == c->size));
}

struct content *tree_content_new(struct tree *t)
{
	struct content *c = pool_get(&t->contents);

	c->next = t->all_contents;
	t->all_contents = c;
	return c;
}

int tree_content_reserve(struct tree *t, struct content *c, size_t extents)
{
	size_t before = c->capacity + c->map.capacity;

	if (extents > UINT32_MAX - c->count)
		return -ENOMEM;
	if (array_reserve(&c->log, &c->capacity, c->count + extents, sizeof(*c->log)) || extent_map_reserve(&c->map, extents)) {
		t->content_bytes += (c->capacity + c->map.capacity - before) * sizeof(struct extent);
		return -ENOMEM;
	}
	t->content_bytes += (c->capacity + c->map.capacity - before) * sizeof(struct extent);
	return 0;
}

/* @size: of the file before. */
void tree_content_append(struct content *c, const struct extent *e, uint64_t size)
{
	assert(c->count < c->capacity);
	c->log[c->count++] = *e;
	extent_map_insert(&c->map, e);
	if (e->file_offset < size)
		c->appends_from = c->count;
}

struct extent tree_inline_extent(const struct version *v)
{
	return (struct extent){
		.len = v->position ? v->size : 0,
		.position = v->position,
		.raw_len = (uint32_t)v->size,
		.stored_len = v->stored_len,
	};
}

static struct tree_spare *spare_find(struct tree *t, uint64_t ino)
{
	size_t low = 0, high = t->spare_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->spares[middle].ino < ino)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->spare_count && t->spares[low].ino == ino ? &t->spares[low] : NULL;
}

static void content_discard(struct tree *t, struct content *c)
{
	struct content **link = &t->all_contents;

	while (*link != c) /* near the head: spares are the newest */
		link = &(*link)->next;
	*link = c->next;
	t->content_bytes -= (c->capacity + c->map.capacity) * sizeof(struct extent);
	free(c->log);
	extent_map_release(&c->map);
	pool_put(&t->contents, c);
}

void tree_spares_clear(struct tree *t)
{
	for (size_t i = t->spare_count; i-- > 0;)
		if (t->spares[i].content)
			content_discard(t, t->spares[i].content);
	t->spare_count = 0;
}

/* @v lets go of its content. One that no older version shares becomes a spare again. */
static void content_drop(struct tree *t, const struct node *n, struct version *v)
{
	const struct version *o = v->older;
	struct tree_spare *spare;
	struct content *c;

	if (v->has_log && !(o && o->has_log && o->content == v->content)) {
		spare = spare_find(t, n->ino);
		c = v->content;
		c->count = c->appends_from = 0;
		c->map.count = 0;
		c->map.data_bytes = 0;
		if (spare && !spare->content)
			spare->content = c;
	}
	v->has_log = 0;
	v->position = 0;
	v->stored_len = 0;
}

/* The content @v goes on writing to; a version without a log begins one with its block. */
static struct content *content_open(struct tree *t, const struct node *n, struct version *v)
{
	struct extent block = tree_inline_extent(v);
	struct tree_spare *spare;
	struct content *c;

	if (v->has_log) {
		assert(v->log_count == v->content->count);
		return v->content;
	}
	spare = spare_find(t, n->ino);
	assert(spare && spare->content);
	c = spare->content;
	spare->content = NULL;
	if (block.len)
		tree_content_append(c, &block, 0);
	return c;
}

static bool has_data(const struct change *c)
{
	for (uint32_t i = 0; i < c->extent_count; i++)
		if (c->extents[i].position)
			return true;
	return false;
}

static void content_write(struct tree *t, struct node *n, struct version *v, const struct change *c)
{
	struct content *log = content_open(t, n, v);
	uint64_t size = v->size;

	if (c->size < size) {
		struct extent cut = {.file_offset = c->size, .len = EXTENT_TO_END - c->size};

		tree_content_append(log, &cut, size);
		size = c->size;
	}
	for (uint32_t i = 0; i < c->extent_count; i++) {
		const struct extent *e = &c->extents[i];

		tree_content_append(log, e, size);
		if (e->position)
			size = MAX(size, e->file_offset + e->len);
	}
	v->has_log = 1;
	v->content = log;
	v->log_count = log->count;
}

void tree_content_change(struct tree *t, struct node *n, struct version *v, const struct change *c)
{
	uint64_t before = v->size;

	if ((c->content_flags & CONTENT_REPLACE) || !c->size) {
		content_drop(t, n, v);
		v->size = 0;
	}
	if (tree_content_is_inline(c)) {
		if (c->size && c->extent_count && c->extents->position) {
			v->position = c->extents->position;
			v->stored_len = c->extents->stored_len;
		}
	} else if (!v->has_log && !v->position) { /* nothing but zeros so far */
		if (has_data(c))
			content_write(t, n, v, c);
	} else if (c->extent_count || (v->has_log ? c->size < v->size : c->size != v->size)) {
		content_write(t, n, v, c);
	}
	v->size = c->size;
	if (node_is_linked(n))
		t->stats.live_bytes += c->size - before;
}
