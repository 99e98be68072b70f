/* SPDX-License-Identifier: MIT
 *
 * What a save of session.yaml or of an agent's file becomes: by example, by each row of the table, by random texts; and the daemon's own
 * edits of what has been saved.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "model_schema.h"
#include "rng.h"
#include "yaml_edit.h"

#define T (1795341600LL * NS_PER_S) /* 2026-11-22T10:00:00Z */
#define AT "2026-11-22T10:00:00.000000Z"
#define LATER "2026-11-22T11:00:00.000000Z"

static const struct session_owned session_owned = {.id = "s1",
	.created_ns = T,
	.last_updated_ns = T + 3600 * NS_PER_S,
	.active_agents = "[\"a\", \"b\"]",
	.last_checkpoint = "\"c2\"",
	.last_backup = "null",
	.recovery_points = "[\"c2\", \"c1\"]"};
static const struct session_owned session_nothing = {0};
static const struct agent_owned agent_owned = {
	.id = "coder-1", .session_id = "s1", .registered_ns = T, .last_updated_ns = T + 3600 * NS_PER_S, .heartbeat_ns = T + 3600 * NS_PER_S};
static const struct agent_owned agent_nothing = {0};

/* Room for one merged text, and the reason of a refusal. */
struct result {
	struct buf text;
	struct reason why;
};

static int merge(struct result *res, enum model_kind kind, const char *old, const char *text, const void *owned)
{
	size_t old_len = old ? strlen(old) : 0;
	int r;

	buf_clear(&res->text);
	buf_append_str(&res->text, "kept");
	res->why = (struct reason){0};
	r = kind == MODEL_SESSION ? model_merge_session(old, old_len, text, strlen(text), owned, &res->why, &res->text)
				  : model_merge_agent(old, old_len, text, strlen(text), owned, &res->why, &res->text);
	assert_memory_equal(res->text.data, "kept", 4);
	if (r)
		assert_int_equal(res->text.len, 4);
	else
		memmove(res->text.data, res->text.data + 4, res->text.len - 3), res->text.len -= 4;
	return r;
}

static const char *merged(struct result *res, enum model_kind kind, const char *old, const char *text, const void *owned)
{
	if (merge(res, kind, old, text, owned))
		fail_msg("%s: line %u: %s", text, res->why.line, res->why.text);
	return res->text.data;
}

static void refused(enum model_kind kind, const char *old, const char *text, uint32_t line, const char *sentence)
{
	struct result res = {0};

	if (merge(&res, kind, old, text, kind == MODEL_SESSION ? (const void *)&session_owned : &agent_owned) != -EBADMSG)
		fail_msg("accepted: %s", text);
	assert_string_equal(res.why.text, sentence);
	assert_int_equal(res.why.line, line);
	assert_string_equal(res.why.rule, model_rule_name(kind));
	buf_release(&res.text);
}

static int edit(struct result *res, enum model_kind kind, const char *text, const void *owned, const char *status)
{
	buf_clear(&res->text);
	res->why = (struct reason){0};
	return kind == MODEL_SESSION ? model_edit_session(text, strlen(text), owned, status, &res->why, &res->text)
				     : model_edit_agent(text, strlen(text), owned, status, &res->why, &res->text);
}

static const char *edited(struct result *res, enum model_kind kind, const char *text, const void *owned, const char *status)
{
	if (edit(res, kind, text, owned, status))
		fail_msg("%s: line %u: %s", text, res->why.line, res->why.text);
	return res->text.data;
}

/* ---- examples ---- */

static const char new_session[] = "session:\n"
				  "  id: \"s1\"\n"
				  "  type: \"general\"\n"
				  "  status: \"active\"\n"
				  "  created_at: \"" AT "\"\n"
				  "  last_updated: \"" LATER "\"\n"
				  "context: {}\n"
				  "state:\n"
				  "  current_operation: null\n"
				  "  progress_percentage: 0\n"
				  "  active_agents: [\"a\", \"b\"]\n"
				  "  last_checkpoint: \"c2\"\n"
				  "configuration:\n"
				  "  auto_checkpoint: true\n"
				  "  checkpoint_interval: 300\n"
				  "  max_session_duration: 14400\n"
				  "  backup_retention: 7\n"
				  "recovery:\n"
				  "  enabled: true\n"
				  "  last_backup: null\n"
				  "  recovery_points: [\"c2\", \"c1\"]\n";

static const char new_agent[] = "agent:\n"
				"  id: \"coder-1\"\n"
				"  type: \"general\"\n"
				"  session_id: \"s1\"\n"
				"  status: \"initializing\"\n"
				"  registered_at: \"" AT "\"\n"
				"  last_updated: \"" LATER "\"\n"
				"state: {}\n"
				"metrics:\n"
				"  operations_completed: 0\n"
				"  errors_encountered: 0\n"
				"  total_execution_time: 0\n"
				"  last_heartbeat: \"" LATER "\"\n"
				"coordination:\n"
				"  dependencies: []\n"
				"  subscribers: []\n"
				"  event_subscriptions: []\n";

static void test_new_files(void **state)
{
	struct result res = {0};

	(void)state;
	assert_string_equal(merged(&res, MODEL_SESSION, NULL, "", &session_owned), new_session);
	assert_string_equal(merged(&res, MODEL_SESSION, "", "", &session_owned), new_session);
	assert_string_equal(merged(&res, MODEL_AGENT, NULL, "", &agent_owned), new_agent);
	/* what is there already stays to the byte */
	assert_string_equal(merged(&res, MODEL_SESSION, new_session, new_session, &session_owned), new_session);
	assert_string_equal(merged(&res, MODEL_AGENT, new_agent, new_agent, &agent_owned), new_agent);
	assert_string_equal(merged(&res, MODEL_SESSION, new_session, new_session, &session_nothing), new_session);
	assert_string_equal(merged(&res, MODEL_AGENT, new_agent, new_agent, &agent_nothing), new_agent);
	/* a save of nothing is all defaults, whatever was there */
	assert_string_equal(merged(&res, MODEL_SESSION, "session: {type: x, status: paused}\ncontext: {a: 1}\nmine: 2\n", "", &session_owned), new_session);
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
				   "    created_at: \"" AT "\" # no\n"
				   "    id: \"s1\"\n"
				   "    type: \"general\"\n"
				   "    last_updated: \"" LATER "\"\n"
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
	struct result res = {0};

	(void)state;
	assert_string_equal(merged(&res, MODEL_SESSION, NULL, saved, &session_owned), kept);
	assert_string_equal(merged(&res, MODEL_SESSION, kept, kept, &session_owned), kept);
	/* equal values stay as they are written */
	assert_non_null(strstr(merged(&res, MODEL_SESSION, NULL, "session: {id: s1}\nstate:\n  active_agents:\n  - a\n  - 'b' # second\n", &session_owned),
		"session: {id: s1, type: \"general\""));
	assert_non_null(strstr(res.text.data, "  active_agents:\n  - a\n  - 'b' # second\n"));
	/* line ends and the mark at the start */
	assert_non_null(strstr(merged(&res, MODEL_AGENT, NULL,
				       "\xef\xbb\xbf"
				       "agent:\r\n  status: idle\r\n",
				       &agent_owned),
		"\r\n  id: \"coder-1\"\r\n"));
	assert_memory_equal(res.text.data,
		"\xef\xbb\xbf"
		"agent:\r\n  status: idle\r\n",
		27);
	/* one line, as JSON is */
	assert_non_null(strstr(merged(&res, MODEL_AGENT, NULL, "{\"agent\": {\"status\": \"active\"}, \"mine\": [1]}", &agent_owned),
		"{\"agent\": {\"status\": \"active\", \"id\": \"coder-1\""));
	assert_null(strchr(res.text.data, '\n'));
	buf_release(&res.text);
}

/* ---- by the table ---- */

static const char *value_at(struct result *res, const char *text, const char *path)
{
	const struct doc_node *value;
	struct doc *doc;

	assert_int_equal(doc_parse_yaml(text, strlen(text), NULL, &doc), 0);
	value = doc_get_path(doc_root(doc), path);
	buf_clear(&res->text);
	if (!value)
		buf_append_str(&res->text, "missing");
	else if (value->type == DOC_SEQUENCE)
		for (const struct doc_node *i = value->child; i; i = i->next)
			buf_printf(&res->text, "%s,", i->text);
	else
		buf_append_str(&res->text, value->type == DOC_NULL ? "null" : value->type == DOC_MAPPING ? "mapping" : value->text);
	doc_free(doc);
	return res->text.data ? res->text.data : "";
}

/* A value of the row's type that is not its default, as flow text and as value_at() says it. */
static const char *other_value(const struct model_field *f, const char **ret_said)
{
	switch (f->type) {
	case MODEL_TEXT:
	case MODEL_ID:
		*ret_said = "other";
		return "'other'";
	case MODEL_ONE_OF:
		*ret_said = "completed";
		return "completed";
	case MODEL_WHOLE:
	case MODEL_NUMBER:
		*ret_said = "17";
		return "17";
	case MODEL_FLAG:
		*ret_said = "false";
		return "false";
	case MODEL_TIME:
		*ret_said = "2020-02-03T04:05:06Z";
		return "2020-02-03T04:05:06Z";
	case MODEL_MAPPING:
		*ret_said = "mapping";
		return "{x: 1}";
	case MODEL_TEXTS:
	case MODEL_IDS:
		break;
	}
	*ret_said = "x,y,";
	return "[x, 'y']";
}

static const char *fallback_said(struct result *res, const struct model_field *f)
{
	char text[200];

	snprintf(text, sizeof(text), "k: %s\n", f->fallback);
	return value_at(res, text, "k");
}

/* What becomes of a row whose save says @saved (NULL: nothing), where the daemon knows nothing, and @old said @before. */
static void row_becomes(enum model_kind kind, const struct model_field *f, const char *saved, const char *before, const char *said)
{
	struct result res = {0}, value = {0};
	char text[300] = "", old[300] = "";
	const char *dot = strchr(f->path, '.');
	int section = dot ? (int)(dot - f->path) : 0;

	for (int i = 0; i < 2; i++)
		if (i ? before : saved)
			snprintf(i ? old : text, 300, dot ? "%.*s: {%s: %s}\n" : "%.*s%s: %s\n", section, f->path, dot ? dot + 1 : f->path, i ? before : saved);
	merged(&res, kind, before ? old : NULL, text, kind == MODEL_SESSION ? (const void *)&session_nothing : &agent_nothing);
	if (strcmp(value_at(&value, res.text.data, f->path), said) != 0)
		fail_msg("%s: save %s, before %s: %s, not %s", f->path, saved ? saved : "nothing", before ? before : "nothing", value.text.data, said);
	buf_release(&res.text);
	buf_release(&value.text);
}

static void test_each_row(void **state)
{
	struct result fallback = {0};

	(void)state;
	for (enum model_kind kind = MODEL_SESSION; kind <= MODEL_AGENT; kind++) {
		size_t count;
		const struct model_field *rows = model_fields(kind, &count);

		for (size_t i = 0; i < count; i++) {
			const struct model_field *f = &rows[i];
			bool users = f->owner == MODEL_OWNER_USER, optional = f->owner == MODEL_OWNER_OPTIONAL, daemons = f->owner == MODEL_OWNER_DAEMON;
			const char *other_said, *other = other_value(f, &other_said), *missing = optional ? "missing" : fallback_said(&fallback, f);

			row_becomes(kind, f, NULL, NULL, missing);
			row_becomes(kind, f, other, NULL, daemons ? missing : other_said);
			row_becomes(kind, f, NULL, other, users || optional ? missing : other_said);
			row_becomes(kind, f, daemons ? "[{}, 5]" : other, other, other_said);
			row_becomes(kind, f, NULL, daemons ? "{nonsense: 1}" : "[[5]]", missing);
			if (!daemons)
				row_becomes(kind, f, f->fallback, other, fallback_said(&fallback, f));
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
	static const char *const session_says[][2] = {{"session.id", "s1"}, {"session.created_at", AT}, {"session.last_updated", LATER},
		{"state.active_agents", "a,b,"}, {"state.last_checkpoint", "c2"}, {"recovery.last_backup", "null"}, {"recovery.recovery_points", "c2,c1,"},
		{"recovery.mine", "1"}};
	static const char *const agent_says[][2] = {{"agent.id", "coder-1"}, {"agent.session_id", "s1"}, {"agent.registered_at", AT},
		{"agent.last_updated", LATER}, {"metrics.last_heartbeat", LATER}};
	struct result res = {0}, value = {0};

	(void)state;
	for (int by_edit = 0; by_edit < 2; by_edit++) {
		by_edit ? edited(&res, MODEL_SESSION, session_text, &session_owned, "") : merged(&res, MODEL_SESSION, NULL, session_text, &session_owned);
		for (size_t i = 0; i < ARRAY_SIZE(session_says); i++)
			assert_string_equal(value_at(&value, res.text.data, session_says[i][0]), session_says[i][1]);
		assert_non_null(strstr(res.text.data, "  mine: 1 # own\n"));
		by_edit ? edited(&res, MODEL_AGENT, agent_text, &agent_owned, "") : merged(&res, MODEL_AGENT, NULL, agent_text, &agent_owned);
		for (size_t i = 0; i < ARRAY_SIZE(agent_says); i++)
			assert_string_equal(value_at(&value, res.text.data, agent_says[i][0]), agent_says[i][1]);
	}
	buf_release(&res.text);
	buf_release(&value.text);
}

/* ---- statuses ---- */

static const char *with_status(enum model_kind kind, const char *status, char out[100])
{
	snprintf(out, 100, "# s\n%s:\n  status: %s\n", kind == MODEL_SESSION ? "session" : "agent", status);
	return out;
}

static void test_session_transitions(void **state)
{
	struct result res = {0};
	char old[100], text[100];

	(void)state;
	for (unsigned from = 0; from <= SESSION_EXPIRED; from++) {
		with_status(MODEL_SESSION, session_status_name(from), old);
		for (unsigned to = 0; to <= SESSION_EXPIRED; to++) {
			int r = merge(&res, MODEL_SESSION, old, with_status(MODEL_SESSION, session_status_name(to), text), &session_owned);

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
		assert_non_null(strstr(merged(&res, MODEL_SESSION, old, "context: {}\n", &session_owned), "  status: \"active\"\n"));
		assert_int_equal(merge(&res, MODEL_SESSION, NULL, old, &session_owned), from == SESSION_EXPIRED ? -EBADMSG : 0);
		assert_int_equal(merge(&res, MODEL_SESSION, "session: {status: on}\n", old, &session_owned), from == SESSION_EXPIRED ? -EBADMSG : 0);
		assert_int_equal(merge(&res, MODEL_SESSION, "session: [", old, &session_owned), from == SESSION_EXPIRED ? -EBADMSG : 0);
	}
	refused(MODEL_SESSION, "session: {status: completed}\n", "session:\n\n  status: paused\n", 3,
		"session.status: \"completed\" cannot become \"paused\"; allowed now: active, completed");
	refused(MODEL_SESSION, "session: {status: paused}\n", "session: {status: initializing}\n", 1,
		"session.status: \"paused\" cannot become \"initializing\"; allowed now: active, paused, completed, failed, expired");
	refused(MODEL_SESSION, NULL, "session: {status: expired}\n", 1,
		"session.status: a new session cannot be \"expired\"; allowed: initializing, active, paused, completed, failed");
	refused(MODEL_SESSION, "session: {status: active}\n", "session:\n  status: on\n", 2,
		"session.status: \"on\" is not one of initializing, active, paused, completed, failed, expired");
	buf_release(&res.text);
}

static void test_agent_statuses(void **state)
{
	struct result res = {0};
	char old[100], text[100];

	(void)state;
	for (unsigned to = 0; to <= AGENT_COMPLETED; to++) {
		bool daemons = to == AGENT_UNHEALTHY || to == AGENT_DEAD;

		with_status(MODEL_AGENT, agent_status_name(to), text);
		assert_int_equal(merge(&res, MODEL_AGENT, NULL, text, &agent_owned), daemons ? -EBADMSG : 0);
		assert_int_equal(merge(&res, MODEL_AGENT, "agent: {status: [}", text, &agent_owned), daemons ? -EBADMSG : 0);
		for (unsigned from = 0; from <= AGENT_COMPLETED; from++) { /* the daemon's words say nothing in a save: what holds stays */
			const char *then = merged(&res, MODEL_AGENT, with_status(MODEL_AGENT, agent_status_name(from), old), text, &agent_owned);
			char wanted[40];

			snprintf(wanted, sizeof(wanted), "status: %s%s%s", daemons && from != to ? "\"" : "", agent_status_name(daemons ? from : to),
				daemons && from != to ? "\"" : "");
			if (!strstr(then, wanted))
				fail_msg("from %s to %s: no %s in\n%s", agent_status_name(from), agent_status_name(to), wanted, then);
		}
	}
	assert_non_null(strstr(merged(&res, MODEL_AGENT, "agent: {status: dead}\n", "state: {a: 1}\n", &agent_owned), "  status: \"initializing\"\n"));
	refused(MODEL_AGENT, NULL, "agent: {status: unhealthy}\n", 1,
		"agent.status: milestonefs itself says which agents are \"unhealthy\", by their signs of life; this one is new (a save may say: initializing, "
		"active, idle, completed)");
	buf_release(&res.text);
}

/* The daemon may say any, in any text that can be edited. */
static void test_edited_status(void **state)
{
	struct result res = {0};

	(void)state;
	assert_string_equal(
		edited(&res, MODEL_SESSION, "session: {status: 'active'} # x\n", &session_nothing, "expired"), "session: {status: \"expired\"} # x\n");
	assert_string_equal(edited(&res, MODEL_AGENT, "agent:\n  status: active # x\n", &agent_nothing, "dead"), "agent:\n  status: \"dead\" # x\n");
	assert_string_equal(edited(&res, MODEL_AGENT, "{agent: {}}", &agent_nothing, "unhealthy"), "{agent: {status: \"unhealthy\"}}");
	assert_string_equal(edited(&res, MODEL_AGENT, "agent:\n  status: active # x\n", &agent_nothing, "active"), "agent:\n  status: active # x\n");
	assert_string_equal(edited(&res, MODEL_AGENT, "agent: {status: nonsense}\nx: 1", &agent_nothing, ""), "agent: {status: nonsense}\nx: 1");
	assert_string_equal(edited(&res, MODEL_SESSION, "", &session_nothing, "failed"), "session:\n  status: \"failed\"\n");
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
	struct agent_owned added = agent_owned;
	struct result res = {0};

	(void)state;
	added.operations_added = 3;
	added.errors_added = 1;
	assert_int_equal(count_of(merged(&res, MODEL_AGENT, NULL, "", &added)), 3001);
	assert_int_equal(count_of(merged(&res, MODEL_AGENT, "metrics: {operations_completed: 100, errors_encountered: 5}\n",
				 "metrics: {operations_completed: 7}\n", &added)),
		10006);
	assert_int_equal(count_of(merged(&res, MODEL_AGENT, "metrics: {operations_completed: x}\n", "", &added)), 3001);
	assert_int_equal(count_of(edited(&res, MODEL_AGENT, "metrics:\n  operations_completed: 7 # so far\n", &added, "")), 10001);
	assert_non_null(strstr(res.text.data, "  operations_completed: 10 # so far\n"));
	assert_int_equal(count_of(edited(&res, MODEL_AGENT, "metrics: {operations_completed: lots}\n", &added, "")), 3001);
	added.errors_added = 0; /* nothing new: as it is written */
	assert_non_null(strstr(edited(&res, MODEL_AGENT, "metrics: {errors_encountered: 5, operations_completed: 1}\n", &added, ""),
		"{errors_encountered: 5, operations_completed: 4"));
	assert_null(strstr(edited(&res, MODEL_AGENT, "metrics: {operations_completed: 1}\n", &added, ""), "errors_encountered"));
	added.operations_added = UINT64_MAX;
	assert_non_null(strstr(merged(&res, MODEL_AGENT, NULL, "metrics: {operations_completed: 5}\n", &added), "operations_completed: 9007199254740991"));
	added.operations_added = 1;
	assert_non_null(strstr(
		merged(&res, MODEL_AGENT, NULL, "metrics: {operations_completed: 9007199254740991}\n", &added), "operations_completed: 9007199254740991"));
	assert_non_null(strstr(
		merged(&res, MODEL_AGENT, NULL, "metrics: {operations_completed: 9007199254740990}\n", &added), "operations_completed: 9007199254740991"));
	buf_release(&res.text);
}

static void test_heartbeat(void **state)
{
	static const char old[] = "metrics: {last_heartbeat: \"2026-01-01T00:00:00Z\"}\n";
	struct agent_owned silent = agent_owned;
	struct result res = {0};

	(void)state;
	assert_non_null(strstr(merged(&res, MODEL_AGENT, old, old, &agent_owned), "last_heartbeat: \"" LATER "\""));
	silent.heartbeat_ns = 0;
	assert_non_null(strstr(merged(&res, MODEL_AGENT, old, "metrics: {last_heartbeat: 2026-02-02}\n", &silent), "last_heartbeat: 2026-02-02"));
	assert_non_null(strstr(merged(&res, MODEL_AGENT, old, "", &silent), "last_heartbeat: \"2026-01-01T00:00:00Z\""));
	assert_non_null(strstr(merged(&res, MODEL_AGENT, NULL, "", &silent), "last_heartbeat: null"));
	assert_non_null(strstr(edited(&res, MODEL_AGENT, old, &silent, ""), "last_heartbeat: \"2026-01-01T00:00:00Z\""));
	assert_non_null(strstr(edited(&res, MODEL_AGENT, old, &agent_owned, ""), "last_heartbeat: \"" LATER "\""));
	buf_release(&res.text);
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
	struct session_owned later = session_owned;
	struct result res = {0}, after = {0};

	(void)state;
	later.last_updated_ns += NS_PER_S;
	later.active_agents = "[]";
	later.last_checkpoint = "null";
	later.last_backup = "\"b1\"";
	later.recovery_points = "[]";
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		if (merge(&res, MODEL_SESSION, NULL, users[i], &session_owned) != -EBADMSG)
			fail_msg("accepted: %s", users[i]);
		assert_string_equal(res.why.rule, "session");
		assert_true(res.why.line && res.why.text[0]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(free_texts); i++) {
		merged(&res, MODEL_SESSION, NULL, free_texts[i], &session_owned);
		edited(&after, MODEL_SESSION, res.text.data, &later, "expired");
	}
	assert_int_equal(merge(&res, MODEL_AGENT, NULL, "metrics: {operations_completed: &n 5}\nmine: *n\n", &agent_owned), -EBADMSG);
	buf_release(&res.text);
	buf_release(&after.text);
}

/* From before texts were checked. */
static void test_not_editable(void **state)
{
	static const char *const texts[] = {
		"session: 5\n", "- a\n", "session: [", "x: &x {}\nsession: *x\n", "state: {active_agents: &a [x]}\ncontext: {of: *a}\n", "\xff", "just text\n"};
	struct result res = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (edit(&res, MODEL_SESSION, texts[i], &session_owned, "") != -EBADMSG)
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
		assert_int_equal(model_merge_session(NULL, 0, bad[i].text, bad[i].len, &session_owned, &why, &out), -EBADMSG);
		assert_string_equal(why.rule, "session");
		assert_true(why.text[0]);
		assert_int_equal(model_merge_agent(bad[i].text, bad[i].len, bad[i].text, bad[i].len, &agent_owned, NULL, &out), -EBADMSG);
		assert_int_equal(out.len, 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < 10000; i++)
		buf_append_str(&b, i ? "[" : "context: ");
	assert_int_equal(model_merge_session(NULL, 0, b.data, b.len, &session_owned, &why, &out), -EBADMSG);
	buf_clear(&b);
	buf_append_str(&b, "session: {type: \"");
	while (b.len < 10000000)
		buf_append_str(&b, "aaaaaaaaaaaaaaaa");
	buf_append_str(&b, "\"}\n");
	assert_int_equal(model_merge_session(NULL, 0, b.data, b.len, &session_owned, &why, &out), -EBADMSG);
	assert_int_equal(out.len, 0);
	/* the largest there is, as one text and as many nodes; also as what was there before */
	for (int lists = 0; lists < 2; lists++) {
		buf_clear(&b);
		buf_append_str(&b, lists ? "context: {of: [" : "context: {of: \"");
		while (b.len < MODEL_BYTES_MAX - 1000)
			buf_append_str(&b, lists ? "1," : "x");
		buf_append_str(&b, lists ? "]}\n" : "\"}\n");
		if (model_merge_session(b.data, b.len, b.data, b.len, &session_owned, &why, &out))
			fail_msg("%s", why.text);
		assert_true(out.len > b.len);
		buf_clear(&out);
		while (b.len < MODEL_BYTES_MAX) /* no room for what is missing */
			buf_append_str(&b, "#");
		assert_int_equal(model_merge_session(b.data, b.len, b.data, b.len, &session_owned, &why, &out), -EBADMSG);
		assert_non_null(strstr(why.text, "at most 1048576 are allowed"));
		assert_int_equal(out.len, 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec < 30 * (factor ? atoi(factor) : 1)); /* generous: sanitizers and busy machines */
}

static void test_billion_laughs(void **state)
{
	static const char laughs[] = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
				     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
				     "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\ni: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h,*h]\n"
				     "context: {all: *i}\n";
	struct timespec start, end;
	struct result res = {0};

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &start);
	merged(&res, MODEL_SESSION, laughs, laughs, &session_owned);
	assert_memory_equal(res.text.data, laughs, strlen(laughs));
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec < 5);
	buf_release(&res.text);
}

/* ---- random texts ---- */

struct random_text {
	struct buf text;
	unsigned comments;
	bool said[64]; /* by row */
};

static void put_comment(struct rng *rng, struct random_text *t)
{
	if (rng_below(rng, 4) == 0)
		buf_printf(&t->text, "   # comment %u", t->comments++);
	buf_append_str(&t->text, rng_below(rng, 6) ? "\n" : "\n\n");
}

/* The rows @from … @to - 1 are a section. */
static void put_section(struct rng *rng, const struct model_field *rows, size_t from, size_t to, struct random_text *t)
{
	size_t len = model_section_len(&rows[from]), start = from + rng_below(rng, to - from), said = 0;
	bool flow = rng_below(rng, 3) == 0;
	int indent = 1 + (int)rng_below(rng, 5);
	const char *what;

	buf_printf(&t->text, "%.*s:%s", (int)len - 1, rows[from].path, flow ? " {" : "");
	if (!flow)
		put_comment(rng, t);
	for (size_t i = 0; i < to - from; i++) {
		size_t row = from + (start + i - from) % (to - from);
		const char *value = other_value(&rows[row], &what);

		if (rng_coin(rng))
			continue;
		t->said[row] = true;
		if (flow)
			buf_printf(&t->text, "%s%s: %s", said++ ? ", " : "", rows[row].path + len, value);
		else
			buf_printf(&t->text, "%*s%s:%*s%s", indent, "", rows[row].path + len, indent, "", value), put_comment(rng, t);
	}
	if (flow)
		buf_append_str(&t->text, "}"), put_comment(rng, t);
}

static void random_text(struct rng *rng, enum model_kind kind, struct random_text *t)
{
	size_t count, to;
	const struct model_field *rows = model_fields(kind, &count);

	*t = (struct random_text){0};
	put_comment(rng, t);
	for (size_t from = 0; from < count; from = to) {
		size_t len = model_section_len(&rows[from]);

		for (to = from + 1; len && to < count && model_section_len(&rows[to]) == len && !strncmp(rows[to].path, rows[from].path, len);)
			to++;
		if (rng_below(rng, 4) == 0) {
			buf_printf(&t->text, "own%zu: [a, {b: \"c # d\"}]", from);
			put_comment(rng, t);
		}
		if (rng_below(rng, 4) == 0)
			continue;
		if (len) {
			put_section(rng, rows, from, to, t);
		} else {
			t->said[from] = true;
			buf_printf(&t->text, "%s: {x: 1}", rows[from].path);
			put_comment(rng, t);
		}
	}
	assert_int_equal(t->text.error, 0);
}

static void check_random(struct rng *rng, enum model_kind kind, const struct random_text *t, const char *out)
{
	struct result value = {0}, fallback = {0}, owned = {0};
	size_t count;
	const struct model_field *rows = model_fields(kind, &count);
	const char *what;
	char comment[40];

	for (size_t i = 0; i < count; i++) {
		const char *got = value_at(&value, out, rows[i].path);

		(void)other_value(&rows[i], &what);
		if (rows[i].owner == MODEL_OWNER_DAEMON || !strcmp(rows[i].path, "metrics.last_heartbeat"))
			what = value_at(&owned, kind == MODEL_SESSION ? new_session : new_agent, rows[i].path);
		else if (!t->said[i])
			what = rows[i].owner == MODEL_OWNER_OPTIONAL ? "missing" : fallback_said(&fallback, &rows[i]);
		if (strcmp(got, what) != 0) {
			rng_report(rng, "random text");
			fail_msg("%s: %s, not %s, in\n%s\nof\n%s", rows[i].path, got, what, out, t->text.data);
		}
	}
	for (unsigned i = 0; i < t->comments; i++) {
		snprintf(comment, sizeof(comment), "   # comment %u\n", i);
		rng_assert(rng, strstr(out, comment));
	}
	buf_release(&value.text);
	buf_release(&fallback.text);
	buf_release(&owned.text);
}

static void test_random_texts(void **state)
{
	struct result res = {0}, again = {0};
	struct rng rng;

	(void)state;
	rng_init(&rng, rng_seed_of_run(7));
	for (int run = 0; run < 1000; run++) {
		enum model_kind kind = run % 2 ? MODEL_SESSION : MODEL_AGENT;
		const void *owned = kind == MODEL_SESSION ? (const void *)&session_owned : &agent_owned;
		struct random_text t;

		random_text(&rng, kind, &t);
		merged(&res, kind, NULL, t.text.data, owned);
		check_random(&rng, kind, &t, res.text.data);
		rng_assert(&rng, !strcmp(merged(&again, kind, res.text.data, res.text.data, owned), res.text.data));
		rng_assert(&rng, !strcmp(edited(&again, kind, res.text.data, owned, ""), res.text.data));
		buf_release(&t.text);
	}
	buf_release(&res.text);
	buf_release(&again.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_files),
		cmocka_unit_test(test_layout_stays),
		cmocka_unit_test(test_each_row),
		cmocka_unit_test(test_owned_fields),
		cmocka_unit_test(test_session_transitions),
		cmocka_unit_test(test_agent_statuses),
		cmocka_unit_test(test_edited_status),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_heartbeat),
		cmocka_unit_test(test_anchors),
		cmocka_unit_test(test_not_editable),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_billion_laughs),
		cmocka_unit_test(test_random_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
