/* SPDX-License-Identifier: MIT
 *
 * The in-memory environment keeps the durability contract of env.h, no more and
 * no less: what was synced survives every mode, what was not survives as the mode
 * says, faults fire where armed, and the same seed gives the same state.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "env_mem.h"
#include "rng.h"
#include "util.h"

static const enum env_mem_mode all_modes[] = {ENV_MEM_LOST, ENV_MEM_KEPT, ENV_MEM_TORN, ENV_MEM_RANDOM};

/* Contents of @path as text, "-" when it is not there. */
static const char *text_of(struct env *env, const char *path)
{
	static char text[256];
	ssize_t n = env_mem_read(env, path, text, sizeof(text) - 1, 0);

	if (n < 0)
		return "-";
	text[n] = '\0';
	return text;
}

static int create(struct env *env, const char *path, const char *text)
{
	int fd = env_open(env, path, ENV_WRITE | ENV_CREATE);

	if (fd >= 0 && *text)
		assert_int_equal(env_pwrite(env, fd, text, strlen(text), 0), 0);
	return fd;
}

static void create_durable(struct env *env, const char *path, const char *text)
{
	int fd = create(env, path, text);

	assert_true(fd >= 0);
	assert_int_equal(env_fdatasync(env, fd), 0);
	assert_int_equal(env_dir_sync(env, ""), 0);
	env_close(env, fd);
}

static void check_after(struct env *env, enum env_mem_mode mode, const char *path, const char *expected)
{
	struct env *after = env_mem_power_cycle(env, mode, 1);

	assert_string_equal(text_of(after, path), expected);
	env_mem_free(after);
}

static void test_synced_survives_every_mode(void **state)
{
	struct env *env = env_mem_new(1);

	(void)state;
	create_durable(env, "f", "synced");
	for (size_t i = 0; i < ARRAY_SIZE(all_modes); i++)
		for (uint64_t seed = 0; seed < 50; seed++) {
			struct env *after = env_mem_power_cycle(env, all_modes[i], seed);

			assert_string_equal(text_of(after, "f"), "synced");
			env_mem_free(after);
		}
	env_mem_free(env);
}

static void test_unsynced_by_mode(void **state)
{
	struct env *env = env_mem_new(1);
	int fd;

	(void)state;
	create_durable(env, "f", "old");
	fd = env_open(env, "f", ENV_WRITE);
	assert_int_equal(env_pwrite(env, fd, "newer", 5, 0), 0);
	check_after(env, ENV_MEM_LOST, "f", "old");
	check_after(env, ENV_MEM_KEPT, "f", "newer");
	assert_int_equal(env_truncate(env, fd, 1), 0);
	check_after(env, ENV_MEM_LOST, "f", "old");
	check_after(env, ENV_MEM_KEPT, "f", "n");
	assert_int_equal(env_fdatasync(env, fd), 0);
	check_after(env, ENV_MEM_LOST, "f", "n");
	assert_int_equal(env_unlink(env, "f"), 0);
	check_after(env, ENV_MEM_LOST, "f", "n");
	check_after(env, ENV_MEM_KEPT, "f", "-");
	assert_int_equal(env_dir_sync(env, ""), 0);
	check_after(env, ENV_MEM_LOST, "f", "-");
	env_mem_free(env);
}

static void test_name_needs_its_own_sync(void **state)
{
	struct env *env = env_mem_new(1);
	int fd = create(env, "f", "data");

	(void)state;
	assert_int_equal(env_fdatasync(env, fd), 0);
	check_after(env, ENV_MEM_LOST, "f", "-");
	assert_int_equal(env_mkdir(env, "d"), 0);
	assert_int_equal(env_rename(env, "f", "d/f"), 0);
	assert_int_equal(env_dir_sync(env, "d"), 0);
	check_after(env, ENV_MEM_LOST, "d/f", "-"); /* d itself has no durable name */
	assert_int_equal(env_dir_sync(env, ""), 0);
	check_after(env, ENV_MEM_LOST, "d/f", "data");
	check_after(env, ENV_MEM_LOST, "f", "-");
	env_mem_free(env);
}

static void test_torn_write_is_sectors(void **state)
{
	struct env *env = env_mem_new(1);
	char old[4096], new[4096], got[4096];
	bool seen_some = false, seen_prefix = false, seen_hole = false;
	int fd;

	(void)state;
	memset(old, 'o', sizeof(old));
	memset(new, 'n', sizeof(new));
	create_durable(env, "f", "");
	fd = env_open(env, "f", ENV_WRITE);
	assert_int_equal(env_pwrite(env, fd, old, sizeof(old), 0), 0);
	assert_int_equal(env_fdatasync(env, fd), 0);
	assert_int_equal(env_pwrite(env, fd, new, 3000, 100), 0);
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct env *after = env_mem_power_cycle(env, ENV_MEM_TORN, seed);
		int changes = 0;

		assert_int_equal(env_mem_read(after, "f", got, sizeof(got), 0), sizeof(got));
		for (size_t i = 0; i < sizeof(got); i++) {
			assert_true(got[i] == 'o' || (got[i] == 'n' && i >= 100 && i < 3100));
			if (i && got[i] != got[i - 1]) {
				assert_true(i == 100 || i == 3100 || i % 512 == 0);
				changes++;
			}
		}
		seen_some = seen_some || changes;
		seen_prefix = seen_prefix || (got[100] == 'n' && got[3099] == 'o' && changes == 2);
		seen_hole = seen_hole || changes > 2;
		env_mem_free(after);
	}
	assert_true(seen_some && seen_prefix && seen_hole);
	env_mem_free(env);
}

/* Two writes, neither synced: all four outcomes must turn up, among them the second without the first. */
static void test_random_reorders(void **state)
{
	struct env *env = env_mem_new(1);
	unsigned seen = 0;
	int fd;

	(void)state;
	create_durable(env, "f", "");
	fd = env_open(env, "f", ENV_WRITE);
	assert_int_equal(env_allocate(env, fd, 0, 8192), 0);
	assert_int_equal(env_fdatasync(env, fd), 0);
	assert_int_equal(env_pwrite(env, fd, "a", 1, 0), 0);
	assert_int_equal(env_pwrite(env, fd, "b", 1, 4096), 0);
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct env *after = env_mem_power_cycle(env, ENV_MEM_RANDOM, seed);
		char a = 1, b = 1;

		assert_int_equal(env_mem_read(after, "f", &a, 1, 0), 1);
		assert_int_equal(env_mem_read(after, "f", &b, 1, 4096), 1);
		assert_true((a == 'a' || !a) && (b == 'b' || !b));
		seen |= 1u << ((a == 'a') + 2 * (b == 'b'));
		env_mem_free(after);
	}
	assert_int_equal(seen, 15);
	env_mem_free(env);
}

/* Whatever survives, the name shows the old or the new file, whole: the promise of rename after fdatasync. */
static void test_rename_is_atomic(void **state)
{
	struct env *env = env_mem_new(1);
	bool seen_old = false, seen_new = false, seen_unlinked_log = false;
	int fd;

	(void)state;
	create_durable(env, "f", "old");
	create_durable(env, "log", "l");
	fd = create(env, "f.tmp", "new");
	assert_int_equal(env_fdatasync(env, fd), 0);
	assert_int_equal(env_rename(env, "f.tmp", "f"), 0);
	assert_int_equal(env_unlink(env, "log"), 0);
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct env *after = env_mem_power_cycle(env, ENV_MEM_RANDOM, seed);
		bool is_new = !strcmp(text_of(after, "f"), "new");

		assert_true(is_new || !strcmp(text_of(after, "f"), "old"));
		if (is_new)
			assert_string_equal(text_of(after, "f.tmp"), "-");
		seen_old = seen_old || !is_new;
		seen_new = seen_new || is_new;
		seen_unlinked_log = seen_unlinked_log || (!is_new && !strcmp(text_of(after, "log"), "-"));
		env_mem_free(after);
	}
	assert_true(seen_old && seen_new && seen_unlinked_log);
	env_mem_free(env);
}

/* A log moved away and begun anew: no subset of that loses the old bytes, for both steps are on one name. */
static void test_one_name_has_one_history(void **state)
{
	struct env *env = env_mem_new(1);
	unsigned seen = 0;

	(void)state;
	create_durable(env, "log", "old");
	assert_int_equal(env_rename(env, "log", "log.1"), 0);
	env_close(env, env_open(env, "log", ENV_WRITE | ENV_CREATE));
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct env *after = env_mem_power_cycle(env, ENV_MEM_RANDOM, seed);
		bool here = !strcmp(text_of(after, "log"), "old");
		bool moved = !strcmp(text_of(after, "log.1"), "old");
		bool begun = !strcmp(text_of(after, "log"), "");

		assert_true(here != moved);
		assert_true(moved || !begun);
		seen |= 1u << (moved + begun);
		env_mem_free(after);
	}
	assert_int_equal(seen, 7);
	env_mem_free(env);
}

static void test_failed_sync_leaves_doubt(void **state)
{
	struct env *env = env_mem_new(1);
	struct env_mem_stats stats;
	bool seen_lost = false, seen_kept = false;
	int fd;

	(void)state;
	create_durable(env, "f", "AAAA");
	fd = env_open(env, "f", ENV_WRITE);
	assert_int_equal(env_pwrite(env, fd, "B", 1, 0), 0);
	env_mem_stats(env, &stats);
	env_mem_fail_at(env, stats.ops + 1, EIO);
	assert_int_equal(env_fdatasync(env, fd), -EIO);
	assert_int_equal(env_pwrite(env, fd, "C", 1, 3), 0);
	assert_int_equal(env_fdatasync(env, fd), 0); /* says nothing about the B */
	assert_string_equal(text_of(env, "f"), "BAAC");
	check_after(env, ENV_MEM_LOST, "f", "AAAC");
	check_after(env, ENV_MEM_KEPT, "f", "BAAC");
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct env *after = env_mem_power_cycle(env, ENV_MEM_RANDOM, seed);
		const char *text = text_of(after, "f");

		assert_true(!strcmp(text, "AAAC") || !strcmp(text, "BAAC"));
		seen_lost = seen_lost || text[0] == 'A';
		seen_kept = seen_kept || text[0] == 'B';
		env_mem_free(after);
	}
	assert_true(seen_lost && seen_kept);
	env_mem_free(env);
}

static void test_failed_write_may_be_partial(void **state)
{
	bool seen_part = false;

	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct env *env = env_mem_new(seed);
		int fd = env_open(env, "f", ENV_WRITE | ENV_CREATE);
		size_t n;

		env_mem_fail_at(env, 2, ENOSPC);
		assert_int_equal(env_pwrite(env, fd, "12345678", 8, 0), -ENOSPC);
		n = strlen(text_of(env, "f"));
		assert_memory_equal(text_of(env, "f"), "12345678", n);
		seen_part = seen_part || (n && n < 8);
		assert_int_equal(env_pwrite(env, fd, "x", 1, 0), 0);
		env_mem_free(env);
	}
	assert_true(seen_part);
}

static void test_failing_names(void **state)
{
	struct env *env = env_mem_new(1);

	(void)state;
	env_mem_fail_at(env, 1, ENOSPC);
	assert_int_equal(env_open(env, "f", ENV_WRITE | ENV_CREATE), -ENOSPC);
	assert_string_equal(text_of(env, "f"), "-");
	env_close(env, create(env, "f", "x"));
	env_mem_fail_at(env, 4, EIO);
	assert_int_equal(env_rename(env, "f", "g"), -EIO);
	assert_string_equal(text_of(env, "f"), "x");
	env_mem_fail_syncs(env, EIO);
	assert_int_equal(env_dir_sync(env, ""), -EIO);
	env_mem_fail_syncs(env, 0);
	assert_int_equal(env_dir_sync(env, ""), 0);
	check_after(env, ENV_MEM_LOST, "f", "-"); /* the failed sync left it in doubt for ever */
	check_after(env, ENV_MEM_KEPT, "f", "x");
	env_mem_free(env);
}

/* The sequence every atomic save runs, cut at each of its operations in each mode: old or new, and new once it returned 0. */
static void test_replace_file_at_every_cut(void **state)
{
	bool seen_new_unacknowledged = false;
	uint64_t cuts = 0;

	(void)state;
	for (uint64_t cut = 1;; cut++) {
		struct env *env = env_mem_new(cut);
		struct env_mem_stats stats;
		int r;

		assert_int_equal(env_replace_file(env, "", "f", "old", 3), 0);
		env_mem_stats(env, &stats);
		env_mem_power_off_at(env, stats.ops + cut);
		r = env_replace_file(env, "", "f", "newer", 5);
		assert_true(env_mem_is_off(env) ? r == -EIO : r == 0);
		for (size_t i = 0; i < ARRAY_SIZE(all_modes); i++)
			for (uint64_t seed = 0; seed < 20; seed++) {
				struct env *after = env_mem_power_cycle(env, all_modes[i], seed);
				bool is_new = !strcmp(text_of(after, "f"), "newer");

				assert_true(is_new || (r && !strcmp(text_of(after, "f"), "old")));
				seen_new_unacknowledged = seen_new_unacknowledged || (r && is_new);
				env_mem_free(after);
			}
		env_mem_free(env);
		cuts = cut - 1;
		if (!r)
			break;
	}
	assert_int_equal(cuts, 6); /* create, truncate, write, sync, rename, sync of the directory */
	assert_true(seen_new_unacknowledged);
}

static void test_power_off_stops_everything(void **state)
{
	struct env *env = env_mem_new(1);
	struct env_space space;
	char c;
	int fd;

	(void)state;
	create_durable(env, "f", "x");
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
	check_after(env, ENV_MEM_LOST, "f", "x");
	check_after(env, ENV_MEM_KEPT, "f", "y"); /* the write in flight may have arrived */
	env_mem_free(env);
}

static void test_kill_keeps_bytes_and_drops_locks(void **state)
{
	struct env *env = env_mem_new(1);
	int fd = create(env, "f", "written");

	(void)state;
	assert_int_equal(env_lock(env, fd), 0);
	env_mem_kill_at(env, 3);
	assert_int_equal(env_rename(env, "f", "g"), -EIO);
	assert_int_equal(env_open(env, "f", ENV_READ), -EIO);
	env_mem_kill(env);
	assert_string_equal(text_of(env, "f"), "written");
	fd = env_open(env, "f", ENV_WRITE);
	assert_true(fd >= 0);
	assert_int_equal(env_lock(env, fd), 0);
	check_after(env, ENV_MEM_LOST, "f", "-"); /* yet nothing was synced */
	assert_int_equal(env_fdatasync(env, fd), 0);
	assert_int_equal(env_dir_sync(env, ""), 0);
	check_after(env, ENV_MEM_LOST, "f", "written");
	env_mem_free(env);
}

static void test_lock_and_errors(void **state)
{
	struct env *env = env_mem_new(1);
	int one = create(env, "f", ""), two = env_open(env, "f", ENV_READ);
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
	int fd = create(env, "f", "");

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
	create_durable(env, "f", "good");
	assert_int_equal(env_mem_patch(env, "f", "X", 1, 1), 0);
	assert_int_equal(env_mem_patch(env, "g", "X", 1, 1), -ENOENT);
	assert_string_equal(text_of(env, "f"), "gXod");
	check_after(env, ENV_MEM_LOST, "f", "gXod");
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
	int fd = create(env, "f", "");

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

			create_durable(env, "f", "");
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
	create_durable(env, "f", "");
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
		cmocka_unit_test(test_synced_survives_every_mode),
		cmocka_unit_test(test_unsynced_by_mode),
		cmocka_unit_test(test_name_needs_its_own_sync),
		cmocka_unit_test(test_torn_write_is_sectors),
		cmocka_unit_test(test_random_reorders),
		cmocka_unit_test(test_rename_is_atomic),
		cmocka_unit_test(test_one_name_has_one_history),
		cmocka_unit_test(test_failed_sync_leaves_doubt),
		cmocka_unit_test(test_failed_write_may_be_partial),
		cmocka_unit_test(test_failing_names),
		cmocka_unit_test(test_replace_file_at_every_cut),
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
