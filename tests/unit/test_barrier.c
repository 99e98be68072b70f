/* SPDX-License-Identifier: MIT
 *
 * Barriers from start to completion: the texts of their files, who may acknowledge what, records and events.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "../../core/barrier_internal.h"
#include "barrier_fixture.h"
#include "cmocka_all.h"
#include "upkeep.h"

static int refused(struct engine *e, const char *dir, const char *name, struct reason *ret)
{
	struct request q;
	struct tree_attr attr;
	int r;

	fixture_request(&q);
	r = engine_create(e, &q, fixture_ino(e, dir), name, 0644, &attr);
	*ret = q.reason;
	return r;
}

/* ---- texts ---- */

static void expect_participants(const char *text, const char *want)
{
	struct id_list l;
	struct buf out = BUF_INIT;

	assert_int_equal(barrier_parse_participants(text, strlen(text), &l), 0);
	id_list_put(&l, true, &out);
	assert_string_equal(out.data, want);
	buf_release(&out);
	id_list_release(&l);
}

static void test_participants_file(void **state)
{
	(void)state;
	expect_participants("", "[]");
	expect_participants("\n \t\r\n# nobody\n", "[]");
	expect_participants("a", "[\"a\"]");
	expect_participants("a b\nc\r\n\td a", "[\"a\", \"b\", \"c\", \"d\"]");
	expect_participants("a, b # not c\nd#e\n", "[\"a\", \"b\", \"d\"]");
	expect_participants("../x -y .z good $(rm) a/b", "[\"good\"]");
	expect_participants("\xef\xbb\xbf"
			    "a\n- b\n[\"c\", 'd']\n",
		"[\"a\", \"b\", \"c\", \"d\"]");
}

static void test_timeout_file(void **state)
{
	(void)state;
	assert_int_equal(barrier_parse_timeout("30\n", 3), 30);
	assert_int_equal(barrier_parse_timeout(" 7 \r\n", 5), 7);
	assert_int_equal(barrier_parse_timeout("31536000", 8), BARRIER_TIMEOUT_MAX_S);
	assert_int_equal(barrier_parse_timeout("31536001", 8), 0);
	assert_int_equal(barrier_parse_timeout("0", 1), 0);
	assert_int_equal(barrier_parse_timeout("-1", 2), 0);
	assert_int_equal(barrier_parse_timeout("1.5", 3), 0);
	assert_int_equal(barrier_parse_timeout("99999999999999999999999999999999", 32), 0);
	assert_int_equal(barrier_parse_timeout("", 0), 0);
}

static void test_record_comes_back(void **state)
{
	struct barrier_record r = {.trigger_agent = "lead",
				      .started_ns = 1767225600000000000,
				      .ended_ns = 1767225601500000000,
				      .timeout_s = 30,
				      .status = BARRIER_FAILED,
				      .reason = BARRIER_TIMEOUT},
			      got;
	struct buf text = BUF_INIT;

	(void)state;
	assert_int_equal(id_list_add(&r.participants, "a", 1), 0);
	assert_int_equal(id_list_add(&r.participants, "b.2", 3), 0);
	assert_int_equal(id_list_add(&r.missing, "b.2", 3), 0);
	assert_int_equal(id_list_add(&r.acknowledged, "a", 1), 0);
	barrier_record_render(&r, "build", "s1", &text);
	assert_int_equal(barrier_record_parse(text.data, text.len, &got), 0);
	assert_string_equal(got.trigger_agent, "lead");
	assert_int_equal(got.started_ns, r.started_ns);
	assert_int_equal(got.ended_ns, r.ended_ns);
	assert_int_equal(got.timeout_s, 30);
	assert_int_equal(got.status, BARRIER_FAILED);
	assert_int_equal(got.reason, BARRIER_TIMEOUT);
	assert_true(id_list_equal(&got.participants, &r.participants));
	assert_true(id_list_equal(&got.missing, &r.missing));
	assert_true(id_list_equal(&got.acknowledged, &r.acknowledged));
	barrier_record_release(&got);
	assert_int_equal(barrier_record_parse("status: [in", 11, &got), -EBADMSG);
	assert_int_equal(barrier_record_parse("- 1\n", 4, &got), 0);
	barrier_record_release(&got);
	buf_release(&text);
	barrier_record_release(&r);
}

/* ---- the way to its end ---- */

static void test_started(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "synchronization.id"), "build");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "synchronization.session_id"), "s1");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "synchronization.trigger_agent"), "system");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "participants"), "a b");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "missing"), "a b");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "acknowledged"), "");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "status"), "in_progress");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "timeout_seconds"), "300");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "ended_at"), "null");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "reason"), "null");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "unregistered"), "(none)");
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"sync_started\""), 1);
	assert_int_equal(fixture_count_events(e, "\"sync_id\":\"build\",\"participants\":[\"a\",\"b\"]"), 1);
	assert_string_equal(barrier_fixture_result(e, "build"), "");
	assert_int_equal(fixture_mkdir(e, SYNC "build"), -EEXIST);
	fixture_close_ok(e);
}

static void test_trigger_is_the_starting_agent(void **state)
{
	struct engine *e = barrier_fixture_open(*state);
	struct request q;
	struct tree_attr attr;

	fixture_request(&q);
	strcpy(q.actor.agent, "b");
	assert_int_equal(engine_mkdir(e, &q, fixture_ino(e, AGENTS ".sync"), "x", 0700, &attr), 0);
	assert_true(S_ISDIR(attr.mode));
	assert_string_equal(fixture_member(e, SYNC "x.yaml", "synchronization.trigger_agent"), "b");
	fixture_close_ok(e);
}

static void test_names_that_are_refused(void **state)
{
	struct engine *e = barrier_fixture_open(*state);
	char *text;
	size_t len;

	assert_int_equal(fixture_mkdir(e, SYNC "build.yaml"), -EINVAL);
	assert_int_equal(fixture_mkdir(e, SYNC ".yaml"), -EINVAL);
	assert_int_equal(fixture_mkdir(e, SYNC "-x"), -EINVAL);
	assert_int_equal(fixture_mkdir(e, SYNC "a b"), -EINVAL);
	assert_int_equal(fixture_save_text(e, SYNC "file", ""), -EPERM);
	assert_int_equal(fixture_read(e, SYNC "build.yaml.yaml", SEQ_LIVE, &text, &len), -ENOENT);
	assert_int_equal(fixture_count_events(e, "sync_started"), 0);
	fixture_close_ok(e);
}

static void test_completed(void **state)
{
	struct engine *e = barrier_fixture_open(*state);
	struct reason why;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/b", "");
	fixture_later(*state, e, 2);
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "acknowledged"), "b");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "missing"), "a");
	assert_string_equal(barrier_fixture_result(e, "build"), "");
	fixture_put(e, SYNC "build/a", "");
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), "completed\n");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "status"), "completed");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "acknowledged"), "a b");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "missing"), "");
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "reason"), "null");
	assert_string_not_equal(fixture_member(e, SYNC "build.yaml", "ended_at"), "null");
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"agents_synchronized\""), 1);
	assert_int_equal(fixture_count_events(e, "\"sync_id\":\"build\",\"agent_count\":2"), 1);
	assert_int_equal(refused(e, SYNC "build", "timeout", &why), -EPERM);
	assert_non_null(strstr(why.text, "has ended"));
	fixture_later(*state, e, 1000);
	assert_int_equal(fixture_count_events(e, "sync_failed"), 0);
	fixture_close_ok(e);
}

/* Its own records give it nothing to do. */
static void test_nothing_happens_by_itself(void **state)
{
	struct engine *e = barrier_fixture_open(*state);
	uint64_t seq;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/b", "");
	fixture_later(*state, e, 2);
	(void)upkeep_run(e);
	seq = engine_head_seq(e);
	for (int i = 0; i < 20; i++)
		fixture_later(*state, e, 1);
	assert_in_range(engine_head_seq(e) - seq, 0, 1); /* the session's own last_updated */
	fixture_close_ok(e);
}

static void test_records_are_coalesced(void **state)
{
	struct engine *e = barrier_fixture_open(*state);
	uint64_t seq;

	assert_int_equal(fixture_mkdir(e, SYNC "many"), 0);
	fixture_put(e, SYNC "many/participants", "p0 p1 p2 p3 p4 p5 p6 p7 p8 p9 last");
	(void)upkeep_run(e);
	seq = engine_head_seq(e);
	for (char i = '0'; i <= '9'; i++) {
		char path[] = SYNC "many/p?";

		path[sizeof(path) - 2] = i;
		fixture_put(e, path, "");
		(void)upkeep_run(e);
	}
	assert_int_equal(engine_head_seq(e) - seq, 10);
	fixture_later(*state, e, 1);
	assert_string_equal(fixture_member(e, SYNC "many.yaml", "missing"), "last");
	fixture_close_ok(e);
}

static void test_only_participants_acknowledge(void **state)
{
	struct engine *e = barrier_fixture_open(*state);
	struct reason why;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	assert_int_equal(refused(e, SYNC "build", "c", &why), -EPERM);
	assert_non_null(strstr(why.text, "waits for a b"));
	assert_int_equal(fixture_mkdir(e, SYNC "build/a"), -EPERM);
	assert_int_equal(fixture_symlink(e, "x", SYNC "build/a"), -EPERM);
	fixture_put(e, S1 "/state/f", "x");
	assert_int_equal(fixture_rename(e, S1 "/state/f", SYNC "build/c", 0), -EPERM);
	assert_int_equal(fixture_link(e, S1 "/state/f", SYNC "build/c"), -EPERM);
	assert_int_equal(fixture_rename(e, S1 "/state/f", SYNC "build/a", 0), 0);
	(void)upkeep_run(e);
	assert_string_equal(fixture_member(e, SYNC "build.yaml", "acknowledged"), "a");
	fixture_close_ok(e);
}

static void test_taken_back(void **state)
{
	struct engine *e = barrier_fixture_open(*state);

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/a", "");
	(void)upkeep_run(e);
	assert_int_equal(fixture_unlink(e, SYNC "build/a"), 0);
	fixture_put(e, SYNC "build/b", "");
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), "");
	fixture_put(e, SYNC "build/a", "");
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), "completed\n");
	fixture_close_ok(e);
}

/* A created name is seen at once, but it acknowledges only once it is in the journal. */
static void test_newborn_does_not_count(void **state)
{
	struct engine *e = barrier_fixture_open(*state);
	struct request q;
	struct tree_attr attr;
	struct draft *d;

	assert_int_equal(fixture_mkdir(e, SYNC "build"), 0);
	fixture_put(e, SYNC "build/a", "");
	fixture_request(&q);
	assert_int_equal(engine_create(e, &q, fixture_ino(e, SYNC "build"), "b", 0644, &attr), 0);
	assert_int_equal(draft_open(e, attr.ino, DRAFT_WHOLE, &q.actor, &d), 0);
	fixture_later(*state, e, 5);
	assert_string_equal(barrier_fixture_result(e, "build"), "");
	assert_int_equal(fixture_rmdir(e, SYNC "build"), -ENOTEMPTY);
	assert_int_equal(draft_commit(d, &q, 0), 0);
	draft_close(d);
	(void)upkeep_run(e);
	assert_string_equal(barrier_fixture_result(e, "build"), "completed\n");
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_participants_file),
		cmocka_unit_test(test_timeout_file),
		cmocka_unit_test(test_record_comes_back),
		FIXTURE_TEST(test_started),
		FIXTURE_TEST(test_trigger_is_the_starting_agent),
		FIXTURE_TEST(test_names_that_are_refused),
		FIXTURE_TEST(test_completed),
		FIXTURE_TEST(test_nothing_happens_by_itself),
		FIXTURE_TEST(test_records_are_coalesced),
		FIXTURE_TEST(test_only_participants_acknowledge),
		FIXTURE_TEST(test_taken_back),
		FIXTURE_TEST(test_newborn_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
