/* SPDX-License-Identifier: MIT
 *
 * Upkeep by the clock: what happens when nobody does anything, and what heartbeats cost. The clock is moved from one due time to the next, as
 * the thread that calls does.
 */
#include <stdio.h>
#include <string.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "env_mem.h"
#include "session_fixture.h"
#include "upkeep.h"

/* ---- nothing to do ---- */

static void test_nothing_happens_for_a_day(void **state)
{
	struct engine *e = fixture_open_upkept(*state, "configuration: {max_session_duration: 1000000}\n");
	uint64_t head;

	fixture_pass(*state, e, 1000); /* what that save was: a checkpoint, and last_updated */
	head = engine_head_seq(e);
	assert_true(fixture_pass(*state, e, DAY_S) < 10);
	assert_int_equal(engine_head_seq(e), head);
	fixture_close_ok(e);
}

/* A session that nobody has touched since it was made is closed as it is. */
static void test_end_without_pending(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	uint64_t head = engine_head_seq(e);

	e = fixture_reopen(*state, e);
	assert_int_equal(engine_head_seq(e), head);
	(void)upkeep_run(e);
	assert_int_equal(engine_head_seq(e), head);
	fixture_close_ok(e);
}

/* ---- heartbeats ---- */

static void test_heartbeats_cost_one_transaction(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	char path[300], line[80], time[TIME_TEXT_BYTES];
	uint64_t head;

	for (int i = 0; i < 50; i++) {
		snprintf(path, sizeof(path), S1 "/agents/a%d.yaml", i);
		fixture_put(e, path, "agent: {status: active}\n");
	}
	fixture_pass(*state, e, 60); /* registration, and the lines of health */
	for (int round = 0; round < 4; round++) {
		head = engine_head_seq(e);
		for (int beat = 0; beat < 29; beat++) { /* 29 s of heartbeats, each second */
			for (int i = 0; i < 50; i++) {
				snprintf(path, sizeof(path), S1 "/agents/a%d.yaml", i);
				fixture_heartbeat(e, path);
			}
			fixture_pass(*state, e, 1);
		}
		fixture_pass(*state, e, 1);
		assert_true(engine_head_seq(e) - head <= 1);
		assert_true(round == 0 || engine_head_seq(e) - head == 1);
	}
	fixture_pass(*state, e, 30);
	time_format(fixture_agent(e, "s1", "a49")->heartbeat_ns, time);
	snprintf(line, sizeof(line), "last_heartbeat: \"%s\"", time);
	fixture_expect_says(e, path, line);
	assert_int_equal(fixture_count_events(e, "\"attributes_changed\""), 0);
	fixture_close_ok(e);
}

static int64_t mtime_of(struct engine *e, const char *path, int64_t *ret_ctime_ns)
{
	const struct node *n = tree_node(engine_tree(e), fixture_ino(e, path));
	struct tree_attr a;

	assert_int_equal(tree_attr_at(engine_tree(e), n, SEQ_LIVE, INT64_MAX, &a), 0);
	*ret_ctime_ns = a.ctime_ns;
	return a.mtime_ns;
}

static void test_heartbeat_shows_at_once(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	int64_t beat_ns, ctime_ns;
	bool is_agent;
	uint64_t ino;

	fixture_put(e, A1, "");
	fixture_put(e, S1 "/state/f", "x");
	ino = fixture_ino(e, A1);
	assert_false(upkeep_heartbeat(e, fixture_ino(e, S1 "/state/f")));
	assert_false(upkeep_heartbeat(e, fixture_ino(e, S1 "/session.yaml")));
	assert_true(upkeep_may_be_agent(e, ino));
	assert_int_equal(upkeep_heartbeat_time(e, ino, &is_agent), 0); /* the file's own time says it */
	assert_true(is_agent);
	env_mem_advance(*state, NS_PER_S);
	fixture_heartbeat(e, A1);
	beat_ns = fixture_agent(e, "s1", "a")->heartbeat_ns;
	assert_int_equal(upkeep_heartbeat_time(e, ino, NULL), beat_ns);
	assert_int_equal(upkeep_heartbeat_time(e, fixture_ino(e, S1 "/state/f"), &is_agent), 0);
	assert_false(is_agent);
	(void)upkeep_run(e); /* initializing becomes active: its file is written, and has that time */
	assert_int_equal(mtime_of(e, A1, &ctime_ns), beat_ns);
	assert_true(ctime_ns >= beat_ns);
	assert_int_equal(upkeep_heartbeat_time(e, ino, NULL), 0);
	fixture_close_ok(e);
}

/* What was beaten and counted since the last time is written when the mount ends, and found at the next. */
static void test_pending_is_written_at_the_end(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	struct tree_attr attr;
	struct request q;
	int64_t beat_ns;

	fixture_put(e, A1, "agent: {status: active}\nmetrics: {operations_completed: 40} # mine\n");
	fixture_pass(*state, e, 60);
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d1", 0755, &attr), 0);
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d2", 0755, &attr), 0);
	beat_ns = fixture_agent(e, "s1", "a")->heartbeat_ns;
	e = fixture_reopen(*state, e);
	fixture_expect_says(e, A1, "operations_completed: 42");
	fixture_expect_says(e, A1, "# mine\n");
	assert_int_equal(fixture_agent(e, "s1", "a")->fields.operations_completed, 42);
	assert_int_equal(fixture_agent(e, "s1", "a")->heartbeat_ns / 1000, beat_ns / 1000); /* files have microseconds */
	fixture_close_ok(e);
}

/* Neither the daemon's counts nor a user's save are lost, whoever comes first. */
static void test_counts_and_saves(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	struct tree_attr attr;
	struct request q;

	fixture_put(e, A1, "metrics: {operations_completed: 5}\n");
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d1", 0755, &attr), 0);
	fixture_put(e, A1, "metrics: {operations_completed: 10}\n");
	fixture_expect_says(e, A1, "operations_completed: 11");
	assert_int_equal(fixture_agent(e, "s1", "a")->operations_added, 0);
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d2", 0755, &attr), 0);
	fixture_pass(*state, e, 60);
	fixture_expect_says(e, A1, "operations_completed: 12");
	fixture_close_ok(e);
}

/* More than one transaction takes: several, and nobody is forgotten. */
static void test_many_agents(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	char path[300];
	uint64_t head;

	for (int i = 0; i < 700; i++) {
		snprintf(path, sizeof(path), S1 "/agents/a%d.yaml", i);
		fixture_put(e, path, "agent: {status: active}\n");
	}
	fixture_pass(*state, e, 31);
	head = engine_head_seq(e);
	for (int i = 0; i < 700; i++) {
		snprintf(path, sizeof(path), S1 "/agents/a%d.yaml", i);
		fixture_heartbeat(e, path);
	}
	fixture_pass(*state, e, 31);
	assert_in_range(engine_head_seq(e) - head, 2, 6);
	for (const struct agent *a = fixture_session(e, "s1")->agents; a; a = a->next)
		assert_false(a->dirty);
	head = engine_head_seq(e);
	fixture_pass(*state, e, 100); /* all are silent at once */
	assert_true(engine_head_seq(e) - head <= 12);
	for (const struct agent *a = fixture_session(e, "s1")->agents; a; a = a->next)
		assert_int_equal(a->fields.status, AGENT_UNHEALTHY);
	assert_int_equal(fixture_count_events(e, "\"to\":\"unhealthy\""), 700);
	fixture_close_ok(e);
}

/* What a file may hold that is from before files were checked. */
static void put_unchecked(struct engine *e, const char *path, const char *text)
{
	uint64_t ino = fixture_ino(e, path);
	struct file_edit edit;
	struct request q;
	struct txn t;

	fixture_request(&q);
	txn_init(&t, e, &q, OPERATION_ADOPT);
	assert_int_equal(file_edit_prepare(ino, tree_node(engine_tree(e), ino)->newest, text, strlen(text), &t.blocks, &edit), 0);
	assert_int_equal(txn_reserve(&t, 0), 0);
	engine_lock(e);
	assert_int_equal(file_edit_add(&edit, &t), 0);
	assert_int_equal(txn_stage(&t), 0);
	engine_unlock(e);
	txn_finish(&t);
}

/* A file that cannot be edited is left as it is, and not tried again and again; what is known of its agent is not lost. */
static void test_a_file_that_cannot_be_edited(void **state)
{
	struct engine *e = fixture_open_upkept(*state, "session: {status: completed}\nconfiguration: {auto_checkpoint: false}\n"); /* no lines of health */
	uint64_t head;

	fixture_put(e, A1, "agent: {status: active, pid: 77}\n");
	put_unchecked(e, A1, "- agent: x\n- pid: 77\n");
	assert_int_equal(fixture_agent(e, "s1", "a")->fields.status, AGENT_INITIALIZING); /* nonsense says nothing */
	fixture_pass(*state, e, 1000);
	head = engine_head_seq(e);
	fixture_heartbeat(e, A1);
	fixture_pass(*state, e, 1000);
	assert_int_equal(fixture_agent(e, "s1", "a")->fields.status, AGENT_ACTIVE);
	assert_int_equal(fixture_count_events(e, "\"to\":\"active\",\"reason\":\"first sign of life\""), 1);
	fixture_heartbeat(e, A1);
	assert_true(fixture_pass(*state, e, 1000) < 6);
	assert_int_equal(engine_head_seq(e), head + 1);
	assert_string_equal(fixture_text(e, A1), "- agent: x\n- pid: 77\n");
	put_unchecked(e, S1 "/session.yaml", "- no session\n");
	assert_int_equal(fixture_unlink(e, A1), 0);
	fixture_pass(*state, e, 20000);
	assert_int_equal(fixture_count_events(e, "\"agent_deregistered\""), 1);
	assert_in_range(fixture_count_events(e, "\"reason\":\"expiry\""), 0, 1); /* not again and again */
	assert_string_equal(fixture_text(e, S1 "/session.yaml"), "- no session\n");
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_nothing_happens_for_a_day),
		FIXTURE_TEST(test_end_without_pending),
		FIXTURE_TEST(test_heartbeats_cost_one_transaction),
		FIXTURE_TEST(test_heartbeat_shows_at_once),
		FIXTURE_TEST(test_pending_is_written_at_the_end),
		FIXTURE_TEST(test_counts_and_saves),
		FIXTURE_TEST(test_many_agents),
		FIXTURE_TEST(test_a_file_that_cannot_be_edited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
