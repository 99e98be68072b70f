/* SPDX-License-Identifier: MIT
 *
 * A naive model of the event logs: every event with what it needs to say where it belongs (cmocka). It shares no code with core/event_log*.c.
 */
#ifndef MILESTONEFS_TEST_EVENT_LOG_MODEL_H
#define MILESTONEFS_TEST_EVENT_LOG_MODEL_H

#include "event_log.h"
#include "rng.h"
#include "util.h"

#define EVENT_LOG_DAY_NS (86400 * NS_PER_S)
#define EVENT_LOG_FIRST_NS 1795305600000000000 /**< 2026-11-22T00:00:00Z */

struct event_log_model_event {
	struct event_ref ref;
	uint32_t line_bytes;
	char session[8];
	char day[TIME_TEXT_BYTES];
	uint64_t tx_seq;
};

struct event_log_model {
	struct event_log_model_event *events; /**< the test's to free */
	size_t count;
	int64_t time_ns;
	uint64_t seq;
	struct rng g;
};

/** Of the sessions that events are made for: none, two with many, one with few. */
extern const char *const event_log_model_sessions[4];

struct event event_log_model_blank(const char *session);
/** Logs and model with so many random transactions. */
struct event_logs *event_log_model_fill(struct event_log_model *m, uint64_t seed, size_t transactions);
/** One transaction of a few events, seldom of many, in both. */
#define EVENT_LOG_MODEL_EVENTS_MAX 30
void event_log_model_add(struct event_logs *l, struct event_log_model *m);
/** Sizes, days and random slices of all logs are the model's. */
void event_log_model_compare(struct event_logs *l, struct event_log_model *m, int rounds);
/** So is how many transactions have events of the session, and which event is its last. */
void event_log_model_compare_counts(struct event_logs *l, struct event_log_model *m, const char *session);

/** All days of the logs. */
struct event_log_days {
	char days[100][TIME_TEXT_BYTES];
	size_t count;
};
int event_log_collect_day(void *days, const char *day);

#endif
