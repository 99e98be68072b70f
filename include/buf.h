/* SPDX-License-Identifier: MIT
 *
 * L0. A growable byte buffer with a sticky error: render or encode without
 * checking each step, then check `error` once. After an error further appends
 * do nothing. The contents are always followed by a NUL that `len` does not count.
 */
#ifndef MILESTONEFS_BUF_H
#define MILESTONEFS_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data; /**< owned; NULL until the first append */
	size_t len; /**< bytes used */
	size_t cap; /**< bytes allocated */
	int error;  /**< 0 or -ENOMEM, sticky */
};

#define BUF_INIT ((struct buf){0})
#define cleanup_buf __attribute__((cleanup(buf_release)))

/** Free the memory; the buffer is empty and usable again. */
void buf_release(struct buf *b);
/** Forget the contents and the error, keep the memory. */
void buf_clear(struct buf *b);
/** Make room for @extra more bytes (and the NUL). Returns 0 or -ENOMEM (also sticky). */
int buf_reserve(struct buf *b, size_t extra);
void buf_append(struct buf *b, const void *data, size_t len);
void buf_append_str(struct buf *b, const char *s);
void buf_append_zeros(struct buf *b, size_t len);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_le16(struct buf *b, uint16_t v);
void buf_put_le32(struct buf *b, uint32_t v);
void buf_put_le64(struct buf *b, uint64_t v);
/** A JSON string literal with its quotes. Bytes that are not UTF-8 become U+FFFD. Escapes exactly as `jq -c` prints:
 *  \" \\ \b \f \n \r \t, other controls below 0x20 and 0x7f as \u00xx; everything else as it is. */
void buf_put_json_string(struct buf *b, const char *s, size_t len);
/** One word of a shell (sh, bash, dash, zsh) that is these bytes exactly: in single quotes, with \' between them for each that @text has. */
void buf_put_shell_word(struct buf *b, const char *text);
/** A YAML double-quoted scalar with its quotes (a superset of JSON's escapes, safe on one line). */
void buf_put_yaml_string(struct buf *b, const char *s, size_t len);
/** Lower-case hex of @len bytes. */
void buf_put_hex(struct buf *b, const uint8_t *bytes, size_t len);
/** Take the memory (caller frees); the buffer is empty. NULL only if nothing was ever appended. */
char *buf_take(struct buf *b, size_t *ret_len);

#endif
