/* SPDX-License-Identifier: MIT
 *
 * Renames with open drafts, and what comes back when the save that was to replace it is refused. One scenario a test.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "draft_fixture.h"
#include "env_mem.h"

/* A new file, open, with @text written. */
static struct draft *create(struct draft_world *w, const char *name, const char *text)
{
	struct draft *d = draft_world_create(w, name, DRAFT_WHOLE);

	draft_world_write(w, d, 0, text);
	return d;
}

static int rename_to(struct draft_world *w, const char *from, const char *to)
{
	fixture_request(&w->q);
	return engine_rename(w->e, &w->q, TREE_ROOT_INO, from, TREE_ROOT_INO, to, 0);
}

static void make_strict(struct draft_world *w)
{
	assert_int_equal(fixture_save_text(w->e, "status/config.yaml", "rules:\n  strict: true\n"), 0);
}

/* Also what a restart makes of it. */
static void assert_text(struct draft_world *w, const char *path, const char *text)
{
	assert_string_equal(fixture_text(w->e, path), text);
	assert_int_equal(engine_sync(w->e), 0);
	draft_world_kill(w);
	assert_string_equal(fixture_text(w->e, path), text);
}

/* ---- the open draft of the source ---- */

static void test_refused_by_the_target(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "x.json", "{\"good\":1}\n"), 0);
	d = create(w, "x.tmp", "{bad");
	assert_int_equal(rename_to(w, "x.tmp", "x.json"), -EBADMSG);
	assert_string_equal(fixture_text(w->e, "x.json"), "{\"good\":1}\n");
	assert_int_equal(draft_world_commit_and_close(w, d), 0); /* under its own name it may be anything */
	assert_text(w, "x.tmp", "{bad");
}

static void test_the_written_one_of_two_drafts_goes_along(void **state)
{
	struct draft_world *w = *state;
	struct draft *a, *b, *c;

	assert_int_equal(fixture_save_text(w->e, "t", "target"), 0);
	a = create(w, "tmp", "new content");
	b = draft_world_open(w, "tmp", DRAFT_PATCH);
	c = draft_world_open(w, "tmp", DRAFT_WHOLE);
	assert_int_equal(rename_to(w, "tmp", "t"), 0);
	assert_string_equal(fixture_text(w->e, "t"), "new content");
	assert_int_equal(draft_world_commit_and_close(w, c), 0);
	assert_int_equal(draft_world_commit_and_close(w, b), 0);
	assert_int_equal(draft_world_commit_and_close(w, a), 0);
	assert_text(w, "t", "new content");
}

static void test_written_last_opened_goes_along(void **state)
{
	struct draft_world *w = *state;
	struct draft *a, *b;
	struct tree_attr attr;

	assert_int_equal(fixture_save_text(w->e, "t", "target"), 0);
	fixture_request(&w->q);
	assert_int_equal(engine_create(w->e, &w->q, TREE_ROOT_INO, "tmp", 0644, &attr), 0);
	a = draft_world_open(w, "tmp", DRAFT_WHOLE);
	b = draft_world_open(w, "tmp", DRAFT_WHOLE);
	assert_int_equal(draft_write(b, &w->q.actor, 0, "by b", 4), 0);
	assert_int_equal(rename_to(w, "tmp", "t"), 0);
	assert_string_equal(fixture_text(w->e, "t"), "by b");
	assert_int_equal(draft_world_commit_and_close(w, a), 0);
	assert_int_equal(draft_world_commit_and_close(w, b), 0);
	assert_text(w, "t", "by b");
}

/* "key":"<sha256 of text>" */
static void assert_sha(const char *line, const char *key, const char *text)
{
	char want[128], hex[SHA256_HEX_BYTES];
	struct sha256 sha;

	sha256_of(text, strlen(text), &sha);
	sha256_hex(&sha, hex);
	snprintf(want, sizeof(want), "\"%s\":\"%s\"", key, hex);
	if (!strstr(line, want))
		fail_msg("%s is not in %s", want, line);
}

static void test_event_and_record_of_a_rename_with_a_draft(void **state)
{
	struct draft_world *w = *state;
	cleanup_free char *events = NULL;
	struct record *record;
	struct sha256 target;
	struct draft *d;
	char *line;
	size_t len;

	assert_int_equal(fixture_save_text(w->e, "t", "target"), 0);
	assert_int_equal(fixture_save_text(w->e, "s", "as it was"), 0);
	d = draft_world_open(w, "s", DRAFT_WHOLE);
	assert_int_equal(draft_write(d, &w->q.actor, 0, "brand new content", 17), 0);
	assert_int_equal(rename_to(w, "s", "t"), 0);
	draft_close(d);

	events = fixture_events(w->e, &len);
	line = strstr(events, "\"event_type\":\"renamed\"");
	assert_non_null(line);
	line[strcspn(line, "\n")] = '\0';
	assert_non_null(strstr(line, "\"path\":\"s\",\"new_path\":\"t\""));
	assert_non_null(strstr(line, "\"size\":17,"));
	assert_sha(line, "new_sha256", "brand new content");
	assert_sha(line, "old_sha256", "target");

	assert_int_equal(engine_wait(w->e, w->q.seq, JOURNAL_DURABLE), 0);
	assert_int_equal(engine_load_record(w->e, w->q.seq, &record), 0);
	sha256_of("target", 6, &target);
	assert_memory_equal(&record->base_sha, &target, sizeof(target));
	record_free(record);
}

static void test_event_of_a_rename_with_an_appender(void **state)
{
	struct draft_world *w = *state;
	cleanup_free char *events = NULL;
	const struct sha256 none = {0};
	struct record *record;
	struct draft *d;
	char *line;
	size_t len;

	assert_int_equal(fixture_save_text(w->e, "s", "one\n"), 0);
	d = draft_world_open(w, "s", DRAFT_APPEND);
	assert_int_equal(draft_write(d, &w->q.actor, 0, "two\n", 4), 0);
	assert_int_equal(fixture_append(w->e, "s", "other\n", 6), 0);
	assert_int_equal(rename_to(w, "s", "t"), 0);
	draft_close(d);
	events = fixture_events(w->e, &len);
	line = strstr(events, "\"event_type\":\"renamed\"");
	assert_non_null(line);
	line[strcspn(line, "\n")] = '\0';
	assert_non_null(strstr(line, "\"size\":14,"));
	assert_sha(line, "new_sha256", "one\nother\ntwo\n");
	assert_null(strstr(line, "\"old_sha256\":\"")); /* there was no target */
	assert_int_equal(engine_wait(w->e, w->q.seq, JOURNAL_DURABLE), 0);
	assert_int_equal(engine_load_record(w->e, w->q.seq, &record), 0);
	assert_int_equal(record->base_seq, 0);
	assert_memory_equal(&record->base_sha, &none, sizeof(none));
	record_free(record);
	assert_text(w, "t", "one\nother\ntwo\n");
}

/* ---- a rename and the commit of its source at once ---- */

struct race {
	struct draft_world *w;
	struct draft *d;
	int committed, renamed;
};

static void *race_commit(void *arg)
{
	struct race *r = arg;
	struct request q;

	fixture_request(&q);
	r->committed = draft_commit(r->d, &q, 0);
	return NULL;
}

static void *race_rename(void *arg)
{
	struct race *r = arg;

	r->renamed = fixture_rename(r->w->e, "x.tmp", "x.json", 0);
	return NULL;
}

static void await_commit_begun(struct draft *d)
{
	while (!pthread_mutex_trylock(&d->lock)) {
		pthread_mutex_unlock(&d->lock);
		sched_yield();
	}
}

static void await_rename_begun(struct engine *e, struct draft *d)
{
	bool begun = false;

	while (!begun) {
		engine_lock(e);
		begun = d->holders == 2;
		engine_unlock(e);
		sched_yield();
	}
}

static void test_rename_meets_the_commit_of_its_source(void **state)
{
	struct draft_world *w = *state;
	struct race r = {.w = w};
	pthread_mutex_t *turn;
	pthread_t committer, renamer;

	assert_int_equal(fixture_save_text(w->e, "x.json", "{\"good\":1}\n"), 0);
	r.d = create(w, "x.tmp", "{bad");
	turn = &w->e->commit_locks[r.d->ino % COMMIT_LOCKS];
	pthread_mutex_lock(turn);
	assert_int_equal(pthread_create(&committer, NULL, race_commit, &r), 0);
	await_commit_begun(r.d);
	assert_int_equal(pthread_create(&renamer, NULL, race_rename, &r), 0);
	await_rename_begun(w->e, r.d);
	pthread_mutex_unlock(turn);
	pthread_join(committer, NULL);
	pthread_join(renamer, NULL);
	assert_int_equal(r.committed, 0);
	assert_int_equal(r.renamed, -EBADMSG);
	draft_close(r.d);
	assert_string_equal(fixture_text(w->e, "x.tmp"), "{bad");
	assert_text(w, "x.json", "{\"good\":1}\n");
}

/* ---- replacement by remove-and-create, refused ---- */

static void test_renamed_away_and_refused_comes_back(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "v.yaml", "a: 1\n"), 0);
	assert_int_equal(fixture_chmod(w->e, "v.yaml", 0600), 0);
	assert_int_equal(fixture_rename(w->e, "v.yaml", "v.yaml~", 0), 0);
	d = create(w, "v.yaml", "a: [\n");
	assert_int_equal(draft_world_commit_and_close(w, d), -EBADMSG);
	assert_string_equal(fixture_text(w->e, "v.yaml~"), "a: 1\n");
	assert_int_not_equal(fixture_ino(w->e, "v.yaml"), fixture_ino(w->e, "v.yaml~"));
	assert_text(w, "v.yaml", "a: 1\n");
	assert_int_equal(fixture_save_text(w->e, "v.yaml~", "b: 2\n"), 0); /* two files, not one */
	assert_string_equal(fixture_text(w->e, "v.yaml"), "a: 1\n");
}

static void test_removed_and_refused_comes_back(void **state)
{
	struct draft_world *w = *state;
	uint64_t ino;

	assert_int_equal(fixture_save_text(w->e, "v.yaml", "a: 1\n"), 0);
	ino = fixture_ino(w->e, "v.yaml");
	assert_int_equal(fixture_unlink(w->e, "v.yaml"), 0);
	assert_int_equal(draft_world_commit_and_close(w, create(w, "v.yaml", "a: [\n")), -EBADMSG);
	assert_int_equal(fixture_ino(w->e, "v.yaml"), ino);
	assert_text(w, "v.yaml", "a: 1\n");
}

static void test_removed_and_rename_refused_comes_back(void **state)
{
	struct draft_world *w = *state;
	uint64_t ino;

	assert_int_equal(fixture_save_text(w->e, "w.yaml", "a: 1\n"), 0);
	ino = fixture_ino(w->e, "w.yaml");
	assert_int_equal(fixture_save_text(w->e, "w.tmp", "a: [\n"), 0);
	assert_int_equal(fixture_unlink(w->e, "w.yaml"), 0);
	assert_int_equal(fixture_rename(w->e, "w.tmp", "w.yaml", 0), -EBADMSG);
	assert_int_equal(fixture_ino(w->e, "w.yaml"), ino);
	assert_string_equal(fixture_text(w->e, "w.tmp"), "a: [\n");
	assert_text(w, "w.yaml", "a: 1\n");
}

static void test_removed_and_rename_of_an_open_file_refused_comes_back(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "w.yaml", "a: 1\n"), 0);
	d = create(w, "w.tmp", "a: [\n");
	assert_int_equal(fixture_unlink(w->e, "w.yaml"), 0);
	assert_int_equal(rename_to(w, "w.tmp", "w.yaml"), -EBADMSG);
	assert_string_equal(fixture_text(w->e, "w.yaml"), "a: 1\n");
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "w.tmp"), "a: [\n");
	assert_text(w, "w.yaml", "a: 1\n");
}

/* ---- exchanges ---- */

/* Kept is what was refused, whichever of the two it is; both stay where they are. */
static void test_refused_exchange_keeps_what_was_refused(void **state)
{
	struct draft_world *w = *state;

	assert_int_equal(fixture_save_text(w->e, "x.json", "{\"good\":1}\n"), 0);
	assert_int_equal(fixture_save_text(w->e, "x.txt", "{bad"), 0);
	assert_int_equal(fixture_rename(w->e, "x.txt", "x.json", RENAME_EXCHANGE), -EBADMSG);
	assert_int_equal(draft_world_expect_kept(w, "x.json", "{bad"), OPERATION_EXCHANGE);
	assert_int_equal(fixture_rename(w->e, "x.json", "x.txt", RENAME_EXCHANGE), -EBADMSG);
	assert_int_equal(draft_world_expect_kept(w, "x.json", "{bad"), OPERATION_EXCHANGE);
	assert_string_equal(fixture_text(w->e, "x.txt"), "{bad");
	assert_text(w, "x.json", "{\"good\":1}\n");
}

static void test_refused_exchange_of_an_open_file(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "x.json", "{\"good\":1}\n"), 0);
	assert_int_equal(fixture_save_text(w->e, "x.txt", "old"), 0);
	d = draft_world_open(w, "x.txt", DRAFT_WHOLE);
	assert_int_equal(draft_write(d, &w->q.actor, 0, "{bad", 4), 0);
	assert_int_equal(fixture_rename(w->e, "x.txt", "x.json", RENAME_EXCHANGE), -EBADMSG);
	assert_int_equal(draft_world_expect_kept(w, "x.json", "{bad"), OPERATION_EXCHANGE);
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	assert_text(w, "x.txt", "{bad");
}

/* Longer ago than two seconds it is another file's affair: nothing comes back, and nothing was there to turn bad. */
static void test_removed_long_ago_stays_away(void **state)
{
	struct draft_world *w = *state;

	assert_int_equal(fixture_save_text(w->e, "v.yaml", "a: 1\n"), 0);
	assert_int_equal(fixture_save_text(w->e, "tmp", "a: [\n"), 0);
	assert_int_equal(fixture_unlink(w->e, "v.yaml"), 0);
	env_mem_advance(w->env, 2 * NS_PER_S + NS_PER_MS);
	assert_int_equal(fixture_rename(w->e, "tmp", "v.yaml", 0), 0);
	assert_text(w, "v.yaml", "a: [\n");
}

static void test_removed_long_ago_stays_away_when_refused(void **state)
{
	struct draft_world *w = *state;

	make_strict(w);
	for (int renamed = 0; renamed < 2; renamed++) {
		assert_int_equal(fixture_save_text(w->e, "v.yaml", "a: 1\n"), 0);
		assert_int_equal(renamed ? fixture_rename(w->e, "v.yaml", "v.yaml~", 0) : fixture_unlink(w->e, "v.yaml"), 0);
		env_mem_advance(w->env, 2 * NS_PER_S + NS_PER_MS);
		assert_int_equal(draft_world_commit_and_close(w, create(w, "v.yaml", "a: [\n")), -EBADMSG);
		assert_string_equal(fixture_text(w->e, "v.yaml"), "(none)");
		assert_int_equal(fixture_save_text(w->e, "tmp", "a: [\n"), 0);
		assert_int_equal(fixture_rename(w->e, "tmp", "v.yaml", 0), -EBADMSG);
		assert_text(w, "v.yaml", "(none)");
	}
}

/* What is no file was not to be replaced by one: it stays where it went. */
static void test_renamed_away_but_no_file(void **state)
{
	struct draft_world *w = *state;

	make_strict(w);
	assert_int_equal(fixture_mkdir(w->e, "d.yaml"), 0);
	assert_int_equal(fixture_rename(w->e, "d.yaml", "d", 0), 0);
	assert_int_equal(draft_world_commit_and_close(w, create(w, "d.yaml", "a: [\n")), -EBADMSG);
	assert_int_equal(fixture_symlink(w->e, "d", "l.yaml"), 0);
	assert_int_equal(fixture_rename(w->e, "l.yaml", "l", 0), 0);
	assert_int_equal(fixture_save_text(w->e, "tmp", "a: [\n"), 0);
	assert_int_equal(fixture_rename(w->e, "tmp", "l.yaml", 0), -EBADMSG);
	assert_int_not_equal(fixture_ino(w->e, "d"), 0);
	assert_int_not_equal(fixture_ino(w->e, "l"), 0);
	assert_int_equal(fixture_ino(w->e, "l.yaml"), 0);
	assert_text(w, "d.yaml", "(none)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRAFT_TEST(test_refused_by_the_target),
		DRAFT_TEST(test_the_written_one_of_two_drafts_goes_along),
		DRAFT_TEST(test_written_last_opened_goes_along),
		DRAFT_TEST(test_event_and_record_of_a_rename_with_a_draft),
		DRAFT_TEST(test_event_of_a_rename_with_an_appender),
		DRAFT_TEST(test_rename_meets_the_commit_of_its_source),
		DRAFT_TEST(test_renamed_away_and_refused_comes_back),
		DRAFT_TEST(test_removed_and_refused_comes_back),
		DRAFT_TEST(test_removed_and_rename_refused_comes_back),
		DRAFT_TEST(test_removed_and_rename_of_an_open_file_refused_comes_back),
		DRAFT_TEST(test_refused_exchange_keeps_what_was_refused),
		DRAFT_TEST(test_refused_exchange_of_an_open_file),
		DRAFT_TEST(test_removed_long_ago_stays_away),
		DRAFT_TEST(test_removed_long_ago_stays_away_when_refused),
		DRAFT_TEST(test_renamed_away_but_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
