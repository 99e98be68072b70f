/* SPDX-License-Identifier: MIT
 *
 * Drafts that append, and change their mind.
 */
#include <errno.h>
#include <string.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "draft_fixture.h"
#include "env_mem.h"

/* ---- appending ---- */

static void test_append_after_a_long_unfinished_line(void **state)
{
	static const char next[] = "\n{\"x\":1}\n";
	struct draft_world *w = *state;
	struct buf text = BUF_INIT;

	for (int i = 0; i < 3000; i++)
		buf_printf(&text, "{\"line\":%d,\"pad\":\"xxxxxxxxxxxxxxxxx\"}\n", i);
	buf_append_str(&text, "{\"long\":\"");
	for (int i = 0; i < 5000; i++)
		buf_append(&text, "y", 1);
	buf_append_str(&text, "\"}");
	assert_int_equal(fixture_save(w->e, "l.jsonl", text.data, text.len), 0);
	assert_int_equal(fixture_append(w->e, "l.jsonl", "}\n", 2), -EBADMSG); /* the line is looked at whole */
	assert_int_equal(fixture_append(w->e, "l.jsonl", next, strlen(next)), 0);
	buf_append_str(&text, next);
	draft_world_expect_content(w, "l.jsonl", text.data, text.len);
	buf_release(&text);
}

static void test_appender_appends_again_after_truncating(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	d = draft_world_open(w, "a.log", DRAFT_APPEND);
	assert_int_equal(draft_truncate(d, &w->q.actor, 0), 0);
	draft_world_write(w, d, 0, "a1\n");
	draft_world_write(w, d, 0, "a2\n"); /* at the end, not at offset 0 */
	assert_int_equal(draft_world_commit(w, d, 0), 0);
	assert_string_equal(fixture_text(w->e, "a.log"), "a1\na2\n");
	assert_int_equal(fixture_append(w->e, "a.log", "other\n", 6), 0);
	draft_world_write(w, d, draft_size(d), "a3\n");
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "a.log"), "a1\na2\nother\na3\n");
}

static void test_appender_appends_again_after_shortening(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\ntwo\n"), 0);
	d = draft_world_open(w, "a.log", DRAFT_APPEND);
	draft_world_write(w, d, 0, "a1\n");
	assert_int_equal(draft_truncate(d, &w->q.actor, 4), 0);
	assert_int_equal(draft_world_commit(w, d, 0), 0);
	assert_int_equal(fixture_append(w->e, "a.log", "other\n", 6), 0);
	draft_world_write(w, d, 4, "a2\n");
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "a.log"), "one\nother\na2\n");
}

/* A truncation that could not be noted down changed nothing. */
static void test_appender_fails_to_truncate(void **state)
{
	struct draft_world *w = *state;
	struct env_mem_stats now;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	d = draft_world_open(w, "a.log", DRAFT_APPEND);
	draft_world_write(w, d, 0, "a1\n");
	env_mem_stats(w->env, &now);
	env_mem_fail_at(w->env, now.ops + 1, ENOSPC);
	assert_int_equal(draft_truncate(d, &w->q.actor, 2), -ENOSPC);
	assert_int_equal(draft_kind_of(d), DRAFT_APPEND);
	draft_world_write(w, d, 0, "a2\n");
	draft_world_kill(w);
	draft_world_publish_pending(w, draft_world_expect_pending(w, "a.log", "a1\na2\n"));
	assert_string_equal(fixture_text(w->e, "a.log"), "one\na1\na2\n");
}

static void test_append_beyond_the_largest_file(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	d = draft_world_open(w, "a.log", DRAFT_APPEND);
	assert_int_equal(draft_truncate(d, &w->q.actor, FILE_BYTES_MAX), 0);
	assert_int_equal(draft_write(d, &w->q.actor, 0, "more", 4), -EFBIG);
	assert_int_equal(draft_truncate(d, &w->q.actor, 4), 0);
	draft_world_write(w, d, 0, "more");
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "a.log"), "one\nmore");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRAFT_TEST(test_append_after_a_long_unfinished_line),
		DRAFT_TEST(test_appender_appends_again_after_truncating),
		DRAFT_TEST(test_appender_appends_again_after_shortening),
		DRAFT_TEST(test_appender_fails_to_truncate),
		DRAFT_TEST(test_append_beyond_the_largest_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
