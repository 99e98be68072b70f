/* SPDX-License-Identifier: MIT
 *
 * The in-memory environment loses power, and its syncs and writes fail: what may be left, and what may not.
 */
#include <errno.h>
#include <string.h>

#include "cmocka_all.h"
#include "env_mem_files.h"
#include "util.h"

static const enum env_mem_mode all_modes[] = {ENV_MEM_LOST, ENV_MEM_KEPT, ENV_MEM_TORN, ENV_MEM_RANDOM};

static void test_synced_survives_every_mode(void **state)
{
	struct env *env = env_mem_new(1);

	(void)state;
	env_mem_create_durable(env, "f", "synced");
	for (size_t i = 0; i < ARRAY_SIZE(all_modes); i++)
		for (uint64_t seed = 0; seed < 50; seed++) {
			struct env *after = env_mem_power_cycle(env, all_modes[i], seed);

			assert_string_equal(env_mem_text(after, "f"), "synced");
			env_mem_free(after);
		}
	env_mem_free(env);
}

static void test_unsynced_by_mode(void **state)
{
	struct env *env = env_mem_new(1);
	int fd;

	(void)state;
	env_mem_create_durable(env, "f", "old");
	fd = env_open(env, "f", ENV_WRITE);
	assert_int_equal(env_pwrite(env, fd, "newer", 5, 0), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "old");
	env_mem_expect_after(env, ENV_MEM_KEPT, "f", "newer");
	assert_int_equal(env_truncate(env, fd, 1), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "old");
	env_mem_expect_after(env, ENV_MEM_KEPT, "f", "n");
	assert_int_equal(env_fdatasync(env, fd), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "n");
	assert_int_equal(env_unlink(env, "f"), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "n");
	env_mem_expect_after(env, ENV_MEM_KEPT, "f", "-");
	assert_int_equal(env_dir_sync(env, ""), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "-");
	env_mem_free(env);
}

static void test_name_needs_its_own_sync(void **state)
{
	struct env *env = env_mem_new(1);
	int fd = env_mem_create(env, "f", "data");

	(void)state;
	assert_int_equal(env_fdatasync(env, fd), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "-");
	assert_int_equal(env_mkdir(env, "d"), 0);
	assert_int_equal(env_rename(env, "f", "d/f"), 0);
	assert_int_equal(env_dir_sync(env, "d"), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "d/f", "-"); /* d itself has no durable name */
	assert_int_equal(env_dir_sync(env, ""), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "d/f", "data");
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "-");
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
	env_mem_create_durable(env, "f", "");
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
	env_mem_create_durable(env, "f", "");
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
	env_mem_create_durable(env, "f", "old");
	env_mem_create_durable(env, "log", "l");
	fd = env_mem_create(env, "f.tmp", "new");
	assert_int_equal(env_fdatasync(env, fd), 0);
	assert_int_equal(env_rename(env, "f.tmp", "f"), 0);
	assert_int_equal(env_unlink(env, "log"), 0);
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct env *after = env_mem_power_cycle(env, ENV_MEM_RANDOM, seed);
		bool is_new = !strcmp(env_mem_text(after, "f"), "new");

		assert_true(is_new || !strcmp(env_mem_text(after, "f"), "old"));
		if (is_new)
			assert_string_equal(env_mem_text(after, "f.tmp"), "-");
		seen_old = seen_old || !is_new;
		seen_new = seen_new || is_new;
		seen_unlinked_log = seen_unlinked_log || (!is_new && !strcmp(env_mem_text(after, "log"), "-"));
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
	env_mem_create_durable(env, "log", "old");
	assert_int_equal(env_rename(env, "log", "log.1"), 0);
	env_close(env, env_open(env, "log", ENV_WRITE | ENV_CREATE));
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct env *after = env_mem_power_cycle(env, ENV_MEM_RANDOM, seed);
		bool here = !strcmp(env_mem_text(after, "log"), "old");
		bool moved = !strcmp(env_mem_text(after, "log.1"), "old");
		bool begun = !strcmp(env_mem_text(after, "log"), "");

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
	env_mem_create_durable(env, "f", "AAAA");
	fd = env_open(env, "f", ENV_WRITE);
	assert_int_equal(env_pwrite(env, fd, "B", 1, 0), 0);
	env_mem_stats(env, &stats);
	env_mem_fail_at(env, stats.ops + 1, EIO);
	assert_int_equal(env_fdatasync(env, fd), -EIO);
	assert_int_equal(env_pwrite(env, fd, "C", 1, 3), 0);
	assert_int_equal(env_fdatasync(env, fd), 0); /* says nothing about the B */
	assert_string_equal(env_mem_text(env, "f"), "BAAC");
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "AAAC");
	env_mem_expect_after(env, ENV_MEM_KEPT, "f", "BAAC");
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct env *after = env_mem_power_cycle(env, ENV_MEM_RANDOM, seed);
		const char *text = env_mem_text(after, "f");

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
		n = strlen(env_mem_text(env, "f"));
		assert_memory_equal(env_mem_text(env, "f"), "12345678", n);
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
	assert_string_equal(env_mem_text(env, "f"), "-");
	env_close(env, env_mem_create(env, "f", "x"));
	env_mem_fail_at(env, 4, EIO);
	assert_int_equal(env_rename(env, "f", "g"), -EIO);
	assert_string_equal(env_mem_text(env, "f"), "x");
	env_mem_fail_syncs(env, EIO);
	assert_int_equal(env_dir_sync(env, ""), -EIO);
	env_mem_fail_syncs(env, 0);
	assert_int_equal(env_dir_sync(env, ""), 0);
	env_mem_expect_after(env, ENV_MEM_LOST, "f", "-"); /* the failed sync left it in doubt for ever */
	env_mem_expect_after(env, ENV_MEM_KEPT, "f", "x");
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
				bool is_new = !strcmp(env_mem_text(after, "f"), "newer");

				assert_true(is_new || (r && !strcmp(env_mem_text(after, "f"), "old")));
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
