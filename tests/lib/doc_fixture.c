/* SPDX-License-Identifier: MIT
 *
 * See doc_fixture.h.
 */
#include "doc_fixture.h"

#include "cmocka_all.h"

static const struct {
	const char *rule;
	int (*check)(const char *text, size_t len, struct reason *reason);
	int (*parse)(const char *text, size_t len, struct reason *reason, struct doc **ret);
} languages[] = {
	[DOC_FIXTURE_JSON] = {"json", doc_check_json, doc_parse_json},
	[DOC_FIXTURE_YAML] = {"yaml", doc_check_yaml, doc_parse_yaml},
};

int doc_fixture_check(enum doc_fixture_language language, const char *text, size_t len, struct reason *reason)
{
	struct reason parse_reason = {0};
	struct doc *doc = NULL;
	int error = languages[language].check(text, len, reason), parse_error = languages[language].parse(text, len, &parse_reason, &doc);

	assert_int_equal(error, parse_error);
	if (error) {
		assert_null(doc);
		assert_string_equal(reason->rule, languages[language].rule);
		assert_int_equal(reason->line, parse_reason.line);
		assert_int_equal(reason->column, parse_reason.column);
		assert_string_equal(reason->text, parse_reason.text);
		assert_int_equal(languages[language].check(text, len, NULL), error);
	}
	doc_free(doc);
	return error;
}

const struct doc_node *doc_fixture_parse(enum doc_fixture_language language, const char *text, size_t len, struct doc **ret_doc)
{
	struct reason reason = {0};

	if (languages[language].parse(text, len, &reason, ret_doc))
		fail_msg("%u:%u: %s", reason.line, reason.column, reason.text);
	return doc_root(*ret_doc);
}

void doc_fixture_expect_place(const struct doc_node *node, uint32_t line, uint32_t column)
{
	assert_non_null(node);
	assert_int_equal(node->line, line);
	assert_int_equal(node->column, column);
}
