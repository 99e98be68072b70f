/* SPDX-License-Identifier: MIT
 *
 * The state model while something moves under it: files that get another name, sessions that go with their agents, saves that nobody has
 * read yet, a journal that fails at the worst moment.
 */
#include <errno.h>
#include <string.h>

#include "../../core/barrier_internal.h"
#include "cmocka_all.h"
#include "env_mem.h"
#include "session_fixture.h"
#include "upkeep.h"

#define S2 "state/sessions/s2"

static struct agent *agent_of(struct engine *e, const char *session, const char *id)
{
	struct session *s = registry_session(e, session);

	return s ? registry_agent(s, id) : NULL;
}

/* The file is known for the agent's: heartbeats count, and what is saved is in force. */
static void expect_known(struct engine *e, const char *session, const char *id, const char *path)
{
	struct agent *a = agent_of(e, session, id);

	assert_non_null(a);
	assert_true(upkeep_heartbeat(e, fixture_ino(e, path)));
	fixture_put(e, path, "agent: {type: \"as saved last\"}\n");
	assert_string_equal(agent_of(e, session, id)->fields.type, "as saved last");
}

/* ---- names ---- */

/* The one of the old name leaves two seconds later, and takes nothing along that is another's by then. */
static void test_an_agent_is_renamed(void **state)
{
	struct engine *e = fixture_open_session(*state);

	fixture_put(e, AGENTS "a.yaml", "agent: {type: \"coder\"}\n");
	assert_int_equal(fixture_rename(e, AGENTS "a.yaml", AGENTS "b.yaml", 0), 0);
	fixture_later(*state, e, 3);
	assert_null(agent_of(e, "s1", "a"));
	expect_known(e, "s1", "b", AGENTS "b.yaml");
	fixture_put(e, AGENTS "a.yaml", "");
	expect_known(e, "s1", "a", AGENTS "a.yaml");
	expect_known(e, "s1", "b", AGENTS "b.yaml");
	fixture_close_ok(e);
}

/* The old name is taken again before its agent has left. */
static void test_a_renamed_agents_name_is_taken_again(void **state)
{
	struct engine *e = fixture_open_session(*state);

	fixture_put(e, AGENTS "a.yaml", "agent: {type: \"coder\"}\n");
	assert_int_equal(fixture_rename(e, AGENTS "a.yaml", AGENTS "b.yaml", 0), 0);
	fixture_put(e, AGENTS "a.yaml", "");
	expect_known(e, "s1", "b", AGENTS "b.yaml");
	expect_known(e, "s1", "a", AGENTS "a.yaml");
	fixture_close_ok(e);
}

static void test_an_agent_moves_to_another_session(void **state)
{
	struct engine *e = fixture_open_session(*state);

	assert_int_equal(fixture_mkdir(e, S2), 0);
	fixture_put(e, AGENTS "a.yaml", "agent: {type: \"coder\"}\n");
	assert_int_equal(fixture_rename(e, AGENTS "a.yaml", S2 "/agents/a.yaml", 0), 0);
	fixture_later(*state, e, 3);
	assert_null(agent_of(e, "s1", "a"));
	expect_known(e, "s2", "a", S2 "/agents/a.yaml");
	fixture_close_ok(e);
}

static void test_agents_change_places(void **state)
{
	struct engine *e = fixture_open_session(*state);

	fixture_put(e, AGENTS "a.yaml", "agent: {type: \"one\"}\n");
	fixture_put(e, AGENTS "b.yaml", "agent: {type: \"two\"}\n");
	assert_int_equal(fixture_rename(e, AGENTS "a.yaml", AGENTS "b.yaml", 2), 0); /* RENAME_EXCHANGE */
	assert_string_equal(agent_of(e, "s1", "a")->fields.type, "two");
	assert_string_equal(agent_of(e, "s1", "b")->fields.type, "one");
	assert_int_equal(fixture_rename(e, AGENTS "a.yaml", AGENTS "b.yaml", 0), 0);
	assert_string_equal(agent_of(e, "s1", "b")->fields.type, "two");
	fixture_later(*state, e, 3);
	assert_null(agent_of(e, "s1", "a"));
	expect_known(e, "s1", "b", AGENTS "b.yaml");
	fixture_close_ok(e);
}

/* session.yaml is one file of one session, wherever it comes from. */
static void test_a_sessions_file_is_replaced_by_anothers(void **state)
{
	struct engine *e = fixture_open_session(*state);

	assert_int_equal(fixture_mkdir(e, S2), 0);
	fixture_put(e, S1 "/session.yaml", "session: {type: \"moved\"}\n");
	assert_int_equal(fixture_rename(e, S1 "/session.yaml", S2 "/session.yaml", 0), 0);
	assert_string_equal(registry_session(e, "s2")->fields.type, "moved");
	fixture_put(e, S2 "/session.yaml", "session: {type: \"saved again\"}\n");
	assert_string_equal(registry_session(e, "s2")->fields.type, "saved again");
	fixture_put(e, S1 "/session.yaml", "session: {type: \"a new one\"}\n");
	assert_string_equal(registry_session(e, "s1")->fields.type, "a new one");
	fixture_close_ok(e);
}

/* ---- what goes with a session ---- */

/* `rm -r` is done long before the agent would have left by itself. */
static void test_locks_of_a_session_that_goes(void **state)
{
	struct engine *e = fixture_open_session(*state);

	assert_int_equal(fixture_mkdir(e, S2), 0);
	fixture_put(e, AGENTS "a.yaml", "");
	fixture_put(e, AGENTS "both.yaml", "");
	fixture_put(e, S2 "/agents/both.yaml", "");
	fixture_put(e, "state/.locks/one", "a\n");
	fixture_put(e, "state/.locks/two", "both\n");
	assert_int_equal(fixture_unlink(e, AGENTS "a.yaml"), 0);
	assert_int_equal(fixture_unlink(e, AGENTS "both.yaml"), 0);
	assert_int_equal(fixture_rmdir(e, S1), 0);
	fixture_later(*state, e, 3);
	assert_int_equal(fixture_ino(e, "state/.locks/one"), 0);
	assert_int_not_equal(fixture_ino(e, "state/.locks/two"), 0); /* the other session's may hold it */
	fixture_close_ok(e);
}

/* ---- saves that nobody has read yet ---- */

/* A save that has its place in history, but whose committer has not come to reading it: @t is left to be finished. */
static void save_unread(struct engine *e, const char *path, const char *text, struct request *q, struct txn *t)
{
	const struct version *base;
	cleanup_free char *old = NULL;
	struct file_edit edit;
	size_t len;

	fixture_request(q);
	txn_init(t, e, q, OPERATION_WRITE);
	assert_int_equal(file_edit_read(e, fixture_ino(e, path), &base, &old, &len), 0);
	assert_int_equal(file_edit_prepare(fixture_ino(e, path), base, text, strlen(text), &t->blocks, &edit), 0);
	assert_int_equal(txn_reserve(t, 0), 0);
	engine_lock(e);
	assert_int_equal(file_edit_add(&edit, t), 0);
	assert_int_equal(txn_stage(t), 0);
	engine_unlock(e);
}

/* What upkeep was about to say of an agent was of what its file said before. */
static void test_a_status_saved_while_upkeep_runs(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct request q;
	struct txn t;

	fixture_put(e, AGENTS "a.yaml", "agent: {status: \"active\"}\n");
	(void)upkeep_run(e);
	env_mem_advance(*state, 200 * NS_PER_S); /* silent, and upkeep is due */
	save_unread(e, AGENTS "a.yaml", "agent: {status: \"completed\"}\n", &q, &t);
	(void)upkeep_run(e);
	txn_finish(&t);
	assert_non_null(strstr(fixture_text(e, AGENTS "a.yaml"), "completed"));
	assert_int_equal(agent_of(e, "s1", "a")->fields.status, AGENT_COMPLETED);
	assert_int_equal(fixture_count_events(e, "\"to\":\"unhealthy\""), 0);
	fixture_close_ok(e);
}

static void test_a_status_saved_while_a_session_expires(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct request q;
	struct txn t;

	fixture_put(e, S1 "/session.yaml", "configuration: {max_session_duration: 100}\n");
	(void)upkeep_run(e);
	env_mem_advance(*state, 200 * NS_PER_S);
	save_unread(e, S1 "/session.yaml", "session: {status: \"completed\"}\nconfiguration: {max_session_duration: 100}\n", &q, &t);
	(void)upkeep_run(e);
	txn_finish(&t);
	assert_non_null(strstr(fixture_text(e, S1 "/session.yaml"), "completed"));
	assert_int_equal(registry_session(e, "s1")->fields.status, SESSION_COMPLETED);
	assert_int_equal(fixture_count_events(e, "\"to\":\"expired\""), 0);
	fixture_close_ok(e);
}

/* ---- the journal fails ---- */

static int result(struct engine *e, uint64_t dir_ino, struct buf *out)
{
	int r;

	engine_lock(e);
	r = barrier_result(e, dir_ino, out);
	engine_unlock(e);
	return r;
}

/* Nobody hears of an end that a loss of power could undo. */
static void test_an_end_is_told_when_it_is_safe(void **state)
{
	struct engine *e = fixture_open_session(*state);
	cleanup_buf struct buf text = BUF_INIT;
	uint64_t dir;

	fixture_put(e, AGENTS "a.yaml", "");
	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	dir = fixture_ino(e, SYNC "build");
	fixture_put(e, SYNC "build/a", "");
	env_mem_fail_syncs(*state, EIO);
	(void)upkeep_run(e);
	assert_int_equal(result(e, dir, &text), -EIO);
	assert_int_equal(text.len, 0);
	(void)engine_close(e);
}

static void test_an_end_is_durable_when_told(void **state)
{
	struct engine *e = fixture_open_session(*state);
	cleanup_buf struct buf text = BUF_INIT;
	struct env *after;
	uint64_t dir;

	fixture_put(e, AGENTS "a.yaml", "");
	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	dir = fixture_ino(e, SYNC "build");
	fixture_put(e, SYNC "build/a", "");
	(void)upkeep_run(e);
	assert_int_equal(result(e, dir, &text), 1);
	assert_string_equal(text.data, "completed\n");
	after = env_mem_power_cycle(*state, ENV_MEM_LOST, 1);
	fixture_kill(*state, e);
	e = fixture_open_ok(after);
	buf_clear(&text);
	assert_int_equal(result(e, dir, &text), 1);
	assert_string_equal(text.data, "completed\n");
	fixture_close_ok(e);
	env_mem_free(after);
}

static unsigned woken;

static void wake(void *arg)
{
	(void)arg;
	woken++;
}

/* Who waits for a barrier waits in vain: upkeep tells them, so it must hear of it. */
static void test_upkeep_hears_of_a_failure(void **state)
{
	struct engine *e = fixture_open_session(*state);

	fixture_put(e, AGENTS "a.yaml", "");
	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	(void)upkeep_run(e);
	upkeep_set_waker(e, wake, NULL);
	woken = 0;
	env_mem_fail_syncs(*state, EIO);
	assert_int_equal(fixture_save_text(e, "notes.txt", "far from the state model"), -EIO);
	assert_int_not_equal(woken, 0);
	upkeep_set_waker(e, NULL, NULL);
	(void)engine_close(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_an_agent_is_renamed),
		FIXTURE_TEST(test_a_renamed_agents_name_is_taken_again),
		FIXTURE_TEST(test_an_agent_moves_to_another_session),
		FIXTURE_TEST(test_agents_change_places),
		FIXTURE_TEST(test_a_sessions_file_is_replaced_by_anothers),
		FIXTURE_TEST(test_locks_of_a_session_that_goes),
		FIXTURE_TEST(test_a_status_saved_while_upkeep_runs),
		FIXTURE_TEST(test_a_status_saved_while_a_session_expires),
		FIXTURE_TEST(test_an_end_is_told_when_it_is_safe),
		FIXTURE_TEST(test_an_end_is_durable_when_told),
		FIXTURE_TEST(test_upkeep_hears_of_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
