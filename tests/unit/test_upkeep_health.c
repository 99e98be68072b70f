/* SPDX-License-Identifier: MIT
 *
 * Who is unhealthy, dead, and back: silence, lines of health, processes that end. The clock is moved from one due time to the next, as
 * the thread that calls does.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "env_mem.h"
#include "session_fixture.h"
#include "upkeep.h"

#define MONITOR AGENTS ".health/monitor.jsonl"

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* ---- health ---- */

static void test_unhealthy_and_back(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);

	fixture_put(e, A1, "");
	fixture_put(e, S1 "/agents/lazy.yaml", "agent: {status: idle}\n");
	fixture_put(e, S1 "/agents/over.yaml", "agent: {status: completed}\n");
	fixture_expect_status(e, "a", "initializing");
	env_mem_advance(*state, NS_PER_S);
	fixture_heartbeat(e, A1);
	assert_true(upkeep_run(e) > env_monotonic_ns(*state));
	fixture_expect_status(e, "a", "active");
	fixture_pass(*state, e, 80);
	fixture_expect_status(e, "a", "active");
	fixture_expect_status(e, "lazy", "idle");
	fixture_pass(*state, e, 45);
	fixture_expect_status(e, "a", "unhealthy");
	fixture_expect_status(e, "lazy", "unhealthy");
	fixture_expect_status(e, "over", "completed");
	fixture_expect_says(e, S1 "/session.yaml", "active_agents: [\"a\", \"lazy\"]"); /* it may be working */
	fixture_heartbeat(e, A1);
	fixture_heartbeat(e, S1 "/agents/lazy.yaml");
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "active");
	fixture_expect_status(e, "lazy", "idle");
	assert_int_equal(fixture_count_events(e, "\"agent_status_changed\""), 5);
	assert_int_equal(fixture_count_events(e, "\"from\":\"active\",\"to\":\"unhealthy\",\"reason\":\"no sign of life for "), 1);
	fixture_close_ok(e);
}

/* What it was is known after another mount, too, and whatever has been saved meanwhile. */
static void test_unhealthy_and_back_after_a_mount(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);

	fixture_put(e, A1, "agent: {status: active}\n");
	fixture_put(e, S1 "/agents/lazy.yaml", "agent: {status: idle}\n");
	fixture_pass(*state, e, 125);
	fixture_expect_status(e, "a", "unhealthy");
	fixture_expect_status(e, "lazy", "unhealthy");
	e = fixture_reopen(*state, e);
	fixture_put(e, S1 "/agents/lazy.yaml", "agent: {status: unhealthy}\nstate: {step: 2}\n");
	fixture_pass(*state, e, 31);
	fixture_expect_status(e, "lazy", "unhealthy");
	fixture_heartbeat(e, A1);
	fixture_heartbeat(e, S1 "/agents/lazy.yaml");
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "active");
	fixture_expect_status(e, "lazy", "idle");
	fixture_close_ok(e);
}

/* An agent that works does not touch its file, and is healthy all the same. */
static void test_work_is_a_sign_of_life(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	struct tree_attr attr;
	struct request q;
	char name[20];

	fixture_put(e, A1, "agent: {status: active}\n");
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), name, 0755, &attr), 0);
		fixture_pass(*state, e, 50);
		fixture_expect_status(e, "a", "active");
	}
	fixture_close_ok(e);
}

/* A mount that was away for long, or a clock that was set, kills nobody. */
static void test_silence_begins_with_the_mount(void **state)
{
	struct engine *e = fixture_open_upkept(*state, "configuration: {max_session_duration: 1000000}\n");

	fixture_put(e, A1, "agent: {status: active}\n");
	fixture_close_ok(e);
	env_mem_advance(*state, DAY_S * NS_PER_S);
	e = fixture_open_ok(*state);
	fixture_pass(*state, e, 60);
	fixture_expect_status(e, "a", "active");
	fixture_pass(*state, e, 65);
	fixture_expect_status(e, "a", "unhealthy");
	fixture_close_ok(e);
}

static void test_monitor(void **state)
{
	struct engine *e = fixture_open_upkept(*state, "configuration: {heartbeat_interval: 10}\n");
	const struct node *n;

	fixture_pass(*state, e, 100);
	assert_string_equal(fixture_text(e, MONITOR), "(none)"); /* nobody to watch */
	fixture_put(e, A1, "agent: {status: active}\n");
	fixture_put(e, S1 "/agents/b.yaml", "agent: {status: active}\n");
	fixture_pass(*state, e, 25);
	assert_in_range(count_lines(fixture_text(e, MONITOR)), 2, 3);
	assert_non_null(strstr(fixture_text(e, MONITOR), ",\"session_id\":\"s1\",\"healthy_agents\":2,\"unhealthy_agents\":[]}\n"));
	fixture_heartbeat(e, S1 "/agents/b.yaml");
	fixture_pass(*state, e, 15);
	assert_non_null(strstr(fixture_text(e, MONITOR), "\"healthy_agents\":1,\"unhealthy_agents\":[\"a\"]}\n"));
	n = tree_node(engine_tree(e), fixture_ino(e, MONITOR));
	assert_int_equal(n->newest->attrs->mode, S_IFREG | 0644);
	assert_int_equal(n->newest->attrs->uid, 1000);
	assert_int_equal(fixture_count_events(e, "monitor.jsonl"), 0);
	/* It ends with the session. */
	fixture_put(e, S1 "/session.yaml", "session: {status: completed}\n");
	fixture_pass(*state, e, 400);
	assert_in_range(count_lines(fixture_text(e, MONITOR)), 3, 5);
	fixture_close_ok(e);
}

/* Sessions that are due at the same moment share one transaction. */
static void test_sessions_share_a_transaction(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	char path[300];
	uint64_t head;

	for (int i = 2; i < 12; i++) {
		snprintf(path, sizeof(path), "state/sessions/s%d", i);
		assert_int_equal(fixture_mkdir(e, path), 0);
		snprintf(path, sizeof(path), "state/sessions/s%d/agents/a.yaml", i);
		fixture_put(e, path, "agent: {status: idle}\n");
		env_mem_advance(*state, NS_PER_S / 3);
	}
	fixture_pass(*state, e, 60);
	head = engine_head_seq(e);
	fixture_pass(*state, e, 30); /* all of them become unhealthy a while later: not yet */
	assert_int_equal(engine_head_seq(e), head + 1);
	assert_int_equal(count_lines(fixture_text(e, "state/sessions/s11/agents/.health/monitor.jsonl")), 3);
	fixture_close_ok(e);
}

static void test_monitor_is_bounded(void **state)
{
	struct engine *e = fixture_open_upkept(*state, "configuration: {heartbeat_interval: 1, max_session_duration: 100000}\n");
	char path[300];
	uint64_t most = 0, least = UINT64_MAX;

	for (int i = 0; i < 60; i++) { /* long lines: all of them unhealthy */
		snprintf(path, sizeof(path), S1 "/agents/an-agent-with-quite-a-long-name-that-fills-the-line-%d.yaml", i);
		fixture_put(e, path, "");
	}
	fixture_pass(*state, e, 280);
	for (int i = 0; i < 80; i++) {
		const struct node *n = tree_node(engine_tree(e), fixture_ino(e, MONITOR));

		most = MAX(most, n->newest->size);
		least = i ? MIN(least, n->newest->size) : most;
		fixture_pass(*state, e, 5);
	}
	assert_true(most > (1u << 20) - (64u << 10) && most <= 1u << 20);
	assert_in_range(least, 500000, 600000);
	assert_memory_equal(fixture_text(e, MONITOR), "{\"timestamp\":\"", 14); /* cut at a line */
	fixture_close_ok(e);
}

/* ---- processes ---- */

static void expect_watched(struct engine *e, size_t count, uint32_t first)
{
	struct watched_pid *pids;
	uint64_t generation;
	size_t n;

	assert_int_equal(upkeep_watched_pids(e, &pids, &n, &generation), 0);
	assert_int_equal(generation, upkeep_watch_generation(e));
	assert_int_equal(n, count);
	if (count)
		assert_int_equal(pids[0].pid, first);
	free(pids);
}

static uint32_t in_container(uint32_t writer, uint32_t number)
{
	assert_int_equal(writer, 4242); /* engine_fixture.h */
	return number == 1 ? 77 : 0;
}

/* What a number means is asked when somebody saves it, and stays so when the daemon writes into the file. */
static void test_a_process_of_another_namespace(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);

	registry_set_numbers(e, in_container);
	fixture_put(e, A1, "agent: {pid: 1, status: active}\n");
	fixture_put(e, S1 "/agents/b.yaml", "agent: {pid: 66, status: active}\n"); /* nobody's */
	(void)upkeep_run(e);
	expect_watched(e, 1, 77);
	fixture_heartbeat(e, A1);
	fixture_pass(*state, e, 31);
	fixture_expect_says(e, A1, "pid: 1,");
	expect_watched(e, 1, 77);
	upkeep_process_ended(e, 1);
	upkeep_process_ended(e, 66);
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "active");
	fixture_expect_status(e, "b", "active");
	upkeep_process_ended(e, 77);
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "dead");
	assert_int_equal(engine_close(e), 0);
}

static void test_a_process_ends(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	uint64_t generation = upkeep_watch_generation(e);

	fixture_put(e, A1, "agent: {pid: 77, status: active}\n");
	fixture_put(e, S1 "/agents/b.yaml", "agent: {pid: 77, status: completed}\n");
	fixture_put(e, S1 "/agents/c.yaml", "agent: {pid: 66, status: idle}\n");
	(void)upkeep_run(e);
	expect_watched(e, 2, 66);
	assert_int_not_equal(upkeep_watch_generation(e), generation);
	upkeep_process_ended(e, 77);
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "dead");
	fixture_expect_status(e, "b", "completed");
	fixture_expect_status(e, "c", "idle");
	expect_watched(e, 1, 66);
	fixture_expect_says(e, S1 "/session.yaml", "active_agents: [\"c\"]");
	assert_int_equal(fixture_count_events(e, "\"agent_id\":\"a\",\"from\":\"active\",\"to\":\"dead\",\"reason\":\"process 77 ended\""), 1);
	/* It lives again, by its heartbeats: that process is not asked again. */
	fixture_heartbeat(e, A1);
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "active");
	expect_watched(e, 1, 66);
	fixture_expect_says(e, S1 "/session.yaml", "active_agents: [\"a\", \"c\"]");
	/* A new process is watched. */
	fixture_put(e, A1, "agent: {pid: 78, status: active}\n");
	(void)upkeep_run(e);
	expect_watched(e, 2, 66);
	fixture_close_ok(e);
}

/* What the kernel closes for a process that was killed is no sign of its life, but counts; what its children do is. */
static void test_the_dead_stay_dead(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	struct tree_attr attr;
	struct request q;
	struct draft *d;

	fixture_put(e, A1, "agent: {pid: 77, status: active}\n");
	fixture_put(e, S1 "/state/f", "x");
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	q.actor.pid = 77;
	assert_int_equal(draft_open(e, fixture_ino(e, S1 "/state/f"), DRAFT_WHOLE, &q.actor, &d), 0);
	assert_int_equal(draft_write(d, &q.actor, 0, "half", 4), 0);
	upkeep_process_ended(e, 77);
	assert_int_equal(draft_rollback(d, &q, "killed"), 0);
	draft_close(d);
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "dead");
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d1", 0755, &attr), 0);
	fixture_pass(*state, e, 60);
	fixture_expect_status(e, "a", "dead");
	assert_int_equal(fixture_agent(e, "s1", "a")->fields.operations_completed, 1);
	q.actor.pid = 78;
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d2", 0755, &attr), 0);
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "active");
	fixture_close_ok(e);
}

/* The number belongs to another process by now: it started after its agent was last heard of. */
static void test_a_number_is_used_again(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	int64_t now_ns = env_time_ns(*state);

	fixture_put(e, A1, "agent: {pid: 77, status: active}\n");
	upkeep_process_seen(e, 77, now_ns);
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "active");
	e = fixture_reopen(*state, e);
	upkeep_process_seen(e, 77, now_ns);
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "active");
	upkeep_process_seen(e, 77, env_time_ns(*state) + 10 * NS_PER_S);
	(void)upkeep_run(e);
	fixture_expect_status(e, "a", "dead");
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_unhealthy_and_back),
		FIXTURE_TEST(test_unhealthy_and_back_after_a_mount),
		FIXTURE_TEST(test_work_is_a_sign_of_life),
		FIXTURE_TEST(test_silence_begins_with_the_mount),
		FIXTURE_TEST(test_monitor),
		FIXTURE_TEST(test_sessions_share_a_transaction),
		FIXTURE_TEST(test_monitor_is_bounded),
		FIXTURE_TEST(test_a_process_of_another_namespace),
		FIXTURE_TEST(test_a_process_ends),
		FIXTURE_TEST(test_the_dead_stay_dead),
		FIXTURE_TEST(test_a_number_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
