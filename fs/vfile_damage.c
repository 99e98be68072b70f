/* SPDX-License-Identifier: MIT
 *
 * Looks at all inodes, a slice of them under one hold of the engine's lock. Nothing happens while nothing is damaged.
 */
#include "vfile_damage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_NODES 1024
#define EXTENTS_AT_ONCE 64

int damage_take(struct fs *fs, struct damage *ret)
{
	struct damage d = {0};
	int r = engine_list_damage(fs->engine, &d.records, &d.record_count);

	if (r)
		return r;
	d.block_count = engine_list_damaged_blocks(fs->engine, d.blocks);
	*ret = d;
	return 0;
}

void damage_release(struct damage *d)
{
	free(d->records);
	*d = (struct damage){0};
}

/** One walk. */
struct walk {
	struct fs *fs;
	const struct damage *damage;
	const char *prefix;
	struct version_extents scratch;
	struct buf found; /* of a slice: first, last, path with its NUL */
	int error;
};

/* ---- is it damaged? lock held ---- */

static bool record_made(const struct journal_damage *d, const struct node *n)
{
	const struct version *v = tree_version_at(n, d->seq_last);
	const struct dentry *name = tree_name_at(n, d->seq_last);

	return (v && v->born >= d->seq_first) || (name && name->born >= d->seq_first);
}

static bool is_damaged_block(const struct damage *d, const struct extent *x)
{
	for (size_t i = 0; i < d->block_count; i++)
		if (x->position == d->blocks[i])
			return true;
	return false;
}

static bool shows_damaged_block(struct walk *w, const struct version *v)
{
	struct extent items[EXTENTS_AT_ONCE];
	uint64_t at = 0;

	while (at < v->size) {
		ssize_t n = tree_extents(v, &w->scratch, at, v->size - at, items, EXTENTS_AT_ONCE, &at);

		if (n < 0)
			w->error = (int)n;
		for (ssize_t i = 0; i < n; i++)
			if (is_damaged_block(w->damage, &items[i]))
				return true;
		if (n < 0)
			break;
	}
	return false;
}

static bool is_damaged(struct walk *w, const struct node *n, uint64_t *ret_first, uint64_t *ret_last)
{
	const struct damage *d = w->damage;

	for (size_t i = 0; i < MIN(d->record_count, (size_t)DAMAGE_RECORDS_MAX); i++)
		if (record_made(&d->records[i], n)) {
			*ret_first = d->records[i].seq_first;
			*ret_last = d->records[i].seq_last;
			return true;
		}
	if (!d->block_count || !S_ISREG(n->newest->attrs->mode) || n->flags & NODE_NEWBORN || !shows_damaged_block(w, n->newest))
		return false;
	*ret_first = *ret_last = n->newest->born;
	return true;
}

/* ---- the walk ---- */

static void look(struct walk *w, const struct node *n)
{
	struct tree *tree = engine_tree(w->fs->engine);
	cleanup_buf struct buf path = BUF_INIT;
	uint64_t first, last;

	if (!is_damaged(w, n, &first, &last))
		return;
	if (tree_path_at(tree, n, engine_live_seq(w->fs->engine), &path) && tree_path_at(tree, n, last, &path))
		return;
	if (strncmp(path.data ? path.data : "", w->prefix, strlen(w->prefix)) != 0)
		return;
	buf_append(&w->found, (const char *)&first, sizeof(first));
	buf_append(&w->found, (const char *)&last, sizeof(last));
	buf_append(&w->found, path.data ? path.data : "", path.len);
	buf_put_u8(&w->found, '\0');
}

/* False: enough. No lock held. */
static bool tell(struct walk *w, damage_path_fn fn, void *arg)
{
	for (size_t at = 0; at < w->found.len;) {
		const char *path = w->found.data + at + 2 * sizeof(uint64_t);
		uint64_t first, last;

		memcpy(&first, w->found.data + at, sizeof(first));
		memcpy(&last, w->found.data + at + sizeof(first), sizeof(last));
		if (!fn(arg, path, first, last))
			return false;
		at += 2 * sizeof(uint64_t) + strlen(path) + 1;
	}
	return true;
}

int damage_each_path(struct fs *fs, const struct damage *d, const char *prefix, damage_path_fn fn, void *arg)
{
	struct walk w = {.fs = fs, .damage = d, .prefix = prefix};
	uint64_t ino = TREE_ROOT_INO, end = d->record_count || d->block_count ? UINT64_MAX : 0;
	bool more = true;

	while (more && ino < end && !w.error) {
		engine_lock(fs->engine);
		end = tree_next_ino(engine_tree(fs->engine));
		for (uint64_t stop = MIN(ino + SLICE_NODES, end); ino < stop; ino++) {
			const struct node *n = tree_node(engine_tree(fs->engine), ino);

			if (n)
				look(&w, n);
		}
		engine_unlock(fs->engine);
		if (w.found.error)
			w.error = w.found.error;
		more = w.error || tell(&w, fn, arg);
		buf_clear(&w.found);
	}
	extent_map_release(&w.scratch.map);
	buf_release(&w.found);
	return w.error;
}
