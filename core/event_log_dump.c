/* SPDX-License-Identifier: MIT
 *
 * Event logs in an index snapshot: to bytes in slices, and back. Derived data: whoever can't read it replays the journal instead, so there is one
 * version and no compatibility. Integers are little-endian.
 *
 *   le32 version (1)
 *   le64 seq                                  newest transaction
 *   le64 sequence_number, 32 bytes checksum   of the global chain
 *   le32 event_count, le32 day_count, le32 session_count
 *   day × day_count            le64 day (since 1970-01-01, signed), le32 first event
 *   session × session_count    le16 length, id, le64 sequence_number, 32 bytes checksum, le32 event count
 *   event × event_count        le64 frame_position, le32 line_bytes, le32 ordinal
 *   le32 event index           for each session in that order, as many as it has
 *
 * Sums of bytes are added up again while loading. Frame positions ascend; the ordinal is how many events before it have the same. Left to others: the snapshot's file and its checksum (index).
 * Failure: malformed bytes (-EBADMSG) or no memory (-ENOMEM) leave empty logs.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "event_log_private.h"
#include "util.h"

#define DUMP_VERSION 1
#define DUMP_HEADER_BYTES (4 + 8 + 8 + SHA256_BYTES + 3 * 4)
#define DUMP_DAY_BYTES 12
#define DUMP_SESSION_BYTES_MIN (2 + 8 + SHA256_BYTES + 4)
#define DUMP_EVENT_BYTES 16
#define DUMP_SLICE_MAX (1u << 20)

struct mark_session {
	const struct event_log_session *log;
	uint32_t count; /* of its events, when the mark was made */
};

struct event_logs_mark {
	uint32_t event_count;
	uint32_t session_count;
	uint32_t events_done;   /* entries written */
	uint32_t sessions_done; /* sessions all of whose indices are written */
	uint32_t indices_done;  /* of the next session */
	struct mark_session sessions[];
};

static struct event_logs_mark *mark_new(const struct event_logs *l)
{
	size_t count = HASH_COUNT(l->sessions);
	struct event_logs_mark *m = calloc(1, sizeof(*m) + count * sizeof(m->sessions[0]));

	if (!m)
		return NULL;
	m->event_count = (uint32_t)l->count;
	for (const struct event_log_session *s = l->sessions; s; s = s->hh.next)
		m->sessions[m->session_count++] = (struct mark_session){.log = s, .count = (uint32_t)s->count};
	return m;
}

void event_logs_mark_free(struct event_logs_mark *m)
{
	free(m);
}

static void put_chain(struct buf *out, const struct event_chain *c)
{
	buf_put_le64(out, c->sequence_number);
	buf_append(out, c->checksum.bytes, SHA256_BYTES);
}

int event_logs_dump_begin(const struct event_logs *l, uint64_t seq, struct buf *out, struct event_logs_mark **ret)
{
	struct event_logs_mark *m;

	if (l->seq_last > seq)
		return -ESTALE;
	m = mark_new(l);
	if (!m)
		return -ENOMEM;
	buf_put_le32(out, DUMP_VERSION);
	buf_put_le64(out, seq);
	put_chain(out, &l->chain);
	buf_put_le32(out, m->event_count);
	buf_put_le32(out, (uint32_t)l->day_count);
	buf_put_le32(out, m->session_count);
	for (size_t i = 0; i < l->day_count; i++) {
		buf_put_le64(out, (uint64_t)l->days[i].day);
		buf_put_le32(out, l->days[i].first);
	}
	for (uint32_t i = 0; i < m->session_count; i++) {
		const struct event_log_session *s = m->sessions[i].log;

		assert(strlen(s->id) <= UINT16_MAX);
		buf_put_le16(out, (uint16_t)strlen(s->id));
		buf_append_str(out, s->id);
		put_chain(out, &s->chain);
		buf_put_le32(out, m->sessions[i].count);
	}
	if (out->error) {
		event_logs_mark_free(m);
		return -ENOMEM;
	}
	*ret = m;
	return 0;
}

int event_logs_dump_more(const struct event_logs *l, struct event_logs_mark *m, size_t max, struct buf *out)
{
	for (; max && m->events_done < m->event_count; max--) {
		uint32_t i = m->events_done++;

		buf_put_le64(out, l->frame_positions[i]);
		buf_put_le32(out, l->line_bytes[i]);
		buf_put_le32(out, event_logs_ordinal(l, i));
	}
	while (max && m->sessions_done < m->session_count) {
		const struct mark_session *s = &m->sessions[m->sessions_done];

		for (; max && m->indices_done < s->count; max--)
			buf_put_le32(out, s->log->events[m->indices_done++]);
		if (m->indices_done == s->count) {
			m->sessions_done++;
			m->indices_done = 0;
		}
	}
	if (out->error)
		return -ENOMEM;
	return m->events_done < m->event_count || m->sessions_done < m->session_count;
}

int event_logs_dump(const struct event_logs *l, uint64_t seq, struct buf *out)
{
	struct event_logs_mark *m;
	int more = event_logs_dump_begin(l, seq, out, &m);

	if (more)
		return more;
	do
		more = event_logs_dump_more(l, m, DUMP_SLICE_MAX, out);
	while (more > 0);
	event_logs_mark_free(m);
	return more;
}

/* ---- loading ---- */

struct loader {
	const uint8_t *p, *end;
	uint32_t event_count, day_count, session_count;
};

static bool need(const struct loader *r, uint64_t bytes)
{
	return (uint64_t)(r->end - r->p) >= bytes;
}

static uint32_t take32(struct loader *r)
{
	r->p += 4;
	return get_le32(r->p - 4);
}

static uint64_t take64(struct loader *r)
{
	r->p += 8;
	return get_le64(r->p - 8);
}

static void take_chain(struct loader *r, struct event_chain *c)
{
	c->sequence_number = take64(r);
	memcpy(c->checksum.bytes, r->p, SHA256_BYTES);
	r->p += SHA256_BYTES;
}

static int load_header(struct loader *r, struct event_logs *l)
{
	if (!need(r, DUMP_HEADER_BYTES) || take32(r) != DUMP_VERSION)
		return -EBADMSG;
	l->seq_last = take64(r);
	take_chain(r, &l->chain);
	r->event_count = take32(r);
	r->day_count = take32(r);
	r->session_count = take32(r);
	if (!need(r, (uint64_t)r->day_count * DUMP_DAY_BYTES + (uint64_t)r->session_count * DUMP_SESSION_BYTES_MIN +
			     (uint64_t)r->event_count * (DUMP_EVENT_BYTES + 4)) ||
		r->day_count > r->event_count)
		return -EBADMSG;
	return event_logs_reserve_global(l, r->event_count);
}

/* Days before the events they point to: bytes_before is filled in when those are known. */
static int load_days(struct loader *r, struct event_logs *l)
{
	for (uint32_t i = 0; i < r->day_count; i++) {
		int64_t day = (int64_t)take64(r);
		uint32_t first = take32(r);
		const struct event_log_day *before = i ? &l->days[i - 1] : NULL;

		if (day < INT64_MIN / (86400 * NS_PER_S) - 1 || day > INT64_MAX / (86400 * NS_PER_S) || first >= r->event_count)
			return -EBADMSG;
		if (before ? day <= before->day || first <= before->first : first != 0)
			return -EBADMSG;
		event_logs_add_day(l, day, first, 0);
	}
	return r->event_count && !r->day_count ? -EBADMSG : 0;
}

/* *@ret_session is a new one with the chain and room for its events. */
static int load_session(struct loader *r, struct event_logs *l, uint32_t *ret_count, struct event_log_session **ret)
{
	unsigned before = HASH_COUNT(l->sessions);
	struct event_log_session *s;
	cleanup_free char *id = NULL;
	size_t len;

	if (!need(r, DUMP_SESSION_BYTES_MIN))
		return -EBADMSG;
	len = get_le16(r->p);
	if (!need(r, DUMP_SESSION_BYTES_MIN + len) || memchr(r->p + 2, 0, len))
		return -EBADMSG;
	id = strndup((const char *)r->p + 2, len);
	s = id ? event_logs_session(l, id) : NULL;
	if (!s)
		return -ENOMEM;
	if (HASH_COUNT(l->sessions) == before)
		return -EBADMSG; /* it was there already */
	r->p += 2 + len;
	take_chain(r, &s->chain);
	*ret_count = take32(r);
	if (*ret_count > r->event_count)
		return -EBADMSG;
	*ret = s;
	return event_logs_reserve_session(s, *ret_count);
}

static int load_sessions(struct loader *r, struct event_logs *l, struct mark_session *sessions)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < r->session_count; i++) {
		struct event_log_session *s;
		int error = load_session(r, l, &sessions[i].count, &s);

		if (error)
			return error;
		sessions[i].log = s;
		sum += sessions[i].count;
		if (sum > r->event_count)
			return -EBADMSG;
	}
	return sum == r->event_count ? 0 : -EBADMSG;
}

static int load_events(struct loader *r, struct event_logs *l)
{
	uint32_t ordinal = 0;
	size_t day = 0;

	for (uint32_t i = 0; i < r->event_count; i++) {
		uint64_t frame_position = take64(r), before = i ? l->frame_positions[i - 1] : 0;
		uint32_t line_bytes = take32(r);

		ordinal = i && frame_position == before ? ordinal + 1 : 0;
		if (frame_position < before || take32(r) != ordinal)
			return -EBADMSG;
		if (day < l->day_count && l->days[day].first == i)
			l->days[day++].bytes_before = l->bytes;
		event_logs_add_global(l, frame_position, line_bytes);
	}
	return 0;
}

static int load_indices(struct loader *r, struct event_logs *l, const struct mark_session *sessions)
{
	for (uint32_t i = 0; i < r->session_count; i++) {
		struct event_log_session *s = (struct event_log_session *)(uintptr_t)sessions[i].log;

		for (uint32_t k = 0; k < sessions[i].count; k++) {
			uint32_t event = take32(r);

			if (event >= r->event_count || (k && event <= s->events[k - 1]))
				return -EBADMSG;
			event_logs_add_session(l, s, event);
		}
	}
	return 0;
}

static int load(struct loader *r, struct event_logs *l)
{
	cleanup_free struct mark_session *sessions = NULL;
	int error = load_header(r, l);

	if (error)
		return error;
	sessions = calloc((size_t)r->session_count + 1, sizeof(*sessions));
	if (!sessions)
		return -ENOMEM;
	error = load_days(r, l);
	if (!error)
		error = load_sessions(r, l, sessions);
	if (error)
		return error;
	if ((uint64_t)(r->end - r->p) != (uint64_t)r->event_count * (DUMP_EVENT_BYTES + 4))
		return -EBADMSG;
	error = load_events(r, l);
	return error ? error : load_indices(r, l, sessions);
}

int event_logs_load(struct event_logs *l, const uint8_t *data, size_t len)
{
	struct loader r = {.p = data, .end = data + len};
	int error;

	assert(!l->count && !l->sessions);
	error = load(&r, l);
	if (error)
		event_logs_clear(l);
	return error;
}
