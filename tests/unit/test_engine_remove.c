/* SPDX-License-Identifier: MIT
 *
 * A session is removed whole, in one transaction, or not at all; history and the event log stay, and after a restart all is the same.
 */
#include <errno.h>

#include "checkpoint.h"
#include "cmocka_all.h"
#include "session_fixture.h"

static void test_whole_in_one_transaction(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	uint64_t before, ino;
	struct sha256 live, again, old, old_again;

	assert_int_equal(fixture_mkdir(e, S1), 0);
	ino = fixture_ino(e, S1);
	before = engine_head_seq(e);
	fixture_digest(e, before, &old);
	assert_int_equal(fixture_rmdir(e, S1), 0);
	assert_int_equal(engine_head_seq(e), before + 1);
	assert_int_equal(fixture_ino(e, S1), 0);
	assert_int_equal(fixture_ino(e, S1 "/session.yaml"), 0);
	assert_int_equal(fixture_rmdir(e, S1), -ENOENT);
	assert_int_equal(fixture_count_events(e, "\"session_removed\""), 1);
	assert_int_equal(fixture_count_events(e, "\"directory_removed\""), 0);
	fixture_digest(e, SEQ_LIVE, &live);
	for (int i = 0; i < 2; i++) { /* replayed, then from a snapshot */
		if (i)
			fixture_close_ok(e);
		else
			fixture_kill(*state, e);
		e = fixture_open_ok(*state);
		fixture_digest(e, SEQ_LIVE, &again);
		assert_memory_equal(&again, &live, sizeof(live));
		fixture_digest(e, before, &old_again);
		assert_memory_equal(&old_again, &old, sizeof(old));
	}
	assert_int_equal(fixture_mkdir(e, S1), 0);
	assert_true(fixture_ino(e, S1) > ino);
	assert_int_not_equal(fixture_ino(e, S1 "/events"), 0);
	fixture_put(e, S1 "/state/f", "x");
	assert_int_equal(fixture_count_events(e, "\"session_initialized\""), 2);
	fixture_close_ok(e);
}

/* As rm -r leaves it: session.yaml is gone already. */
static void test_without_session_yaml(void **state)
{
	struct engine *e = fixture_open_ok(*state);

	assert_int_equal(fixture_mkdir(e, S1), 0);
	assert_int_equal(fixture_unlink(e, S1 "/session.yaml"), 0);
	assert_int_equal(fixture_rmdir(e, S1), 0);
	assert_int_equal(fixture_ino(e, S1), 0);
	fixture_close_ok(e);
}

static void test_nothing_real_is_lost(void **state)
{
	static const char *const files[] = {S1 "/state/f", S1 "/agents/a.yaml", S1 "/own", S1 "/events.txt"};
	struct engine *e = fixture_open_ok(*state);
	struct tree_attr attr;
	struct request q;
	uint64_t head;

	assert_int_equal(fixture_mkdir(e, S1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		fixture_put(e, files[i], "a: 1\n");
		head = engine_head_seq(e);
		assert_int_equal(fixture_rmdir(e, S1), -ENOTEMPTY);
		assert_int_equal(engine_head_seq(e), head);
		assert_memory_equal(fixture_text(e, files[i]), "a: 1\n", 5);
		assert_int_not_equal(fixture_ino(e, S1 "/session.yaml"), 0);
		assert_int_equal(fixture_unlink(e, files[i]), 0);
	}
	assert_int_equal(fixture_mkdir(e, S1 "/mine"), 0);
	assert_int_equal(fixture_rmdir(e, S1), -ENOTEMPTY);
	assert_int_equal(fixture_rmdir(e, S1 "/mine"), 0);
	/* a name that somebody is about to write to, also that of session.yaml */
	fixture_request(&q);
	assert_int_equal(engine_create(e, &q, fixture_ino(e, S1 "/state"), "new", 0644, &attr), 0);
	assert_int_equal(fixture_rmdir(e, S1), -ENOTEMPTY);
	assert_int_equal(fixture_unlink(e, S1 "/state/new"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/session.yaml"), 0);
	assert_int_equal(engine_create(e, &q, fixture_ino(e, S1), "session.yaml", 0644, &attr), 0);
	assert_int_equal(fixture_rmdir(e, S1), -ENOTEMPTY);
	assert_int_equal(fixture_unlink(e, S1 "/session.yaml"), 0);
	assert_int_equal(fixture_rmdir(e, S1), 0);
	fixture_close_ok(e);
}

/* What the daemon made by itself goes along; what somebody asked for does not. */
static void test_the_daemons_own_goes_along(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	struct tree_attr attr;
	struct request q;

	assert_int_equal(fixture_mkdir(e, S1), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/agents/.sync/build"), 0);
	assert_int_equal(fixture_rmdir(e, S1), -ENOTEMPTY);
	assert_int_equal(fixture_rmdir(e, S1 "/agents/.sync/build"), 0);
	assert_int_not_equal(fixture_ino(e, S1 "/agents/.sync/build.yaml"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/mine"), 0);
	assert_int_equal(fixture_rmdir(e, S1), -ENOTEMPTY);
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints/mine"), 0);
	fixture_request(&q);
	for (int i = 0; i < 1000; i++) /* more names than an ordinary transaction has room for */
		assert_int_equal(checkpoint_create(e, &q, "s1", NULL, "periodic", NULL, &attr), 0);
	assert_int_equal(fixture_rmdir(e, S1), 0);
	assert_int_equal(fixture_ino(e, S1), 0);
	assert_int_equal(fixture_mkdir(e, S1), 0);
	assert_int_equal(fixture_ino(e, S1 "/agents/.sync/build.yaml"), 0);
	fixture_close_ok(e);
}

static void test_skeleton_goes_with_its_session_only(void **state)
{
	static const char *const parts[] = {
		S1 "/state", S1 "/agents", S1 "/agents/.sync", S1 "/agents/.health", S1 "/events", S1 "/checkpoints", S1 "/recovery"};
	struct engine *e = fixture_open_ok(*state);

	assert_int_equal(fixture_mkdir(e, S1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		assert_int_equal(fixture_rmdir(e, parts[i]), -EPERM);
		assert_int_equal(fixture_rename(e, parts[i], S1 "/x", 0), -EPERM);
		assert_int_not_equal(fixture_ino(e, parts[i]), 0);
	}
	fixture_close_ok(e);
}

/* What somebody writes to session.yaml meanwhile is kept, as with any file removed by another. */
static void test_open_draft_is_kept(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	struct request q;
	struct draft *d;

	assert_int_equal(fixture_mkdir(e, S1), 0);
	fixture_request(&q);
	q.actor.pid += 1;
	assert_int_equal(draft_open(e, fixture_ino(e, S1 "/session.yaml"), DRAFT_WHOLE, &q.actor, &d), 0);
	assert_int_equal(draft_write(d, &q.actor, 0, "session: {}\n", 12), 0);
	assert_int_equal(fixture_rmdir(e, S1), 0);
	assert_int_equal(draft_commit(d, &q, 0), 0);
	draft_close(d);
	assert_int_equal(fixture_count_events(e, "\"conflict_detected\""), 1);
	assert_int_equal(fixture_ino(e, S1), 0);
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_whole_in_one_transaction),
		FIXTURE_TEST(test_without_session_yaml),
		FIXTURE_TEST(test_nothing_real_is_lost),
		FIXTURE_TEST(test_the_daemons_own_goes_along),
		FIXTURE_TEST(test_skeleton_goes_with_its_session_only),
		FIXTURE_TEST(test_open_draft_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
