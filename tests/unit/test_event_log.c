/* SPDX-License-Identifier: MIT
 *
 * Event logs: sizes and random slices of all logs against the plain concatenation of their lines, days, chains, dumps (whole, in
 * slices while events are added, cut at each byte), and memory that runs out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"
#include "event_log_model.h"
#include "stopwatch.h"

static void test_slices(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 10, 11, 12, 13, 30, 1000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct event_log_model m;
		struct event_logs *l = event_log_model_fill(&m, 10 + i, sizes[i]);

		event_log_model_compare(l, &m, sizes[i] > 100 ? 500 : 200);
		event_logs_free(l);
		free(m.events);
	}
}

/* The newest transactions are hidden: as if they had not been. What comes after that, too, until the next look. */
static void test_hidden(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 12, 40, 1000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct event_log_model m;
		struct event_logs *l = event_log_model_fill(&m, 50 + i, sizes[i]);

		for (int round = 0; round < 8; round++) {
			size_t all = m.count, seen = rng_below(&m.g, all + 1);
			uint64_t before = seen < all ? m.events[seen].ref.frame_position : UINT64_MAX;

			while (seen && seen < all && m.events[seen - 1].ref.frame_position == before)
				seen--;
			event_logs_show_before(l, before);
			m.count = seen;
			event_log_model_compare(l, &m, 50);
			for (size_t s = 0; s < ARRAY_SIZE(event_log_model_sessions); s++)
				event_log_model_compare_counts(l, &m, event_log_model_sessions[s]);
			m.count = all;
			event_logs_show_before(l, UINT64_MAX);
			event_log_model_compare(l, &m, 10);
		}
		event_logs_free(l);
		free(m.events);
	}
}

/* An hour put back does not reopen a day that has ended, and malformed days are unknown. */
static void test_days(void **state)
{
	static const char *const bad[] = {"", "2026-11-2", "2026-11-22T00:00:00Z", "2026-11-22 ", "2026-13-01", "today"};
	static const struct {
		int64_t time_ns;
		uint32_t bytes;
	} rows[] = {{-1, 1}, {0, 2}, {EVENT_LOG_FIRST_NS - 1, 4}, {EVENT_LOG_FIRST_NS, 8}, {EVENT_LOG_FIRST_NS - 5 * NS_PER_S, 16},
		{EVENT_LOG_FIRST_NS + EVENT_LOG_DAY_NS, 32}};
	static const struct {
		const char *day;
		uint64_t bytes, events;
	} expected[] = {{"1969-12-31", 1, 1}, {"1970-01-01", 2, 1}, {"2026-11-21", 4, 1}, {"2026-11-22", 24, 2}, {"2026-11-23", 32, 1}};
	struct event_logs *l = event_logs_new();
	struct event_log_days list = {.count = 0};
	uint64_t bytes, events;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct event e = event_log_model_blank("");

		e.line_bytes = rows[i].bytes;
		assert_int_equal(event_logs_reserve(l, &e, 1), 0);
		event_logs_add(l, &e, 1, i + 1, rows[i].time_ns);
	}
	assert_int_equal(event_logs_days(l, event_log_collect_day, &list), 0);
	assert_int_equal(list.count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_string_equal(list.days[i], expected[i].day);
		event_log_size(l, &(struct event_log_key){.day = expected[i].day}, &bytes, &events);
		assert_int_equal(bytes, expected[i].bytes);
		assert_int_equal(events, expected[i].events);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		event_log_size(l, &(struct event_log_key){.day = bad[i]}, &bytes, &events);
		assert_int_equal(bytes + events, 0);
	}
	list.count = ARRAY_SIZE(list.days) - 1; /* a callback that wants no more */
	assert_int_equal(event_logs_days(l, event_log_collect_day, &list), 1);
	event_logs_free(l);
}

static void test_chains(void **state)
{
	struct event_logs *l = event_logs_new();
	struct event_chain *one = event_logs_session_chain(l, "one");
	struct event_chain *none = event_logs_session_chain(l, "");

	(void)state;
	assert_non_null(one);
	assert_true(one != none && none != event_logs_global_chain(l));
	one->sequence_number = 5;
	for (int i = 0; i < 1000; i++) { /* they stay where they are, however many come */
		char id[16];

		snprintf(id, sizeof(id), "s%d", i);
		assert_int_equal(event_logs_session_chain(l, id)->sequence_number, 0);
	}
	assert_ptr_equal(event_logs_session_chain(l, "one"), one);
	assert_int_equal(one->sequence_number, 5);
	event_logs_free(l);
	event_logs_free(NULL);
}

static void test_too_many(void **state)
{
	struct event_logs *l = event_logs_new();
	struct event e = event_log_model_blank("s");

	(void)state;
	assert_int_equal(event_logs_reserve(l, &e, (size_t)UINT32_MAX + 1), -ENOMEM);
	event_logs_free(l);
}

/* Figures to look at; only absurd ones fail. */
static void test_speed(void **state)
{
	enum { EVENTS = 300000, SLICES = 100000 };
	struct event_logs *l = event_logs_new(), *loaded = event_logs_new();
	cleanup_buf struct buf dump = BUF_INIT;
	struct event_ref refs[64];
	double started, add_s, slice_s, load_s;
	uint64_t bytes, events, skip;
	struct rng g;

	(void)state;
	rng_init(&g, 1);
	started = stopwatch_s();
	for (int i = 0; i < EVENTS; i++) {
		struct event e = event_log_model_blank(event_log_model_sessions[i % 64 == 0]);

		e.line_bytes = 600;
		assert_int_equal(event_logs_reserve(l, &e, 1), 0);
		event_logs_add(l, &e, (uint64_t)i, (uint64_t)i + 1, EVENT_LOG_FIRST_NS + i);
	}
	add_s = stopwatch_s() - started;
	event_log_size(l, &(struct event_log_key){0}, &bytes, &events);
	started = stopwatch_s();
	for (int i = 0; i < SLICES; i++)
		assert_true(event_log_slice(l, &(struct event_log_key){0}, rng_below(&g, bytes), 4096, refs, 64, &skip) > 0);
	slice_s = stopwatch_s() - started;
	assert_int_equal(event_logs_dump(l, EVENTS, &dump), 0);
	started = stopwatch_s();
	assert_int_equal(event_logs_load(loaded, (uint8_t *)dump.data, dump.len), 0);
	load_s = stopwatch_s() - started;
	print_message("add %.1f M events/s, slice %.2f us, load %.1f M events/s, %.1f bytes an event in the dump\n", EVENTS / add_s / 1e6,
		slice_s / SLICES * 1e6, EVENTS / load_s / 1e6, (double)dump.len / EVENTS);
	assert_true(EVENTS / add_s > 1000);
	event_logs_free(l);
	event_logs_free(loaded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
