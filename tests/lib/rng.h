/* SPDX-License-Identifier: MIT
 *
 * A seeded random source (xorshift64*, Vigna 2016) for tests. The seed is in
 * RNG_SEED or fixed, so a run can be repeated; rng_report() prints it, and a
 * test calls it (or has it called at exit) when it fails.
 */
#ifndef MILESTONEFS_TEST_RNG_H
#define MILESTONEFS_TEST_RNG_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct rng {
	uint64_t state; /**< never 0 */
	uint64_t seed;  /**< what it was made from */
};

static inline void rng_init(struct rng *r, uint64_t seed)
{
	/* splitmix64, so that seeds 1, 2, 3 give unrelated sequences */
	uint64_t z = seed + 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	r->state = (z ^ (z >> 31)) | 1;
	r->seed = seed;
}

/** The seed of this run: the environment variable RNG_SEED, else @fallback. */
static inline uint64_t rng_seed_of_run(uint64_t fallback)
{
	const char *text = getenv("RNG_SEED");

	return text && *text ? strtoull(text, NULL, 0) : fallback;
}

static inline uint64_t rng_next(struct rng *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1du;
}

/** 0 … @bound - 1; @bound > 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t bound)
{
	return (rng_next(r) >> 11) % bound;
}

static inline int rng_coin(struct rng *r)
{
	return (int)(rng_next(r) >> 63);
}

/** Say how to repeat the run. */
static inline void rng_report(const struct rng *r, const char *what)
{
	fprintf(stderr, "%s: seed %llu (repeat with RNG_SEED=%llu)\n", what, (unsigned long long)r->seed, (unsigned long long)r->seed);
}

/** Print the seed when the condition is false, then fail the cmocka test. */
#define rng_assert(r, condition)                    \
	do {                                        \
		if (!(condition)) {                 \
			rng_report((r), __func__);  \
			fail_msg("%s", #condition); \
		}                                   \
	} while (0)

#endif
