/* SPDX-License-Identifier: MIT
 *
 * Restoring much: files of many pieces, many files, many attributes, and more than one transaction takes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "cmocka_all.h"
#include "session_fixture.h"

/* ---- large files ---- */

static const struct change *content_change(const struct record *r, uint64_t ino)
{
	for (uint32_t i = 0; i < r->change_count; i++)
		if (r->changes[i].type == CHANGE_CONTENT && r->changes[i].ino == ino)
			return &r->changes[i];
	return NULL;
}

static void make_pieces(struct engine *e, const char *path)
{
	char line[200];

	for (int i = 0; i < 500; i++) {
		snprintf(line, sizeof(line), "line %d of a log that grows and grows\n", i);
		assert_int_equal(fixture_append(e, path, line, strlen(line)), 0);
	}
}

/* Restores the file of pieces and tells what of its content the transaction changed. */
static void restore_pieces(struct engine *e, const char *path, const char *want, uint32_t *ret_extents)
{
	struct restore_result result;
	const struct change *c;
	struct record *r;
	size_t len;
	char *is;

	assert_int_equal(fixture_restore(e, "good", &result), 0);
	assert_int_equal(engine_load_record(e, engine_head_seq(e), &r), 0);
	c = content_change(r, fixture_ino(e, path));
	assert_non_null(c);
	*ret_extents = c->extent_count;
	record_free(r);
	assert_int_equal(fixture_read(e, path, SEQ_LIVE, &is, &len), 0);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(is, want, len);
	free(is);
}

/* What a restore of a file of many pieces costs is what was changed of it. */
static void test_pieces(void **state)
{
	static const char log[] = S1 "/state/log", table[] = S1 "/state/table";
	struct engine *e = fixture_open_session(*state);
	uint32_t extents;
	size_t len;
	char *then;

	make_pieces(e, log);
	make_pieces(e, table);
	assert_int_equal(fixture_read(e, log, SEQ_LIVE, &then, &len), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(fixture_append(e, log, "later\n", 6), 0);
	restore_pieces(e, log, then, &extents);
	assert_int_equal(extents, 0); /* cut off */
	/* Written over in places: only those come back. */
	assert_int_equal(fixture_patch(e, table, true, 1000, "PATCHED", 7), 0);
	assert_int_equal(fixture_patch(e, table, true, 30000, "BEHIND", 6), 0);
	restore_pieces(e, table, then, &extents);
	assert_true(extents && extents < 4);
	/* Replaced whole: all of it. */
	fixture_put(e, table, "short\n");
	restore_pieces(e, table, then, &extents);
	assert_int_equal(extents, 500);
	free(then);
	fixture_close_ok(e);
}

/* ---- how much ---- */

static void make_files(struct engine *e, int count, const char *text)
{
	char path[100];

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), S1 "/state/file-%05d", i);
		fixture_put(e, path, text);
	}
}

/* More than what was reserved at first, and more than the log names one by one. */
static void test_many_files(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct restore_result result;
	uint64_t head;

	make_files(e, 3500, "then\n");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	make_files(e, 3500, "now\n");
	head = engine_head_seq(e);
	assert_int_equal(fixture_restore(e, "good", &result), 0);
	assert_int_equal(engine_head_seq(e), head + 2);
	assert_int_equal(result.files_restored, 3500);
	assert_string_equal(fixture_text(e, S1 "/state/file-03499"), "then\n");
	assert_int_equal(fixture_count_session_events(e, "s1", "\"operation\":\"restore\""), 1);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"files_restored\":3500,\"files_removed\":0"), 1);
	fixture_close_ok(e);
}

static int count_xattr(void *arg, const char *name, size_t len)
{
	size_t *n = arg;

	(void)name;
	(void)len;
	(*n)++;
	return 0;
}

static size_t xattrs_of(struct engine *e, const char *path)
{
	size_t n = 0;

	engine_lock(e);
	(void)tree_xattr_list(tree_resolve(engine_tree(e), path, SEQ_LIVE)->newest->attrs, count_xattr, &n);
	engine_unlock(e);
	return n;
}

static void test_many_xattrs(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct restore_result result;
	char path[100], name[24];

	make_files(e, 100, "then\n");
	for (int i = 0; i < 100; i++)
		for (int k = 0; k < 5; k++) {
			snprintf(path, sizeof(path), S1 "/state/file-%05d", i);
			snprintf(name, sizeof(name), "user.%d-%d", i, k);
			assert_int_equal(fixture_setxattr(e, path, name, path), 0);
		}
	for (int k = 0; k < 300; k++) { /* and one that has many */
		snprintf(name, sizeof(name), "user.%d", k);
		assert_int_equal(fixture_setxattr(e, S1 "/state", name, "x"), 0);
	}
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	for (int k = 0; k < 300; k++) {
		snprintf(name, sizeof(name), "user.%d", k);
		assert_int_equal(fixture_setxattr(e, S1 "/state", name, NULL), 0);
	}
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), S1 "/state/file-%05d", i);
		for (int k = 1; k < 5; k++) {
			snprintf(name, sizeof(name), "user.%d-%d", i, k);
			assert_int_equal(fixture_setxattr(e, path, name, NULL), 0);
		}
		assert_int_equal(fixture_setxattr(e, path, "user.new", "x"), 0);
		snprintf(name, sizeof(name), "notes-%d", i);
		if (i % 2) /* comes back as a copy */
			assert_int_equal(fixture_rename(e, path, name, 0), 0);
	}
	assert_int_equal(fixture_restore(e, "good", &result), 0);
	assert_int_equal(result.files_restored, 100);
	assert_int_equal(
		fixture_count_session_events(e, "s1", "\"event_type\":\"xattr_changed\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\""), 50);
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), S1 "/state/file-%05d", i);
		assert_int_equal(xattrs_of(e, path), 5);
	}
	assert_int_equal(xattrs_of(e, S1 "/state"), 300);
	fixture_close_ok(e);
}

static void test_too_many_files(void **state)
{
	struct engine *e = fixture_open_session(*state); /* whose frames hold at most 512 KiB */
	struct restore_result result;
	struct request q;
	uint64_t head;

	make_files(e, 6000, "then\n");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	make_files(e, 6000, "now\n");
	head = engine_head_seq(e);
	fixture_request(&q);
	assert_int_equal(checkpoint_restore(e, &q, "s1", "good", &result), -EFBIG);
	assert_non_null(strstr(q.reason.text, "since good"));
	assert_int_equal(engine_head_seq(e), head + 1); /* the checkpoint before */
	assert_string_equal(fixture_text(e, S1 "/state/file-00000"), "now\n");
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_pieces),
		FIXTURE_TEST(test_many_files),
		FIXTURE_TEST(test_many_xattrs),
		FIXTURE_TEST(test_too_many_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
