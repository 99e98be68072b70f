/* SPDX-License-Identifier: MIT
 *
 * Waiters that may go to the disk themselves (journal_waiter.leads), alone and among others.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "env_mem.h"
#include "journal_fixture.h"

#define SALT 5

struct note {
	struct journal_waiter waiter;
	sem_t done;
	_Atomic int calls;
	int error;
	pthread_t by;
};

static void on_safe(struct journal_waiter *w, int error)
{
	struct note *n = (struct note *)w;

	n->error = error;
	n->by = pthread_self();
	atomic_fetch_add(&n->calls, 1);
	sem_post(&n->done);
}

static void note_init(struct note *n, uint64_t seq, enum journal_level level, bool leads)
{
	*n = (struct note){.waiter = {.seq = seq, .level = level, .fn = on_safe, .leads = leads}};
	sem_init(&n->done, 0, 0);
}

/* Syncs of content wait here while the gate is shut. */
struct gate {
	_Atomic bool shut;
	sem_t reached, open;
};

static int gate_pass(void *arg)
{
	struct gate *g = arg;

	if (atomic_load(&g->shut)) {
		sem_post(&g->reached);
		while (sem_wait(&g->open) < 0)
			;
	}
	return 0;
}

static void test_leader_commits_itself(void **state)
{
	struct env *env = env_mem_new(1);
	struct journal_stats before, after;
	struct journal_fixture f;
	struct note n;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
	assert_int_equal(journal_start(f.journal), 0);
	for (int i = 0; i < 20; i++) {
		journal_get_stats(f.journal, &before);
		note_init(&n, journal_fixture_append(&f, SALT, NULL), JOURNAL_DURABLE, true);
		/* Unless the commit thread, which looks after frames nobody waits for, was at it just now. */
		if (!journal_notify(f.journal, &n.waiter)) {
			while (sem_wait(&n.done) < 0)
				;
			continue;
		}
		assert_int_equal(atomic_load(&n.calls), 1);
		assert_true(pthread_equal(n.by, pthread_self()));
		assert_int_equal(n.error, 0);
		assert_int_equal(journal_durable_seq(f.journal), n.waiter.seq);
		journal_get_stats(f.journal, &after);
		assert_int_equal(after.syncs, before.syncs + 1);
	}
	note_init(&n, 1, JOURNAL_DURABLE, true); /* long since */
	assert_false(journal_notify(f.journal, &n.waiter));
	assert_int_equal(atomic_load(&n.calls), 1);
	assert_int_equal(journal_fixture_close(&f), 0);
	env_mem_free(env);
}

/* Who would lead while others are at it joins their group, and the group after his commit is the commit thread's. */
static void test_leader_joins_a_group(void **state)
{
	struct gate gate = {.shut = false};
	struct journal_options opt = {.before_sync = gate_pass, .before_sync_arg = &gate};
	struct env *env = env_mem_new(1);
	struct journal_fixture f;
	struct note first, second;

	(void)state;
	sem_init(&gate.reached, 0, 0);
	sem_init(&gate.open, 0, 0);
	assert_int_equal(journal_fixture_open(&f, env, &opt, NULL), 0);
	assert_int_equal(journal_start(f.journal), 0);
	atomic_store(&gate.shut, true);
	note_init(&first, journal_fixture_append(&f, SALT, NULL), JOURNAL_DURABLE, false);
	assert_false(journal_notify(f.journal, &first.waiter));
	sem_wait(&gate.reached);
	note_init(&second, journal_fixture_append(&f, SALT, NULL), JOURNAL_DURABLE, true);
	assert_false(journal_notify(f.journal, &second.waiter));
	assert_int_equal(atomic_load(&second.calls), 0);
	atomic_store(&gate.shut, false);
	sem_post(&gate.open);
	sem_wait(&first.done);
	sem_wait(&second.done);
	assert_false(pthread_equal(second.by, pthread_self()));
	assert_int_equal(first.error | second.error, 0);
	assert_int_equal(journal_durable_seq(f.journal), second.waiter.seq);
	assert_int_equal(journal_fixture_close(&f), 0);
	env_mem_free(env);
}

static void test_interval_needs_no_leader(void **state)
{
	struct env *env = env_mem_new(1);
	struct journal_fixture f;
	struct note n;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
	journal_set_sync_interval(f.journal, 60000);
	assert_int_equal(journal_start(f.journal), 0);
	note_init(&n, journal_fixture_append(&f, SALT, NULL), JOURNAL_ACKNOWLEDGED, true);
	assert_false(journal_notify(f.journal, &n.waiter));
	assert_int_equal(atomic_load(&n.calls), 1);
	assert_true(journal_durable_seq(f.journal) < n.waiter.seq);
	assert_int_equal(journal_fixture_close(&f), 0);
	env_mem_free(env);
}

static void test_leader_meets_a_failing_disk(void **state)
{
	struct env *env = env_mem_new(1);
	struct journal_fixture f;
	struct note n;

	(void)state;
	assert_int_equal(journal_fixture_open(&f, env, NULL, NULL), 0);
	assert_int_equal(journal_start(f.journal), 0);
	assert_int_equal(journal_sync(f.journal), 0);
	note_init(&n, journal_fixture_append(&f, SALT, NULL), JOURNAL_DURABLE, true);
	env_mem_fail_syncs(env, EIO); /* after the frame has its segment; the commit thread leaves it alone for a while */
	(void)journal_notify(f.journal, &n.waiter);
	sem_wait(&n.done);
	assert_int_equal(n.error, -EIO);
	assert_int_equal(journal_error(f.journal), -EIO);
	assert_int_equal(journal_fixture_close(&f), -EIO);
	assert_int_equal(atomic_load(&n.calls), 1);
	env_mem_free(env);
}

struct crowd {
	struct journal_fixture f;
	pthread_mutex_t order; /* stands for the engine's lock */
	_Atomic unsigned led;
	_Atomic int failures;
};

static void *crowd_member(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; i < 100; i++) {
		struct note n;
		uint64_t seq;

		pthread_mutex_lock(&c->order);
		seq = journal_fixture_append(&c->f, SALT, NULL);
		pthread_mutex_unlock(&c->order);
		note_init(&n, seq, JOURNAL_DURABLE, i % 3 > 0);
		atomic_fetch_add(&c->led, journal_notify(c->f.journal, &n.waiter));
		while (sem_wait(&n.done) < 0)
			;
		if (!seq || n.error || atomic_load(&n.calls) != 1 || journal_durable_seq(c->f.journal) < seq)
			atomic_fetch_add(&c->failures, 1);
	}
	return NULL;
}

static void test_leaders_among_others(void **state)
{
	static struct journal_fixture_seen seen = {.salt = SALT};
	struct env *env = env_mem_new(1);
	struct crowd c = {.led = 0};
	pthread_t threads[8];

	(void)state;
	pthread_mutex_init(&c.order, NULL);
	assert_int_equal(journal_fixture_open(&c.f, env, NULL, NULL), 0);
	assert_int_equal(journal_start(c.f.journal), 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_member, &c), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(c.failures, 0);
	assert_int_equal(journal_fixture_close(&c.f), 0);
	assert_int_equal(journal_fixture_open(&c.f, env, NULL, &seen), 0);
	assert_false(seen.wrong);
	assert_int_equal(seen.count, 8 * 100);
	assert_int_equal(journal_fixture_close(&c.f), 0);
	pthread_mutex_destroy(&c.order);
	env_mem_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leader_commits_itself),
		cmocka_unit_test(test_leader_joins_a_group),
		cmocka_unit_test(test_interval_needs_no_leader),
		cmocka_unit_test(test_leader_meets_a_failing_disk),
		cmocka_unit_test(test_leaders_among_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
