/* SPDX-License-Identifier: MIT
 *
 * The store directory: made whole or not at all, recognised, locked, refused with a sentence.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
#include "env_mem.h"
#include "journal_format.h"
#include "store.h"

static struct store *open_ok(struct env *env, int flags)
{
	struct reason reason = {0};
	struct store *s = NULL;
	int r = store_open(env, flags, &reason, &s);

	if (r)
		fail_msg("store_open: %d %s", r, reason.text);
	return s;
}

static void test_create_and_reopen(void **state)
{
	struct env *env = env_mem_new(1);
	struct store *s;
	uint8_t id[16];
	char text[64] = "";

	(void)state;
	assert_int_equal(store_present(env), 0);
	s = open_ok(env, STORE_CREATE);
	assert_true(s->created);
	assert_int_equal(s->version, FORMAT_VERSION);
	memcpy(id, s->id, 16);
	assert_true(env_mem_read(env, "LOCK", text, sizeof(text) - 1, 0) > 0);
	assert_int_equal(atol(text), getpid());
	store_close(s);
	assert_int_equal(store_present(env), 1);
	s = open_ok(env, 0);
	assert_false(s->created);
	assert_memory_equal(id, s->id, 16);
	assert_int_equal(s->seed, checksum_xxh3(id, 16, 0));
	store_close(s);
	assert_int_equal(env_mem_read(env, ".gitignore", text, sizeof(text), 0), 2);
	assert_true(env_mem_read(env, "README", text, sizeof(text), 0) == sizeof(text));
	env_mem_free(env);
}

static void test_missing_and_locked(void **state)
{
	struct env *env = env_mem_new(2);
	struct reason reason = {0};
	struct store *s, *t = NULL;
	char pid[24];

	(void)state;
	assert_int_equal(store_open(env, 0, &reason, &t), -ENOENT);
	assert_true(reason.text[0]);
	assert_int_equal(store_open(env, STORE_READ_ONLY, &reason, &t), -ENOENT);
	assert_null(t);
	s = open_ok(env, STORE_CREATE);
	assert_int_equal(store_open(env, STORE_CREATE, &reason, &t), -EWOULDBLOCK);
	(void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	assert_non_null(strstr(reason.text, pid));
	t = open_ok(env, STORE_READ_ONLY); /* a look is allowed meanwhile */
	assert_int_equal(t->lock_fd, -1);
	store_close(t);
	store_close(s);
	env_mem_free(env);
}

static void reseal(uint8_t *block)
{
	put_le64(block + FORMAT_OFFSET_CHECKSUM, checksum_xxh3(block, FORMAT_OFFSET_CHECKSUM, 0));
}

static void test_refusals(void **state)
{
	struct env *env = env_mem_new(3);
	uint8_t good[FORMAT_BLOCK_BYTES], block[FORMAT_BLOCK_BYTES];
	struct reason reason = {0};
	struct store *s = open_ok(env, STORE_CREATE);

	(void)state;
	store_close(s);
	assert_int_equal(env_mem_read(env, "FORMAT", good, sizeof(good), 0), sizeof(good));
	memcpy(block, good, sizeof(block));
	put_le16(block + FORMAT_OFFSET_VERSION, FORMAT_VERSION + 1);
	reseal(block);
	env_mem_patch(env, "FORMAT", block, sizeof(block), 0);
	assert_int_equal(store_open(env, 0, &reason, &s), -EPROTONOSUPPORT);
	memcpy(block, good, sizeof(block));
	put_le64(block + FORMAT_OFFSET_INCOMPATIBLE, UINT64_C(1) << 40);
	reseal(block);
	env_mem_patch(env, "FORMAT", block, sizeof(block), 0);
	assert_int_equal(store_open(env, 0, &reason, &s), -EPROTONOSUPPORT);
	assert_non_null(strstr(reason.text, "0x10000000000"));
	for (size_t i = 0; i < sizeof(good); i += 61) { /* any flipped byte is noticed */
		memcpy(block, good, sizeof(block));
		block[i] ^= 0x20;
		env_mem_patch(env, "FORMAT", block, sizeof(block), 0);
		assert_int_equal(store_open(env, 0, &reason, &s), -EBADMSG);
	}
	env_mem_patch(env, "FORMAT", good, sizeof(good), 0);
	store_close(open_ok(env, 0));
	env_mem_free(env);
}

static void put_file(struct env *env, const char *path, const char *text)
{
	int fd = env_open(env, path, ENV_WRITE | ENV_CREATE);

	assert_true(fd >= 0);
	assert_int_equal(env_pwrite(env, fd, text, strlen(text), 0), 0);
	env_close(env, fd);
}

static void test_foreign_files_are_kept(void **state)
{
	struct env *env = env_mem_new(4);
	struct reason reason = {0};
	struct store *s;
	char text[8] = "";

	(void)state;
	put_file(env, "README", "mine\n");
	assert_int_equal(env_mkdir(env, "content"), 0);
	put_file(env, "content/a", "a\n");
	store_close(open_ok(env, STORE_CREATE));
	assert_int_equal(env_mem_read(env, "README.found", text, 5, 0), 5);
	assert_string_equal(text, "mine\n");
	assert_int_equal(env_mem_read(env, "content.found/a", text, 2, 0), 2);
	assert_false(store_owns_name("README.found"));
	assert_true(store_owns_name("journal"));
	assert_true(store_owns_name("FORMAT.tmp"));
	assert_false(store_owns_name("FORMATS"));
	env_mem_free(env);
	/* Segments without FORMAT are a damaged store, never a place for a new one. */
	env = env_mem_new(5);
	assert_int_equal(env_mkdir(env, "journal"), 0);
	put_file(env, "journal/00000001.seg", "x");
	assert_int_equal(store_open(env, STORE_CREATE, &reason, &s), -EBADMSG);
	env_mem_free(env);
}

static void test_power_cut_while_creating(void **state)
{
	bool done = false;

	(void)state;
	for (uint64_t n = 1; !done; n++) {
		struct env *env = env_mem_new(n);
		struct store *s = NULL;

		env_mem_power_off_at(env, n);
		int r = store_open(env, STORE_CREATE, NULL, &s);

		if (!r)
			store_close(s);
		done = !env_mem_is_off(env);
		for (int mode = ENV_MEM_LOST; mode <= ENV_MEM_RANDOM; mode++) {
			for (uint64_t seed = 0; seed < 4; seed++) {
				struct env *after = env_mem_power_cycle(env, mode, seed);
				struct store *t = open_ok(after, STORE_CREATE);

				if (!r)
					assert_false(t->created);
				store_close(t);
				env_mem_free(after);
			}
		}
		env_mem_free(env);
		assert_true(n < 200);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_and_reopen),
		cmocka_unit_test(test_missing_and_locked),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_foreign_files_are_kept),
		cmocka_unit_test(test_power_cut_while_creating),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
