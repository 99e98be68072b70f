/* SPDX-License-Identifier: MIT
 *
 * A store that has lost something: what was acknowledged is never taken for a torn tail while an index snapshot knows of it, what a snapshot
 * knows outlives the record, and FORMAT comes back from the segments. What a mount and fsck make of it is in tests/mount/test_fsck.sh.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "checksum.h"
#include "../../core/journal_codec.h" /* to make a header */

#define SEGMENT "journal/00000001.seg"

/* Two files, saved and closed; the store is closed with a snapshot of the second. */
static struct env *saved_store(void)
{
	struct env *env = env_mem_new(11);
	struct engine *e = fixture_open_ok(env);

	assert_int_equal(fixture_save_text(e, "one.txt", "one"), 0);
	assert_int_equal(fixture_save_text(e, "two.txt", "two"), 0);
	assert_int_equal(engine_close(e), 0);
	return env;
}

static void drop_snapshot_of(void *arg, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "index/%s", name);
	assert_int_equal(env_unlink(arg, path), 0);
}

static int drop_snapshot(void *arg, const char *name, bool is_dir)
{
	if (!is_dir)
		drop_snapshot_of(arg, name);
	return 0;
}

static void invert(struct env *env, uint64_t offset)
{
	uint8_t byte;

	assert_int_equal(env_mem_read(env, SEGMENT, &byte, 1, offset), 1);
	byte ^= 0xff;
	assert_int_equal(env_mem_patch(env, SEGMENT, &byte, 1, offset), 0);
}

/* Inverts the last byte of the last frame; returns where that was. */
static uint64_t spoil_end(struct env *env)
{
	size_t size = 1u << 20;
	uint8_t *bytes = malloc(size);
	ssize_t n = env_mem_read(env, SEGMENT, bytes, size, 0);

	assert_true(n > 0);
	while (n && !bytes[n - 1])
		n--;
	free(bytes);
	invert(env, (uint64_t)(n - 1));
	return (uint64_t)(n - 1);
}

/* Inverts a byte of the frame that holds @text. */
static void spoil_text(struct env *env, const char *text)
{
	size_t size = 1u << 20;
	char *bytes = malloc(size), *at;
	ssize_t n = env_mem_read(env, SEGMENT, bytes, size, 0);

	assert_true(n > 0);
	at = memmem(bytes, (size_t)n, text, strlen(text));
	assert_non_null(at);
	invert(env, (uint64_t)(at - bytes));
	free(bytes);
}

static uint64_t head_after(struct env *env, struct engine **ret, const char *problem)
{
	struct engine_health health;
	struct engine_stats s;

	*ret = fixture_open_ok(env);
	engine_get_stats(*ret, &s);
	assert_int_equal(s.recovery.damage_count, problem ? 1 : 0);
	engine_get_health(*ret, &health);
	assert_int_equal(health.status, problem ? ENGINE_DEGRADED : ENGINE_HEALTHY);
	assert_true(!problem || strstr(health.why.data, problem));
	buf_release(&health.why);
	return engine_head_seq(*ret);
}

static void test_lost_end_is_damage_when_a_snapshot_knows_of_it(void **state)
{
	struct env *env = saved_store();
	struct engine *e = fixture_open_ok(env);
	uint64_t head = engine_head_seq(e), spoiled;
	uint8_t before[64], after[64];

	(void)state;
	assert_int_equal(engine_close(e), 0);
	spoiled = spoil_end(env);
	assert_int_equal(env_mem_read(env, SEGMENT, before, sizeof(before), spoiled + 1 - sizeof(before)), sizeof(before));
	assert_int_equal(head_after(env, &e, "an index snapshot holds transaction"), head); /* the number is not given again */
	assert_string_equal(fixture_text(e, "one.txt"), "one");
	assert_string_equal(fixture_text(e, "two.txt"), "(none)");
	assert_int_equal(fixture_save_text(e, "three.txt", "three"), 0);
	assert_int_equal(engine_head_seq(e), head + 1);
	assert_int_equal(engine_close(e), 0);

	/* Nothing was cut off: what was damaged is still there, now in the middle. */
	assert_int_equal(env_list(env, "index", drop_snapshot, env), 0);
	assert_int_equal(head_after(env, &e, "cannot be read"), head + 1);
	assert_string_equal(fixture_text(e, "one.txt"), "one");
	assert_string_equal(fixture_text(e, "three.txt"), "three");
	assert_int_equal(engine_close(e), 0);
	assert_int_equal(env_mem_read(env, SEGMENT, after, sizeof(after), spoiled + 1 - sizeof(after)), sizeof(after));
	assert_memory_equal(before, after, sizeof(after));
	env_mem_free(env);
}

/* Two transactions of one write: the second says nothing of the first being durable. */
static struct env *store_of_one_write(void)
{
	struct env *env = env_mem_new(11);
	struct engine *e = fixture_open_ok(env);
	struct tree_attr attr;
	struct request q;

	fixture_request(&q);
	assert_int_equal(engine_mkdir(e, &q, TREE_ROOT_INO, "dir-one", 0755, &attr), 0);
	assert_int_equal(engine_mkdir(e, &q, TREE_ROOT_INO, "dir-two", 0755, &attr), 0);
	assert_int_equal(engine_close(e), 0);
	spoil_text(env, "dir-one");
	return env;
}

static void test_what_follows_a_lost_one_is_kept_when_a_snapshot_knows_of_both(void **state)
{
	struct env *env = store_of_one_write();
	struct engine_options opt = {.segment_bytes = 2u << 20, .read_only = true, .no_index = true};
	struct engine_stats s;
	struct engine *e = fixture_open_ok(env);

	(void)state;
	engine_get_stats(e, &s);
	opt.durable_seq = s.snapshot_seq;
	assert_true(s.snapshot_seq && s.snapshot_seq == engine_head_seq(e));
	assert_int_equal(engine_close(e), 0);
	assert_int_equal(engine_open(env, &opt, NULL, &e), 0);
	engine_get_stats(e, &s);
	assert_int_equal(s.recovery.damage_count, 1);
	assert_int_equal(fixture_ino(e, "dir-one"), 0);
	assert_true(fixture_ino(e, "dir-two") != 0);
	assert_int_equal(engine_close(e), 0);
	env_mem_free(env);
}

static void test_what_follows_a_lost_one_goes_with_it_without_a_snapshot(void **state)
{
	struct env *env = store_of_one_write();
	struct engine *e;

	(void)state;
	assert_int_equal(env_list(env, "index", drop_snapshot, env), 0);
	(void)head_after(env, &e, NULL);
	assert_int_equal(fixture_ino(e, "dir-two"), 0);
	assert_int_equal(engine_close(e), 0);
	env_mem_free(env);
}

static void test_lost_end_without_a_snapshot_is_a_torn_tail(void **state)
{
	struct env *env = saved_store();
	struct engine *e = fixture_open_ok(env);
	uint64_t head = engine_head_seq(e);

	(void)state;
	assert_int_equal(engine_close(e), 0);
	spoil_end(env);
	assert_int_equal(env_list(env, "index", drop_snapshot, env), 0);
	assert_int_equal(head_after(env, &e, NULL), head - 1);
	assert_int_equal(engine_close(e), 0);
	env_mem_free(env);
}

static void test_all_segments_lost(void **state)
{
	struct env *env = saved_store();
	struct engine *e = fixture_open_ok(env);
	uint64_t head = engine_head_seq(e);

	(void)state;
	assert_int_equal(engine_close(e), 0);
	for (char path[] = SEGMENT; path[15] < '9'; path[15]++) {
		int r = env_unlink(env, path);

		assert_true(!r || r == -ENOENT);
	}
	assert_int_equal(head_after(env, &e, "an index snapshot holds transaction"), head + 1); /* the fixed directories were made again */
	assert_int_equal(fixture_save_text(e, "new.txt", "new"), 0);
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(env);
	assert_string_equal(fixture_text(e, "new.txt"), "new");
	assert_int_equal(engine_close(e), 0);
	env_mem_free(env);
}

/* A snapshot of after the damage goes on knowing the name. */
static void test_snapshot_outlives_a_record_in_the_middle(void **state)
{
	struct env *env = env_mem_new(11);
	struct engine *e = fixture_open_ok(env);
	struct reason reason;

	(void)state;
	assert_int_equal(fixture_save_text(e, "one.txt", "one"), 0);
	assert_int_equal(engine_sync(e), 0);
	spoil_end(env);
	assert_int_equal(fixture_save_text(e, "two.txt", "two"), 0);
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(env);
	assert_true(fixture_ino(e, "one.txt") != 0);
	assert_string_equal(fixture_text(e, "one.txt"), "(error)");
	assert_string_equal(fixture_text(e, "two.txt"), "two");
	assert_int_equal(engine_close(e), 0);
	assert_int_equal(store_check_format(env, &reason), 0);
	env_mem_free(env);
}

/* Events before the damaged one are given, then it fails, then it goes on. */
static void test_events_around_a_damaged_record(void **state)
{
	const struct event_log_key all = {0};
	struct env *env = env_mem_new(11);
	struct engine *e = fixture_open_ok(env);
	struct buf whole = BUF_INIT, piece = BUF_INIT;
	uint64_t at;

	(void)state;
	assert_int_equal(fixture_save_text(e, "one.txt", "one"), 0);
	assert_int_equal(fixture_save_text(e, "two.txt", "two"), 0);
	assert_int_equal(fixture_save_text(e, "three.txt", "three"), 0);
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(env);
	assert_int_equal(engine_read_events(e, &all, 0, 1u << 20, &whole), 0);
	assert_int_equal(engine_close(e), 0);
	spoil_text(env, "two.txt");
	e = fixture_open_ok(env);
	assert_int_equal(engine_read_events(e, &all, 0, 1u << 20, &piece), 0);
	assert_true(piece.len < whole.len && strstr(piece.data, "one.txt") && !strstr(piece.data, "two.txt"));
	assert_memory_equal(piece.data, whole.data, piece.len);
	at = piece.len;
	buf_clear(&piece);
	assert_int_equal(engine_read_events(e, &all, at, 1u << 20, &piece), -EIO);
	assert_int_equal(engine_read_events(e, &all, at + 5, 1, &piece), -EIO);
	at = (uint64_t)(strchr(whole.data + at, '\n') + 1 - whole.data);
	assert_int_equal(engine_read_events(e, &all, at - 1, 1, &piece), -EIO);
	buf_clear(&piece);
	assert_int_equal(engine_read_events(e, &all, at, 1u << 20, &piece), 0);
	assert_string_equal(piece.data, whole.data + at);
	assert_int_equal(engine_close(e), 0);
	buf_release(&whole);
	buf_release(&piece);
	env_mem_free(env);
}

/* ---- FORMAT ---- */

static void assert_format_comes_back(struct env *env)
{
	struct reason reason = {0};
	uint8_t id[16];
	struct engine *e;

	assert_int_not_equal(fixture_open(env, &reason, &e), 0);
	assert_non_null(strstr(reason.text, "fsck --repair"));
	assert_int_not_equal(store_check_format(env, &reason), 0);
	assert_int_equal(journal_find_store_id(env, id), 0);
	assert_int_equal(store_rebuild_format(env, id, &reason), 0);
	assert_int_equal(store_check_format(env, &reason), 0);
	e = fixture_open_ok(env);
	assert_string_equal(fixture_text(e, "two.txt"), "two");
	assert_int_equal(engine_close(e), 0);
}

static void test_format_comes_back(void **state)
{
	struct env *env = saved_store();

	(void)state;
	assert_int_equal(env_unlink(env, "FORMAT"), 0);
	assert_format_comes_back(env);
	assert_int_equal(env_mem_patch(env, "FORMAT", "?", 1, 2000), 0);
	assert_format_comes_back(env);
	assert_int_equal(env_mem_patch(env, "FORMAT", "?", 1, 3), 0);
	assert_format_comes_back(env);
	env_mem_free(env);
}

/* Not while somebody works there, and what is whole stays as it is. */
static void test_format_that_is_whole_stays(void **state)
{
	uint8_t before[FORMAT_BLOCK_BYTES], after[FORMAT_BLOCK_BYTES], id[16] = "somebody else's";
	struct env *env = saved_store();
	struct engine *e = fixture_open_ok(env);
	struct reason reason;

	(void)state;
	assert_int_equal(env_mem_read(env, "FORMAT", before, sizeof(before), 0), sizeof(before));
	assert_int_equal(store_rebuild_format(env, id, &reason), -EWOULDBLOCK);
	assert_int_equal(engine_close(e), 0);
	assert_int_equal(store_rebuild_format(env, id, &reason), 0);
	assert_int_equal(env_mem_read(env, "FORMAT", after, sizeof(after), 0), sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
	env_mem_free(env);
}

/* A segment of which there is only the header. */
static void put_segment(struct env *env, uint32_t number, uint32_t header_number, uint8_t id)
{
	struct store store = {.id = {id}};
	struct file_header h = {.magic = FILE_MAGIC_SEGMENT, .kind = POSITION_JOURNAL, .number = header_number};
	uint8_t block[FORMAT_BLOCK_BYTES];
	char path[32];
	int fd;

	store.seed = checksum_xxh3(store.id, sizeof(store.id), 0);
	codec_file_header_encode(&store, &h, block);
	snprintf(path, sizeof(path), "journal/%08x.seg", number);
	fd = env_open(env, path, ENV_WRITE | ENV_CREATE);
	assert_true(fd >= 0);
	assert_int_equal(env_pwrite(env, fd, block, sizeof(block), 0), 0);
	env_close(env, fd);
}

static void test_whose_segments(void **state)
{
	struct env *env = env_mem_new(1);
	uint8_t id[16];

	(void)state;
	assert_int_equal(journal_find_store_id(env, id), -ENOENT);
	assert_int_equal(env_mkdir(env, "journal"), 0);
	assert_int_equal(journal_find_store_id(env, id), -ENOENT);
	put_segment(env, 0x11, 0x12, 3); /* under a number that is not its own it vouches for nothing */
	assert_int_equal(journal_find_store_id(env, id), -ENOENT);
	put_segment(env, 0x1a, 0x1a, 5);
	put_segment(env, 0x1b, 0x1b, 5);
	assert_int_equal(journal_find_store_id(env, id), 0);
	assert_int_equal(id[0], 5);
	put_segment(env, 0x1c, 0x1c, 6);
	assert_int_equal(journal_find_store_id(env, id), -EUCLEAN);
	assert_int_equal(env_mem_patch(env, "journal/0000001c.seg", "?", 1, 100), 0);
	assert_int_equal(journal_find_store_id(env, id), 0);
	env_mem_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lost_end_is_damage_when_a_snapshot_knows_of_it),
		cmocka_unit_test(test_lost_end_without_a_snapshot_is_a_torn_tail),
		cmocka_unit_test(test_what_follows_a_lost_one_is_kept_when_a_snapshot_knows_of_both),
		cmocka_unit_test(test_what_follows_a_lost_one_goes_with_it_without_a_snapshot),
		cmocka_unit_test(test_all_segments_lost),
		cmocka_unit_test(test_snapshot_outlives_a_record_in_the_middle),
		cmocka_unit_test(test_events_around_a_damaged_record),
		cmocka_unit_test(test_format_comes_back),
		cmocka_unit_test(test_format_that_is_whole_stays),
		cmocka_unit_test(test_whose_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
