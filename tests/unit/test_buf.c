/* SPDX-License-Identifier: MIT
 *
 * buf: growth, sticky errors, encodings; JSON strings byte for byte as jq -c
 * prints them (asked of the jq installed here), YAML strings as libyaml reads them.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "buf.h"
#include "rng.h"
#include "util.h"

static void test_growth_keeps_contents_and_nul(void **state)
{
	cleanup_buf struct buf b = BUF_INIT;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		buf_put_u8(&b, (uint8_t)(i % 251));
		assert_int_equal(b.data[b.len], 0);
	}
	assert_int_equal(b.len, 10000);
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal((uint8_t)b.data[i], i % 251);
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
}

static void test_append_forms(void **state)
{
	static const uint8_t expected[] = {1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8, 0, 0, 'd', 'e', '0', '1', 'x'};
	cleanup_buf struct buf b = BUF_INIT;

	(void)state;
	buf_put_u8(&b, 1);
	buf_put_le16(&b, 0x0203);
	buf_put_le32(&b, 0x04050607);
	buf_put_le64(&b, 0x08090a0b0c0d0e0fu);
	buf_append_zeros(&b, 2);
	buf_put_hex(&b, (const uint8_t[]){0xde, 0x01}, 2);
	buf_append_str(&b, "x");
	buf_append(&b, NULL, 0);
	assert_int_equal(b.error, 0);
	assert_int_equal(b.len, sizeof(expected));
	assert_memory_equal(b.data, expected, sizeof(expected));
}

static void test_printf_grows(void **state)
{
	cleanup_buf struct buf b = BUF_INIT;

	(void)state;
	buf_printf(&b, "%s", "");
	assert_string_equal(b.data, "");
	for (int width = 1; width < 300; width++) {
		buf_clear(&b);
		buf_printf(&b, "<%*d>", width, 7);
		assert_int_equal(b.len, (size_t)width + 2);
		assert_int_equal(b.data[b.len - 1], '>');
		assert_int_equal(strlen(b.data), b.len);
	}
}

static void test_error_is_sticky(void **state)
{
	cleanup_buf struct buf b = BUF_INIT;

	(void)state;
	buf_append_str(&b, "kept");
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 2), -ENOMEM);
	buf_append_str(&b, "lost");
	buf_printf(&b, "lost");
	buf_append_zeros(&b, 1);
	buf_put_hex(&b, (const uint8_t *)"a", 1);
	assert_int_equal(b.error, -ENOMEM);
	assert_string_equal(b.data, "kept");
	buf_clear(&b);
	buf_append_str(&b, "again");
	assert_int_equal(b.error, 0);
	assert_string_equal(b.data, "again");
}

static void test_take(void **state)
{
	struct buf b = BUF_INIT;
	size_t len = 99;
	char *data;

	(void)state;
	assert_null(buf_take(&b, &len));
	assert_int_equal(len, 0);
	buf_append_str(&b, "abc");
	data = buf_take(&b, NULL);
	assert_string_equal(data, "abc");
	free(data);
	assert_null(b.data);
	assert_int_equal(b.len + b.cap, 0);
}

static void test_json_bad_utf8(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"a\xff"
		 "b",
			"\"a\xef\xbf\xbd"
			"b\""},
		{"\xc3", "\"\xef\xbf\xbd\""},
		{"\xe2\x82", "\"\xef\xbf\xbd\""},
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xc0\xaf\"", "\"\xef\xbf\xbd\xef\xbf\xbd\\\"\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_buf struct buf b = BUF_INIT;

		buf_put_json_string(&b, cases[i].in, strlen(cases[i].in));
		assert_string_equal(b.data, cases[i].out);
	}
}

static void put_utf8(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_put_u8(b, (uint8_t)c);
	} else if (c < 0x800) {
		buf_put_u8(b, (uint8_t)(0xc0 | c >> 6));
		buf_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_put_u8(b, (uint8_t)(0xe0 | c >> 12));
		buf_put_u8(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		buf_put_u8(b, (uint8_t)(0xf0 | c >> 18));
		buf_put_u8(b, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		buf_put_u8(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

static bool is_scalar_value(uint32_t c)
{
	return c < 0xd800 || (c > 0xdfff && c < 0x110000);
}

/* All of the first 64 Ki characters and a sample of the others, in lines of 64. */
static void put_sample(struct buf *b, uint32_t line)
{
	for (uint32_t i = 0; i < 64; i++) {
		uint32_t c = line < 1024 ? line * 64 + i : 0x10000 + ((line - 1024) * 64 + i) * 61;

		if (is_scalar_value(c))
			put_utf8(b, c);
	}
}

#define SAMPLE_LINES (1024 + 268)

/* What we print as JSON must come out of jq unchanged. */
static void test_json_like_jq(void **state)
{
	cleanup_buf struct buf ours = BUF_INIT;
	cleanup_buf struct buf theirs = BUF_INIT;
	char path[] = "/tmp/test-buf-XXXXXX";
	char command[64], chunk[4096];
	FILE *file, *jq;
	size_t n;

	(void)state;
	if (system("command -v jq >/dev/null"))
		skip();
	for (uint32_t line = 0; line < SAMPLE_LINES; line++) {
		cleanup_buf struct buf text = BUF_INIT;

		put_sample(&text, line);
		buf_put_json_string(&ours, text.data ? text.data : "", text.len);
		buf_put_u8(&ours, '\n');
	}
	file = fdopen(mkstemp(path), "w");
	assert_non_null(file);
	assert_int_equal(fwrite(ours.data, 1, ours.len, file), ours.len);
	assert_int_equal(fclose(file), 0);
	snprintf(command, sizeof(command), "jq -c . %s", path);
	jq = popen(command, "r");
	assert_non_null(jq);
	while ((n = fread(chunk, 1, sizeof(chunk), jq)) > 0)
		buf_append(&theirs, chunk, n);
	assert_int_equal(pclose(jq), 0);
	unlink(path);
	assert_int_equal(ours.len, theirs.len);
	assert_memory_equal(ours.data, theirs.data, ours.len);
}

static void check_yaml_reads(const char *text, size_t len)
{
	cleanup_buf struct buf quoted = BUF_INIT;
	yaml_parser_t parser;
	yaml_event_t event;
	bool found = false;

	buf_put_yaml_string(&quoted, text, len);
	assert_null(memchr(quoted.data, '\n', quoted.len));
	assert_true(yaml_parser_initialize(&parser));
	yaml_parser_set_input_string(&parser, (const unsigned char *)quoted.data, quoted.len);
	for (bool end = false; !end; yaml_event_delete(&event)) {
		assert_true(yaml_parser_parse(&parser, &event));
		end = event.type == YAML_STREAM_END_EVENT;
		if (event.type != YAML_SCALAR_EVENT)
			continue;
		assert_int_equal(event.data.scalar.length, len);
		assert_memory_equal(event.data.scalar.value, text, len);
		found = true;
	}
	yaml_parser_delete(&parser);
	assert_true(found);
}

static void test_yaml_like_libyaml(void **state)
{
	(void)state;
	check_yaml_reads(" a: b # c\n", 10);
	for (uint32_t line = 0; line < SAMPLE_LINES; line++) {
		cleanup_buf struct buf text = BUF_INIT;

		put_sample(&text, line);
		if (text.len)
			check_yaml_reads(text.data, text.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth_keeps_contents_and_nul),
		cmocka_unit_test(test_append_forms),
		cmocka_unit_test(test_printf_grows),
		cmocka_unit_test(test_error_is_sticky),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_json_bad_utf8),
		cmocka_unit_test(test_json_like_jq),
		cmocka_unit_test(test_yaml_like_libyaml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
