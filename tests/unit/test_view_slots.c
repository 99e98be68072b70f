/* SPDX-License-Identifier: MIT
 *
 * Which slot a view has, also among thousands, and that a renewed one comes back in another while the old one stays.
 */
#include "../../fs/view_slots.c"

#include "cmocka_all.h"

static int setup(void **state)
{
	*state = view_slots_new();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	view_slots_free(*state);
	return 0;
}

static uint32_t taken(struct view_slots *v, struct view view)
{
	struct view got = {0};
	uint32_t slot;

	assert_int_equal(view_slots_take(v, &view, &slot), 0);
	assert_true(view_slots_get(v, slot, &got));
	assert_true(same_view(&got, &view));
	return slot;
}

static void test_same_view_same_slot(void **state)
{
	const struct view a = {.seq = 7, .root_ino = 1}, others[] = {{8, 1, 0}, {7, 2, 0}, {7, 1, 5}, {1, 7, 0}};
	struct view_slots *v = *state;
	struct view got = {0};

	assert_false(view_slots_get(v, 0, &got));
	assert_int_equal(taken(v, a), 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(taken(v, others[i]), i + 1);
	assert_int_equal(taken(v, a), 0);
	assert_int_equal(taken(v, others[2]), 3);
	assert_false(view_slots_get(v, ARRAY_SIZE(others) + 1, &got));
}

/* Checkpoints of the same session, at neighbouring sequence numbers and in neighbouring directories. */
static void test_many(void **state)
{
	struct view_slots *v = *state;
	const uint32_t count = 20000;

	for (int twice = 0; twice < 2; twice++)
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(taken(v, (struct view){100 + i / 2, 25 + i % 2, 40 + i / 2 * 2}), i);
}

static void test_renewed(void **state)
{
	const struct view a = {7, 25, 40}, b = {7, 26, 40};
	struct view_slots *v = *state;
	struct view got = {0};
	uint32_t old = taken(v, a), beside = taken(v, b), fresh;

	view_slots_renew(v, old);
	view_slots_renew(v, old);
	assert_int_equal(v->count, 2); /* nothing is taken before somebody looks */
	fresh = taken(v, a);
	assert_int_not_equal(fresh, old);
	assert_int_equal(taken(v, a), fresh);
	assert_int_equal(taken(v, b), beside);
	assert_true(view_slots_get(v, old, &got)); /* who is in it goes on */
	assert_true(same_view(&got, &a));
	/* the old one's entries may go on being removed: the fresh one is nobody's yet */
	view_slots_renew(v, old);
	assert_int_equal(taken(v, a), fresh);
	view_slots_renew(v, 999);
	/* growing the table leads to the newest of the two */
	for (uint32_t i = 0; i < 1000; i++)
		(void)taken(v, (struct view){1000 + i, 25, 40});
	assert_int_equal(taken(v, a), fresh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same_view_same_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renewed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
