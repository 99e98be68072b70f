/* SPDX-License-Identifier: MIT
 *
 * Event logs: sizes and random slices of all logs against the plain concatenation of their lines, days, chains, dumps (whole, in
 * slices while events are added, cut at each byte), and memory that runs out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "event_log.h"
#include "rng.h"
#include "stopwatch.h"
#include "util.h"

#define DAY_NS (86400 * NS_PER_S)
#define FIRST_NS 1795305600000000000 /* 2026-11-22T00:00:00Z */

/* The naive model: every event with what it needs to say where it belongs. */
struct model_event {
	struct event_ref ref;
	uint32_t line_bytes;
	char session[8];
	char day[TIME_TEXT_BYTES];
	uint64_t tx_seq;
};

struct model {
	struct model_event *events;
	size_t count;
	int64_t time_ns;
	uint64_t seq;
	struct rng g;
};

static const char *const session_names[] = {"", "s1", "s2", "rare"};

static struct event blank(const char *session)
{
	return (struct event){.type = EVENT_FILE_WRITTEN, .session = session, .operation = "write", .path = "p", .new_path = "", .more = "", .custom_type = ""};
}

/* One transaction of a few events, in both. */
static void add_transaction(struct event_logs *l, struct model *m)
{
	size_t count = 1 + rng_below(&m->g, 4);
	struct event events[4];

	m->time_ns += (int64_t)rng_below(&m->g, 100) ? (int64_t)rng_below(&m->g, 100 * NS_PER_S) : (int64_t)rng_below(&m->g, 5) * DAY_NS;
	m->seq += 1 + rng_below(&m->g, 3);
	for (size_t i = 0; i < count; i++)
		events[i] = blank(session_names[rng_below(&m->g, 50) ? rng_below(&m->g, 3) : 3]);
	assert_int_equal(event_logs_reserve(l, events, count), 0);
	for (size_t i = 0; i < count; i++) {
		struct model_event *e = &m->events[m->count++];
		uint64_t position = m->seq * 1000;

		events[i].line_bytes = 1 + (uint32_t)rng_below(&m->g, 900);
		*e = (struct model_event){.ref = {.frame_position = position, .ordinal = (uint32_t)i}, .line_bytes = events[i].line_bytes, .tx_seq = m->seq};
		strcpy(e->session, events[i].session);
		time_format_day(m->time_ns, e->day);
		event_logs_add(l, &events[i], position, m->seq, (uint32_t)i, m->time_ns);
	}
}

static struct event_logs *fill(struct model *m, uint64_t seed, size_t transactions)
{
	struct event_logs *l = event_logs_new();

	assert_non_null(l);
	*m = (struct model){.events = calloc(transactions * 4 + 1, sizeof(*m->events)), .time_ns = FIRST_NS - 3 * DAY_NS};
	rng_init(&m->g, rng_seed_of_run(seed));
	for (size_t i = 0; i < transactions; i++)
		add_transaction(l, m);
	return l;
}

static bool in_log(const struct model_event *e, const struct event_log_key *key)
{
	return (!key->session || !strcmp(key->session, e->session)) && (!key->day || !strcmp(key->day, e->day));
}

/* What a slice should be, by walking everything. */
static size_t naive_slice(
	const struct model *m, const struct event_log_key *key, uint64_t offset, uint64_t len, struct event_ref *out, size_t max, uint64_t *ret_skip)
{
	uint64_t start = 0;
	size_t n = 0;

	for (size_t i = 0; i < m->count && len; i++) {
		const struct model_event *e = &m->events[i];
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

static void random_slices(struct event_logs *l, struct model *m, const struct event_log_key *key, int rounds)
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

struct day_list {
	char days[100][TIME_TEXT_BYTES];
	size_t count;
};

static int collect_day(void *arg, const char *day)
{
	struct day_list *list = arg;

	strcpy(list->days[list->count++], day);
	return list->count == ARRAY_SIZE(list->days);
}

static void same_as_model(struct event_logs *l, struct model *m, int rounds)
{
	struct day_list list = {.count = 0};
	size_t model_days = 0;

	random_slices(l, m, &(struct event_log_key){0}, rounds);
	for (size_t i = 0; i < ARRAY_SIZE(session_names); i++)
		random_slices(l, m, &(struct event_log_key){.session = session_names[i]}, rounds);
	random_slices(l, m, &(struct event_log_key){.session = "nobody"}, 5);
	random_slices(l, m, &(struct event_log_key){.day = "1999-01-01"}, 5);
	assert_int_equal(event_logs_days(l, collect_day, &list), 0);
	for (size_t i = 0; i < m->count; i++)
		if (!i || strcmp(m->events[i].day, m->events[i - 1].day) != 0)
			assert_string_equal(list.days[model_days++], m->events[i].day);
	assert_int_equal(list.count, model_days);
	for (size_t i = 0; i < list.count; i++)
		random_slices(l, m, &(struct event_log_key){.day = list.days[i]}, rounds / 5);
}

/* How many transactions have events of the session, and which event is its last. */
static void same_counts(struct event_logs *l, struct model *m, const char *session)
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

static void test_slices(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 10, 11, 12, 13, 30, 1000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct model m;
		struct event_logs *l = fill(&m, 10 + i, sizes[i]);

		same_as_model(l, &m, sizes[i] > 100 ? 500 : 200);
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
		struct model m;
		struct event_logs *l = fill(&m, 50 + i, sizes[i]);

		for (int round = 0; round < 8; round++) {
			size_t all = m.count, seen = rng_below(&m.g, all + 1);
			uint64_t before = seen < all ? m.events[seen].ref.frame_position : UINT64_MAX;

			while (seen && seen < all && m.events[seen - 1].ref.frame_position == before)
				seen--;
			event_logs_show_before(l, before);
			m.count = seen;
			same_as_model(l, &m, 50);
			for (size_t s = 0; s < ARRAY_SIZE(session_names); s++)
				same_counts(l, &m, session_names[s]);
			m.count = all;
			event_logs_show_before(l, UINT64_MAX);
			same_as_model(l, &m, 10);
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
	} rows[] = {{-1, 1}, {0, 2}, {FIRST_NS - 1, 4}, {FIRST_NS, 8}, {FIRST_NS - 5 * NS_PER_S, 16}, {FIRST_NS + DAY_NS, 32}};
	static const struct {
		const char *day;
		uint64_t bytes, events;
	} expected[] = {{"1969-12-31", 1, 1}, {"1970-01-01", 2, 1}, {"2026-11-21", 4, 1}, {"2026-11-22", 24, 2}, {"2026-11-23", 32, 1}};
	struct event_logs *l = event_logs_new();
	struct day_list list = {.count = 0};
	uint64_t bytes, events;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct event e = blank("");

		e.line_bytes = rows[i].bytes;
		assert_int_equal(event_logs_reserve(l, &e, 1), 0);
		event_logs_add(l, &e, 1, i + 1, 0, rows[i].time_ns);
	}
	assert_int_equal(event_logs_days(l, collect_day, &list), 0);
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
	assert_int_equal(event_logs_days(l, collect_day, &list), 1);
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

static void assert_chain(const struct event_chain *a, const struct event_chain *b)
{
	assert_int_equal(a->sequence_number, b->sequence_number);
	assert_memory_equal(&a->checksum, &b->checksum, sizeof(a->checksum));
}

static void test_dump_and_load(void **state)
{
	struct model m;
	struct event_logs *l = fill(&m, 20, 400), *loaded = event_logs_new();
	cleanup_buf struct buf dump = BUF_INIT, again = BUF_INIT;

	(void)state;
	memset(&event_logs_global_chain(l)->checksum, 9, SHA256_BYTES);
	event_logs_session_chain(l, "s2")->sequence_number = 321;
	(void)event_logs_session_chain(l, "without-events");
	assert_int_equal(event_logs_dump(l, m.seq - 1, &dump), -ESTALE);
	assert_int_equal(dump.len, 0);
	assert_int_equal(event_logs_dump(l, m.seq + 1, &dump), 0);
	assert_int_equal(event_logs_load(loaded, (uint8_t *)dump.data, dump.len), 0);
	same_as_model(loaded, &m, 100);
	assert_chain(event_logs_global_chain(loaded), event_logs_global_chain(l));
	for (size_t i = 0; i < ARRAY_SIZE(session_names); i++)
		assert_chain(event_logs_session_chain(loaded, session_names[i]), event_logs_session_chain(l, session_names[i]));
	assert_int_equal(event_logs_dump(loaded, m.seq + 1, &again), 0);
	assert_int_equal(again.len, dump.len);
	assert_memory_equal(again.data, dump.data, dump.len);

	m.events = realloc(m.events, (m.count + 400) * sizeof(*m.events)); /* and it goes on from there */
	for (int i = 0; i < 100; i++)
		add_transaction(loaded, &m);
	same_as_model(loaded, &m, 50);
	event_logs_free(l);
	event_logs_free(loaded);
	free(m.events);
}

/* A dump in slices shows the logs as they were when it began, whatever was added in between. */
static void test_dump_in_slices(void **state)
{
	struct model m;
	struct event_logs *l = fill(&m, 30, 100), *loaded = event_logs_new();
	cleanup_buf struct buf whole = BUF_INIT, slices = BUF_INIT;
	struct event_logs_mark *mark;
	int more;

	(void)state;
	m.events = realloc(m.events, 100000 * sizeof(*m.events));
	assert_int_equal(event_logs_dump(l, m.seq, &whole), 0);
	assert_int_equal(event_logs_dump_begin(l, m.seq, &slices, &mark), 0);
	do {
		for (int i = 0; i < 20; i++)
			add_transaction(l, &m);
		event_logs_global_chain(l)->sequence_number++;
		more = event_logs_dump_more(l, mark, 1 + rng_below(&m.g, 9), &slices);
	} while (more > 0);
	assert_int_equal(more, 0);
	event_logs_mark_free(mark);
	assert_int_equal(slices.len, whole.len);
	assert_memory_equal(slices.data, whole.data, whole.len);
	assert_int_equal(event_logs_load(loaded, (uint8_t *)slices.data, slices.len), 0);
	event_logs_free(l);
	event_logs_free(loaded);
	free(m.events);
}

static void test_load_malformed(void **state)
{
	struct model m;
	struct event_logs *l = fill(&m, 40, 20), *loaded = event_logs_new();
	cleanup_buf struct buf dump = BUF_INIT;
	size_t accepted = 0;

	(void)state;
	assert_int_equal(event_logs_dump(l, m.seq, &dump), 0);
	for (size_t len = 0; len < dump.len; len++) {
		uint8_t *cut = malloc(len + !len);
		uint64_t bytes, events;

		memcpy(cut, dump.data, len);
		assert_int_equal(event_logs_load(loaded, cut, len), -EBADMSG);
		event_log_size(loaded, &(struct event_log_key){0}, &bytes, &events);
		assert_int_equal(bytes + events, 0);
		free(cut);
	}
	buf_put_u8(&dump, 0);
	assert_int_equal(event_logs_load(loaded, (uint8_t *)dump.data, dump.len), -EBADMSG);
	dump.len--;
	for (size_t i = 0; i < dump.len * 8; i++) { /* any bit turned over: an answer, and nothing out of bounds */
		int error;

		dump.data[i / 8] ^= (char)(1 << i % 8);
		error = event_logs_load(loaded, (uint8_t *)dump.data, dump.len);
		assert_true(!error || error == -EBADMSG);
		accepted += !error;
		dump.data[i / 8] ^= (char)(1 << i % 8);
		event_logs_free(loaded);
		loaded = event_logs_new();
	}
	assert_true(accepted < dump.len * 8);
	assert_int_equal(event_logs_load(loaded, (uint8_t *)dump.data, dump.len), 0);
	event_logs_free(l);
	event_logs_free(loaded);
	free(m.events);
}

/* Days and a session's events must ascend, and a session be there once. */
static void test_load_disorder(void **state)
{
	struct event_logs *l = event_logs_new(), *loaded = event_logs_new();
	cleanup_buf struct buf dump = BUF_INIT;
	static const int64_t times[] = {0, DAY_NS, 2 * DAY_NS};
	static const struct {
		size_t offset;
		uint32_t value;
	} rows[] = {
		{64 + 12 + 8, 2},
		{64 + 8, 1},
		{64 + 12, 0},
		{64 + 36 + 47 + 2, 'a'},
		{64 + 36 + 2 * 47 + 48, 1},
		{64 + 36 + 2 * 47 + 48 + 4, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		struct event e = blank(i < 2 ? "a" : "b");

		assert_int_equal(event_logs_reserve(l, &e, 1), 0);
		event_logs_add(l, &e, 1, i + 1, 0, times[i]);
	}
	assert_int_equal(event_logs_dump(l, 3, &dump), 0);
	assert_int_equal(dump.len, 64 + 36 + 2 * 47 + 48 + 12);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t *copy = malloc(dump.len);

		memcpy(copy, dump.data, dump.len);
		if (rows[i].value == 'a')
			copy[rows[i].offset] = 'a';
		else
			put_le32(copy + rows[i].offset, rows[i].value);
		assert_memory_not_equal(copy, dump.data, dump.len);
		if (event_logs_load(loaded, copy, dump.len) != -EBADMSG)
			fail_msg("row %zu accepted", i);
		free(copy);
	}
	assert_int_equal(event_logs_load(loaded, (uint8_t *)dump.data, dump.len), 0);
	event_logs_free(l);
	event_logs_free(loaded);
}

static void test_too_many(void **state)
{
	struct event_logs *l = event_logs_new();
	struct event e = blank("s");

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
		struct event e = blank(session_names[i % 64 == 0]);

		e.line_bytes = 600;
		assert_int_equal(event_logs_reserve(l, &e, 1), 0);
		event_logs_add(l, &e, (uint64_t)i, (uint64_t)i + 1, 0, FIRST_NS + i);
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
		cmocka_unit_test(test_dump_and_load),
		cmocka_unit_test(test_dump_in_slices),
		cmocka_unit_test(test_load_malformed),
		cmocka_unit_test(test_load_disorder),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
