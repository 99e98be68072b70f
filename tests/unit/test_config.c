/* SPDX-License-Identifier: MIT
 *
 * Settings: every row of CONFIG_LIST is set, refused at its bounds and written; then what the text around them may be.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config.h"

enum kind { NUMBER_ROW, FLAG_ROW, GLOBS_ROW, SYNC_ROW };

struct row {
	enum kind kind;
	const char *name;
	size_t offset;
	uint64_t def, min, max;
	const char *comment;
};

static const struct row rows[] = {
#define NUMBER(field, name, def, min, max, comment) {NUMBER_ROW, name, offsetof(struct config, field), def, min, max, comment},
#define FLAG(field, name, def, comment) {FLAG_ROW, name, offsetof(struct config, field), def, 0, 1, comment},
#define GLOBS(field, name, def, comment) {GLOBS_ROW, name, offsetof(struct config, field), 0, 0, 0, comment},
#define SYNC(field, name, max, comment) {SYNC_ROW, name, offsetof(struct config, field), 0, 1, max, comment},
	CONFIG_LIST(NUMBER, FLAG, GLOBS, SYNC)
#undef NUMBER
#undef FLAG
#undef GLOBS
#undef SYNC
};

static int parse(const char *text, struct reason *why, struct config *ret)
{
	*why = (struct reason){0};
	return config_parse(text, strlen(text), why, ret);
}

/* "a.b" and "1" give "a:\n  b: 1\n". */
static const char *yaml_of(const char *name, const char *value, char out[512])
{
	const char *dot = strchr(name, '.');

	if (dot)
		snprintf(out, 512, "%.*s:\n  %s: %s\n", (int)(dot - name), name, dot + 1, value);
	else
		snprintf(out, 512, "%s: %s\n", name, value);
	return out;
}

static uint64_t number_of(const struct config *c, const struct row *r)
{
	if (r->kind == FLAG_ROW)
		return *(const bool *)((const char *)c + r->offset);
	return *(const uint64_t *)((const char *)c + r->offset);
}

static void accept(const struct row *r, const char *value, uint64_t want)
{
	struct config c;
	struct reason why;
	char text[512];

	if (parse(yaml_of(r->name, value, text), &why, &c))
		fail_msg("%s: %s", text, why.text);
	assert_int_equal(number_of(&c, r), want);
	config_release(&c);
}

static void refuse(const struct row *r, const char *value, const char *allowed)
{
	struct config c;
	struct reason why;
	char text[512];

	if (parse(yaml_of(r->name, value, text), &why, &c) != -EBADMSG)
		fail_msg("accepted: %s", text);
	assert_non_null(strstr(why.text, r->name));
	if (!strstr(why.text, allowed))
		fail_msg("%s does not say %s", why.text, allowed);
	assert_int_equal(why.line, strchr(r->name, '.') ? 2 : 1);
	assert_true(why.column > 0);
	assert_string_equal(why.rule, "config");
}

static void check_number_row(const struct row *r)
{
	char value[64], allowed[80];

	snprintf(allowed, sizeof(allowed), "%" PRIu64 " to %" PRIu64, r->min, r->max);
	snprintf(value, sizeof(value), "%" PRIu64, r->max);
	accept(r, value, r->max);
	snprintf(value, sizeof(value), "%" PRIu64, r->min);
	accept(r, value, r->min);
	snprintf(value, sizeof(value), "%" PRIu64, r->max + 1);
	refuse(r, value, allowed);
	if (r->min) {
		snprintf(value, sizeof(value), "%" PRIu64, r->min - 1);
		refuse(r, value, allowed);
	}
	refuse(r, "-5", allowed);
	refuse(r, "soon", allowed);
	refuse(r, "1.5", allowed);
	refuse(r, "\"1000\"", allowed);
	refuse(r, "[1000]", allowed);
	refuse(r, "null", allowed);
	refuse(r, "99999999999999999999999", allowed);
}

static void check_globs_row(const struct row *r)
{
	static const char *const lists[] = {"[\"*.a\", b/**]", "\"*.a b/**\"", "\"  *.a   b/**  \"", "\n    - '*.a'\n    - b/**"};
	struct config c;
	struct reason why;
	char text[512];

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const struct globs *g;

		assert_int_equal(parse(yaml_of(r->name, lists[i], text), &why, &c), 0);
		g = (const struct globs *)(const void *)((const char *)&c + r->offset);
		assert_int_equal(g->count, 2);
		assert_string_equal(g->items[0], "*.a");
		assert_string_equal(g->items[1], "b/**");
		assert_null(g->items[2]);
		assert_true(globs_match(g, "x/y.a"));
		assert_true(globs_match(g, "b/c"));
		assert_false(globs_match(g, "x/b.c"));
		config_release(&c);
	}
	assert_int_equal(parse(yaml_of(r->name, "[]", text), &why, &c), 0);
	assert_int_equal(((const struct globs *)(const void *)((const char *)&c + r->offset))->count, 0);
	config_release(&c);
	refuse(r, "[\"[a\"]", "glob patterns");
	refuse(r, "\"a/ b\"", "glob patterns");
	refuse(r, "[1]", "glob patterns");
	refuse(r, "{a: b}", "glob patterns");
	refuse(r, "7", "glob patterns");
}

static void test_each_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];

		assert_true(strlen(r->comment) > 10);
		switch (r->kind) {
		case NUMBER_ROW:
			check_number_row(r);
			break;
		case FLAG_ROW:
			accept(r, "true", 1);
			accept(r, "false", 0);
			refuse(r, "1", "true or false");
			refuse(r, "\"true\"", "true or false");
			refuse(r, "maybe", "true or false");
			break;
		case GLOBS_ROW:
			check_globs_row(r);
			break;
		case SYNC_ROW:
			accept(r, "commit", 0);
			accept(r, "interval:1", 1);
			accept(r, "interval:60000", 60000);
			refuse(r, "interval:60001", "interval:MS");
			refuse(r, "interval:0", "interval:MS");
			refuse(r, "\"interval:\"", "interval:MS");
			refuse(r, "perhaps", "interval:MS");
			refuse(r, "true", "interval:MS");
			refuse(r, "100", "interval:MS");
			break;
		}
	}
}

static void test_defaults(void **state)
{
	static const char *const empty[] = {"", "# nothing\n", "---\n", "{}\n", "rules:\n", "rules: {}\n"};
	struct config c;
	struct reason why;

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(empty); k++) {
		assert_int_equal(parse(empty[k], &why, &c), 0);
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			if (rows[i].kind != GLOBS_ROW)
				assert_int_equal(number_of(&c, &rows[i]), rows[i].def);
		assert_true(globs_match(&c.stream, "x/a.log"));
		assert_true(globs_match(&c.rules_exclude, "a/.git/config"));
		config_release(&c);
	}
}

/* What is written is read again as the same, with every setting and comment in it. */
static void test_render_round_trip(void **state)
{
	struct config c, again;
	struct reason why;
	struct buf text = BUF_INIT, text_again = BUF_INIT;

	(void)state;
	assert_int_equal(parse("sync: interval:250\nautocommit_ms: 75\nrules:\n  strict: true\n  exclude: ['a\"b', '**/x y/**']\nstream: []\n", &why, &c), 0);
	config_render(&c, &text);
	assert_int_equal(text.error, 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *dot = strchr(rows[i].name, '.');

		assert_non_null(strstr(text.data, rows[i].comment));
		assert_non_null(strstr(text.data, dot ? dot + 1 : rows[i].name));
	}
	assert_int_equal(parse(text.data, &why, &again), 0);
	config_render(&again, &text_again);
	assert_string_equal(text.data, text_again.data);
	assert_int_equal(again.sync_interval_ms, 250);
	assert_int_equal(again.autocommit_ms, 75);
	assert_true(again.strict);
	assert_int_equal(again.stream.count, 0);
	assert_string_equal(again.rules_exclude.items[0], "a\"b");
	assert_string_equal(again.rules_exclude.items[1], "**/x y/**");
	config_release(&c);
	config_release(&again);
	buf_release(&text);
	buf_release(&text_again);
}

static void test_refusals_name_the_place(void **state)
{
	static const struct {
		const char *text, *says;
		uint32_t line;
	} cases[] = {
		{"autocommit_ms: 100\nno_such_setting: 1\n", "no_such_setting", 2},
		{"rules:\n  strict: false\n  strickt: true\n", "rules.strickt", 3},
		{"rules.strict: true\n", "rules.strict", 0},
		{"rules: yes please\n", "rules", 1},
		{"rules: [a]\n", "rules", 1},
		{"- a\n", "mapping", 1},
		{"just text\n", "mapping", 1},
		{"sync: [\n", "", 2},
		{"autocommit_ms: 100\nautocommit_ms: 1\n", "autocommit_ms", 2},
		{"stream: *.log\n", "", 1},
		{"? [a]\n: 1\n", "no such setting", 1},
		{"---\nsync: commit\n---\nsync: interval:50\n", "second document", 3},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config c;
		struct reason why;

		memset(&c, 0x5a, sizeof(c));
		if (cases[i].line == 0) { /* a dotted key is accepted as the name it spells */
			assert_int_equal(parse(cases[i].text, &why, &c), 0);
			assert_true(c.strict);
			config_release(&c);
			continue;
		}
		if (parse(cases[i].text, &why, &c) != -EBADMSG)
			fail_msg("accepted: %s", cases[i].text);
		if (why.line != cases[i].line || !strstr(why.text, cases[i].says))
			fail_msg("%s: line %u, %s", cases[i].text, why.line, why.text);
		for (size_t k = 0; k < sizeof(c); k++)
			assert_int_equal(((const unsigned char *)&c)[k], 0x5a);
	}
}

static void test_rule_options(void **state)
{
	struct config c;
	struct rule_options ro;

	(void)state;
	assert_int_equal(config_init(&c), 0);
	config_rule_options(&c, &ro);
	assert_int_equal(ro.bytes_max, 16777216);
	assert_int_equal(ro.exclude_count, 2);
	assert_false(ro.strict);
	assert_int_equal(rule_kind_of(&ro, "a/node_modules/x.json"), RULE_KIND_NONE);
	assert_int_equal(rule_kind_of(&ro, "status/config.yaml"), RULE_KIND_SCHEMA);
	config_release(&c);
	config_release(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_row),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_render_round_trip),
		cmocka_unit_test(test_refusals_name_the_place),
		cmocka_unit_test(test_rule_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
