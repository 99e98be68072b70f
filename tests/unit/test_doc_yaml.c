/* SPDX-License-Identifier: MIT
 *
 * YAML: verdicts, places and sentences; the core schema; anchors and aliases; bounds.
 * Every case goes through the check and the parser, which must agree.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "doc_fixture.h"

static void test_good(void **state)
{
	static const char *const good[] = {
		"",
		"\n",
		"# only a comment\n",
		"---\n",
		"a: b",
		"a: b\r\nc:\r\n  - d\r\n",
		"\xef\xbb\xbf# with a mark\na: b\n",
		"- a\n- b\n",
		"a: {b: [c, d], e: f}\n",
		"a: |\n  text\n  more\nb: >-\n  folded\n",
		"a: 'it''s'\nb: \"\\u00e9\\n\"\n",
		"---\na: 1\n---\nb: 2\n...\n",
		"%YAML 1.1\n---\na\n",
		"%YAML 1.2\n---\na\n",
		"x: &a 1\ny: *a\n",
		"base: &b {a: 1}\nderived:\n  <<: *b\n  c: 2\n",
		"a: 1\na: 2\n",
		"? [x, y]\n: z\n",
		"a: !custom {b: c}\n",
		"%TAG !e! tag:example.com,2000:\n---\n!e!x y\n",
		"a: b # comment\n",
		"key with spaces: value with:colon\n",
		"\xc3\xa9: \xf0\x9f\x98\xb9\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct reason reason = {0};

		if (doc_fixture_check(DOC_FIXTURE_YAML, good[i], strlen(good[i]), &reason))
			fail_msg("refused: %s: %u:%u %s", good[i], reason.line, reason.column, reason.text);
	}
}

static void expect_bytes(const char *text, size_t len, uint32_t line, uint32_t column, const char *sentence)
{
	struct reason reason = {0};

	if (doc_fixture_check(DOC_FIXTURE_YAML, text, len, &reason) != -EBADMSG)
		fail_msg("accepted: %s", text);
	assert_string_equal(reason.text, sentence);
	assert_int_equal(reason.line, line);
	assert_int_equal(reason.column, column);
}

static void expect(const char *text, uint32_t line, uint32_t column, const char *sentence)
{
	expect_bytes(text, strlen(text), line, column, sentence);
}

static void test_reasons(void **state)
{
	(void)state;
	expect("a: 1\nb: 2\nc: [1, 2}\n", 3, 9, "did not find expected ',' or ']' while parsing a flow sequence");
	expect("c: [1,\n 2\nd: 3\n", 3, 2, "did not find expected ',' or ']' while parsing a flow sequence that begins at line 1");
	expect("a: 1\n\tb: 2\n", 2, 1, "found a tab character that violates indentation while scanning a plain scalar that begins at line 1");
	expect("a:\n\t- b\n", 2, 1,
		"found character that cannot start any token while scanning for the next token"
		" (a tab; YAML is indented by spaces)");
	expect("a: b: c\n", 1, 5, "mapping values are not allowed in this context");
	expect("a: \"b\n", 2, 1, "found unexpected end of stream while scanning a quoted scalar that begins at line 1");
	expect("a: *none\n", 1, 4, "alias '*none' names no anchor that stands before it");
	expect("a: *later\nb: &later 1\n", 1, 4, "alias '*later' names no anchor that stands before it");
	expect("a: &x 1\n---\nb: *x\n", 3, 4, "alias '*x' names no anchor that stands before it");
	expect("a: &x [1, *x]\n", 1, 11, "alias '*x' is inside the node that it names");
	expect("a: &x\n  b: {c: *x}\n", 2, 10, "alias '*x' is inside the node that it names");
	expect("good: 1\n---\n]\n", 3, 1, "did not find expected node content while parsing a block node");
	expect("a: \xc3\xa9\xff\n", 1, 5, "this is not UTF-8 (byte 0xff)");
	expect_bytes("a: b\nc: \0\n", 10, 2, 4, "a NUL byte is not text (U+0000)");
	expect("a: b\x07\n", 1, 5, "control characters are not allowed (U+0007)");
	expect("\xef\xbb\xbf"
	       "a: }\n",
		1, 4, "did not find expected node content while parsing a block node");
	expect("a: !u!b c\n", 1, 4, "found undefined tag handle while parsing a node");
	/* UTF-16 is refused, not converted */
	expect_bytes("\xff\xfe"
		     "a\0",
		4, 1, 4, "a NUL byte is not text (U+0000)");
}

static const struct doc_node *parse(const char *text, struct doc **ret_doc)
{
	return doc_fixture_parse(DOC_FIXTURE_YAML, text, strlen(text), ret_doc);
}

static void test_values(void **state)
{
	struct doc *doc;
	const struct doc_node *root = parse("# session\nsession:\n  id: s1\n  tags: [a, \"b\"]\n  text: |\n    one\n   "
					    " two\nid: last\n...\n---\nsecond: 1\n",
		&doc);
	const struct doc_node *tags;

	(void)state;
	assert_int_equal(root->type, DOC_MAPPING);
	doc_fixture_expect_place(root, 2, 1);
	doc_fixture_expect_place(root->child->key, 2, 1);
	doc_fixture_expect_place(doc_get_path(root, "session.id"), 4 - 1, 7);
	assert_string_equal(doc_get_path(root, "session.id")->text, "s1");
	tags = doc_get_path(root, "session.tags");
	assert_true(tags->type == DOC_SEQUENCE && !tags->child->quoted && tags->child->next->quoted);
	doc_fixture_expect_place(tags->child->next, 4, 13);
	assert_string_equal(doc_get_path(root, "session.text")->text, "one\ntwo\n");
	assert_int_equal(doc_get_path(root, "session.text")->text_len, 8);
	assert_null(doc_get(root, "second"));
	assert_string_equal(doc_get(root, "id")->text, "last");
	doc_free(doc);
	assert_null(parse("# nothing\n", &doc));
	doc_free(doc);
	root = parse("? [x, y]\n: z\n? {k: v}\n: w\n", &doc);
	assert_true(root->child->key->type == DOC_SEQUENCE && root->child->type == DOC_STRING);
	assert_string_equal(root->child->key->child->next->text, "y");
	assert_string_equal(root->child->next->key->child->key->text, "k");
	assert_string_equal(root->child->next->text, "w");
	assert_null(doc_get(root, ""));
	doc_free(doc);
	root = parse("nul: \"a\\0b\"\ndup: 1\ndup: 2\n", &doc);
	assert_int_equal(doc_get(root, "nul")->text_len, 3);
	assert_memory_equal(doc_get(root, "nul")->text, "a\0b", 4);
	assert_true(doc_get(root, "dup")->number == 2);
	doc_free(doc);
}

static void expect_scalar(const char *text, enum doc_type type, double number)
{
	char document[128];
	struct doc *doc;
	const struct doc_node *node;

	(void)snprintf(document, sizeof(document), "k: %s\n", text);
	node = doc_get(parse(document, &doc), "k");
	if (node->type != type || (type == DOC_NUMBER && node->number != number && !(isnan(number) && isnan(node->number))) ||
		(type == DOC_BOOL && node->boolean != (number != 0)))
		fail_msg("%s: type %d, number %g", text, node->type, node->number);
	if (type == DOC_NUMBER)
		assert_string_equal(node->text, text);
	doc_free(doc);
}

static void test_core_schema(void **state)
{
	static const char *const strings[] = {
		"yes",
		"no",
		"on",
		"off",
		"Yes",
		"y",
		"n",
		"tRue",
		"nULL",
		"nil",
		"None",
		"'1'",
		"\"true\"",
		"''",
		"!!str 1",
		"! 1",
		"!x 1",
		"1_000",
		"0b1",
		"0x",
		"0o8",
		"0xg",
		"-0x1",
		"1e",
		"1e+",
		".",
		"+",
		"--1",
		"1.2.3",
		"2026-11-22",
		"2026-11-22T10:00:00Z",
		"1:30",
		".infinity",
		"inf",
		"nan",
		"-.nan",
		"0X1F",
		"1 2",
		"~x",
		"true x",
		"-",
		".e1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		if (strcmp(strings[i], "-")) /* a dash alone is a list */
			expect_scalar(strings[i], DOC_STRING, 0);
	for (size_t i = 0; i < 5; i++)
		expect_scalar((const char *[]){"", "~", "null", "Null", "NULL"}[i], DOC_NULL, 0);
	for (size_t i = 0; i < 6; i++)
		expect_scalar((const char *[]){"true", "True", "TRUE", "false", "False", "FALSE"}[i], DOC_BOOL, i < 3);
	expect_scalar("0", DOC_NUMBER, 0);
	expect_scalar("-12", DOC_NUMBER, -12);
	expect_scalar("+12", DOC_NUMBER, 12);
	expect_scalar("012", DOC_NUMBER, 12);
	expect_scalar("0o17", DOC_NUMBER, 15);
	expect_scalar("0xfF", DOC_NUMBER, 255);
	expect_scalar("1.5", DOC_NUMBER, 1.5);
	expect_scalar("1.", DOC_NUMBER, 1);
	expect_scalar(".5", DOC_NUMBER, 0.5);
	expect_scalar("-1.5e-3", DOC_NUMBER, -1.5e-3);
	expect_scalar("1E3", DOC_NUMBER, 1000);
	expect_scalar(".inf", DOC_NUMBER, INFINITY);
	expect_scalar("-.INF", DOC_NUMBER, -INFINITY);
	expect_scalar("+.Inf", DOC_NUMBER, INFINITY);
	expect_scalar(".NaN", DOC_NUMBER, (double)NAN);
}

static void test_explicit_tags(void **state)
{
	struct doc *doc;
	const struct doc_node *root = parse("a: !!int 7\nb: !!str 7\nc: !!float x\nd: !!null ''\n", &doc);

	(void)state;
	assert_true(doc_get(root, "a")->type == DOC_NUMBER && doc_get(root, "a")->number == 7);
	assert_int_equal(doc_get(root, "b")->type, DOC_STRING);
	assert_int_equal(doc_get(root, "c")->type, DOC_STRING);
	assert_int_equal(doc_get(root, "d")->type, DOC_STRING); /* quoted: always a string */
	doc_free(doc);
}

static void test_aliases(void **state)
{
	struct doc *doc;
	const struct doc_node *root = parse("base: &b\n  x: 1\n  list: [p, q]\nuse: *b\nmerged:\n  <<: *b\n  y: 2\n*b : k\n"
					    "again: &b two\nlast: *b\nlist: &s [&s inner, *s]\nafter: *s\n",
		&doc);
	const struct doc_node *use = doc_get(root, "use");

	(void)state;
	assert_ptr_equal(use->target, doc_get(root, "base"));
	assert_int_equal(use->type, DOC_MAPPING);
	doc_fixture_expect_place(use, 4, 6);
	doc_fixture_expect_place(use->target, 1, 7);
	assert_string_equal(doc_get_path(root, "use.list")->child->next->text, "q");
	assert_null(doc_get_path(root, "merged.x")); /* merge keys are ordinary keys */
	assert_ptr_equal(doc_get_path(root, "merged.<<")->target, doc_get(root, "base"));
	assert_string_equal(doc_get(root, "last")->text, "two"); /* the latest anchor of a name counts */
	assert_string_equal(doc_get(root, "list")->child->next->text, "inner");
	assert_string_equal(doc_get(root, "after")->text, "inner");
	assert_null(doc_get(root, "base")->target);
	doc_free(doc);
}

static char *repeat(const char *head, const char *unit, size_t count, const char *tail)
{
	size_t unit_len = strlen(unit);
	char *text = malloc(strlen(head) + unit_len * count + strlen(tail) + 1), *p = stpcpy(text, head);

	for (size_t i = 0; i < count; i++)
		p = mempcpy(p, unit, unit_len);
	strcpy(p, tail);
	return text;
}

static void test_bounds(void **state)
{
	struct reason reason = {0};
	struct doc *doc = NULL;
	char *text, *shut;

	(void)state;
	shut = repeat("", "]", DOC_DEPTH_MAX, "\n");
	text = repeat("", "[", DOC_DEPTH_MAX, shut);
	assert_int_equal(doc_fixture_check(DOC_FIXTURE_YAML, text, strlen(text), &reason), 0);
	free(text);
	free(shut);
	text = repeat("", "[", DOC_DEPTH_MAX + 1, "");
	expect(text, 1, DOC_DEPTH_MAX + 1, "nested deeper than 256 levels");
	free(text);
	for (size_t i = 0; i < 4; i++) {
		text = repeat("", (const char *[]){"[", "{a: ", "- ", "? "}[i], 10000, "");
		assert_int_equal(doc_fixture_check(DOC_FIXTURE_YAML, text, strlen(text), &reason), -EBADMSG);
		assert_string_equal(reason.text, "nested deeper than 256 levels");
		free(text);
	}

	text = repeat("[", "1,", DOC_NODES_MAX, "]");
	assert_int_equal(doc_check_yaml(text, strlen(text), &reason), 0);
	assert_int_equal(doc_parse_yaml(text, strlen(text), &reason, &doc), -EBADMSG);
	assert_string_equal(reason.text, "more than 1000000 nodes");
	free(text);

	text = repeat("\"", "x", 10u << 20, "\"");
	assert_int_equal(doc_parse_yaml(text, strlen(text), &reason, &doc), 0);
	assert_int_equal(doc_root(doc)->text_len, 10u << 20);
	doc_free(doc);
	free(text);

	text = repeat("", "%TAG !a! b\n", 65, "--- x\n");
	expect(text, 65, 1, "more than 64 %TAG directives");
	free(text);
	text = repeat("", "%TAG !a! b\n--- x\n...\n", 100, ""); /* each document its own */
	assert_int_equal(doc_fixture_check(DOC_FIXTURE_YAML, text, strlen(text), &reason), 0);
	free(text);
}

/* Doubling aliases: 2^60 leaves if they were expanded. */
static void test_alias_bomb(void **state)
{
	char text[4096];
	struct reason reason = {0};
	size_t len = 0;
	struct doc *doc;

	(void)state;
	len += (size_t)sprintf(text + len, "a0: &a0 [x, x]\n");
	for (int i = 1; i < 60; i++)
		len += (size_t)sprintf(text + len, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
	assert_int_equal(doc_fixture_check(DOC_FIXTURE_YAML, text, len, &reason), 0);
	assert_string_equal(doc_get(parse(text, &doc), "a59")->child->child->child->text, "");
	doc_free(doc);
}

static void test_anchor_bound(void **state)
{
	size_t cap = 20u * 70000, len = 0;
	struct reason reason = {0};
	char *text = malloc(cap);

	(void)state;
	for (int i = 0; i < 65536; i++)
		len += (size_t)sprintf(text + len, "- &a%d x\n", i);
	len += (size_t)sprintf(text + len, "- *a0\n- *a65535\n- &a7 y\n");
	assert_int_equal(doc_fixture_check(DOC_FIXTURE_YAML, text, len, &reason), 0);
	len += (size_t)sprintf(text + len, "- &more x\n");
	assert_int_equal(doc_fixture_check(DOC_FIXTURE_YAML, text, len, &reason), -EBADMSG);
	assert_string_equal(reason.text, "more than 65536 anchors");
	assert_int_equal(reason.line, 65540);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_core_schema),
		cmocka_unit_test(test_explicit_tags),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_alias_bomb),
		cmocka_unit_test(test_anchor_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
