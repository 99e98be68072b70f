/* SPDX-License-Identifier: MIT
 *
 * JSON: verdicts by RFC 8259 in the categories of JSONTestSuite (y: must
 * pass, n: must be refused, i: this program's choice), places and sentences,
 * values and their places, JSON lines, bounds. Every case goes through the
 * check and the parser, which must agree.
 */
#include <errno.h>
#include <string.h>

#include "cmocka_all.h"
#include "doc_fixture.h"

struct sample {
	const char *text;
	size_t len;
};

static const struct sample good[] = {
	{BYTES("[[]   ]")},
	{BYTES("[\"\"]")},
	{BYTES("[]")},
	{BYTES("{}")},
	{BYTES("[\"a\"]")},
	{BYTES("[false]")},
	{BYTES("[null, 1, \"1\", {}]")},
	{BYTES("[null]")},
	{BYTES("[1\n]")},
	{BYTES(" [1]")},
	{BYTES("[1,null,null,null,2]")},
	{BYTES("[2] ")},
	{BYTES("[123e65]")},
	{BYTES("[0e+1]")},
	{BYTES("[0e1]")},
	{BYTES("[ 4]")},
	{BYTES("[-0]")},
	{BYTES("[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]\n")},
	{BYTES("[20e1]")},
	{BYTES("[-123]")},
	{BYTES("[-1]")},
	{BYTES("[1E22]")},
	{BYTES("[1E-2]")},
	{BYTES("[1E+2]")},
	{BYTES("[123e45]")},
	{BYTES("[123.456e78]")},
	{BYTES("[1e-2]")},
	{BYTES("[1e+2]")},
	{BYTES("[123]")},
	{BYTES("[123.456789]")},
	{BYTES("{\"asd\":\"sdf\", \"dfg\":\"fgh\"}")},
	{BYTES("{\"a\":\"b\",\"a\":\"c\"}")},
	{BYTES("{\"a\":\"b\",\"a\":\"b\"}")},
	{BYTES("{\"\":0}")},
	{BYTES("{\"foo\\u0000bar\": 42}")},
	{BYTES("{ \"min\": -1.0e+28, \"max\": 1.0e+28 }")},
	{BYTES("{\"a\":[]}")},
	{BYTES("{\"title\":\"\\u041f\\u043e\" }")},
	{BYTES("{\n\"a\": \"b\"\n}")},
	{BYTES("[\"\\u0060\\u012a\\u12AB\"]")},
	{BYTES("[\"\\uD801\\udc37\"]")},
	{BYTES("[\"\\ud83d\\ude39\\ud83d\\udc8d\"]")},
	{BYTES("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]")},
	{BYTES("[\"\\\\u0000\"]")},
	{BYTES("[\"\\\"\"]")},
	{BYTES("[\"a/*b*/c/*d//e\"]")},
	{BYTES("[\"\\\\a\"]")},
	{BYTES("[\"\\\\n\"]")},
	{BYTES("[\"\\u0012\"]")},
	{BYTES("[\"\\uFFFF\"]")},
	{BYTES("[\"asd\"]")},
	{BYTES("[ \"asd\"]")},
	{BYTES("[\"\xf4\x8f\xbf\xbf\"]")},
	{BYTES("[\"\xef\xbf\xbf\"]")},
	{BYTES("[\"\\u0000\"]")},
	{BYTES("[\"\\u002c\"]")},
	{BYTES("[\"\xcf\x80\"]")},
	{BYTES("[\"\xf0\x9b\xbf\xbf\"]")},
	{BYTES("[\"asd \"]")},
	{BYTES("\" \"")},
	{BYTES("[\"\xe2\x80\xa8\"]")},
	{BYTES("[\"\xe2\x80\xa9\"]")},
	{BYTES("[\"\\uA66D\"]")},
	{BYTES("[\"\xe2\x8d\x82\xe3\x88\xb4\"]")},
	{BYTES("[\"\x7f\"]")},
	{BYTES("[\"a\x7f"
	       "a\"]")},
	{BYTES("false")},
	{BYTES("42")},
	{BYTES("-0.1")},
	{BYTES("null")},
	{BYTES("\"asd\"")},
	{BYTES("true")},
	{BYTES("\"\"")},
	{BYTES("[\"a\"]\n")},
	{BYTES("[true]")},
	{BYTES(" [] ")},
	{BYTES("\t\r\n 1\t\r\n ")},
	/* i: accepted, being within the grammar */
	{BYTES("[0."
	       "4e00669999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999"
	       "999999969999999006]")},
	{BYTES("[123123e100000]")},
	{BYTES("[-1e+9999]")},
	{BYTES("[1.5e-9999]")},
	{BYTES("[123123123123123123123123123123]")},
	{BYTES("[\"\\uDADA\"]")},
	{BYTES("[\"\\uD800\\uE000\"]")},
	{BYTES("[\"\\uD888\\u1234\"]")},
	{BYTES("[\"\\uD800\\n\"]")},
	{BYTES("[\"\\uDd1ea\"]")},
	{BYTES("[\"\\uDfaa\"]")},
	{BYTES("[\"\\uD800\\uD800\\uDC00\"]")},
	{BYTES("{\"\\uDFAA\":0}")},
	{BYTES("\xef\xbb\xbf{}")},
	{BYTES("\xef\xbb\xbf")},
	{BYTES("")},
};

static const struct sample bad[] = {
	{BYTES("[1 true]")},
	{BYTES("[a\xe5]")},
	{BYTES("[\"\": 1]")},
	{BYTES("[\"\"],")},
	{BYTES("[,1]")},
	{BYTES("[1,,2]")},
	{BYTES("[\"x\",,]")},
	{BYTES("[\"x\"]]")},
	{BYTES("[\"\",]")},
	{BYTES("[\"x\"")},
	{BYTES("[x")},
	{BYTES("[3[4]]")},
	{BYTES("[\xff]")},
	{BYTES("[1:2]")},
	{BYTES("[,]")},
	{BYTES("[-]")},
	{BYTES("[   , \"\"]")},
	{BYTES("[\"a\",\n4\n,1,")},
	{BYTES("[1,]")},
	{BYTES("[\"\va\"\\f]")},
	{BYTES("[*]")},
	{BYTES("[\"\"")},
	{BYTES("[1,")},
	{BYTES("[1,\n1\n,1")},
	{BYTES("[{}")},
	{BYTES("[fals]")},
	{BYTES("[nul]")},
	{BYTES("[tru]")},
	{BYTES("123\0")},
	{BYTES("[++1234]")},
	{BYTES("[+1]")},
	{BYTES("[+Inf]")},
	{BYTES("[-01]")},
	{BYTES("[-1.0.]")},
	{BYTES("[-2.]")},
	{BYTES("[-NaN]")},
	{BYTES("[.-1]")},
	{BYTES("[.2e-3]")},
	{BYTES("[0.1.2]")},
	{BYTES("[0.3e+]")},
	{BYTES("[0.3e]")},
	{BYTES("[0.e1]")},
	{BYTES("[0E+]")},
	{BYTES("[0E]")},
	{BYTES("[0e+-1]")},
	{BYTES("[1.0e+]")},
	{BYTES("[1.0e-]")},
	{BYTES("[1.0e]")},
	{BYTES("[1 000.0]")},
	{BYTES("[1eE2]")},
	{BYTES("[2.e+3]")},
	{BYTES("[2.e-3]")},
	{BYTES("[2.e3]")},
	{BYTES("[9.e+]")},
	{BYTES("[Inf]")},
	{BYTES("[NaN]")},
	{BYTES("[\xef\xbc\x91]")},
	{BYTES("[1+2]")},
	{BYTES("[0x1]")},
	{BYTES("[0x42]")},
	{BYTES("[Infinity]")},
	{BYTES("[0e+-1]")},
	{BYTES("[-123.123foo]")},
	{BYTES("[123\xe5]")},
	{BYTES("[1e1\xe5]")},
	{BYTES("[0\xe5]")},
	{BYTES("[-Infinity]")},
	{BYTES("[-foo]")},
	{BYTES("[- 1]")},
	{BYTES("[-012]")},
	{BYTES("[-.123]")},
	{BYTES("[-1x]")},
	{BYTES("[1ea]")},
	{BYTES("[1.]")},
	{BYTES("[.123]")},
	{BYTES("[1.2a-3]")},
	{BYTES("[1.8011670033376514H-308]")},
	{BYTES("[012]")},
	{BYTES("[\"x\", truth]")},
	{BYTES("{[: \"x\"}\n")},
	{BYTES("{\"x\", null}")},
	{BYTES("{\"x\"::\"b\"}")},
	{BYTES("{\xf0\x9f\x87\xa8}")},
	{BYTES("{\"a\":\"a\" 123}")},
	{BYTES("{key: 'value'}")},
	{BYTES("{\"\xb9\":\"0\",}")},
	{BYTES("{\"a\" b}")},
	{BYTES("{:\"b\"}")},
	{BYTES("{\"a\" \"b\"}")},
	{BYTES("{\"a\":")},
	{BYTES("{\"a\"")},
	{BYTES("{1:1}")},
	{BYTES("{9999E9999:1}")},
	{BYTES("{null:null,null:null}")},
	{BYTES("{\"id\":0,,,,,}")},
	{BYTES("{'a':0}")},
	{BYTES("{\"id\":0,}")},
	{BYTES("{\"a\":\"b\"}/**/")},
	{BYTES("{\"a\":\"b\"}/**//")},
	{BYTES("{\"a\":\"b\"}//")},
	{BYTES("{\"a\":\"b\"}/")},
	{BYTES("{\"a\":\"b\",,\"c\":\"d\"}")},
	{BYTES("{a: \"b\"}")},
	{BYTES("{\"a\":\"a")},
	{BYTES("{ \"foo\" : \"bar\", \"a\" }")},
	{BYTES("{\"a\":\"b\"}#")},
	{BYTES(" ")},
	{BYTES("\n")},
	{BYTES("[\"\\uD800\\\"]")},
	{BYTES("[\"\\uD800\\u\"]")},
	{BYTES("[\"\\uD800\\u1\"]")},
	{BYTES("[\"\\uD800\\u1x\"]")},
	{BYTES("[\xc3\xa9]")},
	{BYTES("[\"\\x00\"]")},
	{BYTES("[\"\\\\\\\"]")},
	{BYTES("[\"\\\t\"]")},
	{BYTES("[\"\\\xf0\x9f\x8c\x80\"]")},
	{BYTES("[\"\\\"]")},
	{BYTES("[\"\\u00A\"]")},
	{BYTES("[\"\\uD834\\uDd\"]")},
	{BYTES("[\"\\uD800\\uD800\\x\"]")},
	{BYTES("[\"\\a\"]")},
	{BYTES("[\"\\uqqqq\"]")},
	{BYTES("[\"\\\xe5\"]")},
	{BYTES("[\\u0020\"asd\"]")},
	{BYTES("[\\n]")},
	{BYTES("\"")},
	{BYTES("['single quote']")},
	{BYTES("abc")},
	{BYTES("[\"\\")},
	{BYTES("[\"a\0a\"]")},
	{BYTES("[\"new\nline\"]")},
	{BYTES("[\"\t\"]")},
	{BYTES("[\"\x1f\"]")},
	{BYTES("\"\\UA66D\"")},
	{BYTES("\"\"x")},
	{BYTES("<.>")},
	{BYTES("[<null>]")},
	{BYTES("[1]x")},
	{BYTES("[1]]")},
	{BYTES("[\"asd]")},
	{BYTES("a\xc3\xa5")},
	{BYTES("[True]")},
	{BYTES("1]")},
	{BYTES("{\"x\": true,")},
	{BYTES("[][]")},
	{BYTES("]")},
	{BYTES("\xef\xbb{}")},
	{BYTES("\xe5")},
	{BYTES("[")},
	{BYTES("2@")},
	{BYTES("{}}")},
	{BYTES("{\"\":")},
	{BYTES("{\"a\":/*comment*/\"b\"}")},
	{BYTES("{\"a\": true} \"x\"")},
	{BYTES("['")},
	{BYTES("[,")},
	{BYTES("[{")},
	{BYTES("[\"a")},
	{BYTES("{")},
	{BYTES("{]")},
	{BYTES("{,")},
	{BYTES("{\"a")},
	{BYTES("{'a'")},
	{BYTES("[\"\\{[\"\\{[\"\\{[\"\\{")},
	{BYTES("\xe9")},
	{BYTES("*")},
	{BYTES("[1")},
	{BYTES("[ false, nul")},
	{BYTES("[\xe2\x81\xa0]")},
	{BYTES("[\f]")},
	{BYTES("\xc2\xa0[]")},
	{BYTES("[\xef\xbb\xbf]")},
	/* i: refused, not being UTF-8 */
	{BYTES("[\"\xff\"]")},
	{BYTES("[\"\xed\xa0\x80\"]")},
	{BYTES("[\"\xc0\xaf\"]")},
	{BYTES("[\"\x81\"]")},
	{BYTES("[\"\xf4\xbf\xbf\xbf\"]")},
	{BYTES("[\"\xe0\x80\x80\"]")},
	{BYTES("[\"\xe6\x97\"]")},
	{BYTES("\xff\xfe[\0\"\0")},
	{BYTES("[\"abcdefghijk\xff\"]")},
	{BYTES("[\"abcdefghijklmno\x1fpqrst\"]")},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct reason reason = {0};

		if (doc_fixture_check(DOC_FIXTURE_JSON, good[i].text, good[i].len, &reason))
			fail_msg("refused: %s: %s", good[i].text, reason.text);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct reason reason = {0};

		if (doc_fixture_check(DOC_FIXTURE_JSON, bad[i].text, bad[i].len, &reason) != -EBADMSG)
			fail_msg("accepted: %s", bad[i].text);
		assert_string_equal(reason.rule, "json");
		assert_true(reason.line >= 1 && reason.column >= 1);
		assert_true(strlen(reason.text) > 5);
		assert_int_equal(doc_check_json(bad[i].text, bad[i].len, NULL), -EBADMSG);
	}
}

/* Every proper prefix of a text whose last character closes it is malformed. */
static void test_prefixes(void **state)
{
	static const char text[] = "{\"a\": [1.5e+3, \"x\\u00e9\\ud83d\\ude39\xc3\xa9\", true, false, null, {\"b\": {}}]}";

	(void)state;
	for (size_t len = 1; len < sizeof(text) - 1; len++) {
		struct reason reason = {0};
		char *exact = malloc(len);

		memcpy(exact, text, len);
		assert_int_equal(doc_fixture_check(DOC_FIXTURE_JSON, exact, len, &reason), -EBADMSG);
		free(exact);
	}
	assert_int_equal(doc_check_json(text, sizeof(text) - 1, NULL), 0);
}

static void expect_reason(const char *text, uint32_t line, uint32_t column, const char *sentence)
{
	struct reason reason = {0};

	assert_int_equal(doc_fixture_check(DOC_FIXTURE_JSON, text, strlen(text), &reason), -EBADMSG);
	assert_string_equal(reason.text, sentence);
	assert_int_equal(reason.line, line);
	assert_int_equal(reason.column, column);
}

static void test_reasons(void **state)
{
	(void)state;
	expect_reason("{\n  \"a\": 1\n  \"b\": 2\n}", 3, 3, "found '\"' where ',' or '}' is expected");
	expect_reason("[1,\n2,\n]", 3, 1, "found ']' where a value is expected");
	expect_reason("[1, 2", 1, 6, "the text ends where ',' or ']' is expected");
	expect_reason("{\"a\": 1,}", 1, 9, "found '}' where a name in double quotes is expected");
	expect_reason("{\"a\" 1}", 1, 6, "found '1' where ':' is expected");
	expect_reason("[\"a\nb\"]", 1, 4, "the line ends inside a string");
	expect_reason("[\"a\tb\"]", 1, 4, "control character U+0009 in a string must be escaped");
	expect_reason("[\"\xc3\xa9\xc3\xa9\", \xc3\xa9]", 1, 8, "found U+00E9 where a value is expected");
	expect_reason("\xef\xbb\xbf[01]", 1, 3, "a number must not start with 0");
	expect_reason("[\"ab\xff\"]", 1, 5, "byte 0xff is not UTF-8");
	expect_reason("[\"\\q\"]", 1, 3, "a backslash must be followed by one of \" \\ / b f n r t u");
	expect_reason("{}\r\n x", 2, 2, "found 'x' where the end of the text is expected");
	expect_reason(" \n", 2, 1, "the text ends where a value is expected");
}

static char *nested(size_t depth, const char *open, const char *shut, size_t *ret_len)
{
	size_t open_len = strlen(open), shut_len = strlen(shut);
	char *text = malloc(depth * (open_len + shut_len) + 2), *p = text;

	for (size_t i = 0; i < depth; i++, p += open_len)
		memcpy(p, open, open_len);
	*p++ = '1';
	for (size_t i = 0; i < depth; i++, p += shut_len)
		memcpy(p, shut, shut_len);
	*ret_len = (size_t)(p - text);
	return text;
}

static void test_bounds(void **state)
{
	struct reason reason = {0};
	struct doc *doc = NULL;
	size_t len;
	char *text;

	(void)state;
	for (int object = 0; object < 2; object++) {
		const char *open = object ? "{\"a\":" : "[", *shut = object ? "}" : "]";

		text = nested(DOC_DEPTH_MAX, open, shut, &len);
		assert_int_equal(doc_fixture_check(DOC_FIXTURE_JSON, text, len, &reason), 0);
		free(text);
		text = nested(DOC_DEPTH_MAX + 1, open, shut, &len);
		assert_int_equal(doc_fixture_check(DOC_FIXTURE_JSON, text, len, &reason), -EBADMSG);
		assert_int_equal(reason.column, DOC_DEPTH_MAX * strlen(open) + 1);
		assert_string_equal(reason.text, "nested deeper than 256 levels");
		free(text);
		text = nested(10000, open, shut, &len);
		assert_int_equal(doc_fixture_check(DOC_FIXTURE_JSON, text, len, &reason), -EBADMSG);
		free(text);
	}

	len = 2 * (size_t)DOC_NODES_MAX + 1; /* one list of as many numbers: one node too many */
	text = malloc(len);
	for (size_t i = 0; i < len; i++)
		text[i] = i % 2 ? '1' : ',';
	text[0] = '[';
	text[len - 1] = ']';
	assert_int_equal(doc_check_json(text, len, &reason), 0);
	assert_int_equal(doc_parse_json(text, len, &reason, &doc), -EBADMSG);
	assert_int_equal(doc_parse_json(text + 2, 1, &reason, &doc), -EBADMSG);
	memmove(text + 1, text + 3, len - 3);
	assert_int_equal(doc_parse_json(text, len - 2, &reason, &doc), 0);
	doc_free(doc);
	free(text);

	len = 10u << 20;
	text = malloc(len);
	memset(text, 'x', len);
	text[0] = text[len - 1] = '"';
	assert_int_equal(doc_parse_json(text, len, &reason, &doc), 0);
	assert_int_equal(doc_root(doc)->text_len, len - 2);
	doc_free(doc);
	memset(text, '7', len);
	assert_int_equal(doc_fixture_check(DOC_FIXTURE_JSON, text, len, &reason), 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
