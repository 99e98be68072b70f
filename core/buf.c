/* SPDX-License-Identifier: MIT
 *
 * The growable byte buffer. Every append first makes room, doubling, and leaves
 * a NUL behind the contents. The first failed allocation sets `error`; from
 * then on appends do nothing, so a renderer checks once, at its end.
 *
 * Invariant: data == NULL, or len < cap and data[len] == 0.
 */
#include "buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

void buf_release(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->error = 0;
	if (b->data)
		b->data[0] = '\0';
}

int buf_reserve(struct buf *b, size_t extra)
{
	size_t want, cap;
	char *data;

	if (b->error)
		return b->error;
	if (b->data && extra < b->cap - b->len)
		return 0;
	if (__builtin_add_overflow(b->len, extra, &want) || want >= SIZE_MAX / 2)
		return b->error = -ENOMEM;
	cap = MAX(b->cap * 2, MAX(want + 1, (size_t)64));
	data = realloc(b->data, cap);
	if (!data)
		return b->error = -ENOMEM;
	data[b->len] = '\0';
	b->data = data;
	b->cap = cap;
	return 0;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
	if (buf_reserve(b, len) || !len)
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_append_str(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

void buf_append_zeros(struct buf *b, size_t len)
{
	if (buf_reserve(b, len))
		return;
	memset(b->data + b->len, 0, len + 1);
	b->len += len;
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t room;
	int n;

	if (buf_reserve(b, 0))
		return;
	room = b->cap - b->len;
	va_copy(again, ap);
	n = vsnprintf(b->data + b->len, room, fmt, ap);
	if (n < 0) {
		b->data[b->len] = '\0';
		b->error = -ENOMEM; /* the only failure of vsnprintf into memory, but for an impossible format */
	} else if ((size_t)n < room) {
		b->len += (size_t)n;
	} else if (b->data[b->len] = '\0', !buf_reserve(b, (size_t)n)) {
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_append(b, &v, 1);
}

void buf_put_le16(struct buf *b, uint16_t v)
{
	uint8_t bytes[2];

	put_le16(bytes, v);
	buf_append(b, bytes, sizeof(bytes));
}

void buf_put_le32(struct buf *b, uint32_t v)
{
	uint8_t bytes[4];

	put_le32(bytes, v);
	buf_append(b, bytes, sizeof(bytes));
}

void buf_put_le64(struct buf *b, uint64_t v)
{
	uint8_t bytes[8];

	put_le64(bytes, v);
	buf_append(b, bytes, sizeof(bytes));
}

/* The two-character escape that JSON and YAML share, or 0. */
static char short_escape(uint32_t c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return 0;
	}
}

static bool json_escapes(uint32_t c)
{
	return c < 0x20 || c == '"' || c == '\\' || c == 0x7f;
}

/* Besides what JSON escapes: what YAML 1.1 does not call printable, and its other line breaks. */
static bool yaml_escapes(uint32_t c)
{
	return json_escapes(c) || (c >= 0x80 && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff;
}

static void put_quoted(struct buf *b, const char *s, size_t len, bool (*escapes)(uint32_t))
{
	size_t plain = 0; /* where the stretch not yet appended begins */
	size_t i = 0;

	buf_put_u8(b, '"');
	while (i < len) {
		uint32_t c = 0;
		int n = utf8_decode(s + i, len - i, &c);

		if (n > 0 && !escapes(c)) {
			i += (size_t)n;
			continue;
		}
		buf_append(b, s + plain, i - plain);
		if (n < 0)
			buf_append_str(b, "\xef\xbf\xbd");
		else if (short_escape(c))
			buf_append(b, (char[]){'\\', short_escape(c)}, 2);
		else
			buf_printf(b, "\\u%04x", c);
		i += (size_t)abs(n);
		plain = i;
	}
	buf_append(b, s + plain, i - plain);
	buf_put_u8(b, '"');
}

void buf_put_shell_word(struct buf *b, const char *text)
{
	buf_put_u8(b, '\'');
	for (; *text; text++) {
		if (*text == '\'')
			buf_append_str(b, "'\\''");
		else
			buf_put_u8(b, (uint8_t)*text);
	}
	buf_put_u8(b, '\'');
}

void buf_put_json_string(struct buf *b, const char *s, size_t len)
{
	put_quoted(b, s, len, json_escapes);
}

void buf_put_yaml_string(struct buf *b, const char *s, size_t len)
{
	put_quoted(b, s, len, yaml_escapes);
}

void buf_put_hex(struct buf *b, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	if (len > SIZE_MAX / 4) {
		b->error = b->error ? b->error : -ENOMEM;
		return;
	}
	if (buf_reserve(b, len * 2))
		return;
	for (size_t i = 0; i < len; i++) {
		b->data[b->len++] = digits[bytes[i] >> 4];
		b->data[b->len++] = digits[bytes[i] & 15];
	}
	b->data[b->len] = '\0';
}

char *buf_take(struct buf *b, size_t *ret_len)
{
	char *data = b->data;

	if (ret_len)
		*ret_len = b->len;
	*b = BUF_INIT;
	return data;
}
