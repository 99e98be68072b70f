/* SPDX-License-Identifier: MIT
 *
 * The journal loses power, dies, or meets failing writes and syncs at every I/O
 * operation of a script. After recovery every frame acknowledged as durable is there, what
 * is there is a prefix of what was appended, appending goes on, and the next recovery is clean.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "env_mem.h"
#include "journal_fixture.h"
#include "position.h"
#include "rng.h"

#define SCRIPT_FRAMES 70
#define OLD_SALT 1
#define NEW_SALT 2

enum script_kind { SCRIPT_COMMIT, SCRIPT_INTERVAL, SCRIPT_KIND_COUNT };

/* How far a script came before the world ended. */
struct progress {
	uint64_t appended;     /* highest number given out */
	uint64_t acknowledged; /* highest number whose wait at JOURNAL_ACKNOWLEDGED returned 0 */
	uint64_t durable;      /* the same at JOURNAL_DURABLE */
	int error;             /* first error of a wait */
	bool broken_promise;   /* a wait said 0 after one had failed, or a frame is not where it was said */
};

static void script_wait(struct journal_fixture *f, uint64_t seq, enum journal_level level, enum script_kind kind, struct progress *p)
{
	int r = journal_wait(f->journal, seq, level);

	if (r) {
		p->error = p->error ? p->error : r;
		return;
	}
	p->broken_promise |= p->error != 0;
	p->acknowledged = seq;
	if (level == JOURNAL_DURABLE || kind == SCRIPT_COMMIT)
		p->durable = seq;
}

/* Appends in groups of 1 to 4, so batches have several frames; every few groups a promise is kept across a flush. */
static void run_script(struct env *env, enum script_kind kind, struct progress *p)
{
	struct journal_fixture f;
	struct rng rng;

	*p = (struct progress){0};
	rng_init(&rng, 7);
	if (journal_fixture_open(&f, env, NULL, NULL) < 0)
		return;
	journal_set_sync_interval(f.journal, kind == SCRIPT_INTERVAL ? 1000 : 0);
	for (int i = 0; i < SCRIPT_FRAMES; i++) {
		uint64_t dice = rng_below(&rng, 8);
		bool kept = true;
		uint64_t seq = dice == 0 ? journal_fixture_append_promised(&f, OLD_SALT, &kept) : journal_fixture_append(&f, OLD_SALT, NULL);

		p->broken_promise |= !kept;
		if (!seq)
			continue; /* refused; nothing appended */
		p->appended = seq;
		if (dice < 4)
			script_wait(&f, seq, dice == 3 ? JOURNAL_DURABLE : JOURNAL_ACKNOWLEDGED, kind, p);
	}
	if (journal_fixture_close(&f) == 0 && !p->error)
		p->durable = p->acknowledged = p->appended;
}

/* Recover @env, judge it, append some more, recover again. @must: numbers up to this one have to be there. */
static void check_recovery(struct env *env, uint64_t must, uint64_t appended)
{
	static struct journal_fixture_seen seen, again;
	struct journal_fixture f;
	uint64_t last = 0;

	if (must == 0 && store_present(env) == 0)
		return;
	seen = (struct journal_fixture_seen){.old_seq_last = UINT64_MAX, .old_salt = OLD_SALT};
	assert_int_equal(journal_fixture_open(&f, env, NULL, &seen), 0);
	assert_false(seen.wrong);
	assert_int_equal(f.recovery.damage_count, 0);
	assert_int_equal(seen.seq_last, f.recovery.seq_last);
	assert_int_equal(seen.count, seen.seq_last); /* from 1 on, no gap */
	assert_true(seen.seq_last >= must);
	assert_true(seen.seq_last <= appended);
	assert_int_equal(journal_durable_seq(f.journal), seen.seq_last);
	for (int i = 0; i < 5; i++) {
		last = journal_fixture_append(&f, NEW_SALT, NULL);
		assert_int_equal(last, seen.seq_last + 1 + (uint64_t)i);
	}
	assert_int_equal(journal_wait(f.journal, last, JOURNAL_DURABLE), 0);
	assert_int_equal(journal_fixture_close(&f), 0);

	again = (struct journal_fixture_seen){.old_seq_last = seen.seq_last, .old_salt = OLD_SALT, .salt = NEW_SALT};
	assert_int_equal(journal_fixture_open(&f, env, NULL, &again), 0);
	assert_false(again.wrong);
	assert_int_equal(f.recovery.damage_count, 0);
	assert_int_equal(f.recovery.torn_bytes, 0);
	assert_int_equal(again.seq_last, last);
	assert_int_equal(again.count, last);
	assert_int_equal(journal_fixture_close(&f), 0);
}

static const struct {
	enum env_mem_mode mode;
	int seeds;
} variants[] = {{ENV_MEM_LOST, 1}, {ENV_MEM_KEPT, 1}, {ENV_MEM_TORN, 4}, {ENV_MEM_RANDOM, 6}};

static void check_all_variants(struct env *env, const struct progress *p)
{
	for (size_t v = 0; v < sizeof(variants) / sizeof(variants[0]); v++) {
		for (int seed = 0; seed < variants[v].seeds; seed++) {
			struct env *after = env_mem_power_cycle(env, variants[v].mode, (uint64_t)seed + 100);

			check_recovery(after, p->durable, p->appended);
			env_mem_free(after);
		}
	}
}

static void test_power_cut_at_every_operation(void **state)
{
	(void)state;
	for (enum script_kind kind = 0; kind < SCRIPT_KIND_COUNT; kind++) {
		bool done = false;
		uint64_t n;

		for (n = 1; !done; n++) {
			struct env *env = env_mem_new(n);
			struct progress p;

			env_mem_power_off_at(env, n);
			run_script(env, kind, &p);
			assert_false(p.broken_promise);
			done = !env_mem_is_off(env);
			check_all_variants(env, &p);
			env_mem_free(env);
		}
		assert_true(n > 100); /* the script has something to cut */
	}
}

/* Power fails again while the first failure is being repaired. */
static void test_power_cut_while_recovering(void **state)
{
	(void)state;
	for (uint64_t n = 40; n < 130; n += 3) {
		struct env *env = env_mem_new(n);
		struct progress p;

		env_mem_power_off_at(env, n);
		run_script(env, SCRIPT_INTERVAL, &p);
		for (uint64_t seed = 0; seed < 6; seed++) {
			bool done = false;

			for (uint64_t m = 1; !done; m++) {
				struct env *second = env_mem_power_cycle(env, seed & 1 ? ENV_MEM_RANDOM : ENV_MEM_TORN, seed);
				struct journal_fixture f;
				struct env *third;

				env_mem_power_off_at(second, m);
				if (journal_fixture_open(&f, second, NULL, NULL) == 0)
					(void)journal_fixture_close(&f);
				done = !env_mem_is_off(second);
				third = env_mem_power_cycle(second, seed & 2 ? ENV_MEM_RANDOM : ENV_MEM_LOST, seed + m);
				check_recovery(third, p.durable, p.appended);
				env_mem_free(third);
				env_mem_free(second);
			}
		}
		env_mem_free(env);
	}
}

static void test_kill_at_every_operation(void **state)
{
	(void)state;
	for (enum script_kind kind = 0; kind < SCRIPT_KIND_COUNT; kind++) {
		struct env_mem_stats stats;
		struct env *env = env_mem_new(1);
		struct progress p;

		run_script(env, kind, &p);
		assert_int_equal(p.appended, SCRIPT_FRAMES);
		env_mem_stats(env, &stats);
		env_mem_free(env);
		for (uint64_t n = 1; n <= stats.ops; n++) {
			env = env_mem_new(n);
			env_mem_kill_at(env, n);
			run_script(env, kind, &p);
			env_mem_kill(env);
			check_recovery(env, p.acknowledged, p.appended); /* acknowledged is enough here */
			env_mem_free(env);
		}
	}
}

/* One failing operation: either nothing depended on it, or the journal is poisoned for good. */
static void test_failure_at_every_operation(void **state)
{
	static const int errors[] = {EIO, ENOSPC};
	uint64_t poisoned = 0;

	(void)state;
	for (int kind = 0; kind < SCRIPT_KIND_COUNT; kind++) {
		for (int e = 0; e < 2; e++) {
			bool done = false;

			for (uint64_t n = 1; !done; n++) {
				struct env *env = env_mem_new(n);
				struct env_mem_stats stats;
				struct progress p;

				env_mem_fail_at(env, n, errors[e]);
				run_script(env, (enum script_kind)kind, &p);
				assert_false(p.broken_promise);
				assert_true(p.error == 0 || p.error == -EIO);
				poisoned += p.error != 0;
				env_mem_stats(env, &stats);
				done = stats.ops < n; /* the fault is still armed */
				if (!done) {
					check_all_variants(env, &p);
					env_mem_kill(env);
					check_recovery(env, p.durable, p.appended);
				}
				env_mem_free(env);
			}
		}
	}
	assert_true(poisoned > 100);
}

/* What one recovery showed is on disk, even where a sync of the life before had failed: power may go right after it. */
static void test_recovered_is_durable(void **state)
{
	uint64_t gained = 0;
	bool done = false;

	(void)state;
	for (uint64_t n = 1; !done; n++) {
		struct env *env = env_mem_new(n);
		struct env_mem_stats stats;
		struct journal_fixture_seen seen = {.old_seq_last = UINT64_MAX, .old_salt = OLD_SALT};
		struct journal_fixture f;
		struct progress p;

		env_mem_fail_at(env, n, EIO);
		run_script(env, SCRIPT_INTERVAL, &p);
		env_mem_stats(env, &stats);
		done = stats.ops < n;
		env_mem_kill(env);
		if (!done && journal_fixture_open(&f, env, NULL, &seen) == 0) {
			gained += seen.seq_last > p.durable;
			p.durable = seen.seq_last;
			check_all_variants(env, &p);
			(void)journal_fixture_close(&f);
		}
		env_mem_free(env);
	}
	assert_true(gained > 10);
}

static uint64_t append_filled(struct journal_fixture *f, uint8_t byte, size_t len)
{
	static uint8_t bytes[JOURNAL_FIXTURE_PAYLOAD_MAX];
	struct iovec iov = {bytes, len};

	memset(bytes, byte, len);
	assert_int_equal(journal_reserve(f->journal, len), 0);
	return journal_append(f->journal, len, &iov, 1);
}

/* Frames of a later segment that were cut off do not come back when new ones reach their number. */
static void test_discarded_frames_stay_away(void **state)
{
	struct env *first = env_mem_new(1), *env;
	struct journal_fixture f;
	uint64_t position;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, first, NULL, NULL), 0);
	journal_set_sync_interval(f.journal, 1000);
	append_filled(&f, 1, JOURNAL_FIXTURE_PAYLOAD_MAX);
	position = journal_next_position(f.journal, JOURNAL_FIXTURE_PAYLOAD_MAX);
	for (uint64_t seq = 2; seq <= 6; seq++)
		assert_int_equal(append_filled(&f, 1, JOURNAL_FIXTURE_PAYLOAD_MAX), seq);
	assert_int_equal(journal_durable_seq(f.journal), 0);
	assert_int_equal(journal_wait(f.journal, 6, JOURNAL_ACKNOWLEDGED), 0);
	env = env_mem_power_cycle(first, ENV_MEM_KEPT, 1); /* all of it is there, nothing proven durable */
	assert_int_equal(journal_fixture_close(&f), 0);
	env_mem_free(first);
	assert_int_equal(env_mem_patch(env, "journal/00000001.seg", "hole", 4, (position & POSITION_OFFSET_MAX) + 100), 0);

	assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
	assert_int_equal(f.recovery.seq_last, 1);
	assert_int_equal(f.recovery.damage_count, 0);
	assert_true(f.recovery.torn_bytes > 4 * JOURNAL_FIXTURE_PAYLOAD_MAX);
	assert_int_equal(append_filled(&f, 2, 100), 2);
	assert_int_equal(append_filled(&f, 2, 100), 3);
	assert_int_equal(journal_fixture_close(&f), 0);
	assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
	assert_int_equal(f.recovery.seq_last, 3); /* and not the old 4 to 6 */
	assert_int_equal(journal_fixture_close(&f), 0);
	env_mem_free(env);
}

/* The disk is full for a while. */
static void test_no_space(void **state)
{
	struct env *env = env_mem_new(3);
	struct journal_fixture f;
	uint64_t seq, last = 0;
	int error = 0;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
	env_mem_set_capacity(env, 3 * JOURNAL_FIXTURE_SEGMENT_BYTES);
	while ((seq = journal_fixture_append(&f, OLD_SALT, &error))) {
		last = seq;
		assert_int_equal(journal_wait(f.journal, seq, JOURNAL_DURABLE), 0);
	}
	assert_int_equal(error, -ENOSPC);
	assert_true(last > 20);
	assert_int_equal(journal_fixture_append(&f, OLD_SALT, &error), 0);
	assert_int_equal(error, -ENOSPC);
	assert_int_equal(journal_error(f.journal), 0);
	env_mem_set_capacity(env, 0);
	assert_int_equal(journal_fixture_append(&f, OLD_SALT, &error), last + 1);
	assert_int_equal(journal_fixture_close(&f), 0);
	check_recovery(env, last + 1, last + 1);
	env_mem_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_cut_at_every_operation),
		cmocka_unit_test(test_power_cut_while_recovering),
		cmocka_unit_test(test_kill_at_every_operation),
		cmocka_unit_test(test_failure_at_every_operation),
		cmocka_unit_test(test_recovered_is_durable),
		cmocka_unit_test(test_discarded_frames_stay_away),
		cmocka_unit_test(test_no_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
