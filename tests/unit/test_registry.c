/* SPDX-License-Identifier: MIT
 *
 * The registry: what it holds follows the tree through every way names and files change, and through a restart.
 */
#include <errno.h>
#include <string.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "env_mem.h"
#include "session_fixture.h"
#include "upkeep.h"

/* What session.yaml gets of the registry. */
static void expect_active(struct engine *e, const char *session, const char *text)
{
	struct buf out = BUF_INIT;

	registry_put_active_agents(fixture_session(e, session), &out);
	assert_string_equal(out.data, text);
	buf_release(&out);
}

/* ---- places ---- */

static void expect_place(struct engine *e, const char *path, enum place_kind kind, const char *session)
{
	char id[ACTOR_ID_BYTES] = "?";

	assert_int_equal(engine_place_of(e, fixture_ino(e, path), id), kind);
	assert_string_equal(id, session);
}

static void check_places(struct engine *e)
{
	expect_place(e, "status", PLACE_STATUS, "");
	expect_place(e, "state/sessions", PLACE_SESSIONS, "");
	expect_place(e, "state/.locks", PLACE_LOCKS, "");
	expect_place(e, S1, PLACE_SESSION, "s1");
	expect_place(e, S1 "/agents", PLACE_AGENTS, "s1");
	expect_place(e, S1 "/agents/.sync", PLACE_SYNC, "s1");
	expect_place(e, S1 "/agents/.health", PLACE_HEALTH, "s1");
	expect_place(e, S1 "/checkpoints", PLACE_CHECKPOINTS, "s1");
	expect_place(e, S1 "/state", PLACE_NONE, "");
	expect_place(e, "state", PLACE_NONE, "");
	expect_place(e, S1 "/session.yaml", PLACE_NONE, "");
	assert_int_equal(fixture_session(e, "s1")->state_ino, fixture_ino(e, S1 "/state"));
	assert_int_equal(fixture_session(e, "s1")->file_ino, fixture_ino(e, S1 "/session.yaml"));
	assert_int_equal(fixture_session(e, "s1")->sync_ino, fixture_ino(e, S1 "/agents/.sync"));
}

static void test_places(void **state)
{
	struct engine *e = fixture_open_session(*state);
	uint64_t ino;

	check_places(e);
	assert_int_equal(fixture_mkdir(e, S1 "/agents/.sync/b1"), 0);
	expect_place(e, S1 "/agents/.sync/b1", PLACE_BARRIER, "s1");
	e = fixture_reopen(*state, e);
	check_places(e);
	expect_place(e, S1 "/agents/.sync/b1", PLACE_BARRIER, "s1");
	ino = fixture_ino(e, S1 "/agents/.sync/b1");
	assert_int_equal(fixture_rmdir(e, S1 "/agents/.sync/b1"), 0);
	assert_int_equal(registry_place_of(e, ino, NULL), PLACE_NONE);
	fixture_close_ok(e);
}

/* Before recovery is through there is no registry, and everybody gets along. */
static void test_without_registry(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	struct registry *kept = e->registry;
	char id[ACTOR_ID_BYTES], sid[ACTOR_ID_BYTES];

	e->registry = NULL;
	assert_null(registry_session(e, "s1"));
	assert_null(registry_first_session(e));
	assert_null(registry_agents_of_id(e, "a"));
	assert_null(registry_agent_of_file(e, 1));
	assert_int_equal(registry_place_of(e, 1, NULL), PLACE_NONE);
	assert_false(engine_has_agent_pids(e));
	assert_false(engine_agent_of_pid(e, 1, id, sid));
	assert_int_equal(engine_agent_pids_generation(e), 0);
	fixture_put(e, "f", "x");
	e->registry = kept;
	fixture_close_ok(e);
}

/* ---- sessions ---- */

static void test_sessions(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct session *s;
	uint64_t ino;

	assert_int_equal(fixture_mkdir(e, "state/sessions/s0"), 0);
	for (int i = 0; i < 2; i++) { /* as it happened, and after a restart: in order of creation */
		s = registry_first_session(e);
		assert_string_equal(s->id, "s1");
		assert_string_equal(s->next->id, "s0");
		assert_null(s->next->next);
		assert_int_equal(s->fields.status, SESSION_ACTIVE);
		assert_int_equal(s->fields.checkpoint_interval_s, 300);
		e = fixture_reopen(*state, e);
	}
	ino = fixture_session(e, "s1")->dir_ino;
	assert_int_equal(fixture_rmdir(e, S1), 0);
	assert_null(registry_session(e, "s1"));
	assert_int_equal(registry_place_of(e, ino, NULL), PLACE_NONE);
	assert_string_equal(registry_first_session(e)->id, "s0");
	assert_int_equal(fixture_mkdir(e, S1), 0);
	assert_int_not_equal(fixture_session(e, "s1")->dir_ino, ino);
	assert_string_equal(registry_first_session(e)->next->id, "s1");
	fixture_close_ok(e);
}

static void test_session_fields_follow(void **state)
{
	struct engine *e = fixture_open_session(*state);

	fixture_put(e, S1 "/session.yaml", "configuration:\n  checkpoint_interval: 7\nsession: {status: paused}\n");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fixture_session(e, "s1")->fields.checkpoint_interval_s, 7);
		assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_PAUSED);
		e = fixture_reopen(*state, e);
	}
	/* A replacement by rename is a save, too. */
	fixture_put(e, S1 "/new", "configuration: {checkpoint_interval: 8}\n");
	assert_int_equal(fixture_rename(e, S1 "/new", S1 "/session.yaml", 0), 0);
	assert_int_equal(fixture_session(e, "s1")->fields.checkpoint_interval_s, 8);
	assert_int_equal(fixture_session(e, "s1")->file_ino, fixture_ino(e, S1 "/session.yaml"));
	/* Without the file the last it said holds. */
	assert_int_equal(fixture_unlink(e, S1 "/session.yaml"), 0);
	assert_int_equal(fixture_session(e, "s1")->file_ino, 0);
	assert_int_equal(fixture_session(e, "s1")->fields.checkpoint_interval_s, 8);
	fixture_close_ok(e);
}

static void test_counts(void **state)
{
	struct engine *e = fixture_open_session(*state);
	uint64_t transactions, events;

	assert_int_equal(registry_operation_count(e, fixture_session(e, "s1")), 1);
	assert_int_equal(registry_event_count(e, fixture_session(e, "s1")), 3);
	fixture_put(e, S1 "/state/f", "x");
	fixture_put(e, "elsewhere", "x");
	fixture_put(e, S1 "/state/f", ""); /* two events: written, and shrunk to nothing */
	transactions = registry_operation_count(e, fixture_session(e, "s1"));
	events = registry_event_count(e, fixture_session(e, "s1"));
	assert_int_equal(transactions, 3);
	assert_true(events > 4);
	for (int i = 0; i < 2; i++) { /* from the journal, and from an index snapshot */
		e = fixture_reopen(*state, e);
		assert_int_equal(registry_operation_count(e, fixture_session(e, "s1")), transactions);
		assert_int_equal(registry_event_count(e, fixture_session(e, "s1")), events);
	}
	fixture_close_ok(e);
}

/* The newest change is somebody's, not the daemon's, also after a restart. */
static void test_changes(void **state)
{
	struct engine *e = fixture_open_session(*state);
	uint64_t head;

	assert_int_equal(fixture_session(e, "s1")->changed_seq, engine_head_seq(e));
	assert_int_equal(fixture_session(e, "s1")->unsaved_ns, 0); /* made with its first checkpoint */
	fixture_put(e, S1 "/state/f", "x");
	head = engine_head_seq(e);
	assert_int_equal(fixture_session(e, "s1")->changed_seq, head);
	assert_int_not_equal(fixture_session(e, "s1")->unsaved_ns, 0);
	fixture_put(e, "elsewhere", "x");
	assert_int_equal(fixture_session(e, "s1")->changed_seq, head);
	for (int i = 0; i < 2; i++) {
		e = fixture_reopen(*state, e); /* the end of a mount writes session.yaml */
		assert_int_equal(fixture_session(e, "s1")->changed_seq, head);
		assert_int_not_equal(fixture_session(e, "s1")->unsaved_ns, 0);
	}
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/now"), 0);
	assert_int_equal(fixture_session(e, "s1")->unsaved_ns, 0);
	e = fixture_reopen(*state, e);
	assert_int_equal(fixture_session(e, "s1")->unsaved_ns, 0);
	fixture_close_ok(e);
}

/* ---- checkpoints ---- */

static void test_checkpoints(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct buf out = BUF_INIT;
	struct session *s;

	env_mem_advance(*state, 5 * NS_PER_S);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/one"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/two"), 0);
	for (int i = 0; i < 2; i++) {
		s = fixture_session(e, "s1");
		assert_int_equal(s->checkpoint_count, 3);
		assert_string_equal(s->newest_checkpoint->id, "two");
		assert_string_equal(s->newest_checkpoint->older->id, "one");
		assert_true(s->oldest_checkpoint->automatic);
		assert_false(registry_checkpoint(s, "one")->automatic);
		assert_true(s->newest_checkpoint->seq > registry_checkpoint(s, "one")->seq);
		assert_int_equal(s->newest_checkpoint->time_ns, engine_seq_time(e, s->newest_checkpoint->seq));
		e = fixture_reopen(*state, e);
	}
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints/two"), 0);
	s = fixture_session(e, "s1");
	assert_string_equal(s->newest_checkpoint->id, "one");
	assert_null(registry_checkpoint(s, "two"));
	registry_put_last_checkpoint(s, &out);
	buf_append_str(&out, " ");
	registry_put_recovery_points(s, &out);
	assert_non_null(strstr(out.data, "\"one\" [\"one\", \"checkpoint-"));
	buf_release(&out);
	fixture_close_ok(e);
}

/* ---- agents ---- */

static void test_agents(void **state)
{
	struct engine *e = fixture_open_session(*state);

	fixture_put(e, S1 "/agents/b.yaml", "");
	fixture_put(e, A1, "agent: {type: coder}\n");
	fixture_put(e, S1 "/agents/.hidden.yaml", ""); /* a tool's */
	assert_int_equal(fixture_mkdir(e, "state/sessions/s2"), 0);
	fixture_put(e, "state/sessions/s2/agents/a.yaml", "");
	for (int i = 0; i < 2; i++) {
		struct agent *a = fixture_agent(e, "s1", "a");

		assert_int_equal(fixture_session(e, "s1")->agent_count, 2);
		assert_ptr_equal(fixture_session(e, "s1")->agents, a);
		assert_string_equal(a->next->id, "b");
		assert_string_equal(a->fields.type, "coder");
		assert_ptr_equal(registry_agent_of_file(e, fixture_ino(e, A1)), a);
		assert_ptr_equal(registry_agents_of_id(e, "a"), a);
		assert_string_equal(a->next_of_id->session->id, "s2");
		assert_true(a->heartbeat_ns >= a->fields.registered_ns);
		expect_active(e, "s1", "[\"a\", \"b\"]");
		e = fixture_reopen(*state, e);
	}
	fixture_close_ok(e);
}

/* Tools that remove and create again, or put another file in its place, do not deregister; who stays away for two seconds is gone. */
static void test_agent_removed(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct agent *a;

	fixture_put(e, A1, "");
	a = fixture_agent(e, "s1", "a");
	assert_int_equal(fixture_unlink(e, A1), 0);
	assert_ptr_equal(fixture_agent(e, "s1", "a"), a);
	assert_int_not_equal(a->removed_ns, 0);
	env_mem_advance(*state, NS_PER_S);
	assert_true(upkeep_run(e) < env_monotonic_ns(*state) + NS_PER_S + NS_PER_MS);
	fixture_put(e, A1, "agent: {type: x}\n");
	assert_ptr_equal(fixture_agent(e, "s1", "a"), a);
	assert_int_equal(a->removed_ns, 0);
	assert_string_equal(a->fields.type, "x");
	assert_int_equal(a->ino, fixture_ino(e, A1));
	fixture_put(e, S1 "/agents/.tmp", "agent: {type: y}\n");
	assert_int_equal(fixture_rename(e, S1 "/agents/.tmp", A1, 0), 0);
	assert_ptr_equal(fixture_agent(e, "s1", "a"), a);
	assert_string_equal(a->fields.type, "y");
	assert_int_equal(a->ino, fixture_ino(e, A1));
	env_mem_advance(*state, 10 * NS_PER_S);
	(void)upkeep_run(e);
	assert_false(fixture_count_events(e, "\"agent_deregistered\"") > 0);
	assert_int_equal(fixture_unlink(e, A1), 0);
	env_mem_advance(*state, 2 * NS_PER_S);
	(void)upkeep_run(e);
	assert_null(registry_agent(fixture_session(e, "s1"), "a"));
	assert_null(registry_agents_of_id(e, "a"));
	assert_true(fixture_count_events(e, "\"agent_deregistered\"") > 0);
	assert_non_null(strstr(fixture_text(e, S1 "/session.yaml"), "active_agents: []"));
	fixture_close_ok(e);
}

static void test_agent_pids(void **state)
{
	struct engine *e = fixture_open_session(*state);
	char id[ACTOR_ID_BYTES], sid[ACTOR_ID_BYTES];
	uint64_t generation;

	fixture_put(e, A1, "");
	assert_false(engine_has_agent_pids(e));
	assert_int_equal(engine_agent_pids_generation(e), 0);
	fixture_put(e, A1, "agent: {pid: 77}\n");
	assert_true(engine_agent_of_pid(e, 77, id, sid));
	assert_string_equal(id, "a");
	assert_string_equal(sid, "s1");
	assert_false(engine_agent_of_pid(e, 78, id, sid));
	assert_false(engine_agent_of_pid(e, 0, id, sid));
	generation = engine_agent_pids_generation(e);
	assert_int_not_equal(generation, 0);
	fixture_put(e, A1, "agent: {pid: 78}\n");
	assert_int_not_equal(engine_agent_pids_generation(e), generation);
	e = fixture_reopen(*state, e);
	assert_true(engine_agent_of_pid(e, 78, id, sid));
	assert_int_equal(fixture_unlink(e, A1), 0);
	assert_false(engine_agent_of_pid(e, 78, id, sid));
	assert_false(engine_has_agent_pids(e));
	fixture_close_ok(e);
}

/* What an agent does is a sign of its life, and counted; in which session, the process says, or the place, or there is but one. */
static void test_agents_operations(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct tree_attr attr;
	struct request q;

	assert_int_equal(fixture_mkdir(e, "state/sessions/s2"), 0);
	fixture_put(e, A1, "");
	fixture_put(e, "state/sessions/s2/agents/a.yaml", "");
	fixture_put(e, S1 "/agents/only.yaml", "");
	env_mem_advance(*state, NS_PER_S);
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, "state/sessions/s2/state"), "d1", 0755, &attr), 0);
	assert_int_equal(fixture_agent(e, "s2", "a")->operations_added, 1);
	assert_int_equal(fixture_agent(e, "s2", "a")->heartbeat_ns, e->last_time_ns);
	assert_int_equal(fixture_agent(e, "s1", "a")->operations_added, 0);
	strcpy(q.actor.session, "s1");
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, "state/sessions/s2/state"), "d2", 0755, &attr), 0);
	assert_int_equal(fixture_agent(e, "s1", "a")->operations_added, 1);
	q.actor.session[0] = '\0';
	assert_int_equal(engine_mkdir(e, &q, TREE_ROOT_INO, "d3", 0755, &attr), 0); /* nobody knows which of the two */
	strcpy(q.actor.agent, "only");
	assert_int_equal(engine_mkdir(e, &q, TREE_ROOT_INO, "d4", 0755, &attr), 0);
	assert_int_equal(fixture_agent(e, "s1", "only")->operations_added, 1);
	assert_int_equal(fixture_agent(e, "s1", "a")->operations_added + fixture_agent(e, "s2", "a")->operations_added, 2);
	assert_true(fixture_agent(e, "s1", "only")->dirty);
	fixture_close_ok(e);
}

static void test_refusals_are_errors(void **state)
{
	struct engine *e = fixture_open_session(*state);
	uint64_t changed;
	struct draft *d;
	struct request q;

	fixture_put(e, A1, "");
	fixture_put(e, S1 "/state/f.json", "{}");
	changed = fixture_session(e, "s1")->changed_seq;
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	assert_int_equal(draft_open(e, fixture_ino(e, S1 "/state/f.json"), DRAFT_WHOLE, &q.actor, &d), 0);
	assert_int_equal(draft_write(d, &q.actor, 0, "{", 1), 0);
	assert_int_equal(draft_commit(d, &q, 0), -EBADMSG);
	draft_close(d);
	assert_int_equal(fixture_agent(e, "s1", "a")->errors_added, 1);
	assert_int_equal(fixture_agent(e, "s1", "a")->operations_added, 0);
	assert_int_equal(fixture_session(e, "s1")->changed_seq, changed); /* nothing is other than before */
	assert_int_equal(fixture_session(e, "s1")->refusals, 1);
	fixture_close_ok(e);
}

/* ---- settings, by their place ---- */

static void test_config_is_reloaded(void **state)
{
	struct engine *e = fixture_open_ok(*state);

	fixture_put(e, "status/config.yaml", "autocommit_ms: 60\n");
	assert_int_equal(engine_config(e)->autocommit_ms, 60);
	fixture_put(e, "status/.config.tmp", "autocommit_ms: 70\n");
	assert_int_equal(engine_config(e)->autocommit_ms, 60);
	assert_int_equal(fixture_rename(e, "status/.config.tmp", "status/config.yaml", 0), 0);
	assert_int_equal(engine_config(e)->autocommit_ms, 70);
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_places),
		FIXTURE_TEST(test_without_registry),
		FIXTURE_TEST(test_sessions),
		FIXTURE_TEST(test_session_fields_follow),
		FIXTURE_TEST(test_counts),
		FIXTURE_TEST(test_changes),
		FIXTURE_TEST(test_checkpoints),
		FIXTURE_TEST(test_agents),
		FIXTURE_TEST(test_agent_removed),
		FIXTURE_TEST(test_agent_pids),
		FIXTURE_TEST(test_agents_operations),
		FIXTURE_TEST(test_refusals_are_errors),
		FIXTURE_TEST(test_config_is_reloaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
