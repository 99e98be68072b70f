/* SPDX-License-Identifier: MIT
 *
 * Sessions and agents at a glance (vfile_model.c, vfile_sessions.c, vfile_agents.c), without a mount: which names there are, and what
 * the texts say, with a clock that is set.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "registry.h"
#include "upkeep.h"
#include "vfile_model.h"

#define START_NS (1767225600 * NS_PER_S) /* 2026-01-01 */

struct world {
	struct env *env;
	struct fs fs;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->env = env_mem_new(11);
	w->fs.engine = fixture_open_ok(w->env);
	w->fs.project = (char *)"/tmp/project";
	w->fs.started_ns = env_time_ns(w->env);
	w->fs.vnodes = vnode_table_new();
	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s1"), 0);
	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s2"), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	vnode_table_free(w->fs.vnodes);
	assert_int_equal(engine_close(w->fs.engine), 0);
	env_mem_free(w->env);
	free(w);
	return 0;
}

static void save(struct world *w, const char *path, const char *text)
{
	if (fixture_save_text(w->fs.engine, path, text))
		fail_msg("%s: cannot be saved", path);
}

static bool there(struct world *w, const char *dir, const char *name)
{
	return vnode_lookup(&w->fs, dir, name);
}

static int add_name(void *arg, const struct vnode *v)
{
	struct buf *names = arg;

	buf_printf(names, "%s ", strrchr(v->path, '/') + 1);
	return 0;
}

static void expect_listed(struct world *w, const char *dir, const char *want)
{
	struct buf names = BUF_INIT;

	assert_int_equal(vnode_list(&w->fs, dir, add_name, &names), 0);
	assert_string_equal(names.data ? names.data : "", want);
	buf_release(&names);
}

static char *text_of(struct world *w, const char *dir, const char *name)
{
	const struct vnode *v = vnode_lookup(&w->fs, dir, name);
	struct buf out = BUF_INIT;

	if (!v)
		fail_msg("no %s/%s", dir, name);
	assert_int_equal(vnode_render(&w->fs, v, &out), 0);
	return buf_take(&out, NULL);
}

/* The texts are YAML whatever they hold; the parsed one. */
static struct doc *doc_of(struct world *w, const char *dir, const char *name)
{
	cleanup_free char *text = text_of(w, dir, name);
	struct reason why = {0};
	struct doc *doc;

	if (doc_parse_yaml(text, strlen(text), &why, &doc))
		fail_msg("%s/%s: line %u: %s\n%s", dir, name, why.line, why.text, text);
	return doc;
}

static const char *value(const struct doc_node *root, const char *path)
{
	const struct doc_node *n = doc_get_path(root, path);

	if (!n)
		fail_msg("no %s", path);
	return n->type == DOC_NULL ? "(null)" : n->text;
}

static void expect(const struct doc_node *root, const char *path, const char *want)
{
	assert_string_equal(value(root, path), want);
}

static void expect_in(struct world *w, const char *dir, const char *name, const char *path, const char *want)
{
	struct doc *doc = doc_of(w, dir, name);

	expect(doc_root(doc), path, want);
	doc_free(doc);
}

static int64_t time_of(const struct doc_node *root, const char *path)
{
	int64_t ns;

	if (time_parse(value(root, path), &ns))
		fail_msg("%s is no time: %s", path, value(root, path));
	return ns;
}

/* The item of a list of mappings whose `id` (and, if not NULL, `session`) is that. */
static const struct doc_node *item(const struct doc_node *list, const char *id, const char *session)
{
	for (const struct doc_node *n = list ? list->child : NULL; n; n = n->next)
		if (!strcmp(value(n, "id"), id) && (!session || !strcmp(value(n, "session"), session)))
			return n;
	fail_msg("%s is not listed", id);
	return NULL;
}

static void go_on(struct world *w, int64_t seconds)
{
	env_mem_advance(w->env, seconds * NS_PER_S);
}

/* ---- links ---- */

static void test_links_by_status(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *status;
		bool active;
	} steps[] = {{"paused", true}, {"completed", false}, {"active", true}, {"failed", false}, {"active", true}, {"expired", false}};
	char text[100];

	expect_listed(w, "state/active", "s1 s2 ");
	expect_listed(w, "state/completed", "");
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		snprintf(text, sizeof(text), "session: {status: %s}\n", steps[i].status);
		save(w, "state/sessions/s1/session.yaml", text);
		assert_int_equal(there(w, "state/active", "s1"), steps[i].active);
		assert_int_equal(there(w, "state/completed", "s1"), !steps[i].active);
		expect_listed(w, "state/active", steps[i].active ? "s1 s2 " : "s2 ");
		expect_listed(w, "state/completed", steps[i].active ? "" : "s1 ");
	}
	assert_int_equal(fixture_unlink(w->fs.engine, "state/sessions/s1/session.yaml"), 0);
	assert_int_equal(fixture_rmdir(w->fs.engine, "state/sessions/s2"), 0);
	assert_false(there(w, "state/active", "s2"));
	assert_false(there(w, "state/completed", "s2"));
	assert_true(there(w, "state/sessions/new", "health.yaml")); /* reserved also where there is no session yet, for what is adopted */
	assert_false(there(w, "state/active", "nobody"));
}

static void test_names_of_agents(void **state)
{
	struct world *w = *state;
	static const char *const none[] = {"twin", "twin.yml", "@s1.yaml", "twin@.yaml", "twin@nobody.yaml", "twin@s1@s1.yaml", "twin@s1", ".yaml", "@.yaml",
		"nobody.yaml", "nobody@s1.yaml", "twin.yaml.yaml", "twin@s2.yaml"};
	char longest[400];

	save(w, "state/sessions/s1/agents/twin.yaml", "agent: {type: one}\n");
	save(w, "state/sessions/s1/agents/x.yaml.yaml", "");
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (there(w, "agents/registry", none[i]) || there(w, "agents/status", none[i]))
			fail_msg("there is %s", none[i]);
	memset(longest, 'a', sizeof(longest));
	strcpy(longest + sizeof(longest) - 6, ".yaml");
	assert_false(there(w, "agents/status", longest));
	assert_true(there(w, "agents/registry", "twin.yaml"));
	assert_true(there(w, "agents/registry", "twin@s1.yaml"));
	assert_true(there(w, "agents/registry", "x.yaml.yaml"));
	expect_listed(w, "agents/registry", "twin.yaml x.yaml.yaml ");
	save(w, "state/sessions/s2/agents/twin.yaml", "agent: {type: two}\n");
	assert_false(there(w, "agents/registry", "twin.yaml"));
	expect_listed(w, "agents/status", "twin@s1.yaml x.yaml.yaml twin@s2.yaml ");
	expect_in(w, "agents/status", "twin@s1.yaml", "type", "one");
	expect_in(w, "agents/status", "twin@s2.yaml", "type", "two");
	/* who is removed gives way at once, though he may come back */
	assert_int_equal(fixture_unlink(w->fs.engine, "state/sessions/s1/agents/twin.yaml"), 0);
	assert_false(there(w, "agents/registry", "twin@s1.yaml"));
	expect_listed(w, "agents/registry", "x.yaml.yaml twin.yaml ");
	expect_in(w, "agents/status", "twin.yaml", "session", "s2");
	expect_in(w, "status", "agents.yaml", "counts.total", "2");
	expect_in(w, "state/sessions/s1", "health.yaml", "agents.total", "1");
}

static void test_links_of_agents(void **state)
{
	struct world *w = *state;
	cleanup_free char *text = NULL;

	save(w, "state/sessions/s1/agents/a.yaml", "");
	text = text_of(w, "agents/registry", "a.yaml");
	assert_string_equal(text, "../../state/sessions/s1/agents/a.yaml");
}

/* ---- agents ---- */

static void test_agent_status(void **state)
{
	struct world *w = *state;
	cleanup_free char *text = NULL;
	int64_t heartbeat_ns;
	struct doc *doc;

	env_mem_set_clock(w->env, START_NS + 86400 * NS_PER_S, 1000);
	save(w, "state/sessions/s1/session.yaml", "configuration: {heartbeat_interval: 20}\n");
	save(w, "state/sessions/s1/agents/a.yaml",
		"agent: {type: \"a\\nb: \\\"c\\\" [\", status: idle, pid: 4194304}\nmetrics: {operations_completed: "
		"5}\n");
	go_on(w, 7);
	text = text_of(w, "agents/status", "a.yaml");
	assert_int_equal(strncmp(text, "status: idle\n", 13), 0);
	doc = doc_of(w, "agents/status", "a.yaml");
	expect(doc_root(doc), "session", "s1");
	expect(doc_root(doc), "type", "a\nb: \"c\" [");
	expect(doc_root(doc), "last_heartbeat_age_seconds", "7");
	expect(doc_root(doc), "heartbeat_interval_seconds", "20");
	expect(doc_root(doc), "operations_completed", "5");
	expect(doc_root(doc), "errors_encountered", "0");
	expect(doc_root(doc), "pid", "4194304");
	expect(doc_root(doc), "path", "state/sessions/s1/agents/a.yaml");
	heartbeat_ns = time_of(doc_root(doc), "last_heartbeat");
	assert_in_range(time_of(doc_root(doc), "unhealthy_at") - heartbeat_ns, 60 * NS_PER_S, 80 * NS_PER_S);
	doc_free(doc);
}

/* What the daemon has counted and not yet written shows. */
static void test_counts_not_yet_written(void **state)
{
	struct world *w = *state;
	struct engine *e = w->fs.engine;
	struct tree_attr attr;
	struct request q;

	save(w, "state/sessions/s1/agents/a.yaml", "metrics: {operations_completed: 5}\n");
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	for (int i = 0; i < 2; i++)
		assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, "state/sessions/s1/state"), i ? "x" : "y", 0755, &attr), 0);
	expect_in(w, "agents/status", "a.yaml", "operations_completed", "7");
	engine_lock(e);
	assert_int_equal(registry_agents_of_id(e, "a")->fields.operations_completed, 5);
	engine_unlock(e);
}

static void test_processes_and_locks(void **state)
{
	struct world *w = *state;
	struct engine *e = w->fs.engine;
	cleanup_free char *text = NULL;
	struct tree_attr attr;
	struct request q;

	save(w, "state/sessions/s1/agents/a.yaml", "agent: {pid: 4194303}\n");
	save(w, "state/sessions/s1/agents/b.yaml", "");
	(void)upkeep_run(e);
	expect_in(w, "agents/status", "a.yaml", "pid_watched", "true");
	expect_in(w, "agents/status", "b.yaml", "pid_watched", "false");
	expect_in(w, "agents/status", "b.yaml", "pid", "(null)");
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	for (int i = 0; i < 2; i++)
		assert_int_equal(engine_mknod(e, &q, fixture_ino(e, "state/.locks"), i ? "x \"y\"" : "b", S_IFREG | 0644, 0, &attr), 0);
	text = text_of(w, "agents/status", "a.yaml");
	assert_non_null(strstr(text, "\nlocks: [\"b\", \"x \\\"y\\\"\"]\n"));
	free(text);
	text = text_of(w, "agents/status", "b.yaml");
	assert_non_null(strstr(text, "\nlocks: []\n"));
}

/* Of two agents of one id only the one who holds a lock shows it. */
static void test_locks_of_namesakes(void **state)
{
	struct world *w = *state;
	struct engine *e = w->fs.engine;
	cleanup_free char *text = NULL;
	struct tree_attr attr;
	struct request q;

	save(w, "state/sessions/s1/agents/a.yaml", "");
	save(w, "state/sessions/s2/agents/a.yaml", "");
	fixture_request(&q);
	strcpy(q.actor.agent, "a");
	strcpy(q.actor.session, "s2");
	assert_int_equal(engine_mknod(e, &q, fixture_ino(e, "state/.locks"), "build", S_IFREG | 0644, 0, &attr), 0);
	save(w, "state/.locks/either", "a\n");
	text = text_of(w, "agents/status", "a@s1.yaml");
	assert_non_null(strstr(text, "\nlocks: [\"either\"]\n"));
	free(text);
	text = text_of(w, "agents/status", "a@s2.yaml");
	assert_non_null(strstr(text, "\nlocks: [\"build\", \"either\"]\n"));
	free(text);
	text = text_of(w, "status", "locks.yaml");
	assert_non_null(strstr(text, "\n    session: \"s2\"\n"));
	assert_non_null(strstr(text, "\n    session: null\n"));
}

static void test_agents_yaml(void **state)
{
	struct world *w = *state;
	cleanup_free char *empty = text_of(w, "status", "agents.yaml"), *text = NULL;
	const struct doc_node *list;
	struct doc *doc;

	assert_int_equal(strncmp(empty, "counts:\n  total: 0\n", 19), 0);
	assert_non_null(strstr(empty, "agents: []\n"));
	save(w, "state/sessions/s1/agents/b.yaml", "agent: {status: active}\n");
	save(w, "state/sessions/s1/agents/a.yaml", "agent: {status: active}\n");
	save(w, "state/sessions/s2/agents/a.yaml", "agent: {status: completed}\n");
	text = text_of(w, "status", "agents.yaml");
	assert_int_equal(strncmp(text, "counts:\n  total: 3\n", 19), 0);
	doc = doc_of(w, "status", "agents.yaml");
	expect(doc_root(doc), "counts.active", "2");
	expect(doc_root(doc), "counts.completed", "1");
	expect(doc_root(doc), "counts.dead", "0");
	list = doc_get(doc_root(doc), "agents");
	expect(item(list, "a", "s1"), "status", "active");
	expect(item(list, "a", "s2"), "status", "completed");
	expect(item(list, "a", "s2"), "unhealthy_at", "(null)");
	expect(item(list, "b", "s1"), "session", "s1");
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
	struct world *w = *state;

	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s3"), 0);
	save(w, "state/sessions/s2/agents/silent.yaml", "agent: {status: active}\n");
	save(w, "state/sessions/s1/agents/gone.yaml", "agent: {pid: 4194300}\n");
	upkeep_process_ended(w->fs.engine, 4194300);
	for (int i = 0; i < 5; i++) {
		(void)upkeep_run(w->fs.engine);
		go_on(w, 30);
	}
	save(w, "state/sessions/s1/agents/done.yaml", "agent: {status: completed}\n");
	save(w, "state/sessions/s1/agents/works.yaml", "agent: {status: idle}\n");
	save(w, "state/sessions/s1/agents/a.yaml", "agent: {status: active}\n");
	save(w, "state/sessions/s1/session.yaml", "session: {status: completed}\n");
	agent_list = text_of(w, "status", "agents.yaml");
	session_list = text_of(w, "status", "sessions.yaml");
	expect_order(agent_list, agents, ARRAY_SIZE(agents));
	expect_order(session_list, sessions, ARRAY_SIZE(sessions));
}

/* ---- sessions ---- */

static void test_sessions_yaml(void **state)
{
	struct world *w = *state;
	const struct doc_node *list;
	struct doc *doc;

	env_mem_set_clock(w->env, START_NS + 86400 * NS_PER_S, 1000);
	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s3"), 0);
	save(w, "state/sessions/s3/session.yaml",
		"session: {type: \"t: [\\\"\"}\nconfiguration: {checkpoint_interval: 100, max_session_duration: "
		"1000}\n");
	save(w, "state/sessions/s2/session.yaml", "session: {status: completed}\n");
	save(w, "state/sessions/s3/agents/a.yaml", "agent: {status: active}\n");
	save(w, "state/sessions/s3/agents/b.yaml", "agent: {status: completed}\n");
	go_on(w, 30);
	doc = doc_of(w, "status", "sessions.yaml");
	expect(doc_root(doc), "counts.total", "3");
	expect(doc_root(doc), "counts.active", "2");
	expect(doc_root(doc), "counts.completed", "1");
	list = item(doc_get(doc_root(doc), "sessions"), "s3", NULL);
	expect(list, "status", "active");
	expect(list, "type", "t: [\"");
	expect(list, "agents.live", "1");
	expect(list, "agents.unhealthy", "0");
	expect(list, "last_change_age_seconds", "30");
	expect(list, "newest_checkpoint_age_seconds", "30");
	assert_int_equal(strncmp(value(list, "newest_checkpoint"), "checkpoint-", 11), 0);
	assert_true(time_of(list, "expires_at") / NS_PER_S - time_of(list, "created_at") / NS_PER_S == 1000);
	assert_in_range(time_of(list, "next_checkpoint_at") / NS_PER_S - time_of(list, "last_change") / NS_PER_S, 99, 100);
	list = item(doc_get(doc_root(doc), "sessions"), "s2", NULL);
	expect(list, "expires_at", "(null)");
	list = item(doc_get(doc_root(doc), "sessions"), "s1", NULL);
	expect(list, "next_checkpoint_at", "(null)"); /* nothing to keep */
	doc_free(doc);
}

/* max_session_duration counts from the reopening. */
static void test_expiry_of_a_reopened_session(void **state)
{
	struct world *w = *state;
	struct session *s;
	struct doc *doc;

	save(w, "state/sessions/s1/session.yaml", "configuration: {max_session_duration: 100}\n");
	engine_lock(w->fs.engine); /* as upkeep finds it in history */
	s = registry_session(w->fs.engine, "s1");
	s->reopened_ns = s->fields.created_ns + 50 * NS_PER_S;
	engine_unlock(w->fs.engine);
	doc = doc_of(w, "state/sessions/s1", "health.yaml");
	assert_in_range(time_of(doc_root(doc), "expires_at") - time_of(doc_root(doc), "created_at"), 149 * NS_PER_S, 151 * NS_PER_S);
	doc_free(doc);
}

static void expect_health(struct world *w, const char *session, const char *first, const char *why)
{
	cleanup_free char *text = NULL;
	char dir[100], want[40];
	struct doc *doc;

	snprintf(dir, sizeof(dir), "state/sessions/%s", session);
	snprintf(want, sizeof(want), "status: %s\n", first);
	text = text_of(w, dir, "health.yaml");
	if (strncmp(text, want, strlen(want)) || (why ? !strstr(text, why) : !strstr(text, "\nwhy: []\n")))
		fail_msg("%s: want %s and '%s':\n%s", session, first, why ? why : "no why", text);
	doc = doc_of(w, dir, "health.yaml");
	expect(doc_root(doc), "session", session);
	doc_free(doc);
}

static void test_health(void **state)
{
	struct world *w = *state;

	expect_health(w, "s1", "healthy", NULL);
	save(w, "state/sessions/s1/state/f.yaml", "a: 1\n");
	assert_int_equal(fixture_save_text(w->fs.engine, "state/sessions/s1/state/f.yaml", "a: [\n"), -EBADMSG);
	expect_health(w, "s1", "degraded", "1 save was refused, the last at 2026-01-01T00:");
	assert_int_equal(fixture_save_text(w->fs.engine, "state/sessions/s1/state/f.yaml", "a: {\n"), -EBADMSG);
	expect_health(w, "s1", "degraded", "2 saves were refused");
	expect_health(w, "s2", "healthy", NULL);
	go_on(w, 3700);
	save(w, "state/sessions/s1/session.yaml", "configuration: {auto_checkpoint: false}\n");
	expect_health(w, "s1", "healthy", NULL);
	expect_in(w, "state/sessions/s1", "health.yaml", "refused_saves", "2");
	save(w, "state/sessions/s1/session.yaml", "session: {status: failed}\n");
	expect_health(w, "s1", "degraded", "the session has failed");
	assert_int_equal(fixture_unlink(w->fs.engine, "state/sessions/s2/session.yaml"), 0);
	expect_health(w, "s2", "degraded", "session.yaml is missing");
	w->fs.read_only = true;
	expect_health(w, "s2", "read-only", "status/health.yaml says why");
	w->fs.read_only = false;
}

static void test_health_and_agents(void **state)
{
	struct world *w = *state;

	save(w, "state/sessions/s1/agents/a.yaml", "agent: {status: active}\n");
	save(w, "state/sessions/s1/agents/b.yaml", "");
	save(w, "state/sessions/s1/agents/c.yaml", "");
	engine_lock(w->fs.engine); /* as upkeep finds them */
	registry_agents_of_id(w->fs.engine, "b")->fields.status = AGENT_DEAD;
	registry_agents_of_id(w->fs.engine, "c")->fields.status = AGENT_UNHEALTHY;
	engine_unlock(w->fs.engine);
	expect_health(w, "s1", "degraded", "agent b is dead");
	expect_health(w, "s1", "degraded", "agent c is unhealthy: no sign of life since 2026-01-01T00:");
	expect_in(w, "state/sessions/s1", "health.yaml", "agents.active", "1");
	expect_in(w, "state/sessions/s1", "health.yaml", "agents.dead", "1");
	expect_in(w, "state/sessions/s1", "health.yaml", "agents.total", "3");
	save(w, "state/sessions/s1/session.yaml", "session: {status: completed}\n");
	expect_health(w, "s1", "healthy", NULL); /* what is over needs no attention */
}

/* Inverts a byte of what was saved, on the medium; the engine is opened anew. */
static void spoil(struct world *w, const char *text)
{
	static char data[2u << 20];
	size_t n = strlen(text);
	ssize_t len, at = -1;

	assert_int_equal(engine_close(w->fs.engine), 0);
	len = env_mem_read(w->env, "journal/00000001.seg", data, sizeof(data), 0);
	for (ssize_t i = 0; at < 0 && i + (ssize_t)n <= len; i++)
		at = memcmp(data + i, text, n) ? -1 : i;
	assert_true(at >= 0);
	assert_int_equal(env_mem_patch(w->env, "journal/00000001.seg", "#", 1, (uint64_t)at), 0);
	w->fs.engine = fixture_open_ok(w->env);
}

/* What is damaged is named by the health of its session, and by no other's, once somebody wanted it. (Damaged records: test_recovery.sh.) */
static void test_health_names_damage(void **state)
{
	struct world *w = *state;
	const struct doc_node *item;
	uint64_t seq;
	struct doc *doc;

	save(w, "state/sessions/s1/state/good", "fine\n");
	save(w, "state/sessions/s1/state/bad", "remember me: found on the medium\n");
	seq = engine_head_seq(w->fs.engine);
	spoil(w, "remember me: found on the medium\n");
	assert_string_equal(fixture_text(w->fs.engine, "state/sessions/s1/state/bad"), "(error)");
	expect_health(w, "s1", "degraded", "1 item of this session is damaged");
	doc = doc_of(w, "state/sessions/s1", "health.yaml");
	item = doc_get(doc_root(doc), "damaged")->child;
	assert_non_null(item);
	assert_null(item->next);
	expect(item, "path", "state/sessions/s1/state/bad");
	assert_true(doc_get(item, "first_sequence")->number == (double)seq);
	assert_true(doc_get(item, "last_sequence")->number == (double)seq);
	doc_free(doc);
	expect_health(w, "s2", "degraded", "the mount is degraded: status/health.yaml says why");
	doc = doc_of(w, "state/sessions/s2", "health.yaml");
	assert_null(doc_get(doc_root(doc), "damaged")->child);
	doc_free(doc);
}

/* Nobody took the automatic checkpoint: its time, the grace and a whole further interval have passed. */
static void test_late_checkpoint(void **state)
{
	struct world *w = *state;

	save(w, "state/sessions/s1/session.yaml", "configuration: {checkpoint_interval: 100}\n");
	go_on(w, 150);
	expect_health(w, "s1", "healthy", NULL);
	go_on(w, 100);
	expect_health(w, "s1", "degraded", "an automatic checkpoint has been due since 2026-01-01T00:01:");
}

/* ---- the moment itself ---- */

static void test_moment(void **state)
{
	struct world *w = *state;
	struct moment m;

	save(w, "state/sessions/s1/agents/a.yaml", "");
	save(w, "state/sessions/s2/agents/a.yaml", "");
	save(w, "state/sessions/s2/agents/b.yaml", "");
	assert_int_equal(moment_take(&w->fs, NULL, NULL, &m), 0);
	assert_int_equal(m.session_count, 2);
	assert_int_equal(m.agent_count, 3);
	moment_release(&m);
	assert_int_equal(moment_take(&w->fs, "s2", NULL, &m), 0);
	assert_int_equal(m.session_count, 1);
	assert_int_equal(m.agent_count, 2);
	assert_int_equal(m.sessions[0].agents[AGENT_INITIALIZING], 2);
	moment_release(&m);
	assert_int_equal(moment_take(&w->fs, "s2", "b", &m), 0);
	assert_int_equal(m.agent_count, 1);
	assert_int_equal(m.sessions[0].agents[AGENT_INITIALIZING], 2); /* the counts are the session's */
	moment_release(&m);
	assert_int_equal(moment_take(&w->fs, "nobody", NULL, &m), -ENOENT);
	assert_int_equal(moment_take(&w->fs, "s1", "b", &m), -ENOENT);
}

static void test_metrics(void **state)
{
	struct world *w = *state;
	cleanup_free char *text = NULL;
	char events[60];
	size_t len, count = 0;
	char *log = fixture_events(w->fs.engine, &len);

	save(w, "state/sessions/s2/session.yaml", "session: {status: completed}\n");
	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s2/checkpoints/mine"), 0);
	free(log);
	log = fixture_events(w->fs.engine, &len);
	for (size_t i = 0; i < len; i++)
		count += log[i] == '\n';
	free(log);
	snprintf(events, sizeof(events), "\nmilestonefs_events_total %zu\n", count);
	text = text_of(w, "status", "metrics");
	assert_non_null(strstr(text, "\nmilestonefs_sessions{status=\"active\"} 1\n"));
	assert_non_null(strstr(text, "\nmilestonefs_sessions{status=\"completed\"} 1\n"));
	assert_non_null(strstr(text, "\nmilestonefs_agents{status=\"dead\"} 0\n"));
	assert_non_null(strstr(text, "\nmilestonefs_checkpoints 3\n"));
	assert_non_null(strstr(text, events));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_links_by_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_of_agents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_of_agents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_agent_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts_not_yet_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_processes_and_locks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locks_of_namesakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_agents_yaml, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_comes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sessions_yaml, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expiry_of_a_reopened_session, setup, teardown),
		cmocka_unit_test_setup_teardown(test_health, setup, teardown),
		cmocka_unit_test_setup_teardown(test_health_and_agents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_health_names_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_checkpoint, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_metrics, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
