/* SPDX-License-Identifier: MIT
 *
 * For whom barriers wait and how long: lists of participants, time limits, participants that die or leave.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../core/barrier_internal.h"
#include "barrier_fixture.h"
#include "cmocka_all.h"
#include "upkeep.h"

/* ---- whom it waits for, and how long ---- */

static void test_participants_are_named(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/participants", "# the two\nb\nstranger\n");
	assert_int_equal(fixture_save_text(e, SYNC "build/a", ""), -EPERM); /* it counts before close returns */
	fixture_put(e, SYNC "build/stranger", "");
	(void)upkeep_run(e);
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "participants"), "b stranger");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "unregistered"), "stranger");
	fixture_put(e, SYNC "build/participants", "\n");
	fixture_later(*state, e, 2);
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "participants"), "a b");
	fixture_put(e, SYNC "build/participants", "stranger");
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), "completed\n");
	fixture_close_ok(e);
}

static void test_list_that_goes_away(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/participants", "x");
	assert_int_equal(fixture_unlink(e, SYNC "build/participants"), 0);
	fixture_put(e, SYNC "build/a", "");
	fixture_put(e, SYNC "build/b", "");
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), "completed\n");
	fixture_close_ok(e);
}

static void test_nobody_to_wait_for(void **state)
{
	struct engine *e = fixture_open_ok(*state);

	assert_int_equal(fixture_mkdir(e, S1), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "none"), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "some"), 0);
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "none"), "");
	fixture_put(e, SYNC "some/participants", "x");
	fixture_later(*state, e, BARRIER_EMPTY_GRACE_S);
	assert_string_equal(barrier_fixture_result(e, "none"), "completed\n");
	assert_string_equal(barrier_fixture_result(e, "some"), "");
	assert_int_equal(fixture_count_events(e, "\"sync_id\":\"none\",\"agent_count\":0"), 1);
	fixture_close_ok(e);
}

/* A thousand, with long names: more than a frame holds without being asked for. */
static void test_many_participants(void **state)
{
	struct engine *e = barrier_fixture_open(*state);
	struct buf list = BUF_INIT;
	char *record;
	size_t len;

	for (int i = 0; i < 1000; i++)
		buf_printf(&list,
			"participant-%04d-of-the-thousand-whose-names-take-a-hundred-bytes-each-as-names-of-machines-"
			"may-do-abcdef\n",
			i);
	assert_int_equal(fixture_mkdir(e, SYNC "many"), 0);
	assert_int_equal(fixture_save(e, SYNC "many/participants", list.data, list.len), 0);
	fixture_later(*state, e, 301);
	assert_int_equal(fixture_read(e, SYNC "many.yaml", SEQ_LIVE, &record, &len), 0);
	assert_non_null(strstr(record, "participant-0999"));
	free(record);
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"sync_failed\""), 1);
	assert_int_equal(fixture_mkdir(e, SYNC "more"), 0);
	assert_int_equal(fixture_save(e, SYNC "more/participants", list.data, list.len), 0);
	assert_int_equal(fixture_rmdir(e, SYNC "more"), 0);
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"sync_failed\""), 2);
	buf_release(&list);
	fixture_close_ok(e);
}

static void test_timeout(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "long"), 0);
	assert_int_equal(fixture_mkdir(e, SYNC "short"), 0);
	fixture_put(e, SYNC "short/timeout", "10\n");
	fixture_put(e, SYNC "short/a", "");
	(void)upkeep_run(e);
	fixture_later(*state, e, 9);
	assert_string_equal(barrier_fixture_result(e, "short"), "");
	assert_string_equal(fixture_member(e, SYNC "short.yaml", "timeout_seconds"), "10");
	fixture_later(*state, e, 2);
	assert_string_equal(barrier_fixture_result(e, "short"), "failed: missing b\n");
	assert_string_equal(fixture_member(e, SYNC "short.yaml", "status"), "failed");
	assert_string_equal(fixture_member(e, SYNC "short.yaml", "reason"), "timeout");
	assert_string_equal(fixture_member(e, SYNC "short.yaml", "missing"), "b");
	assert_int_equal(fixture_count_events(e, "\"sync_id\":\"short\",\"missing\":[\"b\"],\"reason\":\"timeout\""), 1);
	assert_string_equal(barrier_fixture_result(e, "long"), "");
	fixture_later(*state, e, 300);
	assert_string_equal(barrier_fixture_result(e, "long"), "failed: missing a b\n");
	fixture_close_ok(e);
}

/* Upkeep says when it wants to be called: exactly at the deadline. */
static void test_due_at_the_deadline(void **state)
{
	struct engine *e = barrier_fixture_open(*state);
	int64_t now_ns, due_ns;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/timeout", "20");
	fixture_later(*state, e, 2);
	now_ns = env_monotonic_ns(*state);
	due_ns = barriers_upkeep(e, now_ns);
	assert_in_range(due_ns - now_ns, 17 * NS_PER_S, 18 * NS_PER_S);
	assert_int_equal(barriers_upkeep(e, due_ns), INT64_MAX);
	assert_string_equal(barrier_fixture_result(e, "build"), "failed: missing a b\n");
	fixture_close_ok(e);
}

static void test_timeout_of_the_session(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	fixture_put(e, S1 "/session.yaml", "configuration:\n  sync_timeout: 5\n");
	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "timeout_seconds"), "5");
	fixture_later(*state, e, 6);
	assert_string_equal(barrier_fixture_result(e, "build"), "failed: missing a b\n");
	fixture_close_ok(e);
}

/* ---- the dead ---- */

static void die(struct engine *e, const char *agent)
{
	char path[128];

	snprintf(path, sizeof(path), AGENTS "%s.yaml", agent);
	fixture_put(e, path, "agent: {pid: 4711}\n");
	upkeep_process_ended(e, 4711);
	(void)upkeep_run(e);
	assert_string_equal(fixture_member(e, path, "agent.status"), "dead");
}

static void test_dead_participant(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/a", "");
	die(e, "a");
	assert_string_equal(barrier_fixture_result(e, "build"), ""); /* it has acknowledged */
	for (int i = 0; i < 12; i++)
		fixture_later(*state, e, 10);
	assert_string_equal(fixture_member(e, AGENTS "b.yaml", "agent.status"), "unhealthy");
	assert_string_equal(barrier_fixture_result(e, "build"), ""); /* it may be working */
	die(e, "b");
	assert_string_equal(barrier_fixture_result(e, "build"), "failed: missing b\n");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "reason"), "participant_dead");
	assert_int_equal(fixture_count_events(e, "\"reason\":\"participant_dead\""), 1);
	assert_int_equal(fixture_mkdir(e, SYNC "next"), 0);
	assert_string_equal(fixture_member(e, SYNC "next.yaml", "participants"), "");
	fixture_close_ok(e);
}

/* Who completes does not come any more, unless he was there already; one that is taken up again may. */
static void test_participant_that_completes(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/a", "");
	fixture_put(e, AGENTS "a.yaml", "agent: {status: completed}\n");
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), "");
	fixture_put(e, AGENTS "b.yaml", "agent: {status: completed}\n");
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), "failed: missing b\n");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "reason"), "participant_completed");
	assert_int_equal(fixture_count_events(e, "\"reason\":\"participant_completed\""), 1);
	fixture_put(e, AGENTS "b.yaml", "agent: {status: active}\n");
	assert_int_equal(fixture_mkdir(e, SYNC "next"), 0);
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "next"), "");
	fixture_close_ok(e);
}

static void test_participant_that_leaves(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(fixture_unlink(e, AGENTS "a.yaml"), 0);
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), ""); /* it may be being replaced */
	fixture_later(*state, e, 3);
	assert_string_equal(barrier_fixture_result(e, "build"), "failed: missing a b\n");
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_participants_are_named),
		FIXTURE_TEST(test_list_that_goes_away),
		FIXTURE_TEST(test_nobody_to_wait_for),
		FIXTURE_TEST(test_many_participants),
		FIXTURE_TEST(test_timeout),
		FIXTURE_TEST(test_due_at_the_deadline),
		FIXTURE_TEST(test_timeout_of_the_session),
		FIXTURE_TEST(test_dead_participant),
		FIXTURE_TEST(test_participant_that_completes),
		FIXTURE_TEST(test_participant_that_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
