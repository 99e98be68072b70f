/* SPDX-License-Identifier: MIT
 *
 * An engine in memory with a session, its agents, and a clock to turn: what tests of the state model begin with. All of it asserts (cmocka).
 */
#ifndef MILESTONEFS_TEST_SESSION_FIXTURE_H
#define MILESTONEFS_TEST_SESSION_FIXTURE_H

#include "checkpoint.h"
#include "engine_fixture.h"
#include "registry.h"

#define S1 "state/sessions/s1"
#define AGENTS S1 "/agents/"
#define A1 AGENTS "a.yaml"
#define SYNC AGENTS ".sync/"

#define FIXTURE_START_NS (1795341600 * NS_PER_S) /**< 2026-11-22T10:00:00Z */
#define FIXTURE_FIRST "checkpoint-1795341600"    /**< of a session made then */
#define DAY_S 86400

/** *@state is an in-memory environment whose clock is at FIXTURE_START_NS. */
int fixture_env_setup(void **state);
int fixture_env_teardown(void **state);
#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_env_setup, fixture_env_teardown)

/** An engine with the session s1, new or there already, before any upkeep. */
struct engine *fixture_open_session(struct env *env);
/** The same after its first upkeep; @yaml is saved as session.yaml before (NULL: nothing is). */
struct engine *fixture_open_upkept(struct env *env, const char *yaml);
void fixture_close_ok(struct engine *e);
/** A daemon that remembers nothing. The clock goes on. */
struct engine *fixture_reopen(struct env *env, struct engine *e);
void fixture_put(struct engine *e, const char *path, const char *text);
/** Restore s1 from a checkpoint, durably; *@ret (NULL allowed) as checkpoint_restore() says. 0 or what the engine says. */
int fixture_restore(struct engine *e, const char *checkpoint, struct restore_result *ret);
/** Spoil a byte of the first place on the medium that holds @text; nobody has the store open. */
void fixture_spoil(struct env *env, const char *text);

/* --- time ---------------------------------------------------------------------- */

/** Upkeep once, so much later. */
void fixture_later(struct env *env, struct engine *e, int64_t seconds);
/** Let so much time pass, with upkeep whenever it is due, as the thread that calls it does. Returns how often that was. */
unsigned fixture_pass(struct env *env, struct engine *e, int64_t seconds);

/* --- who is there ---------------------------------------------------------------- */

struct session *fixture_session(struct engine *e, const char *id);
struct agent *fixture_agent(struct engine *e, const char *session, const char *id);
void fixture_heartbeat(struct engine *e, const char *path);
/** The status of an agent of s1, in its file and in memory. */
void fixture_expect_status(struct engine *e, const char *agent, const char *status);

/* --- what files and events say ------------------------------------------------------- */

void fixture_expect_says(struct engine *e, const char *path, const char *text);
/** The member (dotted) of a YAML file as text: a list's items joined with blanks, "null", "(none)". Good for three calls more. */
const char *fixture_member(struct engine *e, const char *path, const char *member);
/** Items of a list. */
size_t fixture_member_count(struct engine *e, const char *path, const char *member);
/** Events of the global log, or of a session's (NULL: global), that hold @text. */
unsigned fixture_count_events(struct engine *e, const char *text);
unsigned fixture_count_session_events(struct engine *e, const char *session, const char *text);

#endif
