/* SPDX-License-Identifier: MIT
 *
 * The engine as a whole, over the in-memory environment: saves, appends, patches, names, rules, history, restarts.
 */
#include <errno.h>
#include <string.h>

#include "cmocka_all.h"
#include "env_mem.h"
#include "session_fixture.h"

static void test_fresh_store_has_its_places(void **state)
{
	struct engine *e = fixture_open_ok(*state);

	assert_int_not_equal(fixture_ino(e, "state/sessions"), 0);
	assert_int_not_equal(fixture_ino(e, "status/config.yaml"), 0);
	assert_int_equal(engine_head_seq(e), 1);
	fixture_close_ok(e);
}

static void test_save_and_reopen(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	struct sha256 before, after;
	uint64_t head;

	assert_int_equal(fixture_mkdir(e, "state/sessions/s1"), 0);
	fixture_put(e, "state/sessions/s1/state/a.txt", "one\n");
	assert_string_equal(fixture_text(e, "state/sessions/s1/state/a.txt"), "one\n");
	fixture_put(e, "state/sessions/s1/state/a.txt", "two\n");
	assert_int_equal(fixture_append(e, "state/sessions/s1/state/a.txt", "three\n", 6), 0);
	assert_string_equal(fixture_text(e, "state/sessions/s1/state/a.txt"), "two\nthree\n");
	assert_int_equal(fixture_patch(e, "state/sessions/s1/state/a.txt", true, 1, "WO", 2), 0);
	assert_string_equal(fixture_text(e, "state/sessions/s1/state/a.txt"), "tWO\nthree\n");
	head = engine_head_seq(e);
	fixture_digest(e, head, &before);
	fixture_close_ok(e); /* writes session.yaml's last_updated */
	for (int i = 0; i < 2; i++) {
		e = fixture_open_ok(*state);
		assert_string_equal(fixture_text(e, "state/sessions/s1/state/a.txt"), "tWO\nthree\n");
		fixture_digest(e, head, &after);
		assert_memory_equal(&before, &after, sizeof(before));
		fixture_kill(*state, e); /* the second time: from the snapshot of the first close */
	}
}

static void test_malformed_is_refused_and_kept(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	uint64_t seq[2];
	struct record *r;
	char text[64];

	fixture_put(e, "a.json", "{\"a\": 1}\n");
	assert_int_equal(fixture_save_text(e, "a.json", "{\"a\": 1,\n oops\n"), -EBADMSG);
	assert_string_equal(fixture_text(e, "a.json"), "{\"a\": 1}\n");
	assert_int_equal(engine_list_transactions(e, true, 0, seq, 2), 1);
	assert_int_equal(engine_load_record(e, seq[0], &r), 0);
	assert_int_equal(r->rollback->line, 2);
	assert_int_equal(engine_read_rollback(e, r, 0, text, sizeof(text)), 15);
	assert_memory_equal(text, "{\"a\": 1,\n oops\n", 15);
	record_free(r);
	/* A name that never was well-formed may hold anything. */
	fixture_put(e, "b.json", "not yet");
	assert_string_equal(fixture_text(e, "b.json"), "not yet");
	fixture_put(e, "b.json", "[]");
	assert_int_equal(fixture_save_text(e, "b.json", "again not"), -EBADMSG);
	/* By rename, too. */
	fixture_put(e, "c.tmp", "][");
	assert_int_equal(fixture_rename(e, "c.tmp", "a.json", 0), -EBADMSG);
	assert_string_equal(fixture_text(e, "c.tmp"), "][");
	assert_string_equal(fixture_text(e, "a.json"), "{\"a\": 1}\n");
	fixture_put(e, "a.json", "");
	fixture_close_ok(e);
}

static void test_history(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	cleanup_free char *old = NULL;
	uint64_t seq;
	size_t len;

	fixture_put(e, "f", "first");
	seq = engine_head_seq(e);
	fixture_put(e, "f.new", "second");
	assert_int_equal(fixture_rename(e, "f.new", "f", 0), 0);
	assert_int_equal(fixture_unlink(e, "f"), 0);
	assert_string_equal(fixture_text(e, "f"), "(none)");
	assert_int_equal(fixture_read(e, "f", seq, &old, &len), 0);
	assert_string_equal(old, "first");
	fixture_close_ok(e);
}

static void test_large_file(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	size_t bytes = (3u << 20) + 17;
	cleanup_free char *data = malloc(bytes);
	cleanup_free char *back = NULL;
	size_t len;

	for (size_t i = 0; i < bytes; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	assert_int_equal(fixture_save(e, "big", data, bytes), 0);
	assert_int_equal(fixture_append(e, "big", "tail", 4), 0);
	e = fixture_reopen(*state, e);
	assert_int_equal(fixture_read(e, "big", SEQ_LIVE, &back, &len), 0);
	assert_int_equal(len, bytes + 4);
	assert_memory_equal(back, data, bytes);
	assert_memory_equal(back + bytes, "tail", 4);
	fixture_close_ok(e);
}

static void test_events_survive(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	size_t len, len2;
	char *a, *b;

	assert_int_equal(fixture_mkdir(e, "state/sessions/s1"), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(fixture_save_text(e, "state/sessions/s1/state/x.yaml", i % 2 ? "a: 1\n" : "b: 2\n"), 0);
	a = fixture_events(e, &len);
	e = fixture_reopen(*state, e);
	b = fixture_events(e, &len2);
	assert_int_equal(len, len2);
	assert_memory_equal(a, b, len);
	assert_non_null(strstr(a, "\"session_initialized\""));
	free(a);
	free(b);
	fixture_close_ok(e);
}

static void test_draft_left_by_a_dead_daemon(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	struct request q;
	struct draft *d;
	struct draft_info *list;
	size_t count;
	char text[32];

	fixture_request(&q);
	fixture_put(e, "notes", "old");
	assert_int_equal(draft_open(e, fixture_ino(e, "notes"), DRAFT_WHOLE, &q.actor, &d), 0);
	assert_int_equal(draft_write(d, &q.actor, 0, "half a though", 13), 0);
	fixture_kill(*state, e);
	e = fixture_open_ok(*state);
	assert_string_equal(fixture_text(e, "notes"), "old");
	assert_int_equal(draft_list(e, &list, &count), 0);
	assert_int_equal(count, 1);
	assert_string_equal(list[0].path, "notes");
	assert_int_equal(draft_read_by_id(e, list[0].id, 0, text, sizeof(text)), 13);
	assert_memory_equal(text, "half a though", 13);
	assert_int_equal(draft_publish_recovered(e, list[0].id, &q), 0);
	assert_string_equal(fixture_text(e, "notes"), "half a though");
	draft_info_release(&list[0]);
	free(list);
	fixture_close_ok(e);
}

static void test_newborns(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	struct request q;
	struct tree_attr attr;
	struct draft *d;

	fixture_request(&q);
	assert_int_equal(engine_create(e, &q, TREE_ROOT_INO, "lock", 0600, &attr), 0);
	assert_int_equal(engine_create(e, &q, TREE_ROOT_INO, "lock", 0600, &attr), -EEXIST);
	assert_int_equal(draft_open(e, fixture_ino(e, "lock"), DRAFT_WHOLE, &q.actor, &d), 0);
	assert_int_equal(draft_rollback(d, &q, "killed"), 0);
	draft_close(d);
	assert_string_equal(fixture_text(e, "lock"), "(none)");
	assert_int_equal(engine_create(e, &q, TREE_ROOT_INO, "empty", 0600, &attr), 0);
	assert_int_equal(draft_open(e, attr.ino, DRAFT_WHOLE, &q.actor, &d), 0);
	assert_int_equal(draft_commit(d, &q, 0), 0);
	assert_int_not_equal(q.seq, 0);
	draft_close(d);
	assert_string_equal(fixture_text(e, "empty"), "");
	fixture_close_ok(e);
}

static size_t events_bytes(struct engine *e, const char *session)
{
	uint64_t bytes, events;

	engine_lock(e);
	event_log_size(engine_event_logs(e), &(struct event_log_key){.session = session}, &bytes, &events);
	engine_unlock(e);
	return bytes;
}

/* Once the journal is poisoned, readers see the last durable transaction in every way: tree, event logs, transactions, replay. */
static void test_poisoned_shows_what_is_durable(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	uint64_t durable, newest = 0;
	size_t len, len_after, session_len;
	char *before, *after;

	assert_int_equal(fixture_mkdir(e, "state/sessions/s1"), 0);
	fixture_put(e, "state/sessions/s1/state/a", "one\n");
	assert_int_equal(engine_sync(e), 0);
	durable = engine_head_seq(e);
	assert_int_equal(engine_shown_seq(e), durable);
	before = fixture_events(e, &len);
	session_len = events_bytes(e, "s1");
	env_mem_fail_syncs(*state, EIO);
	assert_int_equal(fixture_save_text(e, "state/sessions/s1/state/a", "two\n"), -EIO);
	assert_true(engine_head_seq(e) > durable);
	assert_int_equal(engine_shown_seq(e), durable);
	after = fixture_events(e, &len_after);
	assert_int_equal(len_after, len);
	assert_memory_equal(before, after, len);
	assert_int_equal(events_bytes(e, "s1"), session_len);
	assert_int_equal(events_bytes(e, NULL), len);
	engine_lock(e);
	assert_int_equal(engine_list_transactions(e, false, 0, &newest, 1), 1);
	assert_int_equal(newest, durable);
	assert_int_equal(engine_seq_at_time(e, INT64_MAX), durable);
	engine_unlock(e);
	assert_int_equal(engine_load_record(e, durable + 1, &(struct record *){NULL}), -ENOENT);
	free(before);
	free(after);
	assert_int_equal(engine_close(e), -EIO);
}

static void test_fixed_places_stay(void **state)
{
	struct engine *e = fixture_open_ok(*state);

	assert_int_equal(fixture_rmdir(e, "state"), -EPERM);
	assert_int_equal(fixture_rename(e, "status", "x", 0), -EPERM);
	assert_int_equal(fixture_mkdir(e, "state/sessions/.bad"), -EINVAL);
	assert_int_equal(fixture_save_text(e, "state/events/x", ""), -EROFS);
	fixture_close_ok(e);
}

/* Times never go back, which would be a riddle without a word about it. */
static void test_a_clock_set_back_is_said(void **state)
{
	struct engine *e = fixture_open_ok(*state);
	struct engine_health h;

	fixture_put(e, "a", "1");
	env_mem_set_clock(*state, FIXTURE_START_NS - 30 * NS_PER_S, 1000);
	engine_get_health(e, &h);
	assert_int_equal(h.status, ENGINE_HEALTHY);
	buf_release(&h.why);
	env_mem_set_clock(*state, FIXTURE_START_NS - 3600 * NS_PER_S, 1000);
	fixture_close_ok(e);
	e = fixture_open_ok(*state);
	engine_get_health(e, &h);
	assert_int_equal(h.status, ENGINE_DEGRADED);
	assert_non_null(strstr(h.why.data, "the clock says 2026-11-22T09:00:00"));
	assert_non_null(strstr(h.why.data, "of 2026-11-22T10:00:00"));
	buf_release(&h.why);
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_fresh_store_has_its_places),
		FIXTURE_TEST(test_save_and_reopen),
		FIXTURE_TEST(test_malformed_is_refused_and_kept),
		FIXTURE_TEST(test_history),
		FIXTURE_TEST(test_large_file),
		FIXTURE_TEST(test_events_survive),
		FIXTURE_TEST(test_draft_left_by_a_dead_daemon),
		FIXTURE_TEST(test_newborns),
		FIXTURE_TEST(test_poisoned_shows_what_is_durable),
		FIXTURE_TEST(test_fixed_places_stay),
		FIXTURE_TEST(test_a_clock_set_back_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
