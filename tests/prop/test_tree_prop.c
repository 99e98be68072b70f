/* SPDX-License-Identifier: MIT
 *
 * Random transactions, fitting and not, newborns among them, against the naive model: after each the live view, at
 * the end every view there was; then the same of a tree that was dumped at a random sequence
 * number, in slices while the tree went on, loaded and given the rest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmocka_all.h"
#include "rng.h"
#include "tree_compare.h"
#include "util.h"

#define TRANSACTIONS 60
#define CHANGES_MAX 4
#define EXTENTS_MAX 3
#define RUNS 1000

struct tx {
	struct change changes[CHANGES_MAX];
	struct extent extents[CHANGES_MAX][EXTENTS_MAX];
	int results[CHANGES_MAX];
	size_t count;
	int64_t time;
};

struct run {
	struct rng rng;
	struct tree *tree;
	struct model_state now;
	struct model_state past[TRANSACTIONS + 1];
	struct tx txs[TRANSACTIONS + 1];
	uint64_t position;
};

static const char *const bad_names[] = {"", "x/y", ".", ".."};

static uint64_t below(struct run *r, uint64_t n)
{
	return rng_below(&r->rng, n);
}

static uint64_t some_ino(struct run *r)
{
	return below(r, 20) ? r->now.files[below(r, r->now.file_count)].ino : below(r, 60);
}

static uint64_t some_dir(struct run *r)
{
	for (int i = 0; i < 8; i++) {
		const struct model_file *f = &r->now.files[below(r, r->now.file_count)];

		if (S_ISDIR(f->mode) && model_nlink(&r->now, f->ino))
			return f->ino;
	}
	return below(r, 10) ? 1 : some_ino(r);
}

static void some_name(struct run *r, struct change *c)
{
	c->name = below(r, 40) ? tree_compare_names[below(r, ARRAY_SIZE(tree_compare_names))] : bad_names[below(r, ARRAY_SIZE(bad_names))];
	c->name_len = (uint32_t)strlen(c->name);
}

static void some_attrs(struct run *r, struct change *c)
{
	c->attr_mask = (uint32_t)below(r, 64);
	c->mode = (uint32_t)below(r, 010000);
	c->uid = (uint32_t)below(r, 3);
	c->gid = (uint32_t)below(r, 3);
	c->atime_ns = (int64_t)below(r, 1000);
	c->mtime_ns = (int64_t)below(r, 1000);
}

static void make_create(struct run *r, struct change *c)
{
	static const mode_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR, S_IFBLK};

	some_attrs(r, c);
	c->attr_mask &= ATTR_ATIME | ATTR_MTIME;
	c->ino = below(r, 12) ? tree_take_ino(r->tree) : some_ino(r);
	c->parent = some_dir(r);
	c->mode |= types[below(r, ARRAY_SIZE(types))];
	c->rdev = below(r, 100);
	c->value = tree_compare_names[below(r, ARRAY_SIZE(tree_compare_names))];
	c->value_len = (uint32_t)strlen(c->value);
	some_name(r, c);
}

static void make_content(struct run *r, struct change *c, struct extent *extents)
{
	c->content_flags = (uint32_t)below(r, 4);
	c->size = below(r, 8) ? below(r, MODEL_SIZE) : 0;
	c->extents = extents;
	c->extent_count = (uint32_t)below(r, EXTENTS_MAX + 1);
	for (uint32_t i = 0; i < c->extent_count; i++) {
		struct extent *e = &extents[i];
		bool hole = !below(r, 4);

		*e = (struct extent){.file_offset = c->size ? below(r, c->size) : 0};
		e->len = 1 + below(r, MAX(c->size - e->file_offset + (hole ? 10u : 0u) + !below(r, 30), UINT64_C(1)));
		if (hole && !below(r, 4))
			e->len = EXTENT_TO_END - e->file_offset;
		if (hole)
			continue;
		e->position = r->position++;
		e->skip = (uint32_t)below(r, 3);
		e->raw_len = (uint32_t)(e->skip + e->len + below(r, 3));
		e->stored_len = e->raw_len;
	}
	if (c->size && !below(r, 3)) { /* as a whole-file save has it */
		c->content_flags |= CONTENT_REPLACE;
		c->extent_count = 1;
		extents[0] = (struct extent){0, c->size, r->position++, (uint32_t)c->size, 1, 0};
	} else if (!below(r, 3)) { /* as an append has it */
		const struct model_file *f = model_file(&r->now, c->ino);

		if (f && f->size + 5 < MODEL_SIZE) {
			c->content_flags &= ~(uint32_t)CONTENT_REPLACE;
			c->size = f->size + 5;
			c->extent_count = 1;
			extents[0] = (struct extent){f->size, 5, r->position++, 9, 9, 2};
		}
	}
}

static struct model_entry *some_entry(struct run *r)
{
	return r->now.entry_count ? &r->now.entries[below(r, r->now.entry_count)] : NULL;
}

static void make_xattr(struct run *r, struct change *c)
{
	static const char *const xattrs[] = {"user.a", "user.b", "user.cc", "trusted.d"};

	c->name = xattrs[below(r, ARRAY_SIZE(xattrs))];
	c->name_len = (uint32_t)strlen(c->name);
	c->value = below(r, 3) ? tree_compare_names[below(r, ARRAY_SIZE(tree_compare_names))] : NULL;
	c->value_len = c->value && below(r, 5) ? (uint32_t)strlen(c->value) : 0;
}

static void make_change(struct run *r, struct change *c, struct extent *extents)
{
	const struct model_entry *e = some_entry(r);

	*c = (struct change){.type = (enum change_type)(1 + below(r, 6)), .ino = some_ino(r)};
	switch (c->type) {
	case CHANGE_CREATE:
		make_create(r, c);
		break;
	case CHANGE_LINK:
	case CHANGE_UNLINK:
		c->parent = some_dir(r);
		some_name(r, c);
		if (c->type == CHANGE_UNLINK && e && below(r, 10)) {
			c->ino = below(r, 3) ? e->ino : 0;
			c->parent = e->parent;
			c->name = tree_compare_names[0]; /* texts must outlive the entry */
			for (size_t i = 0; i < ARRAY_SIZE(tree_compare_names); i++)
				if (!strcmp(tree_compare_names[i], e->name))
					c->name = tree_compare_names[i];
			c->name_len = (uint32_t)strlen(c->name);
		}
		break;
	case CHANGE_ATTR:
		some_attrs(r, c);
		break;
	case CHANGE_XATTR:
		make_xattr(r, c);
		break;
	case CHANGE_CONTENT:
		make_content(r, c, extents);
		break;
	}
}

/* A rename, over something or not: UNLINK(dst), UNLINK(src), LINK(dst). */
static void make_rename(struct run *r, struct tx *tx)
{
	struct change want = {0};
	const struct model_entry *src = some_entry(r), *dst;
	struct change *c = tx->changes;

	if (!src)
		return;
	want.parent = some_dir(r);
	some_name(r, &want);
	dst = model_entry(&r->now, want.parent, want.name, want.name_len);
	if (dst) {
		*c = want;
		c->type = CHANGE_UNLINK;
		c++->ino = dst->ino;
	}
	*c = (struct change){.type = CHANGE_UNLINK, .ino = src->ino, .parent = src->parent, .name = tree_compare_names[0]};
	for (size_t i = 0; i < ARRAY_SIZE(tree_compare_names); i++)
		if (!strcmp(tree_compare_names[i], src->name))
			c->name = tree_compare_names[i];
	c->name_len = (uint32_t)strlen(c->name);
	c++;
	*c = want;
	c->type = CHANGE_LINK;
	c++->ino = src->ino;
	tx->count = (size_t)(c - tx->changes);
}

/* ---- comparing ---- */

/* What the two comparisons of versions promise, against bytes. */
static void compare_versions(struct run *r, uint64_t last)
{
	uint64_t a = below(r, last + 1), b = a + below(r, last + 1 - a);

	for (uint32_t i = 0; i < r->past[a].file_count; i++) {
		const struct model_file *f = &r->past[a].files[i], *g = model_file(&r->past[b], f->ino);
		struct node *n = tree_node(r->tree, f->ino);
		const struct version *v = tree_version_at(n, a), *w = tree_version_at(n, b);

		if (!S_ISREG(f->mode))
			continue;
		if (tree_version_extends(v, w))
			assert_true(f->size <= g->size && !memcmp(f->bytes, g->bytes, f->size * sizeof(*f->bytes)));
		if (tree_version_same_content(v, w))
			assert_true(f->size == g->size && !memcmp(f->bytes, g->bytes, sizeof(f->bytes)));
	}
}

/* ---- running ---- */

static void newborn_step(struct run *r)
{
	uint64_t ino = some_ino(r);
	struct model_file *f = model_file(&r->now, ino);
	struct change c;
	struct node *n;

	if (!f || !f->newborn || !below(r, 3)) {
		c = (struct change){.type = CHANGE_CREATE};
		make_create(r, &c);
		assert_int_equal(tree_newborn_create(r->tree, &c, r->now.time, &n), model_newborn_create(&r->now, r->now.time, &c));
		return;
	}
	n = tree_node(r->tree, ino);
	c = (struct change){.ino = ino};
	switch (below(r, 4)) {
	case 0:
		tree_newborn_unlink(r->tree, n);
		model_newborn_unlink(&r->now, ino);
		break;
	case 1:
		c.parent = some_dir(r);
		some_name(r, &c);
		assert_int_equal(tree_node(r->tree, c.parent) ? tree_newborn_rename(r->tree, n, tree_node(r->tree, c.parent), c.name, c.name_len) : -EIO,
			model_newborn_rename(&r->now, ino, c.parent, c.name, c.name_len));
		break;
	default:
		c.type = below(r, 2) ? CHANGE_ATTR : CHANGE_XATTR;
		if (c.type == CHANGE_ATTR)
			some_attrs(r, &c);
		else
			make_xattr(r, &c);
		assert_int_equal(tree_newborn_change(r->tree, n, r->now.time, &c), model_newborn_change(&r->now, ino, r->now.time, &c));
	}
}

/* Names and values of a newborn's description point into the tree, which outlives the log of transactions. */
static bool make_settle(struct run *r, struct tx *tx)
{
	struct change all[TREE_NEWBORN_CHANGES];

	for (uint32_t i = 0; i < r->now.file_count; i++) {
		const struct model_file *f = &r->now.files[i];

		if (!f->newborn || !model_nlink(&r->now, f->ino) || below(r, 2))
			continue;
		int n = tree_newborn_describe(r->tree, tree_node(r->tree, f->ino), all, ARRAY_SIZE(all));

		assert_int_equal(n, 1 + (int)f->xattr_count);
		tx->count = MIN((size_t)n, (size_t)CHANGES_MAX);
		memcpy(tx->changes, all, tx->count * sizeof(*all));
		return true;
	}
	return false;
}

static void make_tx(struct run *r, struct tx *tx)
{
	if (!below(r, 3) && make_settle(r, tx))
		return;
	if (!below(r, 4)) {
		make_rename(r, tx);
		return;
	}
	tx->count = 1 + below(r, CHANGES_MAX);
	for (size_t i = 0; i < tx->count; i++) {
		make_change(r, &tx->changes[i], tx->extents[i]);
		if (i && !below(r, 2) && tx->changes[i].type >= CHANGE_ATTR && tx->changes[i].type != CHANGE_CREATE)
			tx->changes[i].ino = tx->changes[i - 1].ino; /* several to one node */
	}
}

static void apply_live(struct run *r, uint64_t seq, struct tx *tx)
{
	assert_int_equal(tree_reserve(r->tree, tx->changes, tx->count), 0);
	for (size_t i = 0; i < tx->count; i++) {
		tx->results[i] = tree_apply(r->tree, seq, tx->time, &tx->changes[i]);
		assert_int_equal(tx->results[i], model_apply(&r->now, seq, tx->time, tx->changes, tx->count, i));
	}
}

/* Only what fitted: a name that a newborn had taken is free in a tree without newborns. */
static void apply_again(struct tree *t, uint64_t seq, const struct tx *tx)
{
	assert_int_equal(tree_reserve(t, tx->changes, tx->count), 0);
	for (size_t i = 0; i < tx->count; i++)
		if (!tx->results[i])
			assert_int_equal(tree_apply(t, seq, tx->time, &tx->changes[i]), 0);
}

static void reload(struct run *r, uint64_t last)
{
	struct tree *t = tree_new(0, 0, 999);
	uint64_t seq = below(r, last + 1), cursor = 0;
	struct buf buf = BUF_INIT;
	int more;

	do
		more = tree_dump(r->tree, seq, &cursor, 1 + below(r, 9), &buf);
	while (more > 0);
	assert_int_equal(more, 0);
	assert_int_equal(tree_load(t, (uint8_t *)buf.data, buf.len), 0);
	for (uint64_t s = seq + 1; s <= last; s++)
		apply_again(t, s, &r->txs[s]);
	for (uint64_t s = 0; s <= last; s++) {
		tree_compare_view(t, &r->past[s], s, false);
		tree_compare_unborn(t, &r->past[s], s);
	}
	tree_compare_view(t, &r->past[last], SEQ_LIVE, false);
	tree_compare_stats(t, &r->past[last]);
	buf_release(&buf);
	tree_free(t);
}

static void run_once(uint64_t seed)
{
	struct run *r = calloc(1, sizeof(*r));
	uint64_t seq = 0;
	int64_t time = 100;

	rng_init(&r->rng, seed);
	r->position = 1;
	r->tree = tree_new(5, 6, time);
	model_init(&r->now, 5, 6, time);
	r->past[0] = r->now;
	while (seq < TRANSACTIONS && r->now.file_count + CHANGES_MAX < MODEL_FILES && r->now.entry_count + CHANGES_MAX < MODEL_ENTRIES) {
		struct tx *tx = &r->txs[seq + 1];

		r->now.time = time += (int64_t)below(r, 3);
		if (!below(r, 3)) {
			newborn_step(r);
		} else {
			make_tx(r, tx);
			tx->time = time;
			apply_live(r, ++seq, tx);
			model_snapshot(&r->now, &r->past[seq]);
		}
		tree_compare_view(r->tree, &r->now, SEQ_LIVE, true);
		tree_compare_stats(r->tree, &r->now);
	}
	for (uint64_t s = 0; s <= seq; s++) {
		tree_compare_view(r->tree, &r->past[s], s, false);
		tree_compare_unborn(r->tree, &r->past[s], s);
	}
	for (int i = 0; i < 20; i++)
		compare_versions(r, seq);
	for (uint32_t i = 0; i < r->now.file_count; i++) {
		char path[4096];
		struct buf buf = BUF_INIT;
		struct node *n = tree_node(r->tree, r->now.files[i].ino);
		struct dentry *d = tree_name_at(n, SEQ_LIVE);
		int got = tree_path_at(r->tree, n, SEQ_LIVE, &buf);

		if (n->ino == TREE_ROOT_INO)
			assert_int_equal(got, 0);
		else if (d && model_path(&r->now, model_entry(&r->now, d->parent->ino, d->name->text, d->name->len), path, sizeof(path)))
			assert_string_equal(got ? "" : buf.data, path);
		else
			assert_int_equal(got, -ENOENT);
		buf_release(&buf);
	}
	reload(r, seq);
	tree_free(r->tree);
	free(r);
}

static void test_random_transactions(void **state)
{
	uint64_t first = rng_seed_of_run(1);

	for (uint64_t seed = first; seed < first + RUNS; seed++) {
		*(uint64_t *)*state = seed;
		run_once(seed);
	}
	*(uint64_t *)*state = 0;
}

/* A failed assertion leaves the test at once; the seed is told here. */
static int report_seed(void **state)
{
	if (*(uint64_t *)*state)
		fprintf(stderr, "repeat with RNG_SEED=%llu\n", (unsigned long long)*(uint64_t *)*state);
	return 0;
}

int main(void)
{
	uint64_t seed = 0;
	const struct CMUnitTest tests[] = {cmocka_unit_test_prestate_setup_teardown(test_random_transactions, NULL, report_seed, &seed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
