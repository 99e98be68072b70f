/* SPDX-License-Identifier: MIT
 *
 * Upkeep when nothing can be written: a full disk, one that fails.
 */
#include <errno.h>
#include <string.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "env_mem.h"
#include "session_fixture.h"
#include "upkeep.h"

/* ---- when it cannot be written ---- */

static bool no_room_is_said(struct engine *e)
{
	struct engine_health h;
	bool said;

	engine_get_health(e, &h);
	said = h.status == ENGINE_DEGRADED && strstr(h.why.data, "no space is left");
	buf_release(&h.why);
	return said;
}

/* Nothing is done by half; once there is room all of it is done at the next look for it. */
static void test_full_disk(void **state)
{
	struct engine *e = fixture_open_upkept(*state, "configuration: {checkpoint_interval: 100}\n");
	size_t checkpoints;
	uint64_t head;

	fixture_put(e, A1, "agent: {pid: 77, status: active}\n");
	fixture_put(e, S1 "/agents/b.yaml", "");
	fixture_pass(*state, e, 1);
	fixture_heartbeat(e, S1 "/agents/b.yaml");
	checkpoints = fixture_session(e, "s1")->checkpoint_count;
	env_mem_set_capacity(*state, 1);
	assert_false(no_room_is_said(e));
	while (!fixture_append(e, S1 "/state/fill", "x", 1))
		;
	assert_true(no_room_is_said(e));
	head = engine_head_seq(e);
	upkeep_process_ended(e, 77);
	assert_true(fixture_pass(*state, e, 200) < 150);
	assert_true(no_room_is_said(e));
	assert_int_equal(engine_head_seq(e), head);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, checkpoints);
	assert_int_equal(fixture_agent(e, "s1", "a")->fields.status, AGENT_ACTIVE);
	env_mem_set_capacity(*state, 0);
	fixture_pass(*state, e, 3);
	assert_false(no_room_is_said(e));
	fixture_expect_status(e, "a", "dead");
	assert_false(fixture_agent(e, "s1", "b")->dirty);
	assert_true(fixture_session(e, "s1")->checkpoint_count > checkpoints);
	fixture_close_ok(e);
}

/* A store can be mounted although there is no room for anything. */
static void test_mount_on_a_full_disk(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);

	env_mem_set_capacity(*state, 1);
	while (!fixture_append(e, S1 "/state/fill", "x", 1))
		;
	fixture_kill(*state, e);
	e = fixture_open_ok(*state);
	assert_int_equal(fixture_append(e, S1 "/state/fill", "x", 1), -ENOSPC);
	assert_true(no_room_is_said(e));
	env_mem_set_capacity(*state, 0);
	assert_int_equal(fixture_append(e, S1 "/state/fill", "x", 1), 0);
	fixture_pass(*state, e, 3);
	assert_false(no_room_is_said(e));
	fixture_close_ok(e);
}

static void test_no_room(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	uint64_t head;

	fixture_put(e, A1, "agent: {pid: 77, status: active}\n");
	upkeep_process_ended(e, 77);
	env_mem_fail_syncs(*state, EIO);
	assert_int_equal(fixture_save_text(e, S1 "/state/f", "x"), -EIO);
	head = engine_head_seq(e);
	assert_true(upkeep_run(e) == INT64_MAX); /* poisoned: nothing is done any more */
	assert_false(upkeep_heartbeat(e, fixture_ino(e, A1)));
	assert_int_equal(engine_head_seq(e), head);
	env_mem_fail_syncs(*state, 0);
	(void)engine_close(e);
	e = fixture_open_ok(*state);
	upkeep_process_ended(e, 77);
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "dead");
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_full_disk),
		FIXTURE_TEST(test_mount_on_a_full_disk),
		FIXTURE_TEST(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
