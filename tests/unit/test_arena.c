/* SPDX-License-Identifier: MIT
 *
 * The draft arena and the content store: what was answered is met again, what
 * ended is not, space comes back, broken records harm only themselves, and
 * content is durable once synced.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "env_mem.h"
#include "journal_format.h"
#include "rng.h"

#define DRAFTS_MAX 64
#define CONTENT_BYTES 5000

struct seen {
	uint64_t records[DRAFTS_MAX]; /* by draft id */
	uint64_t bytes[DRAFTS_MAX];
	uint64_t total;
	bool wrong;
};

static uint8_t byte_of(uint64_t id, uint64_t offset, size_t i)
{
	return (uint8_t)(id * 31 + offset * 7 + i);
}

static int see(void *arg, const struct arena_record *r, uint64_t position)
{
	struct seen *s = arg;

	if (r->draft_id >= DRAFTS_MAX || position_kind(position) != POSITION_DRAFT) {
		s->wrong = true;
		return 0;
	}
	s->total++;
	s->records[r->draft_id]++;
	s->bytes[r->draft_id] += r->len;
	for (size_t i = 0; r->type == ARENA_DRAFT_WRITE && i < r->len; i++)
		s->wrong |= ((const uint8_t *)r->data)[i] != byte_of(r->draft_id, r->file_offset, i);
	return 0;
}

struct both {
	struct store *store;
	struct arena *arena;
	struct seen seen;
};

static int open_both(struct both *b, struct env *env, bool read_only)
{
	int r;

	*b = (struct both){0};
	r = store_open(env, read_only ? STORE_READ_ONLY : STORE_CREATE, NULL, &b->store);
	if (r < 0)
		return r;
	r = arena_open(b->store, read_only, see, &b->seen, &b->arena);
	if (r)
		store_close(b->store);
	return r;
}

static void close_both(struct both *b)
{
	arena_close(b->arena);
	store_close(b->store);
}

static int put(struct arena *a, uint64_t id, enum arena_record_type type, uint64_t file_offset, size_t len, uint64_t *ret_position)
{
	uint8_t *data = malloc(len + 1);
	struct arena_record r = {.draft_id = id, .type = type, .file_offset = file_offset, .data = data, .len = len};
	int e;

	for (size_t i = 0; i < len; i++)
		data[i] = byte_of(id, file_offset, i);
	e = arena_draft_append(a, &r, ret_position);
	free(data);
	return e;
}

static void test_drafts_survive(void **state)
{
	struct env *env = env_mem_new(1);
	uint8_t back[100];
	uint64_t position;
	struct arena_stats stats;
	struct both b;

	(void)state;
	assert_int_equal(open_both(&b, env, false), 0);
	for (uint64_t id = 1; id <= 3; id++) {
		assert_int_equal(put(b.arena, id, ARENA_DRAFT_BEGIN, 0, 10, NULL), 0);
		assert_int_equal(put(b.arena, id, ARENA_DRAFT_WRITE, 5, 100, &position), 0);
		assert_int_equal(put(b.arena, id, ARENA_DRAFT_TRUNCATE, 50, 0, NULL), 0);
	}
	assert_int_equal(arena_read(b.arena, position, back, 100), 0);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(back[i], byte_of(3, 5, i));
	assert_int_equal(put(b.arena, 4, ARENA_DRAFT_END, 0, 0, NULL), -EINVAL);
	assert_int_equal(put(b.arena, 4, ARENA_DRAFT_WRITE, 0, ARENA_RECORD_MAX + 1, NULL), -EINVAL);
	arena_draft_end(b.arena, 2);
	arena_draft_end(b.arena, 60); /* never seen: nothing happens */
	arena_get_stats(b.arena, &stats);
	assert_int_equal(stats.drafts_live, 2);
	close_both(&b);

	for (int life = 0; life < 3; life++) { /* kept until they are ended, however often we come back */
		assert_int_equal(open_both(&b, env, life == 1), 0);
		assert_false(b.seen.wrong);
		assert_int_equal(b.seen.records[1], 3);
		assert_int_equal(b.seen.records[2], 0);
		assert_int_equal(b.seen.records[3], 3);
		if (life == 2) {
			arena_draft_end(b.arena, 1);
			arena_draft_end(b.arena, 3);
			arena_get_stats(b.arena, &stats);
			assert_int_equal(stats.draft_files, 0);
		}
		close_both(&b);
	}
	assert_int_equal(open_both(&b, env, false), 0);
	assert_int_equal(b.seen.total, 0);
	close_both(&b);
	env_mem_free(env);
}

/* Drafts over several files: files go when their last draft ends, and an end counts for all of a draft's files. */
static void test_space_comes_back(void **state)
{
	struct env *env = env_mem_new(1);
	struct arena_stats stats;
	struct both b;

	(void)state;
	assert_int_equal(open_both(&b, env, false), 0);
	for (int i = 0; i < 40; i++) { /* 20 MiB each, interleaved, and a small one that stays in the first file */
		if (i == 0)
			assert_int_equal(put(b.arena, 9, ARENA_DRAFT_WRITE, 0, 10, NULL), 0);
		assert_int_equal(put(b.arena, 1 + (uint64_t)i % 2, ARENA_DRAFT_WRITE, 0, ARENA_RECORD_MAX, NULL), 0);
	}
	arena_get_stats(b.arena, &stats);
	assert_true(stats.draft_files >= 5);
	arena_draft_end(b.arena, 1);
	arena_get_stats(b.arena, &stats);
	assert_true(stats.draft_files >= 5);
	arena_draft_end(b.arena, 2);
	arena_get_stats(b.arena, &stats);
	assert_int_equal(stats.draft_files, 2); /* the first, for draft 9, and the current */
	assert_int_equal(stats.drafts_live, 1);
	close_both(&b);
	assert_int_equal(open_both(&b, env, false), 0);
	assert_int_equal(b.seen.total, 1); /* nothing of 1 and 2, though their bytes are in draft 9's file */
	assert_int_equal(b.seen.records[9], 1);
	close_both(&b);
	env_mem_free(env);
}

static void test_id_used_again(void **state)
{
	struct env *env = env_mem_new(1);
	struct both b;

	(void)state;
	assert_int_equal(open_both(&b, env, false), 0);
	assert_int_equal(put(b.arena, 1, ARENA_DRAFT_WRITE, 0, 10, NULL), 0);
	assert_int_equal(put(b.arena, 2, ARENA_DRAFT_WRITE, 0, 10, NULL), 0); /* keeps the file */
	arena_draft_end(b.arena, 1);
	close_both(&b);
	assert_int_equal(open_both(&b, env, false), 0);
	assert_int_equal(put(b.arena, 1, ARENA_DRAFT_WRITE, 0, 20, NULL), 0); /* a new life, a newer file */
	close_both(&b);
	assert_int_equal(open_both(&b, env, false), 0);
	assert_int_equal(b.seen.records[1], 1);
	assert_int_equal(b.seen.bytes[1], 20);
	assert_int_equal(b.seen.records[2], 1);
	close_both(&b);
	env_mem_free(env);
}

/* A record broken anywhere hides itself only. With ENGINE_CRASH_STEP=n every n-th of the places is tried. */
static void test_broken_records(void **state)
{
	const char *text = getenv("ENGINE_CRASH_STEP");
	const uint64_t step = text && atoi(text) > 0 ? (uint64_t)atoi(text) : 1;
	struct env *env = env_mem_new(1);
	uint64_t positions[20];
	struct both b;

	(void)state;
	assert_int_equal(open_both(&b, env, false), 0);
	for (uint64_t id = 0; id < 20; id++)
		assert_int_equal(put(b.arena, id, ARENA_DRAFT_WRITE, id, 50 + id * 13, &positions[id]), 0);
	for (uint64_t hit = 0; hit < 20; hit++) {
		const uint64_t begin = position_offset(positions[hit]) - FRAME_HEADER_BYTES;

		for (uint64_t at = 0; at < FRAME_HEADER_BYTES + 50 + hit * 13; at += 3 * step) {
			struct env *copy = env_mem_power_cycle(env, ENV_MEM_KEPT, 1);
			uint8_t byte;
			struct both c;

			assert_int_equal(env_mem_read(copy, "drafts/00000001.arena", &byte, 1, begin + at), 1);
			byte ^= 0x11;
			assert_int_equal(env_mem_patch(copy, "drafts/00000001.arena", &byte, 1, begin + at), 0);
			assert_int_equal(open_both(&c, copy, false), 0);
			assert_false(c.seen.wrong);
			assert_int_equal(c.seen.total, 19);
			assert_int_equal(c.seen.records[hit], 0);
			for (uint64_t id = 0; id < 20; id++)
				arena_draft_end(c.arena, id);
			close_both(&c);
			assert_int_equal(open_both(&c, copy, false), 0);
			assert_int_equal(c.seen.total, 0);
			close_both(&c);
			env_mem_free(copy);
		}
	}
	close_both(&b);
	env_mem_free(env);
}

static int append_content(struct arena *a, uint64_t n, uint64_t *ret_position)
{
	uint8_t data[CONTENT_BYTES];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = byte_of(n, 3, i);
	return arena_content_append(a, n, data, sizeof(data), ret_position);
}

static bool content_intact(struct arena *a, uint64_t n, uint64_t position)
{
	uint8_t data[CONTENT_BYTES];

	if (arena_content_verify(a, position, sizeof(data)) || arena_read(a, position, data, sizeof(data)))
		return false;
	for (size_t i = 0; i < sizeof(data); i++)
		if (data[i] != byte_of(n, 3, i))
			return false;
	return true;
}

/* Content synced before the power went is there, whatever happens to the rest; later content never overwrites it. */
static void test_content_power_cut(void **state)
{
	bool done = false;

	(void)state;
	for (uint64_t n = 1; !done; n++) {
		struct env *env = env_mem_new(n);
		uint64_t positions[16] = {0}, durable = 0, next = 0, extra;
		struct both b;

		env_mem_power_off_at(env, n);
		if (open_both(&b, env, false) == 0) {
			for (uint64_t i = 0; i < 12; i++) {
				(void)put(b.arena, 1, ARENA_DRAFT_WRITE, i, 300, NULL);
				if (append_content(b.arena, i, &positions[i]))
					break;
				next = i + 1;
				if (i % 3 == 2 && arena_content_sync(b.arena) == 0)
					durable = next;
			}
			close_both(&b);
		}
		done = !env_mem_is_off(env);
		for (uint64_t seed = 0; seed < 8; seed++) {
			struct env *after = env_mem_power_cycle(env, (enum env_mem_mode)(seed % 4), seed);

			if (durable || store_present(after) > 0) {
				assert_int_equal(open_both(&b, after, false), 0);
				assert_false(b.seen.wrong); /* drafts may be gone, never wrong */
				assert_int_equal(append_content(b.arena, 40, &extra), 0);
				for (uint64_t i = 0; i < durable; i++)
					assert_true(content_intact(b.arena, i, positions[i]));
				assert_true(content_intact(b.arena, 40, extra));
				close_both(&b);
			}
			env_mem_free(after);
		}
		env_mem_free(env);
	}
}

static void test_content_errors(void **state)
{
	struct env *env = env_mem_new(1);
	uint64_t position, other;
	struct both b;

	(void)state;
	assert_int_equal(open_both(&b, env, false), 0);
	assert_int_equal(append_content(b.arena, 1, &position), 0);
	assert_int_equal(arena_content_verify(b.arena, position, CONTENT_BYTES - 1), -EIO);
	assert_int_equal(arena_content_verify(b.arena, position + 8, CONTENT_BYTES), -EIO);
	assert_int_equal(arena_content_sync(b.arena), 0);
	env_mem_set_capacity(env, 1);
	assert_int_equal(put(b.arena, 1, ARENA_DRAFT_BEGIN, 0, 1, NULL), -ENOSPC);
	env_mem_set_capacity(env, 0);
	assert_int_equal(put(b.arena, 1, ARENA_DRAFT_BEGIN, 0, 1, NULL), 0);
	assert_int_equal(append_content(b.arena, 2, &other), 0);
	env_mem_fail_syncs(env, EIO);
	assert_int_equal(arena_content_sync(b.arena), -EIO);
	env_mem_fail_syncs(env, 0);
	assert_int_equal(arena_content_sync(b.arena), -EIO); /* sticky */
	assert_int_equal(append_content(b.arena, 3, &other), -EIO);
	assert_true(content_intact(b.arena, 1, position));
	assert_int_equal(env_mem_patch(env, "content/00000001.blk", "x", 1, position_offset(position) + 9), 0);
	assert_int_equal(arena_content_verify(b.arena, position, CONTENT_BYTES), -EIO);
	close_both(&b);
	env_mem_free(env);
}

struct crowd {
	struct arena *arena;
	_Atomic uint64_t next_id;
	_Atomic int failures;
};

static void *crowd_member(void *arg)
{
	struct crowd *c = arg;
	const uint64_t id = atomic_fetch_add(&c->next_id, 1);
	uint8_t back[3000];

	for (uint64_t i = 0; i < 300; i++) {
		size_t len = 1 + (size_t)(i * 37 % 3000);
		uint64_t position, content;

		if (put(c->arena, id, ARENA_DRAFT_WRITE, i, len, &position) || arena_read(c->arena, position, back, len) ||
			back[len - 1] != byte_of(id, i, len - 1))
			atomic_fetch_add(&c->failures, 1);
		if (i % 50 == 0 && (append_content(c->arena, id, &content) || arena_content_sync(c->arena) || !content_intact(c->arena, id, content)))
			atomic_fetch_add(&c->failures, 1);
		if (id % 2 && i % 20 == 19)
			arena_draft_end(c->arena, id);
	}
	return NULL;
}

/* On a full disk the file of drafts that have all ended gives its room to the next one. */
static void test_full_disk(void **state)
{
	struct env *env = env_mem_new(1);
	uint64_t position;
	struct both b;

	(void)state;
	assert_int_equal(open_both(&b, env, false), 0);
	assert_int_equal(put(b.arena, 1, ARENA_DRAFT_WRITE, 0, 10, NULL), 0);
	assert_int_equal(append_content(b.arena, 1, &position), 0);
	assert_false(arena_no_room(b.arena));
	env_mem_set_capacity(env, 28u << 20);  /* a file of drafts has 8, content takes 16 at a time */
	for (uint64_t id = 2; id < 40; id++) { /* 38 MiB go through 8, while each ends in time */
		if (id == 3)
			arena_draft_end(b.arena, 1);
		assert_int_equal(put(b.arena, id, ARENA_DRAFT_WRITE, 0, ARENA_RECORD_MAX, NULL), 0);
		arena_draft_end(b.arena, id);
	}
	assert_false(arena_no_room(b.arena));
	for (int i = 0; i < 8; i++)
		if (put(b.arena, 50, ARENA_DRAFT_WRITE, 0, ARENA_RECORD_MAX, NULL))
			break;
	assert_int_equal(put(b.arena, 50, ARENA_DRAFT_WRITE, 0, ARENA_RECORD_MAX, NULL), -ENOSPC);
	assert_true(arena_no_room(b.arena));
	assert_int_equal(arena_find_room(b.arena), -ENOSPC);
	assert_true(arena_no_room(b.arena));
	env_mem_set_capacity(env, 0);
	assert_int_equal(arena_find_room(b.arena), 0);
	assert_false(arena_no_room(b.arena));
	assert_int_equal(put(b.arena, 50, ARENA_DRAFT_WRITE, 0, ARENA_RECORD_MAX, NULL), 0);
	assert_true(content_intact(b.arena, 1, position));
	close_both(&b);
	env_mem_free(env);
}

static void test_concurrent_appenders(void **state)
{
	struct env *env = env_mem_new(1);
	struct crowd c = {.next_id = 1};
	pthread_t threads[8];
	struct both b;

	(void)state;
	assert_int_equal(open_both(&b, env, false), 0);
	c.arena = b.arena;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_member, &c), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(c.failures, 0);
	close_both(&b);
	assert_int_equal(open_both(&b, env, false), 0);
	assert_false(b.seen.wrong);
	for (uint64_t id = 1; id <= 8; id++)
		assert_int_equal(b.seen.records[id], id % 2 ? 0 : 300);
	close_both(&b);
	env_mem_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drafts_survive),
		cmocka_unit_test(test_space_comes_back),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_id_used_again),
		cmocka_unit_test(test_broken_records),
		cmocka_unit_test(test_content_power_cut),
		cmocka_unit_test(test_content_errors),
		cmocka_unit_test(test_concurrent_appenders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
