/* SPDX-License-Identifier: MIT
 *
 * Restoring, case by case: what is refused, what is logged, what becomes of open files and agents, and that damage is told. How much fits is
 * test_restore_size.c's; that the views are equal afterwards, whatever happened in between, test_restore_prop.c's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint.h"
#include "cmocka_all.h"
#include "rng.h"
#include "session_fixture.h"

/* ---- what is refused ---- */

static void test_unknown_names(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct restore_result result;
	uint64_t head;
	struct request q;

	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/one"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/two"), 0);
	head = engine_head_seq(e);
	fixture_request(&q);
	assert_int_equal(checkpoint_restore(e, &q, "s1", "three", &result), -ENOENT);
	assert_string_equal(q.reason.text, "there is no checkpoint \"three\"; there are: two, one, " FIXTURE_FIRST);
	assert_int_equal(checkpoint_restore(e, &q, "s2", "one", &result), -ENOENT);
	assert_non_null(strstr(q.reason.text, "no session \"s2\""));
	assert_int_equal(q.seq, 0);
	assert_int_equal(engine_head_seq(e), head);
	for (int i = 0; i < 30; i++) { /* more than a sentence holds */
		char path[100];

		snprintf(path, sizeof(path), S1 "/checkpoints/a-rather-long-name-%d", i);
		assert_int_equal(fixture_mkdir(e, path), 0);
	}
	assert_int_equal(checkpoint_restore(e, &q, "s1", "", &result), -ENOENT);
	assert_non_null(strstr(q.reason.text, "there are: a-rather-long-name-29, a-rather-long-name-28, "));
	assert_non_null(strstr(q.reason.text, ", …"));
	fixture_close_ok(e);
}

static void test_read_only(void **state)
{
	struct engine_options opt = {.segment_bytes = 2u << 20, .read_only = true};
	struct engine *e = fixture_open_session(*state);
	struct restore_result result;

	fixture_close_ok(e);
	assert_int_equal(engine_open(*state, &opt, NULL, &e), 0);
	assert_int_equal(fixture_restore(e, FIXTURE_FIRST, &result), -EROFS);
	fixture_close_ok(e);
}

/* ---- what happens ---- */

static void test_there_and_back(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct restore_result result;
	uint64_t head, ino;
	char more[300];

	fixture_put(e, S1 "/state/plan", "one\n");
	fixture_put(e, S1 "/state/gone", "still here\n");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	ino = fixture_ino(e, S1 "/state/gone");
	fixture_put(e, S1 "/state/plan", "two\n");
	fixture_put(e, S1 "/state/new", "x\n");
	assert_int_equal(fixture_unlink(e, S1 "/state/gone"), 0);
	head = engine_head_seq(e);
	assert_int_equal(fixture_restore(e, "latest", &result), 0);
	assert_int_equal(engine_head_seq(e), head + 2); /* a checkpoint, and all the rest */
	assert_string_equal(result.checkpoint, "good");
	assert_string_equal(result.pre_recovery, FIXTURE_FIRST "-2");
	assert_int_equal(result.files_restored, 2);
	assert_int_equal(result.files_removed, 1);
	assert_int_equal(result.files_unreadable, 0);
	assert_string_equal(fixture_text(e, S1 "/state/plan"), "one\n");
	assert_string_equal(fixture_text(e, S1 "/state/gone"), "still here\n");
	assert_int_equal(fixture_ino(e, S1 "/state/gone"), ino);
	assert_string_equal(fixture_text(e, S1 "/state/new"), "(none)");
	assert_non_null(strstr(fixture_text(e, S1 "/session.yaml"), "last_checkpoint: \"" FIXTURE_FIRST "-2\"\n"));
	assert_non_null(strstr(fixture_text(e, S1 "/session.yaml"), "recovery_points: [\"" FIXTURE_FIRST "-2\", \"good\", \"" FIXTURE_FIRST "\"]\n"));
	snprintf(more, sizeof(more), "\"checkpoint_id\":\"good\",\"files_restored\":2,\"files_removed\":1,\"pre_recovery\":\"" FIXTURE_FIRST "-2\"");
	assert_int_equal(fixture_count_session_events(e, "s1", more), 1);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"event_type\":\"session_recovered\""), 1);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"reason\":\"pre_recovery\""), 1);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"operation\":\"restore\""), 4);
	assert_int_equal(fixture_count_session_events(
				 e, "s1", "\"file_removed\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\",\"path\":\"" S1 "/state/new\""),
		1);
	assert_int_equal(fixture_count_session_events(
				 e, "s1", "\"file_created\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\",\"path\":\"" S1 "/state/gone\""),
		1);
	assert_int_equal(fixture_count_session_events(
				 e, "s1", "\"file_written\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\",\"path\":\"" S1 "/state/plan\""),
		1);
	assert_int_equal(fixture_count_session_events(e, "s1",
				 "\"operation\":\"restore\",\"path\":\"" S1
				 "/state/plan\",\"actor\":{\"agent\":null,\"pid\":4242,\"uid\":1000,\"comm\":\"fixture\"},\"old_sha256\":\""),
		1);
	/* A restore is undone by another. */
	assert_int_equal(fixture_restore(e, FIXTURE_FIRST "-2", &result), 0);
	assert_string_equal(fixture_text(e, S1 "/state/plan"), "two\n");
	assert_string_equal(fixture_text(e, S1 "/state/new"), "x\n");
	assert_string_equal(fixture_text(e, S1 "/state/gone"), "(none)");
	/* Where nothing differs, it is logged all the same. */
	assert_int_equal(fixture_restore(e, FIXTURE_FIRST "-2", &result), 0);
	assert_int_equal(result.files_restored + result.files_removed, 0);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"event_type\":\"session_recovered\""), 3);
	fixture_close_ok(e);
}

/* A save that puts another file in place (sed -i, editors) is a written file, not a removed and a created one. */
static void test_replaced_files(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct restore_result result;

	fixture_put(e, S1 "/state/plan", "one\n");
	assert_int_equal(fixture_mkdir(e, S1 "/state/kind"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	fixture_put(e, S1 "/state/tmp", "two\n");
	assert_int_equal(fixture_rename(e, S1 "/state/tmp", S1 "/state/plan", 0), 0);
	assert_int_equal(fixture_rmdir(e, S1 "/state/kind"), 0);
	assert_int_equal(fixture_symlink(e, "elsewhere", S1 "/state/kind"), 0);
	assert_int_equal(fixture_restore(e, "good", &result), 0);
	assert_string_equal(fixture_text(e, S1 "/state/plan"), "one\n");
	assert_int_equal(result.files_restored, 1);
	assert_int_equal(result.files_removed, 1); /* the symlink */
	assert_int_equal(fixture_count_session_events(e, "s1", "\"file_written\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\""), 1);
	assert_int_equal(fixture_count_session_events(
				 e, "s1", "\"directory_created\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\",\"path\":\"" S1 "/state/kind\""),
		1);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"operation\":\"restore\""), 4);
	fixture_close_ok(e);
}

static void test_agents_and_history(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct restore_result result;
	struct session *s;

	fixture_put(e, S1 "/agents/old.yaml", "agent: {type: coder}\n");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/agents/.sync/build"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/agents/old.yaml"), 0);
	fixture_put(e, S1 "/agents/new.yaml", "");
	assert_int_equal(fixture_restore(e, "good", &result), 0);
	assert_int_not_equal(fixture_ino(e, S1 "/agents/.sync/build"), 0);
	assert_int_not_equal(fixture_ino(e, S1 "/agents/.sync/build.yaml"), 0);
	assert_int_equal(fixture_ino(e, S1 "/agents/new.yaml"), 0);
	engine_lock(e);
	s = registry_session(e, "s1");
	assert_non_null(registry_agent(s, "old"));
	assert_int_equal(registry_agent(s, "old")->removed_ns, 0);
	assert_string_equal(registry_agent(s, "old")->fields.type, "coder");
	engine_unlock(e);
	fixture_close_ok(e);
}

/* Who is writing goes on; what is written to a file that is gone is kept. */
static void test_open_files(void **state)
{
	struct engine *e = fixture_open_session(*state);
	struct restore_result result;
	struct draft *stays, *goes, *born;
	struct tree_attr attr;
	struct request q;

	fixture_request(&q);
	fixture_put(e, S1 "/state/stays", "then\n");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	fixture_put(e, S1 "/state/stays", "now\n");
	fixture_put(e, S1 "/state/goes", "now\n");
	assert_int_equal(engine_create(e, &q, fixture_ino(e, S1 "/state"), "born", 0644, &attr), 0);
	assert_int_equal(draft_open(e, fixture_ino(e, S1 "/state/stays"), DRAFT_APPEND, &q.actor, &stays), 0);
	assert_int_equal(draft_open(e, fixture_ino(e, S1 "/state/goes"), DRAFT_WHOLE, &q.actor, &goes), 0);
	assert_int_equal(draft_open(e, attr.ino, DRAFT_WHOLE, &q.actor, &born), 0);
	assert_int_equal(draft_write(stays, &q.actor, 0, "more\n", 5), 0);
	assert_int_equal(draft_write(goes, &q.actor, 0, "lost?\n", 6), 0);
	assert_int_equal(draft_write(born, &q.actor, 0, "lost?\n", 6), 0);
	assert_int_equal(fixture_restore(e, "good", &result), 0);
	assert_int_equal(fixture_ino(e, S1 "/state/born"), 0);
	assert_string_equal(fixture_text(e, S1 "/state/stays"), "then\n");
	assert_int_equal(draft_commit(stays, &q, 0), 0);
	assert_int_equal(draft_commit(goes, &q, 0), 0);
	assert_int_equal(draft_commit(born, &q, 0), 0);
	assert_string_equal(fixture_text(e, S1 "/state/stays"), "then\nmore\n");
	assert_int_equal(fixture_ino(e, S1 "/state/goes"), 0);
	assert_int_equal(fixture_count_session_events(e, "s1", "\"event_type\":\"conflict_detected\""), 2);
	draft_close(stays);
	draft_close(goes);
	draft_close(born);
	fixture_close_ok(e);
}

/* ---- damage ---- */

static void test_damage_is_told(void **state)
{
	static const char text[] = "remember me: a text that is found on the medium";
	struct engine *e = fixture_open_session(*state);
	struct restore_result result;
	struct request q;

	fixture_put(e, S1 "/state/bad", text);
	fixture_put(e, S1 "/state/good", "fine");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/then"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/state/bad"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/state/good"), 0);
	fixture_close_ok(e);
	fixture_spoil(*state, text);
	e = fixture_open_ok(*state);
	fixture_request(&q);
	assert_int_equal(checkpoint_restore(e, &q, "s1", "then", &result), -EIO);
	assert_non_null(strstr(q.reason.text, S1 "/state/bad was put back"));
	assert_int_equal(result.files_restored, 2);
	assert_int_equal(result.files_unreadable, 1);
	assert_true(q.seq > 0);
	assert_string_equal(fixture_text(e, S1 "/state/good"), "fine");
	assert_string_equal(fixture_text(e, S1 "/state/bad"), "(error)");
	fixture_close_ok(e);
}

/* ---- at the same time ---- */

struct writer {
	struct engine *e;
	unsigned number;
	atomic_bool *stop;
	atomic_uint *notes;
	pthread_t thread;
};

static void *write_all_the_time(void *arg)
{
	struct writer *w = arg;
	struct rng rng;
	char path[100], other[100];

	rng_init(&rng, w->number);
	while (!atomic_load(w->stop)) {
		snprintf(path, sizeof(path), S1 "/state/%u-%d", w->number, (int)rng_below(&rng, 5));
		snprintf(other, sizeof(other), S1 "/state/%u-%d", w->number, (int)rng_below(&rng, 5));
		switch (rng_below(&rng, 5)) { /* a restore may take any of it away at any time */
		case 0:
			(void)fixture_unlink(w->e, path);
			break;
		case 1:
			(void)fixture_rename(w->e, path, other, 0);
			break;
		case 2:
			if (!fixture_append(w->e, S1 "/session.yaml", "# a note\n", 9))
				atomic_fetch_add(w->notes, 1);
			break;
		default:
			(void)fixture_save_text(w->e, path, path);
		}
	}
	return NULL;
}

static void test_while_others_write(void **state)
{
	struct engine_options opt = {.segment_bytes = 2u << 20, .threads = true, .root_uid = 1000, .root_gid = 1000};
	struct writer writers[3];
	struct restore_result result;
	struct engine_health health;
	struct reason why = {0};
	atomic_bool stop = false;
	atomic_uint notes = 0;
	struct request q;
	struct engine *e;
	unsigned found = 0;

	assert_int_equal(engine_open(*state, &opt, &why, &e), 0);
	assert_int_equal(fixture_mkdir(e, S1), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(writers); i++) {
		writers[i] = (struct writer){.e = e, .number = i, .stop = &stop, .notes = &notes};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all_the_time, &writers[i]), 0);
	}
	for (int i = 0; i < 40; i++) {
		int r;

		fixture_request(&q);
		assert_int_equal(checkpoint_create(e, &q, "s1", NULL, "busy", NULL, NULL), 0);
		r = fixture_restore(e, i % 2 ? "latest" : FIXTURE_FIRST, &result);
		if (r)
			fail_msg("restore: %s", strerror(-r));
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(writers); i++)
		assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
	e = fixture_reopen(*state, e);
	engine_get_health(e, &health);
	assert_int_equal(health.status, ENGINE_HEALTHY);
	buf_release(&health.why);
	/* What was saved to session.yaml and what the daemon wrote there: neither is lost. */
	for (const char *p = fixture_text(e, S1 "/session.yaml"); (p = strstr(p, "# a note\n")); p++)
		found++;
	assert_true(found > 0);
	assert_int_equal(found, notes);
	assert_non_null(strstr(fixture_text(e, S1 "/session.yaml"), result.pre_recovery));
	fixture_close_ok(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_unknown_names),
		FIXTURE_TEST(test_read_only),
		FIXTURE_TEST(test_there_and_back),
		FIXTURE_TEST(test_replaced_files),
		FIXTURE_TEST(test_agents_and_history),
		FIXTURE_TEST(test_open_files),
		FIXTURE_TEST(test_damage_is_told),
		FIXTURE_TEST(test_while_others_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
