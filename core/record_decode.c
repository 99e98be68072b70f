/* SPDX-License-Identifier: MIT
 *
 * Bytes to transactions. The format and what makes it valid are specified in record.h; the numbers in comments are its rules.
 *
 * The counts in the header bound the memory before anything is allocated: each counted thing takes at least so many
 * bytes of the meta area. One piece of memory then holds, in this order,
 *
 *   struct record | struct record_rollback | changes | events | extents | ids of drafts | text
 *
 * where text takes at most the meta area's size (each text stored is preceded by two bytes or more, which pay for its NUL) and one session's
 * name. Reading is through a cursor with a sticky error, so that a part is read straight down and checked once.
 *
 * Left to others: the frame's checksum (journal), the sense of changes (tree). Nothing from the payload is asserted.
 * Failure: -EBADMSG or -EPROTONOSUPPORT as record.h says, -ENOMEM; nothing is returned then.
 */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record_path.h"
#include "record_reader.h"
#include "util.h"

#define KNOWN_FLAGS (RECORD_HAS_BASE_SHA | RECORD_BASE_SHA_OF_EVENT | RECORD_HAS_ROLLBACK)
#define KNOWN_EVENT_BITS                                                                                                                                      \
	(EVENT_HAS_OLD_SHA | EVENT_HAS_NEW_SHA | EVENT_HAS_SIZE | RECORD_EVENT_OPERATION | RECORD_EVENT_PATH | RECORD_EVENT_SESSION | RECORD_EVENT_NEW_PATH | \
		RECORD_EVENT_MORE | RECORD_EVENT_CUSTOM_TYPE)
#define KNOWN_ATTR_BITS (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME | ATTR_KEEP_CTIME)
#define KNOWN_CONTENT_BITS (CONTENT_REPLACE | CONTENT_KEEP_MTIME)

/* ---- changes ---- */

/* (5) */
static void get_name(struct reader *r, struct change *c)
{
	c->name = get_value(r, &c->name_len);
	if (c->name_len < 1 || c->name_len > RECORD_NAME_BYTES_MAX || memchr(c->name, 0, c->name_len) ||
		(c->type != CHANGE_XATTR && memchr(c->name, '/', c->name_len)))
		fail(r, -EBADMSG);
}

static void get_attributes(struct reader *r, struct change *c)
{
	if (!need(r, c->type == CHANGE_CREATE ? 40 : 32))
		return;
	c->mode = take32(r);
	c->uid = take32(r);
	c->gid = take32(r);
	c->attr_mask = take32(r);
	if (c->type == CHANGE_CREATE)
		c->rdev = take64(r);
	c->atime_ns = (int64_t)take64(r);
	c->mtime_ns = (int64_t)take64(r);
	if (c->attr_mask & ~(uint32_t)KNOWN_ATTR_BITS)
		fail(r, -EPROTONOSUPPORT);
}

static void get_parent(struct reader *r, struct change *c)
{
	if (need(r, 8))
		c->parent = take64(r);
}

static void get_content(struct reader *r, struct change *c)
{
	if (!need(r, 16))
		return;
	c->content_flags = take32(r);
	c->extent_count = take32(r);
	c->size = take64(r);
	if (c->content_flags & ~(uint32_t)KNOWN_CONTENT_BITS)
		fail(r, -EPROTONOSUPPORT);
	c->extents = get_extents(r, c->extent_count);
}

static void get_change(struct reader *r, struct change *c)
{
	uint8_t bits;

	memset(c, 0, sizeof(*c));
	if (!need(r, RECORD_CHANGE_BYTES_MIN))
		return;
	c->type = *r->p++;
	bits = *r->p++;
	c->ino = take64(r);
	switch (c->type) {
	case CHANGE_CREATE:
		get_parent(r, c);
		get_attributes(r, c);
		get_name(r, c);
		break;
	case CHANGE_LINK:
	case CHANGE_UNLINK:
		get_parent(r, c);
		get_name(r, c);
		break;
	case CHANGE_ATTR:
		get_attributes(r, c);
		break;
	case CHANGE_XATTR:
		get_name(r, c);
		break;
	case CHANGE_CONTENT:
		get_content(r, c);
		break;
	default:
		fail(r, -EPROTONOSUPPORT);
	}
	if (bits & ~RECORD_CHANGE_HAS_VALUE)
		fail(r, -EPROTONOSUPPORT);
	if (!bits)
		return;
	if (c->type != CHANGE_CREATE && c->type != CHANGE_XATTR)
		fail(r, -EPROTONOSUPPORT);
	c->value = get_value(r, &c->value_len);
}

/* ---- events ---- */

/* What an event has that doesn't store it. */
struct shared {
	const char *operation, *path, *session;
};

static void get_event(struct reader *r, struct event *e, const struct shared *s)
{
	uint16_t bits;

	memset(e, 0, sizeof(*e));
	if (!need(r, RECORD_EVENT_BYTES_MIN))
		return;
	e->type = take16(r);
	bits = take16(r);
	e->flags = bits & (EVENT_HAS_OLD_SHA | EVENT_HAS_NEW_SHA | EVENT_HAS_SIZE);
	e->line_bytes = take32(r);
	e->sequence_number = take64(r);
	take_sha(r, &e->checksum);
	take_sha(r, &e->global_checksum);
	if (bits & EVENT_HAS_OLD_SHA && need(r, SHA256_BYTES))
		take_sha(r, &e->old_sha);
	if (bits & EVENT_HAS_NEW_SHA && need(r, SHA256_BYTES))
		take_sha(r, &e->new_sha);
	if (bits & EVENT_HAS_SIZE && need(r, 8))
		e->size = take64(r);
	e->operation = bits & RECORD_EVENT_OPERATION ? get_text(r, SIZE_MAX) : s->operation;
	e->path = bits & RECORD_EVENT_PATH ? get_text(r, SIZE_MAX) : s->path;
	e->session = bits & RECORD_EVENT_SESSION ? get_text(r, RECORD_SESSION_BYTES_MAX) : s->session;
	e->new_path = bits & RECORD_EVENT_NEW_PATH ? get_text(r, SIZE_MAX) : "";
	e->more = bits & RECORD_EVENT_MORE ? get_text(r, SIZE_MAX) : "";
	e->custom_type = bits & RECORD_EVENT_CUSTOM_TYPE ? get_text(r, SIZE_MAX) : "";
	if (bits & ~KNOWN_EVENT_BITS)
		fail(r, -EPROTONOSUPPORT);
	if (e->type == 0)
		fail(r, -EBADMSG);
}

/* The session of the record's path; the only text that is stored but as part of another. */
static const char *path_session(struct reader *r, const char *path)
{
	size_t len;
	const char *session = record_path_session(path, &len);
	char *text = r->text;

	if (!len)
		return "";
	memcpy(text, session, len);
	text[len] = '\0';
	r->text += len + 1;
	return text;
}

static void get_events(struct reader *r, struct record *rec)
{
	struct shared s = {.operation = operation_name(rec->operation), .path = rec->path};

	if (rec->event_count)
		s.session = path_session(r, rec->path);
	for (uint32_t i = 0; i < rec->event_count && !r->error; i++) {
		get_event(r, &rec->events[i], &s);
		s.session = rec->events[i].session;
	}
}

/* ---- the record ---- */

static void get_rollback(struct reader *r, struct record_rollback *b)
{
	if (!need(r, 26))
		return;
	b->wanted = take16(r);
	b->error = (int32_t)take32(r);
	b->line = take32(r);
	b->column = take32(r);
	b->draft_size = take64(r);
	b->draft_extents = take32(r);
	b->draft = get_extents(r, b->draft_extents);
	b->rule = get_text(r, SIZE_MAX);
	b->text = get_text(r, SIZE_MAX);
}

/* The header's fields that say what kind and size everything has. */
struct header {
	uint8_t flags;
	uint16_t bytes;
	uint32_t meta_bytes, change_count, event_count, extent_count, over_count;
};

static bool operation_known(unsigned operation)
{
	switch (operation) {
#define X(id, name, text) case OPERATION_##name:
		OPERATION_LIST(X)
#undef X
		return true;
	}
	return false;
}

/* (1), (2), (3) as far as the header tells, and that the counts fit into the bytes. */
static int header_check(const uint8_t *p, size_t len, struct header *ret)
{
	struct header h;
	unsigned operation;
	uint64_t least;

	if (len < 2)
		return -EBADMSG;
	if (p[0] != RECORD_VERSION)
		return -EPROTONOSUPPORT;
	if (len < RECORD_HEADER_BYTES)
		return -EBADMSG;
	h = (struct header){
		.flags = p[1],
		.bytes = get_le16(p + 2),
		.meta_bytes = get_le32(p + 4),
		.change_count = get_le32(p + 68),
		.event_count = get_le32(p + 72),
		.extent_count = get_le32(p + 76),
	};
	operation = get_le16(p + 64);
	if (h.flags & ~KNOWN_FLAGS || get_le16(p + 66) || !operation_known(operation))
		return -EPROTONOSUPPORT;
	if (h.bytes < RECORD_HEADER_BYTES || h.meta_bytes < h.bytes || h.meta_bytes > len)
		return -EBADMSG;
	least = (uint64_t)h.change_count * RECORD_CHANGE_BYTES_MIN + (uint64_t)h.event_count * RECORD_EVENT_BYTES_MIN +
		(uint64_t)h.extent_count * RECORD_EXTENT_BYTES;
	if (least > h.meta_bytes - h.bytes)
		return -EBADMSG;
	if (h.bytes >= RECORD_HEADER_BYTES + 8) {
		uint64_t over = get_le64(p + RECORD_HEADER_BYTES);

		if (over > (h.bytes - RECORD_HEADER_BYTES - 8u) / 8)
			return -EBADMSG;
		h.over_count = (uint32_t)over;
	}
	if ((h.flags & RECORD_HAS_BASE_SHA && h.flags & RECORD_BASE_SHA_OF_EVENT) || (operation == OPERATION_ROLLBACK) != !!(h.flags & RECORD_HAS_ROLLBACK))
		return -EBADMSG;
	*ret = h;
	return 0;
}

static size_t memory_bytes(const struct header *h)
{
	return sizeof(struct record) + (h->flags & RECORD_HAS_ROLLBACK ? sizeof(struct record_rollback) : 0) + (size_t)h->change_count * sizeof(struct change) +
	       (size_t)h->event_count * sizeof(struct event) + (size_t)h->extent_count * sizeof(struct extent) + (size_t)h->over_count * 8 + h->meta_bytes +
	       RECORD_SESSION_BYTES_MAX + 1;
}

/* Deal out @memory among the parts (its order: top of this file). @r is at the header. */
static struct record *lay_out(void *memory, const struct header *h, struct reader *r)
{
	struct record *rec = memory;
	char *next = (char *)(rec + 1);
	uint64_t *over;

	memset(rec, 0, sizeof(*rec));
	if (h->flags & RECORD_HAS_ROLLBACK) {
		rec->rollback = (struct record_rollback *)(void *)next;
		memset(rec->rollback, 0, sizeof(*rec->rollback));
		next = (char *)(rec->rollback + 1);
	}
	rec->change_count = h->change_count;
	rec->changes = (struct change *)(void *)next;
	rec->event_count = h->event_count;
	rec->events = (struct event *)(void *)(rec->changes + h->change_count);
	r->extents = (struct extent *)(void *)(rec->events + h->event_count);
	r->extents_left = h->extent_count;
	over = (uint64_t *)(void *)(r->extents + h->extent_count);
	for (uint32_t i = 0; i < h->over_count; i++)
		over[i] = get_le64(r->p + RECORD_HEADER_BYTES + 8 + 8 * (size_t)i);
	rec->drafts_over = over;
	rec->drafts_over_count = h->over_count;
	r->text = (char *)(over + h->over_count);
	return rec;
}
_Static_assert(sizeof(struct record) % 8 == 0 && sizeof(struct record_rollback) % 8 == 0 && sizeof(struct change) % 8 == 0 && sizeof(struct event) % 8 == 0 &&
		       sizeof(struct extent) % 8 == 0 && _Alignof(struct record) <= 8,
	"the parts lie one behind the other");

static void get_header(struct reader *r, const struct header *h, struct record *rec)
{
	r->p += 8;
	rec->time_ns = (int64_t)take64(r);
	rec->started_ns = (int64_t)take64(r);
	rec->draft_id = take64(r);
	rec->base_seq = take64(r);
	rec->actor.leader_start = take64(r);
	rec->actor.pid = take32(r);
	rec->actor.uid = take32(r);
	rec->actor.gid = take32(r);
	rec->actor.leader_pid = take32(r);
	rec->operation = take16(r);
	r->p += h->bytes - 66;
	get_actor_text(r, rec->actor.agent, sizeof(rec->actor.agent));
	get_actor_text(r, rec->actor.session, sizeof(rec->actor.session));
	get_actor_text(r, rec->actor.comm, sizeof(rec->actor.comm));
	rec->path = get_text(r, SIZE_MAX);
	if (h->flags & RECORD_HAS_BASE_SHA && need(r, SHA256_BYTES))
		take_sha(r, &rec->base_sha);
}

static int decode(struct reader *r, const struct header *h, struct record *rec)
{
	get_header(r, h, rec);
	if (rec->rollback)
		get_rollback(r, rec->rollback);
	for (uint32_t i = 0; i < rec->change_count && !r->error; i++)
		get_change(r, &rec->changes[i]);
	if (!r->error)
		get_events(r, rec);
	if (r->error)
		return r->error;
	if (r->p != r->end || r->extents_left)
		return -EBADMSG; /* (2), (4) */
	if (h->flags & RECORD_BASE_SHA_OF_EVENT) {
		if (!rec->event_count || !(rec->events[0].flags & EVENT_HAS_OLD_SHA))
			return -EBADMSG; /* (3) */
		rec->base_sha = rec->events[0].old_sha;
	}
	return 0;
}

/* @h has passed header_check(); @memory has memory_bytes() of it. */
static int decode_into_memory(void *memory, const struct header *h, const uint8_t *payload, size_t len, uint64_t position, uint64_t seq, struct record **ret)
{
	struct reader r = {
		.p = payload,
		.end = payload + h->meta_bytes,
		.blocks_position = position + h->meta_bytes,
		.blocks_len = len - h->meta_bytes,
	};
	struct record *rec = lay_out(memory, h, &r);
	int error;

	rec->seq = seq;
	error = decode(&r, h, rec);
	if (error)
		return error;
	*ret = rec;
	return 0;
}

int record_decode(const uint8_t *payload, size_t len, uint64_t position, uint64_t seq, struct record **ret)
{
	struct header h;
	void *memory;
	int error = header_check(payload, len, &h);

	if (error)
		return error;
	memory = malloc(memory_bytes(&h));
	if (!memory)
		return -ENOMEM;
	error = decode_into_memory(memory, &h, payload, len, position, seq, ret);
	if (error)
		free(memory);
	return error;
}

void record_free(struct record *r)
{
	free(r); /* the beginning of the one piece of memory */
}

int record_decode_into(struct record_arena *a, const uint8_t *payload, size_t len, uint64_t position, uint64_t seq, struct record **ret)
{
	struct header h;
	int error = header_check(payload, len, &h);

	if (error)
		return error;
	if (memory_bytes(&h) > a->bytes) {
		size_t bytes = MAX(memory_bytes(&h), 2 * a->bytes);
		void *memory = malloc(bytes);

		if (!memory)
			return -ENOMEM;
		free(a->memory);
		a->memory = memory;
		a->bytes = bytes;
	}
	return decode_into_memory(a->memory, &h, payload, len, position, seq, ret);
}

void record_arena_release(struct record_arena *a)
{
	free(a->memory);
	*a = (struct record_arena){0};
}
