/* SPDX-License-Identifier: MIT
 *
 * The queue by time, against an array that is searched.
 */
#include <stdlib.h>

#include "cmocka_all.h"
#include "due.h"
#include "rng.h"
#include "util.h"

#define THINGS 300

static int64_t naive_first(const struct due *things)
{
	int64_t ns = INT64_MAX;

	for (size_t i = 0; i < THINGS; i++)
		if (things[i].queued)
			ns = MIN(ns, things[i].ns);
	return ns;
}

static void test_against_an_array(void **state)
{
	struct due things[THINGS] = {{0}};
	struct due_queue q = {0};
	struct rng g;

	(void)state;
	rng_init(&g, rng_seed_of_run(1));
	for (int i = 0; i < 200000; i++) {
		struct due *d = &things[rng_below(&g, THINGS)];
		bool fills = i / 1000 % 2; /* it grows, and it shrinks */
		size_t queued = 0;

		if (q.first && rng_below(&g, 3) == 0)
			d = q.first;
		if (rng_below(&g, 4) > (fills ? 0u : 2u))
			due_set(&q, d, rng_below(&g, 10) ? (int64_t)rng_below(&g, 1000) : (int64_t)rng_next(&g));
		else
			due_remove(&q, d);
		for (size_t k = 0; k < THINGS; k++)
			queued += things[k].queued;
		rng_assert(&g, !q.first == !queued);
		rng_assert(&g, !q.first || (q.first->queued && q.first->ns == naive_first(things)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
