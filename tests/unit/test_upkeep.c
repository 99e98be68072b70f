/* SPDX-License-Identifier: MIT
 *
 * Upkeep by the clock: what happens when nobody does anything, what heartbeats cost, who is unhealthy or dead and comes back, when sessions
 * expire, checkpoints are taken and go. The clock is moved from one due time to the next, as the thread that calls does.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "upkeep.h"

#define S1 "state/sessions/s1"
#define A1 S1 "/agents/a.yaml"
#define MONITOR S1 "/agents/.health/monitor.jsonl"
#define DAY_S 86400

static int setup(void **state)
{
	*state = env_mem_new(5);
	return 0;
}

static int teardown(void **state)
{
	env_mem_free(*state);
	return 0;
}

static struct engine *open_with_session(void **state, const char *yaml)
{
	struct engine *e = fixture_open_ok(*state);

	assert_int_equal(fixture_mkdir(e, S1), 0);
	if (yaml)
		assert_int_equal(fixture_save_text(e, S1 "/session.yaml", yaml), 0);
	(void)upkeep_run(e);
	return e;
}

/* Let so much time pass, doing upkeep whenever it is due. Returns how often that was. */
static unsigned pass(struct env *env, struct engine *e, int64_t seconds)
{
	int64_t end_ns = env_monotonic_ns(env) + seconds * NS_PER_S, now_ns;
	unsigned runs = 0;

	for (int64_t next_ns = upkeep_run(e); (now_ns = env_monotonic_ns(env)) < end_ns; runs++) {
		env_mem_advance(env, MAX(MIN(next_ns, end_ns) - now_ns, 0));
		next_ns = upkeep_run(e);
	}
	return runs;
}

static struct session *session_ok(struct engine *e)
{
	struct session *s = registry_session(e, "s1");

	assert_non_null(s);
	return s;
}

static struct agent *agent_ok(struct engine *e, const char *id)
{
	struct agent *a = registry_agent(session_ok(e), id);

	assert_non_null(a);
	return a;
}

static void touch(struct engine *e, const char *path)
{
	assert_true(upkeep_heartbeat(e, fixture_ino(e, path)));
}

/* As a member `NAME: VALUE` of the file says. */
static void expect_says(struct engine *e, const char *path, const char *line)
{
	if (!strstr(fixture_text(e, path), line))
		fail_msg("%s does not say %s: %s", path, line, fixture_text(e, path));
}

/* In the file and in memory. */
static void expect_status(struct engine *e, const char *agent, const char *status)
{
	char path[300];
	const char *text;
	struct agent_fields f;

	snprintf(path, sizeof(path), S1 "/agents/%s.yaml", agent);
	text = fixture_text(e, path);
	assert_int_equal(agent_fields_parse(text, strlen(text), &f), 0);
	assert_string_equal(agent_status_name(f.status), status);
	assert_string_equal(agent_status_name(agent_ok(e, agent)->fields.status), status);
	agent_fields_release(&f);
}

static unsigned count_events(struct engine *e, const char *text)
{
	cleanup_free char *events = fixture_events(e, NULL);
	unsigned n = 0;

	for (const char *p = events; (p = strstr(p, text)); p++)
		n++;
	return n;
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* ---- nothing to do ---- */

static void test_nothing_happens_for_a_day(void **state)
{
	struct engine *e = open_with_session(state, "configuration: {max_session_duration: 1000000}\n");
	uint64_t head;

	pass(*state, e, 1000); /* what that save was: a checkpoint, and last_updated */
	head = engine_head_seq(e);
	assert_true(pass(*state, e, DAY_S) < 10);
	assert_int_equal(engine_head_seq(e), head);
	assert_int_equal(engine_close(e), 0);
}

/* A session that nobody has touched since it was made is closed as it is. */
static void test_end_without_pending(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	uint64_t head = engine_head_seq(e);

	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(*state);
	assert_int_equal(engine_head_seq(e), head);
	(void)upkeep_run(e);
	assert_int_equal(engine_head_seq(e), head);
	assert_int_equal(engine_close(e), 0);
}

/* ---- heartbeats ---- */

static void test_heartbeats_cost_one_transaction(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	char path[300], line[80], time[TIME_TEXT_BYTES];
	uint64_t head;

	for (int i = 0; i < 50; i++) {
		snprintf(path, sizeof(path), S1 "/agents/a%d.yaml", i);
		assert_int_equal(fixture_save_text(e, path, "agent: {status: active}\n"), 0);
	}
	pass(*state, e, 60); /* registration, and the lines of health */
	for (int round = 0; round < 4; round++) {
		head = engine_head_seq(e);
		for (int beat = 0; beat < 29; beat++) { /* 29 s of heartbeats, each second */
			for (int i = 0; i < 50; i++) {
				snprintf(path, sizeof(path), S1 "/agents/a%d.yaml", i);
				touch(e, path);
			}
			pass(*state, e, 1);
		}
		pass(*state, e, 1);
		assert_true(engine_head_seq(e) - head <= 1);
		assert_true(round == 0 || engine_head_seq(e) - head == 1);
	}
	pass(*state, e, 30);
	time_format(agent_ok(e, "a49")->heartbeat_ns, time);
	snprintf(line, sizeof(line), "last_heartbeat: \"%s\"", time);
	expect_says(e, path, line);
	assert_int_equal(count_events(e, "\"attributes_changed\""), 0);
	assert_int_equal(engine_close(e), 0);
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
	struct engine *e = open_with_session(state, NULL);
	int64_t beat_ns, ctime_ns;
	bool is_agent;
	uint64_t ino;

	assert_int_equal(fixture_save_text(e, A1, ""), 0);
	assert_int_equal(fixture_save_text(e, S1 "/state/f", "x"), 0);
	ino = fixture_ino(e, A1);
	assert_false(upkeep_heartbeat(e, fixture_ino(e, S1 "/state/f")));
	assert_false(upkeep_heartbeat(e, fixture_ino(e, S1 "/session.yaml")));
	assert_true(upkeep_may_be_agent(e, ino));
	assert_int_equal(upkeep_heartbeat_time(e, ino, &is_agent), 0); /* the file's own time says it */
	assert_true(is_agent);
	env_mem_advance(*state, NS_PER_S);
	touch(e, A1);
	beat_ns = agent_ok(e, "a")->heartbeat_ns;
	assert_int_equal(upkeep_heartbeat_time(e, ino, NULL), beat_ns);
	assert_int_equal(upkeep_heartbeat_time(e, fixture_ino(e, S1 "/state/f"), &is_agent), 0);
	assert_false(is_agent);
	(void)upkeep_run(e); /* initializing becomes active: its file is written, and has that time */
	assert_int_equal(mtime_of(e, A1, &ctime_ns), beat_ns);
	assert_true(ctime_ns >= beat_ns);
	assert_int_equal(upkeep_heartbeat_time(e, ino, NULL), 0);
	assert_int_equal(engine_close(e), 0);
}

/* What was beaten and counted since the last time is written when the mount ends, and found at the next. */
static void test_pending_is_written_at_the_end(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	struct tree_attr attr;
	struct request q;
	int64_t beat_ns;

	assert_int_equal(fixture_save_text(e, A1, "agent: {status: active}\nmetrics: {operations_completed: 40} # mine\n"), 0);
	pass(*state, e, 60);
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d1", 0755, &attr), 0);
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d2", 0755, &attr), 0);
	beat_ns = agent_ok(e, "a")->heartbeat_ns;
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(*state);
	expect_says(e, A1, "operations_completed: 42");
	expect_says(e, A1, "# mine\n");
	assert_int_equal(agent_ok(e, "a")->fields.operations_completed, 42);
	assert_int_equal(agent_ok(e, "a")->heartbeat_ns / 1000, beat_ns / 1000); /* files have microseconds */
	assert_int_equal(engine_close(e), 0);
}

/* Neither the daemon's counts nor a user's save are lost, whoever comes first. */
static void test_counts_and_saves(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	struct tree_attr attr;
	struct request q;

	assert_int_equal(fixture_save_text(e, A1, "metrics: {operations_completed: 5}\n"), 0);
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d1", 0755, &attr), 0);
	assert_int_equal(fixture_save_text(e, A1, "metrics: {operations_completed: 10}\n"), 0);
	expect_says(e, A1, "operations_completed: 11");
	assert_int_equal(agent_ok(e, "a")->operations_added, 0);
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d2", 0755, &attr), 0);
	pass(*state, e, 60);
	expect_says(e, A1, "operations_completed: 12");
	assert_int_equal(engine_close(e), 0);
}

/* More than one transaction takes: several, and nobody is forgotten. */
static void test_many_agents(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	char path[300];
	uint64_t head;

	for (int i = 0; i < 700; i++) {
		snprintf(path, sizeof(path), S1 "/agents/a%d.yaml", i);
		assert_int_equal(fixture_save_text(e, path, "agent: {status: active}\n"), 0);
	}
	pass(*state, e, 31);
	head = engine_head_seq(e);
	for (int i = 0; i < 700; i++) {
		snprintf(path, sizeof(path), S1 "/agents/a%d.yaml", i);
		touch(e, path);
	}
	pass(*state, e, 31);
	assert_in_range(engine_head_seq(e) - head, 2, 6);
	for (const struct agent *a = session_ok(e)->agents; a; a = a->next)
		assert_false(a->dirty);
	head = engine_head_seq(e);
	pass(*state, e, 100); /* all are silent at once */
	assert_true(engine_head_seq(e) - head <= 12);
	for (const struct agent *a = session_ok(e)->agents; a; a = a->next)
		assert_int_equal(a->fields.status, AGENT_UNHEALTHY);
	assert_int_equal(count_events(e, "\"to\":\"unhealthy\""), 700);
	assert_int_equal(engine_close(e), 0);
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
	struct engine *e = open_with_session(state, "session: {status: completed}\nconfiguration: {auto_checkpoint: false}\n"); /* no lines of health */
	uint64_t head;

	assert_int_equal(fixture_save_text(e, A1, "agent: {status: active, pid: 77}\n"), 0);
	put_unchecked(e, A1, "- agent: x\n- pid: 77\n");
	assert_int_equal(agent_ok(e, "a")->fields.status, AGENT_INITIALIZING); /* nonsense says nothing */
	pass(*state, e, 1000);
	head = engine_head_seq(e);
	touch(e, A1);
	pass(*state, e, 1000);
	assert_int_equal(agent_ok(e, "a")->fields.status, AGENT_ACTIVE);
	assert_int_equal(count_events(e, "\"to\":\"active\",\"reason\":\"first sign of life\""), 1);
	touch(e, A1);
	assert_true(pass(*state, e, 1000) < 6);
	assert_int_equal(engine_head_seq(e), head + 1);
	assert_string_equal(fixture_text(e, A1), "- agent: x\n- pid: 77\n");
	put_unchecked(e, S1 "/session.yaml", "- no session\n");
	assert_int_equal(fixture_unlink(e, A1), 0);
	pass(*state, e, 20000);
	assert_int_equal(count_events(e, "\"agent_deregistered\""), 1);
	assert_in_range(count_events(e, "\"reason\":\"expiry\""), 0, 1); /* not again and again */
	assert_string_equal(fixture_text(e, S1 "/session.yaml"), "- no session\n");
	assert_int_equal(engine_close(e), 0);
}

/* ---- health ---- */

static void test_unhealthy_and_back(void **state)
{
	struct engine *e = open_with_session(state, NULL);

	assert_int_equal(fixture_save_text(e, A1, ""), 0);
	assert_int_equal(fixture_save_text(e, S1 "/agents/lazy.yaml", "agent: {status: idle}\n"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/agents/over.yaml", "agent: {status: completed}\n"), 0);
	expect_status(e, "a", "initializing");
	env_mem_advance(*state, NS_PER_S);
	touch(e, A1);
	assert_true(upkeep_run(e) > env_monotonic_ns(*state));
	expect_status(e, "a", "active");
	pass(*state, e, 80);
	expect_status(e, "a", "active");
	expect_status(e, "lazy", "idle");
	pass(*state, e, 45);
	expect_status(e, "a", "unhealthy");
	expect_status(e, "lazy", "unhealthy");
	expect_status(e, "over", "completed");
	expect_says(e, S1 "/session.yaml", "active_agents: [\"a\", \"lazy\"]"); /* it may be working */
	touch(e, A1);
	touch(e, S1 "/agents/lazy.yaml");
	(void)upkeep_run(e);
	expect_status(e, "a", "active");
	expect_status(e, "lazy", "idle");
	assert_int_equal(count_events(e, "\"agent_status_changed\""), 5);
	assert_int_equal(count_events(e, "\"from\":\"active\",\"to\":\"unhealthy\",\"reason\":\"no sign of life for "), 1);
	assert_int_equal(engine_close(e), 0);
}

/* What it was is known after another mount, too, and whatever has been saved meanwhile. */
static void test_unhealthy_and_back_after_a_mount(void **state)
{
	struct engine *e = open_with_session(state, NULL);

	assert_int_equal(fixture_save_text(e, A1, "agent: {status: active}\n"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/agents/lazy.yaml", "agent: {status: idle}\n"), 0);
	pass(*state, e, 125);
	expect_status(e, "a", "unhealthy");
	expect_status(e, "lazy", "unhealthy");
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(*state);
	assert_int_equal(fixture_save_text(e, S1 "/agents/lazy.yaml", "agent: {status: unhealthy}\nstate: {step: 2}\n"), 0);
	pass(*state, e, 31);
	expect_status(e, "lazy", "unhealthy");
	touch(e, A1);
	touch(e, S1 "/agents/lazy.yaml");
	(void)upkeep_run(e);
	expect_status(e, "a", "active");
	expect_status(e, "lazy", "idle");
	assert_int_equal(engine_close(e), 0);
}

/* An agent that works does not touch its file, and is healthy all the same. */
static void test_work_is_a_sign_of_life(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	struct tree_attr attr;
	struct request q;
	char name[20];

	assert_int_equal(fixture_save_text(e, A1, "agent: {status: active}\n"), 0);
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), name, 0755, &attr), 0);
		pass(*state, e, 50);
		expect_status(e, "a", "active");
	}
	assert_int_equal(engine_close(e), 0);
}

/* A mount that was away for long, or a clock that was set, kills nobody. */
static void test_silence_begins_with_the_mount(void **state)
{
	struct engine *e = open_with_session(state, "configuration: {max_session_duration: 1000000}\n");

	assert_int_equal(fixture_save_text(e, A1, "agent: {status: active}\n"), 0);
	assert_int_equal(engine_close(e), 0);
	env_mem_advance(*state, DAY_S * NS_PER_S);
	e = fixture_open_ok(*state);
	pass(*state, e, 60);
	expect_status(e, "a", "active");
	pass(*state, e, 65);
	expect_status(e, "a", "unhealthy");
	assert_int_equal(engine_close(e), 0);
}

static void test_monitor(void **state)
{
	struct engine *e = open_with_session(state, "configuration: {heartbeat_interval: 10}\n");
	const struct node *n;

	pass(*state, e, 100);
	assert_string_equal(fixture_text(e, MONITOR), "(none)"); /* nobody to watch */
	assert_int_equal(fixture_save_text(e, A1, "agent: {status: active}\n"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/agents/b.yaml", "agent: {status: active}\n"), 0);
	pass(*state, e, 25);
	assert_in_range(count_lines(fixture_text(e, MONITOR)), 2, 3);
	assert_non_null(strstr(fixture_text(e, MONITOR), ",\"session_id\":\"s1\",\"healthy_agents\":2,\"unhealthy_agents\":[]}\n"));
	touch(e, S1 "/agents/b.yaml");
	pass(*state, e, 15);
	assert_non_null(strstr(fixture_text(e, MONITOR), "\"healthy_agents\":1,\"unhealthy_agents\":[\"a\"]}\n"));
	n = tree_node(engine_tree(e), fixture_ino(e, MONITOR));
	assert_int_equal(n->newest->attrs->mode, S_IFREG | 0644);
	assert_int_equal(n->newest->attrs->uid, 1000);
	assert_int_equal(count_events(e, "monitor.jsonl"), 0);
	/* It ends with the session. */
	assert_int_equal(fixture_save_text(e, S1 "/session.yaml", "session: {status: completed}\n"), 0);
	pass(*state, e, 400);
	assert_in_range(count_lines(fixture_text(e, MONITOR)), 3, 5);
	assert_int_equal(engine_close(e), 0);
}

/* Sessions that are due at the same moment share one transaction. */
static void test_sessions_share_a_transaction(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	char path[300];
	uint64_t head;

	for (int i = 2; i < 12; i++) {
		snprintf(path, sizeof(path), "state/sessions/s%d", i);
		assert_int_equal(fixture_mkdir(e, path), 0);
		snprintf(path, sizeof(path), "state/sessions/s%d/agents/a.yaml", i);
		assert_int_equal(fixture_save_text(e, path, "agent: {status: idle}\n"), 0);
		env_mem_advance(*state, NS_PER_S / 3);
	}
	pass(*state, e, 60);
	head = engine_head_seq(e);
	pass(*state, e, 30); /* all of them become unhealthy a while later: not yet */
	assert_int_equal(engine_head_seq(e), head + 1);
	assert_int_equal(count_lines(fixture_text(e, "state/sessions/s11/agents/.health/monitor.jsonl")), 3);
	assert_int_equal(engine_close(e), 0);
}

static void test_monitor_is_bounded(void **state)
{
	struct engine *e = open_with_session(state, "configuration: {heartbeat_interval: 1, max_session_duration: 100000}\n");
	char path[300];
	uint64_t most = 0, least = UINT64_MAX;

	for (int i = 0; i < 60; i++) { /* long lines: all of them unhealthy */
		snprintf(path, sizeof(path), S1 "/agents/an-agent-with-quite-a-long-name-that-fills-the-line-%d.yaml", i);
		assert_int_equal(fixture_save_text(e, path, ""), 0);
	}
	pass(*state, e, 280);
	for (int i = 0; i < 80; i++) {
		const struct node *n = tree_node(engine_tree(e), fixture_ino(e, MONITOR));

		most = MAX(most, n->newest->size);
		least = i ? MIN(least, n->newest->size) : most;
		pass(*state, e, 5);
	}
	assert_true(most > (1u << 20) - (64u << 10) && most <= 1u << 20);
	assert_in_range(least, 500000, 600000);
	assert_memory_equal(fixture_text(e, MONITOR), "{\"timestamp\":\"", 14); /* cut at a line */
	assert_int_equal(engine_close(e), 0);
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

static void test_a_process_ends(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	uint64_t generation = upkeep_watch_generation(e);

	assert_int_equal(fixture_save_text(e, A1, "agent: {pid: 77, status: active}\n"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/agents/b.yaml", "agent: {pid: 77, status: completed}\n"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/agents/c.yaml", "agent: {pid: 66, status: idle}\n"), 0);
	(void)upkeep_run(e);
	expect_watched(e, 2, 66);
	assert_int_not_equal(upkeep_watch_generation(e), generation);
	upkeep_process_ended(e, 77);
	(void)upkeep_run(e);
	expect_status(e, "a", "dead");
	expect_status(e, "b", "completed");
	expect_status(e, "c", "idle");
	expect_watched(e, 1, 66);
	expect_says(e, S1 "/session.yaml", "active_agents: [\"c\"]");
	assert_int_equal(count_events(e, "\"agent_id\":\"a\",\"from\":\"active\",\"to\":\"dead\",\"reason\":\"process 77 ended\""), 1);
	/* It lives again, by its heartbeats: that process is not asked again. */
	touch(e, A1);
	(void)upkeep_run(e);
	expect_status(e, "a", "active");
	expect_watched(e, 1, 66);
	expect_says(e, S1 "/session.yaml", "active_agents: [\"a\", \"c\"]");
	/* A new process is watched. */
	assert_int_equal(fixture_save_text(e, A1, "agent: {pid: 78, status: active}\n"), 0);
	(void)upkeep_run(e);
	expect_watched(e, 2, 66);
	assert_int_equal(engine_close(e), 0);
}

/* What the kernel closes for a process that was killed is no sign of its life, but counts; what its children do is. */
static void test_the_dead_stay_dead(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	struct tree_attr attr;
	struct request q;
	struct draft *d;

	assert_int_equal(fixture_save_text(e, A1, "agent: {pid: 77, status: active}\n"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/state/f", "x"), 0);
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	q.actor.pid = 77;
	assert_int_equal(draft_open(e, fixture_ino(e, S1 "/state/f"), DRAFT_WHOLE, &q.actor, &d), 0);
	assert_int_equal(draft_write(d, &q.actor, 0, "half", 4), 0);
	upkeep_process_ended(e, 77);
	assert_int_equal(draft_rollback(d, &q, "killed"), 0);
	draft_close(d);
	(void)upkeep_run(e);
	expect_status(e, "a", "dead");
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d1", 0755, &attr), 0);
	pass(*state, e, 60);
	expect_status(e, "a", "dead");
	assert_int_equal(agent_ok(e, "a")->fields.operations_completed, 1);
	q.actor.pid = 78;
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, S1 "/state"), "d2", 0755, &attr), 0);
	(void)upkeep_run(e);
	expect_status(e, "a", "active");
	assert_int_equal(engine_close(e), 0);
}

/* The number belongs to another process by now: it started after its agent was last heard of. */
static void test_a_number_is_used_again(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	int64_t now_ns = env_time_ns(*state);

	assert_int_equal(fixture_save_text(e, A1, "agent: {pid: 77, status: active}\n"), 0);
	upkeep_process_seen(e, 77, now_ns);
	(void)upkeep_run(e);
	expect_status(e, "a", "active");
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(*state);
	upkeep_process_seen(e, 77, now_ns);
	(void)upkeep_run(e);
	expect_status(e, "a", "active");
	upkeep_process_seen(e, 77, env_time_ns(*state) + 10 * NS_PER_S);
	(void)upkeep_run(e);
	expect_status(e, "a", "dead");
	assert_int_equal(engine_close(e), 0);
}

/* ---- session.yaml ---- */

static void test_last_updated(void **state)
{
	struct engine *e = open_with_session(state, "# kept\nsession:\n  type: 'x' # and this\nconfiguration: {auto_checkpoint: false}\n");
	char line[80], time[TIME_TEXT_BYTES];
	int64_t mtime_ns, ctime_ns;
	uint64_t head;

	for (int i = 0; i < 5; i++)
		assert_int_equal(fixture_save_text(e, S1 "/state/f", "x"), 0);
	time_format(session_ok(e)->changed_ns, time);
	snprintf(line, sizeof(line), "last_updated: \"%s\"", time);
	head = engine_head_seq(e);
	mtime_ns = mtime_of(e, S1 "/session.yaml", &ctime_ns);
	pass(*state, e, 31);
	assert_int_equal(engine_head_seq(e), head + 1);
	expect_says(e, S1 "/session.yaml", line);
	assert_int_equal(mtime_of(e, S1 "/session.yaml", &ctime_ns), mtime_ns); /* nobody saved it */
	expect_says(e, S1 "/session.yaml", "  type: 'x' # and this\n");
	pass(*state, e, 600);
	assert_int_equal(engine_head_seq(e), head + 1);
	assert_int_equal(engine_close(e), 0);
}

/* A list that says something else than is so is put right at once. */
static void test_stale_lists(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	struct upkeep *u;
	uint64_t head;

	assert_int_equal(fixture_save_text(e, A1, ""), 0);
	expect_says(e, S1 "/session.yaml", "active_agents: [\"a\"]");
	assert_int_equal(fixture_unlink(e, A1), 0);
	u = e->upkeep;
	e->upkeep = NULL;        /* no orderly end of upkeep either */
	fixture_kill(*state, e); /* before the two seconds are over */
	upkeep_free(u);
	e = fixture_open_ok(*state);
	expect_says(e, S1 "/session.yaml", "active_agents: [\"a\"]");
	head = engine_head_seq(e);
	(void)upkeep_run(e);
	expect_says(e, S1 "/session.yaml", "active_agents: []");
	assert_int_equal(engine_head_seq(e), head + 1);
	(void)upkeep_run(e);
	assert_int_equal(engine_head_seq(e), head + 1);
	assert_int_equal(engine_close(e), 0);
}

/* ---- expiry ---- */

static void test_expiry(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	uint64_t head;

	pass(*state, e, 14390);
	expect_says(e, S1 "/session.yaml", "status: \"active\"");
	pass(*state, e, 15);
	expect_says(e, S1 "/session.yaml", "status: \"expired\"");
	assert_int_equal(session_ok(e)->fields.status, SESSION_EXPIRED);
	assert_int_equal(session_ok(e)->checkpoint_count, 2);
	assert_int_equal(count_events(e, "\"reason\":\"expiry\""), 1);
	head = engine_head_seq(e);
	pass(*state, e, DAY_S);
	assert_int_equal(engine_head_seq(e), head);
	assert_int_equal(engine_close(e), 0);
}

/* A changed duration holds at once; the time a session was reopened is known from history, also after a restart. */
static void test_expiry_changes(void **state)
{
	struct engine *e = open_with_session(state, NULL);

	assert_int_equal(fixture_save_text(e, S1 "/session.yaml", "configuration: {max_session_duration: 100}\n"), 0);
	pass(*state, e, 90);
	assert_int_equal(session_ok(e)->fields.status, SESSION_ACTIVE);
	pass(*state, e, 15);
	assert_int_equal(session_ok(e)->fields.status, SESSION_EXPIRED);
	pass(*state, e, 1000);
	assert_int_equal(fixture_save_text(e, S1 "/session.yaml", "session: {status: active}\nconfiguration: {max_session_duration: 100}\n"), 0);
	pass(*state, e, 50);
	assert_int_equal(session_ok(e)->fields.status, SESSION_ACTIVE);
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(*state);
	pass(*state, e, 40);
	assert_int_equal(session_ok(e)->fields.status, SESSION_ACTIVE);
	pass(*state, e, 15);
	assert_int_equal(session_ok(e)->fields.status, SESSION_EXPIRED);
	assert_int_equal(engine_close(e), 0);
}

static void replace_session_file(struct engine *e, const char *text)
{
	assert_int_equal(fixture_save_text(e, S1 "/temporary", text), 0);
	assert_int_equal(fixture_rename(e, S1 "/temporary", S1 "/session.yaml", 0), 0);
}

/* Tools replace the file: `sed -i` reopens a session like any other save, and what it says later does not make it older. */
static void test_reopened_by_replacement(void **state)
{
	struct engine *e = open_with_session(state, NULL);

	replace_session_file(e, "configuration: {max_session_duration: 100}\n");
	pass(*state, e, 105);
	assert_int_equal(session_ok(e)->fields.status, SESSION_EXPIRED);
	pass(*state, e, 1000);
	replace_session_file(e, "session: {status: active}\nconfiguration: {max_session_duration: 100}\n");
	pass(*state, e, 50);
	assert_int_equal(session_ok(e)->fields.status, SESSION_ACTIVE);
	replace_session_file(e, "session: {status: active}\nconfiguration: {max_session_duration: 100}\nown: x\n");
	assert_int_equal(fixture_unlink(e, S1 "/session.yaml"), 0);
	replace_session_file(e, "configuration: {max_session_duration: 100}\n");
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(*state);
	pass(*state, e, 40);
	assert_int_equal(session_ok(e)->fields.status, SESSION_ACTIVE);
	pass(*state, e, 15);
	assert_int_equal(session_ok(e)->fields.status, SESSION_EXPIRED);
	assert_int_equal(engine_close(e), 0);
}

/* ---- checkpoints ---- */

static void test_periodic_checkpoints(void **state)
{
	struct engine *e = open_with_session(state, NULL);

	pass(*state, e, 3000);
	assert_int_equal(session_ok(e)->checkpoint_count, 1); /* nothing changed */
	assert_int_equal(fixture_save_text(e, S1 "/state/f", "x"), 0);
	pass(*state, e, 290);
	assert_int_equal(session_ok(e)->checkpoint_count, 1);
	assert_int_equal(fixture_save_text(e, S1 "/state/f", "y"), 0);
	pass(*state, e, 15);
	assert_int_equal(session_ok(e)->checkpoint_count, 2);
	assert_true(session_ok(e)->newest_checkpoint->automatic);
	assert_int_equal(count_events(e, "\"reason\":\"periodic\""), 1);
	pass(*state, e, 3000);
	assert_int_equal(session_ok(e)->checkpoint_count, 2);
	/* What the daemon does by itself is no change. */
	assert_int_equal(fixture_save_text(e, A1, "agent: {status: active}\n"), 0);
	pass(*state, e, 290);
	expect_status(e, "a", "unhealthy");
	pass(*state, e, 3000);
	assert_int_equal(session_ok(e)->checkpoint_count, 3);
	assert_int_equal(session_ok(e)->unsaved_ns, 0);
	assert_int_equal(fixture_unlink(e, A1), 0);
	pass(*state, e, 1000);
	assert_int_equal(session_ok(e)->checkpoint_count, 4);
	/* Across a restart the change is remembered. */
	assert_int_equal(fixture_save_text(e, S1 "/state/f", "z"), 0);
	pass(*state, e, 200);
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(*state);
	pass(*state, e, 110);
	assert_int_equal(session_ok(e)->checkpoint_count, 5);
	assert_int_equal(engine_close(e), 0);
}

static void test_no_automatic_checkpoints(void **state)
{
	struct engine *e = open_with_session(state, "configuration: {auto_checkpoint: false}\n");

	assert_int_equal(fixture_save_text(e, S1 "/state/f", "x"), 0);
	pass(*state, e, 3000);
	assert_int_equal(session_ok(e)->checkpoint_count, 1);
	assert_int_equal(fixture_save_text(e, S1 "/session.yaml", "recovery: {enabled: false}\n"), 0);
	pass(*state, e, 3000);
	assert_int_equal(session_ok(e)->checkpoint_count, 1);
	/* Switched on, what has waited for so long is due at once. */
	assert_int_equal(fixture_save_text(e, S1 "/session.yaml", ""), 0);
	(void)upkeep_run(e);
	assert_int_equal(session_ok(e)->checkpoint_count, 2);
	assert_int_equal(engine_close(e), 0);
}

static void test_retention(void **state)
{
	struct engine *e = open_with_session(state, "configuration: {max_session_duration: 10000000, backup_retention: 3}\n");
	char id[ACTOR_ID_BYTES];

	pass(*state, e, 1000);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/mine"), 0);
	for (int day = 0; day < 5; day++) {
		assert_int_equal(fixture_save_text(e, S1 "/state/f", "x"), 0);
		pass(*state, e, DAY_S);
	}
	/* Of initialization, the first save's, mine, and five days' one each: two are too old, mine is mine. */
	assert_int_equal(session_ok(e)->checkpoint_count, 4);
	assert_non_null(registry_checkpoint(session_ok(e), "mine"));
	memcpy(id, session_ok(e)->newest_checkpoint->id, sizeof(id));
	pass(*state, e, 10 * DAY_S);
	assert_int_equal(session_ok(e)->checkpoint_count, 2);
	assert_string_equal(session_ok(e)->newest_checkpoint->id, id); /* never the newest */
	assert_int_equal(count_events(e, "\"checkpoint_removed\""), 6);
	expect_says(e, S1 "/session.yaml", "\", \"mine\"]");
	assert_int_equal(engine_close(e), 0);
}

/* With 0 days a newer one takes its place. */
static void test_retention_of_none(void **state)
{
	struct engine *e = open_with_session(state, "configuration: {backup_retention: 0}\n");

	pass(*state, e, 400);
	assert_int_equal(session_ok(e)->checkpoint_count, 1);
	assert_int_equal(fixture_save_text(e, S1 "/state/f", "x"), 0);
	pass(*state, e, 400);
	assert_int_equal(session_ok(e)->checkpoint_count, 1);
	assert_int_equal(count_events(e, "\"reason\":\"periodic\""), 2);
	assert_int_equal(engine_close(e), 0);
}

/* Who calls his own checkpoint-something, even by the time as the daemon does, keeps it; after a restart, too. */
static void test_retention_of_ones_own(void **state)
{
	static const char *const names[] = {"checkpoint-mine", "checkpoint-1", "checkpoint-1795341601", "checkpoint-1795341601-2", "checkpoint-1795341601-x",
		"checkpoint-17953416010", "checkpoint-1795341601-"};
	struct engine *e = open_with_session(state, "configuration: {max_session_duration: 10000000, backup_retention: 1}\n");
	char path[200];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/checkpoints/%s", S1, names[i]);
		assert_int_equal(fixture_mkdir(e, path), 0);
	}
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(*state);
	assert_int_equal(fixture_save_text(e, S1 "/state/f", "x"), 0);
	pass(*state, e, 5 * DAY_S);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_non_null(registry_checkpoint(session_ok(e), names[i]));
	assert_int_equal(session_ok(e)->checkpoint_count, ARRAY_SIZE(names) + 1); /* and the newest; the first of all is gone */
	assert_int_equal(engine_close(e), 0);
}

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
	struct engine *e = open_with_session(state, "configuration: {checkpoint_interval: 100}\n");
	size_t checkpoints;
	uint64_t head;

	assert_int_equal(fixture_save_text(e, A1, "agent: {pid: 77, status: active}\n"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/agents/b.yaml", ""), 0);
	pass(*state, e, 1);
	touch(e, S1 "/agents/b.yaml");
	checkpoints = session_ok(e)->checkpoint_count;
	env_mem_set_capacity(*state, 1);
	assert_false(no_room_is_said(e));
	while (!fixture_append(e, S1 "/state/fill", "x", 1))
		;
	assert_true(no_room_is_said(e));
	head = engine_head_seq(e);
	upkeep_process_ended(e, 77);
	assert_true(pass(*state, e, 200) < 150);
	assert_true(no_room_is_said(e));
	assert_int_equal(engine_head_seq(e), head);
	assert_int_equal(session_ok(e)->checkpoint_count, checkpoints);
	assert_int_equal(agent_ok(e, "a")->fields.status, AGENT_ACTIVE);
	env_mem_set_capacity(*state, 0);
	pass(*state, e, 3);
	assert_false(no_room_is_said(e));
	expect_status(e, "a", "dead");
	assert_false(agent_ok(e, "b")->dirty);
	assert_true(session_ok(e)->checkpoint_count > checkpoints);
	assert_int_equal(engine_close(e), 0);
}

/* A store can be mounted although there is no room for anything. */
static void test_mount_on_a_full_disk(void **state)
{
	struct engine *e = open_with_session(state, NULL);

	env_mem_set_capacity(*state, 1);
	while (!fixture_append(e, S1 "/state/fill", "x", 1))
		;
	fixture_kill(*state, e);
	e = fixture_open_ok(*state);
	assert_int_equal(fixture_append(e, S1 "/state/fill", "x", 1), -ENOSPC);
	assert_true(no_room_is_said(e));
	env_mem_set_capacity(*state, 0);
	assert_int_equal(fixture_append(e, S1 "/state/fill", "x", 1), 0);
	pass(*state, e, 3);
	assert_false(no_room_is_said(e));
	assert_int_equal(engine_close(e), 0);
}

static void test_no_room(void **state)
{
	struct engine *e = open_with_session(state, NULL);
	uint64_t head;

	assert_int_equal(fixture_save_text(e, A1, "agent: {pid: 77, status: active}\n"), 0);
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
	expect_status(e, "a", "dead");
	assert_int_equal(engine_close(e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_happens_for_a_day, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_without_pending, setup, teardown),
		cmocka_unit_test_setup_teardown(test_heartbeats_cost_one_transaction, setup, teardown),
		cmocka_unit_test_setup_teardown(test_heartbeat_shows_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pending_is_written_at_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts_and_saves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_agents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_file_that_cannot_be_edited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unhealthy_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unhealthy_and_back_after_a_mount, setup, teardown),
		cmocka_unit_test_setup_teardown(test_work_is_a_sign_of_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silence_begins_with_the_mount, setup, teardown),
		cmocka_unit_test_setup_teardown(test_monitor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sessions_share_a_transaction, setup, teardown),
		cmocka_unit_test_setup_teardown(test_monitor_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_process_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_dead_stay_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_number_is_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_updated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expiry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expiry_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reopened_by_replacement, setup, teardown),
		cmocka_unit_test_setup_teardown(test_periodic_checkpoints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_automatic_checkpoints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retention, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retention_of_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retention_of_ones_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mount_on_a_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
