/* SPDX-License-Identifier: MIT
 *
 * Event logs dumped into an index snapshot and loaded again: whole, in slices, and with whatever a damaged one may hold.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "event_log_model.h"
#include "stopwatch.h"

static void assert_chain(const struct event_chain *a, const struct event_chain *b)
{
	assert_int_equal(a->sequence_number, b->sequence_number);
	assert_memory_equal(&a->checksum, &b->checksum, sizeof(a->checksum));
}

static void test_dump_and_load(void **state)
{
	struct event_log_model m;
	struct event_logs *l = event_log_model_fill(&m, 20, 400), *loaded = event_logs_new();
	cleanup_buf struct buf dump = BUF_INIT, again = BUF_INIT;

	(void)state;
	memset(&event_logs_global_chain(l)->checksum, 9, SHA256_BYTES);
	event_logs_session_chain(l, "s2")->sequence_number = 321;
	(void)event_logs_session_chain(l, "without-events");
	assert_int_equal(event_logs_dump(l, m.seq - 1, &dump), -ESTALE);
	assert_int_equal(dump.len, 0);
	assert_int_equal(event_logs_dump(l, m.seq + 1, &dump), 0);
	assert_int_equal(event_logs_load(loaded, (uint8_t *)dump.data, dump.len), 0);
	event_log_model_compare(loaded, &m, 100);
	assert_chain(event_logs_global_chain(loaded), event_logs_global_chain(l));
	for (size_t i = 0; i < ARRAY_SIZE(event_log_model_sessions); i++)
		assert_chain(event_logs_session_chain(loaded, event_log_model_sessions[i]), event_logs_session_chain(l, event_log_model_sessions[i]));
	assert_int_equal(event_logs_dump(loaded, m.seq + 1, &again), 0);
	assert_int_equal(again.len, dump.len);
	assert_memory_equal(again.data, dump.data, dump.len);

	m.events = realloc(m.events, (m.count + 100 * EVENT_LOG_MODEL_EVENTS_MAX) * sizeof(*m.events)); /* and it goes on from there */
	for (int i = 0; i < 100; i++)
		event_log_model_add(loaded, &m);
	event_log_model_compare(loaded, &m, 50);
	event_logs_free(l);
	event_logs_free(loaded);
	free(m.events);
}

/* A dump in slices shows the logs as they were when it began, whatever was added in between. */
static void test_dump_in_slices(void **state)
{
	struct event_log_model m;
	struct event_logs *l = event_log_model_fill(&m, 30, 100), *loaded = event_logs_new();
	cleanup_buf struct buf whole = BUF_INIT, slices = BUF_INIT;
	struct event_logs_mark *mark;
	int more;

	(void)state;
	m.events = realloc(m.events, 100000 * sizeof(*m.events));
	assert_int_equal(event_logs_dump(l, m.seq, &whole), 0);
	assert_int_equal(event_logs_dump_begin(l, m.seq, &slices, &mark), 0);
	do {
		for (int i = 0; i < 20; i++)
			event_log_model_add(l, &m);
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
	struct event_log_model m;
	struct event_logs *l = event_log_model_fill(&m, 40, 20), *loaded = event_logs_new();
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

/* Days, frames, ordinals and a session's events must ascend, and a session be there once. */
static void test_load_disorder(void **state)
{
	struct event_logs *l = event_logs_new(), *loaded = event_logs_new();
	cleanup_buf struct buf dump = BUF_INIT;
	static const int64_t times[] = {0, EVENT_LOG_DAY_NS, 2 * EVENT_LOG_DAY_NS};
	static const struct {
		size_t offset;
		uint32_t value;
	} rows[] = {
		{64 + 12 + 8, 2},
		{64 + 8, 1},
		{64 + 12, 0},
		{64 + 36 + 47 + 2, 'a'},
		{64 + 36 + 2 * 47 + 16, 0},
		{64 + 36 + 2 * 47 + 16 + 12, 0},
		{64 + 36 + 2 * 47 + 16 + 12, 2},
		{64 + 36 + 2 * 47 + 48, 1},
		{64 + 36 + 2 * 47 + 48 + 4, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		struct event e = event_log_model_blank(i < 2 ? "a" : "b");

		assert_int_equal(event_logs_reserve(l, &e, 1), 0);
		event_logs_add(l, &e, 1, i + 1, times[i]);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dump_and_load),
		cmocka_unit_test(test_dump_in_slices),
		cmocka_unit_test(test_load_malformed),
		cmocka_unit_test(test_load_disorder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
