/* SPDX-License-Identifier: MIT
 *
 * The index snapshot: damaged ones are refused or at least harmless, large ones load fast. That a good one gives the same
 * views is shown by tests/prop/test_tree_prop.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"
#include "rng.h"
#include "stopwatch.h"
#include "tree.h"
#include "tree_fixture.h"
#include "tree_walk.h"
#include "util.h"

static void dump(struct tree *t, uint64_t seq, size_t slice, struct buf *out)
{
	uint64_t cursor = 0;
	int r;

	do
		r = tree_dump(t, seq, &cursor, slice, out);
	while (r > 0);
	assert_int_equal(r, 0);
}

/* A small tree with one of everything. */
static struct tree *sample(void)
{
	struct tree *t = tree_new(1, 2, 3);
	struct extent e;
	struct change link = fix_create(5, 2, "link", S_IFLNK | 0777), device = fix_create(6, 1, "null", S_IFCHR | 0600);
	struct change rename[] = {fix_name(CHANGE_UNLINK, 3, 2, "file"), fix_name(CHANGE_LINK, 3, 1, "moved")};
	struct change changes[] = {
		fix_create(2, 1, "dir", S_IFDIR | 0755),
		fix_create(3, 2, "file", S_IFREG | 0644),
		fix_create(4, 2, "gone", S_IFREG | 0600),
		link,
		device,
		{.type = CHANGE_XATTR, .ino = 3, .name = "user.x", .name_len = 6, .value = "value", .value_len = 5},
		{.type = CHANGE_ATTR, .ino = 3, .attr_mask = ATTR_ATIME | ATTR_MTIME, .atime_ns = 5, .mtime_ns = 6},
		fix_name(CHANGE_UNLINK, 4, 2, "gone"),
		fix_create(7, 2, "gone", S_IFREG | 0600),
		fix_name(CHANGE_LINK, 7, 1, "hard"),
	};
	uint64_t seq = 1;

	changes[3].value = "../target";
	changes[3].value_len = 9;
	changes[4].rdev = 259;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		assert_int_equal(fix_apply(t, seq++, &changes[i], 1), 0);
	for (uint64_t i = 0; i < 4; i++) {
		struct change c = fix_content(3, i ? 0 : CONTENT_REPLACE, i * 90, 100, i + 1, &e);

		assert_int_equal(fix_apply(t, seq++, &c, 1), 0);
	}
	assert_int_equal(fix_apply(t, seq++, rename, 2), 0);
	return t;
}

/* Look at everything, change everything. */
static void use(struct tree *t)
{
	const char *const names[] = {"dir", "file", "gone", "moved"};
	uint64_t seq = 1000;

	for (uint64_t at = 0; at < 20; at++)
		walk_view(t, at);
	walk_view(t, SEQ_LIVE);
	for (uint64_t ino = 1; ino < 10; ino++)
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			struct extent e;
			struct change c[] = {
				fix_name(CHANGE_LINK, ino, 1 + i, "new"), fix_name(CHANGE_UNLINK, 0, ino, names[i]), fix_content(ino, 0, 3, 9, 5, &e)};

			for (size_t k = 0; k < ARRAY_SIZE(c); k++)
				(void)fix_apply(t, seq++, &c[k], 1);
		}
	walk_view(t, SEQ_LIVE);
}

static void test_same_bytes_again(void **state)
{
	struct tree *t = sample(), *u = tree_new(0, 0, 0);
	struct buf a = BUF_INIT, b = BUF_INIT;

	(void)state;
	dump(t, 100, 2, &a);
	assert_int_equal(tree_load(u, (uint8_t *)a.data, a.len), 0);
	dump(u, 100, 1000, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	use(u);
	buf_release(&a);
	buf_release(&b);
	tree_free(t);
	tree_free(u);
}

static int load(const uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1); /* so that the sanitizer sees a read behind the end */
	struct tree *t = tree_new(0, 0, 0);
	int r;

	memcpy(exact, data, len);
	r = tree_load(t, exact, len);
	free(exact);
	if (!r)
		use(t);
	else
		assert_int_equal(r, -EBADMSG);
	tree_free(t);
	return r;
}

static void test_every_cut(void **state)
{
	struct tree *t = sample();
	struct buf b = BUF_INIT;

	(void)state;
	dump(t, 100, 10, &b);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(load((uint8_t *)b.data, len), -EBADMSG);
	buf_put_u8(&b, 0);
	assert_int_equal(load((uint8_t *)b.data, b.len), -EBADMSG);
	buf_release(&b);
	tree_free(t);
}

static void test_random_damage(void **state)
{
	static const uint8_t values[] = {0, 1, 2, 3, 7, 0x7f, 0x80, 0xff};
	struct tree *t = sample();
	struct buf b = BUF_INIT;
	unsigned loaded = 0;
	struct rng rng;

	(void)state;
	rng_init(&rng, rng_seed_of_run(1));
	dump(t, 100, 10, &b);
	for (int i = 0; i < 8000; i++) {
		uint8_t *copy = malloc(b.len);

		memcpy(copy, b.data, b.len);
		for (uint64_t k = 1 + rng_below(&rng, 3); k; k--)
			copy[rng_below(&rng, b.len)] = values[rng_below(&rng, sizeof(values))];
		loaded += !load(copy, b.len);
		free(copy);
	}
	assert_true(loaded > 0 && loaded < 8000);
	buf_release(&b);
	tree_free(t);
}

/* So many files in the root, saved so often; transactions from 1 on. The next number. */
static uint64_t grow(struct tree *t, uint64_t files, uint64_t saves)
{
	uint64_t seq = 1;
	struct extent e;
	char name[32];

	for (uint64_t i = 0; i < files; i++) {
		struct change c;

		snprintf(name, sizeof(name), "file-%06u.yaml", (unsigned)i);
		c = fix_create(2 + i, 1, name, S_IFREG | 0644);
		assert_int_equal(fix_apply(t, seq++, &c, 1), 0);
	}
	for (uint64_t i = 0; i < saves; i++) {
		struct change c = fix_content(2 + i * 7919 % files, CONTENT_REPLACE, 0, 1024, i + 1, &e);

		if (fix_apply(t, seq++, &c, 1))
			fail();
	}
	return seq;
}

/* As atomic saves do: a new file takes the name of an old one. The next number. */
static uint64_t replace(struct tree *t, uint64_t seq, uint64_t files, uint64_t renames)
{
	uint64_t next = 2 + files;
	char name[32];

	for (uint64_t i = 0; i < renames; i++, seq += 2) {
		struct change c[4] = {fix_create(next, 1, "tmp", S_IFREG | 0644)};
		struct dentry *d;

		snprintf(name, sizeof(name), "file-%06u.yaml", (unsigned)(i * 7919 % files));
		d = tree_lookup(t, tree_node(t, 1), name, strlen(name), SEQ_LIVE);
		c[1] = fix_name(CHANGE_UNLINK, d->node->ino, 1, name);
		c[2] = fix_name(CHANGE_UNLINK, next, 1, "tmp");
		c[3] = fix_name(CHANGE_LINK, next++, 1, name);
		if (fix_apply(t, seq, c, 1) || fix_apply(t, seq + 1, c + 1, 3))
			fail();
	}
	return seq;
}

/* The tree of a dump, and how long it took. */
static struct tree *loaded(const struct buf *b, double *ret_s)
{
	struct tree *t = tree_new(0, 0, 0);
	double start = stopwatch_s();

	assert_int_equal(tree_load(t, (uint8_t *)b->data, b->len), 0);
	*ret_s = stopwatch_s() - start;
	return t;
}

/* 100,000 files, a million versions, a quarter of a million dead names. */
static void test_large(void **state)
{
	const uint64_t files = 100000, saves = 1000000, renames = 125000;
	struct tree *t = tree_new(0, 0, 0), *u;
	uint64_t seq = grow(t, files, saves), cursor = 0;
	double start = stopwatch_s(), slice_max = 0, took;
	struct buf b = BUF_INIT;
	struct tree_stats s, l;
	int more;

	(void)state;
	do {
		double slice = stopwatch_s();

		more = tree_dump(t, seq, &cursor, 256, &b);
		slice_max = MAX(stopwatch_s() - slice, slice_max);
		assert_true(more >= 0);
	} while (more);
	print_message("dump: %.0f ms, %.1f MB, longest slice of 256 nodes %.2f ms\n", (stopwatch_s() - start) * 1e3, (double)b.len / 1e6, slice_max * 1e3);
	u = loaded(&b, &took);
	print_message("load of %.0f files, %.0f versions: %.0f ms\n", (double)files, (double)saves, took * 1e3);
	tree_get_stats(t, &s);
	tree_get_stats(u, &l);
	assert_int_equal(s.nodes, l.nodes);
	assert_int_equal(s.versions, l.versions);
	assert_int_equal(s.dentries, l.dentries);
	assert_int_equal(s.live_files, l.live_files);
	assert_int_equal(s.live_bytes, l.live_bytes);
	tree_free(u);
	seq = replace(t, seq, files, renames);
	buf_clear(&b);
	dump(t, seq, 256, &b);
	tree_free(loaded(&b, &took));
	print_message("the same with %.0f atomic saves more: %.0f ms\n", (double)renames, took * 1e3);
	buf_release(&b);
	tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_bytes_again),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_random_damage),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
