/* SPDX-License-Identifier: MIT
 *
 * What a save of session.yaml or of an agent's file becomes, by example and by each row of the table, and what is refused. Statuses and counts are
 * test_model_merge_status.c's, random texts test_model_merge_random.c's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cmocka_all.h"
#include "merge_fixture.h"

/* ---- examples ---- */

static void test_new_files(void **state)
{
	struct merge_result res = {0};

	(void)state;
	assert_string_equal(merge_saved(&res, MODEL_SESSION, NULL, "", &merge_session_owned), merge_new_session);
	assert_string_equal(merge_saved(&res, MODEL_SESSION, "", "", &merge_session_owned), merge_new_session);
	assert_string_equal(merge_saved(&res, MODEL_AGENT, NULL, "", &merge_agent_owned), merge_new_agent);
	/* what is there already stays to the byte */
	assert_string_equal(merge_saved(&res, MODEL_SESSION, merge_new_session, merge_new_session, &merge_session_owned), merge_new_session);
	assert_string_equal(merge_saved(&res, MODEL_AGENT, merge_new_agent, merge_new_agent, &merge_agent_owned), merge_new_agent);
	assert_string_equal(merge_saved(&res, MODEL_SESSION, merge_new_session, merge_new_session, &merge_session_nothing), merge_new_session);
	assert_string_equal(merge_saved(&res, MODEL_AGENT, merge_new_agent, merge_new_agent, &merge_agent_nothing), merge_new_agent);
	/* a save of nothing is all defaults, whatever was there */
	assert_string_equal(merge_saved(&res, MODEL_SESSION, "session: {type: x, status: paused}\ncontext: {a: 1}\nmine: 2\n", "", &merge_session_owned),
		merge_new_session);
	buf_release(&res.text);
}

/* Comments, blank lines, order, quoting, indentation and styles are the user's. */
static void test_layout_stays(void **state)
{
	static const char saved[] = "# mine\n"
				    "\n"
				    "recovery: {\"enabled\": false}   # flow\n"
				    "session:   # s\n"
				    "    status:   'paused'   # now\n"
				    "    created_at: tomorrow # no\n"
				    "\n"
				    "    # end of session\n"
				    "own: &o [1,  2]\n"
				    "context: {see: *o}\n";
	static const char kept[] = "# mine\n"
				   "\n"
				   "recovery: {\"enabled\": false, \"last_backup\": null, \"recovery_points\": [\"c2\", \"c1\"]}   # flow\n"
				   "session:   # s\n"
				   "    status:   'paused'   # now\n"
				   "    created_at: \"" MERGE_AT "\" # no\n"
				   "    id: \"s1\"\n"
				   "    type: \"general\"\n"
				   "    last_updated: \"" MERGE_LATER "\"\n"
				   "\n"
				   "    # end of session\n"
				   "own: &o [1,  2]\n"
				   "context: {see: *o}\n"
				   "state:\n"
				   "    current_operation: null\n"
				   "    progress_percentage: 0\n"
				   "    active_agents: [\"a\", \"b\"]\n"
				   "    last_checkpoint: \"c2\"\n"
				   "configuration:\n"
				   "    auto_checkpoint: true\n"
				   "    checkpoint_interval: 300\n"
				   "    max_session_duration: 14400\n"
				   "    backup_retention: 7\n";
	struct merge_result res = {0};

	(void)state;
	assert_string_equal(merge_saved(&res, MODEL_SESSION, NULL, saved, &merge_session_owned), kept);
	assert_string_equal(merge_saved(&res, MODEL_SESSION, kept, kept, &merge_session_owned), kept);
	/* equal values stay as they are written */
	assert_non_null(
		strstr(merge_saved(&res, MODEL_SESSION, NULL, "session: {id: s1}\nstate:\n  active_agents:\n  - a\n  - 'b' # second\n", &merge_session_owned),
			"session: {id: s1, type: \"general\""));
	assert_non_null(strstr(res.text.data, "  active_agents:\n  - a\n  - 'b' # second\n"));
	/* line ends and the mark at the start */
	assert_non_null(strstr(merge_saved(&res, MODEL_AGENT, NULL,
				       "\xef\xbb\xbf"
				       "agent:\r\n  status: idle\r\n",
				       &merge_agent_owned),
		"\r\n  id: \"coder-1\"\r\n"));
	assert_memory_equal(res.text.data,
		"\xef\xbb\xbf"
		"agent:\r\n  status: idle\r\n",
		27);
	/* one line, as JSON is */
	assert_non_null(strstr(merge_saved(&res, MODEL_AGENT, NULL, "{\"agent\": {\"status\": \"active\"}, \"mine\": [1]}", &merge_agent_owned),
		"{\"agent\": {\"status\": \"active\", \"id\": \"coder-1\""));
	assert_null(strchr(res.text.data, '\n'));
	buf_release(&res.text);
}

/* ---- by the table ---- */

/* What becomes of a row whose save says @saved (NULL: nothing), where the daemon knows nothing, and @old said @before. */
static void row_becomes(enum model_kind kind, const struct model_field *f, const char *saved, const char *before, const char *said)
{
	struct merge_result res = {0}, value = {0};
	char text[300] = "", old[300] = "";
	const char *dot = strchr(f->path, '.');
	int section = dot ? (int)(dot - f->path) : 0;

	for (int i = 0; i < 2; i++)
		if (i ? before : saved)
			snprintf(i ? old : text, 300, dot ? "%.*s: {%s: %s}\n" : "%.*s%s: %s\n", section, f->path, dot ? dot + 1 : f->path, i ? before : saved);
	merge_saved(&res, kind, before ? old : NULL, text, kind == MODEL_SESSION ? (const void *)&merge_session_nothing : &merge_agent_nothing);
	if (strcmp(merge_value_at(&value, res.text.data, f->path), said) != 0)
		fail_msg("%s: save %s, before %s: %s, not %s", f->path, saved ? saved : "nothing", before ? before : "nothing", value.text.data, said);
	buf_release(&res.text);
	buf_release(&value.text);
}

static void test_each_row(void **state)
{
	struct merge_result fallback = {0};

	(void)state;
	for (enum model_kind kind = MODEL_SESSION; kind <= MODEL_AGENT; kind++) {
		size_t count;
		const struct model_field *rows = model_fields(kind, &count);

		for (size_t i = 0; i < count; i++) {
			const struct model_field *f = &rows[i];
			bool users = f->owner == MODEL_OWNER_USER, optional = f->owner == MODEL_OWNER_OPTIONAL, daemons = f->owner == MODEL_OWNER_DAEMON;
			const char *other_said, *other = merge_other_value(f, &other_said), *missing = optional ? "missing" : merge_fallback_said(&fallback, f);

			row_becomes(kind, f, NULL, NULL, missing);
			row_becomes(kind, f, other, NULL, daemons ? missing : other_said);
			row_becomes(kind, f, NULL, other, users || optional ? missing : other_said);
			row_becomes(kind, f, daemons ? "[{}, 5]" : other, other, other_said);
			row_becomes(kind, f, NULL, daemons ? "{nonsense: 1}" : "[[5]]", missing);
			if (!daemons)
				row_becomes(kind, f, f->fallback, other, merge_fallback_said(&fallback, f));
		}
	}
	buf_release(&fallback.text);
}

/* What the daemon knows wins over anything. */
static void test_owned_fields(void **state)
{
	static const char session_text[] = "session: {id: [x], created_at: 5, last_updated: {}}\nstate: {active_agents: {a: b}, last_checkpoint: ~}\n"
					   "recovery:\n  last_backup: |\n    long\n    text\n  recovery_points: on\n  mine: 1 # own\n";
	static const char agent_text[] = "agent: {id: other, session_id: ~, registered_at: x, last_updated: on}\nmetrics: {last_heartbeat: 2020-01-01}\n";
	static const char *const session_says[][2] = {{"session.id", "s1"}, {"session.created_at", MERGE_AT}, {"session.last_updated", MERGE_LATER},
		{"state.active_agents", "a,b,"}, {"state.last_checkpoint", "c2"}, {"recovery.last_backup", "null"}, {"recovery.recovery_points", "c2,c1,"},
		{"recovery.mine", "1"}};
	static const char *const agent_says[][2] = {{"agent.id", "coder-1"}, {"agent.session_id", "s1"}, {"agent.registered_at", MERGE_AT},
		{"agent.last_updated", MERGE_LATER}, {"metrics.last_heartbeat", MERGE_LATER}};
	struct merge_result res = {0}, value = {0};

	(void)state;
	for (int by_edit = 0; by_edit < 2; by_edit++) {
		by_edit ? merge_edited(&res, MODEL_SESSION, session_text, &merge_session_owned, "")
			: merge_saved(&res, MODEL_SESSION, NULL, session_text, &merge_session_owned);
		for (size_t i = 0; i < ARRAY_SIZE(session_says); i++)
			assert_string_equal(merge_value_at(&value, res.text.data, session_says[i][0]), session_says[i][1]);
		assert_non_null(strstr(res.text.data, "  mine: 1 # own\n"));
		by_edit ? merge_edited(&res, MODEL_AGENT, agent_text, &merge_agent_owned, "")
			: merge_saved(&res, MODEL_AGENT, NULL, agent_text, &merge_agent_owned);
		for (size_t i = 0; i < ARRAY_SIZE(agent_says); i++)
			assert_string_equal(merge_value_at(&value, res.text.data, agent_says[i][0]), agent_says[i][1]);
	}
	buf_release(&res.text);
	buf_release(&value.text);
}

/* ---- what cannot be edited ---- */

static void test_anchors(void **state)
{
	static const char *const users[] = {/* refused: the daemon could not keep the first field current */
		"session: {status: &s active}\ncontext: {was: *s}\n", "state: {active_agents: &a [x]}\ncontext: {of: *a}\n",
		"state: {active_agents: [&a x]}\ncontext: {of: *a}\n", "state: {active_agents: &a [a, b]}\ncontext: {of: *a}\n",
		"session: &all {status: active}\nmine: *all\n"};
	static const char *const free_texts[] = {/* nothing there is the daemon's */
		"context: &c {a: 1}\nmine: *c\n", "session: {status: &s active, type: &t x, mine: *t}\n", "x: &x active\nsession: {status: *x}\n",
		"configuration: {backup_retention: &r 5}\nmine: *r\n", "x: &x [y]\nstate: {active_agents: *x}\n"};
	struct session_owned later = merge_session_owned;
	struct merge_result res = {0}, after = {0};

	(void)state;
	later.last_updated_ns += NS_PER_S;
	later.active_agents = "[]";
	later.last_checkpoint = "null";
	later.last_backup = "\"b1\"";
	later.recovery_points = "[]";
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		if (merge_save(&res, MODEL_SESSION, NULL, users[i], &merge_session_owned) != -EBADMSG)
			fail_msg("accepted: %s", users[i]);
		assert_string_equal(res.why.rule, "session");
		assert_true(res.why.line && res.why.text[0]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(free_texts); i++) {
		merge_saved(&res, MODEL_SESSION, NULL, free_texts[i], &merge_session_owned);
		merge_edited(&after, MODEL_SESSION, res.text.data, &later, "expired");
	}
	assert_int_equal(merge_save(&res, MODEL_AGENT, NULL, "metrics: {operations_completed: &n 5}\nmine: *n\n", &merge_agent_owned), -EBADMSG);
	buf_release(&res.text);
	buf_release(&after.text);
}

/* From before texts were checked. */
static void test_not_editable(void **state)
{
	static const char *const texts[] = {
		"session: 5\n", "- a\n", "session: [", "x: &x {}\nsession: *x\n", "state: {active_agents: &a [x]}\ncontext: {of: *a}\n", "\xff", "just text\n"};
	struct merge_result res = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (merge_edit(&res, MODEL_SESSION, texts[i], &merge_session_owned, "") != -EBADMSG)
			fail_msg("edited: %s", texts[i]);
		assert_true(res.why.text[0]);
		assert_string_equal(res.why.rule, "session");
		assert_int_equal(res.text.len, 0);
	}
	buf_release(&res.text);
}

/* ---- texts made to hurt ---- */

static void test_hostile(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} bad[] = {
		{"session:\n\tid: x\n", 16}, {"agent: {type: a\0b}\n", 19}, {"agent: {type: \xff}\n", 17}, {"a: *b\n", 6}, {"a: &a [*a]\n", 11}, {"- 1\n", 4}};
	const char *factor = getenv("TEST_TIME_FACTOR");
	struct timespec start, end;
	cleanup_buf struct buf b = BUF_INIT, out = BUF_INIT;
	struct reason why = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(model_merge_session(NULL, 0, bad[i].text, bad[i].len, &merge_session_owned, &why, &out), -EBADMSG);
		assert_string_equal(why.rule, "session");
		assert_true(why.text[0]);
		assert_int_equal(model_merge_agent(bad[i].text, bad[i].len, bad[i].text, bad[i].len, &merge_agent_owned, NULL, &out), -EBADMSG);
		assert_int_equal(out.len, 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < 10000; i++)
		buf_append_str(&b, i ? "[" : "context: ");
	assert_int_equal(model_merge_session(NULL, 0, b.data, b.len, &merge_session_owned, &why, &out), -EBADMSG);
	buf_clear(&b);
	buf_append_str(&b, "session: {type: \"");
	while (b.len < 10000000)
		buf_append_str(&b, "aaaaaaaaaaaaaaaa");
	buf_append_str(&b, "\"}\n");
	assert_int_equal(model_merge_session(NULL, 0, b.data, b.len, &merge_session_owned, &why, &out), -EBADMSG);
	assert_int_equal(out.len, 0);
	/* the largest there is, as one text and as many nodes; also as what was there before */
	for (int lists = 0; lists < 2; lists++) {
		buf_clear(&b);
		buf_append_str(&b, lists ? "context: {of: [" : "context: {of: \"");
		while (b.len < MODEL_BYTES_MAX - 1000)
			buf_append_str(&b, lists ? "1," : "x");
		buf_append_str(&b, lists ? "]}\n" : "\"}\n");
		if (model_merge_session(b.data, b.len, b.data, b.len, &merge_session_owned, &why, &out))
			fail_msg("%s", why.text);
		assert_true(out.len > b.len);
		buf_clear(&out);
		while (b.len < MODEL_BYTES_MAX) /* no room for what is missing */
			buf_append_str(&b, "#");
		assert_int_equal(model_merge_session(b.data, b.len, b.data, b.len, &merge_session_owned, &why, &out), -EBADMSG);
		assert_non_null(strstr(why.text, "at most 1048576 are allowed"));
		assert_int_equal(out.len, 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec < 200 * (factor ? atoi(factor) : 1)); /* generous: sanitizers and busy machines */
}

static void test_billion_laughs(void **state)
{
	static const char laughs[] = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
				     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
				     "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\ni: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h,*h]\n"
				     "context: {all: *i}\n";
	struct timespec start, end;
	struct merge_result res = {0};

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &start);
	merge_saved(&res, MODEL_SESSION, laughs, laughs, &merge_session_owned);
	assert_memory_equal(res.text.data, laughs, strlen(laughs));
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec < 100);
	buf_release(&res.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_files),
		cmocka_unit_test(test_layout_stays),
		cmocka_unit_test(test_each_row),
		cmocka_unit_test(test_owned_fields),
		cmocka_unit_test(test_anchors),
		cmocka_unit_test(test_not_editable),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_billion_laughs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
