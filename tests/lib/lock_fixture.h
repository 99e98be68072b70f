/* SPDX-License-Identifier: MIT
 *
 * Lock files on an engine in memory, and processes that live or not as a test says (cmocka).
 */
#ifndef MILESTONEFS_TEST_LOCK_FIXTURE_H
#define MILESTONEFS_TEST_LOCK_FIXTURE_H

#include "lock_file.h"
#include "session_fixture.h"

#define LOCKS "state/.locks/"
#define OWN_PID 4242 /**< engine_fixture.h: who writes */

/** fixture_env_setup(), and no process lives. */
int lock_fixture_setup(void **state);
#define LOCK_TEST(f) cmocka_unit_test_setup_teardown(f, lock_fixture_setup, fixture_env_teardown)

/** An engine with the session s1, new or there already, that asks here which processes live. */
struct engine *lock_fixture_open(struct env *env);
/** These processes live, and no others; 0: none. */
void lock_fixture_living(uint32_t pid, uint32_t other_pid);
/** Write the lock file @name as process @pid of agent @agent in @session would. */
void lock_fixture_put_as(struct engine *e, const char *name, const char *text, uint32_t pid, const char *agent, const char *session);
bool lock_fixture_held(struct engine *e, const char *name);
/** After upkeep: is the process's end waited for? */
bool lock_fixture_watched(struct engine *e, uint32_t pid);
/** The process ends, and upkeep does what follows. */
void lock_fixture_process_ends(struct engine *e, uint32_t pid);
/** What is known of a lock that is held, but its name; nothing to release. */
struct lock_info lock_fixture_info(struct engine *e, const char *name);

#endif
