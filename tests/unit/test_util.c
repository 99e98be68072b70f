/* SPDX-License-Identifier: MIT
 *
 * util: times, numbers, ids, UTF-8, reasons, array growth.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "rng.h"
#include "util.h"

static void test_little_endian(void **state)
{
	uint8_t b[9] = {0};

	(void)state;
	put_le64(b + 1, 0x0102030405060708u);
	assert_int_equal(b[1], 8);
	assert_int_equal(b[8], 1);
	assert_true(get_le64(b + 1) == 0x0102030405060708u);
	assert_int_equal(get_le32(b + 1), 0x05060708u);
	assert_int_equal(get_le16(b + 1), 0x0708u);
	put_le32(b + 1, 0xfffefdfcu);
	assert_int_equal(get_le32(b + 1), 0xfffefdfcu);
}

static void test_reason(void **state)
{
	struct reason r;
	char *longer = test_malloc(1000);

	(void)state;
	assert_int_equal(reason_set(NULL, -EIO, "x", "y"), -EIO);
	memset(&r, 0xff, sizeof(r));
	assert_int_equal(reason_set(&r, -EBADMSG, "yaml", "line\n%d", 3), -EBADMSG);
	assert_string_equal(r.rule, "yaml");
	assert_string_equal(r.text, "line 3");
	assert_int_equal(r.line + r.column, 0);
	memset(longer, 'a', 999);
	longer[999] = 0;
	reason_set(&r, 0, longer, "%s", longer);
	assert_int_equal(strlen(r.rule), sizeof(r.rule) - 1);
	assert_int_equal(strlen(r.text), sizeof(r.text) - 1);
	test_free(longer);
}

static void test_array_reserve(void **state)
{
	uint32_t *items = NULL;
	size_t capacity = 0;

	(void)state;
	for (size_t n = 0; n < 1000; n++) {
		assert_int_equal(array_reserve(&items, &capacity, n + 1, sizeof(*items)), 0);
		items[n] = (uint32_t)n;
	}
	assert_true(capacity >= 1000 && capacity <= 2048);
	for (size_t n = 0; n < 1000; n++)
		assert_int_equal(items[n], n);
	assert_int_equal(array_reserve(&items, &capacity, SIZE_MAX / 2, sizeof(*items)), -ENOMEM);
	assert_int_equal(items[999], 999);
	free(items);
}

static void test_time_format(void **state)
{
	char text[TIME_TEXT_BYTES];

	(void)state;
	time_format(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
	time_format(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
	time_format(1795341600123456789, text);
	assert_string_equal(text, "2026-11-22T10:00:00.123456Z");
	time_format_day(1795341600123456789, text);
	assert_string_equal(text, "2026-11-22");
	time_format_stamp(1795341600123456789, text);
	assert_string_equal(text, "20261122T100000.123456Z");
	time_format(INT64_MIN, text);
	assert_string_equal(text, "1677-09-21T00:12:43.145224Z");
	time_format(INT64_MAX, text);
	assert_string_equal(text, "2262-04-11T23:47:16.854775Z");
}

static void test_time_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t time_ns;
	} good[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01", 0},
		{"1970-01-02", 86400 * NS_PER_S},
		{"1970-01-01t00:00:01z", NS_PER_S},
		{"1970-01-01 00:00:00.5Z", NS_PER_S / 2},
		{"1970-01-01T00:00:00.1234567899Z", 123456789},
		{"1970-01-01T02:00:00+02:00", 0},
		{"1969-12-31T22:30:00-01:30", 0},
		{"2026-11-22T10:00:00.123456789Z", 1795341600123456789},
		{"2000-02-29T00:00:00Z", 951782400 * NS_PER_S},
		{"2016-12-31T23:59:60Z", 1483228800 * NS_PER_S},
	};
	static const char *const bad[] = {"", "1970", "1970-1-1", "1970-13-01", "1970-00-01", "1970-02-29", "1900-02-29", "1970-01-32", "1970-01-00",
		"1970-01-01T", "1970-01-01T00:00:00", "1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z", "1970-01-01T00:00:61Z", "1970-01-01T00:00:00.Z",
		"1970-01-01T00:00:00Zx", "1970-01-01T00:00Z", "1970-01-01x", "1970-01-01T00:00:00+2:00", "1970-01-01T00:00:00+24:00",
		"1970-01-01T00:00:00+0200", " 1970-01-01", "+970-01-01", "0001-01-01", "9999-12-31T00:00:00Z", "1970-01-01T00:00:00+01:60",
		"1970-01-01T-1:00:00Z"};
	int64_t t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		t = -1;
		assert_int_equal(time_parse(good[i].text, &t), 0);
		assert_true(t == good[i].time_ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		t = 42;
		if (time_parse(bad[i], &t) != -EINVAL || t != 42)
			fail_msg("accepted: '%s'", bad[i]);
	}
}

static void test_time_round_trip(void **state)
{
	struct rng rng;

	(void)state;
	rng_init(&rng, rng_seed_of_run(1));
	for (int i = 0; i < 20000; i++) {
		int64_t t = (int64_t)(rng_next(&rng) >> 1) - INT64_MAX / 2, back;
		char text[TIME_TEXT_BYTES];

		time_format(t, text);
		rng_assert(&rng, strlen(text) == 27);
		rng_assert(&rng, time_parse(text, &back) == 0);
		rng_assert(&rng, t - back >= 0 && t - back < 1000);
	}
}

static void test_parse_u64(void **state)
{
	static const char *const bad[] = {"", "00", "01", "-1", "+1", " 1", "1 ", "1x", "0x1", "99999999999999999999x"};
	uint64_t v = 7;

	(void)state;
	assert_int_equal(parse_u64("0", &v), 0);
	assert_true(v == 0);
	assert_int_equal(parse_u64("18446744073709551615", &v), 0);
	assert_true(v == UINT64_MAX);
	v = 7;
	assert_int_equal(parse_u64("18446744073709551616", &v), -ERANGE);
	assert_int_equal(parse_u64("99999999999999999999999", &v), -ERANGE);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_u64(bad[i], &v), -EINVAL);
	assert_true(v == 7);
}

static void test_id_valid(void **state)
{
	static const char *const bad[] = {"", ".a", "-a", "_a", "a b", "a/b", "a\n", "\xc3\xa4", "a:"};
	char longest[129];

	(void)state;
	assert_true(id_valid("a", 1));
	assert_true(id_valid("0.A_z-9", 7));
	memset(longest, 'a', sizeof(longest));
	assert_true(id_valid(longest, 128));
	assert_false(id_valid(longest, 129));
	assert_false(id_valid("a\0b", 3));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(id_valid(bad[i], strlen(bad[i])));
}

static void test_utf8_bad(void **state)
{
	static const struct {
		const char *text;
		size_t offset;
	} bad[] = {{"\x80", 0}, {"abcdefghi\xff", 9}, {"\xc0\x80", 0}, {"\xc1\xbf", 0}, {"\xe0\x80\x80", 0}, {"a\xed\xa0\x80", 1}, {"\xf0\x80\x80\x80", 0},
		{"\xf4\x90\x80\x80", 0}, {"\xf5\x80\x80\x80", 0}, {"ok\xc3", 2}, {"\xe2\x82", 0}, {"\xc3\xa4\xf0\x9f\x98", 2}, {"\xc3(", 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		size_t offset = 99;

		assert_false(utf8_valid(bad[i].text, strlen(bad[i].text), &offset));
		assert_int_equal(offset, bad[i].offset);
		assert_false(utf8_valid(bad[i].text, strlen(bad[i].text), NULL));
	}
	assert_true(utf8_valid("", 0, NULL));
	assert_true(utf8_valid("a\0b", 3, NULL));
}

/* Every pair and a sample of quadruples of bytes against the definition by code points. */
static bool utf8_valid_naive(const uint8_t *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint32_t c = s[i], least;
		int more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : -1;

		if (more < 0 || i + (size_t)more >= len)
			return false;
		least = (const uint32_t[]){0, 0x80, 0x800, 0x10000}[more];
		c &= more ? 0x3fu >> more : 0x7fu;
		for (int k = 1; k <= more; k++) {
			if ((s[i + (size_t)k] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (s[i + (size_t)k] & 0x3fu);
		}
		if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return false;
		i += (size_t)more + 1;
	}
	return true;
}

static void test_utf8_against_definition(void **state)
{
	/* Bytes at the edges of the ranges of table 3-7. */
	static const uint8_t edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0,
		0xf1, 0xf3, 0xf4, 0xf5, 0xff};
	size_t n = ARRAY_SIZE(edges);

	(void)state;
	for (size_t i = 0; i < n * n * n * n; i++) {
		uint8_t s[4] = {edges[i % n], edges[i / n % n], edges[i / n / n % n], edges[i / n / n / n]};

		for (size_t len = 1; len <= 4; len++)
			if (utf8_valid((const char *)s, len, NULL) != utf8_valid_naive(s, len))
				fail_msg("%02x %02x %02x %02x, length %zu", s[0], s[1], s[2], s[3], len);
	}
}

static void test_utf8_decode(void **state)
{
	uint32_t c = 0;

	(void)state;
	assert_int_equal(utf8_decode("a", 1, &c), 1);
	assert_int_equal(c, 'a');
	assert_int_equal(utf8_decode("\xe2\x82\xac", 3, &c), 3);
	assert_int_equal(c, 0x20ac);
	assert_int_equal(utf8_decode("\xf4\x8f\xbf\xbf", 4, &c), 4);
	assert_int_equal(c, 0x10ffff);
	assert_int_equal(utf8_decode("\xf0\x9f\x98z", 4, &c), -3);
	assert_int_equal(utf8_decode("\xed\xa0\x80", 3, &c), -1);
}

static void test_close_fd(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int copy = fd;

	(void)state;
	util_close_fd(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(fcntl(copy, F_GETFD), -1);
	util_close_fd(&fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_little_endian),
		cmocka_unit_test(test_reason),
		cmocka_unit_test(test_array_reserve),
		cmocka_unit_test(test_time_format),
		cmocka_unit_test(test_time_parse),
		cmocka_unit_test(test_time_round_trip),
		cmocka_unit_test(test_parse_u64),
		cmocka_unit_test(test_id_valid),
		cmocka_unit_test(test_utf8_bad),
		cmocka_unit_test(test_utf8_against_definition),
		cmocka_unit_test(test_utf8_decode),
		cmocka_unit_test(test_close_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
