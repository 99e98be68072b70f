/* SPDX-License-Identifier: MIT
 *
 * Drafts when the daemon dies, and of files that lose their name: what is listed, published or kept afterwards, once and no more.
 */
#include <stdio.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "draft_fixture.h"
#include "env_mem.h"

/* ---- death of the daemon ---- */

static void test_appender_truncates_and_the_daemon_dies(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	d = draft_world_open(w, "a.log", DRAFT_APPEND);
	draft_world_write(w, d, 0, "two\n");
	assert_int_equal(draft_truncate(d, &w->q.actor, 6), 0);
	draft_world_write(w, d, 0, "!\n");
	draft_world_kill(w);
	/* The draft's own bytes at their place; what is below shows when it is published. */
	struct draft_info *list;
	char bytes[16];
	size_t count;

	assert_int_equal(draft_list(w->e, &list, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(list[0].size, 8);
	assert_int_equal(draft_read_by_id(w->e, list[0].id, 0, bytes, sizeof(bytes)), 8);
	assert_memory_equal(bytes, "\0\0\0\0tw!\n", 8);
	draft_world_publish_pending(w, list[0].id);
	draft_info_release(&list[0]);
	free(list);
	assert_string_equal(fixture_text(w->e, "a.log"), "one\ntw!\n");
}

static void test_appender_empties_and_the_daemon_dies(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	d = draft_world_open(w, "a.log", DRAFT_APPEND);
	draft_world_write(w, d, 0, "two\n");
	assert_int_equal(draft_truncate(d, &w->q.actor, 0), 0);
	draft_world_write(w, d, 0, "new\n");
	draft_world_kill(w);
	draft_world_publish_pending(w, draft_world_expect_pending(w, "a.log", "new\n"));
	assert_string_equal(fixture_text(w->e, "a.log"), "new\n");
}

static void test_shared_draft_of_the_dead_and_of_the_living(void **state)
{
	struct draft_world *w = *state;
	struct draft_info *list;
	struct draft *d;
	size_t count;
	uint64_t id = 0;

	assert_int_equal(fixture_save_text(w->e, "db", "0000000000"), 0);
	d = draft_world_open(w, "db", DRAFT_SHARED);
	draft_world_write(w, d, 0, "R");
	draft_world_kill(w);
	d = draft_world_open(w, "db", DRAFT_SHARED);
	draft_world_write(w, d, 5, "LIVE");
	assert_int_equal(draft_list(w->e, &list, &count), 0);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		if (list[i].recovered)
			id = list[i].id;
		draft_info_release(&list[i]);
	}
	free(list);
	fixture_request(&w->q);
	assert_int_equal(draft_publish_recovered(w->e, id, &w->q), 0);
	assert_string_equal(fixture_text(w->e, "db"), "R000000000");
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "db"), "R0000LIVE0");
}

/* The end of a published draft was not on the disk, the snapshot that knows of it was. */
static void test_no_phantom_after_a_snapshot(void **state)
{
	char line[6000];

	(void)state;
	for (uint64_t seed = 1; seed <= 24; seed++) {
		struct env *env = env_mem_new(seed), *after;
		struct draft_world w = {.env = env, .e = fixture_open_ok(env)};

		draft_world_letters(line, sizeof(line));
		assert_int_equal(fixture_save_text(w.e, "a.log", "one\n"), 0);
		for (int i = 0; i < 3; i++)
			assert_int_equal(fixture_append(w.e, "a.log", line, sizeof(line)), 0);
		assert_int_equal(engine_close(w.e), 0);
		after = env_mem_power_cycle(env, seed % 2 ? ENV_MEM_RANDOM : ENV_MEM_TORN, seed);
		env_mem_free(env);
		w.env = after;
		w.e = fixture_open_ok(after);
		assert_int_equal(draft_world_pending_count(&w), 0);
		assert_int_equal(engine_close(w.e), 0);
		env_mem_free(after);
	}
}

/* Drafts that ended without a transaction of their own: one refused, and one of a temporary file. */
static void end_without_publishing(struct draft_world *w)
{
	char line[6000];
	struct draft *d = draft_world_refused(w);

	draft_world_letters(line, sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	draft_close(d);
	d = draft_world_create(w, "tmp", DRAFT_WHOLE);
	draft_world_write(w, d, 0, line);
	assert_int_equal(engine_unlink(w->e, &w->q, TREE_ROOT_INO, "tmp"), 0);
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
}

static int remove_index(void *arg, const char *name, bool is_dir)
{
	char path[64];

	(void)is_dir;
	snprintf(path, sizeof(path), "index/%s", name);
	return env_unlink(arg, path);
}

/* No index, and power loss has taken the ends of drafts but not the drafts: history says that they are over. */
static void test_no_phantom_without_an_index(void **state)
{
	size_t open_ones = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct env *env = env_mem_new(seed), *after;
		struct draft_world w = {.env = env, .e = fixture_open_ok(env)};
		struct draft *d;

		end_without_publishing(&w);
		d = draft_world_create(&w, "open", DRAFT_WHOLE);
		draft_world_write(&w, d, 0, "written, not published");
		assert_int_equal(fixture_save_text(w.e, "next", "x"), 0);
		after = env_mem_power_cycle(env, ENV_MEM_RANDOM, seed);
		fixture_kill(env, w.e);
		env_mem_free(env);
		(void)env_list(after, "index", remove_index, after);
		w.env = after;
		w.e = fixture_open_ok(after);
		assert_in_range(draft_world_pending_count(&w), 0, 1);
		if (draft_world_pending_count(&w)) {
			(void)draft_world_expect_pending(&w, "open", "written, not published");
			open_ones++;
		}
		assert_int_equal(engine_close(w.e), 0);
		env_mem_free(after);
	}
	assert_true(open_ones > 0); /* what was open is told from them */
}

/* It died between the snapshot and the end of the draft. */
static void test_no_phantom_after_a_snapshot_and_death(void **state)
{
	struct draft_world *w = *state;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	assert_int_equal(fixture_append(w->e, "a.log", "two\n", 4), 0);
	assert_int_equal(index_write(w->e), 0);
	draft_world_kill(w);
	assert_int_equal(draft_world_pending_count(w), 0);
	assert_string_equal(fixture_text(w->e, "a.log"), "one\ntwo\n");
}

/* ---- an inode without a name ---- */

static void lose_name(struct draft_world *w, const char *name)
{
	struct request q;

	fixture_request(&q);
	q.actor.pid = 1; /* somebody else */
	assert_int_equal(engine_unlink(w->e, &q, TREE_ROOT_INO, name), 0);
}

static void test_bytes_of_a_removed_file_are_kept_under_its_path(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "old", "x"), 0);
	assert_int_equal(fixture_rename(w->e, "old", "f", 0), 0);
	d = draft_world_open(w, "f", DRAFT_WHOLE);
	draft_world_write(w, d, 0, "typed");
	lose_name(w, "f");
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	draft_world_expect_kept(w, "f", "typed");
	assert_string_equal(fixture_text(w->e, "f"), "(none)");
}

/* As through /proc/PID/fd. */
static void test_bytes_for_a_file_removed_before_are_kept_under_its_path(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;
	uint64_t ino;

	assert_int_equal(fixture_save_text(w->e, "f", "x"), 0);
	ino = fixture_ino(w->e, "f");
	assert_int_equal(fixture_unlink(w->e, "f"), 0);
	fixture_request(&w->q);
	assert_int_equal(draft_open(w->e, ino, DRAFT_WHOLE, &w->q.actor, &d), 0);
	draft_world_write(w, d, 0, "typed");
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	draft_world_expect_kept(w, "f", "typed");
}

static void test_bytes_of_a_removed_newborn_are_kept_under_its_path(void **state)
{
	struct draft_world *w = *state;
	struct draft *d = draft_world_create(w, "n", DRAFT_WHOLE);

	draft_world_write(w, d, 0, "typed");
	lose_name(w, "n");
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	draft_world_expect_kept(w, "n", "typed");
}

static void test_bytes_of_a_replaced_newborn_are_kept_under_its_path(void **state)
{
	struct draft_world *w = *state;
	struct draft *d = draft_world_create(w, "n", DRAFT_WHOLE);

	draft_world_write(w, d, 0, "typed");
	assert_int_equal(fixture_save_text(w->e, "tmp", "other"), 0);
	assert_int_equal(fixture_rename(w->e, "tmp", "n", 0), 0);
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	draft_world_expect_kept(w, "n", "typed");
	assert_string_equal(fixture_text(w->e, "n"), "other");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRAFT_TEST(test_appender_truncates_and_the_daemon_dies),
		DRAFT_TEST(test_appender_empties_and_the_daemon_dies),
		DRAFT_TEST(test_shared_draft_of_the_dead_and_of_the_living),
		cmocka_unit_test(test_no_phantom_after_a_snapshot),
		DRAFT_TEST(test_no_phantom_after_a_snapshot_and_death),
		cmocka_unit_test(test_no_phantom_without_an_index),
		DRAFT_TEST(test_bytes_for_a_file_removed_before_are_kept_under_its_path),
		DRAFT_TEST(test_bytes_of_a_removed_file_are_kept_under_its_path),
		DRAFT_TEST(test_bytes_of_a_removed_newborn_are_kept_under_its_path),
		DRAFT_TEST(test_bytes_of_a_replaced_newborn_are_kept_under_its_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
