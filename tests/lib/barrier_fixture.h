/* SPDX-License-Identifier: MIT
 *
 * Barriers of an engine in memory (cmocka).
 */
#ifndef MILESTONEFS_TEST_BARRIER_FIXTURE_H
#define MILESTONEFS_TEST_BARRIER_FIXTURE_H

#include "session_fixture.h"

/** An engine with the session s1, whose agents a and b are registered. */
struct engine *barrier_fixture_open(struct env *env);
/** What a reader of the barrier's `wait` gets: "" while it goes on, the system's words for an error. By name, or by the directory's inode. */
const char *barrier_fixture_result(struct engine *e, const char *name);
const char *barrier_fixture_result_of(struct engine *e, uint64_t dir_ino);

#endif
