/* SPDX-License-Identifier: MIT
 *
 * The in-memory environment keeps the durability contract of env.h, no more and
 * no less: what was synced survives every mode, what was not survives as the mode
 * says, faults fire where armed, and the same seed gives the same state.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "cmocka_all.h"
#include "env_mem_files.h"
#include "rng.h"
#include "util.h"

static void test_power_off_stops_everything(void **state)
{
	struct env *env = env_mem_new(1);
	struct env_space space;
	char c;
	int fd;

	(void)state;
	env_mem_create_durable(env, "f", "x");
	fd = env_open(env, "f", ENV_WRITE);
	env_mem_power_off_at(env, 5);
	assert_false(env_mem_is_off(env));
	assert_int_equal(env_pwrite(env, fd, "y", 1, 0), -EIO);
	assert_true(env_mem_is_off(env));
	assert_int_equal(env_pread(env, fd, &c, 1, 0), -EIO);
	assert_int_equal(env_open(env, "f", ENV_READ), -EIO);
	assert_int_equal(env_fdatasync(env, fd), -EIO);
	assert_int_equal(env_mkdir(env, "d"), -EIO);
	assert_int_equal(env_rename(env, "f", "g"), -EIO);
	assert_int_equal(env_space(env, &space), -EIO);
	env_close(env, fd);
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "x");
	env_mem_expect_after(env, ENV_MEM_KEPT, "f", "y"); /* the write in flight may have arrived */
	env_mem_free(env);
}

static void test_kill_keeps_bytes_and_drops_locks(void **state)
{
	struct env *env = env_mem_new(1);
	int fd = env_mem_create(env, "f", "written");

	(void)state;
	assert_int_equal(env_lock(env, fd), 0);
	env_mem_kill_at(env, 3);
	assert_int_equal(env_rename(env, "f", "g"), -EIO);
	assert_int_equal(env_open(env, "f", ENV_READ), -EIO);
	env_mem_kill(env);
	assert_string_equal(env_mem_text(env, "f"), "written");
	fd = env_open(env, "f", ENV_WRITE);
	assert_true(fd >= 0);
	assert_int_equal(env_lock(env, fd), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "-"); /* yet nothing was synced */
	assert_int_equal(env_fdatasync(env, fd), 0);
	assert_int_equal(env_dir_sync(env, ""), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "written");
	env_mem_free(env);
}

static void test_lock_and_errors(void **state)
{
	struct env *env = env_mem_new(1);
	int one = env_mem_create(env, "f", ""), two = env_open(env, "f", ENV_READ);
	struct env_mem_stats stats;
	char c;

	(void)state;
	assert_int_equal(env_lock(env, one), 0);
	assert_int_equal(env_lock(env, two), -EAGAIN);
	env_close(env, one);
	assert_int_equal(env_lock(env, two), 0);
	assert_int_equal(env_pwrite(env, two, "x", 1, 0), -EBADF);
	assert_int_equal(env_pread(env, one, &c, 1, 0), -EBADF);
	assert_int_equal(env_open(env, "f", ENV_CREATE | ENV_EXCL), -EEXIST);
	assert_int_equal(env_open(env, "f/x", ENV_READ), -ENOTDIR);
	assert_int_equal(env_open(env, "no/x", ENV_CREATE), -ENOENT);
	assert_int_equal(env_mkdir(env, "f"), -EEXIST);
	assert_int_equal(env_unlink(env, "g"), -ENOENT);
	assert_int_equal(env_dir_sync(env, "f"), -ENOTDIR);
	env_mem_stats(env, &stats);
	assert_int_equal(stats.ops, 1);
	assert_int_equal(env_mkdir(env, "d"), 0);
	assert_int_equal(env_unlink(env, "d"), -EISDIR);
	assert_int_equal(env_mkdir(env, "d/e"), 0);
	assert_int_equal(env_rename(env, "d", "d/e/x"), -EINVAL);
	assert_int_equal(env_rename(env, "f", "d"), -EISDIR);
	assert_int_equal(env_rename(env, "d", "x"), 0);
	assert_int_equal(env_mkdir(env, "x/e/y"), 0);
	env_mem_free(env);
}

static void test_capacity(void **state)
{
	struct env *env = env_mem_new(1);
	struct env_space space;
	uint64_t size;
	int fd = env_mem_create(env, "f", "");

	(void)state;
	env_mem_set_capacity(env, 10000);
	assert_int_equal(env_allocate(env, fd, 0, 10001), -ENOSPC);
	assert_int_equal(env_size(env, fd, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(env_allocate(env, fd, 0, 9000), 0);
	assert_int_equal(env_pwrite(env, fd, "x", 1, 8999), 0);
	assert_int_equal(env_space(env, &space), 0);
	assert_int_equal(space.free_bytes, 1000);
	assert_int_equal(env_pwrite(env, fd, "x", 1, 10000), -ENOSPC);
	assert_int_equal(env_unlink(env, "f"), 0);
	assert_int_equal(env_space(env, &space), 0);
	assert_int_equal(space.free_bytes, 1000); /* still open */
	env_close(env, fd);
	assert_int_equal(env_space(env, &space), 0);
	assert_int_equal(space.free_bytes, 10000);
	env_mem_free(env);
}

static void test_clock_random_patch_stats(void **state)
{
	struct env *env = env_mem_new(5), *same = env_mem_new(5), *after;
	struct env_mem_stats stats;
	uint8_t a[16], b[16];

	(void)state;
	env_mem_set_clock(env, 1000, 10);
	assert_true(env_time_ns(env) == 1000);
	assert_true(env_time_ns(env) == 1010);
	env_mem_advance(env, NS_PER_S);
	assert_true(env_time_ns(env) == 1020 + NS_PER_S);
	assert_int_equal(env_random(env, a, 16), 0);
	assert_int_equal(env_random(same, b, 16), 0);
	assert_memory_equal(a, b, 16);
	env_mem_create_durable(env, "f", "good");
	assert_int_equal(env_mem_patch(env, "f", "X", 1, 1), 0);
	assert_int_equal(env_mem_patch(env, "g", "X", 1, 1), -ENOENT);
	assert_string_equal(env_mem_text(env, "f"), "gXod");
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "gXod");
	env_mem_stats(env, &stats);
	assert_int_equal(stats.ops, 4);
	assert_int_equal(stats.writes, 1);
	assert_int_equal(stats.bytes_written, 4);
	assert_int_equal(stats.syncs, 1);
	assert_int_equal(stats.dir_syncs, 1);
	after = env_mem_power_cycle(env, ENV_MEM_KEPT, 1);
	assert_true(env_time_ns(after) > 1030 + NS_PER_S);
	env_mem_free(after);
	env_mem_free(env);
	env_mem_free(same);
}

/* Random writes, truncations and allocations against a flat array, then a KEPT power cycle. */
static void test_contents_against_array(void **state)
{
	static uint8_t model[70000], got[70000];
	struct env *env = env_mem_new(1), *after;
	size_t size = 0;
	struct rng rng;
	int fd = env_mem_create(env, "f", "");

	(void)state;
	rng_init(&rng, rng_seed_of_run(3));
	for (int i = 0; i < 3000; i++) {
		size_t offset = rng_below(&rng, 60000), len = rng_below(&rng, 10000);
		uint64_t kind = rng_below(&rng, 20);
		uint8_t fill = (uint8_t)rng_below(&rng, 3);

		if (kind == 0) {
			assert_int_equal(env_truncate(env, fd, offset), 0);
			memset(model + offset, 0, sizeof(model) - offset);
			size = offset;
		} else if (kind == 1) {
			assert_int_equal(env_allocate(env, fd, offset, len + 1), 0);
			size = MAX(size, offset + len + 1);
		} else if (kind == 2) {
			assert_int_equal(env_fdatasync(env, fd), 0);
		} else {
			memset(got, fill, len);
			assert_int_equal(env_pwrite(env, fd, got, len, offset), 0);
			memset(model + offset, fill, len);
			size = len ? MAX(size, offset + len) : size;
		}
		rng_assert(&rng, env_pread(env, fd, got, sizeof(got), 0) == (ssize_t)size);
		rng_assert(&rng, !memcmp(got, model, size));
	}
	assert_int_equal(env_dir_sync(env, ""), 0);
	after = env_mem_power_cycle(env, ENV_MEM_KEPT, 1);
	rng_assert(&rng, env_mem_read(after, "f", got, sizeof(got), 0) == (ssize_t)size);
	rng_assert(&rng, !memcmp(got, model, size));
	env_mem_free(after);
	env_mem_free(env);
}

static void test_same_seed_same_state(void **state)
{
	char text[2][8192];

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		ssize_t n[2];

		for (int i = 0; i < 2; i++) {
			struct env *env = env_mem_new(7), *after;
			int fd;

			env_mem_create_durable(env, "f", "");
			fd = env_open(env, "f", ENV_WRITE);
			for (uint64_t k = 0; k < 30; k++)
				assert_int_equal(env_pwrite(env, fd, "0123456789", 10, k * 250), 0);
			after = env_mem_power_cycle(env, ENV_MEM_RANDOM, seed);
			n[i] = env_mem_read(after, "f", text[i], sizeof(text[i]), 0);
			env_mem_free(after);
			env_mem_free(env);
		}
		assert_int_equal(n[0], n[1]);
		assert_memory_equal(text[0], text[1], (size_t)n[0]);
	}
}

static void *write_many(void *arg)
{
	struct env *env = arg;
	uintptr_t errors = 0;
	int fd = env_open(env, "f", ENV_WRITE);

	for (uint64_t i = 0; i < 500; i++) {
		errors += env_pwrite(env, fd, "x", 1, i) != 0;
		errors += env_fdatasync(env, fd) != 0;
	}
	env_close(env, fd);
	return (void *)errors;
}

static void test_threads(void **state)
{
	struct env *env = env_mem_new(1);
	struct env_mem_stats stats;
	pthread_t threads[4];

	(void)state;
	env_mem_create_durable(env, "f", "");
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, env), 0);
	for (size_t i = 0; i < 4; i++) {
		void *errors;

		assert_int_equal(pthread_join(threads[i], &errors), 0);
		assert_null(errors);
	}
	env_mem_stats(env, &stats);
	assert_int_equal(stats.writes, 2000);
	assert_int_equal(stats.ops, 3 + 4000);
	env_mem_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_off_stops_everything),
		cmocka_unit_test(test_kill_keeps_bytes_and_drops_locks),
		cmocka_unit_test(test_lock_and_errors),
		cmocka_unit_test(test_capacity),
		cmocka_unit_test(test_clock_random_patch_stats),
		cmocka_unit_test(test_contents_against_array),
		cmocka_unit_test(test_same_seed_same_state),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
