/* SPDX-License-Identifier: MIT
 *
 * Which paths are the state model's files, statuses and their transitions, and what files of any kind are taken to say.
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "model.h"

#define S "state/sessions/"

static void test_kinds(void **state)
{
	static const char *const none[] = {"", "state", S, S "s1", S "s1/", S "/session.yaml", S "s1/session.yml", S "s1/session.yaml~", S "s1/session.yaml/x",
		S "s1/state/session.yaml", S ".s1/session.yaml", S "s 1/session.yaml", S "s1/agents", S "s1/agents/", S "s1/agents/.yaml", S "s1/agents/a",
		S "s1/agents/a.yml", S "s1/agents/.a.yaml", S "s1/agents/.a.yaml.swp", S "s1/agents/a.yaml~", S "s1/agents/sedAb12Cd", S "s1/agents/a b.yaml",
		S "s1/agents/x/a.yaml", S "s1/agents/.sync/a.yaml", "agents/registry/a.yaml", "replay/3/" S "s1/session.yaml", "/" S "s1/session.yaml"};
	char session[ACTOR_ID_BYTES] = "?", agent[ACTOR_ID_BYTES] = "?", id[130], path[400];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (model_kind_of(none[i], session, agent) != MODEL_NONE)
			fail_msg("%s", none[i]);
	assert_string_equal(session, "?");
	assert_string_equal(agent, "?");
	assert_int_equal(model_kind_of(S "s1/session.yaml", session, agent), MODEL_SESSION);
	assert_string_equal(session, "s1");
	assert_string_equal(agent, "?");
	assert_int_equal(model_kind_of(S "s2/agents/coder-1.b.yaml", session, agent), MODEL_AGENT);
	assert_string_equal(session, "s2");
	assert_string_equal(agent, "coder-1.b");
	assert_int_equal(model_kind_of(S "s2/agents/a.yaml", NULL, NULL), MODEL_AGENT);
	memset(id, 'a', sizeof(id));
	id[128] = '\0';
	snprintf(path, sizeof(path), S "%s/agents/%s.yaml", id, id);
	assert_int_equal(model_kind_of(path, session, agent), MODEL_AGENT);
	assert_string_equal(session, id);
	assert_string_equal(agent, id);
	snprintf(path, sizeof(path), S "%sa/session.yaml", id);
	assert_int_equal(model_kind_of(path, NULL, NULL), MODEL_NONE);
	snprintf(path, sizeof(path), S "s1/agents/%sa.yaml", id);
	assert_int_equal(model_kind_of(path, NULL, NULL), MODEL_NONE);
}

static void test_status_names(void **state)
{
	enum session_status s = SESSION_FAILED;
	enum agent_status a = AGENT_IDLE;

	(void)state;
#define X(name, text)                                                   \
	assert_string_equal(session_status_name(SESSION_##name), text); \
	assert_true(session_status_parse(text, &s));                    \
	assert_int_equal(s, SESSION_##name);
	SESSION_STATUS_LIST(X)
#undef X
#define X(name, text)                                               \
	assert_string_equal(agent_status_name(AGENT_##name), text); \
	assert_true(agent_status_parse(text, &a));                  \
	assert_int_equal(a, AGENT_##name);
	AGENT_STATUS_LIST(X)
#undef X
	s = SESSION_PAUSED;
	assert_false(session_status_parse("idle", &s));
	assert_false(session_status_parse("Active", &s));
	assert_false(session_status_parse("", &s));
	assert_int_equal(s, SESSION_PAUSED);
	assert_false(agent_status_parse("paused", &a));
	assert_int_equal(a, AGENT_COMPLETED);
}

static void test_transitions(void **state)
{
	/* rows: from; columns: to; in the order of SESSION_STATUS_LIST */
	static const char *const table[] = {"xx..x.", ".xxxxx", ".xxxxx", ".x.x..", ".x..x.", ".x...x"};

	(void)state;
	for (unsigned from = 0; from < 6; from++)
		for (unsigned to = 0; to < 6; to++)
			if (session_status_may_become(from, to) != (table[from][to] == 'x'))
				fail_msg("%s to %s", session_status_name(from), session_status_name(to));
	for (unsigned s = 0; s < 6; s++)
		assert_int_equal(session_status_is_over(s), s >= SESSION_COMPLETED);
	for (unsigned a = 0; a < 6; a++)
		assert_int_equal(agent_status_is_live(a), a != AGENT_DEAD && a != AGENT_COMPLETED);
}

static struct session_fields session_of(const char *text)
{
	struct session_fields f;

	assert_int_equal(session_fields_parse(text, strlen(text), &f), 0);
	return f;
}

static struct agent_fields agent_of(const char *text)
{
	struct agent_fields f;

	assert_int_equal(agent_fields_parse(text, strlen(text), &f), 0);
	return f;
}

/* What says nothing, or nothing that counts, is all defaults. */
static void test_session_defaults(void **state)
{
	static const char *const texts[] = {"", "# only this\n", "~\n", "{}", "- a\n", "12", "session: [", "a\x01b", "session: 5\nconfiguration: [1]\n",
		"session: {status: on, type: [x], created_at: soon}\nstate: {current_operation: {}, progress_percentage: 101}\n"
		"configuration: {auto_checkpoint: 'true', checkpoint_interval: 0, max_session_duration: \"5\", backup_retention: -1, heartbeat_interval: 0,"
		" sync_timeout: 1e3}\nrecovery: {enabled: no}\n",
		"session: {status: ~, type: ~, created_at: ~}\nstate: {current_operation: null}\nconfiguration: {checkpoint_interval: ~, auto_checkpoint: "
		"~}\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct session_fields f = session_of(texts[i]);

		assert_int_equal(f.status, SESSION_ACTIVE);
		assert_string_equal(f.type, "general");
		assert_null(f.current_operation);
		assert_true(f.progress_percentage == 0);
		assert_int_equal(f.created_ns, 0);
		assert_true(f.auto_checkpoint);
		assert_int_equal(f.checkpoint_interval_s, 300);
		assert_int_equal(f.max_session_duration_s, 14400);
		assert_int_equal(f.backup_retention_days, 7);
		assert_int_equal(f.heartbeat_interval_s, 30);
		assert_int_equal(f.sync_timeout_s, 300);
		assert_true(f.recovery_enabled);
		session_fields_release(&f);
		assert_null(f.type);
	}
	session_fields_release(NULL);
	agent_fields_release(NULL);
}

static void test_session_fields(void **state)
{
	struct session_fields f = session_of("session: {status: paused, type: 'build', created_at: 2026-11-22T10:00:00.5Z}\n"
					     "state: {current_operation: \"compile\\nlink\", progress_percentage: 42.5}\n"
					     "configuration:\n  auto_checkpoint: false\n  checkpoint_interval: 1\n  max_session_duration: 2\n"
					     "  backup_retention: 0\n  heartbeat_interval: 4\n  sync_timeout: 5\n"
					     "recovery: {enabled: false}\n");

	(void)state;
	assert_int_equal(f.status, SESSION_PAUSED);
	assert_string_equal(f.type, "build");
	assert_string_equal(f.current_operation, "compile\nlink");
	assert_true(f.progress_percentage == 42.5);
	assert_int_equal(f.created_ns, 1795341600500000000);
	assert_false(f.auto_checkpoint);
	assert_int_equal(f.checkpoint_interval_s, 1);
	assert_int_equal(f.max_session_duration_s, 2);
	assert_int_equal(f.backup_retention_days, 0);
	assert_int_equal(f.heartbeat_interval_s, 4);
	assert_int_equal(f.sync_timeout_s, 5);
	assert_false(f.recovery_enabled);
	session_fields_release(&f);
}

/* The last of duplicates counts; anchors and aliases say what they stand for. */
static void test_odd_texts(void **state)
{
	struct session_fields f = session_of("\xef\xbb\xbfx: &p paused\r\nsession:\r\n  type: a\r\n  'type': &t b\r\n  status: *p\r\ncontext: *t\r\n");

	(void)state;
	assert_int_equal(f.status, SESSION_PAUSED);
	assert_string_equal(f.type, "b");
	session_fields_release(&f);
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} times[] = {{"2026-11-22T10:00:00Z", 1795341600}, {"\"2026-11-22T10:00:00.000000Z\"", 1795341600}, {"2026-11-22 10:00:00", 1795341600},
		{"2026-11-22T12:00:00+02:00", 1795341600}, {"2026-11-22T10:00:00", 1795341600}, {"2026-11-22", 1795305600}, {"1795341600", 1795341600},
		{"yesterday", 0}, {"2026-13-22", 0}, {"~", 0}, {"-5", 0}, {"1e9", 0}, {"99999999999999999999", 0}, {"[]", 0}, {"\"\"", 0},
		{"\"2026-11-22T10:00:00.00000000000000000000000000000000000000000000Z\"", 0}, {"\"2026-11-22T10:00:00Z\\0\"", 0}};
	char text[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		struct agent_fields f;

		snprintf(text, sizeof(text), "agent: {registered_at: %s}\nmetrics:\n  last_heartbeat: %s\n", times[i].text, times[i].text);
		f = agent_of(text);
		if (f.registered_ns != times[i].seconds * NS_PER_S || f.heartbeat_ns != f.registered_ns)
			fail_msg("%s: %lld", times[i].text, (long long)f.registered_ns);
		agent_fields_release(&f);
	}
}

static void test_agent_fields(void **state)
{
	struct agent_fields f = agent_of("agent: {id: x, type: reviewer, status: dead, pid: 4194304}\n"
					 "metrics: {operations_completed: 7, errors_encountered: 9007199254740991}\n"
					 "coordination: {event_subscriptions: [file_written, \"a b\", '']}\n");

	(void)state;
	assert_int_equal(f.status, AGENT_DEAD);
	assert_string_equal(f.type, "reviewer");
	assert_int_equal(f.pid, 4194304);
	assert_int_equal(f.operations_completed, 7);
	assert_true(f.errors_encountered == 9007199254740991);
	assert_string_equal(f.event_subscriptions[0], "file_written");
	assert_string_equal(f.event_subscriptions[1], "a b");
	assert_string_equal(f.event_subscriptions[2], "");
	assert_null(f.event_subscriptions[3]);
	agent_fields_release(&f);
	assert_null(f.event_subscriptions);
}

static void test_agent_defaults(void **state)
{
	static const char *const texts[] = {"", "agent: &a [*a]", "[]", "agent: {pid: ~}\ncoordination: {event_subscriptions: []}\n",
		"agent: {status: paused, type: 5, pid: 4194305}\nmetrics: {operations_completed: -1, errors_encountered: 9007199254740992}\n"
		"coordination: {event_subscriptions: [a, 1]}\n",
		"agent: {pid: '12'}\nmetrics: ~\ncoordination: {event_subscriptions: a}\n", "agent: {pid: 0}\n", "agent: {pid: 012}\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct agent_fields f = agent_of(texts[i]);

		assert_int_equal(f.status, AGENT_INITIALIZING);
		assert_string_equal(f.type, "general");
		assert_int_equal(f.pid, 0);
		assert_int_equal(f.registered_ns, 0);
		assert_int_equal(f.heartbeat_ns, 0);
		assert_int_equal(f.operations_completed, 0);
		assert_int_equal(f.errors_encountered, 0);
		assert_null(f.event_subscriptions);
		agent_fields_release(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_status_names),
		cmocka_unit_test(test_transitions),
		cmocka_unit_test(test_session_defaults),
		cmocka_unit_test(test_session_fields),
		cmocka_unit_test(test_odd_texts),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_agent_fields),
		cmocka_unit_test(test_agent_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
