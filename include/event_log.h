/* SPDX-License-Identifier: MIT
 *
 * L5. Event logs: where each event's frame is and how many bytes of log come before it, for the whole store and per session, so that
 * all.jsonl, a day's file and session.jsonl can be read at any offset and have a true size without storing a line.
 *
 * Memory: 12 bytes an event in the global log, 4 more in its session's, plus a sum of bytes every EVENT_LOG_STRIDE events.
 * A day is a range of the global log (transaction times never go back; an event that claims an earlier day stays in the newest one).
 *
 * Locking: the engine's lock, as for the tree. Reading lines happens without it: take a slice under the lock, render it after.
 */
#ifndef MILESTONEFS_EVENT_LOG_H
#define MILESTONEFS_EVENT_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "event.h"

struct event_logs;      /* all logs of a store: global and per session, with their chains */
struct event_logs_mark; /* how far a dump goes */

struct event_logs *event_logs_new(void);
void event_logs_free(struct event_logs *l);

/**
 * Memory for the @count events, and for the logs of sessions of theirs not yet seen: until the lock is given up, event_logs_add() of
 * them cannot fail. Of an event only its session is looked at, so it may be called before sealing. 0 or -ENOMEM (also at 2^32 events).
 */
int event_logs_reserve(struct event_logs *l, const struct event *events, size_t count);
/** The chains an event of @session continues (created on first use). NULL: no memory. */
struct event_chain *event_logs_global_chain(struct event_logs *l);
struct event_chain *event_logs_session_chain(struct event_logs *l, const char *session);
/** Enter a sealed event: its frame's payload position, its time. Frames come in order, and so do all the events of one. Moves no chain. Needs a
 *  reservation. */
void event_logs_add(struct event_logs *l, const struct event *e, uint64_t frame_position, uint64_t tx_seq, int64_t time_ns);

/** From now on readers (all below up to the index snapshot) see only events of frames before @frame_position; UINT64_MAX: all of them. */
void event_logs_show_before(struct event_logs *l, uint64_t frame_position);

/** Which log: session NULL and day NULL: everything; a session's ("" is the global one's own); or a day "2026-11-22". */
struct event_log_key {
	const char *session;
	const char *day;
};
/** Bytes and events of a log now. 0 for both when unknown. */
void event_log_size(struct event_logs *l, const struct event_log_key *key, uint64_t *ret_bytes, uint64_t *ret_events);
/** How many transactions have events of the session, and the number of its last event. 0 for both when unknown. */
void event_log_session_counts(struct event_logs *l, const char *session, uint64_t *ret_transactions, uint64_t *ret_events);
/** Days that have events, oldest first: calls @fn("2026-11-22"). */
int event_logs_days(struct event_logs *l, int (*fn)(void *arg, const char *day), void *arg);

/** One event to read: where its frame is and which of its events. */
struct event_ref {
	uint64_t frame_position;
	uint32_t ordinal;
};
/** The session's event @back before its last one (0: the last). False: it has not so many. */
bool event_log_last(struct event_logs *l, const char *session, size_t back, struct event_ref *ret);
/**
 * The events that cover bytes [offset, offset+len) of a log: fills @out (at most @max) and *@ret_skip, the bytes to drop from
 * the first line. Returns how many (0 at the end). Under the lock. May look at up to EVENT_LOG_STRIDE events more than needed.
 */
size_t event_log_slice(
	struct event_logs *l, const struct event_log_key *key, uint64_t offset, uint64_t len, struct event_ref *out, size_t max, uint64_t *ret_skip);
#define EVENT_LOG_STRIDE 32

/**
 * Index snapshot, in two parts, since a chain's end is only known now but entries never change:
 *
 * event_logs_dump_begin(), while @seq is the newest transaction (-ESTALE: later events are in): the ends of all chains, all counts; proportional to
 * sessions and days. event_logs_dump_more(), any number of times later, also when events have been added meanwhile: at most
 * @max entries each, each under the lock; 1 while there is more, 0 at the end. event_logs_dump() is both at once. Appends to @out; -ENOMEM.
 * The concatenation is what event_logs_load() takes (format: event_log_dump.c).
 */
int event_logs_dump_begin(const struct event_logs *l, uint64_t seq, struct buf *out, struct event_logs_mark **ret);
int event_logs_dump_more(const struct event_logs *l, struct event_logs_mark *m, size_t max, struct buf *out);
void event_logs_mark_free(struct event_logs_mark *m);
int event_logs_dump(const struct event_logs *l, uint64_t seq, struct buf *out);
/** Into empty logs. 0; -EBADMSG malformed or -ENOMEM: the logs are empty again. */
int event_logs_load(struct event_logs *l, const uint8_t *data, size_t len);

#endif
