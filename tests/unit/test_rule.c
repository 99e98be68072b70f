/* SPDX-License-Identifier: MIT
 *
 * Rules. The samples below are walked together with the rule table: a row without a
 * valid and an invalid sample here fails test_each_row(), so a new rule brings its samples.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <errno.h>

#include "buf.h"
#include "rule.h"

struct sample {
	uint32_t id;
	const char *path, *valid, *invalid;
	uint32_t line, column; /* of the refusal */
};

static const struct sample samples[] = {
	{RULE_WELLFORMED_YAML, "state/sessions/s1/state/a.yaml", "a: [1, 2]\n", "a: [1, 2\nb: 3\n", 2, 2},
	{RULE_WELLFORMED_YAML, "b.yml", "- x\n", "a:\n\t- b\n", 2, 1},
	{RULE_WELLFORMED_JSON, "state/sessions/s1/state/a.json", "{\"a\": 1}\n", "{\"a\": 1,}\n", 1, 9},
	{RULE_WELLFORMED_JSONL, "x/log.jsonl", "{}\n{}\n", "{}\n{]\n", 2, 2},
	{RULE_CONFIG, "status/config.yaml", "autocommit_ms: 500\n", "strict: true\n", 1, 1},
	{RULE_SESSION, "state/sessions/s1/session.yaml", "session: {status: paused}\nmine: 1\n", "session:\n  status: pausing\n", 2, 11},
	{RULE_AGENT, "state/sessions/s1/agents/coder-1.yaml", "agent: {pid: 12}\n", "agent: {pid: twelve}\n", 1, 14},
	{RULE_PARTICIPANTS, "state/sessions/s1/agents/.sync/b/participants", "a b\n- c\n", "# of us\na b/c\n", 2, 3},
	{RULE_TIMEOUT, "state/sessions/s1/agents/.sync/b/timeout", "30\n", "30s\n", 1, 1},
};

static int check(const struct rule_options *options, const char *path, const char *text, struct reason *reason)
{
	return rule_check(options, &(struct rule_input){.path = path, .text = text, .len = strlen(text)}, reason);
}

static void test_each_row(void **state)
{
	size_t count;
	const struct rule *rules = rule_table(&count);

	(void)state;
	for (size_t r = 0; r < count; r++) {
		size_t found = 0;

		for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
			const struct sample *s = &samples[i];
			struct reason reason = {0};

			if (s->id != rules[r].id)
				continue;
			found++;
			assert_true(rule_applies(NULL, s->path));
			assert_int_equal(check(NULL, s->path, s->valid, &reason), 0);
			assert_int_equal(check(NULL, s->path, s->invalid, &reason), -EBADMSG);
			assert_string_equal(reason.rule, rules[r].name);
			assert_int_equal(reason.line, s->line);
			assert_int_equal(reason.column, s->column);
			assert_true(reason.text[0]);
			assert_int_equal(check(NULL, s->path, s->invalid, NULL), -EBADMSG);
			assert_int_equal(check(NULL, s->path, "", &reason), 0);
		}
		if (!found)
			fail_msg("rule %s has no sample in this test", rules[r].name);
	}
}

static void test_table(void **state)
{
	size_t count;
	const struct rule *rules = rule_table(&count);

	(void)state;
	for (size_t r = 0; r < count; r++) {
		assert_true(rules[r].id > 0 && rules[r].check && rules[r].globs[0]);
		assert_true(strlen(rules[r].name) < sizeof(((struct reason *)0)->rule));
		for (size_t i = 0; i < r; i++) {
			assert_int_not_equal(rules[i].id, rules[r].id);
			assert_string_not_equal(rules[i].name, rules[r].name);
		}
	}
	/* frozen: journals record them */
	assert_int_equal(RULE_WELLFORMED_YAML, 1);
	assert_int_equal(RULE_WELLFORMED_JSON, 2);
	assert_int_equal(RULE_WELLFORMED_JSONL, 3);
	assert_int_equal(RULE_CONFIG, 4);
	assert_int_equal(RULE_SESSION, 5);
	assert_int_equal(RULE_AGENT, 6);
	assert_int_equal(RULE_PARTICIPANTS, 7);
	assert_int_equal(RULE_TIMEOUT, 8);
}

static void test_kinds(void **state)
{
	char *exclude[] = {"**/.git/**", "**/node_modules/**", "*.tmp.json"};
	const struct rule_options options = {.exclude = exclude, .exclude_count = ARRAY_SIZE(exclude)};
	struct reason reason = {0};

	(void)state;
	assert_int_equal(rule_kind_of(&options, "a/b.txt"), RULE_KIND_NONE);
	assert_int_equal(rule_kind_of(&options, "a/yaml"), RULE_KIND_NONE);
	assert_int_equal(rule_kind_of(&options, "a/b.YAML"), RULE_KIND_NONE);
	assert_int_equal(rule_kind_of(&options, "a/b.json/c"), RULE_KIND_NONE);
	assert_int_equal(rule_kind_of(&options, "a/b.json~"), RULE_KIND_NONE);
	assert_int_equal(rule_kind_of(&options, "a/.yml"), RULE_KIND_WHOLE);
	assert_int_equal(rule_kind_of(&options, "a/b.json"), RULE_KIND_WHOLE);
	assert_int_equal(rule_kind_of(&options, "a/b.jsonl"), RULE_KIND_LINES);
	assert_int_equal(rule_kind_of(&options, "p/node_modules/x/package.json"), RULE_KIND_NONE);
	assert_int_equal(rule_kind_of(NULL, "p/node_modules/x/package.json"), RULE_KIND_WHOLE);
	assert_false(rule_applies(&options, ".git/a.yaml"));
	assert_int_equal(check(&options, ".git/a.yaml", "[", &reason), 0);
	assert_int_equal(check(&options, "x/b.tmp.json", "[", &reason), 0);
	assert_int_equal(check(&options, "x/b.json", "[", &reason), -EBADMSG);
	assert_int_equal(check(&options, "x/b.txt", "[", &reason), 0);
}

/* Which names in a session are files of the state model, and which only stand beside one. */
static void test_state_model(void **state)
{
	static const char *const schema[] = {"session.yaml", "agents/coder-1.yaml", "agents/7.yaml", "agents/a.b.yaml"};
	static const char *const beside[] = {".session.yaml.swp", "session.yaml~", "sedAb12Cd", "x/session.yaml", "state/session.yaml",
		"agents/.coder-1.yaml.swp", "agents/coder-1.yaml~", "agents/sedAb12Cd", "agents/4913", "agents/coder-1.yaml.tmp", "agents/.coder-1.yaml",
		"agents/.#coder-1.yaml", "agents/.sync/b.yaml", "agents/x/y.yaml", "agents/.health/monitor.jsonl", "checkpoints/c1/agents/a.yaml",
		"checkpoints/c1/checkpoint.yaml"};
	char path[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(schema); i++) {
		snprintf(path, sizeof(path), "state/sessions/s1/%s", schema[i]);
		assert_int_equal(rule_kind_of(NULL, path), RULE_KIND_SCHEMA);
		assert_true(rule_must_refuse(NULL, path, false));
		assert_int_equal(check(NULL, path, "- 1\n", NULL), -EBADMSG);
		snprintf(path, sizeof(path), "state/%s", schema[i]);
		assert_int_not_equal(rule_kind_of(NULL, path), RULE_KIND_SCHEMA);
	}
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
		snprintf(path, sizeof(path), "state/sessions/s1/%s", beside[i]);
		assert_int_not_equal(rule_kind_of(NULL, path), RULE_KIND_SCHEMA);
		if (rule_kind_of(NULL, path) != RULE_KIND_LINES)
			assert_int_equal(check(NULL, path, "- 1\n", NULL), 0);
	}
	/* from before names were checked: matches the pattern, but is no agent's */
	assert_int_equal(check(NULL, "state/sessions/s1/agents/a b.yaml", "- 1\n", NULL), 0);
	assert_int_equal(check(NULL, "state/sessions/.x/session.yaml", "- 1\n", NULL), 0);
}

static void test_barrier_files(void **state)
{
	static const char *const participants[] = {"a b\nc\n",
		"\xef\xbb\xbf"
		"a\r\nb",
		"[a, \"b\", 'c']", "- a\n- b # c/d\n", "# nobody\n", "\n"};
	static const char *const nobodys[] = {"a ../b", "a.b/c", "-x", ".x", "$(id)", "a: b", "\xc3\xa9"};
	static const char *const timeouts[] = {"1", " 31536000\r\n",
		"\xef\xbb\xbf"
		"5\n",
		"\n"};
	static const char *const never[] = {"0", "-1", "1.5", "abc", "5 6", "31536001", "0x10", "99999999999999999999"};
	cleanup_buf struct buf many = BUF_INIT;

	(void)state;
#define BARRIER "state/sessions/s1/agents/.sync/b/"
	for (size_t i = 0; i < ARRAY_SIZE(participants); i++)
		assert_int_equal(check(NULL, BARRIER "participants", participants[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(nobodys); i++)
		assert_int_equal(check(NULL, BARRIER "participants", nobodys[i], NULL), -EBADMSG);
	for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++)
		assert_int_equal(check(NULL, BARRIER "timeout", timeouts[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		assert_int_equal(check(NULL, BARRIER "timeout", never[i], NULL), -EBADMSG);
	for (int i = 0; i < 4096; i++)
		buf_printf(&many, "a%d\n", i);
	assert_int_equal(check(NULL, BARRIER "participants", many.data, NULL), 0);
	buf_append_str(&many, "b");
	assert_int_equal(check(NULL, BARRIER "participants", many.data, NULL), -EBADMSG);
	assert_int_equal(check(NULL, "state/sessions/s1/state/participants", "../x", NULL), 0);
#undef BARRIER
}

static void test_size_bound(void **state)
{
	const struct rule_options options = {.bytes_max = 4};
	struct rule_input lines = {.path = "a.jsonl", .text = "{}\n{}\n[\n", .len = 8, .checked_prefix = 6};

	(void)state;
	assert_int_equal(check(&options, "a.json", "[1 2", NULL), -EBADMSG);
	assert_int_equal(check(&options, "a.json", "[1 2]", NULL), 0);  /* too large to look at */
	assert_int_equal(rule_check(&options, &lines, NULL), -EBADMSG); /* only the new lines count */
	lines.checked_prefix = 0;
	assert_int_equal(rule_check(&options, &lines, NULL), 0);
}

static int check_lines(const char *text, size_t prefix, uint64_t lines_before, struct reason *reason)
{
	const struct rule_input input = {.path = "a.jsonl", .text = text, .len = strlen(text), .checked_prefix = prefix, .lines_before = lines_before};

	return rule_check(NULL, &input, reason);
}

static void test_new_lines(void **state)
{
	struct reason reason = {0};

	(void)state;
	assert_int_equal(check_lines("bad\n{}\n", 0, 0, &reason), -EBADMSG);
	assert_int_equal(reason.line, 1);
	assert_int_equal(check_lines("bad\n{}\n", 4, 0, &reason), 0); /* known: not looked at again */
	assert_int_equal(check_lines("{}\n[1]\n[}\n", 3, 0, &reason), -EBADMSG);
	assert_int_equal(reason.line, 3);
	assert_int_equal(reason.column, 2);
	/* appended to a last line without newline: one line together */
	assert_int_equal(check_lines("{}\n{}{}\n", 5, 0, &reason), -EBADMSG);
	assert_int_equal(reason.line, 2);
	assert_int_equal(reason.column, 3);
	assert_int_equal(check_lines("{}\n12", 4, 0, &reason), 0);
	assert_int_equal(check_lines("{}{}", 2, 0, &reason), -EBADMSG);
	assert_int_equal(reason.line, 1);
	assert_int_equal(check_lines("{}\n", 3, 0, &reason), 0);
	/* a byte order mark begins texts, not lines */
	assert_int_equal(check_lines("{}\n\xef\xbb\xbf{}\n", 3, 0, &reason), -EBADMSG);
	assert_int_equal(reason.line, 2);
	assert_int_equal(check_lines("{}\n[\n", 3, 1000, &reason), -EBADMSG);
	assert_int_equal(reason.line, 1002);
}

static void test_policy(void **state)
{
	const struct rule_options strict = {.strict = true}, lenient = {0};

	(void)state;
	assert_true(rule_must_refuse(&lenient, "a.json", true));
	assert_false(rule_must_refuse(&lenient, "a.json", false));
	assert_false(rule_must_refuse(NULL, "a.json", false));
	assert_true(rule_must_refuse(&strict, "a.json", false));
}

static double ns_per_question(const struct rule_options *options, const char *path, enum rule_kind expected)
{
	struct timespec start, end;
	int rounds = 200000;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < rounds; i++)
		assert_true(rule_kind_of(options, path) == expected);
	clock_gettime(CLOCK_MONOTONIC, &end);
	return ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / rounds;
}

static void test_cost(void **state)
{
	char *exclude[] = {"**/.git/**", "**/node_modules/**"};
	const struct rule_options options = {.exclude = exclude, .exclude_count = ARRAY_SIZE(exclude)};
	double none = ns_per_question(&options, "state/sessions/s1/state/src/deep/down/file.txt", RULE_KIND_NONE);
	double whole = ns_per_question(&options, "state/sessions/s1/state/src/deep/down/file.json", RULE_KIND_WHOLE);

	(void)state;
	printf("rule_kind_of: %.0f ns where no rule is concerned, %.0f ns where one is\n", none, whole);
	assert_true(none < 200000); /* generous: sanitizers and busy machines */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_row),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_state_model),
		cmocka_unit_test(test_barrier_files),
		cmocka_unit_test(test_size_bound),
		cmocka_unit_test(test_new_lines),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
