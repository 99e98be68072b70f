/* SPDX-License-Identifier: MIT
 *
 * What virtual files say of sessions and of the moment itself. Time is set by hand.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "doc.h"
#include "env_mem.h"
#include "registry.h"
#include "vfile_fixture.h"
#include "vfile_model.h"

#define START_NS (1767225600 * NS_PER_S) /* 2026-01-01 */

/* ---- sessions ---- */

static void test_sessions_yaml(void **state)
{
	struct vfile_world *w = *state;
	const struct doc_node *list;
	struct doc *doc;

	env_mem_set_clock(w->env, START_NS + 86400 * NS_PER_S, 1000);
	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s3"), 0);
	vfile_world_put(w, "state/sessions/s3/session.yaml",
		"session: {type: \"t: [\\\"\"}\nconfiguration: {checkpoint_interval: 100, max_session_duration: "
		"1000}\n");
	vfile_world_put(w, "state/sessions/s2/session.yaml", "session: {status: completed}\n");
	vfile_world_put(w, "state/sessions/s3/agents/a.yaml", "agent: {status: active}\n");
	vfile_world_put(w, "state/sessions/s3/agents/b.yaml", "agent: {status: completed}\n");
	env_mem_advance(w->env, 30 * NS_PER_S);
	doc = vfile_doc(w, "status", "sessions.yaml");
	vfile_expect(doc_root(doc), "counts.total", "3");
	vfile_expect(doc_root(doc), "counts.active", "2");
	vfile_expect(doc_root(doc), "counts.completed", "1");
	list = vfile_item(doc_get(doc_root(doc), "sessions"), "s3", NULL);
	vfile_expect(list, "status", "active");
	vfile_expect(list, "type", "t: [\"");
	vfile_expect(list, "agents.live", "1");
	vfile_expect(list, "agents.unhealthy", "0");
	vfile_expect(list, "last_change_age_seconds", "30");
	vfile_expect(list, "newest_checkpoint_age_seconds", "30");
	assert_int_equal(strncmp(vfile_value(list, "newest_checkpoint"), "checkpoint-", 11), 0);
	assert_true(vfile_time(list, "expires_at") / NS_PER_S - vfile_time(list, "created_at") / NS_PER_S == 1000);
	assert_in_range(vfile_time(list, "next_checkpoint_at") / NS_PER_S - vfile_time(list, "last_change") / NS_PER_S, 99, 100);
	list = vfile_item(doc_get(doc_root(doc), "sessions"), "s2", NULL);
	vfile_expect(list, "expires_at", "(null)");
	list = vfile_item(doc_get(doc_root(doc), "sessions"), "s1", NULL);
	vfile_expect(list, "next_checkpoint_at", "(null)"); /* nothing to keep */
	doc_free(doc);
}

/* max_session_duration counts from the reopening. */
static void test_expiry_of_a_reopened_session(void **state)
{
	struct vfile_world *w = *state;
	struct session *s;
	struct doc *doc;

	vfile_world_put(w, "state/sessions/s1/session.yaml", "configuration: {max_session_duration: 100}\n");
	engine_lock(w->fs.engine); /* as upkeep finds it in history */
	s = registry_session(w->fs.engine, "s1");
	s->reopened_ns = s->fields.created_ns + 50 * NS_PER_S;
	engine_unlock(w->fs.engine);
	doc = vfile_doc(w, "state/sessions/s1", "health.yaml");
	assert_in_range(vfile_time(doc_root(doc), "expires_at") - vfile_time(doc_root(doc), "created_at"), 149 * NS_PER_S, 151 * NS_PER_S);
	doc_free(doc);
}

static void expect_health(struct vfile_world *w, const char *session, const char *first, const char *why)
{
	cleanup_free char *text = NULL;
	char dir[100], want[40];
	struct doc *doc;

	snprintf(dir, sizeof(dir), "state/sessions/%s", session);
	snprintf(want, sizeof(want), "status: %s\n", first);
	text = vfile_text(w, dir, "health.yaml");
	if (strncmp(text, want, strlen(want)) || (why ? !strstr(text, why) : !strstr(text, "\nwhy: []\n")))
		fail_msg("%s: want %s and '%s':\n%s", session, first, why ? why : "no why", text);
	doc = vfile_doc(w, dir, "health.yaml");
	vfile_expect(doc_root(doc), "session", session);
	doc_free(doc);
}

static void test_health(void **state)
{
	struct vfile_world *w = *state;

	expect_health(w, "s1", "healthy", NULL);
	vfile_world_put(w, "state/sessions/s1/state/f.yaml", "a: 1\n");
	assert_int_equal(fixture_save_text(w->fs.engine, "state/sessions/s1/state/f.yaml", "a: [\n"), -EBADMSG);
	expect_health(w, "s1", "degraded", "1 save was refused, the last at 2026-01-01T00:");
	assert_int_equal(fixture_save_text(w->fs.engine, "state/sessions/s1/state/f.yaml", "a: {\n"), -EBADMSG);
	expect_health(w, "s1", "degraded", "2 saves were refused");
	expect_health(w, "s2", "healthy", NULL);
	env_mem_advance(w->env, 3700 * NS_PER_S);
	vfile_world_put(w, "state/sessions/s1/session.yaml", "configuration: {auto_checkpoint: false}\n");
	expect_health(w, "s1", "healthy", NULL);
	vfile_expect_in(w, "state/sessions/s1", "health.yaml", "refused_saves", "2");
	vfile_world_put(w, "state/sessions/s1/session.yaml", "session: {status: failed}\n");
	expect_health(w, "s1", "degraded", "the session has failed");
	assert_int_equal(fixture_unlink(w->fs.engine, "state/sessions/s2/session.yaml"), 0);
	expect_health(w, "s2", "degraded", "session.yaml is missing");
	w->fs.read_only = true;
	expect_health(w, "s2", "read-only", "status/health.yaml says why");
	w->fs.read_only = false;
}

static void test_health_and_agents(void **state)
{
	struct vfile_world *w = *state;

	vfile_world_put(w, "state/sessions/s1/agents/a.yaml", "agent: {status: active}\n");
	vfile_world_put(w, "state/sessions/s1/agents/b.yaml", "");
	vfile_world_put(w, "state/sessions/s1/agents/c.yaml", "");
	engine_lock(w->fs.engine); /* as upkeep finds them */
	registry_agents_of_id(w->fs.engine, "b")->fields.status = AGENT_DEAD;
	registry_agents_of_id(w->fs.engine, "c")->fields.status = AGENT_UNHEALTHY;
	engine_unlock(w->fs.engine);
	expect_health(w, "s1", "degraded", "agent b is dead");
	expect_health(w, "s1", "degraded", "agent c is unhealthy: no sign of life since 2026-01-01T00:");
	vfile_expect_in(w, "state/sessions/s1", "health.yaml", "agents.active", "1");
	vfile_expect_in(w, "state/sessions/s1", "health.yaml", "agents.dead", "1");
	vfile_expect_in(w, "state/sessions/s1", "health.yaml", "agents.total", "3");
	vfile_world_put(w, "state/sessions/s1/session.yaml", "session: {status: completed}\n");
	expect_health(w, "s1", "healthy", NULL); /* what is over needs no attention */
}

/* What is damaged is named by the health of its session, and by no other's, once somebody wanted it. (Damaged records: test_report.sh.) */
static void test_health_names_damage(void **state)
{
	struct vfile_world *w = *state;
	const struct doc_node *item;
	uint64_t seq;
	struct doc *doc;

	vfile_world_put(w, "state/sessions/s1/state/good", "fine\n");
	vfile_world_put(w, "state/sessions/s1/state/bad", "remember me: found on the medium\n");
	seq = engine_head_seq(w->fs.engine);
	vfile_world_spoil(w, "remember me: found on the medium\n");
	assert_string_equal(fixture_text(w->fs.engine, "state/sessions/s1/state/bad"), "(error)");
	expect_health(w, "s1", "degraded", "1 item of this session is damaged");
	doc = vfile_doc(w, "state/sessions/s1", "health.yaml");
	item = doc_get(doc_root(doc), "damaged")->child;
	assert_non_null(item);
	assert_null(item->next);
	vfile_expect(item, "path", "state/sessions/s1/state/bad");
	assert_true(doc_get(item, "first_sequence")->number == (double)seq);
	assert_true(doc_get(item, "last_sequence")->number == (double)seq);
	doc_free(doc);
	expect_health(w, "s2", "degraded", "the mount is degraded: status/health.yaml says why");
	doc = vfile_doc(w, "state/sessions/s2", "health.yaml");
	assert_null(doc_get(doc_root(doc), "damaged")->child);
	doc_free(doc);
}

/* Nobody took the automatic checkpoint: its time, the grace and a whole further interval have passed. */
static void test_late_checkpoint(void **state)
{
	struct vfile_world *w = *state;

	vfile_world_put(w, "state/sessions/s1/session.yaml", "configuration: {checkpoint_interval: 100}\n");
	env_mem_advance(w->env, 150 * NS_PER_S);
	expect_health(w, "s1", "healthy", NULL);
	env_mem_advance(w->env, 100 * NS_PER_S);
	expect_health(w, "s1", "degraded", "an automatic checkpoint has been due since 2026-01-01T00:01:");
}

/* ---- the moment itself ---- */

static void test_moment(void **state)
{
	struct vfile_world *w = *state;
	struct moment m;

	vfile_world_put(w, "state/sessions/s1/agents/a.yaml", "");
	vfile_world_put(w, "state/sessions/s2/agents/a.yaml", "");
	vfile_world_put(w, "state/sessions/s2/agents/b.yaml", "");
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
	struct vfile_world *w = *state;
	cleanup_free char *text = NULL;
	char events[60];
	size_t len, count = 0;
	char *log = fixture_events(w->fs.engine, &len);

	vfile_world_put(w, "state/sessions/s2/session.yaml", "session: {status: completed}\n");
	assert_int_equal(fixture_mkdir(w->fs.engine, "state/sessions/s2/checkpoints/mine"), 0);
	free(log);
	log = fixture_events(w->fs.engine, &len);
	for (size_t i = 0; i < len; i++)
		count += log[i] == '\n';
	free(log);
	snprintf(events, sizeof(events), "\nmilestonefs_events_total %zu\n", count);
	text = vfile_text(w, "status", "metrics");
	assert_non_null(strstr(text, "\nmilestonefs_sessions{status=\"active\"} 1\n"));
	assert_non_null(strstr(text, "\nmilestonefs_sessions{status=\"completed\"} 1\n"));
	assert_non_null(strstr(text, "\nmilestonefs_agents{status=\"dead\"} 0\n"));
	assert_non_null(strstr(text, "\nmilestonefs_checkpoints 3\n"));
	assert_non_null(strstr(text, events));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sessions_yaml, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_expiry_of_a_reopened_session, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_health, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_health_and_agents, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_health_names_damage, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_late_checkpoint, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_moment, vfile_sessions_setup, vfile_world_teardown),
		cmocka_unit_test_setup_teardown(test_metrics, vfile_sessions_setup, vfile_world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
