/* SPDX-License-Identifier: MIT
 *
 * fsck, second half: what the history adds up to. A full replay gives the tree; every live name must lead to a node with a version, link
 * counts must be the number of names, and every byte of every live file must be readable. Then the tree that an index
 * snapshot gives must count the same.
 *
 * Repair only does what loses nothing: opening the store for writing cuts the torn tail and makes headers anew, and a snapshot that is no good
 * is removed.
 */
#include "fsck.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FSCK_PIECE_BYTES (1u << 20)

struct tree_check {
	struct fsck *f;
	struct engine *e;
	struct version_extents scratch;
	char *piece;
};

static void check_content(struct tree_check *c, const char *path, const struct version *v)
{
	uint64_t offset = 0;

	while (offset < v->size) {
		ssize_t n = engine_read(c->e, v, &c->scratch, offset, c->piece, (size_t)MIN(FSCK_PIECE_BYTES, v->size - offset));

		if (n <= 0) {
			fsck_found(c->f, "%s: made by transaction %" PRIu64 ": the bytes at offset %" PRIu64 " cannot be read", path, v->born, offset);
			return;
		}
		offset += (uint64_t)n;
		c->f->bytes += (uint64_t)n;
	}
}

static uint32_t live_names(const struct node *n)
{
	uint32_t names = 0;

	for (const struct dentry *d = n->names; d; d = d->names_next)
		names += d->died == SEQ_NEVER;
	return names;
}

static int check_dir(struct tree_check *c, const struct node *dir, const char *path)
{
	struct dentry **entries;
	size_t count;
	int r = tree_list(engine_tree(c->e), dir, SEQ_LIVE, &entries, &count);

	for (size_t i = 0; !r && i < count; i++) {
		const struct node *n = entries[i]->node;
		cleanup_free char *child = NULL;

		if (asprintf(&child, "%s%s%s", path, *path ? "/" : "", entries[i]->name->text) < 0) {
			child = NULL;
			r = -ENOMEM;
			break;
		}
		c->f->files++;
		if (!n->newest) {
			fsck_found(c->f, "%s: inode %" PRIu64 " has no version", child, n->ino);
			continue;
		}
		if (!S_ISDIR(n->newest->attrs->mode) && n->nlink != live_names(n))
			fsck_found(c->f, "%s: inode %" PRIu64 " counts %u links and has %u names", child, n->ino, n->nlink, live_names(n));
		if (S_ISREG(n->newest->attrs->mode) && entries[i] == n->names)
			check_content(c, child, n->newest);
		else if (S_ISDIR(n->newest->attrs->mode))
			r = check_dir(c, n, child);
	}
	if (!r)
		free(entries);
	return r;
}

struct newest_index {
	uint64_t seq;
};

static int find_index(void *arg, const char *name, bool is_dir)
{
	struct newest_index *n = arg;
	char *end;
	uint64_t seq = strtoull(name, &end, 16);

	if (!is_dir && end == name + 16 && !strcmp(end, ".idx") && seq > n->seq)
		n->seq = seq;
	return 0;
}

int fsck_index(struct fsck *f, struct env *env, struct reason *reason)
{
	const struct engine_options opt = {.read_only = true};
	struct newest_index newest = {0};
	struct engine_stats stats;
	struct engine *e;
	int r = env_list(env, "index", find_index, &newest);

	f->index_seq = newest.seq;
	if ((r && r != -ENOENT) || !newest.seq)
		return r == -ENOENT ? 0 : r; /* none: every mount replays */
	r = engine_open(env, &opt, reason, &e);
	if (r)
		return r;
	engine_get_stats(e, &stats);
	(void)engine_close(e); /* read only */
	f->snapshot_seq = stats.snapshot_seq == newest.seq ? newest.seq : 0;
	f->index_leads_on = stats.index_seq == newest.seq;
	f->index_tree = stats.tree;
	return 0;
}

static void index_is_bad(struct fsck *f, const char *why)
{
	fprintf(f->out, "%s: index/%016" PRIx64 ".idx: %s; it can be dropped, a mount replays the journal then\n", f->name, f->index_seq, why);
	f->bad_indexes++;
}

/* A snapshot of before the damage knows more than what is left of the journal. */
static void compare_index(struct fsck *f, const struct tree_stats *full)
{
	const struct tree_stats *t = &f->index_tree;

	if (f->index_seq && !f->snapshot_seq)
		index_is_bad(f, "is not valid");
	else if (f->index_seq && !f->damaged_journal && !f->index_leads_on)
		index_is_bad(f, "does not belong to this journal");
	else if (f->index_seq && !f->damaged_journal &&
		 (t->live_files != full->live_files || t->live_dirs != full->live_dirs || t->live_bytes != full->live_bytes || t->nodes != full->nodes))
		index_is_bad(f, "does not agree with the journal");
}

int fsck_tree(struct fsck *f, struct env *env, struct reason *reason)
{
	const struct engine_options opt = {.read_only = true, .no_index = true, .durable_seq = f->snapshot_seq};
	struct tree_check c = {.f = f, .piece = malloc(FSCK_PIECE_BYTES)};
	struct engine_stats stats;
	int r = c.piece ? engine_open(env, &opt, reason, &c.e) : -ENOMEM;

	if (!r) {
		r = check_dir(&c, tree_node(engine_tree(c.e), TREE_ROOT_INO), "");
		engine_get_stats(c.e, &stats);
		(void)engine_close(c.e); /* read only */
		if (!r)
			compare_index(f, &stats.tree);
	}
	extent_map_release(&c.scratch.map);
	free(c.piece);
	return r;
}

static int drop_index(void *arg, const char *name, bool is_dir)
{
	struct env *env = arg;
	char path[300];

	if (is_dir)
		return 0;
	snprintf(path, sizeof(path), "index/%s", name);
	return env_unlink(env, path);
}

int fsck_repair(struct fsck *f, struct env *env, struct reason *reason)
{
	/* With an index snapshot that is good: it may know names that the journal has lost. */
	const struct engine_options opt = {.no_index = f->bad_indexes, .durable_seq = f->bad_indexes ? f->snapshot_seq : 0};
	struct engine *e;
	int r = engine_open(env, &opt, reason, &e); /* takes the lock, cuts the tail, makes headers anew */

	if (r)
		return r;
	if (f->bad_indexes)
		r = env_list(env, "index", drop_index, env);
	if (!r && f->bad_indexes)
		r = env_dir_sync(env, "index");
	if (r)
		reason_set(reason, r, "fsck", "the index cannot be removed: %s; delete index/ by hand", strerror(-r));
	if (!r)
		r = engine_close(e);
	else
		(void)engine_close(e); /* the first error is the one to tell */
	return r;
}
