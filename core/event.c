/* SPDX-License-Identifier: MIT
 *
 * Events as JSON lines: rendering and the two hash chains (recipe: event.h).
 *
 * A line is written once for sealing and again whenever somebody reads a log, so it is appended by hand into a buffer
 * whose room is made in one step beforehand: what follows cannot fail and allocates nothing. The text is what
 * `jq -c` prints for the same value.
 *
 * Left to others: what `more` says (whoever logs the event checks it), where events are (event_log.c), how they
 * are stored (record_encode.c).
 *
 * Invariants: a line is a pure function of (event, context, ordinal); event_render() gives the bytes event_seal() hashed.
 * Failure: no memory for the line. Sealing then moves nothing; rendering leaves the error in the buffer.
 */
#include "event.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "util.h"

#define HEX_DIGITS (2 * SHA256_BYTES)
/* All of a line but its strings: member names and punctuation 420, four digests 256, numbers and time 200; rounded up. */
#define FIXED_BYTES_MAX 1024
/* A byte of a string becomes at most six (\u00xx), and two more in path_hex. */
#define STRING_BYTES_FACTOR 8

#define MEMBER_GLOBAL ",\"global_checksum\":\""
#define MEMBER_CHECKSUM ",\"checksum\":\""

const char *event_type_name(enum event_type type)
{
	switch (type) {
#define EVENT(id, name, text) \
	case EVENT_##name:    \
		return text;
#include "event_list.h"
#undef EVENT
	}
	return NULL;
}

/* ---- appending where room was made ---- */

static inline void put(struct buf *b, const char *text, size_t len)
{
	memcpy(b->data + b->len, text, len);
	b->len += len;
}
#define PUT(b, literal) put(b, literal, sizeof(literal) - 1)

static inline void put_number(struct buf *b, uint64_t value)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put(b, digits + i, sizeof(digits) - i);
}

static void put_hex(struct buf *b, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *p = b->data + b->len;

	for (size_t i = 0; i < len; i++) {
		*p++ = digits[bytes[i] >> 4];
		*p++ = digits[bytes[i] & 15];
	}
	b->len += 2 * len;
}

/* ASCII that JSON shows as it is: then the copy made while looking is the text. */
static inline bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* A JSON string. False when it had to be looked at more closely than "all plain ASCII". */
static bool put_string(struct buf *b, const char *text)
{
	char *start = b->data + b->len;
	char *p = start;
	const char *s = text;

	*p++ = '"';
	while (is_plain((unsigned char)*s))
		*p++ = *s++;
	if (*s) {
		buf_put_json_string(b, text, strlen(text)); /* within the room made for it, so it cannot fail */
		return false;
	}
	*p++ = '"';
	b->len += (size_t)(p - start);
	return true;
}

static void put_string_or_null(struct buf *b, const char *text)
{
	if (*text)
		put_string(b, text);
	else
		PUT(b, "null");
}

/* A path, and its bytes in a second member when the first can't show them. */
static void put_path(struct buf *b, const char *hex_member, size_t hex_member_len, const char *path)
{
	size_t len;

	if (!*path) {
		PUT(b, "null");
		return;
	}
	if (put_string(b, path))
		return;
	len = strlen(path);
	if (utf8_valid(path, len, NULL))
		return;
	put(b, hex_member, hex_member_len);
	put_hex(b, (const uint8_t *)path, len);
	PUT(b, "\"");
}

static void put_digest_or_null(struct buf *b, bool present, const struct sha256 *sha)
{
	if (!present) {
		PUT(b, "null");
		return;
	}
	PUT(b, "\"");
	put_hex(b, sha->bytes, SHA256_BYTES);
	PUT(b, "\"");
}

/* time_format(), but the calendar is worked out once a second and thread: most of its cost. */
static void put_time(struct buf *b, int64_t time_ns)
{
	enum { SECOND_CHARS = 20 }; /* "2026-11-22T10:00:00." */
	static _Thread_local struct {
		bool valid;
		int64_t second;
		char text[SECOND_CHARS];
	} cache;
	int64_t second = time_ns / NS_PER_S;
	int64_t ns = time_ns % NS_PER_S;
	char micro[7];

	if (ns < 0) {
		ns += NS_PER_S;
		second--;
	}
	if (!cache.valid || cache.second != second) {
		char text[TIME_TEXT_BYTES];

		time_format(time_ns, text);
		memcpy(cache.text, text, SECOND_CHARS);
		cache.second = second;
		cache.valid = true;
	}
	put(b, cache.text, SECOND_CHARS);
	ns /= 1000;
	for (int i = 5; i >= 0; i--, ns /= 10)
		micro[i] = (char)('0' + ns % 10);
	micro[6] = 'Z';
	put(b, micro, sizeof(micro));
}

/* ---- the line ---- */

size_t event_line_bytes_max(const struct event *e, const struct event_context *ctx)
{
	size_t text = strlen(e->session) + strlen(e->operation) + strlen(e->path) + strlen(e->new_path) + strlen(e->custom_type) + strlen(ctx->actor->agent) +
		      strlen(ctx->actor->comm);

	return FIXED_BYTES_MAX + STRING_BYTES_FACTOR * text + strlen(e->more);
}

/* Room for a whole line (and a digest before it). After it the put functions cannot run out of it. */
static int reserve_line(struct buf *b, const struct event *e, const struct event_context *ctx)
{
	return buf_reserve(b, event_line_bytes_max(e, ctx));
}

static void put_event_id(struct buf *b, uint64_t tx_seq, uint32_t ordinal)
{
	PUT(b, "evt-");
	put_number(b, tx_seq);
	PUT(b, "-");
	put_number(b, ordinal);
}

static void put_envelope(struct buf *b, const struct event *e, const char *type, const struct event_context *ctx, uint32_t ordinal)
{
	PUT(b, "{\"event_id\":\"");
	put_event_id(b, ctx->tx_seq, ordinal);
	PUT(b, "\",\"timestamp\":\"");
	put_time(b, ctx->time_ns);
	PUT(b, "\",\"session_id\":");
	put_string(b, *e->session ? e->session : "global");
	PUT(b, ",\"event_type\":");
	put_string(b, type);
	PUT(b, ",\"agent_id\":");
	put_string(b, *ctx->actor->agent ? ctx->actor->agent : "system");
}

static void put_actor(struct buf *b, const struct actor *a)
{
	PUT(b, "{\"agent\":");
	put_string_or_null(b, a->agent);
	PUT(b, ",\"pid\":");
	put_number(b, a->pid);
	PUT(b, ",\"uid\":");
	put_number(b, a->uid);
	PUT(b, ",\"comm\":");
	put_string(b, a->comm);
	PUT(b, "}");
}

/* The line up to where ,"global_checksum" goes: all that does not depend on either chain. */
static void put_head(struct buf *b, const struct event *e, const char *type, const struct event_context *ctx, uint32_t ordinal)
{
	static const char path_hex[] = ",\"path_hex\":\"";
	static const char new_path_hex[] = ",\"new_path_hex\":\"";

	put_envelope(b, e, type, ctx, ordinal);
	PUT(b, ",\"data\":{\"operation\":");
	put_string(b, e->operation);
	PUT(b, ",\"path\":");
	put_path(b, path_hex, sizeof(path_hex) - 1, e->path);
	if (*e->new_path) {
		PUT(b, ",\"new_path\":");
		put_path(b, new_path_hex, sizeof(new_path_hex) - 1, e->new_path);
	}
	PUT(b, ",\"actor\":");
	put_actor(b, ctx->actor);
	PUT(b, ",\"old_sha256\":");
	put_digest_or_null(b, e->flags & EVENT_HAS_OLD_SHA, &e->old_sha);
	PUT(b, ",\"new_sha256\":");
	put_digest_or_null(b, e->flags & EVENT_HAS_NEW_SHA, &e->new_sha);
	PUT(b, ",\"size\":");
	if (e->flags & EVENT_HAS_SIZE)
		put_number(b, e->size);
	else
		PUT(b, "null");
	if (*e->more) {
		PUT(b, ",");
		put(b, e->more, strlen(e->more));
	}
	PUT(b, ",\"tx_seq\":");
	put_number(b, ctx->tx_seq);
}

static void put_global(struct buf *b, const struct sha256 *global_checksum)
{
	PUT(b, MEMBER_GLOBAL);
	put_hex(b, global_checksum->bytes, SHA256_BYTES);
	PUT(b, "\"");
}

static void put_sequence(struct buf *b, uint64_t sequence_number)
{
	PUT(b, "},\"sequence_number\":");
	put_number(b, sequence_number);
}

/* From where put_head() stops to the newline. */
static void put_tail(struct buf *b, const struct event *e)
{
	put_global(b, &e->global_checksum);
	put_sequence(b, e->sequence_number);
	PUT(b, MEMBER_CHECKSUM);
	put_hex(b, e->checksum.bytes, SHA256_BYTES);
	PUT(b, "\"}\n");
	b->data[b->len] = '\0';
}

static const char *type_text(const struct event *e)
{
	if (e->type == EVENT_CUSTOM && *e->custom_type)
		return e->custom_type;
	return event_type_name(e->type);
}

int event_seal(struct event *e, const struct event_context *ctx, uint32_t ordinal, struct event_chain *session, struct event_chain *global, struct buf *scratch)
{
	uint64_t sequence_number = session->sequence_number + 1;
	const char *type = type_text(e);
	size_t head_end;

	assert(type && ctx->tx_seq);
	buf_clear(scratch);
	if (reserve_line(scratch, e, ctx))
		return -ENOMEM;
	/* Digest input: the previous digest in hex, then the line so far as this chain sees it. */
	put_hex(scratch, global->checksum.bytes, SHA256_BYTES);
	put_head(scratch, e, type, ctx, ordinal);
	head_end = scratch->len;
	put_sequence(scratch, sequence_number);
	PUT(scratch, "}");
	sha256_of(scratch->data, scratch->len, &e->global_checksum);

	scratch->len = 0;
	put_hex(scratch, session->checksum.bytes, SHA256_BYTES);
	scratch->len = head_end;
	put_global(scratch, &e->global_checksum);
	put_sequence(scratch, sequence_number);
	PUT(scratch, "}");
	sha256_of(scratch->data, scratch->len, &e->checksum);

	assert(scratch->len < UINT32_MAX - FIXED_BYTES_MAX);
	e->sequence_number = sequence_number;
	e->line_bytes = (uint32_t)(scratch->len - HEX_DIGITS + sizeof(MEMBER_CHECKSUM) - 1 + HEX_DIGITS + 1 /* " */ + 1 /* \n */);
	event_follow(e, session, global);
	return 0;
}

void event_follow(const struct event *e, struct event_chain *session, struct event_chain *global)
{
	session->sequence_number = e->sequence_number;
	session->checksum = e->checksum;
	global->sequence_number++;
	global->checksum = e->global_checksum;
}

/*
 * A newer writer's event type has a name we don't know, but its length follows from line_bytes: "event_99" cut or
 * filled up to it keeps every offset of the log where it was.
 */
static void name_unknown(const struct event *e, size_t nameless_bytes, char out[64])
{
	size_t len = e->line_bytes > nameless_bytes ? e->line_bytes - nameless_bytes : 0;
	struct buf name = {.data = out, .cap = 64};

	memset(out, '_', 64);
	PUT(&name, "event_");
	put_number(&name, (uint64_t)e->type);
	out[MIN(len, (size_t)63)] = '\0';
}

void event_render(const struct event *e, const struct event_context *ctx, uint32_t ordinal, struct buf *out)
{
	const char *type = type_text(e);
	size_t start = out->len;
	char unknown[64];

	if (reserve_line(out, e, ctx))
		return;
	if (!type) {
		put_head(out, e, "", ctx, ordinal);
		put_tail(out, e);
		name_unknown(e, out->len - start, unknown);
		out->len = start;
		type = unknown;
	}
	put_head(out, e, type, ctx, ordinal);
	put_tail(out, e);
}

void event_id_format(uint64_t tx_seq, uint32_t ordinal, char out[48])
{
	struct buf b = {.data = out, .cap = 48};

	put_event_id(&b, tx_seq, ordinal);
	out[b.len] = '\0';
}
