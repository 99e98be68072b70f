/* SPDX-License-Identifier: MIT
 *
 * Lock files of agents, whatever becomes of those, and of creators that have them open.
 */
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "env_mem.h"
#include "lock_fixture.h"
#include "upkeep.h"

/* ---- agents ---- */

static void agent_dies(struct engine *e, const char *session, const char *agent)
{
	char path[256];

	snprintf(path, sizeof(path), "state/sessions/%s/agents/%s.yaml", session, agent);
	fixture_put(e, path, "agent: {pid: 4711}\n");
	lock_fixture_process_ends(e, 4711);
}

static void test_owner_is_the_agent(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	fixture_put(e, AGENTS "coder.yaml", "");
	fixture_put(e, AGENTS "other.yaml", "");
	lock_fixture_put_as(e, "written-by", "", OWN_PID, "coder", "");
	lock_fixture_put_as(e, "in-session", "", OWN_PID, "coder", "s1");
	lock_fixture_put_as(e, "elsewhere", "text\n", OWN_PID, "coder", "no-such-session");
	fixture_put(e, LOCKS "naming", "coder\n");
	fixture_put(e, LOCKS "named-other", "other\n");
	lock_fixture_put_as(e, "named-before-writer", "other\n", OWN_PID, "coder", "");
	lock_fixture_put_as(e, "nobody", "", OWN_PID, "stranger", "");
	lock_fixture_living(100, 0);
	lock_fixture_put_as(e, "process-before-agent", "100\n", OWN_PID, "coder", "");
	assert_int_equal(lock_fixture_info(e, "written-by").owner, LOCK_OWNER_AGENT);
	assert_string_equal(lock_fixture_info(e, "naming").agent, "coder");
	assert_string_equal(lock_fixture_info(e, "named-before-writer").agent, "other");
	assert_string_equal(lock_fixture_info(e, "elsewhere").session, "s1"); /* the only one there is */
	assert_string_equal(lock_fixture_info(e, "nobody").session, "");
	assert_int_equal(lock_fixture_info(e, "nobody").owner, LOCK_OWNER_CREATOR);
	assert_int_equal(lock_fixture_info(e, "process-before-agent").owner, LOCK_OWNER_PROCESS);
	agent_dies(e, "s1", "coder");
	assert_false(lock_fixture_held(e, "written-by"));
	assert_false(lock_fixture_held(e, "in-session"));
	assert_false(lock_fixture_held(e, "elsewhere"));
	assert_false(lock_fixture_held(e, "naming"));
	assert_true(lock_fixture_held(e, "named-other"));
	assert_true(lock_fixture_held(e, "named-before-writer"));
	assert_true(lock_fixture_held(e, "nobody"));
	assert_true(lock_fixture_held(e, "process-before-agent"));
	assert_int_equal(fixture_count_events(e, "\"owner\":\"agent coder\",\"token\":"), 4);
	assert_int_equal(fixture_count_events(e, "\"reason\":\"agent_dead\""), 4);
	fixture_close_ok(e);
}

static void test_unhealthy_is_not_dead(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	fixture_put(e, AGENTS "coder.yaml", "");
	fixture_put(e, LOCKS "build", "coder\n");
	for (int i = 0; i < 20; i++) {
		env_mem_advance(*state, 10 * NS_PER_S);
		(void)upkeep_run(e);
	}
	assert_non_null(strstr(fixture_text(e, AGENTS "coder.yaml"), "unhealthy"));
	assert_true(lock_fixture_held(e, "build"));
	agent_dies(e, "s1", "coder");
	assert_false(lock_fixture_held(e, "build"));
	fixture_close_ok(e);
}

static void test_agent_that_leaves(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	fixture_put(e, AGENTS "coder.yaml", "");
	fixture_put(e, LOCKS "build", "coder\n");
	assert_int_equal(fixture_unlink(e, AGENTS "coder.yaml"), 0);
	(void)upkeep_run(e);
	assert_true(lock_fixture_held(e, "build"));
	env_mem_advance(*state, 3 * NS_PER_S);
	(void)upkeep_run(e);
	assert_false(lock_fixture_held(e, "build"));
	fixture_close_ok(e);
}

/* Two agents of one id: who of them holds it tells the session, if the writer named one; else both must be gone. */
static void test_same_id_in_two_sessions(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, "state/sessions/s2"), 0);
	fixture_put(e, AGENTS "coder.yaml", "");
	fixture_put(e, "state/sessions/s2/agents/coder.yaml", "");
	lock_fixture_put_as(e, "of-s1", "", OWN_PID, "coder", "s1");
	lock_fixture_put_as(e, "of-s2", "", OWN_PID, "coder", "s2");
	fixture_put(e, LOCKS "of-either", "coder\n");
	lock_fixture_put_as(e, "of-unknown", "", OWN_PID, "coder", "no-such-session");
	lock_fixture_put_as(e, "named-by-s2", "coder\n", OWN_PID, "other", "s2");
	assert_string_equal(lock_fixture_info(e, "of-s1").session, "s1");
	assert_string_equal(lock_fixture_info(e, "of-s2").session, "s2");
	assert_string_equal(lock_fixture_info(e, "of-either").session, "");
	assert_string_equal(lock_fixture_info(e, "of-unknown").session, "");
	assert_string_equal(lock_fixture_info(e, "named-by-s2").session, "s2");
	agent_dies(e, "s1", "coder");
	assert_true(lock_fixture_held(e, "named-by-s2"));
	assert_false(lock_fixture_held(e, "of-s1"));
	assert_true(lock_fixture_held(e, "of-s2"));
	assert_true(lock_fixture_held(e, "of-either"));
	assert_true(lock_fixture_held(e, "of-unknown"));
	agent_dies(e, "s2", "coder");
	assert_false(lock_fixture_held(e, "named-by-s2"));
	assert_false(lock_fixture_held(e, "of-s2"));
	assert_false(lock_fixture_held(e, "of-either"));
	assert_false(lock_fixture_held(e, "of-unknown"));
	fixture_close_ok(e);
}

static void test_agent_died_before_the_mount_ended(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	fixture_put(e, AGENTS "coder.yaml", "");
	fixture_put(e, AGENTS "other.yaml", "");
	agent_dies(e, "s1", "coder");
	fixture_put(e, LOCKS "stale", "coder\n"); /* written by somebody else: no sign of life */
	fixture_put(e, LOCKS "good", "other\n");
	assert_true(lock_fixture_held(e, "stale"));
	fixture_close_ok(e);
	e = lock_fixture_open(*state);
	(void)upkeep_run(e);
	assert_false(lock_fixture_held(e, "stale"));
	assert_true(lock_fixture_held(e, "good"));
	fixture_close_ok(e);
}

/* Owners that had left when the mount ended, before their locks were released: no registry knows them any more. */
static void test_agent_left_before_the_mount_ended(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, "state/sessions/s2"), 0);
	assert_int_equal(fixture_mkdir(e, "state/sessions/s3"), 0);
	fixture_put(e, "state/sessions/s3/agents/early.yaml", "");
	assert_int_equal(fixture_unlink(e, "state/sessions/s3/agents/early.yaml"), 0);
	fixture_put(e, AGENTS "coder.yaml", "");
	fixture_put(e, "state/sessions/s2/agents/coder.yaml", "");
	fixture_put(e, "state/sessions/s2/agents/single.yaml", "");
	fixture_put(e, "state/sessions/s3/agents/leaver.yaml", "");
	lock_fixture_put_as(e, "naming", "single\n", OWN_PID, "coder", "s1");
	lock_fixture_put_as(e, "written-by", "", OWN_PID, "single", "");
	lock_fixture_put_as(e, "of-s2", "", OWN_PID, "coder", "s2");
	lock_fixture_put_as(e, "of-s1", "", OWN_PID, "coder", "s1");
	fixture_put(e, LOCKS "of-either", "coder\n");
	fixture_put(e, LOCKS "left", "leaver\n");
	fixture_put(e, LOCKS "left-before", "early\n"); /* no agent any more when it was written */
	fixture_put(e, LOCKS "stranger", "nobody\n");
	assert_int_equal(fixture_unlink(e, "state/sessions/s3/agents/leaver.yaml"), 0);
	assert_int_equal(fixture_unlink(e, "state/sessions/s2/agents/single.yaml"), 0);
	assert_int_equal(fixture_unlink(e, "state/sessions/s2/agents/coder.yaml"), 0);
	assert_int_equal(fixture_rmdir(e, "state/sessions/s2"), 0);
	assert_true(lock_fixture_held(e, "naming")); /* before upkeep's turn the daemon is killed */
	fixture_kill(*state, e);
	e = lock_fixture_open(*state);
	(void)upkeep_run(e);
	assert_false(lock_fixture_held(e, "naming"));
	assert_false(lock_fixture_held(e, "written-by"));
	assert_false(lock_fixture_held(e, "of-s2"));
	assert_false(lock_fixture_held(e, "left"));
	assert_true(lock_fixture_held(e, "of-s1"));
	assert_true(lock_fixture_held(e, "of-either"));
	assert_true(lock_fixture_held(e, "left-before"));
	assert_true(lock_fixture_held(e, "stranger"));
	fixture_close_ok(e);
}

/* ---- creators ---- */

static void test_creator_that_dies_with_it_open(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	fixture_put(e, AGENTS "coder.yaml", "");
	lock_fixture_living(100, 0);
	lock_fixture_put_as(e, "open", "", OWN_PID, "", "");
	fixture_put(e, LOCKS "process", "100\n");
	fixture_put(e, LOCKS "agent", "coder\n");
	lock_file_creator_died(e, fixture_ino(e, LOCKS "open"), OWN_PID);
	lock_file_creator_died(e, fixture_ino(e, LOCKS "process"), OWN_PID);
	lock_file_creator_died(e, fixture_ino(e, LOCKS "agent"), OWN_PID);
	lock_file_creator_died(e, fixture_ino(e, AGENTS "coder.yaml"), OWN_PID);
	(void)upkeep_run(e);
	assert_false(lock_fixture_held(e, "open"));
	assert_true(lock_fixture_held(e, "process"));
	assert_true(lock_fixture_held(e, "agent"));
	assert_int_not_equal(fixture_ino(e, AGENTS "coder.yaml"), 0);
	assert_int_equal(fixture_count_events(e, "\"owner\":\"creator 4242\""), 1);
	assert_int_equal(fixture_count_events(e, "\"reason\":\"creator_died\""), 1);
	fixture_close_ok(e);
}

static void test_used_with_flock(void **state)
{
	struct engine *e = lock_fixture_open(*state);

	lock_fixture_living(100, 0);
	fixture_put(e, LOCKS "build", "100\n");
	lock_file_shared(e, fixture_ino(e, LOCKS "build"));
	lock_fixture_process_ends(e, 100);
	assert_true(lock_fixture_held(e, "build"));
	assert_true(lock_fixture_info(e, "build").shared);
	fixture_put(e, LOCKS "build", "100\n"); /* still so when it is written again */
	lock_fixture_process_ends(e, 100);
	assert_true(lock_fixture_held(e, "build"));
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOCK_TEST(test_owner_is_the_agent),
		LOCK_TEST(test_unhealthy_is_not_dead),
		LOCK_TEST(test_agent_that_leaves),
		LOCK_TEST(test_same_id_in_two_sessions),
		LOCK_TEST(test_agent_died_before_the_mount_ended),
		LOCK_TEST(test_agent_left_before_the_mount_ended),
		LOCK_TEST(test_creator_that_dies_with_it_open),
		LOCK_TEST(test_used_with_flock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
