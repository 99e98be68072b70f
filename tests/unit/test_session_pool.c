/* SPDX-License-Identifier: MIT
 *
 * The pool of workers on a pipe: each byte is a request.
 */
#include "cmocka_all.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "../../fs/session_pool.c"

#define WORKERS 4

struct bed {
	struct fs_pool *pool;
	int requests[2], end_fd;
	pthread_mutex_t lock; /* reading and ending */
	bool ending;
	pthread_t threads[WORKERS];
	atomic_uint served, held;
	atomic_bool hold; /* whoever serves 'h' waits while this is set */
};

static void serve(struct bed *b, char request)
{
	if (request == 'h') {
		atomic_fetch_add(&b->held, 1);
		while (atomic_load(&b->hold))
			usleep(200);
	}
	atomic_fetch_add(&b->served, 1);
}

static void *worker_main(void *arg)
{
	struct pool_worker w = {0};
	struct bed *b = arg;

	for (;;) {
		ssize_t n;
		char c = 0;

		pthread_mutex_lock(&b->lock);
		n = b->ending ? -2 : read(b->requests[0], &c, 1);
		pthread_mutex_unlock(&b->lock);
		if (n == -2)
			return NULL;
		if (n != 1) {
			fs_pool_wait(b->pool, &w);
			continue;
		}
		fs_pool_took(b->pool, &w, (uint32_t)c);
		serve(b, c);
	}
}

static void start(struct bed *b)
{
	*b = (struct bed){.end_fd = eventfd(0, EFD_CLOEXEC)};
	pthread_mutex_init(&b->lock, NULL);
	assert_int_equal(pipe2(b->requests, O_CLOEXEC | O_NONBLOCK), 0);
	b->pool = fs_pool_new(b->requests[0], b->end_fd, WORKERS);
	assert_non_null(b->pool);
	for (size_t i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&b->threads[i], NULL, worker_main, b), 0);
}

static void finish(struct bed *b)
{
	uint64_t one = 1;

	pthread_mutex_lock(&b->lock);
	b->ending = true;
	pthread_mutex_unlock(&b->lock);
	fs_pool_end(b->pool);
	assert_int_equal(write(b->end_fd, &one, sizeof(one)), sizeof(one));
	for (size_t i = 0; i < WORKERS; i++)
		pthread_join(b->threads[i], NULL);
	fs_pool_free(b->pool);
	close(b->requests[0]);
	close(b->requests[1]);
	close(b->end_fd);
}

static void ask(struct bed *b, char request, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		while (write(b->requests[1], &request, 1) != 1)
			usleep(100);
}

/* Soon, with or without ticks. */
static bool reaches(struct bed *b, atomic_uint *counter, unsigned want, bool tick)
{
	for (int i = 0; i < 60000 && atomic_load(counter) < want; i++) {
		usleep(1000);
		if (tick)
			(void)fs_pool_tick(b->pool);
	}
	return atomic_load(counter) == want;
}

static void test_all_are_served_without_ticks(void **state)
{
	struct bed b;

	(void)state;
	start(&b);
	for (unsigned i = 1; i <= 50; i++) {
		ask(&b, 'a', 1);
		assert_true(reaches(&b, &b.served, i, false));
	}
	ask(&b, 'a', 20000);
	assert_true(reaches(&b, &b.served, 20050, false));
	finish(&b);
}

static void test_at_most_one_waits(void **state)
{
	struct bed b;

	(void)state;
	start(&b);
	for (int i = 0; i < 60000 && atomic_load(&b.pool->parked) < WORKERS - 1; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&b.pool->parked), WORKERS - 1);
	assert_true(atomic_load(&b.pool->waiting));
	finish(&b);
}

static void test_one_held_up_does_not_hold_up_the_others(void **state)
{
	struct bed b;

	(void)state;
	start(&b);
	atomic_store(&b.hold, true);
	for (unsigned i = 1; i < WORKERS; i++) { /* one after the other, until a single one is left */
		ask(&b, 'h', 1);
		assert_true(reaches(&b, &b.held, i, true));
	}
	ask(&b, 'a', 100);
	assert_true(reaches(&b, &b.served, 100, true));
	atomic_store(&b.hold, false);
	assert_true(reaches(&b, &b.served, 100 + WORKERS - 1, true));
	finish(&b);
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 60000) == 1;
}

static void test_ticks_end_and_are_asked_for_again(void **state)
{
	struct bed b;
	uint64_t count;
	int ticks = 0;

	(void)state;
	start(&b);
	while (fs_pool_tick(b.pool) && ticks++ < 5000)
		usleep(1000);
	assert_in_range(ticks, IDLE_TICKS - 1, 4999);
	ask(&b, 'a', 1);
	assert_true(readable(fs_pool_busy_fd(b.pool)));
	assert_int_equal(read(fs_pool_busy_fd(b.pool), &count, sizeof(count)), sizeof(count));
	assert_true(fs_pool_tick(b.pool));
	finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_served_without_ticks),
		cmocka_unit_test(test_at_most_one_waits),
		cmocka_unit_test(test_one_held_up_does_not_hold_up_the_others),
		cmocka_unit_test(test_ticks_end_and_are_asked_for_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
