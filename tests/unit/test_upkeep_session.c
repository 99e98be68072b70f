/* SPDX-License-Identifier: MIT
 *
 * What upkeep does for a session: the fields it keeps, expiry, checkpoints that are taken by themselves and go.
 */
#include <stdio.h>
#include <string.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "session_fixture.h"
#include "upkeep.h"

static int64_t mtime_of(struct engine *e, const char *path, int64_t *ret_ctime_ns)
{
	const struct node *n = tree_node(engine_tree(e), fixture_ino(e, path));
	struct tree_attr a;

	assert_int_equal(tree_attr_at(engine_tree(e), n, SEQ_LIVE, INT64_MAX, &a), 0);
	*ret_ctime_ns = a.ctime_ns;
	return a.mtime_ns;
}

/* ---- session.yaml ---- */

static void test_last_updated(void **state)
{
	struct engine *e = fixture_open_upkept(*state, "# kept\nsession:\n  type: 'x' # and this\nconfiguration: {auto_checkpoint: false}\n");
	char line[80], time[TIME_TEXT_BYTES];
	int64_t mtime_ns, ctime_ns;
	uint64_t head;

	for (int i = 0; i < 5; i++)
		fixture_put(e, S1 "/state/f", "x");
	time_format(fixture_session(e, "s1")->changed_ns, time);
	snprintf(line, sizeof(line), "last_updated: \"%s\"", time);
	head = engine_head_seq(e);
	mtime_ns = mtime_of(e, S1 "/session.yaml", &ctime_ns);
	fixture_pass(*state, e, 31);
	assert_int_equal(engine_head_seq(e), head + 1);
	fixture_expect_says(e, S1 "/session.yaml", line);
	assert_int_equal(mtime_of(e, S1 "/session.yaml", &ctime_ns), mtime_ns); /* nobody saved it */
	fixture_expect_says(e, S1 "/session.yaml", "  type: 'x' # and this\n");
	fixture_pass(*state, e, 600);
	assert_int_equal(engine_head_seq(e), head + 1);
	fixture_close_ok(e);
}

/* A list that says something else than is so is put right at once. */
static void test_stale_lists(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	struct upkeep *u;
	uint64_t head;

	fixture_put(e, A1, "");
	fixture_expect_says(e, S1 "/session.yaml", "active_agents: [\"a\"]");
	assert_int_equal(fixture_unlink(e, A1), 0);
	u = e->upkeep;
	e->upkeep = NULL;        /* no orderly end of upkeep either */
	fixture_kill(*state, e); /* before the two seconds are over */
	upkeep_free(u);
	e = fixture_open_ok(*state);
	fixture_expect_says(e, S1 "/session.yaml", "active_agents: [\"a\"]");
	head = engine_head_seq(e);
	(void)upkeep_run(e);
	fixture_expect_says(e, S1 "/session.yaml", "active_agents: []");
	assert_int_equal(engine_head_seq(e), head + 1);
	(void)upkeep_run(e);
	assert_int_equal(engine_head_seq(e), head + 1);
	fixture_close_ok(e);
}

/* ---- expiry ---- */

static void test_expiry(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);
	uint64_t head;

	fixture_pass(*state, e, 14390);
	fixture_expect_says(e, S1 "/session.yaml", "status: \"active\"");
	fixture_pass(*state, e, 15);
	fixture_expect_says(e, S1 "/session.yaml", "status: \"expired\"");
	assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_EXPIRED);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 2);
	assert_int_equal(fixture_count_events(e, "\"reason\":\"expiry\""), 1);
	head = engine_head_seq(e);
	fixture_pass(*state, e, DAY_S);
	assert_int_equal(engine_head_seq(e), head);
	fixture_close_ok(e);
}

/* A changed duration holds at once; the time a session was reopened is known from history, also after a restart. */
static void test_expiry_changes(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);

	fixture_put(e, S1 "/session.yaml", "configuration: {max_session_duration: 100}\n");
	fixture_pass(*state, e, 90);
	assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_ACTIVE);
	fixture_pass(*state, e, 15);
	assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_EXPIRED);
	fixture_pass(*state, e, 1000);
	fixture_put(e, S1 "/session.yaml", "session: {status: active}\nconfiguration: {max_session_duration: 100}\n");
	fixture_pass(*state, e, 50);
	assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_ACTIVE);
	e = fixture_reopen(*state, e);
	fixture_pass(*state, e, 40);
	assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_ACTIVE);
	fixture_pass(*state, e, 15);
	assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_EXPIRED);
	fixture_close_ok(e);
}

static void replace_session_file(struct engine *e, const char *text)
{
	assert_int_equal(fixture_save_text(e, S1 "/temporary", text), 0);
	assert_int_equal(fixture_rename(e, S1 "/temporary", S1 "/session.yaml", 0), 0);
}

/* Tools replace the file: `sed -i` reopens a session like any other save, and what it says later does not make it older. */
static void test_reopened_by_replacement(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);

	replace_session_file(e, "configuration: {max_session_duration: 100}\n");
	fixture_pass(*state, e, 105);
	assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_EXPIRED);
	fixture_pass(*state, e, 1000);
	replace_session_file(e, "session: {status: active}\nconfiguration: {max_session_duration: 100}\n");
	fixture_pass(*state, e, 50);
	assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_ACTIVE);
	replace_session_file(e, "session: {status: active}\nconfiguration: {max_session_duration: 100}\nown: x\n");
	assert_int_equal(fixture_unlink(e, S1 "/session.yaml"), 0);
	replace_session_file(e, "configuration: {max_session_duration: 100}\n");
	e = fixture_reopen(*state, e);
	fixture_pass(*state, e, 40);
	assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_ACTIVE);
	fixture_pass(*state, e, 15);
	assert_int_equal(fixture_session(e, "s1")->fields.status, SESSION_EXPIRED);
	fixture_close_ok(e);
}

/* ---- checkpoints ---- */

static void test_periodic_checkpoints(void **state)
{
	struct engine *e = fixture_open_upkept(*state, NULL);

	fixture_pass(*state, e, 3000);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 1); /* nothing changed */
	fixture_put(e, S1 "/state/f", "x");
	fixture_pass(*state, e, 290);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 1);
	fixture_put(e, S1 "/state/f", "y");
	fixture_pass(*state, e, 15);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 2);
	assert_true(fixture_session(e, "s1")->newest_checkpoint->automatic);
	assert_int_equal(fixture_count_events(e, "\"reason\":\"periodic\""), 1);
	fixture_pass(*state, e, 3000);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 2);
	/* What the daemon does by itself is no change. */
	fixture_put(e, A1, "agent: {status: active}\n");
	fixture_pass(*state, e, 290);
	fixture_expect_status(e, "a", "unhealthy");
	fixture_pass(*state, e, 3000);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 3);
	assert_int_equal(fixture_session(e, "s1")->unsaved_ns, 0);
	assert_int_equal(fixture_unlink(e, A1), 0);
	fixture_pass(*state, e, 1000);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 4);
	/* Across a restart the change is remembered. */
	fixture_put(e, S1 "/state/f", "z");
	fixture_pass(*state, e, 200);
	e = fixture_reopen(*state, e);
	fixture_pass(*state, e, 110);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 5);
	fixture_close_ok(e);
}

static void test_no_automatic_checkpoints(void **state)
{
	struct engine *e = fixture_open_upkept(*state, "configuration: {auto_checkpoint: false}\n");

	fixture_put(e, S1 "/state/f", "x");
	fixture_pass(*state, e, 3000);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 1);
	fixture_put(e, S1 "/session.yaml", "recovery: {enabled: false}\n");
	fixture_pass(*state, e, 3000);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 1);
	/* Switched on, what has waited for so long is due at once. */
	fixture_put(e, S1 "/session.yaml", "");
	(void)upkeep_run(e);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 2);
	fixture_close_ok(e);
}

static void test_retention(void **state)
{
	struct engine *e = fixture_open_upkept(*state, "configuration: {max_session_duration: 10000000, backup_retention: 3}\n");
	char id[ACTOR_ID_BYTES];

	fixture_pass(*state, e, 1000);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/mine"), 0);
	for (int day = 0; day < 5; day++) {
		fixture_put(e, S1 "/state/f", "x");
		fixture_pass(*state, e, DAY_S);
	}
	/* Of initialization, the first save's, mine, and five days' one each: two are too old, mine is mine. */
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 4);
	assert_non_null(registry_checkpoint(fixture_session(e, "s1"), "mine"));
	memcpy(id, fixture_session(e, "s1")->newest_checkpoint->id, sizeof(id));
	fixture_pass(*state, e, 10 * DAY_S);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 2);
	assert_string_equal(fixture_session(e, "s1")->newest_checkpoint->id, id); /* never the newest */
	assert_int_equal(fixture_count_events(e, "\"checkpoint_removed\""), 6);
	fixture_expect_says(e, S1 "/session.yaml", "\", \"mine\"]");
	fixture_close_ok(e);
}

/* With 0 days a newer one takes its place. */
static void test_retention_of_none(void **state)
{
	struct engine *e = fixture_open_upkept(*state, "configuration: {backup_retention: 0}\n");

	fixture_pass(*state, e, 400);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 1);
	fixture_put(e, S1 "/state/f", "x");
	fixture_pass(*state, e, 400);
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, 1);
	assert_int_equal(fixture_count_events(e, "\"reason\":\"periodic\""), 2);
	fixture_close_ok(e);
}

/* Who calls his own checkpoint-something, even by the time as the daemon does, keeps it; after a restart, too. */
static void test_retention_of_ones_own(void **state)
{
	static const char *const names[] = {"checkpoint-mine", "checkpoint-1", "checkpoint-1795341601", "checkpoint-1795341601-2", "checkpoint-1795341601-x",
		"checkpoint-17953416010", "checkpoint-1795341601-"};
	struct engine *e = fixture_open_upkept(*state, "configuration: {max_session_duration: 10000000, backup_retention: 1}\n");
	char path[200];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/checkpoints/%s", S1, names[i]);
		assert_int_equal(fixture_mkdir(e, path), 0);
	}
	e = fixture_reopen(*state, e);
	fixture_put(e, S1 "/state/f", "x");
	fixture_pass(*state, e, 5 * DAY_S);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_non_null(registry_checkpoint(fixture_session(e, "s1"), names[i]));
	assert_int_equal(fixture_session(e, "s1")->checkpoint_count, ARRAY_SIZE(names) + 1); /* and the newest; the first of all is gone */
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_last_updated),
		FIXTURE_TEST(test_stale_lists),
		FIXTURE_TEST(test_expiry),
		FIXTURE_TEST(test_expiry_changes),
		FIXTURE_TEST(test_reopened_by_replacement),
		FIXTURE_TEST(test_periodic_checkpoints),
		FIXTURE_TEST(test_no_automatic_checkpoints),
		FIXTURE_TEST(test_retention),
		FIXTURE_TEST(test_retention_of_none),
		FIXTURE_TEST(test_retention_of_ones_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
