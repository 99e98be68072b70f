/* SPDX-License-Identifier: MIT
 *
 * Many lock files and many barriers: upkeep, which holds the engine's lock meanwhile, must not take longer for each one there is.
 */
#include <stdio.h>
#include <time.h>

#include "barrier.h"
#include "cmocka_all.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "lock_file.h"
#include "upkeep.h"

#define MANY 10000
#define FEW 100
#define RUNS 200
#define PID_FIRST 100000u
#define SYNC "state/sessions/s1/agents/.sync/"

static int64_t now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static void take_lock(struct engine *e, uint32_t pid)
{
	char name[32], text[32];
	struct request q;
	struct tree_attr attr;
	struct draft *d;

	snprintf(name, sizeof(name), "l%u", pid);
	fixture_request(&q);
	q.actor.pid = pid;
	assert_int_equal(engine_create(e, &q, fixture_ino(e, "state/.locks"), name, 0644, &attr), 0);
	assert_int_equal(draft_open(e, attr.ino, DRAFT_WHOLE, &q.actor, &d), 0);
	assert_int_equal(draft_write(d, &q.actor, 0, text, (size_t)snprintf(text, sizeof(text), "%u\n", pid)), 0);
	assert_int_equal(draft_commit(d, &q, 0), 0);
	draft_close(d);
}

static void start_barrier(struct engine *e, uint32_t number)
{
	struct request q;
	struct tree_attr attr;
	char name[32];

	snprintf(name, sizeof(name), "b%u", number);
	fixture_request(&q);
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, "state/sessions/s1/agents/.sync"), name, 0755, &attr), 0);
}

/* Of several, the one that nothing came between. */
static int64_t runs_us(struct engine *e)
{
	int64_t least = INT64_MAX;

	for (int tries = 0; tries < 20; tries++) {
		int64_t begin = now_us();

		for (int i = 0; i < RUNS; i++)
			(void)upkeep_run(e);
		least = MIN(least, now_us() - begin);
	}
	return least;
}

/* The rate of @make and of runs without work, with few and with many of them. */
static void grows(struct engine *e, const char *what, void (*make)(struct engine *e, uint32_t number))
{
	int64_t few_make, few_run, many_make, many_run, begin;

	for (uint32_t i = 0; i < FEW; i++)
		make(e, PID_FIRST + i);
	(void)upkeep_run(e);
	begin = now_us();
	for (uint32_t i = FEW; i < 2 * FEW; i++, (void)upkeep_run(e))
		make(e, PID_FIRST + i);
	few_make = now_us() - begin;
	few_run = runs_us(e);
	for (uint32_t i = 2 * FEW; i < MANY - FEW; i++)
		make(e, PID_FIRST + i);
	(void)upkeep_run(e);
	begin = now_us();
	for (uint32_t i = MANY - FEW; i < MANY; i++, (void)upkeep_run(e))
		make(e, PID_FIRST + i);
	many_make = now_us() - begin;
	many_run = runs_us(e);
	print_message("%s: one more and upkeep %.1f us among %d, %.1f us among %d; upkeep alone %.2f us and %.2f us\n", what, (double)few_make / FEW, FEW,
		(double)many_make / FEW, MANY, (double)few_run / RUNS, (double)many_run / RUNS);
	assert_true(many_run < 20 * few_run + 20 * RUNS);
}

static void test_locks(void **state)
{
	struct env *env = env_mem_new(3);
	struct engine *e = fixture_open_ok(env);
	struct lock_info *list;
	size_t count;
	int64_t begin;

	(void)state;
	grows(e, "locks", take_lock);
	begin = now_us();
	for (uint32_t i = 0; i < FEW; i++) { /* each is found, and no other */
		upkeep_process_ended(e, PID_FIRST + i * (MANY / FEW));
		(void)upkeep_run(e);
	}
	print_message("a process ends, its lock is released: %.1f us\n", (double)(now_us() - begin) / FEW);
	assert_int_equal(lock_files_list(e, &list, &count), 0);
	assert_int_equal(count, MANY - FEW);
	for (size_t i = 0; i < count; i++)
		lock_info_release(&list[i]);
	free(list);
	assert_int_equal(engine_close(e), 0);
	env_mem_free(env);
}

static void test_barriers(void **state)
{
	struct env *env = env_mem_new(4);
	struct engine *e = fixture_open_ok(env);
	int64_t begin;

	(void)state;
	assert_int_equal(fixture_mkdir(e, "state/sessions/s1"), 0);
	assert_int_equal(fixture_save_text(e, "state/sessions/s1/agents/a.yaml", "# waits\n"), 0);
	grows(e, "barriers", start_barrier);
	begin = now_us();
	for (uint32_t i = 0; i < FEW; i++) {
		char path[128];

		snprintf(path, sizeof(path), SYNC "b%u/a", PID_FIRST + i * (MANY / FEW));
		assert_int_equal(fixture_save_text(e, path, ""), 0);
		(void)upkeep_run(e);
	}
	print_message("an acknowledgement, the barrier ends: %.1f us\n", (double)(now_us() - begin) / FEW);
	for (uint32_t i = 0; i < FEW; i++) {
		cleanup_buf struct buf text = BUF_INIT;
		char path[128];

		snprintf(path, sizeof(path), SYNC "b%u", PID_FIRST + i * (MANY / FEW));
		engine_lock(e);
		assert_int_equal(barrier_result(e, tree_resolve(engine_tree(e), path, SEQ_LIVE)->ino, &text), 1);
		engine_unlock(e);
		assert_string_equal(text.data, "completed\n");
	}
	assert_int_equal(engine_close(e), 0);
	env_mem_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_barriers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
