/* SPDX-License-Identifier: MIT
 *
 * Saves and edits of what users and milestonefs both change: statuses, counts, heartbeats.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "merge_fixture.h"

/* ---- statuses ---- */

static const char *with_status(enum model_kind kind, const char *status, char out[100])
{
	snprintf(out, 100, "# s\n%s:\n  status: %s\n", kind == MODEL_SESSION ? "session" : "agent", status);
	return out;
}

static void test_session_transitions(void **state)
{
	struct merge_result res = {0};
	char old[100], text[100];

	(void)state;
	for (unsigned from = 0; from <= SESSION_EXPIRED; from++) {
		with_status(MODEL_SESSION, session_status_name(from), old);
		for (unsigned to = 0; to <= SESSION_EXPIRED; to++) {
			int r = merge_save(&res, MODEL_SESSION, old, with_status(MODEL_SESSION, session_status_name(to), text), &merge_session_owned);

			if (from == SESSION_ACTIVE && to == SESSION_INITIALIZING) { /* a template's: it is active by now */
				assert_int_equal(r, 0);
				assert_non_null(strstr(res.text.data, "  status: \"active\"\n"));
				continue;
			}
			assert_int_equal(r, session_status_may_become(from, to) ? 0 : -EBADMSG);
			if (r)
				assert_int_equal(res.why.line, 3);
		}
		/* saying nothing is saying active, which may follow any */
		assert_non_null(strstr(merge_saved(&res, MODEL_SESSION, old, "context: {}\n", &merge_session_owned), "  status: \"active\"\n"));
		assert_int_equal(merge_save(&res, MODEL_SESSION, NULL, old, &merge_session_owned), from == SESSION_EXPIRED ? -EBADMSG : 0);
		assert_int_equal(merge_save(&res, MODEL_SESSION, "session: {status: on}\n", old, &merge_session_owned), from == SESSION_EXPIRED ? -EBADMSG : 0);
		assert_int_equal(merge_save(&res, MODEL_SESSION, "session: [", old, &merge_session_owned), from == SESSION_EXPIRED ? -EBADMSG : 0);
	}
	merge_refused(MODEL_SESSION, "session: {status: completed}\n", "session:\n\n  status: paused\n", 3,
		"session.status: \"completed\" cannot become \"paused\"; allowed now: active, completed");
	merge_refused(MODEL_SESSION, "session: {status: paused}\n", "session: {status: initializing}\n", 1,
		"session.status: \"paused\" cannot become \"initializing\"; allowed now: active, paused, completed, failed, expired");
	merge_refused(MODEL_SESSION, NULL, "session: {status: expired}\n", 1,
		"session.status: a new session cannot be \"expired\"; allowed: initializing, active, paused, completed, failed");
	merge_refused(MODEL_SESSION, "session: {status: active}\n", "session:\n  status: on\n", 2,
		"session.status: \"on\" is not one of initializing, active, paused, completed, failed, expired");
	buf_release(&res.text);
}

static void test_agent_statuses(void **state)
{
	struct merge_result res = {0};
	char old[100], text[100];

	(void)state;
	for (unsigned to = 0; to <= AGENT_COMPLETED; to++) {
		bool daemons = to == AGENT_UNHEALTHY || to == AGENT_DEAD;

		with_status(MODEL_AGENT, agent_status_name(to), text);
		assert_int_equal(merge_save(&res, MODEL_AGENT, NULL, text, &merge_agent_owned), daemons ? -EBADMSG : 0);
		assert_int_equal(merge_save(&res, MODEL_AGENT, "agent: {status: [}", text, &merge_agent_owned), daemons ? -EBADMSG : 0);
		for (unsigned from = 0; from <= AGENT_COMPLETED; from++) { /* the daemon's words say nothing in a save: what holds stays */
			const char *then = merge_saved(&res, MODEL_AGENT, with_status(MODEL_AGENT, agent_status_name(from), old), text, &merge_agent_owned);
			char wanted[40];

			snprintf(wanted, sizeof(wanted), "status: %s%s%s", daemons && from != to ? "\"" : "", agent_status_name(daemons ? from : to),
				daemons && from != to ? "\"" : "");
			if (!strstr(then, wanted))
				fail_msg("from %s to %s: no %s in\n%s", agent_status_name(from), agent_status_name(to), wanted, then);
		}
	}
	assert_non_null(
		strstr(merge_saved(&res, MODEL_AGENT, "agent: {status: dead}\n", "state: {a: 1}\n", &merge_agent_owned), "  status: \"initializing\"\n"));
	merge_refused(MODEL_AGENT, NULL, "agent: {status: unhealthy}\n", 1,
		"agent.status: milestonefs itself says which agents are \"unhealthy\", by their signs of life; this one is new (a save may say: initializing, "
		"active, idle, completed)");
	buf_release(&res.text);
}

/* The daemon may say any, in any text that can be edited. */
static void test_edited_status(void **state)
{
	struct merge_result res = {0};

	(void)state;
	assert_string_equal(merge_edited(&res, MODEL_SESSION, "session: {status: 'active'} # x\n", &merge_session_nothing, "expired"),
		"session: {status: \"expired\"} # x\n");
	assert_string_equal(
		merge_edited(&res, MODEL_AGENT, "agent:\n  status: active # x\n", &merge_agent_nothing, "dead"), "agent:\n  status: \"dead\" # x\n");
	assert_string_equal(merge_edited(&res, MODEL_AGENT, "{agent: {}}", &merge_agent_nothing, "unhealthy"), "{agent: {status: \"unhealthy\"}}");
	assert_string_equal(
		merge_edited(&res, MODEL_AGENT, "agent:\n  status: active # x\n", &merge_agent_nothing, "active"), "agent:\n  status: active # x\n");
	assert_string_equal(merge_edited(&res, MODEL_AGENT, "agent: {status: nonsense}\nx: 1", &merge_agent_nothing, ""), "agent: {status: nonsense}\nx: 1");
	assert_string_equal(merge_edited(&res, MODEL_SESSION, "", &merge_session_nothing, "failed"), "session:\n  status: \"failed\"\n");
	buf_release(&res.text);
}

/* ---- what is shared ---- */

static uint64_t count_of(const char *text)
{
	struct agent_fields f;
	uint64_t n;

	assert_int_equal(agent_fields_parse(text, strlen(text), &f), 0);
	n = f.operations_completed * 1000 + f.errors_encountered;
	agent_fields_release(&f);
	return n;
}

static void test_counters(void **state)
{
	struct agent_owned added = merge_agent_owned;
	struct merge_result res = {0};

	(void)state;
	added.operations_added = 3;
	added.errors_added = 1;
	assert_int_equal(count_of(merge_saved(&res, MODEL_AGENT, NULL, "", &added)), 3001);
	assert_int_equal(count_of(merge_saved(&res, MODEL_AGENT, "metrics: {operations_completed: 100, errors_encountered: 5}\n",
				 "metrics: {operations_completed: 7}\n", &added)),
		10006);
	assert_int_equal(count_of(merge_saved(&res, MODEL_AGENT, "metrics: {operations_completed: x}\n", "", &added)), 3001);
	assert_int_equal(count_of(merge_edited(&res, MODEL_AGENT, "metrics:\n  operations_completed: 7 # so far\n", &added, "")), 10001);
	assert_non_null(strstr(res.text.data, "  operations_completed: 10 # so far\n"));
	assert_int_equal(count_of(merge_edited(&res, MODEL_AGENT, "metrics: {operations_completed: lots}\n", &added, "")), 3001);
	added.errors_added = 0; /* nothing new: as it is written */
	assert_non_null(strstr(merge_edited(&res, MODEL_AGENT, "metrics: {errors_encountered: 5, operations_completed: 1}\n", &added, ""),
		"{errors_encountered: 5, operations_completed: 4"));
	assert_null(strstr(merge_edited(&res, MODEL_AGENT, "metrics: {operations_completed: 1}\n", &added, ""), "errors_encountered"));
	added.operations_added = UINT64_MAX;
	assert_non_null(strstr(merge_saved(&res, MODEL_AGENT, NULL, "metrics: {operations_completed: 5}\n", &added), "operations_completed: 9007199254740991"));
	added.operations_added = 1;
	assert_non_null(strstr(
		merge_saved(&res, MODEL_AGENT, NULL, "metrics: {operations_completed: 9007199254740991}\n", &added), "operations_completed: 9007199254740991"));
	assert_non_null(strstr(
		merge_saved(&res, MODEL_AGENT, NULL, "metrics: {operations_completed: 9007199254740990}\n", &added), "operations_completed: 9007199254740991"));
	buf_release(&res.text);
}

static void test_heartbeat(void **state)
{
	static const char old[] = "metrics: {last_heartbeat: \"2026-01-01T00:00:00Z\"}\n";
	struct agent_owned silent = merge_agent_owned;
	struct merge_result res = {0};

	(void)state;
	assert_non_null(strstr(merge_saved(&res, MODEL_AGENT, old, old, &merge_agent_owned), "last_heartbeat: \"" MERGE_LATER "\""));
	silent.heartbeat_ns = 0;
	assert_non_null(strstr(merge_saved(&res, MODEL_AGENT, old, "metrics: {last_heartbeat: 2026-02-02}\n", &silent), "last_heartbeat: 2026-02-02"));
	assert_non_null(strstr(merge_saved(&res, MODEL_AGENT, old, "", &silent), "last_heartbeat: \"2026-01-01T00:00:00Z\""));
	assert_non_null(strstr(merge_saved(&res, MODEL_AGENT, NULL, "", &silent), "last_heartbeat: null"));
	assert_non_null(strstr(merge_edited(&res, MODEL_AGENT, old, &silent, ""), "last_heartbeat: \"2026-01-01T00:00:00Z\""));
	assert_non_null(strstr(merge_edited(&res, MODEL_AGENT, old, &merge_agent_owned, ""), "last_heartbeat: \"" MERGE_LATER "\""));
	buf_release(&res.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session_transitions),
		cmocka_unit_test(test_agent_statuses),
		cmocka_unit_test(test_edited_status),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_heartbeat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
