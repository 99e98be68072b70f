/* SPDX-License-Identifier: MIT
 *
 * The memory of event logs, shared by event_log.c and event_log_dump.c.
 */
#ifndef MILESTONEFS_EVENT_LOG_PRIVATE_H
#define MILESTONEFS_EVENT_LOG_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

#include "event_log.h"

#define HASH_NONFATAL_OOM 1 /* a failed insertion leaves hh.tbl NULL */
#include <uthash.h>

/** Bytes of log before every EVENT_LOG_STRIDE-th event: items[k] is before event k × EVENT_LOG_STRIDE. */
struct event_log_sums {
	uint64_t *items;
	size_t capacity;
};

struct event_log_day {
	int64_t day;           /**< since 1970-01-01 */
	uint64_t bytes_before; /**< of the global log */
	uint32_t first;        /**< event */
};

/** A session's log. Never freed before all logs are: pointers to its chain are held by callers. */
struct event_log_session {
	char *id; /**< owned */
	struct event_chain chain;
	uint32_t *events; /**< indices into the global log, ascending */
	size_t count, capacity;
	struct event_log_sums sums;
	uint64_t bytes;
	uint64_t transactions; /**< that its events are of */
	UT_hash_handle hh;
};

/** An event's index in the global log is its name everywhere below. Its ordinal is its distance from the first one of its frame. */
struct event_logs {
	uint64_t *frame_positions; /**< of each event, ascending */
	uint32_t *line_bytes;      /**< likewise */
	size_t count, position_capacity, line_capacity;
	struct event_log_sums sums;
	uint64_t bytes;
	struct event_chain chain;
	struct event_log_day *days;
	size_t day_count, day_capacity;
	struct event_log_session *sessions; /**< hash by id */
	struct event_log_session *recent;   /**< asked for last; most events are of the session of the one before */
	uint64_t seq_last;                  /**< newest transaction with an event */
	size_t hidden;                      /**< how many of the newest entries readers do not see */
};

/** Make all logs empty, keeping @l itself. */
void event_logs_clear(struct event_logs *l);
/** The session's log, made when missing; NULL: no memory. */
struct event_log_session *event_logs_session(struct event_logs *l, const char *id);
/** Room for @more events in the global log (and as many days), or in a session's. 0 or -ENOMEM. */
int event_logs_reserve_global(struct event_logs *l, size_t more);
int event_logs_reserve_session(struct event_log_session *s, size_t more);
/** The ordinal of an event. */
uint32_t event_logs_ordinal(const struct event_logs *l, size_t event);
/** Enter what there is room for. A session's events of one transaction have one frame. */
void event_logs_add_global(struct event_logs *l, uint64_t frame_position, uint32_t line_bytes);
void event_logs_add_session(struct event_logs *l, struct event_log_session *s, uint32_t event);
/** Event @first begins @day, unless that day is not after the newest one. Needs room, too. */
void event_logs_add_day(struct event_logs *l, int64_t day, uint32_t first, uint64_t bytes_before);

#endif
