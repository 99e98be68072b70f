/* SPDX-License-Identifier: MIT
 *
 * How long something takes.
 */
#ifndef MILESTONEFS_TEST_STOPWATCH_H
#define MILESTONEFS_TEST_STOPWATCH_H

#include <time.h>

/** Seconds of a clock that is never set. */
static inline double stopwatch_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
