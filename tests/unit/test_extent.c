/* SPDX-License-Identifier: MIT
 *
 * Extent maps against an array of bytes; appending a million times.
 */
#include <string.h>
#include <time.h>

#include "cmocka_all.h"
#include "extent.h"
#include "rng.h"
#include "util.h"

#define BYTES 300

/* What each byte should be: position * 1000 + offset in the block, 0 in holes. */
static void lay(uint64_t *bytes, const struct extent *e)
{
	for (uint64_t i = 0; i < e->len && e->file_offset + i < BYTES; i++)
		bytes[e->file_offset + i] = e->position ? e->position * 1000 + e->skip + i : 0;
}

static void compare(const struct extent_map *m, const uint64_t *bytes)
{
	uint64_t got[BYTES] = {0}, data = 0, end = 0;

	for (size_t i = 0; i < m->count; i++) {
		assert_true(m->items[i].len > 0 && m->items[i].position != 0);
		assert_true(m->items[i].file_offset >= end);
		end = m->items[i].file_offset + m->items[i].len;
		data += m->items[i].len;
		lay(got, &m->items[i]);
	}
	assert_int_equal(m->data_bytes, data);
	assert_memory_equal(got, bytes, sizeof(got));
}

static void compare_range(struct rng *rng, const struct extent_map *m, const uint64_t *bytes)
{
	uint64_t from = rng_below(rng, BYTES), len = rng_below(rng, BYTES), got[BYTES] = {0}, covered;
	struct extent out[3];
	size_t n = extent_map_range(m, from, len, out, 1 + rng_below(rng, 3), &covered);

	assert_true(covered >= from && covered <= from + len);
	for (size_t i = 0; i < n; i++) {
		assert_true(out[i].file_offset >= from && out[i].file_offset + out[i].len <= covered);
		lay(got, &out[i]);
	}
	for (uint64_t i = from; i < covered && i < BYTES; i++)
		assert_int_equal(got[i], bytes[i]);
}

static void test_random(void **state)
{
	struct rng rng;

	(void)state;
	rng_init(&rng, rng_seed_of_run(1));
	for (int run = 0; run < 200; run++) {
		struct extent_map m = {0}, copy = {0};
		uint64_t bytes[BYTES] = {0};

		for (int i = 0; i < 100; i++) {
			struct extent e = {.file_offset = rng_below(&rng, BYTES - 50), .len = rng_below(&rng, 50)};

			if (rng_below(&rng, 4)) {
				e.position = 1 + (uint64_t)i;
				e.skip = (uint32_t)rng_below(&rng, 5);
				e.raw_len = e.stored_len = (uint32_t)e.len + 5;
			} else if (!rng_below(&rng, 10)) {
				e.len = EXTENT_TO_END - e.file_offset;
			}
			assert_int_equal(extent_map_reserve(&m, 1), 0);
			extent_map_insert(&m, &e);
			lay(bytes, &e);
			compare(&m, bytes);
			compare_range(&rng, &m, bytes);
		}
		assert_int_equal(extent_map_copy(&m, &copy), 0);
		compare(&copy, bytes);
		extent_map_release(&m);
		extent_map_release(&copy);
	}
}

static void test_clip(void **state)
{
	struct extent e = {.file_offset = 10, .len = 10, .position = 7, .raw_len = 15, .stored_len = 15, .skip = 5};

	(void)state;
	extent_clip(&e, 12, 18);
	assert_int_equal(e.file_offset, 12);
	assert_int_equal(e.len, 6);
	assert_int_equal(e.skip, 7);
	extent_clip(&e, 30, 40);
	assert_int_equal(e.len, 0);
	e = (struct extent){.file_offset = 5, .len = EXTENT_TO_END - 5};
	extent_clip(&e, 100, EXTENT_TO_END);
	assert_int_equal(e.len, EXTENT_TO_END - 100);
	assert_int_equal(e.skip, 0);
}

static void test_find(void **state)
{
	struct extent_map m = {0};
	struct extent a = {10, 5, 1, 5, 5, 0}, b = {20, 5, 2, 5, 5, 0};

	(void)state;
	assert_int_equal(extent_map_find(&m, 0), 0);
	assert_int_equal(extent_map_reserve(&m, 2), 0);
	extent_map_insert(&m, &b);
	extent_map_insert(&m, &a);
	assert_int_equal(extent_map_find(&m, 0), 0);
	assert_int_equal(extent_map_find(&m, 14), 0);
	assert_int_equal(extent_map_find(&m, 15), 1);
	assert_int_equal(extent_map_find(&m, 24), 1);
	assert_int_equal(extent_map_find(&m, 25), 2);
	extent_map_release(&m);
}

/* A million appends; an insert that searched or moved anything would take minutes. */
static void test_append_million(void **state)
{
	struct extent_map m = {0};

	(void)state;
	for (uint64_t i = 0; i < 1000000; i++) {
		struct extent e = {i * 200, 200, i + 1, 200, 200, 0};

		assert_int_equal(extent_map_reserve(&m, 1), 0);
		extent_map_insert(&m, &e);
	}
	assert_int_equal(m.count, 1000000);
	assert_int_equal(m.data_bytes, 200000000);
	extent_map_release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_clip),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_append_million),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
