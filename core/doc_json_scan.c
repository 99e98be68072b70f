/* SPDX-License-Identifier: MIT
 *
 * A strict, iterative scanner of RFC 8259. One pass, no recursion, no
 * allocation: the only state is one bit a level (array or object).
 *
 * A text passes if and only if (1) it is one value by the grammar of RFC 8259,
 * (2) it is UTF-8 throughout, (3) it nests at most DOC_DEPTH_MAX arrays and
 * objects. Escaped lone surrogates pass: the grammar has them. Duplicate names pass.
 * Strings are nearly all of any real file, so they go eight bytes at a time.
 *
 * On failure the offset is that of the first byte that cannot be right.
 */
#include "doc_json_scan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc_build.h"

struct scan {
	const char *text;
	const char *p;
	const char *end;
	struct json_places *places;
	struct json_error *error;
	unsigned depth;
	uint64_t object_bits[DOC_DEPTH_MAX / 64]; /* bit = the level is an object */
};

enum scan_next { NEXT_VALUE, NEXT_FIRST_ITEM, NEXT_NAME, NEXT_FIRST_NAME, NEXT_AFTER };

__attribute__((format(printf, 3, 4))) static int fail(struct scan *s, const char *at, const char *fmt, ...)
{
	va_list ap;

	s->error->offset = (size_t)(at - s->text);
	va_start(ap, fmt);
	(void)vsnprintf(s->error->text, sizeof(s->error->text), fmt, ap); /* a longer sentence is cut */
	va_end(ap);
	return -EBADMSG;
}

/* Something else than what was expected stands at s->p. */
static int fail_expected(struct scan *s, const char *expected)
{
	char found[DOC_CHAR_TEXT_BYTES];

	if (s->p == s->end)
		return fail(s, s->p, "the text ends where %s is expected", expected);
	doc_char_text(s->text, (size_t)(s->end - s->text), (size_t)(s->p - s->text), found);
	return fail(s, s->p, "found %s where %s is expected", found, expected);
}

static int note_place(struct scan *s)
{
	struct json_places *places = s->places;

	if (!places)
		return 0;
	if (places->count == places->count_max)
		return fail(s, s->p, "more than %zu values and names", places->count_max);
	if (places->count == places->cap && array_reserve(&places->offsets, &places->cap, places->count + 1, sizeof(*places->offsets)))
		return -ENOMEM;
	places->offsets[places->count++] = (size_t)(s->p - s->text);
	return 0;
}

static inline void skip_blanks(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
		s->p++;
}

static inline bool is_digit(const struct scan *s)
{
	return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

/* Four hex digits of a \u escape, or -1. */
static int hex4(const char *p, const char *end)
{
	int value = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static void patch_escape(struct scan *s, const char *backslash)
{
	if (s->places)
		memcpy(s->places->patched + (backslash - s->text), "\\ufffd", 6);
}

/* s->p is on a backslash. */
static int scan_escape(struct scan *s)
{
	const char *backslash = s->p;
	int code, low;

	if (s->end - s->p < 2)
		return fail(s, s->end, "the text ends inside a string");
	if (s->p[1] != 'u') {
		if (!memchr("\"\\/bfnrt", s->p[1], 8))
			return fail(s, s->p, "a backslash must be followed by one of \" \\ / b f n r t u");
		s->p += 2;
		return 0;
	}
	code = hex4(s->p + 2, s->end);
	if (code < 0)
		return fail(s, s->p, "\\u must be followed by four hexadecimal digits");
	s->p += 6;
	if (code >= 0xd800 && code < 0xdc00) {
		low = s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u' ? hex4(s->p + 2, s->end) : -1;
		if (low >= 0xdc00 && low < 0xe000)
			s->p += 6;
		else
			patch_escape(s, backslash);
	} else if (!code || (code >= 0xdc00 && code < 0xe000)) {
		patch_escape(s, backslash);
	}
	return 0;
}

/* Skip what needs no look: no control, quote, backslash or non-ASCII byte. */
static inline const char *skip_plain(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;

	while (end - p >= 8) {
		uint64_t x, quote, backslash;

		memcpy(&x, p, 8);
		quote = x ^ ones * '"';
		backslash = x ^ ones * '\\';
		if ((x | (x - ones * 0x20) | (quote - ones) | (backslash - ones)) & highs)
			break; /* perhaps: a borrow may ring the bell falsely */
		p += 8;
	}
	while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* A run of bytes from 0x80 up. */
static int scan_utf8(struct scan *s)
{
	const char *run = s->p;
	size_t bad;

	while (s->p < s->end && (unsigned char)*s->p >= 0x80)
		s->p++;
	if (!utf8_valid(run, (size_t)(s->p - run), &bad))
		return fail(s, run + bad, "byte 0x%02x is not UTF-8", (unsigned char)run[bad]);
	return 0;
}

/* s->p is on the opening quote. */
static int scan_string(struct scan *s)
{
	int error = 0;

	s->p++;
	for (;;) {
		s->p = skip_plain(s->p, s->end);
		if (s->p == s->end)
			return fail(s, s->p, "the text ends inside a string");
		if (*s->p == '"')
			break;
		if (*s->p == '\\')
			error = scan_escape(s);
		else if ((unsigned char)*s->p >= 0x80)
			error = scan_utf8(s);
		else if (!*s->p)
			error = fail(s, s->p, "a NUL byte");
		else if (*s->p == '\n')
			error = fail(s, s->p, "the line ends inside a string");
		else
			error = fail(s, s->p, "control character U+%04X in a string must be escaped", *s->p);
		if (error)
			return error;
	}
	s->p++;
	return 0;
}

static int scan_digits(struct scan *s)
{
	if (!is_digit(s))
		return fail_expected(s, "a digit");
	while (is_digit(s))
		s->p++;
	return 0;
}

static int scan_number(struct scan *s)
{
	const char *start = s->p;
	size_t len;
	int error;

	if (*s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0') {
		s->p++;
		if (is_digit(s))
			return fail(s, s->p, "a number must not start with 0");
	} else if ((error = scan_digits(s))) {
		return error;
	}
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if ((error = scan_digits(s)))
			return error;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if ((error = scan_digits(s)))
			return error;
	}
	len = (size_t)(s->p - start);
	if (s->places && len > JSON_NUMBER_CHARS_MAX) {
		memset(s->places->patched + (start - s->text), ' ', len);
		s->places->patched[start - s->text] = '0';
	}
	return 0;
}

static int scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len))
		return fail_expected(s, "a value");
	s->p += len;
	return 0;
}

static int open_level(struct scan *s, bool object)
{
	uint64_t bit = UINT64_C(1) << s->depth % 64;

	if (s->depth == DOC_DEPTH_MAX)
		return fail(s, s->p, "nested deeper than %d levels", DOC_DEPTH_MAX);
	if (object)
		s->object_bits[s->depth / 64] |= bit;
	else
		s->object_bits[s->depth / 64] &= ~bit;
	s->depth++;
	s->p++;
	return 0;
}

static inline bool in_object(const struct scan *s)
{
	return s->object_bits[(s->depth - 1) / 64] >> (s->depth - 1) % 64 & 1;
}

static int scan_value(struct scan *s, enum scan_next *next)
{
	int error = note_place(s);

	if (error)
		return error;
	*next = NEXT_AFTER;
	switch (s->p < s->end ? *s->p : '\0') {
	case '{':
		*next = NEXT_FIRST_NAME;
		return open_level(s, true);
	case '[':
		*next = NEXT_FIRST_ITEM;
		return open_level(s, false);
	case '"':
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	case '-':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9':
		return scan_number(s);
	default:
		return fail_expected(s, "a value");
	}
}

static int scan_name(struct scan *s, const char *expected)
{
	int error;

	if (s->p == s->end || *s->p != '"')
		return fail_expected(s, expected);
	if ((error = note_place(s)) || (error = scan_string(s)))
		return error;
	skip_blanks(s);
	if (s->p == s->end || *s->p != ':')
		return fail_expected(s, "':'");
	s->p++;
	return 0;
}

/* After an item or a member, inside an array or object. */
static int scan_after(struct scan *s, enum scan_next *next)
{
	bool object = in_object(s);

	if (s->p < s->end && *s->p == ',')
		*next = object ? NEXT_NAME : NEXT_VALUE;
	else if (s->p < s->end && *s->p == (object ? '}' : ']'))
		s->depth--;
	else
		return fail_expected(s, object ? "',' or '}'" : "',' or ']'");
	s->p++;
	return 0;
}

static int scan_text(struct scan *s)
{
	enum scan_next next = NEXT_VALUE;
	int error = 0;

	while (!error) {
		skip_blanks(s);
		switch (next) {
		case NEXT_FIRST_ITEM:
		case NEXT_FIRST_NAME:
			if (s->p < s->end && *s->p == (next == NEXT_FIRST_NAME ? '}' : ']')) {
				s->p++;
				s->depth--;
				next = NEXT_AFTER;
			} else if (next == NEXT_FIRST_ITEM) {
				error = scan_value(s, &next);
			} else {
				error = scan_name(s, "a name in double quotes or '}'");
				next = NEXT_VALUE;
			}
			break;
		case NEXT_NAME:
			error = scan_name(s, "a name in double quotes");
			next = NEXT_VALUE;
			break;
		case NEXT_VALUE:
			error = scan_value(s, &next);
			break;
		case NEXT_AFTER:
			if (!s->depth)
				return s->p == s->end ? 0 : fail_expected(s, "the end of the text");
			error = scan_after(s, &next);
			break;
		}
	}
	return error;
}

int json_scan(const char *text, size_t len, struct json_places *places, struct json_error *error)
{
	struct scan s = {.text = text, .p = text, .end = text + len, .places = places, .error = error};

	return scan_text(&s);
}
