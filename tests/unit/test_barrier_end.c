/* SPDX-License-Identifier: MIT
 *
 * Barriers that are removed, or whose mount ends: what is said of them, and that they go on.
 */
#include <errno.h>
#include <string.h>

#include "../../core/barrier_internal.h"
#include "barrier_fixture.h"
#include "cmocka_all.h"
#include "env_mem.h"
#include "upkeep.h"

/* ---- removal ---- */

static unsigned told;

static void observe(void *arg)
{
	(void)arg;
	told++;
}

static void test_removed_in_progress(void **state)
{
	struct engine *e = barrier_fixture_open(*state);
	uint64_t ino;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	ino = fixture_ino(e, SYNC "build");
	fixture_put(e, SYNC "build/timeout", "100");
	fixture_put(e, SYNC "build/a", "");
	told = 0;
	barriers_set_observer(e, observe, NULL);
	assert_int_equal(fixture_rmdir(e, SYNC "build"), 0);
	barriers_set_observer(e, NULL, NULL);
	assert_int_equal(told, 1);
	assert_int_equal(fixture_ino(e, SYNC "build"), 0);
	assert_string_equal(barrier_fixture_result_of(e, ino), "failed: removed\n");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "status"), "failed");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "reason"), "removed");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "missing"), "b");
	assert_int_equal(fixture_count_events(e, "\"sync_id\":\"build\",\"missing\":[\"b\"],\"reason\":\"removed\""), 1);
	/* the same name again is another barrier, with the record in its place */
	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "status"), "in_progress");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "missing"), "a b");
	assert_string_equal(barrier_fixture_result_of(e, ino), "failed: removed\n");
	assert_string_equal(barrier_fixture_result(e, "build"), "");
	assert_int_equal(fixture_rmdir(e, SYNC "nothing"), -ENOENT);
	assert_int_equal(fixture_rmdir(e, SYNC "build.yaml"), -ENOTDIR);
	fixture_close_ok(e);
}

static void test_removed_after_its_end(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/a", "");
	fixture_put(e, SYNC "build/b", "");
	(void)upkeep_run(e);
	assert_int_equal(fixture_rmdir(e, SYNC "build"), 0);
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "status"), "completed");
	assert_int_equal(fixture_count_events(e, "sync_failed"), 0);
	fixture_close_ok(e);
}

/* As rm -r goes about it, records first: nothing comes back, and the session can go. */
static void test_session_goes(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/a", "");
	assert_int_equal(fixture_unlink(e, SYNC "build.yaml"), 0);
	fixture_later(*state, e, 2);
	assert_int_equal(fixture_ino(e, SYNC "build.yaml"), 0);
	assert_int_equal(fixture_unlink(e, SYNC "build/a"), 0);
	assert_int_equal(fixture_rmdir(e, SYNC "build"), 0);
	assert_int_equal(fixture_ino(e, SYNC "build.yaml"), 0);
	assert_int_equal(fixture_unlink(e, AGENTS "a.yaml"), 0);
	assert_int_equal(fixture_unlink(e, AGENTS "b.yaml"), 0);
	assert_int_equal(fixture_count_events(e, "\"reason\":\"removed\""), 1);
	fixture_close_ok(e);
}

static void test_end_without_a_record(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(fixture_unlink(e, SYNC "build.yaml"), 0);
	fixture_put(e, SYNC "build/a", "");
	fixture_put(e, SYNC "build/b", "");
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), "completed\n");
	assert_int_equal(fixture_ino(e, SYNC "build.yaml"), 0);
	assert_int_equal(fixture_count_events(e, "agents_synchronized"), 1);
	fixture_close_ok(e);
}

/* ---- restarts ---- */

static void test_goes_on_after_a_restart(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "acks"), 0);
	fixture_put(e, SYNC "acks/a", "");
	assert_int_equal(fixture_mkdir(e, SYNC "time"), 0);
	fixture_put(e, SYNC "time/timeout", "60");
	fixture_put(e, SYNC "time/participants", "x b");
	assert_int_equal(fixture_mkdir(e, SYNC "over"), 0);
	fixture_put(e, SYNC "over/a", "");
	fixture_put(e, SYNC "over/b", "");
	(void)upkeep_run(e);
	assert_int_equal(fixture_mkdir(e, SYNC "late"), 0);
	fixture_put(e, SYNC "late/a", "");
	fixture_put(e, SYNC "late/b", ""); /* no upkeep any more before the end */
	e = fixture_reopen(*state, e);
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "over"), "completed\n");
	assert_string_equal(barrier_fixture_result(e, "late"), "completed\n");
	assert_string_equal(barrier_fixture_result(e, "acks"), "");
	fixture_put(e, SYNC "acks/b", "");
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "acks"), "completed\n");
	env_mem_advance(*state, 50 * NS_PER_S);
	e = fixture_reopen(*state, e);
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "time"), "");
	fixture_later(*state, e, 11); /* counted from its start, not from the mount */
	assert_string_equal(barrier_fixture_result(e, "time"), "failed: missing x b\n");
	e = fixture_reopen(*state, e);
	assert_string_equal(barrier_fixture_result(e, "time"), "failed: missing x b\n");
	assert_string_equal(barrier_fixture_result(e, "acks"), "completed\n");
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"agents_synchronized\""), 3);
	fixture_close_ok(e);
}

static void test_time_up_while_unmounted(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	env_mem_advance(*state, 1000 * NS_PER_S);
	e = fixture_reopen(*state, e);
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), "failed: missing a b\n");
	fixture_close_ok(e);
}

/* Without its record, or with a spoiled one, a barrier goes on by what its directory says. */
static void test_restart_without_a_record(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "gone"), 0);
	assert_int_equal(fixture_unlink(e, SYNC "gone.yaml"), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "bad"), 0);
	fixture_put(e, SYNC "bad.yaml", "- 1\n"); /* not through a mount */
	e = fixture_reopen(*state, e);
	(void)upkeep_run(e);
	for (int i = 0; i < 2; i++) {
		char path[] = SYNC "gone/?";

		path[sizeof(path) - 2] = (char)('a' + i);
		fixture_put(e, path, "");
	}
	fixture_put(e, SYNC "bad/a", "");
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "gone"), "completed\n");
	assert_string_equal(barrier_fixture_result(e, "bad"), "");
	fixture_later(*state, e, 301);
	assert_string_equal(barrier_fixture_result(e, "bad"), "failed: missing b\n");
	assert_string_equal(fixture_member(e, SYNC "bad.yaml", "reason"), "timeout");
	fixture_close_ok(e);
}

static void test_poisoned(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	env_mem_fail_syncs(*state, EIO);
	assert_int_equal(fixture_save_text(e, SYNC "build/a", ""), -EIO);
	assert_string_equal(barrier_fixture_result(e, "build"), strerror(EIO));
	assert_int_equal(barriers_upkeep(e, env_monotonic_ns(*state) + 400 * NS_PER_S), INT64_MAX);
	told = 0;
	barriers_set_observer(e, observe, NULL);
	(void)upkeep_run(e);
	assert_int_equal(told, 1); /* so that readers hear of it */
	(void)engine_close(e);
}

/* "completed" is acted upon: it is not said of an end that may be lost. */
static void test_end_that_is_not_safe_is_not_told(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/a", "");
	fixture_put(e, SYNC "build/b", "");
	env_mem_fail_syncs(*state, EIO);
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), strerror(EIO));
	(void)engine_close(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_removed_in_progress),
		FIXTURE_TEST(test_removed_after_its_end),
		FIXTURE_TEST(test_session_goes),
		FIXTURE_TEST(test_end_without_a_record),
		FIXTURE_TEST(test_goes_on_after_a_restart),
		FIXTURE_TEST(test_time_up_while_unmounted),
		FIXTURE_TEST(test_restart_without_a_record),
		FIXTURE_TEST(test_poisoned),
		FIXTURE_TEST(test_end_that_is_not_safe_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
