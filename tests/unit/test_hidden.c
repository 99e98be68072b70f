/* SPDX-License-Identifier: MIT
 *
 * What is hidden from whom, for how long, and which generation a directory has.
 */
#include "../../fs/hidden.c"

#include <stdio.h>

#include "cmocka_all.h"

static const struct hidden_process rm = {.tgid = 100, .start_time = 7}, reused = {.tgid = 100, .start_time = 8}, other = {.tgid = 101, .start_time = 7};

static int setup(void **state)
{
	*state = hidden_new();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	hidden_free(*state);
	return 0;
}

static void test_one_process_only(void **state)
{
	struct hidden *h = *state;

	assert_false(hidden_any(h));
	assert_int_equal(hidden_add(h, &rm, 5, "events", 0), 0);
	assert_int_equal(hidden_add(h, &rm, 5, "events", 0), 0);
	assert_true(hidden_any(h));
	assert_true(hidden_from(h, &rm, 5, "events", 1));
	assert_false(hidden_from(h, &reused, 5, "events", 1));
	assert_false(hidden_from(h, &other, 5, "events", 1));
	assert_false(hidden_from(h, &rm, 6, "events", 1));
	assert_false(hidden_from(h, &rm, 5, "event", 1));
	assert_true(hidden_in(h, 5, "events", 1));
	assert_true(hidden_in(h, 5, NULL, 1));
	assert_false(hidden_in(h, 5, "state", 1));
	assert_false(hidden_in(h, 6, NULL, 1));
	assert_false(hidden_remove(h, &other, 5, "events", 1));
	assert_true(hidden_remove(h, &rm, 5, "events", 1));
	assert_false(hidden_remove(h, &rm, 5, "events", 1));
	assert_false(hidden_any(h));
	assert_int_equal(hidden_add(h, &(struct hidden_process){0}, 5, "events", 1), 0);
	assert_false(hidden_any(h));
}

static void test_ends(void **state)
{
	const int64_t life = HIDDEN_S * NS_PER_S;
	struct hidden *h = *state;

	assert_int_equal(hidden_add(h, &rm, 5, "a", 0), 0);
	assert_int_equal(hidden_add(h, &other, 5, "a", 0), 0);
	assert_int_equal(hidden_add(h, &rm, 5, "b", life - 1), 0); /* it is still at it */
	assert_true(hidden_from(h, &other, 5, "a", life - 1));
	assert_false(hidden_from(h, &other, 5, "a", life));
	assert_true(hidden_from(h, &rm, 5, "a", life));
	assert_false(hidden_from(h, &rm, 5, "a", 2 * life - 1));
	assert_false(hidden_any(h));
}

static void test_bounded(void **state)
{
	struct hidden *h = *state;
	char name[32];

	assert_int_equal(hidden_add(h, &other, 5, "first", 0), 0);
	for (int i = 0; i < 3 * HIDDEN_MAX; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(hidden_add(h, &rm, 5, name, i + 1), 0);
		assert_true(hidden_from(h, &rm, 5, name, i + 1));
		assert_true(h->count <= HIDDEN_MAX);
	}
	assert_false(hidden_from(h, &other, 5, "first", 3 * HIDDEN_MAX));
}

static void test_generations(void **state)
{
	struct hidden *h = *state;
	uint64_t first;

	assert_int_equal(hidden_generation(h, 50), 0);
	assert_int_equal(hidden_renew(h, 50, 5), 0);
	first = hidden_generation(h, 50);
	assert_int_not_equal(first, 0);
	assert_int_equal(hidden_generation(h, 51), 0);
	assert_int_equal(hidden_renew(h, 51, 5), 0);
	assert_int_equal(hidden_renew(h, 61, 6), 0);
	assert_int_equal(hidden_renew(h, 50, 5), 0);
	assert_true(hidden_generation(h, 50) > first);
	assert_int_equal(hidden_add(h, &rm, 5, "a", 0), 0);
	assert_int_equal(hidden_add(h, &rm, 6, "a", 0), 0);
	hidden_forget(h, 5);
	assert_int_equal(hidden_generation(h, 50), 0);
	assert_int_equal(hidden_generation(h, 51), 0);
	assert_int_not_equal(hidden_generation(h, 61), 0);
	assert_false(hidden_from(h, &rm, 5, "a", 1));
	assert_true(hidden_from(h, &rm, 6, "a", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_process_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_generations, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
