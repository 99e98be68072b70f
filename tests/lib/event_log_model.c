/* SPDX-License-Identifier: MIT
 *
 * See event_log_model.h.
 */
#include "event_log_model.h"

#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "stopwatch.h"
#include "util.h"

const char *const event_log_model_sessions[] = {"", "s1", "s2", "rare"};

struct event event_log_model_blank(const char *session)
{
	return (struct event){.type = EVENT_FILE_WRITTEN, .session = session, .operation = "write", .path = "p", .new_path = "", .more = "", .custom_type = ""};
}

void event_log_model_add(struct event_logs *l, struct event_log_model *m)
{
	size_t count = rng_below(&m->g, 30) ? 1 + rng_below(&m->g, 4) : EVENT_LOG_MODEL_EVENTS_MAX;
	struct event events[EVENT_LOG_MODEL_EVENTS_MAX];

	m->time_ns += (int64_t)rng_below(&m->g, 100) ? (int64_t)rng_below(&m->g, 100 * NS_PER_S) : (int64_t)rng_below(&m->g, 5) * EVENT_LOG_DAY_NS;
	m->seq += 1 + rng_below(&m->g, 3);
	for (size_t i = 0; i < count; i++)
		events[i] = event_log_model_blank(event_log_model_sessions[rng_below(&m->g, 50) ? rng_below(&m->g, 3) : 3]);
	assert_int_equal(event_logs_reserve(l, events, count), 0);
	for (size_t i = 0; i < count; i++) {
		struct event_log_model_event *e = &m->events[m->count++];
		uint64_t position = m->seq * 1000;

		events[i].line_bytes = 1 + (uint32_t)rng_below(&m->g, 900);
		*e = (struct event_log_model_event){
			.ref = {.frame_position = position, .ordinal = (uint32_t)i}, .line_bytes = events[i].line_bytes, .tx_seq = m->seq};
		strcpy(e->session, events[i].session);
		time_format_day(m->time_ns, e->day);
		event_logs_add(l, &events[i], position, m->seq, m->time_ns);
	}
}

struct event_logs *event_log_model_fill(struct event_log_model *m, uint64_t seed, size_t transactions)
{
	struct event_logs *l = event_logs_new();

	assert_non_null(l);
	*m = (struct event_log_model){
		.events = calloc(transactions * EVENT_LOG_MODEL_EVENTS_MAX + 1, sizeof(*m->events)), .time_ns = EVENT_LOG_FIRST_NS - 3 * EVENT_LOG_DAY_NS};
	rng_init(&m->g, rng_seed_of_run(seed));
	for (size_t i = 0; i < transactions; i++)
		event_log_model_add(l, m);
	return l;
}

static bool in_log(const struct event_log_model_event *e, const struct event_log_key *key)
{
	return (!key->session || !strcmp(key->session, e->session)) && (!key->day || !strcmp(key->day, e->day));
}

/* What a slice should be, by walking everything. */
static size_t naive_slice(
	const struct event_log_model *m, const struct event_log_key *key, uint64_t offset, uint64_t len, struct event_ref *out, size_t max, uint64_t *ret_skip)
{
	uint64_t start = 0;
	size_t n = 0;

	for (size_t i = 0; i < m->count && len; i++) {
		const struct event_log_model_event *e = &m->events[i];
		uint64_t end = start + e->line_bytes;

		if (!in_log(e, key))
			continue;
		if (end > offset && start < offset + len && n < max) {
			if (!n)
				*ret_skip = offset - start;
			out[n++] = e->ref;
		}
		start = end;
	}
	return n;
}

static void random_slices(struct event_logs *l, struct event_log_model *m, const struct event_log_key *key, int rounds)
{
	uint64_t bytes, events, model_bytes = 0, model_events = 0;

	for (size_t i = 0; i < m->count; i++)
		if (in_log(&m->events[i], key)) {
			model_bytes += m->events[i].line_bytes;
			model_events++;
		}
	event_log_size(l, key, &bytes, &events);
	rng_assert(&m->g, bytes == model_bytes && events == model_events);
	for (int i = 0; i < rounds; i++) {
		struct event_ref got[64], expected[64];
		uint64_t offset = rng_below(&m->g, bytes + 100);
		uint64_t len = rng_below(&m->g, rng_coin(&m->g) ? 20 : 40000);
		size_t max = 1 + rng_below(&m->g, ARRAY_SIZE(got));
		uint64_t skip = 7, expected_skip = 7;
		size_t n = event_log_slice(l, key, offset, len, got, max, &skip);

		rng_assert(&m->g, n == naive_slice(m, key, offset, len, expected, max, &expected_skip));
		rng_assert(&m->g, skip == expected_skip);
		for (size_t k = 0; k < n; k++)
			rng_assert(&m->g, got[k].frame_position == expected[k].frame_position && got[k].ordinal == expected[k].ordinal);
	}
}

int event_log_collect_day(void *arg, const char *day)
{
	struct event_log_days *list = arg;

	strcpy(list->days[list->count++], day);
	return list->count == ARRAY_SIZE(list->days);
}

void event_log_model_compare(struct event_logs *l, struct event_log_model *m, int rounds)
{
	struct event_log_days list = {.count = 0};
	size_t model_days = 0;

	random_slices(l, m, &(struct event_log_key){0}, rounds);
	for (size_t i = 0; i < ARRAY_SIZE(event_log_model_sessions); i++)
		random_slices(l, m, &(struct event_log_key){.session = event_log_model_sessions[i]}, rounds);
	random_slices(l, m, &(struct event_log_key){.session = "nobody"}, 5);
	random_slices(l, m, &(struct event_log_key){.day = "1999-01-01"}, 5);
	assert_int_equal(event_logs_days(l, event_log_collect_day, &list), 0);
	for (size_t i = 0; i < m->count; i++)
		if (!i || strcmp(m->events[i].day, m->events[i - 1].day) != 0)
			assert_string_equal(list.days[model_days++], m->events[i].day);
	assert_int_equal(list.count, model_days);
	for (size_t i = 0; i < list.count; i++)
		random_slices(l, m, &(struct event_log_key){.day = list.days[i]}, rounds / 5);
}

void event_log_model_compare_counts(struct event_logs *l, struct event_log_model *m, const char *session)
{
	uint64_t transactions, events, model_transactions = 0, before = 0;
	struct event_ref last = {0}, model_last = {0};
	bool found = false;

	for (size_t i = 0; i < m->count; i++) {
		if (strcmp(m->events[i].session, session))
			continue;
		model_transactions += !found || m->events[i].tx_seq != before;
		before = m->events[i].tx_seq;
		model_last = m->events[i].ref;
		found = true;
	}
	event_log_session_counts(l, session, &transactions, &events);
	rng_assert(&m->g, transactions == model_transactions);
	rng_assert(&m->g, event_log_last(l, session, 0, &last) == found);
	rng_assert(&m->g, last.frame_position == model_last.frame_position && last.ordinal == model_last.ordinal);
}
