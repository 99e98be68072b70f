/* SPDX-License-Identifier: MIT
 *
 * Where each event is and how many bytes of log come before it.
 *
 * The global log is two arrays, of places and of lengths; a session's log is an array of indices into it; a day is a range of it. What turns a byte
 * offset into an event is an array of sums, one every EVENT_LOG_STRIDE events: a binary search and a short walk.
 *
 * Left to others: lines (event.c renders them from the frames), locking (the engine's), the bytes of a dump (event_log_dump.c).
 *
 * Invariants: entries are never changed; places ascend, and those of one frame are all its events in order; indices of a session ascend; days ascend; bytes is the sum of all line_bytes.
 * Failure: only reserving and making a session can fail, for lack of memory, and change nothing one could see.
 */
#include "event_log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "event_log_private.h"
#include "util.h"

#define NS_PER_DAY (86400 * NS_PER_S)
#define ORDINAL_NEAR 8

struct event_logs *event_logs_new(void)
{
	return calloc(1, sizeof(struct event_logs));
}

void event_logs_clear(struct event_logs *l)
{
	struct event_log_session *s, *next;

	HASH_ITER (hh, l->sessions, s, next) {
		HASH_DELETE(hh, l->sessions, s);
		free(s->id);
		free(s->events);
		free(s->sums.items);
		free(s);
	}
	free(l->frame_positions);
	free(l->line_bytes);
	free(l->sums.items);
	free(l->days);
	*l = (struct event_logs){0};
}

void event_logs_free(struct event_logs *l)
{
	if (!l)
		return;
	event_logs_clear(l);
	free(l);
}

/* ---- sessions ---- */

static struct event_log_session *session_find(struct event_logs *l, const char *id)
{
	struct event_log_session *s = l->recent;

	if (s && !strcmp(s->id, id))
		return s;
	HASH_FIND(hh, l->sessions, id, strlen(id) + 1, s); /* with the NUL: "" is an id, too */
	if (s)
		l->recent = s;
	return s;
}

struct event_log_session *event_logs_session(struct event_logs *l, const char *id)
{
	struct event_log_session *s = session_find(l, id);

	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->id = strdup(id);
	if (s->id)
		HASH_ADD_KEYPTR(hh, l->sessions, s->id, strlen(s->id) + 1, s);
	if (!s->id || !s->hh.tbl) {
		free(s->id);
		free(s);
		return NULL;
	}
	l->recent = s;
	return s;
}

struct event_chain *event_logs_global_chain(struct event_logs *l)
{
	return &l->chain;
}

struct event_chain *event_logs_session_chain(struct event_logs *l, const char *session)
{
	struct event_log_session *s = event_logs_session(l, session);

	return s ? &s->chain : NULL;
}

/* ---- adding ---- */

static int sums_reserve(struct event_log_sums *sums, size_t events)
{
	return array_reserve(&sums->items, &sums->capacity, events / EVENT_LOG_STRIDE + 1, sizeof(*sums->items));
}

/* Event @index is next and @bytes come before it. */
static void sums_add(struct event_log_sums *sums, size_t index, uint64_t bytes)
{
	if (index % EVENT_LOG_STRIDE)
		return;
	assert(index / EVENT_LOG_STRIDE < sums->capacity);
	sums->items[index / EVENT_LOG_STRIDE] = bytes;
}

int event_logs_reserve_global(struct event_logs *l, size_t more)
{
	size_t want = l->count + more;

	if (more > UINT32_MAX || want > UINT32_MAX)
		return -ENOMEM;
	if (array_reserve(&l->frame_positions, &l->position_capacity, want, sizeof(*l->frame_positions)) ||
		array_reserve(&l->line_bytes, &l->line_capacity, want, sizeof(*l->line_bytes)) || sums_reserve(&l->sums, want))
		return -ENOMEM;
	return array_reserve(&l->days, &l->day_capacity, l->day_count + more, sizeof(*l->days));
}

int event_logs_reserve_session(struct event_log_session *s, size_t more)
{
	size_t want = s->count + more;

	if (array_reserve(&s->events, &s->capacity, want, sizeof(*s->events)))
		return -ENOMEM;
	return sums_reserve(&s->sums, want);
}

int event_logs_reserve(struct event_logs *l, const struct event *events, size_t count)
{
	const char *before = NULL;

	if (event_logs_reserve_global(l, count))
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct event_log_session *s;

		if (before && !strcmp(before, events[i].session))
			continue; /* all the rest of them had room made already */
		before = events[i].session;
		s = event_logs_session(l, before);
		if (!s || event_logs_reserve_session(s, count))
			return -ENOMEM;
	}
	return 0;
}

void event_logs_add_global(struct event_logs *l, uint64_t frame_position, uint32_t line_bytes)
{
	assert(l->count < l->position_capacity && l->count < l->line_capacity);
	sums_add(&l->sums, l->count, l->bytes);
	l->frame_positions[l->count] = frame_position;
	l->line_bytes[l->count++] = line_bytes;
	l->bytes += line_bytes;
}

void event_logs_add_session(struct event_logs *l, struct event_log_session *s, uint32_t event)
{
	assert(s->count < s->capacity);
	sums_add(&s->sums, s->count, s->bytes);
	if (!s->count || l->frame_positions[s->events[s->count - 1]] != l->frame_positions[event])
		s->transactions++;
	s->events[s->count++] = event;
	s->bytes += l->line_bytes[event];
}

void event_logs_add_day(struct event_logs *l, int64_t day, uint32_t first, uint64_t bytes_before)
{
	if (l->day_count && day <= l->days[l->day_count - 1].day)
		return;
	assert(l->day_count < l->day_capacity);
	l->days[l->day_count++] = (struct event_log_day){.day = day, .first = first, .bytes_before = bytes_before};
}

static int64_t day_of(int64_t time_ns)
{
	return time_ns / NS_PER_DAY - (time_ns % NS_PER_DAY < 0);
}

void event_logs_add(struct event_logs *l, const struct event *e, uint64_t frame_position, uint64_t tx_seq, int64_t time_ns)
{
	struct event_log_session *s = session_find(l, e->session);
	uint32_t index = (uint32_t)l->count;

	assert(s);
	event_logs_add_day(l, day_of(time_ns), index, l->bytes);
	event_logs_add_global(l, frame_position, e->line_bytes);
	event_logs_add_session(l, s, index);
	l->seq_last = MAX(l->seq_last, tx_seq);
}

/* ---- reading ---- */

/* How many of the first @count events are of frames before @frame_position. */
static size_t count_before(const struct event_logs *l, size_t count, uint64_t frame_position)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->frame_positions[middle] < frame_position)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t event_logs_ordinal(const struct event_logs *l, size_t event)
{
	for (uint32_t n = 0; n < ORDINAL_NEAR; n++) /* few frames have more events */
		if (n == event || l->frame_positions[event - n - 1] != l->frame_positions[event])
			return n;
	return (uint32_t)(event - count_before(l, event, l->frame_positions[event]));
}

void event_logs_show_before(struct event_logs *l, uint64_t frame_position)
{
	l->hidden = frame_position == UINT64_MAX ? 0 : l->count - count_before(l, l->count, frame_position);
}

/* A log as a range of an array of events. */
struct range {
	const struct event_logs *logs;
	const uint32_t *events; /* NULL: the global log itself */
	const uint64_t *sums;
	size_t first, end;     /* indices into events, or of events */
	uint64_t bytes_before; /* the first; offsets of the log count from there */
	uint64_t bytes;
};

static bool day_range(const struct event_logs *l, const char *text, struct range *ret)
{
	size_t low = 0, high = l->day_count;
	const struct event_log_day *d;
	int64_t time_ns;
	bool newest;

	if (strlen(text) != strlen("2026-11-22") || time_parse(text, &time_ns))
		return false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->days[middle].day < day_of(time_ns))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == l->day_count || l->days[low].day != day_of(time_ns))
		return false;
	d = &l->days[low];
	newest = low + 1 == l->day_count;
	*ret = (struct range){
		.logs = l,
		.sums = l->sums.items,
		.first = d->first,
		.end = newest ? l->count : d[1].first,
		.bytes_before = d->bytes_before,
		.bytes = (newest ? l->bytes : d[1].bytes_before) - d->bytes_before,
	};
	return true;
}

static size_t range_event(const struct range *r, size_t i)
{
	return r->events ? r->events[i] : i;
}

static uint32_t range_line_bytes(const struct range *r, size_t i)
{
	return r->logs->line_bytes[range_event(r, i)];
}

static uint64_t range_frame(const struct range *r, size_t i)
{
	return r->logs->frame_positions[range_event(r, i)];
}

static struct event_ref range_ref(const struct range *r, size_t i)
{
	return (struct event_ref){.frame_position = range_frame(r, i), .ordinal = event_logs_ordinal(r->logs, range_event(r, i))};
}

/* Leave out what readers do not see: its newest events. */
static void range_clip(const struct event_logs *l, struct range *r)
{
	size_t seen = l->count - l->hidden;

	while (r->end > r->first && range_event(r, r->end - 1) >= seen)
		r->bytes -= range_line_bytes(r, --r->end);
}

static struct range session_range(const struct event_logs *l, const struct event_log_session *s)
{
	struct range r = {.logs = l, .events = s->events, .sums = s->sums.items, .end = s->count, .bytes = s->bytes};

	range_clip(l, &r);
	return r;
}

/* False when there is no such log, or nothing in it. */
static bool log_range(struct event_logs *l, const struct event_log_key *key, struct range *ret)
{
	const struct event_log_session *s;

	assert(!key->session || !key->day);
	if (key->day) {
		if (!day_range(l, key->day, ret))
			return false;
		range_clip(l, ret);
	} else if (!key->session) {
		*ret = (struct range){.logs = l, .sums = l->sums.items, .end = l->count, .bytes = l->bytes};
		range_clip(l, ret);
	} else {
		s = session_find(l, key->session);
		if (!s)
			return false;
		*ret = session_range(l, s);
	}
	return ret->end > ret->first;
}

/* The event whose line holds byte @offset < r->bytes of the log; *@ret_skip: how many of its bytes come before. */
static size_t range_find(const struct range *r, uint64_t offset, uint64_t *ret_skip)
{
	uint64_t target = r->bytes_before + offset;
	size_t low = r->first / EVENT_LOG_STRIDE;
	size_t high = (r->end - 1) / EVENT_LOG_STRIDE;
	uint64_t start;
	size_t i;

	while (low < high) { /* the last stride that begins at or before the target */
		size_t middle = low + (high - low + 1) / 2;

		if (r->sums[middle] <= target)
			low = middle;
		else
			high = middle - 1;
	}
	i = low * EVENT_LOG_STRIDE;
	for (start = r->sums[low]; start + range_line_bytes(r, i) <= target; i++)
		start += range_line_bytes(r, i);
	*ret_skip = target - start;
	return i;
}

void event_log_size(struct event_logs *l, const struct event_log_key *key, uint64_t *ret_bytes, uint64_t *ret_events)
{
	struct range r = {0};

	if (!log_range(l, key, &r))
		r = (struct range){0};
	*ret_bytes = r.bytes;
	*ret_events = r.end - r.first;
}

void event_log_session_counts(struct event_logs *l, const char *session, uint64_t *ret_transactions, uint64_t *ret_events)
{
	const struct event_log_session *s = session_find(l, session);
	struct range r;

	*ret_transactions = *ret_events = 0;
	if (!s)
		return;
	r = session_range(l, s);
	*ret_transactions = s->transactions;
	*ret_events = s->chain.sequence_number - (s->count - r.end);
	for (size_t i = s->count; i > r.end; i--)
		*ret_transactions -= i == 1 || range_frame(&r, i - 1) != range_frame(&r, i - 2);
}

bool event_log_last(struct event_logs *l, const char *session, size_t back, struct event_ref *ret)
{
	const struct event_log_session *s = session_find(l, session);
	struct range r;

	if (!s)
		return false;
	r = session_range(l, s);
	if (back >= r.end)
		return false;
	*ret = range_ref(&r, r.end - 1 - back);
	return true;
}

int event_logs_days(struct event_logs *l, int (*fn)(void *arg, const char *day), void *arg)
{
	for (size_t i = 0; i < l->day_count && l->days[i].first < l->count - l->hidden; i++) {
		char text[TIME_TEXT_BYTES];
		int stop;

		/* Its last moment is a time that 64 bits hold even where its first is not. */
		time_format_day(l->days[i].day < 0 ? (l->days[i].day + 1) * NS_PER_DAY - 1 : l->days[i].day * NS_PER_DAY, text);
		stop = fn(arg, text);
		if (stop)
			return stop;
	}
	return 0;
}

size_t event_log_slice(
	struct event_logs *l, const struct event_log_key *key, uint64_t offset, uint64_t len, struct event_ref *out, size_t max, uint64_t *ret_skip)
{
	struct range r;
	uint64_t have;
	size_t n = 0;

	if (!len || !max || !log_range(l, key, &r) || offset >= r.bytes)
		return 0;
	for (size_t i = range_find(&r, offset, ret_skip); i < r.end && n < max; i++) {
		out[n++] = range_ref(&r, i);
		have = range_line_bytes(&r, i) - (n == 1 ? *ret_skip : 0);
		if (have >= len)
			break;
		len -= have;
	}
	return n;
}
