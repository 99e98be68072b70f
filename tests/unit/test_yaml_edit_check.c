/* SPDX-License-Identifier: MIT
 *
 * The check that stands between the editor and a person's file: given what was planned, it passes the one right text and refuses
 * all that differ anywhere else. And where spans say that nodes stand.
 */
#include <errno.h>
#include <string.h>

#include "../../core/yaml_edit_private.h" /* to check texts that the editor did not make */
#include "cmocka_all.h"

struct row {
	const char *now;
	bool holds;
};

static void check_texts(const char *was, struct yaml_edit edit, const struct row *rows, size_t count)
{
	struct doc *was_doc = NULL, *value = NULL, *now = NULL;
	struct yaml_spans spans, now_spans;
	struct yaml_plan plan;
	bool held;

	assert_int_equal(doc_parse_yaml(was, strlen(was), NULL, &was_doc), 0);
	assert_int_equal(doc_parse_yaml(edit.value, strlen(edit.value), NULL, &value), 0);
	assert_int_equal(yaml_spans_parse(&spans, was, strlen(was)), 0);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(yaml_plan_init(&plan, doc_root(was_doc), &spans, 1, 3), 0);
		assert_int_equal(yaml_plan_add(&plan, NULL, 0, &edit, doc_root(value), NULL), 0);
		assert_int_equal(plan.change_count, 1);
		assert_int_equal(doc_parse_yaml(rows[i].now, strlen(rows[i].now), NULL, &now), 0);
		assert_int_equal(yaml_spans_parse(&now_spans, rows[i].now, strlen(rows[i].now)), 0);
		held = yaml_plan_holds(&plan, doc_root(now), &now_spans);
		if (held != rows[i].holds)
			fail_msg("%s: %s", held ? "passed" : "refused", rows[i].now);
		doc_free(now);
		yaml_spans_release(&now_spans);
		yaml_plan_release(&plan);
	}
	yaml_spans_release(&spans);
	doc_free(value);
	doc_free(was_doc);
}

static void test_value(void **state)
{
	static const struct row rows[] = {
		{"a: {b: 2, c: x}\nd: [1, ~]\n", true},
		{"d: [1, ~]\na: {b: 2, c: x}\n", false},
		{"a: {b: 1, c: x}\nd: [1, ~]\n", false},
		{"a: {b: '2', c: x}\nd: [1, ~]\n", false},
		{"a: {b: 2, c: 'x'}\nd: [1, ~]\n", false},
		{"a: {b: 2, c: y}\nd: [1, ~]\n", false},
		{"a: {b: 2, e: x}\nd: [1, ~]\n", false},
		{"a: {b: 2, c: x, e: 1}\nd: [1, ~]\n", false},
		{"a: {b: 2}\nd: [1, ~]\n", false},
		{"a: {b: 2, c: x}\nd: [1]\n", false},
		{"a: {b: 2, c: x}\nd: [1, ~, 2]\n", false},
		{"a: {b: 2, c: x}\nd: {1: ~}\n", false},
		{"a: {b: 2, c: x}\nd: [1, ~]\ne: 1\n", false},
		{"a: {b: 2, c: x}\n", false},
		{"a: {b: &x 2, c: x}\nd: [1, ~]\n", true},
		{"a: {b: 2, c: x}\nd: [&x 1, ~]\n", true},
		{"[a]\n", false},
		{"", false},
	};

	(void)state;
	check_texts("a: {b: 1, c: x}\nd: [1, ~]\n", (struct yaml_edit){.path = "a.b", .value = "2"}, rows, ARRAY_SIZE(rows));
}

static void test_aliases(void **state)
{
	static const struct row rows[] = {
		{"x: &x 1\ny: &y 1\na: 2\nb: *x\nc: *y\n", true},
		{"x: &y 1\ny: &x 1\na: 2\nb: *y\nc: *x\n", true},
		{"x: &x 1\ny: &y 1\na: 2\nb: *y\nc: *x\n", false},
		{"x: &x 1\ny: &y 1\na: 2\nb: 1\nc: *y\n", false},
		{"x: &x 1\ny: &y 1\na: 2\nb: *x\nc: *x\n", false},
		{"x: &x 1\ny: &y 1\na: &y 2\nb: *x\nc: *y\n", false},
	};

	(void)state;
	check_texts("x: &x 1\ny: &y 1\na: 1\nb: *x\nc: *y\n", (struct yaml_edit){.path = "a", .value = "2"}, rows, ARRAY_SIZE(rows));
}

static void test_members(void **state)
{
	static const struct row rows[] = {
		{"a: {b: 1, c: {d: {e: 2}}}\n", true},
		{"a: {c: {d: {e: 2}}, b: 1}\n", false},
		{"a: {b: 1, c: {d: {e: 3}}}\n", false},
		{"a: {b: 1, c: {d: {e: 2, f: 1}}}\n", false},
		{"a: {b: 1, c: {d: {e: 2}, f: 1}}\n", false},
		{"a: {b: 1, c: {d: {e: 2}}, f: 1}\n", false},
		{"a: {b: 1, c: {d: [e, 2]}}\n", false},
		{"a: {b: 1, c: {d: }}\n", false},
		{"a: {b: 1, c: {}}\n", false},
		{"a: {b: 1}\n", false},
		{"a: {b: 2, c: {d: {e: 2}}}\n", false},
		{"a: {b: 1, [c]: {d: {e: 2}}}\n", false},
	};

	static const struct row keys[] = {
		{"a: &c c\nb: {c: 1}\n", true},
		{"a: &c c\nb: {*c : 1}\n", false},
	};

	(void)state;
	check_texts("a: {b: 1}\n", (struct yaml_edit){.path = "a.c.d.e", .value = "2"}, rows, ARRAY_SIZE(rows));
	check_texts("a: &c c\nb: {}\n", (struct yaml_edit){.path = "b.c", .value = "1"}, keys, ARRAY_SIZE(keys));
}

static void test_new_document(void **state)
{
	static const struct row rows[] = {
		{"a: 1\n", true},
		{"a: 2\n", false},
		{"a: 1\nb: 1\n", false},
		{"[a, 1]\n", false},
		{"b: 1\n", false},
		{"", false},
	};

	(void)state;
	check_texts("# c\n", (struct yaml_edit){.path = "a", .value = "1"}, rows, ARRAY_SIZE(rows));
	check_texts("---\n", (struct yaml_edit){.path = "a", .value = "1"}, rows, ARRAY_SIZE(rows));
}

static void test_further_documents(void **state)
{
	static const struct row rows[] = {
		{"a: 2\n--- # c\nb: 1\n", true},
		{"a: 2\n...\n--- # c\nb: 1\n", true},
		{"a: 2\n--- # d\nb: 1\n", false},
		{"a: 2\n--- # c\nb: 2\n", false},
		{"a: 2\n--- # c\nb: 1\n---\n", false},
		{"a: 2\n---\n--- # c\nb: 1\n", false},
		{"a: 2\n", false},
	};

	(void)state;
	check_texts("a: 1\n--- # c\nb: 1\n", (struct yaml_edit){.path = "a", .value = "2"}, rows, ARRAY_SIZE(rows));
}

/* --- spans --- */

static void check_span(const struct yaml_spans *s, uint32_t index, enum span_shape shape, const char *whole, const char *content)
{
	const struct span *span = &s->items[index];

	assert_int_not_equal(index, 0);
	assert_int_equal(span->shape, shape);
	assert_int_equal(span->end - span->start, strlen(whole));
	assert_memory_equal(s->text + span->start, whole, strlen(whole));
	assert_int_equal(span->end - span->content, strlen(content));
}

static void test_spans(void **state)
{
	static const char text[] = "\xc3\xa9: &x !t [1] # c\r\n"
				   "b:\r\n"
				   "  - 'y\xf0\x9f\x98\xb9'\r\n"
				   "  - &e\r\n"
				   "# d\r\n"
				   "c: |\r\n"
				   "  t\r\n"
				   "\r\n"
				   "'d' : !!str\r\n"
				   "  v w\r\n"
				   "? e\r\n"
				   "f: *x\r\n"
				   "---\r\n"
				   "rest\r\n";
	struct yaml_spans s;
	uint32_t m, item;

	(void)state;
	assert_int_equal(yaml_spans_parse(&s, text, strlen(text)), 0);
	assert_int_equal(s.rest, strlen("---\r\nrest\r\n"));
	assert_int_equal(s.items[s.root].shape, SPAN_BLOCK);
	assert_true(s.items[s.root].mapping);
	m = s.items[s.root].child;
	check_span(&s, m, SPAN_FLOW, "&x !t [1]", "[1]");
	check_span(&s, s.items[m].key, SPAN_SCALAR, "\xc3\xa9", "\xc3\xa9");
	assert_int_equal(s.items[m].colon_end, 3);
	m = s.items[m].next;
	check_span(&s, m, SPAN_BLOCK, "- 'y\xf0\x9f\x98\xb9'\r\n  - &e", "- 'y\xf0\x9f\x98\xb9'\r\n  - &e");
	item = s.items[m].child;
	check_span(&s, item, SPAN_SCALAR, "'y\xf0\x9f\x98\xb9'", "'y\xf0\x9f\x98\xb9'");
	check_span(&s, s.items[item].next, SPAN_EMPTY, "&e", "");
	m = s.items[m].next;
	check_span(&s, m, SPAN_BLOCK_SCALAR, "|\r\n  t", "|\r\n  t");
	m = s.items[m].next;
	check_span(&s, m, SPAN_SCALAR, "!!str\r\n  v w", "v w");
	m = s.items[m].next;
	check_span(&s, m, SPAN_EMPTY, "", "");
	assert_int_equal(s.items[m].colon_end, 0);
	assert_int_equal(s.items[m].end, s.items[s.items[m].key].end);
	m = s.items[m].next;
	check_span(&s, m, SPAN_ALIAS, "*x", "*x");
	assert_int_equal(s.items[m].next, 0);
	assert_int_equal(s.items[s.root].last, m);
	assert_int_equal(s.items[s.root].end, s.items[m].end);
	yaml_spans_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_new_document),
		cmocka_unit_test(test_further_documents),
		cmocka_unit_test(test_spans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
