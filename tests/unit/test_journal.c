/* SPDX-License-Identifier: MIT
 *
 * The journal without power failures: positions, reads, scans, waiting, threads,
 * space; and recovery over damaged segments. (Power failures: tests/crash.)
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "cmocka_all.h"
#include "env_mem.h"
#include "journal_fixture.h"
#include "journal_format.h"
#include "position.h"
#include "rng.h"

static void test_positions_and_reads(void **state)
{
	struct env *env = env_mem_new(1);
	uint8_t payload[JOURNAL_FIXTURE_PAYLOAD_MAX], back[JOURNAL_FIXTURE_PAYLOAD_MAX];
	uint64_t positions[200];
	struct journal_fixture f;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
	for (uint64_t seq = 1; seq < 200; seq++) {
		size_t len = journal_fixture_payload(seq, JOURNAL_FIXTURE_SALT, payload);
		struct iovec iov = {payload, len};

		assert_int_equal(journal_reserve(f.journal, JOURNAL_FIXTURE_PAYLOAD_MAX), 0); /* more than needed is fine */
		positions[seq] = journal_next_position(f.journal, len);
		if (seq % 7 == 0) /* a flush in between must not move the frame */
			assert_int_equal(journal_sync(f.journal), 0);
		assert_int_equal(journal_append(f.journal, JOURNAL_FIXTURE_PAYLOAD_MAX, &iov, 1), seq);
		if (seq % 5 == 0)
			assert_int_equal(journal_wait(f.journal, seq, JOURNAL_ACKNOWLEDGED), 0);
		/* This one from memory, an older one from wherever it is now. */
		for (uint64_t s = seq; s; s = s > 40 ? s - 40 : 0) {
			len = journal_fixture_payload(s, JOURNAL_FIXTURE_SALT, payload);
			assert_int_equal(journal_read(f.journal, positions[s], back, len), 0);
			assert_memory_equal(back, payload, len);
		}
	}
	assert_int_equal(journal_read(f.journal, positions[199] + (20 << 10), back, 1), -EIO);
	assert_int_equal(journal_read(f.journal, position_make(POSITION_JOURNAL, 999, 8192), back, 1), -EIO);
	assert_int_equal(journal_fixture_close(&f), 0);

	struct journal_fixture_seen seen = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT);

	assert_int_equal(journal_fixture_open(&f, env, NULL, &seen), 0);
	assert_false(seen.wrong);
	assert_int_equal(seen.count, 199);
	for (uint64_t seq = 1; seq < 200; seq++)
		assert_int_equal(seen.positions[seq], positions[seq]);
	assert_int_equal(journal_fixture_close(&f), 0);
	env_mem_free(env);
}

static void test_limits(void **state)
{
	struct env *env = env_mem_new(1);
	struct journal_options read_only = {.read_only = true}, odd = {.segment_bytes = 100000};
	struct journal_stats stats;
	struct journal_fixture f;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, env, &odd, NULL), -EINVAL);
	assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
	assert_int_equal(journal_reserve(f.journal, JOURNAL_FIXTURE_PAYLOAD_MAX + 1), -EFBIG);
	for (int i = 0; i < 50; i++)
		assert_int_equal(journal_reserve(f.journal, JOURNAL_FIXTURE_PAYLOAD_MAX), 0);
	journal_get_stats(f.journal, &stats);
	assert_true(stats.segment_bytes > 50 * JOURNAL_FIXTURE_PAYLOAD_MAX);
	for (int i = 0; i < 50; i++)
		journal_unreserve(f.journal, JOURNAL_FIXTURE_PAYLOAD_MAX);
	journal_get_stats(f.journal, &stats);
	assert_int_equal(stats.reserved_bytes, 0);
	assert_int_equal(journal_fixture_close(&f), 0);
	assert_int_equal(journal_fixture_open(&f, env, &read_only, NULL), 0);
	assert_int_equal(journal_reserve(f.journal, 1), -EROFS);
	assert_int_equal(journal_start(f.journal), -EROFS);
	assert_int_equal(journal_fixture_close(&f), 0);
	env_mem_free(env);
}

static int largest_frame(void *arg, uint64_t seq, uint64_t position, const uint8_t *payload, size_t len)
{
	size_t *seen = arg;

	assert_int_equal(seq, *seen + 1);
	assert_true(position > 0);
	assert_int_equal(len, seq % 2 ? JOURNAL_PAYLOAD_MAX : 10);
	for (size_t i = 0; i < len; i += 4099)
		assert_int_equal(payload[i], (uint8_t)(i / 4099 + seq));
	(*seen)++;
	return 0;
}

/* In segments of the default size, between small ones; also what another life finds. */
static void test_largest_frames(void **state)
{
	struct env *env = env_mem_new(1);
	struct journal_options opt = {.segment_bytes = 0};
	struct journal_recovery recovery;
	uint8_t *payload = calloc(1, JOURNAL_PAYLOAD_MAX);
	struct journal_fixture f;
	size_t seen = 0;

	(void)state;
	assert_non_null(payload);
	assert_int_equal(store_open(env, STORE_CREATE, NULL, &f.store), 0);
	assert_int_equal(journal_open(f.store, &opt, NULL, NULL, &recovery, &f.journal), 0);
	assert_int_equal(journal_reserve(f.journal, JOURNAL_PAYLOAD_MAX + 1), -EFBIG);
	for (uint64_t seq = 1; seq <= 6; seq++) {
		struct iovec iov = {payload, seq % 2 ? JOURNAL_PAYLOAD_MAX : 10};

		for (size_t i = 0; i < iov.iov_len; i += 4099)
			payload[i] = (uint8_t)(i / 4099 + seq);
		assert_int_equal(journal_reserve(f.journal, iov.iov_len), 0);
		assert_int_equal(journal_append(f.journal, iov.iov_len, &iov, 1), seq);
	}
	assert_int_equal(journal_close(f.journal), 0);
	journal_recovery_release(&recovery);
	assert_int_equal(journal_open(f.store, &opt, largest_frame, &seen, &recovery, &f.journal), 0);
	assert_int_equal(seen, 6);
	assert_int_equal(recovery.torn_bytes, 0);
	assert_int_equal(recovery.damage_count, 0);
	assert_int_equal(journal_close(f.journal), 0);
	journal_recovery_release(&recovery);
	store_close(f.store);
	free(payload);
	env_mem_free(env);
}

/* All reservations first, then frames in sizes and flushes chosen to waste as much as possible. */
static void test_reserved_space_suffices(void **state)
{
	static const uint8_t zeros[JOURNAL_FIXTURE_PAYLOAD_MAX];
	struct rng rng;

	(void)state;
	rng_init(&rng, rng_seed_of_run(11));
	for (int round = 0; round < 60; round++) {
		struct env *env = env_mem_new((uint64_t)round);
		size_t lens[64], count = 1 + rng_below(&rng, 64);
		struct journal_stats stats;
		struct journal_fixture f;
		uint64_t segments;

		assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
		(void)journal_fixture_fill(&f, (int)rng_below(&rng, 30));
		for (size_t i = 0; i < count; i++) {
			lens[i] = rng_coin(&rng) ? JOURNAL_FIXTURE_PAYLOAD_MAX - rng_below(&rng, 100) : rng_below(&rng, 5000);
			assert_int_equal(journal_reserve(f.journal, lens[i]), 0);
		}
		journal_get_stats(f.journal, &stats);
		segments = stats.segments;
		for (size_t i = 0; i < count; i++) {
			struct iovec iov = {(void *)(uintptr_t)zeros, lens[i]};
			uint64_t seq = journal_append(f.journal, lens[i], &iov, 1); /* asserts that there is a place */

			if (rng_coin(&rng))
				rng_assert(&rng, journal_wait(f.journal, seq, JOURNAL_DURABLE) == 0);
		}
		journal_get_stats(f.journal, &stats);
		assert_int_equal(stats.reserved_bytes, 0);
		assert_int_equal(stats.segments, segments);
		assert_int_equal(journal_fixture_close(&f), 0);
		env_mem_free(env);
	}
}

static void test_scan_and_start(void **state)
{
	struct env *env = journal_fixture_filled(100);
	struct journal_fixture_seen all = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT), part = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT);
	struct journal_options from = {0};
	struct journal_fixture f;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, env, NULL, &all), 0);
	assert_int_equal(journal_fixture_append(&f, JOURNAL_FIXTURE_SALT, NULL), 101); /* still in memory */
	part.may_skip = true;
	assert_int_equal(journal_scan(f.journal, all.positions[60], 101, journal_fixture_seen_frame, &part), 0);
	assert_false(part.wrong);
	assert_int_equal(part.seq_first, 60);
	assert_int_equal(part.count, 42);
	part = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT);
	assert_int_equal(journal_scan(f.journal, 0, 30, journal_fixture_seen_frame, &part), 0);
	assert_int_equal(part.count, 30);
	assert_int_equal(journal_fixture_close(&f), 0);

	for (uint64_t seq = 1; seq <= 100; seq += 9) {
		from.start_seq = seq;
		from.start_position = all.positions[seq];
		part = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT);
		assert_int_equal(journal_fixture_open(&f, env, &from, &part), 0);
		assert_false(part.wrong);
		assert_int_equal(part.seq_first, seq + 1);
		assert_int_equal(part.count, 101 - seq);
		assert_int_equal(f.recovery.damage_count, 0);
		assert_int_equal(journal_fixture_close(&f), 0);
		from.start_position += 8;
		assert_int_equal(journal_fixture_open(&f, env, &from, NULL), -ESTALE);
		from.start_position -= 8;
		from.start_seq++;
		assert_int_equal(journal_fixture_open(&f, env, &from, NULL), -ESTALE);
	}
	env_mem_free(env);
}

/* --- waiting and threads ------------------------------------------------------ */

struct note {
	struct journal_waiter waiter;
	_Atomic int calls;
	int error;
};

static void on_safe(struct journal_waiter *w, int error)
{
	struct note *n = (struct note *)w;

	n->error = error;
	atomic_fetch_add(&n->calls, 1);
}

static void test_poison_reaches_everyone(void **state)
{
	struct env *env = env_mem_new(1);
	struct note notes[6] = {0};
	struct journal_fixture f;
	uint64_t durable;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
	assert_int_equal(journal_start(f.journal), 0);
	durable = journal_fixture_fill(&f, 5);
	env_mem_fail_syncs(env, EIO);
	for (int i = 0; i < 6; i++) {
		uint64_t seq = journal_fixture_append(&f, JOURNAL_FIXTURE_SALT, NULL);

		notes[i].waiter = (struct journal_waiter){.seq = seq ? seq : 99, .fn = on_safe};
		journal_notify(f.journal, &notes[i].waiter);
	}
	assert_int_equal(journal_sync(f.journal), -EIO);
	env_mem_fail_syncs(env, 0);
	assert_int_equal(journal_sync(f.journal), -EIO);
	assert_int_equal(journal_wait(f.journal, durable, JOURNAL_DURABLE), -EIO);
	assert_int_equal(journal_error(f.journal), -EIO);
	assert_int_equal(journal_durable_seq(f.journal), durable);
	assert_int_equal(journal_reserve(f.journal, 1), -EIO);
	assert_int_equal(journal_fixture_close(&f), -EIO);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(notes[i].calls, 1);
		assert_int_equal(notes[i].error, -EIO);
	}
	env_mem_free(env);
}

struct crowd {
	struct journal_fixture f;
	pthread_mutex_t order; /* stands for the engine's lock */
	enum journal_level level;
	int rounds;
	_Atomic int failures;
};

static void *crowd_member(void *arg)
{
	struct crowd *c = arg;
	uint8_t want[JOURNAL_FIXTURE_PAYLOAD_MAX], back[JOURNAL_FIXTURE_PAYLOAD_MAX];

	for (int i = 0; i < c->rounds; i++) {
		uint64_t seq, position;
		struct iovec iov;
		size_t len;

		if (journal_reserve(c->f.journal, JOURNAL_FIXTURE_PAYLOAD_MAX) < 0) {
			atomic_fetch_add(&c->failures, 1);
			continue;
		}
		pthread_mutex_lock(&c->order);
		len = journal_fixture_payload(journal_next_seq(c->f.journal), JOURNAL_FIXTURE_SALT, want);
		iov = (struct iovec){want, len};
		position = journal_next_position(c->f.journal, len);
		seq = journal_append(c->f.journal, JOURNAL_FIXTURE_PAYLOAD_MAX, &iov, 1);
		pthread_mutex_unlock(&c->order);
		if (journal_read(c->f.journal, position, back, len) || memcmp(back, want, len) || journal_wait(c->f.journal, seq, c->level) ||
			journal_read(c->f.journal, position, back, len) || memcmp(back, want, len))
			atomic_fetch_add(&c->failures, 1);
		if (c->level == JOURNAL_DURABLE && journal_durable_seq(c->f.journal) < seq)
			atomic_fetch_add(&c->failures, 1);
	}
	return NULL;
}

static void run_crowd(enum journal_level level, uint32_t interval_ms)
{
	struct env *env = env_mem_new(1);
	struct crowd c = {.level = level, .rounds = 60};
	static struct journal_fixture_seen seen;
	struct journal_stats stats;
	pthread_t threads[16];

	pthread_mutex_init(&c.order, NULL);
	assert_int_equal(journal_fixture_open(&c.f, env, NULL, NULL), 0);
	journal_set_sync_interval(c.f.journal, interval_ms);
	assert_int_equal(journal_start(c.f.journal), 0);
	for (int i = 0; i < 16; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_member, &c), 0);
	for (int i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(c.failures, 0);
	journal_get_stats(c.f.journal, &stats);
	assert_int_equal(stats.frames, 16 * c.rounds);
	assert_int_equal(stats.reserved_bytes, 0);
	assert_int_equal(journal_fixture_close(&c.f), 0);
	seen = journal_fixture_seen_of(JOURNAL_FIXTURE_SALT);
	assert_int_equal(journal_fixture_open(&c.f, env, NULL, &seen), 0);
	assert_false(seen.wrong);
	assert_int_equal(seen.count, 16 * c.rounds);
	assert_int_equal(journal_fixture_close(&c.f), 0);
	pthread_mutex_destroy(&c.order);
	env_mem_free(env);
}

static void test_sixteen_appenders(void **state)
{
	(void)state;
	run_crowd(JOURNAL_DURABLE, 0);
	run_crowd(JOURNAL_ACKNOWLEDGED, 5);
	run_crowd(JOURNAL_ACKNOWLEDGED, 0);
}

/* Frames nobody waits for become durable by themselves, and content is synced before they do. */
static int count_call(void *arg)
{
	atomic_fetch_add((_Atomic int *)arg, 1);
	return 0;
}

static void test_nobody_waits(void **state)
{
	static const uint32_t intervals[] = {0, 20};

	(void)state;
	for (int i = 0; i < 2; i++) {
		_Atomic int calls = 0;
		struct journal_options opt = {.before_sync = count_call, .before_sync_arg = (void *)&calls};
		struct env *env = env_mem_new(1);
		struct journal_fixture f;

		assert_int_equal(journal_fixture_open(&f, env, &opt, NULL), 0);
		journal_set_sync_interval(f.journal, intervals[i]);
		assert_int_equal(journal_start(f.journal), 0);
		for (uint64_t round = 1; round <= 3; round++) {
			const int before = atomic_load(&calls);

			assert_int_equal(journal_fixture_append(&f, JOURNAL_FIXTURE_SALT, NULL), round);
			for (int ms = 0; ms < 60000 && journal_durable_seq(f.journal) < round; ms++)
				nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
			assert_int_equal(journal_durable_seq(f.journal), round);
			assert_true(atomic_load(&calls) > before);
			nanosleep(&(struct timespec){.tv_nsec = 120000000}, NULL); /* idle again */
		}
		assert_int_equal(journal_fixture_close(&f), 0);
		env_mem_free(env);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_positions_and_reads),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_largest_frames),
		cmocka_unit_test(test_reserved_space_suffices),
		cmocka_unit_test(test_scan_and_start),
		cmocka_unit_test(test_poison_reaches_everyone),
		cmocka_unit_test(test_sixteen_appenders),
		cmocka_unit_test(test_nobody_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
