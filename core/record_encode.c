/* SPDX-License-Identifier: MIT
 *
 * Transactions to bytes: the meta area of a payload, and the block area beside it. The format is specified in record.h.
 *
 * The encoder computes an upper bound first, makes that room, and then writes through a bare pointer: it is on
 * the commit path, under the engine's lock. What an event shares with its record (operation, path, session) is not stored again.
 *
 * Left to others: framing, checksums, where the frame lies (journal), sealing of events (event.c).
 *
 * Invariant: what is written here, record_decode() accepts; the assertions are its checks.
 * Failure: no memory; @out and the block area are then as they were.
 */
#include "record.h"

#include <assert.h>
#include <errno.h>
#include <lz4.h>
#include <string.h>

#include "position.h"
#include "record_path.h"
#include "util.h"

/* Fixed parts, rounded up, with the length fields (6 bytes at most) of their texts. */
#define CHANGE_FIXED_BYTES_MAX 80 /* of a CREATE, which has most */
#define CHANGE_NAMED_BYTES_MAX 24
#define CHANGE_ATTR_BYTES 42
#define CHANGE_CONTENT_BYTES 26
#define EVENT_FIXED_BYTES_MAX (RECORD_EVENT_BYTES_MIN + 2 * SHA256_BYTES + 8 + 6 * 6)
#define ROLLBACK_FIXED_BYTES_MAX 48

#define BLOCK_COMPRESS_BYTES_MIN 1024

/* ---- blocks ---- */

static uint64_t provisional(uint64_t offset)
{
	return position_make(POSITION_JOURNAL, POSITION_FILE_MAX, offset);
}

static bool is_provisional(uint64_t position)
{
	return position_kind(position) == POSITION_JOURNAL && position_file(position) == POSITION_FILE_MAX;
}

int record_blocks_add(struct record_blocks *b, const void *data, size_t len, struct extent *e)
{
	size_t room = len - (len + 4) / 5; /* a block that needs more than 80 % is stored as it is */
	size_t stored = 0;

	assert(len > 0 && len <= LZ4_MAX_INPUT_SIZE);
	if (buf_reserve(&b->bytes, RECORD_BLOCK_CHECK_BYTES + len))
		return -ENOMEM;
	b->bytes.len += RECORD_BLOCK_CHECK_BYTES; /* filled in below */
	if (len >= BLOCK_COMPRESS_BYTES_MIN)
		stored = (size_t)LZ4_compress_default(data, b->bytes.data + b->bytes.len, (int)len, (int)room);
	if (!stored) {
		memcpy(b->bytes.data + b->bytes.len, data, len);
		stored = len;
	}
	put_le64(b->bytes.data + b->bytes.len - RECORD_BLOCK_CHECK_BYTES, record_block_check(b->bytes.data + b->bytes.len, stored));
	e->position = provisional(b->bytes.len);
	e->raw_len = (uint32_t)len;
	e->stored_len = (uint32_t)stored;
	e->skip = 0;
	b->bytes.len += stored;
	b->bytes.data[b->bytes.len] = '\0';
	return 0;
}

uint64_t record_block_check(const void *stored, size_t stored_len)
{
	return checksum_xxh3(stored, stored_len, 0);
}

void record_blocks_release(struct record_blocks *b)
{
	buf_release(&b->bytes);
}

int record_block_read(const void *stored, size_t stored_len, size_t raw_len, void *out)
{
	if (!stored_len || stored_len > raw_len || raw_len > LZ4_MAX_INPUT_SIZE)
		return -EIO;
	if (stored_len == raw_len) {
		memcpy(out, stored, raw_len);
		return 0;
	}
	return LZ4_decompress_safe(stored, out, (int)stored_len, (int)raw_len) == (int)raw_len ? 0 : -EIO;
}

static void fix_extents(const struct extent *extents, uint32_t count, uint64_t blocks_position)
{
	/* They are const for those who apply changes; here they still belong to the one who made the record. */
	struct extent *e = (struct extent *)(uintptr_t)extents;

	for (uint32_t i = 0; i < count; i++)
		if (is_provisional(e[i].position))
			e[i].position = blocks_position + position_offset(e[i].position);
}

void record_fix_positions(struct record *r, uint64_t blocks_position)
{
	for (uint32_t i = 0; i < r->change_count; i++)
		if (r->changes[i].type == CHANGE_CONTENT)
			fix_extents(r->changes[i].extents, r->changes[i].extent_count, blocks_position);
	if (r->rollback)
		fix_extents(r->rollback->draft, r->rollback->draft_extents, blocks_position);
}

/* ---- bounds ---- */

static size_t event_bytes_max(const struct event *e)
{
	return EVENT_FIXED_BYTES_MAX + strlen(e->operation) + strlen(e->path) + strlen(e->session) + strlen(e->new_path) + strlen(e->more) +
	       strlen(e->custom_type);
}

static size_t change_bytes_max(const struct change *c)
{
	size_t value = c->value ? c->value_len : 0;

	switch (c->type) {
	case CHANGE_CREATE:
		return CHANGE_FIXED_BYTES_MAX + c->name_len + value;
	case CHANGE_XATTR:
		return CHANGE_NAMED_BYTES_MAX + c->name_len + value;
	case CHANGE_LINK:
	case CHANGE_UNLINK:
		return CHANGE_NAMED_BYTES_MAX + c->name_len;
	case CHANGE_ATTR:
		return CHANGE_ATTR_BYTES;
	case CHANGE_CONTENT:
		return CHANGE_CONTENT_BYTES + (size_t)c->extent_count * RECORD_EXTENT_BYTES;
	}
	return CHANGE_FIXED_BYTES_MAX;
}

static size_t meta_bytes_max(const struct record *r)
{
	size_t bytes = RECORD_HEADER_BYTES + SHA256_BYTES + 4 * 6 + strlen(r->actor.agent) + strlen(r->actor.session) + strlen(r->actor.comm) + strlen(r->path);

	if (r->drafts_over_count)
		bytes += 8 + 8 * (size_t)r->drafts_over_count;
	for (uint32_t i = 0; i < r->change_count; i++)
		bytes += change_bytes_max(&r->changes[i]);
	for (uint32_t i = 0; i < r->event_count; i++)
		bytes += event_bytes_max(&r->events[i]);
	if (r->rollback)
		bytes += ROLLBACK_FIXED_BYTES_MAX + strlen(r->rollback->rule) + strlen(r->rollback->text) +
			 (size_t)r->rollback->draft_extents * RECORD_EXTENT_BYTES;
	return bytes;
}

size_t record_encoded_bytes_max(const struct record *r, const struct record_blocks *blocks)
{
	return meta_bytes_max(r) + (blocks ? blocks->bytes.len : 0);
}

/* ---- writing, where room was made ---- */

struct writer {
	uint8_t *p;
	uint64_t blocks_len; /* for the assertions */
	uint32_t extents;    /* written so far */
};

static inline void put8(struct writer *w, uint8_t v)
{
	*w->p++ = v;
}

static inline void put16(struct writer *w, uint16_t v)
{
	put_le16(w->p, v);
	w->p += 2;
}

static inline void put32(struct writer *w, uint32_t v)
{
	put_le32(w->p, v);
	w->p += 4;
}

static inline void put64(struct writer *w, uint64_t v)
{
	put_le64(w->p, v);
	w->p += 8;
}

static inline void put_bytes(struct writer *w, const void *bytes, size_t len)
{
	memcpy(w->p, bytes, len);
	w->p += len;
}

static void put_value(struct writer *w, const char *bytes, size_t len)
{
	assert(len <= UINT32_MAX);
	if (len < RECORD_TEXT_LONG) {
		put16(w, (uint16_t)len);
	} else {
		put16(w, RECORD_TEXT_LONG);
		put32(w, (uint32_t)len);
	}
	if (len)
		put_bytes(w, bytes, len);
}

static void put_text(struct writer *w, const char *text)
{
	put_value(w, text, strlen(text));
}

static void put_extents(struct writer *w, const struct extent *extents, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct extent *e = &extents[i];

		assert(e->len <= UINT64_MAX - e->file_offset);
		assert(!e->position || (e->stored_len && e->stored_len <= e->raw_len && e->skip <= e->raw_len && e->len <= e->raw_len - e->skip));
		assert(!is_provisional(e->position) || position_offset(e->position) + e->stored_len <= w->blocks_len);
		put64(w, e->file_offset);
		put64(w, e->len);
		put64(w, e->position);
		put32(w, e->raw_len);
		put32(w, e->stored_len);
		put32(w, e->skip);
	}
	w->extents += count;
}

/* ---- parts ---- */

static void put_name(struct writer *w, const struct change *c)
{
	assert(c->name_len >= 1 && c->name_len <= RECORD_NAME_BYTES_MAX && !memchr(c->name, 0, c->name_len));
	assert(c->type == CHANGE_XATTR || !memchr(c->name, '/', c->name_len));
	put_value(w, c->name, c->name_len);
}

static void put_attributes(struct writer *w, const struct change *c)
{
	put32(w, c->mode);
	put32(w, c->uid);
	put32(w, c->gid);
	put32(w, c->attr_mask);
	if (c->type == CHANGE_CREATE)
		put64(w, c->rdev);
	put64(w, (uint64_t)c->atime_ns);
	put64(w, (uint64_t)c->mtime_ns);
}

static void put_change(struct writer *w, const struct change *c)
{
	bool valued = (c->type == CHANGE_CREATE || c->type == CHANGE_XATTR) && c->value;

	put8(w, (uint8_t)c->type);
	put8(w, valued ? RECORD_CHANGE_HAS_VALUE : 0);
	put64(w, c->ino);
	switch (c->type) {
	case CHANGE_CREATE:
		put64(w, c->parent);
		put_attributes(w, c);
		put_name(w, c);
		break;
	case CHANGE_LINK:
	case CHANGE_UNLINK:
		put64(w, c->parent);
		put_name(w, c);
		break;
	case CHANGE_ATTR:
		put_attributes(w, c);
		break;
	case CHANGE_XATTR:
		put_name(w, c);
		break;
	case CHANGE_CONTENT:
		put32(w, c->content_flags);
		put32(w, c->extent_count);
		put64(w, c->size);
		put_extents(w, c->extents, c->extent_count);
		break;
	}
	if (valued)
		put_value(w, c->value, c->value_len);
}

/* Is @text what the reader assumes when it is not stored? */
static bool same_text(const char *text, const char *assumed, size_t assumed_len)
{
	return strncmp(text, assumed, assumed_len) == 0 && !text[assumed_len];
}

struct shared { /* with the record, or the event before */
	const char *operation, *path, *session;
	size_t session_len;
};

static uint16_t event_bits(const struct event *e, const struct shared *s)
{
	uint32_t bits = e->flags;

	assert(!(bits & ~(uint32_t)(EVENT_HAS_OLD_SHA | EVENT_HAS_NEW_SHA | EVENT_HAS_SIZE)));
	if (strcmp(e->operation, s->operation) != 0)
		bits |= RECORD_EVENT_OPERATION;
	if (e->path != s->path && strcmp(e->path, s->path) != 0)
		bits |= RECORD_EVENT_PATH;
	if (!same_text(e->session, s->session, s->session_len))
		bits |= RECORD_EVENT_SESSION;
	if (*e->new_path)
		bits |= RECORD_EVENT_NEW_PATH;
	if (*e->more)
		bits |= RECORD_EVENT_MORE;
	if (*e->custom_type)
		bits |= RECORD_EVENT_CUSTOM_TYPE;
	return (uint16_t)bits;
}

static void put_event(struct writer *w, const struct event *e, uint16_t bits)
{
	assert(e->type > 0 && (unsigned)e->type <= UINT16_MAX && strlen(e->session) <= RECORD_SESSION_BYTES_MAX);
	put16(w, (uint16_t)e->type);
	put16(w, bits);
	put32(w, e->line_bytes);
	put64(w, e->sequence_number);
	put_bytes(w, e->checksum.bytes, SHA256_BYTES);
	put_bytes(w, e->global_checksum.bytes, SHA256_BYTES);
	if (bits & EVENT_HAS_OLD_SHA)
		put_bytes(w, e->old_sha.bytes, SHA256_BYTES);
	if (bits & EVENT_HAS_NEW_SHA)
		put_bytes(w, e->new_sha.bytes, SHA256_BYTES);
	if (bits & EVENT_HAS_SIZE)
		put64(w, e->size);
	if (bits & RECORD_EVENT_OPERATION)
		put_text(w, e->operation);
	if (bits & RECORD_EVENT_PATH)
		put_text(w, e->path);
	if (bits & RECORD_EVENT_SESSION)
		put_text(w, e->session);
	if (bits & RECORD_EVENT_NEW_PATH)
		put_text(w, e->new_path);
	if (bits & RECORD_EVENT_MORE)
		put_text(w, e->more);
	if (bits & RECORD_EVENT_CUSTOM_TYPE)
		put_text(w, e->custom_type);
}

static void put_events(struct writer *w, const struct record *r)
{
	struct shared s = {.operation = operation_name(r->operation), .path = r->path};

	s.session = record_path_session(r->path, &s.session_len);
	for (uint32_t i = 0; i < r->event_count; i++) {
		put_event(w, &r->events[i], event_bits(&r->events[i], &s));
		s.session = r->events[i].session;
		s.session_len = strlen(s.session);
	}
}

static void put_rollback(struct writer *w, const struct record_rollback *b)
{
	put16(w, (uint16_t)b->wanted);
	put32(w, (uint32_t)b->error);
	put32(w, b->line);
	put32(w, b->column);
	put64(w, b->draft_size);
	put32(w, b->draft_extents);
	put_extents(w, b->draft, b->draft_extents);
	put_text(w, b->rule);
	put_text(w, b->text);
}

static uint8_t record_flags(const struct record *r)
{
	const struct event *first = r->event_count ? r->events : NULL;
	uint8_t flags = r->rollback ? RECORD_HAS_ROLLBACK : 0;

	if (first && (first->flags & EVENT_HAS_OLD_SHA) && !memcmp(&first->old_sha, &r->base_sha, SHA256_BYTES))
		return flags | RECORD_BASE_SHA_OF_EVENT;
	return sha256_is_zero(&r->base_sha) ? flags : flags | RECORD_HAS_BASE_SHA;
}

static void put_header(struct writer *w, const struct record *r, uint8_t flags)
{
	put8(w, RECORD_VERSION);
	put8(w, flags);
	put16(w, (uint16_t)(RECORD_HEADER_BYTES + (r->drafts_over_count ? 8 + 8 * r->drafts_over_count : 0)));
	put32(w, 0); /* meta_bytes, known at the end */
	put64(w, (uint64_t)r->time_ns);
	put64(w, (uint64_t)r->started_ns);
	put64(w, r->draft_id);
	put64(w, r->base_seq);
	put64(w, r->actor.leader_start);
	put32(w, r->actor.pid);
	put32(w, r->actor.uid);
	put32(w, r->actor.gid);
	put32(w, r->actor.leader_pid);
	put16(w, (uint16_t)r->operation);
	put16(w, 0);
	put32(w, r->change_count);
	put32(w, r->event_count);
	put32(w, 0); /* extent_count, known at the end */
	if (r->drafts_over_count)
		put64(w, r->drafts_over_count);
	for (uint32_t i = 0; i < r->drafts_over_count; i++)
		put64(w, r->drafts_over[i]);
	put_text(w, r->actor.agent);
	put_text(w, r->actor.session);
	put_text(w, r->actor.comm);
	put_text(w, r->path);
	if (flags & RECORD_HAS_BASE_SHA)
		put_bytes(w, r->base_sha.bytes, SHA256_BYTES);
}

int record_encode(const struct record *r, const struct record_blocks *blocks, struct buf *out)
{
	struct writer w = {.blocks_len = blocks ? blocks->bytes.len : 0};
	size_t room = meta_bytes_max(r);
	uint8_t *start;

	assert((r->operation == OPERATION_ROLLBACK) == (r->rollback != NULL));
	assert(r->drafts_over_count <= RECORD_DRAFTS_OVER_MAX);
	if (buf_reserve(out, room))
		return -ENOMEM;
	start = w.p = (uint8_t *)out->data + out->len;
	put_header(&w, r, record_flags(r));
	if (r->rollback)
		put_rollback(&w, r->rollback);
	for (uint32_t i = 0; i < r->change_count; i++)
		put_change(&w, &r->changes[i]);
	put_events(&w, r);

	assert((size_t)(w.p - start) <= room && room <= UINT32_MAX);
	put_le32(start + 4, (uint32_t)(w.p - start));
	put_le32(start + 76, w.extents);
	out->len += (size_t)(w.p - start);
	out->data[out->len] = '\0';
	return 0;
}
