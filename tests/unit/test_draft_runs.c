/* SPDX-License-Identifier: MIT
 *
 * A draft written in many small pieces, in all more than a frame carries: what is published are the bytes that were written, and the
 * content store grows by about as many.
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"
#include "env_mem.h"

#define BYTES 500000u

static void check(struct engine *e, const char *data, size_t piece, enum draft_kind kind)
{
	struct arena_stats before, after;
	struct engine_stats s;
	struct tree_attr attr;
	struct request q;
	struct draft *d;
	char *text;
	size_t len;

	engine_get_stats(e, &s);
	before = s.arena;
	fixture_request(&q);
	(void)fixture_unlink(e, "f.bin");
	assert_int_equal(engine_create(e, &q, TREE_ROOT_INO, "f.bin", 0644, &attr), 0);
	assert_int_equal(draft_open(e, attr.ino, kind, &q.actor, &d), 0);
	for (size_t at = 0; at < BYTES; at += piece)
		assert_int_equal(draft_write(d, &q.actor, at, data + at, MIN(piece, BYTES - at)), 0);
	assert_int_equal(draft_commit(d, &q, 0), 0);
	draft_close(d);
	assert_int_equal(fixture_read(e, "f.bin", SEQ_LIVE, &text, &len), 0);
	assert_int_equal(len, BYTES);
	assert_memory_equal(text, data, BYTES);
	free(text);
	engine_get_stats(e, &s);
	after = s.arena;
	assert_in_range(after.content_bytes - before.content_bytes, BYTES, BYTES + BYTES / 4);
}

static void test_pieces(void **state)
{
	static const size_t pieces[] = {1000, 4096, 8192, 60000, 65535};
	static const enum draft_kind kinds[] = {DRAFT_WHOLE, DRAFT_APPEND, DRAFT_SHARED};
	struct env *env = env_mem_new(3);
	struct engine *e = fixture_open_ok(env);
	char *data = malloc(BYTES);

	(void)state;
	for (size_t i = 0; i < BYTES; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
			check(e, data, pieces[i], kinds[k]);
	free(data);
	assert_int_equal(engine_close(e), 0);
	env_mem_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
