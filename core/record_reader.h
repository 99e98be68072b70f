/* SPDX-License-Identifier: MIT
 *
 * A cursor over the meta area of a record, for record_decode.c: bounded, with a sticky error, dealing out memory that was
 * made beforehand for what it reads (why it suffices: record_decode.c).
 */
#ifndef MILESTONEFS_RECORD_READER_H
#define MILESTONEFS_RECORD_READER_H

#include <errno.h>
#include <string.h>

#include "extent.h"
#include "position.h"
#include "record.h"
#include "util.h"

struct reader {
	const uint8_t *p, *end; /* of the meta area */
	int error;              /* sticky */
	struct extent *extents; /* the next free ones */
	uint32_t extents_left;
	char *text;               /* the next free byte */
	uint64_t blocks_position; /* where the block area begins */
	uint64_t blocks_len;
};

static inline void fail(struct reader *r, int error)
{
	if (!r->error)
		r->error = error;
	r->p = r->end;
}

static inline bool need(struct reader *r, size_t bytes)
{
	if ((size_t)(r->end - r->p) >= bytes)
		return true;
	fail(r, -EBADMSG);
	return false;
}

/* The take functions read where need() was asked before. */
static inline uint16_t take16(struct reader *r)
{
	r->p += 2;
	return get_le16(r->p - 2);
}

static inline uint32_t take32(struct reader *r)
{
	r->p += 4;
	return get_le32(r->p - 4);
}

static inline uint64_t take64(struct reader *r)
{
	r->p += 8;
	return get_le64(r->p - 8);
}

static inline void take_sha(struct reader *r, struct sha256 *ret)
{
	memcpy(ret->bytes, r->p, SHA256_BYTES);
	r->p += SHA256_BYTES;
}

/* A value, copied, with a NUL behind it. "" of length 0 on failure. */
static inline const char *get_value(struct reader *r, uint32_t *ret_len)
{
	uint32_t len;
	char *text = r->text;

	*ret_len = 0;
	if (!need(r, 2))
		return "";
	len = take16(r);
	if (len == RECORD_TEXT_LONG) {
		if (!need(r, 4))
			return "";
		len = take32(r);
	}
	if (!len || !need(r, len))
		return "";
	memcpy(text, r->p, len);
	text[len] = '\0';
	r->text += (size_t)len + 1;
	r->p += len;
	*ret_len = len;
	return text;
}

/* A text of at most @max bytes (6). */
static inline const char *get_text(struct reader *r, size_t max)
{
	uint32_t len;
	const char *text = get_value(r, &len);

	if (len > max || memchr(text, 0, len)) {
		fail(r, -EBADMSG);
		return "";
	}
	return text;
}

static inline void get_actor_text(struct reader *r, char *out, size_t out_bytes)
{
	const char *text = get_text(r, out_bytes - 1);

	memcpy(out, text, strlen(text) + 1);
}

/* (4) */
static inline void get_extent(struct reader *r, struct extent *e)
{
	e->file_offset = take64(r);
	e->len = take64(r);
	e->position = take64(r);
	e->raw_len = take32(r);
	e->stored_len = take32(r);
	e->skip = take32(r);
	if (e->len > UINT64_MAX - e->file_offset) {
		fail(r, -EBADMSG);
		return;
	}
	if (!e->position)
		return;
	if (!e->stored_len || e->stored_len > e->raw_len || e->skip > e->raw_len || e->len > e->raw_len - e->skip) {
		fail(r, -EBADMSG);
		return;
	}
	if (position_kind(e->position) != POSITION_JOURNAL || position_file(e->position) != POSITION_FILE_MAX)
		return;
	if (position_offset(e->position) < RECORD_BLOCK_CHECK_BYTES || position_offset(e->position) > r->blocks_len ||
		e->stored_len > r->blocks_len - position_offset(e->position)) {
		fail(r, -EBADMSG);
		return;
	}
	e->position = r->blocks_position + position_offset(e->position);
}

static inline struct extent *get_extents(struct reader *r, uint32_t count)
{
	struct extent *extents = r->extents;

	if (count > r->extents_left) {
		fail(r, -EBADMSG);
		return NULL;
	}
	if (!need(r, (size_t)count * RECORD_EXTENT_BYTES))
		return NULL;
	for (uint32_t i = 0; i < count && !r->error; i++)
		get_extent(r, &extents[i]);
	r->extents += count;
	r->extents_left -= count;
	return count ? extents : NULL;
}

#endif
