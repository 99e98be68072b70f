/* SPDX-License-Identifier: MIT
 *
 * The schema of the state model. Each row of the table is tried with samples of its type, so a new field is covered and a new type
 * needs samples; then the sentences people read, misspelt names, and texts made to hurt.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "model_schema.h"
#include "rule.h"

#define SESSION_PATH "state/sessions/s1/session.yaml"
#define AGENT_PATH "state/sessions/s1/agents/coder-1.yaml"

static int check(enum model_kind kind, const char *text, struct reason *reason)
{
	const struct rule_input input = {.path = kind == MODEL_SESSION ? SESSION_PATH : AGENT_PATH, .text = text, .len = strlen(text)};

	*reason = (struct reason){0};
	return rule_check(NULL, &input, reason);
}

static void accept(enum model_kind kind, const char *text)
{
	struct reason why;

	if (check(kind, text, &why))
		fail_msg("refused: %s: line %u, %s", text, why.line, why.text);
}

/* The place is that of the value. */
static void refuse(enum model_kind kind, const char *text, uint32_t line, uint32_t column, const char *sentence)
{
	struct reason why;

	if (check(kind, text, &why) != -EBADMSG)
		fail_msg("accepted: %s", text);
	assert_string_equal(why.text, sentence);
	assert_string_equal(why.rule, model_rule_name(kind));
	assert_int_equal(why.line, line);
	assert_int_equal(why.column, column);
}

/* ---- each row ---- */

/* "a.b" and "1" give "# first\na:\n  b: 1\n"; the value stands in line 2 or 3. */
static const char *text_of(const char *path, const char *value, char out[10000])
{
	const char *dot = strchr(path, '.');

	if (dot)
		snprintf(out, 10000, "# first\n%.*s:\n  %s: %s\n", (int)(dot - path), path, dot + 1, value);
	else
		snprintf(out, 10000, "# first\n%s: %s\n", path, value);
	return out;
}

struct samples {
	enum model_type type;
	const char *valid[16], *invalid[40];
};

/* Besides: bounds of numbers and lengths, words of lists, and null, by the row. */
static const struct samples samples[] = {
	{MODEL_TEXT, {"x", "\"a b\"", "''", "on", "'12'", "2026-11-22", "*x"}, {"12", "true", "[a]", "{a: 1}", "1e3", "\"a\\0b\"", "!!int 5"}},
	{MODEL_ONE_OF, {NULL}, {"on", "\"\"", "Active", "'active '", "1", "[active]", "{}", "true", "actives", "\"active\\0\""}},
	{MODEL_WHOLE, {"5", "!!int 5"},
		{"soon", "'5'", "\"5\"", "1e3", "0x10", "0o17", "05", "+5", "5.0", "5.5", "-1", "1_0", "1:30", "true", "[5]", "{}", ".inf", ".nan", "!!str 5",
			"5 s", "99999999999999999999999999"}},
	{MODEL_NUMBER, {"5", "42.5", ".5", "7."}, {"-1", "1e1", "0x10", ".nan", ".inf", "'5'", "050", "fifty", "50%", "true", "[5]", "{}", "1.2.3", "."}},
	{MODEL_FLAG, {"true", "false", "True", "FALSE"}, {"on", "off", "yes", "No", "'true'", "1", "0", "[]", "{}", "!!str true"}},
	{MODEL_TIME, {"2026-11-22T10:00:00Z", "'2026-11-22 10:00:00'", "1795341600"}, {"soon", "true", "[]", "{}", "10:00", "\"\"", "1.5"}},
	{MODEL_MAPPING, {"{}", "{a: [1, {b: ~}]}", "{on: off, 1: 2}", "!own {}"}, {"[]", "x", "1", "true", "''"}},
	{MODEL_TEXTS, {"[]", "[a, 'b c', on]", "[file_written]"}, {"a", "{}", "[1]", "[~]", "[[a]]", "[a, {}]", "1", "[a, true]"}},
	{MODEL_IDS, {"[]", "[a, coder-1, 'x.y_z']"}, {"a", "{}", "[1]", "[~]", "[a b]", "[.a]", "[a/b]", "['']", "[[a]]", "1"}},
	{MODEL_ID, {NULL}, {NULL}}, /* only the daemon's */
};

static const struct samples *samples_of(enum model_type type)
{
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		if (samples[i].type == type)
			return &samples[i];
	fail_msg("type %d has no samples in this test", type);
	return NULL;
}

static void accept_value(enum model_kind kind, const struct model_field *f, const char *value)
{
	char text[10000], with_anchor[10100];

	text_of(f->path, value, text);
	snprintf(with_anchor, sizeof(with_anchor), "anchored: &x word\n%s", text);
	accept(kind, with_anchor);
}

static void refuse_value(enum model_kind kind, const struct model_field *f, const char *value)
{
	const char *name = f->path + model_section_len(f);
	char text[10000];
	struct reason why;
	size_t column;

	if (check(kind, text_of(f->path, value, text), &why) != -EBADMSG)
		fail_msg("accepted: %s", text);
	if (strncmp(why.text, f->path, strlen(f->path)) || why.text[strlen(f->path)] != ':')
		fail_msg("%s: %s", f->path, why.text);
	assert_non_null(strstr(why.text, " is not "));
	assert_int_equal(why.line, model_section_len(f) ? 3 : 2);
	column = strlen(name) + (name != f->path ? 3 : 1) + (*value ? 2 : 1);
	if (why.column != column && !(strstr(why.text, ": item ") && why.column > column && why.column < column + strlen(value)))
		fail_msg("column %u: %s", why.column, text);
	assert_string_equal(why.rule, model_rule_name(kind));
}

static void try_number(enum model_kind kind, const struct model_field *f)
{
	char value[40];

	snprintf(value, sizeof(value), "%" PRIu64, f->min);
	accept_value(kind, f, value);
	snprintf(value, sizeof(value), "%" PRIu64, f->max);
	accept_value(kind, f, value);
	snprintf(value, sizeof(value), "%" PRIu64, f->max + 1);
	refuse_value(kind, f, value);
	if (f->min) {
		snprintf(value, sizeof(value), "%" PRIu64, f->min - 1);
		refuse_value(kind, f, value);
	}
}

static void try_length(enum model_kind kind, const struct model_field *f)
{
	char value[8000] = "";

	assert_true(f->max < sizeof(value) - 1);
	memset(value, 'a', (size_t)f->max);
	accept_value(kind, f, value);
	value[f->max] = 'a';
	refuse_value(kind, f, value);
}

static void try_row(enum model_kind kind, const struct model_field *f)
{
	const struct samples *s = samples_of(f->type);

	for (size_t i = 0; s->valid[i]; i++)
		accept_value(kind, f, s->valid[i]);
	for (size_t i = 0; s->invalid[i]; i++)
		refuse_value(kind, f, s->invalid[i]);
	for (size_t i = 0; f->words && f->words[i]; i++)
		accept_value(kind, f, f->words[i]);
	if (f->type == MODEL_WHOLE || f->type == MODEL_NUMBER)
		try_number(kind, f);
	if (f->type == MODEL_TEXT)
		try_length(kind, f);
	for (size_t i = 0; i < 3; i++)
		(f->or_null ? accept_value : refuse_value)(kind, f, ((const char *[]){"", "~", "null"})[i]);
}

/* What the daemon sets counts, whatever stands there. */
static void try_daemons_row(enum model_kind kind, const struct model_field *f)
{
	static const char *const anything[] = {"", "~", "x y", "[1, {}]", "{a: b}", "12", "on"};

	for (size_t i = 0; i < ARRAY_SIZE(anything); i++)
		accept_value(kind, f, anything[i]);
}

static void check_fallback(enum model_kind kind, const struct model_field *f)
{
	struct reason why = {0};
	struct doc *doc;

	assert_int_equal(doc_parse_yaml(f->fallback, strlen(f->fallback), NULL, &doc), 0);
	if (model_field_check(kind, f, doc_root(doc), &why))
		fail_msg("default: %s", why.text);
	doc_free(doc);
}

static void test_each_row(void **state)
{
	(void)state;
	for (enum model_kind kind = MODEL_SESSION; kind <= MODEL_AGENT; kind++) {
		size_t count;
		const struct model_field *rows = model_fields(kind, &count);

		for (size_t i = 0; i < count; i++) {
			size_t len = model_section_len(&rows[i]);

			check_fallback(kind, &rows[i]);
			(rows[i].owner == MODEL_OWNER_DAEMON ? try_daemons_row : try_row)(kind, &rows[i]);
			assert_ptr_equal(model_field(kind, rows[i].path), &rows[i]);
			assert_true(strlen(rows[i].path + len) < 32 && len < 32 && !strchr(rows[i].path + len, '.'));
			for (size_t j = 0; j < i; j++) /* a section's rows stand together */
				if (len && len == model_section_len(&rows[j]) && !strncmp(rows[i].path, rows[j].path, len))
					assert_memory_equal(rows[i].path, rows[i - 1].path, len);
		}
	}
}

/* ---- sentences ---- */

static void test_sentences(void **state)
{
	(void)state;
	refuse(MODEL_SESSION, "configuration:\n  checkpoint_interval: soon\n", 2, 24,
		"configuration.checkpoint_interval: \"soon\" is not a whole number of seconds of at least 1");
	refuse(MODEL_SESSION, "configuration: {backup_retention: 1.5}\n", 1, 35,
		"configuration.backup_retention: 1.5 is not a whole number of days of at least 0");
	refuse(MODEL_SESSION, "configuration: {sync_timeout: 0}\n", 1, 31, "configuration.sync_timeout: 0 is not a whole number of seconds of at least 1");
	refuse(MODEL_SESSION, "configuration: {sync_timeout: 1000000001}\n", 1, 31,
		"configuration.sync_timeout: 1000000001 is not a whole number of seconds of at least 1 and at most 1000000000");
	refuse(MODEL_SESSION, "configuration: {max_session_duration: \"300\"}\n", 1, 39,
		"configuration.max_session_duration: \"300\" is not a whole number of seconds of at least 1 (the quotes make it text)");
	refuse(MODEL_SESSION, "configuration: {max_session_duration: 1e3}\n", 1, 39,
		"configuration.max_session_duration: 1e3 is not a whole number of seconds of at least 1 (in plain digits)");
	refuse(MODEL_SESSION, "configuration: {max_session_duration: 0x10}\n", 1, 39,
		"configuration.max_session_duration: 0x10 is not a whole number of seconds of at least 1 (in plain digits)");
	refuse(MODEL_SESSION, "configuration: {max_session_duration: ~}\n", 1, 39,
		"configuration.max_session_duration: ~ is not a whole number of seconds of at least 1");
	refuse(MODEL_SESSION, "configuration: {auto_checkpoint: on}\n", 1, 34,
		"configuration.auto_checkpoint: \"on\" is not true or false (tools differ in what on, off, yes and no are)");
	refuse(MODEL_SESSION, "recovery:\n\n  enabled: 'true' # quoted\n", 3, 12, "recovery.enabled: \"true\" is not true or false (the quotes make it text)");
	refuse(MODEL_SESSION, "session:\n  status: on\n", 2, 11,
		"session.status: \"on\" is not one of initializing, active, paused, completed, failed, expired");
	refuse(MODEL_SESSION, "session:\n  status:\n", 2, 10, "session.status: nothing is not one of initializing, active, paused, completed, failed, expired");
	refuse(MODEL_AGENT, "agent:\n  status: paused\n", 2, 11,
		"agent.status: \"paused\" is not one of initializing, active, idle, unhealthy, dead, completed");
	refuse(MODEL_SESSION, "session: {type: 12}\n", 1, 17, "session.type: 12 is not text of at most 128 bytes (in quotes it would be text)");
	refuse(MODEL_SESSION, "state: {progress_percentage: 101}\n", 1, 30, "state.progress_percentage: 101 is not a number from 0 to 100");
	refuse(MODEL_SESSION, "state: {current_operation: [a]}\n", 1, 28, "state.current_operation: a list is not text of at most 4096 bytes, or null");
	refuse(MODEL_SESSION, "context: 5\n", 1, 10, "context: 5 is not a mapping");
	refuse(MODEL_AGENT, "agent: {pid: 0}\n", 1, 14, "agent.pid: 0 is not a whole number from 1 to 4194304, or null");
	refuse(MODEL_AGENT, "agent: {pid: '12'}\n", 1, 14, "agent.pid: \"12\" is not a whole number from 1 to 4194304, or null (the quotes make it text)");
	refuse(MODEL_AGENT, "agent: {pid: .inf}\n", 1, 14, "agent.pid: .inf is not a whole number from 1 to 4194304, or null");
	refuse(MODEL_AGENT, "metrics: {last_heartbeat: soon}\n", 1, 27,
		"metrics.last_heartbeat: \"soon\" is not a time such as \"2026-11-22T10:00:00Z\", or null");
	refuse(MODEL_AGENT, "coordination:\n  dependencies:\n  - a\n  - b c\n", 4, 5,
		"coordination.dependencies: item 2, \"b c\", is not an id of letters, digits, '.', '_' and '-'");
	refuse(MODEL_AGENT, "coordination: {event_subscriptions: [1]}\n", 1, 38,
		"coordination.event_subscriptions: item 1, 1, is not text of at most 128 bytes (in quotes it would be text)");
	/* shown cut, never within a character */
	refuse(MODEL_SESSION, "session:\n  status: äääääääääääääääääääääääääääääää\n", 2, 11,
		"session.status: \"ääääääääääääääääääää…\" is not one of initializing, active, paused, completed, failed, expired");
	refuse(MODEL_SESSION, "session:\n  status: aäääääääääääääääääääääääääääääää\n", 2, 11,
		"session.status: \"aäääääääääääääääääää…\" is not one of initializing, active, paused, completed, failed, expired");
}

static void test_sections(void **state)
{
	(void)state;
	refuse(MODEL_SESSION, "- a\n", 1, 1, "a list is not a mapping with sections such as `session: {status: active}`");
	refuse(MODEL_AGENT, "# c\nx\n", 2, 1, "a single value is not a mapping with sections such as `agent: {status: active}`");
	refuse(MODEL_SESSION, "a: 1\nconfiguration:\n- x\n", 3, 1, "configuration: a list is not a mapping with members such as auto_checkpoint");
	refuse(MODEL_AGENT, "agent: coder\n", 1, 8, "agent: a single value is not a mapping with members such as id");
	refuse(MODEL_SESSION, "base: &b {x: 1}\nstate: *b\n", 2, 8, "state: an alias cannot stand here: write the members out");
	refuse(MODEL_SESSION, "base: &b\nstate: *b\n", 2, 8, "state: an alias cannot stand here: write the members out");
	refuse(MODEL_SESSION, "base: &b {type: x}\nsession:\n  <<: *b\n", 3, 3, "session.<<: merge keys are not followed here: write the members out");
	refuse(MODEL_AGENT, "base: &b {agent: {type: x}}\n<<: *b\n", 2, 1, "<<: merge keys are not followed here: write the members out");
	accept(MODEL_SESSION, "base: &b {type: x}\ncontext: {<<: *b, more: [*b]}\nown: {<<: *b}\n");
	accept(MODEL_SESSION, "session:\nstate: ~\nconfiguration: {}\nrecovery: null\ncontext:\n");
	accept(MODEL_SESSION, "# nothing\n");
	accept(MODEL_SESSION, "~\n");
	accept(MODEL_SESSION, "---\nsession: {}\n...\n# the end\n");
	refuse(MODEL_SESSION, "---\n...\n---\nsession: {}\n", 3, 1, "a second document begins here (---): the file holds one");
	refuse(MODEL_AGENT, "agent: {}\n# c\n---\n---\nx: 1\n", 3, 1, "a second document begins here (---): the file holds one");
	accept(MODEL_SESSION, "session: {status: 5, status: active}\n"); /* the last counts, as everywhere */
	refuse(MODEL_SESSION, "session: {status: active, status: 5}\n", 1, 35,
		"session.status: 5 is not one of initializing, active, paused, completed, failed, expired");
}

static void test_misspelt_names(void **state)
{
	static const char *const session[][2] = {{"session", "state"}, {"session", "Status"}, {"session", "statsu"}, {"session", "stauts"},
		{"session", "sttus"}, {"session", "tpye"}, {"session", "typ"}, {"configuration", "checkpoint-interval"},
		{"configuration", "checkpoint_intervall"}, {"configuration", "chekpoint_interva"}, {"configuration", "autocheckpoint"},
		{"configuration", "backup_retentoin"}, {"configuration", "hearbeat_interval"}, {"configuration", "sync_timout"}};
	static const char *const meant[] = {"session.status", "session.status", "session.status", "session.status", "session.status", "session.type",
		"session.type", "configuration.checkpoint_interval", "configuration.checkpoint_interval", "configuration.checkpoint_interval",
		"configuration.auto_checkpoint", "configuration.backup_retention", "configuration.heartbeat_interval", "configuration.sync_timeout"};
	char text[200], sentence[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(session); i++) {
		snprintf(text, sizeof(text), "%s:\n  \"%s\": 1\n", session[i][0], session[i][1]);
		snprintf(sentence, sizeof(sentence), "%s.%s: there is no such field; did you mean %s?", session[i][0], session[i][1], meant[i]);
		refuse(MODEL_SESSION, text, 2, 3, sentence);
	}
	refuse(MODEL_AGENT, "agent: {PID: 1}\n", 1, 9, "agent.PID: there is no such field; did you mean agent.pid?");
	refuse(MODEL_SESSION, "own: 1\nsesion:\n  status: paused\n", 2, 1, "sesion: there is no such section; did you mean session?");
	refuse(MODEL_SESSION, "session: {type: x}\nConfiguration: {owner: me, sync_timeout: 5}\n", 2, 1,
		"Configuration: there is no such section; did you mean configuration?");
	refuse(MODEL_AGENT, "{agnet: {pid: 1}}\n", 1, 2, "agnet: there is no such section; did you mean agent?");
	/* the user's own */
	accept(MODEL_SESSION, "sessions: {a: {status: x}}\nconfigurations: [auto_checkpoint]\nsesion: status\nagent: {pid: 1}\n? [session]\n: {status: x}\n");
	accept(MODEL_SESSION, "session: {type: x}\nsessions: {type: y}\nstatee: {progress_percentage: 5}\n");
	accept(MODEL_AGENT, "agent: {}\nagents: {id: other}\nsession: {id: x}\n");
	accept(MODEL_SESSION,
		"session: {owner: me, created_by: me, updated: x, kind: k, tags: [a], name: n}\nconfiguration: {on_conflict: merge, check: 1, 5: 6, ~: x}\n"
		"statee: {}\nstate: {progress: 5}\nrecovery: {enable: 1}\n? [a, b]\n: c\n? {d: e}\n: f\n");
	accept(MODEL_AGENT,
		"agent: {uid: 1, gid: 2, cwd: x, kind: llm, ids: [], model: m, session: s, ? [pid] : 1}\nmetric: 1\nmetrics: {errors: 5}\nstate: {pids: 1}\n");
	accept(MODEL_AGENT, "agent: {a_name_that_is_as_long_as_no_field_is_and_more: 1, '': 1}\n");
}

/* ---- texts made to hurt ---- */

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long peak_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

/* Refused in bounded time and memory by a sentence that holds @part. */
static void refuse_hostile(const char *text, size_t len, const char *part)
{
	for (enum model_kind kind = MODEL_SESSION; kind <= MODEL_AGENT; kind++) {
		const struct rule_input input = {.path = kind == MODEL_SESSION ? SESSION_PATH : AGENT_PATH, .text = text, .len = len};
		double start = seconds_now();
		long before = peak_kib();
		struct reason why = {0};

		assert_int_equal(rule_check(NULL, &input, &why), -EBADMSG);
		if (!strstr(why.text, part))
			fail_msg("%s: not \"%s\"", why.text, part);
		assert_true(seconds_now() - start < 100); /* generous: sanitizers and busy machines */
		assert_true(peak_kib() - before < 200 * 1024);
	}
}

static void accept_hostile(const char *text, size_t len)
{
	for (enum model_kind kind = MODEL_SESSION; kind <= MODEL_AGENT; kind++) {
		const struct rule_input input = {.path = kind == MODEL_SESSION ? SESSION_PATH : AGENT_PATH, .text = text, .len = len};
		double start = seconds_now();
		long before = peak_kib();
		struct reason why = {0};

		if (rule_check(NULL, &input, &why))
			fail_msg("%s", why.text);
		assert_true(seconds_now() - start < 100);
		assert_true(peak_kib() - before < 300 * 1024);
	}
}

/* @head, then @unit as often as fits @len bytes, then @tail. */
static void repeat(struct buf *b, const char *head, const char *unit, const char *tail, size_t len)
{
	buf_clear(b);
	buf_append_str(b, head);
	while (b->len + strlen(unit) + strlen(tail) <= len)
		buf_append_str(b, unit);
	buf_append_str(b, tail);
	assert_int_equal(b->error, 0);
}

static void test_hostile_large(void **state)
{
	cleanup_buf struct buf b = BUF_INIT;

	(void)state;
	repeat(&b, "session: {type: \"", "a", "\"}\n", 10000000);
	refuse_hostile(b.data, b.len, "at most 1048576 are allowed");
	repeat(&b, "context: \"", "a", "\"\n", 10000000);
	refuse_hostile(b.data, b.len, "files of its own under the session's state/");
	repeat(&b, "mine: \"", "a", "\"\n", MODEL_BYTES_MAX);
	accept_hostile(b.data, b.len);
	repeat(&b, "mine: \"", "a", "\"\n", MODEL_BYTES_MAX + 1);
	refuse_hostile(b.data, b.len, "1048577 bytes");
	repeat(&b, "mine: [", "1,", "]\n", MODEL_BYTES_MAX); /* half a million nodes */
	accept_hostile(b.data, b.len);
	repeat(&b, "session: {", "a: 1,", "}\nagent: {b: 2}\n", MODEL_BYTES_MAX); /* each name is compared with each field's */
	accept_hostile(b.data, b.len);
	repeat(&b, "agent: {c: 2}\nsession: {", "xxxxxx: 1,", "}\n", MODEL_BYTES_MAX);
	accept_hostile(b.data, b.len);
}

static void test_hostile_deep(void **state)
{
	cleanup_buf struct buf b = BUF_INIT;

	(void)state;
	repeat(&b, "context: ", "[", "", 10000);
	refuse_hostile(b.data, b.len, "nested deeper than 256 levels");
	repeat(&b, "context: ", "{a: ", "", 40000);
	refuse_hostile(b.data, b.len, "nested deeper than 256 levels");
	repeat(&b, "x:\n ", "- ", "a\n", 20000);
	refuse_hostile(b.data, b.len, "nested deeper than 256 levels");
}

static void test_hostile_aliases(void **state)
{
	/* billion laughs: each list is ten times the one before */
	static const char laughs[] = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
				     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
				     "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\ni: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h,*h]\n";
	char text[1000];

	(void)state;
	accept_hostile(laughs, strlen(laughs));
	snprintf(text, sizeof(text), "%scoordination: {dependencies: *i}\nrecovery: {enabled: *i}\n", laughs);
	refuse_hostile(text, strlen(text), " is not ");
	refuse_hostile("a: &a [*a]\n", 11, "inside the node that it names");
	refuse_hostile("a: *b\n", 6, "names no anchor");
}

static void test_hostile_bytes(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *part;
	} bad[] = {
		{"session:\n\tstatus: active\n", 25, "a tab; YAML is indented by spaces"},
		{"agent: {type: a\0b}\n", 19, "a NUL byte is not text"},
		{"agent: {type: \xff}\n", 17, "this is not UTF-8"},
		{"\xff\xfe"
		 "a\0",
			4, "a NUL byte is not text"},
		{"a: !!bogus:x:y <\n- [\n", 21, ""},
		{"%TAG ! tag:x,2000:\na: 1\n", 24, ""},
		{"a: \"\\x\"\n", 8, ""},
	};
	static const char *const good[] = {
		"session:\r\n  status: \"paused\"\r\nagent:\r\n  status: idle\r\n",
		"\xef\xbb\xbfsession: {status: active}\n",
		"session: !!map {status: !!str active}\nagent: !own {type: !x 'y'}\n",
		"%YAML 1.1\n---\nsession: {type: 'a\tb'} # \t tab\n...\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refuse_hostile(bad[i].text, bad[i].len, bad[i].part);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		accept_hostile(good[i], strlen(good[i]));
}

static void test_long_lists(void **state)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct reason why;

	(void)state;
	repeat(&b, "coordination: {dependencies: [", "a,", "]}", 32 + 2 * MODEL_LIST_MAX);
	accept(MODEL_AGENT, b.data);
	repeat(&b, "coordination: {dependencies: [", "a,", "]}", 34 + 2 * MODEL_LIST_MAX);
	assert_int_equal(check(MODEL_AGENT, b.data, &why), -EBADMSG);
	assert_string_equal(why.text, "coordination.dependencies: a list of 1025 is not a list of at most 1024 ids");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_row),
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_misspelt_names),
		cmocka_unit_test(test_hostile_large),
		cmocka_unit_test(test_hostile_deep),
		cmocka_unit_test(test_hostile_aliases),
		cmocka_unit_test(test_hostile_bytes),
		cmocka_unit_test(test_long_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
