/* SPDX-License-Identifier: MIT
 *
 * What virtual files say of agents, and the links by name and status. Time is set by hand.
 */
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "doc.h"
#include "env_mem.h"
#include "registry.h"
#include "upkeep.h"
#include "vfile_fixture.h"

#define START_NS (1767225600 * NS_PER_S) /* 2026-01-01 */

static int add_name(void *arg, const struct vnode *v)
{
	struct buf *names = arg;

	buf_printf(names, "%s ", strrchr(v->path, '/') + 1);
	return 0;
}

static void expect_listed(struct vfile_world *w, const char *dir, const char *want)
{
	struct buf names = BUF_INIT;

	assert_int_equal(vnode_list(&w->fs, dir, add_name, &names), 0);
	assert_string_equal(names.data ? names.data : "", want);
	buf_release(&names);
}

/* ---- links ---- */

static void test_links_by_status(void **state)
{
	struct vfile_world *w = *state;
	static const struct {
		const char *status;
		bool active;
	} steps[] = {{"paused", true}, {"completed", false}, {"active", true}, {"failed", false}, {"active", true}, {"expired", false}};
	char text[100];

	expect_listed(w, "state/active", "s1 s2 ");
	expect_listed(w, "state/completed", "");
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		snprintf(text, sizeof(text), "session: {status: %s}\n", steps[i].status);
		vfile_world_put(w, "state/sessions/s1/session.yaml", text);
		assert_int_equal(vfile_is_there(w, "state/active", "s1"), steps[i].active);
		assert_int_equal(vfile_is_there(w, "state/completed", "s1"), !steps[i].active);
		expect_listed(w, "state/active", steps[i].active ? "s1 s2 " : "s2 ");
		expect_listed(w, "state/completed", steps[i].active ? "" : "s1 ");
	}
	assert_int_equal(fixture_unlink(w->fs.engine, "state/sessions/s1/session.yaml"), 0);
	assert_int_equal(fixture_rmdir(w->fs.engine, "state/sessions/s2"), 0);
	assert_false(vfile_is_there(w, "state/active", "s2"));
	assert_false(vfile_is_there(w, "state/completed", "s2"));
	assert_true(vfile_is_there(w, "state/sessions/new", "health.yaml")); /* reserved also where there is no session yet, for what is adopted */
	assert_false(vfile_is_there(w, "state/active", "nobody"));
}

static void test_names_of_agents(void **state)
{
	struct vfile_world *w = *state;
	static const char *const none[] = {"twin", "twin.yml", "@s1.yaml", "twin@.yaml", "twin@nobody.yaml", "twin@s1@s1.yaml", "twin@s1", ".yaml", "@.yaml",
		"nobody.yaml", "nobody@s1.yaml", "twin.yaml.yaml", "twin@s2.yaml"};
	char longest[400];

	vfile_world_put(w, "state/sessions/s1/agents/twin.yaml", "agent: {type: one}\n");
	vfile_world_put(w, "state/sessions/s1/agents/x.yaml.yaml", "");
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (vfile_is_there(w, "agents/registry", none[i]) || vfile_is_there(w, "agents/status", none[i]))
			fail_msg("there is %s", none[i]);
	memset(longest, 'a', sizeof(longest));
	strcpy(longest + sizeof(longest) - 6, ".yaml");
	assert_false(vfile_is_there(w, "agents/status", longest));
	assert_true(vfile_is_there(w, "agents/registry", "twin.yaml"));
	assert_true(vfile_is_there(w, "agents/registry", "twin@s1.yaml"));
	assert_true(vfile_is_there(w, "agents/registry", "x.yaml.yaml"));
	expect_listed(w, "agents/registry", "twin.yaml x.yaml.yaml ");
	vfile_world_put(w, "state/sessions/s2/agents/twin.yaml", "agent: {type: two}\n");
	assert_false(vfile_is_there(w, "agents/registry", "twin.yaml"));
	expect_listed(w, "agents/status", "twin@s1.yaml x.yaml.yaml twin@s2.yaml ");
	vfile_expect_in(w, "agents/status", "twin@s1.yaml", "type", "one");
	vfile_expect_in(w, "agents/status", "twin@s2.yaml", "type", "two");
	/* who is removed gives way at once, though he may come back */
	assert_int_equal(fixture_unlink(w->fs.engine, "state/sessions/s1/agents/twin.yaml"), 0);
	assert_false(vfile_is_there(w, "agents/registry", "twin@s1.yaml"));
	expect_listed(w, "agents/registry", "x.yaml.yaml twin.yaml ");
	vfile_expect_in(w, "agents/status", "twin.yaml", "session", "s2");
	vfile_expect_in(w, "status", "agents.yaml", "counts.total", "2");
	vfile_expect_in(w, "state/sessions/s1", "health.yaml", "agents.total", "1");
}

static void test_links_of_agents(void **state)
{
	struct vfile_world *w = *state;
	cleanup_free char *text = NULL;

	vfile_world_put(w, "state/sessions/s1/agents/a.yaml", "");
	text = vfile_text(w, "agents/registry", "a.yaml");
	assert_string_equal(text, "../../state/sessions/s1/agents/a.yaml");
}

/* ---- agents ---- */

static void test_agent_status(void **state)
{
	struct vfile_world *w = *state;
	cleanup_free char *text = NULL;
	int64_t heartbeat_ns;
	struct doc *doc;

	env_mem_set_clock(w->env, START_NS + 86400 * NS_PER_S, 1000);
	vfile_world_put(w, "state/sessions/s1/session.yaml", "configuration: {heartbeat_interval: 20}\n");
	vfile_world_put(w, "state/sessions/s1/agents/a.yaml",
		"agent: {type: \"a\\nb: \\\"c\\\" [\", status: idle, pid: 4194304}\nmetrics: {operations_completed: "
		"5}\n");
	env_mem_advance(w->env, 7 * NS_PER_S);
	text = vfile_text(w, "agents/status", "a.yaml");
	assert_int_equal(strncmp(text, "status: idle\n", 13), 0);
	doc = vfile_doc(w, "agents/status", "a.yaml");
	vfile_expect(doc_root(doc), "session", "s1");
	vfile_expect(doc_root(doc), "type", "a\nb: \"c\" [");
	vfile_expect(doc_root(doc), "last_heartbeat_age_seconds", "7");
	vfile_expect(doc_root(doc), "heartbeat_interval_seconds", "20");
	vfile_expect(doc_root(doc), "operations_completed", "5");
	vfile_expect(doc_root(doc), "errors_encountered", "0");
	vfile_expect(doc_root(doc), "pid", "4194304");
	vfile_expect(doc_root(doc), "path", "state/sessions/s1/agents/a.yaml");
	heartbeat_ns = vfile_time(doc_root(doc), "last_heartbeat");
	assert_in_range(vfile_time(doc_root(doc), "unhealthy_at") - heartbeat_ns, 60 * NS_PER_S, 80 * NS_PER_S);
	doc_free(doc);
}

/* What the daemon has counted and not yet written shows. */
static void test_counts_not_yet_written(void **state)
{
	struct vfile_world *w = *state;
	struct engine *e = w->fs.engine;
	struct tree_attr attr;
	struct request q;

	vfile_world_put(w, "state/sessions/s1/agents/a.yaml", "metrics: {operations_completed: 5}\n");
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	for (int i = 0; i < 2; i++)
		assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, "state/sessions/s1/state"), i ? "x" : "y", 0755, &attr), 0);
	vfile_expect_in(w, "agents/status", "a.yaml", "operations_completed", "7");
	engine_lock(e);
	assert_int_equal(registry_agents_of_id(e, "a")->fields.operations_completed, 5);
	engine_unlock(e);
}

static void test_processes_and_locks(void **state)
{
	struct vfile_world *w = *state;
	struct engine *e = w->fs.engine;
	cleanup_free char *text = NULL;
	struct tree_attr attr;
	struct request q;

	vfile_world_put(w, "state/sessions/s1/agents/a.yaml", "agent: {pid: 4194303}\n");
	vfile_world_put(w, "state/sessions/s1/agents/b.yaml", "");
	(void)upkeep_run(e);
	vfile_expect_in(w, "agents/status", "a.yaml", "pid_watched", "true");
	vfile_expect_in(w, "agents/status", "b.yaml", "pid_watched", "false");
	vfile_expect_in(w, "agents/status", "b.yaml", "pid", "(null)");
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	for (int i = 0; i < 2; i++)
		assert_int_equal(engine_mknod(e, &q, fixture_ino(e, "state/.locks"), i ? "x \"y\"" : "b", S_IFREG | 0644, 0, &attr), 0);
	text = vfile_text(w, "agents/status", "a.yaml");
	assert_non_null(strstr(text, "\nlocks: [\"b\", \"x \\\"y\\\"\"]\n"));
	free(text);
	text = vfile_text(w, "agents/status", "b.yaml");
	assert_non_null(strstr(text, "\nlocks: []\n"));
}

/* Of two agents of one id only the one who holds a lock shows it. */
static void test_locks_of_namesakes(void **state)
{
	struct vfile_world *w = *state;
	struct engine *e = w->fs.engine;
	cleanup_free char *text = NULL;
	struct tree_attr attr;
	struct request q;

	vfile_world_put(w, "state/sessions/s1/agents/a.yaml", "");
	vfile_world_put(w, "state/sessions/s2/agents/a.yaml", "");
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	strcpy(q.actor.session, "s2");
	assert_int_equal(engine_mknod(e, &q, fixture_ino(e, "state/.locks"), "build", S_IFREG | 0644, 0, &attr), 0);
	vfile_world_put(w, "state/.locks/either", "a\n");
	text = vfile_text(w, "agents/status", "a@s1.yaml");
	assert_non_null(strstr(text, "\nlocks: [\"either\"]\n"));
	free(text);
	text = vfile_text(w, "agents/status", "a@s2.yaml");
	assert_non_null(strstr(text, "\nlocks: [\"build\", \"either\"]\n"));
	free(text);
	text = vfile_text(w, "status", "locks.yaml");
	assert_non_null(strstr(text, "\n    session: \"s2\"\n"));
	assert_non_null(strstr(text, "\n    session: null\n"));
}

static void test_agents_yaml(void **state)
{
	struct vfile_world *w = *state;
	cleanup_free char *empty = vfile_text(w, "status", "agents.yaml"), *text = NULL;
	const struct doc_node *list;
	struct doc *doc;

	assert_int_equal(strncmp(empty, "counts:\n  total: 0\n", 19), 0);
	assert_non_null(strstr(empty, "agents: []\n"));
	vfile_world_put(w, "state/sessions/s1/agents/b.yaml", "agent: {status: active}\n");
	vfile_world_put(w, "state/sessions/s1/agents/a.yaml", "agent: {status: active}\n");
	vfile_world_put(w, "state/sessions/s2/agents/a.yaml", "agent: {status: completed}\n");
	text = vfile_text(w, "status", "agents.yaml");
	assert_int_equal(strncmp(text, "counts:\n  total: 3\n", 19), 0);
	doc = vfile_doc(w, "status", "agents.yaml");
	vfile_expect(doc_root(doc), "counts.active", "2");
	vfile_expect(doc_root(doc), "counts.completed", "1");
	vfile_expect(doc_root(doc), "counts.dead", "0");
	list = doc_get(doc_root(doc), "agents");
	vfile_expect(vfile_item(list, "a", "s1"), "status", "active");
	vfile_expect(vfile_item(list, "a", "s2"), "status", "completed");
	vfile_expect(vfile_item(list, "a", "s2"), "unhealthy_at", "(null)");
	vfile_expect(vfile_item(list, "b", "s1"), "session", "s1");
	doc_free(doc);
}

/* @text holds each of @parts, in this order. */
static void expect_order(const char *text, const char *const *parts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *at = strstr(text, parts[i]);

		if (!at)
			fail_msg("'%s' does not follow in:\n%s", parts[i], text);
		text = at + strlen(parts[i]);
	}
}

/* Who is in trouble comes first, what is over last. */
static void test_what_comes_first(void **state)
{
	static const char *const agents[] = {"id: \"silent\"", "id: \"gone\"", "id: \"a\"", "id: \"works\"", "id: \"done\""};
	static const char *const sessions[] = {"id: \"s2\"", "id: \"s3\"", "id: \"s1\""};
	cleanup_free char *agent_list = NULL, *session_list = NULL;
	struct vfile_world *w = *state;

	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s3"), 0);
	vfile_world_put(w, "state/sessions/s2/agents/silent.yaml", "agent: {status: active}\n");
	vfile_world_put(w, "state/sessions/s1/agents/gone.yaml", "agent: {pid: 4194300}\n");
	upkeep_process_ended(w->fs.engine, 4194300);
	for (int i = 0; i < 5; i++) {
		(void)upkeep_run(w->fs.engine);
		env_mem_advance(w->env, 30 * NS_PER_S);
	}
	vfile_world_put(w, "state/sessions/s1/agents/done.yaml", "agent: {status: completed}\n");
	vfile_world_put(w, "state/sessions/s1/agents/works.yaml", "agent: {status: idle}\n");
	vfile_world_put(w, "state/sessions/s1/agents/a.yaml", "agent: {status: active}\n");
	vfile_world_put(w, "state/sessions/s1/session.yaml", "session: {status: completed}\n");
	agent_list = vfile_text(w, "status", "agents.yaml");
	session_list = vfile_text(w, "status", "sessions.yaml");
	expect_order(agent_list, agents, ARRAY_SIZE(agents));
	expect_order(session_list, sessions, ARRAY_SIZE(sessions));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_links_by_status, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_names_of_agents, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_links_of_agents, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_agent_status, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_counts_not_yet_written, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_processes_and_locks, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_locks_of_namesakes, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_agents_yaml, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_what_comes_first, vfile_sessions_setup, vfile_world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
