/* SPDX-License-Identifier: MIT
 *
 * What the log says of a restore, file by file: hashes of what went and came, and agents that come, go or get another status by it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "session_fixture.h"

#define KIB 1024u
#define MIB (1024u * KIB)

static struct record *newest_record(struct engine *e)
{
	struct record *r;

	assert_int_equal(engine_load_record(e, engine_head_seq(e), &r), 0);
	assert_int_equal(r->operation, OPERATION_RESTORE);
	return r;
}

static const struct event *event_of(const struct record *r, enum event_type type, const char *path)
{
	for (uint32_t i = 0; i < r->event_count; i++)
		if (r->events[i].type == type && !strcmp(r->events[i].path, path))
			return &r->events[i];
	return NULL;
}

static void expect_sha(const struct event *ev, enum event_flags which, const void *bytes, size_t len)
{
	struct sha256 want;

	assert_non_null(ev);
	assert_true(ev->flags & which);
	sha256_of(bytes, len, &want);
	assert_memory_equal(which == EVENT_HAS_NEW_SHA ? &ev->new_sha : &ev->old_sha, &want, sizeof(want));
}

static void save_bytes(struct engine *e, const char *path, size_t len, char byte)
{
	char *bytes = malloc(len);

	memset(bytes, byte, len);
	assert_int_equal(fixture_save(e, path, bytes, len), 0);
	free(bytes);
}

/* ---- hashes ---- */

static void test_hashes_of_small_files(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct record *r;

	fixture_put(e, S1 "/state/changed", "then\n");
	fixture_put(e, S1 "/state/gone", "gone\n");
	fixture_put(e, S1 "/state/mode", "same\n");
	fixture_put(e, S1 "/state/empty", "");
	assert_int_equal(fixture_append(e, S1 "/state/log", "one\n", 4), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	fixture_put(e, S1 "/state/changed", "now\n");
	fixture_put(e, S1 "/state/empty", "not any more\n");
	fixture_put(e, S1 "/state/new", "new\n");
	assert_int_equal(fixture_append(e, S1 "/state/log", "two\n", 4), 0);
	assert_int_equal(fixture_chmod(e, S1 "/state/mode", 0600), 0);
	assert_int_equal(fixture_unlink(e, S1 "/state/gone"), 0);
	e = fixture_reopen(*state, e);
	assert_int_equal(fixture_restore(e, "good", NULL), 0);
	r = newest_record(e);
	expect_sha(event_of(r, EVENT_FILE_WRITTEN, S1 "/state/changed"), EVENT_HAS_NEW_SHA, "then\n", 5);
	expect_sha(event_of(r, EVENT_FILE_WRITTEN, S1 "/state/changed"), EVENT_HAS_OLD_SHA, "now\n", 4);
	expect_sha(event_of(r, EVENT_FILE_CREATED, S1 "/state/gone"), EVENT_HAS_NEW_SHA, "gone\n", 5);
	expect_sha(event_of(r, EVENT_FILE_REMOVED, S1 "/state/new"), EVENT_HAS_OLD_SHA, "new\n", 4);
	expect_sha(event_of(r, EVENT_FILE_WRITTEN, S1 "/state/log"), EVENT_HAS_NEW_SHA, "one\n", 4);
	expect_sha(event_of(r, EVENT_FILE_WRITTEN, S1 "/state/log"), EVENT_HAS_OLD_SHA, "one\ntwo\n", 8);
	expect_sha(event_of(r, EVENT_ATTRIBUTES_CHANGED, S1 "/state/mode"), EVENT_HAS_NEW_SHA, "same\n", 5);
	expect_sha(event_of(r, EVENT_FILE_WRITTEN, S1 "/state/empty"), EVENT_HAS_NEW_SHA, "", 0);
	record_free(r);
	fixture_close_ok(e);
}

/* More than is read for hashes: those of whole saves are known from their own events, whatever their attributes and names have become. */
static void test_hashes_of_large_files(void **state)
{
	static char bytes[9 * MIB];
	struct engine *e = fixture_open_session(*state);
	struct record *r;

	memset(bytes, 'x', sizeof(bytes));
	save_bytes(e, S1 "/state/a", sizeof(bytes), 'x');
	save_bytes(e, S1 "/state/b", sizeof(bytes), 'x');
	save_bytes(e, S1 "/state/tmp", sizeof(bytes), 'x');
	assert_int_equal(fixture_rename(e, S1 "/state/tmp", S1 "/state/c", 0), 0);
	assert_int_equal(fixture_chmod(e, S1 "/state/c", 0600), 0);
	save_bytes(e, S1 "/state/changed", sizeof(bytes), 'x');
	fixture_put(e, S1 "/state/small", "small\n");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	fixture_put(e, S1 "/state/changed", "now\n");
	for (const char *name = "abc"; *name; name++) {
		char path[] = S1 "/state/?";

		path[sizeof(path) - 2] = *name;
		assert_int_equal(fixture_unlink(e, path), 0);
	}
	assert_int_equal(fixture_unlink(e, S1 "/state/small"), 0);
	e = fixture_reopen(*state, e);
	assert_int_equal(fixture_restore(e, "good", NULL), 0);
	r = newest_record(e);
	expect_sha(event_of(r, EVENT_FILE_CREATED, S1 "/state/a"), EVENT_HAS_NEW_SHA, bytes, sizeof(bytes));
	expect_sha(event_of(r, EVENT_FILE_CREATED, S1 "/state/b"), EVENT_HAS_NEW_SHA, bytes, sizeof(bytes));
	expect_sha(event_of(r, EVENT_FILE_CREATED, S1 "/state/c"), EVENT_HAS_NEW_SHA, bytes, sizeof(bytes));
	expect_sha(event_of(r, EVENT_FILE_CREATED, S1 "/state/small"), EVENT_HAS_NEW_SHA, "small\n", 6);
	record_free(r);
	/* It is remembered: the next save would not read as much to say what it replaced. */
	for (int i = 0; i < 2; i++) {
		fixture_put(e, i ? S1 "/state/changed" : S1 "/state/a", "later\n");
		assert_int_equal(engine_load_record(e, engine_head_seq(e), &r), 0);
		expect_sha(event_of(r, EVENT_FILE_WRITTEN, i ? S1 "/state/changed" : S1 "/state/a"), EVENT_HAS_OLD_SHA, bytes, sizeof(bytes));
		record_free(r);
	}
	fixture_close_ok(e);
}

/* What is in no event and too long is not read: unknown is no error, and others have theirs. */
static void test_hashes_that_cost_too_much(void **state)
{
	struct engine *e = fixture_open_session(*state);
	const struct event *ev;
	struct record *r;

	save_bytes(e, S1 "/state/large", 17 * MIB, 'x');
	assert_int_equal(fixture_append(e, S1 "/state/large", "y", 1), 0);
	fixture_put(e, S1 "/state/small", "small\n");
	e = fixture_reopen(*state, e); /* an append to a file nobody has the hash of has none */
	assert_int_equal(fixture_append(e, S1 "/state/large", "z", 1), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/state/large"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/state/small"), 0);
	e = fixture_reopen(*state, e);
	assert_int_equal(fixture_restore(e, "good", NULL), 0);
	r = newest_record(e);
	ev = event_of(r, EVENT_FILE_CREATED, S1 "/state/large");
	assert_non_null(ev);
	assert_int_equal(ev->flags & EVENT_HAS_NEW_SHA, 0);
	assert_int_equal(ev->size, 17 * MIB + 2);
	expect_sha(event_of(r, EVENT_FILE_CREATED, S1 "/state/small"), EVENT_HAS_NEW_SHA, "small\n", 6);
	record_free(r);
	fixture_close_ok(e);
}

/* ---- agents ---- */

static struct agent *agent_of(struct engine *e, const char *id)
{
	return registry_agent(registry_session(e, "s1"), id);
}

static void test_agents_come_and_go(void **state)
{
	struct engine *e = fixture_open_session(*state);
	const struct event *ev;
	struct record *r;

	fixture_put(e, S1 "/agents/old.yaml", "agent: {type: \"co\\\"der\"}\n");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/agents/old.yaml"), 0);
	fixture_put(e, S1 "/agents/new.yaml", "");
	fixture_later(*state, e, 3);
	assert_null(agent_of(e, "old"));
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"agent_deregistered\""), 1);
	assert_int_equal(fixture_restore(e, "good", NULL), 0);
	r = newest_record(e);
	ev = event_of(r, EVENT_AGENT_REGISTERED, S1 "/agents/old.yaml");
	assert_non_null(ev);
	assert_string_equal(ev->more, "\"agent_id\":\"old\",\"type\":\"co\\\"der\"");
	assert_string_equal(ev->session, "s1");
	assert_null(event_of(r, EVENT_AGENT_REGISTERED, S1 "/agents/new.yaml"));
	record_free(r);
	assert_non_null(agent_of(e, "old"));
	/* Who is taken away leaves as if his file had been removed. */
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"agent_deregistered\""), 1);
	fixture_later(*state, e, 3);
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"agent_deregistered\""), 2);
	assert_null(agent_of(e, "new"));
	assert_non_null(strstr(fixture_text(e, S1 "/session.yaml"), "active_agents: [\"old\"]"));
	fixture_close_ok(e);
}

/* Within the two seconds that tools have for replacing a file nobody has left. */
static void test_agents_that_did_not_leave(void **state)
{
	struct engine *e = fixture_open_session(*state);

	fixture_put(e, S1 "/agents/a.yaml", "");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/agents/a.yaml"), 0);
	assert_int_equal(fixture_restore(e, "good", NULL), 0);
	fixture_later(*state, e, 3);
	assert_non_null(agent_of(e, "a"));
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"agent_registered\""), 1);
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"agent_deregistered\""), 0);
	fixture_close_ok(e);
}

static void test_agents_status(void **state)
{
	struct engine *e = fixture_open_session(*state);
	const struct event *ev;
	struct record *r;

	fixture_put(e, S1 "/agents/a.yaml", "agent: {status: idle}\n");
	fixture_put(e, S1 "/agents/b.yaml", "agent: {status: idle}\nstate: {step: 1}\n");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	fixture_put(e, S1 "/agents/a.yaml", "agent: {status: completed}\n");
	fixture_put(e, S1 "/agents/b.yaml", "agent: {status: idle}\nstate: {step: 2}\n");
	assert_int_equal(fixture_restore(e, "good", NULL), 0);
	r = newest_record(e);
	ev = event_of(r, EVENT_AGENT_STATUS_CHANGED, S1 "/agents/a.yaml");
	assert_non_null(ev);
	assert_string_equal(ev->more, "\"agent_id\":\"a\",\"from\":\"completed\",\"to\":\"idle\",\"reason\":\"restored\"");
	assert_non_null(event_of(r, EVENT_FILE_WRITTEN, S1 "/agents/b.yaml"));
	assert_null(event_of(r, EVENT_AGENT_STATUS_CHANGED, S1 "/agents/b.yaml"));
	assert_null(event_of(r, EVENT_AGENT_REGISTERED, S1 "/agents/a.yaml"));
	record_free(r);
	fixture_close_ok(e);
}

/* They are told even where the log does not name each file. */
static void test_agents_among_many_files(void **state)
{
	struct engine *e = fixture_open_session(*state);
	char path[100];

	for (int i = 0; i < 2500; i++) {
		snprintf(path, sizeof(path), S1 "/state/%d", i);
		fixture_put(e, path, "then\n");
	}
	fixture_put(e, S1 "/agents/old.yaml", "");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/agents/old.yaml"), 0);
	for (int i = 0; i < 2500; i++) {
		snprintf(path, sizeof(path), S1 "/state/%d", i);
		assert_int_equal(fixture_unlink(e, path), 0);
	}
	fixture_later(*state, e, 3);
	assert_int_equal(fixture_restore(e, "good", NULL), 0);
	assert_int_equal(fixture_count_events(e, "\"event_type\":\"agent_registered\""), 2);
	assert_int_equal(fixture_count_events(e, "\"operation\":\"restore\""), 2);
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_hashes_of_small_files),
		FIXTURE_TEST(test_hashes_of_large_files),
		FIXTURE_TEST(test_hashes_that_cost_too_much),
		FIXTURE_TEST(test_agents_come_and_go),
		FIXTURE_TEST(test_agents_that_did_not_leave),
		FIXTURE_TEST(test_agents_status),
		FIXTURE_TEST(test_agents_among_many_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
