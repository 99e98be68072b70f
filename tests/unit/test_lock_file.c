/* SPDX-License-Identifier: MIT
 *
 * Lock files: whose they are by the process number written in them, what a mount makes of those it finds, tokens.
 */
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "env_mem.h"
#include "lock_fixture.h"
#include "upkeep.h"

/* ---- processes ---- */

static void test_owner_is_the_process_written_in_it(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	lock_fixture_living(100, 0);
	fixture_put(e, LOCKS "build", "100\n");
	assert_int_equal(lock_fixture_info(e, "build").owner, LOCK_OWNER_PROCESS);
	assert_int_equal(lock_fixture_info(e, "build").pid, 100);
	assert_true(lock_fixture_watched(e, 100));
	lock_fixture_process_ends(e, 99);
	lock_fixture_process_ends(e, OWN_PID); /* who wrote it is not who owns it */
	assert_true(lock_fixture_held(e, "build"));
	lock_fixture_process_ends(e, 100);
	assert_false(lock_fixture_held(e, "build"));
	assert_false(lock_fixture_watched(e, 100));
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"lock_released\""), 1);
	assert_int_equal(fixture_count_events(e, "\"name\":\"build\",\"owner\":\"process 100\",\"token\":"), 1);
	assert_int_equal(fixture_count_events(e, "\"reason\":\"process_ended\""), 1);
	fixture_close_ok(e);
}

static void expect_pid(struct engine *e, const char *name, const char *text, uint32_t pid)
{
	char path[64];
	struct lock_info i;

	snprintf(path, sizeof(path), LOCKS "%s", name);
	fixture_put(e, path, text);
	i = lock_fixture_info(e, name);
	if ((i.owner == LOCK_OWNER_PROCESS) != (pid != 0) || (pid && i.pid != pid))
		fail_msg("'%s' is taken for owner %d, process %u", text, i.owner, i.pid);
}

static void test_what_a_process_number_looks_like(void **state)
{
	struct engine *e = lock_fixture_open(*state);
	char long_text[6000];

	lock_fixture_living(100, 0);
	expect_pid(e, "a", "100", 100);
	expect_pid(e, "b", "100\n", 100);
	expect_pid(e, "c", "  100 \t\r\nand more\n", 100);
	expect_pid(e, "d", "", 0);
	expect_pid(e, "e", "\n100\n", 0);
	expect_pid(e, "f", "100 bash\n", 0);
	expect_pid(e, "g", "0100\n", 0);
	expect_pid(e, "h", "-100\n", 0);
	expect_pid(e, "i", "0\n", 0);
	expect_pid(e, "j", "4294967396\n", 0); /* 100, were it cut to 32 bits */
	expect_pid(e, "k", "1767225600\n", 0); /* a time */
	expect_pid(e, "l", "pid: 100\n", 0);
	memset(long_text, ' ', sizeof(long_text));
	memcpy(long_text, "100\n", 4);
	long_text[sizeof(long_text) - 1] = '\0';
	expect_pid(e, "m", long_text, 0);
	fixture_close_ok(e);
}

static void test_number_that_no_process_has(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	fixture_put(e, LOCKS "build", "100\n");
	assert_int_equal(lock_fixture_info(e, "build").owner, LOCK_OWNER_CREATOR);
	assert_false(lock_fixture_watched(e, 100));
	lock_fixture_process_ends(e, 100);
	assert_true(lock_fixture_held(e, "build"));
	fixture_put(e, LOCKS "own", "4242\n"); /* its writer has lived, whatever became of it since */
	assert_true(lock_fixture_watched(e, OWN_PID));
	lock_fixture_process_ends(e, OWN_PID);
	assert_false(lock_fixture_held(e, "own"));
	fixture_close_ok(e);
}

/* A writer without a number is one whose numbers mean nothing here. */
static void test_number_from_elsewhere(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	lock_fixture_living(7, 0);
	lock_fixture_put_as(e, "inside", "7\n", 0, "", "");
	assert_int_equal(lock_fixture_info(e, "inside").owner, LOCK_OWNER_CREATOR);
	lock_fixture_process_ends(e, 7);
	assert_true(lock_fixture_held(e, "inside"));
	fixture_close_ok(e);
}

static void test_handed_over(void **state)
{
	struct engine *e = lock_fixture_open(*state);
	uint64_t token;

	lock_fixture_living(100, 200);
	fixture_put(e, LOCKS "build", "100\n");
	token = lock_fixture_info(e, "build").token;
	fixture_put(e, LOCKS "build", "200\n");
	assert_int_equal(lock_fixture_info(e, "build").token, token);
	lock_fixture_process_ends(e, 100);
	assert_true(lock_fixture_held(e, "build"));
	lock_fixture_process_ends(e, 200);
	assert_false(lock_fixture_held(e, "build"));
	fixture_close_ok(e);
}

/* The owner's end is known, and before upkeep acts on it somebody else writes himself into the file. */
static void test_handed_over_at_the_last_moment(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	lock_fixture_living(100, 200);
	fixture_put(e, LOCKS "build", "100\n");
	upkeep_process_ended(e, 100);
	fixture_put(e, LOCKS "build", "200\n");
	(void)upkeep_run(e);
	assert_true(lock_fixture_held(e, "build"));
	assert_int_equal(fixture_unlink(e, LOCKS "build"), 0);
	fixture_put(e, LOCKS "build", "100\n");
	upkeep_process_ended(e, 100);
	assert_int_equal(fixture_unlink(e, LOCKS "build"), 0);
	fixture_put(e, LOCKS "build", "200\n");
	(void)upkeep_run(e);
	assert_true(lock_fixture_held(e, "build"));
	assert_int_equal(fixture_count_events(e, "lock_released"), 0);
	fixture_close_ok(e);
}

static void test_attributes_are_no_new_owner(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	lock_fixture_living(100, 0);
	fixture_put(e, LOCKS "build", "100\n");
	lock_fixture_living(0, 0); /* dead already, but nobody knows yet */
	assert_int_equal(fixture_chmod(e, LOCKS "build", 0600), 0);
	lock_fixture_process_ends(e, 100);
	assert_false(lock_fixture_held(e, "build"));
	fixture_close_ok(e);
}

/* Only what is directly in the directory, and only files. */
static void test_what_is_no_lock_file(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	lock_fixture_living(100, 0);
	assert_int_equal(fixture_mkdir(e, LOCKS "dir"), 0);
	fixture_put(e, LOCKS "dir/a", "100\n");
	fixture_put(e, "state/b", "100\n");
	assert_int_equal(fixture_symlink(e, "100", LOCKS "link"), 0);
	assert_false(lock_fixture_watched(e, 100));
	lock_fixture_process_ends(e, 100);
	assert_true(lock_fixture_held(e, "dir/a"));
	assert_true(lock_fixture_held(e, "link"));
	/* moved there it becomes one, moved away it is none any more */
	assert_int_equal(fixture_rename(e, "state/b", LOCKS "b", 0), 0);
	assert_true(lock_fixture_watched(e, 100));
	assert_int_equal(fixture_rename(e, LOCKS "b", "state/b", 0), 0);
	assert_false(lock_fixture_watched(e, 100));
	assert_int_equal(lock_file_token(e, fixture_ino(e, "state/b")), 0);
	fixture_close_ok(e);
}

/* ln TEMPORARY LOCK: also atomic, and an old way. */
static void test_taken_by_a_link(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	lock_fixture_living(100, 0);
	fixture_put(e, LOCKS "tmp.100", "100\n");
	assert_int_equal(fixture_link(e, LOCKS "tmp.100", LOCKS "build"), 0);
	assert_int_equal(fixture_unlink(e, LOCKS "tmp.100"), 0);
	assert_int_equal(lock_fixture_info(e, "build").pid, 100);
	assert_int_equal(fixture_link(e, LOCKS "build", LOCKS "also"), 0);
	lock_fixture_process_ends(e, 100);
	assert_false(lock_fixture_held(e, "build"));
	assert_false(lock_fixture_held(e, "also"));
	fixture_close_ok(e);
}

/* ---- restarts ---- */

static void test_found_at_the_next_mount(void **state)
{
	struct engine *e = lock_fixture_open(*state);
	int64_t taken_ns;

	lock_fixture_living(100, 200);
	fixture_put(e, LOCKS "dead", "100\n");
	fixture_put(e, LOCKS "alive", "200\n");
	fixture_put(e, LOCKS "reused", "300\n");
	lock_fixture_put_as(e, "touched", "", OWN_PID, "", "");
	taken_ns = lock_fixture_info(e, "reused").taken_ns;
	fixture_close_ok(e);
	env_mem_advance(*state, 60 * NS_PER_S);
	e = lock_fixture_open(*state);
	assert_true(lock_fixture_watched(e, 100));
	assert_true(lock_fixture_watched(e, 200));
	assert_true(lock_fixture_watched(e, 300));
	upkeep_process_seen(e, 200, taken_ns - 10 * NS_PER_S);
	upkeep_process_seen(e, 300, taken_ns + 30 * NS_PER_S); /* another one of that number */
	lock_fixture_process_ends(e, 100);
	assert_false(lock_fixture_held(e, "dead"));
	assert_true(lock_fixture_held(e, "alive"));
	assert_false(lock_fixture_held(e, "reused"));
	assert_true(lock_fixture_held(e, "touched"));
	lock_fixture_process_ends(e, 200);
	assert_false(lock_fixture_held(e, "alive"));
	fixture_close_ok(e);
}

/* ---- tokens ---- */

static void test_tokens_grow(void **state)
{
	struct engine *e = lock_fixture_open(*state);
	struct request q;
	struct tree_attr attr;
	uint64_t first, second;

	fixture_request(&q);
	assert_int_equal(engine_create(e, &q, fixture_ino(e, "state/.locks"), "newborn", 0644, &attr), 0);
	assert_int_equal(lock_file_token(e, attr.ino), 0);
	fixture_put(e, LOCKS "build", "x\n");
	first = lock_file_token(e, fixture_ino(e, LOCKS "build"));
	assert_int_equal(first, engine_head_seq(e));
	fixture_put(e, LOCKS "build", "y\n");
	assert_int_equal(lock_file_token(e, fixture_ino(e, LOCKS "build")), first);
	assert_int_equal(fixture_unlink(e, LOCKS "build"), 0);
	fixture_put(e, LOCKS "build", "x\n");
	second = lock_file_token(e, fixture_ino(e, LOCKS "build"));
	assert_true(second > first);
	assert_int_equal(fixture_rename(e, LOCKS "build", LOCKS "renamed", 0), 0);
	assert_true(lock_file_token(e, fixture_ino(e, LOCKS "renamed")) > second);
	assert_int_equal(lock_fixture_info(e, "renamed").token, lock_file_token(e, fixture_ino(e, LOCKS "renamed")));
	assert_int_equal(lock_file_token(e, fixture_ino(e, S1 "/session.yaml")), 0);
	fixture_close_ok(e);
	e = lock_fixture_open(*state);
	assert_true(lock_file_token(e, fixture_ino(e, LOCKS "renamed")) > second);
	fixture_close_ok(e);
}

static void test_list(void **state)
{
	struct engine *e = lock_fixture_open(*state);
	struct lock_info *all;
	size_t count;

	fixture_put(e, LOCKS "z", "");
	fixture_put(e, LOCKS "a", "");
	fixture_put(e, LOCKS "m \"x\"", "");
	assert_int_equal(lock_files_list(e, &all, &count), 0);
	assert_int_equal(count, 3);
	assert_string_equal(all[0].name, "a");
	assert_string_equal(all[1].name, "m \"x\"");
	assert_string_equal(all[2].name, "z");
	assert_string_equal(all[0].comm, "fixture");
	assert_int_equal(all[0].pid, OWN_PID);
	assert_int_equal(all[0].uid, 1000);
	for (size_t i = 0; i < count; i++)
		lock_info_release(&all[i]);
	free(all);
	fixture_close_ok(e);
}

/* No room for the release: again after a second, and then it works. */
static void test_release_without_room(void **state)
{
	struct engine *e = lock_fixture_open(*state);
	int64_t due_ns, now_ns;

	lock_fixture_living(100, 0);
	fixture_put(e, LOCKS "build", "100\n");
	env_mem_set_capacity(*state, 1);
	while (!fixture_append(e, "state/fill", "x", 1)) /* until the open segment is full, too */
		;
	upkeep_process_ended(e, 100);
	now_ns = env_monotonic_ns(*state);
	due_ns = upkeep_run(e);
	assert_true(lock_fixture_held(e, "build"));
	assert_in_range(due_ns - now_ns, 1, 2 * NS_PER_S);
	env_mem_set_capacity(*state, 0);
	env_mem_advance(*state, 2 * NS_PER_S);
	(void)upkeep_run(e);
	assert_false(lock_fixture_held(e, "build"));
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOCK_TEST(test_owner_is_the_process_written_in_it),
		LOCK_TEST(test_what_a_process_number_looks_like),
		LOCK_TEST(test_number_that_no_process_has),
		LOCK_TEST(test_number_from_elsewhere),
		LOCK_TEST(test_handed_over),
		LOCK_TEST(test_handed_over_at_the_last_moment),
		LOCK_TEST(test_attributes_are_no_new_owner),
		LOCK_TEST(test_what_is_no_lock_file),
		LOCK_TEST(test_taken_by_a_link),
		LOCK_TEST(test_found_at_the_next_mount),
		LOCK_TEST(test_tokens_grow),
		LOCK_TEST(test_list),
		LOCK_TEST(test_release_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
