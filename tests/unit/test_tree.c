/* SPDX-License-Identifier: MIT
 *
 * The tree by example: what the random test (tests/prop) does not say by name, large numbers, memory, speed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"
#include "stopwatch.h"
#include "tree.h"
#include "tree_fixture.h"
#include "util.h"

static int new_tree(void **state)
{
	*state = tree_new(0, 0, 0);
	return *state ? 0 : -1;
}

static int free_tree(void **state)
{
	tree_free(*state);
	return 0;
}

static int one(struct tree *t, uint64_t seq, struct change c)
{
	return fix_apply(t, seq, &c, 1);
}

static struct dentry *look(struct tree *t, uint64_t dir, const char *name, uint64_t seq)
{
	return tree_lookup(t, tree_node(t, dir), name, strlen(name), seq);
}

static void test_root(void **state)
{
	struct tree *t = *state;
	struct tree_attr a;

	assert_int_equal(tree_attr_at(t, tree_node(t, 1), SEQ_LIVE, INT64_MAX, &a), 0);
	assert_int_equal(a.mode, S_IFDIR | 0755);
	assert_int_equal(a.nlink, 2);
	assert_null(tree_node(t, 2));
	assert_null(tree_node(t, UINT64_MAX));
	assert_int_equal(one(t, 1, fix_name(CHANGE_UNLINK, 1, 1, ".")), -EIO);
	assert_int_equal(one(t, 1, fix_name(CHANGE_LINK, 1, 1, "root")), -EIO);
}

static void test_names_have_limits(void **state)
{
	struct tree *t = *state;
	char longest[257];
	struct change c;

	memset(longest, 'n', 256);
	longest[256] = '\0';
	assert_int_equal(one(t, 1, fix_create(2, 1, longest, S_IFREG)), -EIO);
	assert_int_equal(one(t, 1, fix_create(2, 1, longest + 1, S_IFREG)), 0);
	c = fix_create(3, 1, "with", S_IFREG);
	c.name = "nul\0in", c.name_len = 6;
	assert_int_equal(one(t, 1, c), -EIO);
	assert_int_equal(one(t, 1, fix_create(UINT64_C(1) << 40, 1, "far", S_IFREG)), -EIO);
	assert_int_equal(one(t, 1, fix_create((UINT64_C(1) << 40) - 1, 1, "far", S_IFREG)), 0);
	assert_non_null(look(t, 1, "far", 1));
}

static void test_entry_of_one_transaction_is_invisible(void **state)
{
	struct tree *t = *state;
	struct change c[] = {fix_create(2, 1, "f", S_IFREG), fix_name(CHANGE_UNLINK, 2, 1, "f")};
	struct dentry **list;
	size_t count;

	assert_int_equal(fix_apply(t, 5, c, 2), 0);
	for (uint64_t seq = 4; seq <= 6; seq++) {
		assert_null(look(t, 1, "f", seq));
		assert_int_equal(tree_list(t, tree_node(t, 1), seq, &list, &count), 0);
		assert_int_equal(count, 0);
		free(list);
	}
	assert_null(tree_node(t, 2)->names);
}

static void test_newest_entry_since(void **state)
{
	struct tree *t = *state;
	const struct node *root = tree_node(t, 1);

	assert_int_equal(one(t, 1, fix_create(2, 1, "f", S_IFREG)), 0);
	assert_int_equal(one(t, 3, fix_name(CHANGE_UNLINK, 2, 1, "f")), 0);
	assert_int_equal(one(t, 5, fix_create(3, 1, "f", S_IFREG)), 0);
	assert_int_equal(tree_lookup_since(t, root, "f", 1, 2)->node->ino, 3); /* live */
	assert_int_equal(one(t, 7, fix_name(CHANGE_UNLINK, 3, 1, "f")), 0);
	assert_int_equal(tree_lookup_since(t, root, "f", 1, 2)->node->ino, 3);
	assert_int_equal(tree_lookup_since(t, root, "f", 1, 6)->node->ino, 3);
	assert_null(tree_lookup_since(t, root, "f", 1, 7));
	assert_null(tree_lookup_since(t, root, "g", 1, 0));
}

static void test_newest_entry_until(void **state)
{
	struct tree *t = *state;
	const struct node *root = tree_node(t, 1);

	assert_int_equal(one(t, 2, fix_create(2, 1, "f", S_IFREG)), 0);
	assert_int_equal(one(t, 3, fix_name(CHANGE_UNLINK, 2, 1, "f")), 0);
	assert_int_equal(one(t, 5, fix_create(3, 1, "f", S_IFREG)), 0);
	assert_null(tree_lookup_until(t, root, "f", 1, 1));
	assert_int_equal(tree_lookup_until(t, root, "f", 1, 2)->node->ino, 2);
	assert_int_equal(tree_lookup_until(t, root, "f", 1, 4)->node->ino, 2); /* gone then, and the newest there had been */
	assert_int_equal(tree_lookup_until(t, root, "f", 1, SEQ_LIVE - 1)->node->ino, 3);
	assert_int_equal(one(t, 7, fix_name(CHANGE_UNLINK, 3, 1, "f")), 0);
	assert_int_equal(tree_lookup_until(t, root, "f", 1, 9)->node->ino, 3);
	assert_null(tree_lookup_until(t, root, "g", 1, 9));
}

static void test_directory_moves(void **state)
{
	struct tree *t = *state;
	struct change move[] = {fix_name(CHANGE_UNLINK, 3, 2, "sub"), fix_name(CHANGE_LINK, 3, 4, "moved")};
	struct change into_itself[] = {fix_name(CHANGE_UNLINK, 4, 1, "b"), fix_name(CHANGE_LINK, 4, 3, "b")};
	struct buf path = BUF_INIT;

	assert_int_equal(one(t, 1, fix_create(2, 1, "a", S_IFDIR)), 0);
	assert_int_equal(one(t, 2, fix_create(3, 2, "sub", S_IFDIR)), 0);
	assert_int_equal(one(t, 3, fix_create(4, 1, "b", S_IFDIR)), 0);
	assert_int_equal(one(t, 4, fix_create(5, 3, "file", S_IFREG)), 0);
	assert_int_equal(one(t, 5, fix_name(CHANGE_UNLINK, 3, 2, "sub")), -EIO); /* not empty, not linked again */
	assert_int_equal(fix_apply(t, 5, move, 2), 0);
	assert_int_equal(tree_node(t, 2)->nlink, 2);
	assert_int_equal(tree_node(t, 4)->nlink, 3);
	assert_int_equal(tree_path_at(t, tree_node(t, 5), SEQ_LIVE, &path), 0);
	assert_string_equal(path.data, "b/moved/file");
	buf_clear(&path);
	assert_int_equal(tree_path_at(t, tree_node(t, 5), 4, &path), 0);
	assert_string_equal(path.data, "a/sub/file");
	buf_release(&path);
	assert_int_equal(fix_apply(t, 6, into_itself, 2), -EIO);
}

/* Saves within one tick of the clock never share an mtime, chmod between them or not. */
static void test_mtime_tells_versions_apart(void **state)
{
	struct tree *t = *state;
	int64_t last = -1;
	struct extent e;

	assert_int_equal(one(t, 1, fix_create(2, 1, "f", S_IFREG)), 0);
	for (uint64_t seq = 2; seq < 20; seq++) {
		struct change c = fix_content(2, CONTENT_REPLACE, 0, 10, seq, &e);

		if (seq % 3 == 0)
			c = (struct change){.type = CHANGE_ATTR, .ino = 2, .attr_mask = ATTR_MODE | (seq % 2 ? ATTR_MTIME : 0), .mtime_ns = 77};
		assert_int_equal(tree_reserve(t, &c, 1), 0);
		assert_int_equal(tree_apply(t, seq, 5000, &c), 0);
		if (c.type == CHANGE_CONTENT) {
			assert_true(version_mtime(tree_node(t, 2)->newest) > last);
			last = version_mtime(tree_node(t, 2)->newest);
		}
	}
}

/* What version_mtime() and ctime of a node are, in seconds, and whether utimens gave mtime. */
static void assert_times(struct tree *t, uint64_t ino, int64_t mtime_s, int64_t ctime_s, bool is_set)
{
	const struct version *v = tree_node(t, ino)->newest;

	assert_int_equal(version_mtime(v), mtime_s * 1000);
	assert_int_equal(v->ctime_ns, ctime_s * 1000);
	assert_int_equal(v->attrs->mtime_set, is_set);
}

static void test_mtime_and_ctime_part_and_meet(void **state)
{
	struct tree *t = *state;
	struct change utimens = {.type = CHANGE_ATTR, .ino = 2, .attr_mask = ATTR_MTIME, .mtime_ns = 7000};
	struct change chmod = {.type = CHANGE_ATTR, .ino = 2, .attr_mask = ATTR_MODE, .mode = 0600};
	const struct attrs *plain;
	struct extent e;

	assert_int_equal(one(t, 1, fix_create(2, 1, "f", S_IFREG)), 0);
	plain = tree_node(t, 2)->newest->attrs;
	assert_int_equal(one(t, 10, fix_content(2, CONTENT_REPLACE, 0, 10, 1, &e)), 0);
	assert_times(t, 2, 10, 10, false);
	assert_int_equal(one(t, 11, fix_name(CHANGE_LINK, 2, 1, "g")), 0); /* alters the version in place */
	assert_times(t, 2, 10, 11, false);
	assert_int_equal(one(t, 12, fix_name(CHANGE_UNLINK, 2, 1, "f")), 0);
	assert_times(t, 2, 10, 12, false);
	assert_int_equal(one(t, 13, fix_content(2, CONTENT_REPLACE | CONTENT_KEEP_MTIME, 0, 10, 2, &e)), 0);
	assert_times(t, 2, 10, 13, false);
	assert_int_equal(one(t, 14, chmod), 0);
	assert_times(t, 2, 10, 14, false);
	assert_int_equal(one(t, 15, utimens), 0);
	assert_times(t, 2, 7, 15, true);
	assert_int_equal(one(t, 16, fix_content(2, CONTENT_REPLACE | CONTENT_KEEP_MTIME, 0, 10, 3, &e)), 0);
	assert_times(t, 2, 7, 16, true);
	chmod.mode = 0;
	assert_int_equal(one(t, 17, chmod), 0);
	assert_times(t, 2, 7, 17, true);
	assert_int_equal(one(t, 18, fix_content(2, CONTENT_REPLACE, 0, 10, 4, &e)), 0);
	assert_times(t, 2, 18, 18, false);
	assert_ptr_equal(tree_node(t, 2)->newest->attrs, plain); /* the same as at first, and so no others */
	assert_int_equal(version_mtime(tree_version_at(tree_node(t, 2), 15)), 7000);
	assert_int_equal(version_mtime(tree_version_at(tree_node(t, 2), 10)), 10000);
}

/* Names that come and go end what utimens said about a directory, also of the future and after an index snapshot. */
static void test_times_of_a_directory(void **state)
{
	const struct change utimens = {.type = CHANGE_ATTR, .ino = 2, .attr_mask = ATTR_MTIME, .mtime_ns = 99000};
	struct tree *t = *state, *loaded = tree_new(0, 0, 0);
	cleanup_buf struct buf dump = BUF_INIT;
	const struct attrs *plain;
	uint64_t cursor = 0;

	assert_int_equal(one(t, 1, fix_create(2, 1, "d", S_IFDIR)), 0);
	plain = tree_node(t, 2)->newest->attrs;
	assert_int_equal(one(t, 2, utimens), 0);
	assert_times(t, 2, 99, 2, true);
	assert_int_equal(tree_dump(t, 2, &cursor, SIZE_MAX, &dump), 0);
	assert_int_equal(tree_load(loaded, (uint8_t *)dump.data, dump.len), 0);
	assert_times(loaded, 2, 99, 2, true);
	assert_int_equal(one(loaded, 3, fix_create(3, 2, "f", S_IFREG)), 0);
	assert_times(loaded, 2, 3, 3, false);
	tree_free(loaded);
	assert_int_equal(one(t, 3, fix_create(3, 2, "f", S_IFREG)), 0);
	assert_times(t, 2, 3, 3, false);
	assert_int_equal(one(t, 4, fix_name(CHANGE_UNLINK, 3, 2, "f")), 0);
	assert_times(t, 2, 4, 4, false);
	assert_ptr_equal(tree_node(t, 2)->newest->attrs, plain);
}

/* Each of a long chain's versions is found, at its own number and until the next one's. */
static void test_versions_of_long_ago(void **state)
{
	struct tree *t = *state;
	struct extent e;

	assert_int_equal(one(t, 1, fix_create(2, 1, "f", S_IFREG)), 0);
	for (uint64_t seq = 3; seq < 5000; seq += 2) {
		assert_int_equal(one(t, seq, fix_content(2, CONTENT_REPLACE, 0, 10, seq, &e)), 0);
		if (seq % 101 == 0 || seq < 99) /* chains of all lengths */
			for (uint64_t at = 1; at <= seq; at += 2) {
				assert_int_equal(tree_version_at(tree_node(t, 2), at)->born, at);
				assert_int_equal(tree_version_at(tree_node(t, 2), at + 1)->born, at);
			}
	}
	assert_null(tree_version_at(tree_node(t, 2), 0));
}

static void test_shrink_and_grow_reads_zeros(void **state)
{
	struct tree *t = *state;
	struct change shrink = {.type = CHANGE_CONTENT, .ino = 2, .size = 4}, grow = {.type = CHANGE_CONTENT, .ino = 2, .size = 10};
	struct version_extents scratch = {0};
	struct extent e, out[4];
	uint64_t covered;

	assert_int_equal(one(t, 1, fix_create(2, 1, "f", S_IFREG)), 0);
	assert_int_equal(one(t, 2, fix_content(2, CONTENT_REPLACE, 0, 10, 7, &e)), 0);
	assert_int_equal(version_log_count(tree_node(t, 2)->newest), 0);
	assert_int_equal(one(t, 3, shrink), 0);
	assert_int_equal(one(t, 4, grow), 0);
	assert_int_equal(tree_extents(tree_node(t, 2)->newest, &scratch, 0, 100, out, 4, &covered), 1);
	assert_int_equal(out[0].len, 4);
	assert_int_equal(covered, 100);
	assert_int_equal(tree_extents(tree_version_at(tree_node(t, 2), 2), &scratch, 0, 100, out, 4, &covered), 1);
	assert_int_equal(out[0].len, 10);
	extent_map_release(&scratch.map);
}

static void test_bad_extents(void **state)
{
	struct tree *t = *state;
	const struct extent bad[] = {
		{0, 10, 5, 9, 9, 0},                /* longer than its block */
		{5, 10, 5, 10, 10, 0},              /* beyond the size */
		{UINT64_MAX - 2, 10, 5, 10, 10, 0}, /* overflow */
		{0, 10, 5, 10, 11, 0},              /* stored longer than raw */
		{0, 0, 5, 10, 10, 0},               /* nothing */
		{0, 10, 5, 10, 10, UINT32_MAX},
	};

	assert_int_equal(one(t, 1, fix_create(2, 1, "f", S_IFREG)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct change c = {.type = CHANGE_CONTENT, .ino = 2, .size = 10, .extents = &bad[i], .extent_count = 1};

		assert_int_equal(one(t, 2, c), -EIO);
		c.content_flags = CONTENT_REPLACE;
		assert_int_equal(one(t, 2, c), -EIO);
	}
	assert_int_equal(tree_node(t, 2)->newest->born, 1);
}

static void test_newborn_xattr_limit(void **state)
{
	struct tree *t = *state;
	struct change create = fix_create(tree_take_ino(t), 1, "new", S_IFREG), out[TREE_NEWBORN_CHANGES];
	struct node *n;
	char name[16];

	assert_int_equal(tree_newborn_create(t, &create, 10, &n), 0);
	assert_int_equal(tree_newborn_create(t, &create, 10, &n), -EIO);
	for (int i = 0; i < TREE_NEWBORN_CHANGES; i++) {
		struct change c = {.type = CHANGE_XATTR, .ino = n->ino, .name = name, .value = "v", .value_len = 1};

		c.name_len = (uint32_t)snprintf(name, sizeof(name), "user.%d", i);
		assert_int_equal(tree_newborn_change(t, n, 10, &c), i < TREE_NEWBORN_CHANGES - 1 ? 0 : -ENOSPC);
	}
	assert_int_equal(tree_newborn_describe(t, n, out, ARRAY_SIZE(out)), TREE_NEWBORN_CHANGES);
	assert_null(look(t, 1, "new", 100));
	assert_non_null(look(t, 1, "new", SEQ_LIVE));
	assert_int_equal(fix_apply(t, 1, out, ARRAY_SIZE(out)), 0);
	assert_non_null(look(t, 1, "new", 1));
	assert_null(look(t, 1, "new", 0));
}

/* ---- large numbers ---- */

#define MILLION 1000000

/* tmp + rename over one name: neither live nor old look-ups may get slow. */
static void test_million_renames(void **state)
{
	struct tree *t = *state;
	double start = stopwatch_s(), took;

	for (uint64_t i = 0; i < MILLION / 4; i++) {
		uint64_t ino = 2 + i, seq = 1 + 2 * i;
		struct change c[] = {fix_name(CHANGE_UNLINK, ino - 1, 1, "f"), fix_name(CHANGE_UNLINK, ino, 1, "f.tmp"), fix_name(CHANGE_LINK, ino, 1, "f")};

		assert_int_equal(one(t, seq, fix_create(ino, 1, "f.tmp", S_IFREG)), 0);
		assert_int_equal(fix_apply(t, seq + 1, i ? c : c + 1, i ? 3 : 2), 0);
		assert_null(look(t, 1, "f.tmp", SEQ_LIVE));
	}
	took = stopwatch_s() - start;
	print_message("250,000 × create + rename over: %.2f s\n", took);
	start = stopwatch_s();
	for (uint64_t i = 0; i < MILLION; i++) {
		uint64_t seq = 2 + i * 7919 % (MILLION / 2 - 2);
		struct dentry *d = look(t, 1, "f", seq);

		assert_true(d && d->node->ino == 2 + (seq - 2) / 2);
	}
	print_message("look-up of a name among 250,000 dead ones, at a past transaction: %.0f ns\n", (stopwatch_s() - start) * 1e9 / MILLION);
	assert_true(stopwatch_s() - start < 200);
}

static void make_files(struct tree *t, uint64_t files)
{
	for (uint64_t i = 0; i < files; i++) {
		char name[32];

		snprintf(name, sizeof(name), "file-%06u.yaml", (unsigned)i);
		if (i % 1000 == 0) {
			char dir[32];

			snprintf(dir, sizeof(dir), "dir-%u", (unsigned)(i / 1000));
			assert_int_equal(one(t, i + 1, fix_create(2 + files + i / 1000, 1, dir, S_IFDIR | 0755)), 0);
		}
		assert_int_equal(one(t, i + 1, fix_create(2 + i, 2 + files + i / 1000, name, S_IFREG | 0644)), 0);
	}
}

static void test_memory_and_speed(void **state)
{
	const uint64_t files = MILLION / 10;
	struct tree *t = *state;
	struct tree_stats s;
	double start, took, per_file, per_version;
	uint64_t base, ino = 0;
	struct extent e;

	make_files(t, files);
	tree_get_stats(t, &s);
	base = s.total_bytes;
	per_file = (double)base / (double)files;
	start = stopwatch_s();
	for (uint64_t i = 0; i < MILLION; i++) {
		struct change c = fix_content(2 + i * 7919 % files, CONTENT_REPLACE, 0, 1024, i + 1, &e);

		if (tree_reserve(t, &c, 1) || tree_apply(t, files + i, (int64_t)i, &c))
			fail();
	}
	took = stopwatch_s() - start;
	tree_get_stats(t, &s);
	per_version = (double)(s.total_bytes - base) / MILLION;
	print_message("%.0f bytes a file, %.1f a version; %.2f M saves/s\n", per_file, per_version, MILLION / took / 1e6);
	start = stopwatch_s();
	for (uint64_t i = 0; i < MILLION; i++) {
		char name[32];
		uint64_t f = i * 104729 % files;
		struct dentry *d;

		snprintf(name, sizeof(name), "file-%06u.yaml", (unsigned)f);
		d = look(t, 2 + files + f / 1000, name, files + i);
		ino += tree_version_at(d->node, files + i)->born != 0;
	}
	took = stopwatch_s() - start;
	assert_int_equal(ino, MILLION);
	print_message("look-up of name and version at a past transaction: %.0f ns\n", took * 1e9 / MILLION);
	assert_true(per_file <= 220);   /* with the transaction and the event of each, 256 */
	assert_true(per_version <= 60); /* likewise 96 */
}

static void test_million_appends(void **state)
{
	struct tree *t = *state;
	struct version_extents scratch = {0};
	double start = stopwatch_s();
	struct extent e, out;
	uint64_t covered;

	assert_int_equal(one(t, 1, fix_create(2, 1, "log", S_IFREG)), 0);
	for (uint64_t i = 0; i < MILLION; i++) {
		struct change c = fix_content(2, 0, i * 200, 200, i + 1, &e);

		if (tree_reserve(t, &c, 1) || tree_apply(t, 2 + i, 1, &c))
			fail();
	}
	print_message("append to a file: %.2f M/s\n", MILLION / (stopwatch_s() - start) / 1e6);
	for (uint64_t i = 0; i < MILLION; i += 1009) {
		const struct version *v = tree_version_at(tree_node(t, 2), 2 + i);

		assert_int_equal(tree_extents(v, &scratch, i * 200, 1000, &out, 1, &covered), 1);
		assert_int_equal(out.position, i + 1);
		assert_true(tree_version_extends(v, tree_node(t, 2)->newest));
		assert_false(tree_version_extends(tree_node(t, 2)->newest, v));
	}
	assert_null(scratch.map.items); /* an append-only file needs no map of its own for the past */
	assert_true(stopwatch_s() - start < 250);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, new_tree, free_tree)
	const struct CMUnitTest tests[] = {
		TEST(test_root),
		TEST(test_names_have_limits),
		TEST(test_entry_of_one_transaction_is_invisible),
		TEST(test_newest_entry_since),
		TEST(test_newest_entry_until),
		TEST(test_directory_moves),
		TEST(test_mtime_tells_versions_apart),
		TEST(test_mtime_and_ctime_part_and_meet),
		TEST(test_times_of_a_directory),
		TEST(test_versions_of_long_ago),
		TEST(test_shrink_and_grow_reads_zeros),
		TEST(test_bad_extents),
		TEST(test_newborn_xattr_limit),
		TEST(test_million_renames),
		TEST(test_memory_and_speed),
		TEST(test_million_appends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
