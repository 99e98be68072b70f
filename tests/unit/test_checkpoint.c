/* SPDX-License-Identifier: MIT
 *
 * A session is born with a checkpoint; checkpoints are taken and removed, each in one transaction with session.yaml; checkpoint.yaml says
 * what was so at that very moment.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint.h"
#include "checksum.h"
#include "cmocka_all.h"
#include "env_mem.h"
#include "session_fixture.h"

static void expect_field(struct engine *e, const char *path, const char *name, const char *want)
{
	const char *is = fixture_member(e, path, name);

	if (strcmp(is, want))
		fail_msg("%s: %s is \"%s\", not \"%s\"", path, name, is, want);
}

static const char *sha_of(struct engine *e, const char *path)
{
	static char hex[SHA256_HEX_BYTES];
	const char *text = fixture_text(e, path);
	struct sha256 sha;

	sha256_of(text, strlen(text), &sha);
	sha256_hex(&sha, hex);
	return hex;
}

static void expect_count(struct engine *e, const char *path, const char *name, size_t want)
{
	char text[24];

	snprintf(text, sizeof(text), "%zu", want);
	expect_field(e, path, name, text);
}

static int take(struct engine *e, const char *name, const char *reason, const char *status)
{
	struct tree_attr attr;
	struct request q;

	fixture_request(&q);
	return checkpoint_create(e, &q, "s1", name, reason, status, &attr);
}

static void test_a_session_is_born_with_one(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	static const char *const dirs[] = {
		"state", "agents", "agents/.sync", "agents/.health", "events", "checkpoints", "recovery", "checkpoints/" FIXTURE_FIRST};
	uint64_t before = engine_head_seq(e);
	char path[200];

	assert_int_equal(fixture_mkdir(e, S1), 0);
	assert_int_equal(engine_head_seq(e), before + 1);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), S1 "/%s", dirs[i]);
		assert_int_not_equal(fixture_ino(e, path), 0);
	}
	expect_field(e, S1 "/session.yaml", "session.id", "s1");
	expect_field(e, S1 "/session.yaml", "session.type", "general");
	expect_field(e, S1 "/session.yaml", "session.status", "active");
	expect_field(e, S1 "/session.yaml", "state.last_checkpoint", FIXTURE_FIRST);
	assert_int_equal(fixture_member_count(e, S1 "/session.yaml", "recovery.recovery_points"), 1);
	snprintf(path, sizeof(path), S1 "/checkpoints/" FIXTURE_FIRST "/checkpoint.yaml");
	expect_field(e, path, "checkpoint.id", FIXTURE_FIRST);
	expect_field(e, path, "checkpoint.session_id", "s1");
	expect_field(e, path, "checkpoint.reason", "initialization");
	assert_memory_equal(fixture_member(e, path, "checkpoint.created_at"), "2026-11-22T10:00:00.", 20);
	expect_field(e, path, "state_snapshot.session_file", sha_of(e, S1 "/session.yaml"));
	expect_field(e, path, "state_snapshot.agent_count", "0");
	expect_field(e, path, "state_snapshot.operation_count", "1");
	expect_field(e, path, "state_snapshot.event_count", "3");
	expect_field(e, path, "context.working_directory", "unknown");
	expect_field(e, path, "context.git_branch", "unknown");
	expect_field(e, path, "context.git_commit", "unknown");
	assert_int_equal(fixture_member_count(e, path, "recovery_data.active_transactions"), 0);
	assert_int_equal(fixture_member_count(e, path, "recovery_data.pending_operations"), 0);
	assert_int_equal(fixture_member_count(e, path, "recovery_data.agent_states"), 0);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"event_type\":"), 3);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"session_initialized\""), 1);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"checkpoint_id\":\"" FIXTURE_FIRST "\",\"reason\":\"initialization\""), 1);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"from\":\"initializing\",\"to\":\"active\""), 1);
	fixture_close_ok(e);
}

static void test_owner_and_modes(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct tree_attr attr;
	struct request q;

	fixture_request(&q);
	q.uid = 77;
	q.gid = 78;
	assert_int_equal(checkpoint_create(e, &q, "s1", "named", NULL, NULL, &attr), 0);
	assert_int_equal(attr.mode, S_IFDIR | 0755);
	assert_int_equal(attr.uid, 77);
	assert_int_equal(attr.gid, 78);
	assert_int_equal(attr.ino, fixture_ino(e, S1 "/checkpoints/named"));
	assert_int_equal(checkpoint_create(e, &q, "s1", NULL, "periodic", NULL, &attr), 0);
	assert_int_equal(attr.uid, 1000); /* the session's: its owner can remove it */
	engine_lock(e);
	assert_int_equal(
		tree_attr_at(engine_tree(e), tree_resolve(engine_tree(e), S1 "/checkpoints/named/checkpoint.yaml", SEQ_LIVE), SEQ_LIVE, INT64_MAX, &attr), 0);
	engine_unlock(e);
	assert_int_equal(attr.mode, S_IFREG | 0644);
	assert_int_equal(attr.uid, 77);
	fixture_close_ok(e);
}

static void test_names_and_reasons(void **state)
{
	static const struct {
		const char *name, *reason, *want;
	} rows[] = {
		{"before-refactor", NULL, "before-refactor"},
		{"checkpoint-mine", NULL, "manual"},
		{"plain", "because: \"so\"\n", "because: \"so\"\n"},
	};
	struct engine *e = fixture_open_session(*state);
	char path[200];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(take(e, rows[i].name, rows[i].reason, NULL), 0);
		snprintf(path, sizeof(path), S1 "/checkpoints/%s/checkpoint.yaml", rows[i].name);
		expect_field(e, path, "checkpoint.id", rows[i].name);
		expect_field(e, path, "checkpoint.reason", rows[i].want);
		assert_int_equal(take(e, rows[i].name, NULL, NULL), -EEXIST);
	}
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/by-mkdir"), 0);
	expect_field(e, S1 "/checkpoints/by-mkdir/checkpoint.yaml", "checkpoint.reason", "by-mkdir");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/by-mkdir"), -EEXIST);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/-bad"), -EINVAL);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/latest"), -EINVAL);
	assert_int_equal(take(e, "a/b", NULL, NULL), -EINVAL);
	/* The daemon's names do not repeat. */
	env_mem_set_clock(*state, FIXTURE_START_NS + 5 * NS_PER_S, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(take(e, NULL, "periodic", NULL), 0);
	expect_field(e, S1 "/checkpoints/checkpoint-1795341605/checkpoint.yaml", "checkpoint.reason", "periodic");
	expect_field(e, S1 "/checkpoints/checkpoint-1795341605-2/checkpoint.yaml", "checkpoint.id", "checkpoint-1795341605-2");
	expect_field(e, S1 "/session.yaml", "state.last_checkpoint", "checkpoint-1795341605-3");
	assert_int_equal(fixture_member_count(e, S1 "/session.yaml", "recovery.recovery_points"), 8);
	fixture_close_ok(e);
}

/* Nothing of a refused one is there. */
static void test_refusals_change_nothing(void **state)
{
	struct engine_options opt = {.segment_bytes = 2u << 20, .read_only = true};
	struct engine *e = fixture_open_session(*state);
	uint64_t head = engine_head_seq(e);
	struct tree_attr attr;
	struct request q;

	fixture_request(&q);
	assert_int_equal(checkpoint_create(e, &q, "nobody", "x", NULL, NULL, &attr), -ENOENT);
	assert_int_equal(checkpoint_remove(e, &q, "nobody", "x"), -ENOENT);
	assert_int_equal(checkpoint_remove(e, &q, "s1", "x"), -ENOENT);
	assert_int_equal(take(e, FIXTURE_FIRST, NULL, NULL), -EEXIST);
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints"), -EPERM);
	assert_int_equal(fixture_unlink(e, S1 "/checkpoints/" FIXTURE_FIRST "/checkpoint.yaml"), -EROFS);
	assert_int_equal(fixture_rename(e, S1 "/checkpoints/" FIXTURE_FIRST, S1 "/checkpoints/other", 0), -EPERM);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/" FIXTURE_FIRST "/sub"), -EROFS);
	assert_int_equal(fixture_save_text(e, S1 "/checkpoints/file", "x"), -EPERM);
	assert_int_equal(engine_head_seq(e), head);
	fixture_close_ok(e);
	assert_int_equal(engine_open(*state, &opt, NULL, &e), 0);
	assert_int_equal(take(e, "x", NULL, NULL), -EROFS);
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints/" FIXTURE_FIRST), -EROFS);
	fixture_close_ok(e);
}

/* Agents, open drafts and counts, as they are at that moment. */
static void test_what_it_says(void **state)
{
	struct engine *e = fixture_open_session(*state);
	const char *path = S1 "/checkpoints/now/checkpoint.yaml";
	struct draft *d, *other;
	struct request q;
	char id[100];

	fixture_put(e, S1 "/agents/coder.yaml", "agent: {type: coder}\n");
	fixture_put(e, S1 "/agents/tester.yaml", "");
	fixture_put(e, S1 "/state/plan", "a plan");
	fixture_put(e, "notes", "of nobody");
	fixture_request(&q);
	assert_int_equal(draft_open(e, fixture_ino(e, S1 "/state/plan"), DRAFT_WHOLE, &q.actor, &d), 0);
	assert_int_equal(draft_write(d, &q.actor, 0, "a new plan", 10), 0);
	assert_int_equal(draft_open(e, fixture_ino(e, "notes"), DRAFT_WHOLE, &q.actor, &other), 0);
	assert_int_equal(draft_write(other, &q.actor, 0, "x", 1), 0);
	assert_int_equal(take(e, "now", NULL, NULL), 0);
	expect_field(e, path, "state_snapshot.session_file", sha_of(e, S1 "/session.yaml"));
	expect_count(e, path, "state_snapshot.agent_count", 2);
	expect_count(e, path, "state_snapshot.event_count", fixture_count_session_events(e, "s1", "\"event_type\":"));
	expect_count(e, path, "state_snapshot.operation_count", 5); /* mkdir, two agents, the plan, itself */
	assert_int_equal(fixture_member_count(e, path, "recovery_data.agent_states"), 2);
	assert_int_equal(fixture_member_count(e, path, "recovery_data.active_transactions"), 1);
	assert_int_equal(fixture_member_count(e, path, "recovery_data.pending_operations"), 1);
	assert_non_null(strstr(fixture_text(e, path), "- operation: \"write\"\n      target_file: \"" S1 "/state/plan\"\n"));
	assert_non_null(strstr(fixture_text(e, path), "    - \"tx-20261122T100000."));
	snprintf(id, sizeof(id), "    - id: \"coder\"\n      status: \"initializing\"\n");
	assert_non_null(strstr(fixture_text(e, path), id));
	snprintf(id, sizeof(id), "%s", sha_of(e, S1 "/agents/tester.yaml"));
	assert_non_null(strstr(fixture_text(e, path), id));
	draft_close(d);
	draft_close(other);
	/* What nobody publishes any more is not active, but still pending. */
	e = fixture_reopen(*state, e);
	assert_int_equal(take(e, "later", NULL, NULL), 0);
	assert_int_equal(fixture_member_count(e, S1 "/checkpoints/later/checkpoint.yaml", "recovery_data.active_transactions"), 0);
	assert_int_equal(fixture_member_count(e, S1 "/checkpoints/later/checkpoint.yaml", "recovery_data.pending_operations"), 1);
	fixture_close_ok(e);
}

static void test_one_transaction_with_the_session_file(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct tree_attr before, after;
	uint64_t head;
	struct node *n;

	fixture_put(e, S1 "/session.yaml", "# mine\nsession:\n  type: 'deep'   # kept\n");
	head = engine_head_seq(e);
	engine_lock(e);
	n = tree_resolve(engine_tree(e), S1 "/session.yaml", SEQ_LIVE);
	assert_int_equal(tree_attr_at(engine_tree(e), n, SEQ_LIVE, INT64_MAX, &before), 0);
	engine_unlock(e);
	env_mem_set_clock(*state, FIXTURE_START_NS + 100 * NS_PER_S, 1000);
	assert_int_equal(take(e, "a", NULL, NULL), 0);
	assert_int_equal(engine_head_seq(e), head + 1);
	assert_memory_equal(fixture_text(e, S1 "/session.yaml"), "# mine\nsession:\n  type: 'deep'   # kept\n", 38);
	expect_field(e, S1 "/session.yaml", "state.last_checkpoint", "a");
	expect_field(e, S1 "/session.yaml", "session.status", "active");
	engine_lock(e);
	assert_int_equal(tree_attr_at(engine_tree(e), n, SEQ_LIVE, INT64_MAX, &after), 0);
	engine_unlock(e);
	assert_int_equal(after.mtime_ns, before.mtime_ns);
	fixture_close_ok(e);
}

static void test_status_goes_with_it(void **state)
{
	struct engine *e = fixture_open_session(*state);
	uint64_t head = engine_head_seq(e);

	assert_int_equal(take(e, NULL, "expiry", "expired"), 0);
	assert_int_equal(engine_head_seq(e), head + 1);
	expect_field(e, S1 "/session.yaml", "session.status", "expired");
	assert_int_equal(fixture_count_session_events(e, "s1", "\"from\":\"active\",\"to\":\"expired\""), 1);
	fixture_close_ok(e);
}

/* A session file that is gone, or cannot be edited, is no reason to be without checkpoints. */
static void test_without_a_session_file(void **state)
{
	struct engine *e = fixture_open_session(*state);

	assert_int_equal(fixture_unlink(e, S1 "/session.yaml"), 0);
	assert_int_equal(take(e, "a", NULL, "expired"), 0);
	expect_field(e, S1 "/checkpoints/a/checkpoint.yaml", "state_snapshot.session_file", "null");
	assert_int_equal(fixture_count_session_events(e, "s1", "\"to\":\"expired\""), 0);
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints/a"), 0);
	fixture_close_ok(e);
}

static void test_removing(void **state)
{
	struct engine *e = fixture_open_session(*state);
	uint64_t head, ino;
	struct sha256 live, again;

	assert_int_equal(take(e, "a", NULL, NULL), 0);
	assert_int_equal(take(e, "b", NULL, NULL), 0);
	head = engine_head_seq(e);
	ino = fixture_ino(e, S1 "/checkpoints/b");
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints/b"), 0);
	assert_int_equal(engine_head_seq(e), head + 1);
	assert_int_equal(fixture_ino(e, S1 "/checkpoints/b"), 0);
	expect_field(e, S1 "/session.yaml", "state.last_checkpoint", "a");
	assert_int_equal(fixture_member_count(e, S1 "/session.yaml", "recovery.recovery_points"), 2);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"event_type\":\"checkpoint_removed\""), 1);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"checkpoint_id\":\"b\",\"tx_seq\""), 1);
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints/b"), -ENOENT);
	assert_int_equal(take(e, "b", NULL, NULL), 0);
	assert_true(fixture_ino(e, S1 "/checkpoints/b") > ino);
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints/b"), 0);
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints/a"), 0);
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints/" FIXTURE_FIRST), 0);
	expect_field(e, S1 "/session.yaml", "state.last_checkpoint", "null");
	assert_int_equal(fixture_member_count(e, S1 "/session.yaml", "recovery.recovery_points"), 0);
	fixture_digest(e, SEQ_LIVE, &live);
	fixture_kill(*state, e);
	e = fixture_open_ok(*state);
	fixture_digest(e, SEQ_LIVE, &again);
	assert_memory_equal(&again, &live, sizeof(live));
	fixture_close_ok(e);
}

/* Many: the newest are named, and the session can still be removed at once, unless somebody wanted one. */
static void test_many(void **state)
{
	struct engine *e = fixture_open_session(*state);

	for (int i = 0; i < 300; i++)
		assert_int_equal(take(e, NULL, "periodic", NULL), 0);
	assert_int_equal(fixture_member_count(e, S1 "/session.yaml", "recovery.recovery_points"), 16);
	assert_int_equal(take(e, "wanted", NULL, NULL), 0);
	assert_int_equal(fixture_rmdir(e, S1), -ENOTEMPTY);
	assert_int_equal(fixture_rmdir(e, S1 "/checkpoints/wanted"), 0);
	assert_int_equal(fixture_rmdir(e, S1), 0);
	assert_int_equal(fixture_ino(e, S1), 0);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"event_type\":\"session_removed\""), 1);
	/* Made anew under that id, it goes on with its log. */
	assert_int_equal(fixture_mkdir(e, S1), 0);
	assert_int_equal(fixture_member_count(e, S1 "/session.yaml", "recovery.recovery_points"), 1);
	expect_count(
		e, S1 "/checkpoints/" FIXTURE_FIRST "/checkpoint.yaml", "state_snapshot.event_count", fixture_count_session_events(e, "s1", "\"event_type\":"));
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_a_session_is_born_with_one),
		FIXTURE_TEST(test_owner_and_modes),
		FIXTURE_TEST(test_names_and_reasons),
		FIXTURE_TEST(test_refusals_change_nothing),
		FIXTURE_TEST(test_what_it_says),
		FIXTURE_TEST(test_one_transaction_with_the_session_file),
		FIXTURE_TEST(test_status_goes_with_it),
		FIXTURE_TEST(test_without_a_session_file),
		FIXTURE_TEST(test_removing),
		FIXTURE_TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
