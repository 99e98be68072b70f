/* SPDX-License-Identifier: MIT
 *
 * What JSON and JSON lines are read as: values, places, and what cJSON alone would not tell.
 */
#include <errno.h>
#include <math.h>

#include "cmocka_all.h"
#include "doc_fixture.h"

static void test_values(void **state)
{
	static const char text[] = "\xef\xbb\xbf{\n  \"id\": \"s\\u00e91\\n\",\n  \"n\": -1.50e1, \"\xc3\xa9\": "
				   "true,\n  \"list\": [null, false, []],\n"
				   "  \"deep\": {\"er\": {\"x\": 7}}, \"id\": \"last\"}\n";
	struct doc *doc;
	const struct doc_node *root = doc_fixture_parse(DOC_FIXTURE_JSON, text, sizeof(text) - 1, &doc), *list;

	(void)state;
	assert_int_equal(root->type, DOC_MAPPING);
	doc_fixture_expect_place(root, 1, 1);
	assert_string_equal(root->child->text, "s\xc3\xa9"
					       "1\n");
	assert_int_equal(root->child->text_len, 5);
	doc_fixture_expect_place(root->child, 2, 9);
	doc_fixture_expect_place(root->child->key, 2, 3);
	assert_string_equal(doc_get(root, "id")->text, "last");
	assert_string_equal(doc_get(root, "n")->text, "-1.50e1");
	assert_true(doc_get(root, "n")->number == -15);
	doc_fixture_expect_place(doc_get(root, "\xc3\xa9"), 3, 22);
	assert_true(doc_get(root, "\xc3\xa9")->type == DOC_BOOL && doc_get(root, "\xc3\xa9")->boolean);
	list = doc_get(root, "list");
	assert_true(list->type == DOC_SEQUENCE && list->child->type == DOC_NULL && !list->child->key);
	assert_true(list->child->next->type == DOC_BOOL && !list->child->next->boolean);
	doc_fixture_expect_place(list->child->next->next, 4, 25);
	assert_null(list->child->next->next->next);
	assert_null(list->child->next->next->child);
	assert_string_equal(doc_get_path(root, "deep.er.x")->text, "7");
	doc_fixture_expect_place(doc_get_path(root, "deep.er.x"), 5, 24);
	assert_null(doc_get_path(root, "deep.none.x"));
	assert_null(doc_get_path(root, "deep.er.x.y"));
	assert_null(doc_get_path(root, "deep.e"));
	assert_null(doc_get(list, "id"));
	assert_null(doc_get(NULL, "id"));
	doc_free(doc);
	assert_null(doc_fixture_parse(DOC_FIXTURE_JSON, "", 0, &doc));
	doc_free(doc);
	doc_free(NULL);
}

/* What cJSON cannot read by itself. */
static void test_beyond_cjson(void **state)
{
	static const char text[] = "[\"a\\u0000b\", \"\\ud800\", \"\\udc00\\ud800\\ud83d\\ude39\", "
				   "100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000, 1e999]";
	struct doc *doc;
	const struct doc_node *item = doc_fixture_parse(DOC_FIXTURE_JSON, text, sizeof(text) - 1, &doc)->child;

	(void)state;
	assert_string_equal(item->text, "a\xef\xbf\xbd"
					"b");
	item = item->next;
	assert_string_equal(item->text, "\xef\xbf\xbd");
	item = item->next;
	assert_string_equal(item->text, "\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\xb9");
	item = item->next;
	assert_true(fabs(item->number / 1e89 - 1) < 1e-12);
	assert_int_equal(item->text_len, 90);
	assert_true(isinf(item->next->number));
	doc_free(doc);
}

static void expect_jsonl(const char *text, size_t len, int error, uint32_t line, uint32_t column)
{
	struct reason reason = {0};

	assert_int_equal(doc_check_jsonl(text, len, &reason), error);
	assert_int_equal(reason.line, line);
	assert_int_equal(reason.column, column);
	assert_int_equal(doc_check_jsonl(text, len, NULL), error);
}

static void test_jsonl(void **state)
{
	(void)state;
	expect_jsonl(NULL, 0, 0, 0, 0);
	expect_jsonl(BYTES("{}\n[]\n1\n"), 0, 0, 0);
	expect_jsonl(BYTES("\xef\xbb\xbf{}\n{}"), 0, 0, 0);
	expect_jsonl(BYTES("{}\r\n\r\n \t\n{}\r\n\n"), 0, 0, 0);
	expect_jsonl(BYTES("{}\n{\"a\":\n1}\n"), -EBADMSG, 2, 6);
	expect_jsonl(BYTES("{}\n{} {}\n"), -EBADMSG, 2, 4);
	expect_jsonl(BYTES("{}\n\n{\"a\": "), -EBADMSG, 3, 7);
	expect_jsonl(BYTES("{}\n\xef\xbb\xbf{}\n"), -EBADMSG, 2, 1);
	expect_jsonl(BYTES("{}\n\0\n"), -EBADMSG, 2, 1);
	expect_jsonl(BYTES("[\n]\n"), -EBADMSG, 1, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_beyond_cjson),
		cmocka_unit_test(test_jsonl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
