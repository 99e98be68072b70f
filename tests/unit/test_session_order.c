/* SPDX-License-Identifier: MIT
 *
 * The order of RELEASE: who waits for whom, and that all workers waiting is no deadlock.
 */
#include "cmocka_all.h"

#include <unistd.h>

#include "../../fs/session_order.c"

#define SETTLE_US 30000

/* A worker with one request: enters, says so, and leaves when told. */
struct worker {
	struct fs_order *order;
	struct order_ticket ticket;
	pthread_t thread;
	atomic_bool entered, leave;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	fs_order_enter(w->order, &w->ticket);
	atomic_store(&w->entered, true);
	while (!atomic_load(&w->leave))
		usleep(100);
	fs_order_leave(w->order, &w->ticket);
	return NULL;
}

static void start(struct worker *w, struct fs_order *o, uint64_t node_id, bool release)
{
	*w = (struct worker){.order = o};
	fs_order_take(o, node_id, 1, release, &w->ticket);
	assert_int_equal(pthread_create(&w->thread, NULL, worker_main, w), 0);
}

static bool entered(struct worker *w)
{
	for (int i = 0; i < 60000 && !atomic_load(&w->entered); i++)
		usleep(1000);
	return atomic_load(&w->entered);
}

static bool waits(struct worker *w)
{
	usleep(SETTLE_US);
	return !atomic_load(&w->entered);
}

static void end(struct worker *w)
{
	atomic_store(&w->leave, true);
	pthread_join(w->thread, NULL);
}

static void test_nothing_registered_nobody_waits(void **state)
{
	struct fs_order *o = fs_order_new();
	struct worker a, b;

	(void)state;
	start(&a, o, 5, false);
	start(&b, o, 5, false);
	assert_true(entered(&b));
	assert_true(entered(&a));
	end(&a);
	end(&b);
	fs_order_free(o);
}

static void test_later_requests_wait_earlier_do_not(void **state)
{
	struct fs_order *o = fs_order_new();
	struct worker before, release, after;

	(void)state;
	start(&before, o, 7, false);
	start(&release, o, 5, true);
	start(&after, o, 7, false);
	assert_true(entered(&before));
	assert_true(entered(&release)); /* although `before` is not over */
	assert_true(waits(&after));
	end(&release);
	assert_true(entered(&after));
	end(&before);
	end(&after);
	fs_order_free(o);
}

static void test_releases_wait_only_for_the_same_file(void **state)
{
	struct fs_order *o = fs_order_new();
	struct worker first, other, same;

	(void)state;
	start(&first, o, 5, true);
	start(&other, o, 6, true);
	start(&same, o, 5, true);
	assert_true(entered(&first));
	assert_true(entered(&other));
	assert_true(waits(&same));
	end(&first);
	assert_true(entered(&same));
	end(&other);
	end(&same);
	fs_order_free(o);
}

static void test_all_earlier_ones_count(void **state)
{
	struct fs_order *o = fs_order_new();
	struct worker first, second, after, late;

	(void)state;
	start(&first, o, 5, true);
	start(&second, o, 6, true);
	start(&after, o, 9, false);
	assert_true(entered(&second));
	end(&second); /* out of order */
	assert_true(waits(&after));
	start(&late, o, 8, true);
	assert_true(entered(&late));
	end(&first);
	assert_true(entered(&after)); /* `late` was read after it */
	end(&late);
	end(&after);
	fs_order_free(o);
}

static void test_done_early(void **state)
{
	struct fs_order *o = fs_order_new();
	struct fs fs = {.order = o};
	struct order_ticket release, later;

	(void)state;
	fs_order_take(o, 5, 77, true, &release);
	fs_order_take(o, 6, 0, false, &later);
	assert_int_equal(release.register_number, 1);
	assert_int_equal(release.after, 0);
	assert_int_equal(later.after, 1);
	fs_order_enter(o, &release);
	assert_int_equal(atomic_load(&o->oldest), 1);
	fs_order_release_done(&fs, 77); /* the draft is applied; the request goes on */
	assert_true(atomic_load(&o->oldest) == UINT64_MAX);
	fs_order_leave(o, &release);
	fs_order_enter(o, &later); /* would hang */
	fs_order_wait(&fs, NULL);
	fs_order_leave(o, &later);
	fs_order_free(o);
}

static void test_many_in_order(void **state)
{
	static struct worker workers[64];
	struct fs_order *o = fs_order_new();

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 64; i++)
			start(&workers[i], o, 5, true); /* each waits for all before it */
		for (int i = 0; i < 64; i++) {
			assert_true(entered(&workers[i]));
			if (i < 63)
				assert_false(atomic_load(&workers[i + 1].entered));
			end(&workers[i]);
		}
		assert_int_equal(o->used, 0);
	}
	fs_order_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_registered_nobody_waits),
		cmocka_unit_test(test_later_requests_wait_earlier_do_not),
		cmocka_unit_test(test_releases_wait_only_for_the_same_file),
		cmocka_unit_test(test_all_earlier_ones_count),
		cmocka_unit_test(test_done_early),
		cmocka_unit_test(test_many_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
