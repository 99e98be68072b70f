/* SPDX-License-Identifier: MIT
 *
 * Drafts on their way to publication: two savers of one file, refused and gone on with, no room, poison, appenders that truncate,
 * death of the daemon. One scenario a test; renames with open drafts are test_draft_rename.c's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "../../core/engine_internal.h" /* to write a snapshot when it suits */

struct world {
	struct env *env;
	struct engine *e;
	struct request q; /* of the last commit */
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->env = env_mem_new(7);
	w->e = fixture_open_ok(w->env);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	(void)engine_close(w->e); /* a poisoned one says so */
	env_mem_free(w->env);
	free(w);
	return 0;
}

static void kill_and_restart(struct world *w)
{
	fixture_kill(w->env, w->e);
	w->e = fixture_open_ok(w->env);
}

/* A file that is there. */
static struct draft *open_draft(struct world *w, const char *name, enum draft_kind kind)
{
	struct draft *d;

	fixture_request(&w->q);
	assert_int_equal(draft_open(w->e, fixture_ino(w->e, name), kind, &w->q.actor, &d), 0);
	return d;
}

/* A newborn. */
static struct draft *create(struct world *w, const char *name, enum draft_kind kind)
{
	struct tree_attr attr;

	fixture_request(&w->q);
	assert_int_equal(engine_create(w->e, &w->q, TREE_ROOT_INO, name, 0644, &attr), 0);
	return open_draft(w, name, kind);
}

static void put(struct world *w, struct draft *d, uint64_t offset, const char *text)
{
	fixture_request(&w->q);
	assert_int_equal(draft_write(d, &w->q.actor, offset, text, strlen(text)), 0);
}

static int commit_flags(struct world *w, struct draft *d, int flags)
{
	fixture_request(&w->q);
	return draft_commit(d, &w->q, flags);
}

static int commit(struct world *w, struct draft *d)
{
	return commit_flags(w, d, 0);
}

/* As a process ends: FLUSH, wait, RELEASE. */
static int commit_and_close(struct world *w, struct draft *d)
{
	int r = commit(w, d);

	if (w->q.seq)
		assert_int_equal(engine_wait(w->e, w->q.seq, JOURNAL_DURABLE), 0);
	draft_close(d);
	return r;
}

static size_t pending_count(struct world *w)
{
	struct draft_info *list;
	size_t count;

	assert_int_equal(draft_list(w->e, &list, &count), 0);
	for (size_t i = 0; i < count; i++)
		draft_info_release(&list[i]);
	free(list);
	return count;
}

/* The one pending draft: of @path, with this text. Returns its id. */
static uint64_t assert_pending(struct world *w, const char *path, const char *text)
{
	struct draft_info *list;
	char bytes[256] = "";
	size_t count;
	uint64_t id;

	assert_int_equal(draft_list(w->e, &list, &count), 0);
	assert_int_equal(count, 1);
	assert_string_equal(list[0].path, path);
	id = list[0].id;
	draft_info_release(&list[0]);
	free(list);
	assert_int_equal(draft_read_by_id(w->e, id, 0, bytes, sizeof(bytes) - 1), strlen(text));
	assert_string_equal(bytes, text);
	return id;
}

static void publish_pending(struct world *w, uint64_t id)
{
	fixture_request(&w->q);
	assert_int_equal(draft_publish_recovered(w->e, id, &w->q), 0);
	assert_int_equal(engine_wait(w->e, w->q.seq, JOURNAL_DURABLE), 0);
	assert_int_equal(pending_count(w), 0);
}

/* The newest rollback: of @path, with this text. */
static void assert_kept(struct world *w, const char *path, const char *text)
{
	char bytes[256] = "";
	struct record *r;
	uint64_t seq;

	assert_int_equal(engine_list_transactions(w->e, true, 0, &seq, 1), 1);
	assert_int_equal(engine_load_record(w->e, seq, &r), 0);
	assert_string_equal(r->path, path);
	assert_int_equal(engine_read_rollback(w->e, r, 0, bytes, sizeof(bytes) - 1), strlen(text));
	assert_string_equal(bytes, text);
	record_free(r);
}

/* ---- two savers ---- */

static void test_two_savers_of_a_new_file_each_replace_it(void **state)
{
	struct world *w = *state;
	struct draft *a = create(w, "f", DRAFT_WHOLE), *b = open_draft(w, "f", DRAFT_WHOLE), *c = open_draft(w, "f", DRAFT_WHOLE);

	put(w, a, 0, "first and long\n");
	put(w, b, 0, "second\n");
	put(w, c, 0, "not this\n");
	assert_int_equal(commit(w, a), 0);
	assert_string_equal(fixture_text(w->e, "f"), "first and long\n");
	assert_int_equal(commit_and_close(w, b), 0);
	assert_string_equal(fixture_text(w->e, "f"), "second\n");
	assert_int_equal(draft_truncate(c, &w->q.actor, 0), 0);
	put(w, c, 0, "3\n");
	assert_int_equal(commit_and_close(w, c), 0);
	assert_string_equal(fixture_text(w->e, "f"), "3\n");
	draft_close(a);
}

static void test_unwritten_second_opener_of_a_new_file_changes_nothing(void **state)
{
	struct world *w = *state;
	struct draft *a = create(w, "f", DRAFT_WHOLE), *b = open_draft(w, "f", DRAFT_WHOLE);

	put(w, a, 0, "text\n");
	assert_int_equal(commit_and_close(w, a), 0);
	assert_int_equal(commit_and_close(w, b), 0);
	assert_string_equal(fixture_text(w->e, "f"), "text\n");
}

static void test_open_after_the_name_was_taken_back(void **state)
{
	struct world *w = *state;
	struct draft *d = create(w, "f", DRAFT_SHARED), *late;
	uint64_t ino = fixture_ino(w->e, "f");

	draft_close(d); /* never committed */
	assert_int_equal(fixture_ino(w->e, "f"), 0);
	assert_int_equal(draft_open(w->e, ino, DRAFT_WHOLE, &w->q.actor, &late), -ESTALE);
	assert_int_equal(draft_open(w->e, ino, DRAFT_SHARED, &w->q.actor, &late), -ESTALE);
}

static void assert_orphan(struct world *w, uint64_t ino, const char *text)
{
	char got[64] = "";
	uint64_t size = 0;
	int64_t mtime;

	assert_int_equal(draft_read_orphan(w->e, ino, 0, got, sizeof(got) - 1), strlen(text));
	assert_string_equal(got, text);
	assert_true(draft_shared_size(w->e, ino, &size, &mtime));
	assert_int_equal(size, strlen(text));
}

/* A newborn that was unlinked while open is one file for all who have it, as anywhere else; it ends with the last of them. */
static void test_orphan_is_one_file(void **state)
{
	static const enum draft_kind kinds[] = {DRAFT_WHOLE, DRAFT_PATCH, DRAFT_APPEND, DRAFT_SHARED};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct draft *a = create(w, "f", kinds[i]), *b, *c;
		uint64_t ino = fixture_ino(w->e, "f");

		put(w, a, 0, "first");
		assert_int_equal(draft_read_orphan(w->e, ino, 0, &(char){0}, 1), -ENOENT); /* not yet */
		assert_int_equal(engine_unlink(w->e, &w->q, TREE_ROOT_INO, "f"), 0);
		assert_int_equal(draft_open(w->e, ino, DRAFT_SHARED, &w->q.actor, &b), 0);
		assert_orphan(w, ino, "first");
		put(w, b, 0, "F");
		put(w, a, 5, "+");
		assert_orphan(w, ino, "First+");
		assert_int_equal(draft_open(w->e, ino, DRAFT_APPEND, &w->q.actor, &c), 0);
		draft_set_append(c);
		put(w, a, 0, "f");
		assert_orphan(w, ino, "first+");
		draft_close(a);
		assert_int_equal(commit_and_close(w, c), 0);
		assert_orphan(w, ino, "first+");
		assert_int_equal(draft_open(w->e, ino, DRAFT_WHOLE, &w->q.actor, &c), 0);
		assert_orphan(w, ino, "");
		put(w, c, 0, "new");
		assert_orphan(w, ino, "new");
		draft_close(b);
		draft_close(c);
		assert_int_equal(draft_open(w->e, ino, DRAFT_SHARED, &w->q.actor, &b), -ESTALE);
		assert_int_equal(pending_count(w), 0);
	}
}

/* ---- refused ---- */

static void test_refused_and_completed(void **state)
{
	struct world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "x.yaml", "x: 1\ny: 2\n"), 0);
	d = open_draft(w, "x.yaml", DRAFT_WHOLE);
	put(w, d, 0, "a: [1,\n");
	assert_int_equal(commit(w, d), -EBADMSG);
	assert_string_equal(fixture_text(w->e, "x.yaml"), "x: 1\ny: 2\n");
	assert_kept(w, "x.yaml", "a: [1,\n");
	put(w, d, 7, " 2]\nb: 1\n");
	assert_int_equal(commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "x.yaml"), "a: [1,\n 2]\nb: 1\n");
	assert_kept(w, "x.yaml", "a: [1,\n");
	assert_int_equal(pending_count(w), 0);
}

static void test_refused_append_and_completed(void **state)
{
	struct world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "x.yaml", "x: 1\n"), 0);
	d = open_draft(w, "x.yaml", DRAFT_APPEND);
	put(w, d, 0, "l: [1,\n");
	assert_int_equal(commit(w, d), -EBADMSG);
	put(w, d, 0, " 2]\n");
	assert_int_equal(commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "x.yaml"), "x: 1\nl: [1,\n 2]\n");
}

/* Nobody waited for the transaction that keeps the copy: the draft is not over before that is safe. */
static struct draft *refused(struct world *w)
{
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "x.yaml", "x: 1\n"), 0);
	d = open_draft(w, "x.yaml", DRAFT_WHOLE);
	put(w, d, 0, "l: [1,\n");
	assert_int_equal(commit(w, d), -EBADMSG);
	return d;
}

static void test_refused_and_killed_at_once(void **state)
{
	struct world *w = *state;

	(void)refused(w);
	kill_and_restart(w);
	(void)assert_pending(w, "x.yaml", "l: [1,\n");
}

static void test_refused_closed_and_killed_at_once(void **state)
{
	struct world *w = *state;

	draft_close(refused(w));
	kill_and_restart(w);
	assert_kept(w, "x.yaml", "l: [1,\n");
	assert_int_equal(pending_count(w), 0);
}

static void test_refused_and_the_copy_cannot_be_written(void **state)
{
	struct world *w = *state;
	struct draft *d = refused(w);

	env_mem_fail_syncs(w->env, EIO);
	draft_close(d);
	env_mem_fail_syncs(w->env, 0);
	kill_and_restart(w);
	(void)assert_pending(w, "x.yaml", "l: [1,\n");
	assert_string_equal(fixture_text(w->e, "x.yaml"), "x: 1\n");
}

static void test_clean_draft_names_what_published_it(void **state)
{
	struct world *w = *state;
	struct draft *d = create(w, "d.log", DRAFT_APPEND);
	uint64_t seq;

	put(w, d, 0, "x\n");
	assert_int_equal(commit_flags(w, d, DRAFT_STREAM), 0); /* autocommit: nobody waited for it */
	seq = w->q.seq;
	assert_int_not_equal(seq, 0);
	assert_int_equal(draft_last_seq(d), seq);
	assert_int_equal(fixture_save_text(w->e, "other", "x"), 0);
	assert_int_equal(commit(w, d), 0);
	assert_int_equal(w->q.seq, seq);
	draft_close(d);
	d = open_draft(w, "d.log", DRAFT_APPEND);
	assert_int_equal(commit(w, d), 0);
	assert_int_equal(w->q.seq, 0);
	draft_close(d);
}

/* ---- neither published nor kept ---- */

static void fill(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + (i * 2654435761u >> 13) % 26);
}

/* As much as no frame of the open segment has room for. */
static struct draft *write_much(struct world *w, struct draft *d, char *text, size_t len)
{
	fill(text, len);
	for (size_t at = 0; at < len; at += 60000)
		assert_int_equal(draft_write(d, &w->q.actor, at, text + at, MIN(len - at, (size_t)60000)), 0);
	return d;
}

static void no_room(struct world *w, const char *name, struct draft *d)
{
	size_t bytes = 2400000, len;
	cleanup_free char *text = malloc(bytes), *back = NULL;
	struct draft_info *list;
	size_t count;

	write_much(w, d, text, bytes);
	env_mem_set_capacity(w->env, 1);
	assert_int_equal(commit(w, d), -ENOSPC);
	draft_close(d);
	env_mem_set_capacity(w->env, 0);
	for (int restarted = 0; restarted < 2; restarted++) {
		assert_int_equal(draft_list(w->e, &list, &count), 0);
		assert_int_equal(count, 1);
		assert_true(list[0].recovered);
		assert_string_equal(list[0].path, name);
		assert_int_equal(list[0].size, bytes);
		if (!restarted) {
			draft_info_release(&list[0]);
			free(list);
			kill_and_restart(w);
		}
	}
	publish_pending(w, list[0].id);
	draft_info_release(&list[0]);
	free(list);
	assert_int_equal(fixture_read(w->e, name, SEQ_LIVE, &back, &len), 0);
	assert_int_equal(len, bytes);
	assert_memory_equal(back, text, bytes);
}

static void test_no_room_at_close(void **state)
{
	struct world *w = *state;

	assert_int_equal(fixture_save_text(w->e, "f", "old"), 0);
	no_room(w, "f", open_draft(w, "f", DRAFT_WHOLE));
}

static void test_no_room_for_a_newborn_at_close(void **state)
{
	no_room(*state, "n", create(*state, "n", DRAFT_WHOLE));
}

/* Without a restart, and looked at again and again. */
static void test_no_room_at_close_then_published(void **state)
{
	struct world *w = *state;
	cleanup_free char *text = malloc(2400000);
	struct draft *d = write_much(w, create(w, "n", DRAFT_WHOLE), text, 2400000);
	struct draft_info *list, one;
	size_t count;

	env_mem_set_capacity(w->env, 1);
	assert_int_equal(commit(w, d), -ENOSPC);
	draft_close(d);
	assert_int_equal(fixture_ino(w->e, "n"), 0);
	env_mem_set_capacity(w->env, 0);
	assert_int_equal(draft_list(w->e, &list, &count), 0);
	assert_int_equal(count, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(draft_info_get(w->e, list[0].id, &one), 0);
		draft_info_release(&one);
	}
	publish_pending(w, list[0].id);
	draft_info_release(&list[0]);
	free(list);
	assert_int_equal(strlen(fixture_text(w->e, "n")), 65535); /* what the static text has room for */
	kill_and_restart(w);
	assert_int_equal(pending_count(w), 0);
}

static void test_poisoned_at_close(void **state)
{
	struct world *w = *state;
	struct draft *d;
	uint64_t id;

	assert_int_equal(fixture_save_text(w->e, "f", "old"), 0);
	d = open_draft(w, "f", DRAFT_WHOLE);
	put(w, d, 0, "typed");
	env_mem_fail_syncs(w->env, EIO);
	assert_int_equal(fixture_save_text(w->e, "other", "x"), -EIO);
	assert_int_equal(commit(w, d), -EROFS);
	draft_close(d);
	id = assert_pending(w, "f", "typed");
	fixture_request(&w->q);
	assert_int_equal(draft_publish_recovered(w->e, id, &w->q), -EROFS);
	assert_int_equal(assert_pending(w, "f", "typed"), id);
	env_mem_fail_syncs(w->env, 0);
	kill_and_restart(w);
	assert_string_equal(fixture_text(w->e, "f"), "old");
	publish_pending(w, assert_pending(w, "f", "typed"));
	assert_string_equal(fixture_text(w->e, "f"), "typed");
}

/* ---- in many pieces ---- */

static void assert_content(struct world *w, const char *name, const char *want, size_t len)
{
	cleanup_free char *text = NULL;
	size_t n;

	assert_int_equal(fixture_read(w->e, name, SEQ_LIVE, &text, &n), 0);
	assert_int_equal(n, len);
	assert_memory_equal(text, want, len);
}

/* A frame of the fixture holds half a MiB: 36 bytes an extent. */
static void test_ten_thousand_pieces_apart(void **state)
{
	enum { PIECES = 10000 };
	struct world *w = *state;
	char *want = calloc(1, 2 * PIECES);
	struct draft *d;

	assert_int_equal(fixture_save(w->e, "db", want, 2 * PIECES), 0);
	d = open_draft(w, "db", DRAFT_SHARED);
	for (size_t i = 0; i < PIECES; i++) {
		want[2 * i] = 'x';
		put(w, d, 2 * i, "x");
	}
	assert_int_equal(commit_and_close(w, d), 0);
	assert_content(w, "db", want, 2 * PIECES);
	kill_and_restart(w);
	assert_content(w, "db", want, 2 * PIECES);
	free(want);
}

/* Small changes to one large block leave it in short pieces, each between two of its own. */
static void many_pieces_of_a_block(struct world *w, size_t changes)
{
	size_t bytes = 1u << 20, step = bytes / changes;
	char *want = malloc(bytes);
	struct draft *d = create(w, "db", DRAFT_SHARED);

	fill(want, bytes);
	assert_int_equal(draft_write(d, &w->q.actor, 0, want, bytes), 0);
	for (size_t i = 0; i < changes; i++) {
		want[i * step + 1] = '!';
		put(w, d, i * step + 1, "!");
	}
	assert_int_equal(commit_and_close(w, d), 0);
	assert_content(w, "db", want, bytes);
	kill_and_restart(w);
	assert_content(w, "db", want, bytes);
	free(want);
}

static void test_20000_pieces_of_a_block(void **state)
{
	many_pieces_of_a_block(*state, 10000);
}

static void test_70000_pieces_of_a_block(void **state)
{
	many_pieces_of_a_block(*state, 35000);
}

/* ---- appending ---- */

static void test_append_after_a_long_unfinished_line(void **state)
{
	static const char next[] = "\n{\"x\":1}\n";
	struct world *w = *state;
	struct buf text = BUF_INIT;

	for (int i = 0; i < 3000; i++)
		buf_printf(&text, "{\"line\":%d,\"pad\":\"xxxxxxxxxxxxxxxxx\"}\n", i);
	buf_append_str(&text, "{\"long\":\"");
	for (int i = 0; i < 5000; i++)
		buf_append(&text, "y", 1);
	buf_append_str(&text, "\"}");
	assert_int_equal(fixture_save(w->e, "l.jsonl", text.data, text.len), 0);
	assert_int_equal(fixture_append(w->e, "l.jsonl", "}\n", 2), -EBADMSG); /* the line is looked at whole */
	assert_int_equal(fixture_append(w->e, "l.jsonl", next, strlen(next)), 0);
	buf_append_str(&text, next);
	assert_content(w, "l.jsonl", text.data, text.len);
	buf_release(&text);
}

static void test_appender_appends_again_after_truncating(void **state)
{
	struct world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	d = open_draft(w, "a.log", DRAFT_APPEND);
	assert_int_equal(draft_truncate(d, &w->q.actor, 0), 0);
	put(w, d, 0, "a1\n");
	put(w, d, 0, "a2\n"); /* at the end, not at offset 0 */
	assert_int_equal(commit(w, d), 0);
	assert_string_equal(fixture_text(w->e, "a.log"), "a1\na2\n");
	assert_int_equal(fixture_append(w->e, "a.log", "other\n", 6), 0);
	put(w, d, draft_size(d), "a3\n");
	assert_int_equal(commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "a.log"), "a1\na2\nother\na3\n");
}

static void test_appender_appends_again_after_shortening(void **state)
{
	struct world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\ntwo\n"), 0);
	d = open_draft(w, "a.log", DRAFT_APPEND);
	put(w, d, 0, "a1\n");
	assert_int_equal(draft_truncate(d, &w->q.actor, 4), 0);
	assert_int_equal(commit(w, d), 0);
	assert_int_equal(fixture_append(w->e, "a.log", "other\n", 6), 0);
	put(w, d, 4, "a2\n");
	assert_int_equal(commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "a.log"), "one\nother\na2\n");
}

/* A truncation that could not be noted down changed nothing. */
static void test_appender_fails_to_truncate(void **state)
{
	struct world *w = *state;
	struct env_mem_stats now;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	d = open_draft(w, "a.log", DRAFT_APPEND);
	put(w, d, 0, "a1\n");
	env_mem_stats(w->env, &now);
	env_mem_fail_at(w->env, now.ops + 1, ENOSPC);
	assert_int_equal(draft_truncate(d, &w->q.actor, 2), -ENOSPC);
	assert_int_equal(draft_kind_of(d), DRAFT_APPEND);
	put(w, d, 0, "a2\n");
	kill_and_restart(w);
	publish_pending(w, assert_pending(w, "a.log", "a1\na2\n"));
	assert_string_equal(fixture_text(w->e, "a.log"), "one\na1\na2\n");
}

static void test_append_beyond_the_largest_file(void **state)
{
	struct world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	d = open_draft(w, "a.log", DRAFT_APPEND);
	assert_int_equal(draft_truncate(d, &w->q.actor, FILE_BYTES_MAX), 0);
	assert_int_equal(draft_write(d, &w->q.actor, 0, "more", 4), -EFBIG);
	assert_int_equal(draft_truncate(d, &w->q.actor, 4), 0);
	put(w, d, 0, "more");
	assert_int_equal(commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "a.log"), "one\nmore");
}

/* ---- death of the daemon ---- */

static void test_appender_truncates_and_the_daemon_dies(void **state)
{
	struct world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	d = open_draft(w, "a.log", DRAFT_APPEND);
	put(w, d, 0, "two\n");
	assert_int_equal(draft_truncate(d, &w->q.actor, 6), 0);
	put(w, d, 0, "!\n");
	kill_and_restart(w);
	/* The draft's own bytes at their place; what is below shows when it is published. */
	struct draft_info *list;
	char bytes[16];
	size_t count;

	assert_int_equal(draft_list(w->e, &list, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(list[0].size, 8);
	assert_int_equal(draft_read_by_id(w->e, list[0].id, 0, bytes, sizeof(bytes)), 8);
	assert_memory_equal(bytes, "\0\0\0\0tw!\n", 8);
	publish_pending(w, list[0].id);
	draft_info_release(&list[0]);
	free(list);
	assert_string_equal(fixture_text(w->e, "a.log"), "one\ntw!\n");
}

static void test_appender_empties_and_the_daemon_dies(void **state)
{
	struct world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	d = open_draft(w, "a.log", DRAFT_APPEND);
	put(w, d, 0, "two\n");
	assert_int_equal(draft_truncate(d, &w->q.actor, 0), 0);
	put(w, d, 0, "new\n");
	kill_and_restart(w);
	publish_pending(w, assert_pending(w, "a.log", "new\n"));
	assert_string_equal(fixture_text(w->e, "a.log"), "new\n");
}

static void test_shared_draft_of_the_dead_and_of_the_living(void **state)
{
	struct world *w = *state;
	struct draft_info *list;
	struct draft *d;
	size_t count;
	uint64_t id = 0;

	assert_int_equal(fixture_save_text(w->e, "db", "0000000000"), 0);
	d = open_draft(w, "db", DRAFT_SHARED);
	put(w, d, 0, "R");
	kill_and_restart(w);
	d = open_draft(w, "db", DRAFT_SHARED);
	put(w, d, 5, "LIVE");
	assert_int_equal(draft_list(w->e, &list, &count), 0);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		if (list[i].recovered)
			id = list[i].id;
		draft_info_release(&list[i]);
	}
	free(list);
	fixture_request(&w->q);
	assert_int_equal(draft_publish_recovered(w->e, id, &w->q), 0);
	assert_string_equal(fixture_text(w->e, "db"), "R000000000");
	assert_int_equal(commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "db"), "R0000LIVE0");
}

/* The end of a published draft was not on the disk, the snapshot that knows of it was. */
static void test_no_phantom_after_a_snapshot(void **state)
{
	char line[6000];

	(void)state;
	for (uint64_t seed = 1; seed <= 24; seed++) {
		struct env *env = env_mem_new(seed), *after;
		struct world w = {.env = env, .e = fixture_open_ok(env)};

		fill(line, sizeof(line));
		assert_int_equal(fixture_save_text(w.e, "a.log", "one\n"), 0);
		for (int i = 0; i < 3; i++)
			assert_int_equal(fixture_append(w.e, "a.log", line, sizeof(line)), 0);
		assert_int_equal(engine_close(w.e), 0);
		after = env_mem_power_cycle(env, seed % 2 ? ENV_MEM_RANDOM : ENV_MEM_TORN, seed);
		env_mem_free(env);
		w.env = after;
		w.e = fixture_open_ok(after);
		assert_int_equal(pending_count(&w), 0);
		assert_int_equal(engine_close(w.e), 0);
		env_mem_free(after);
	}
}

/* Drafts that ended without a transaction of their own: one refused, and one of a temporary file. */
static void end_without_publishing(struct world *w)
{
	char line[6000];
	struct draft *d = refused(w);

	fill(line, sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	draft_close(d);
	d = create(w, "tmp", DRAFT_WHOLE);
	put(w, d, 0, line);
	assert_int_equal(engine_unlink(w->e, &w->q, TREE_ROOT_INO, "tmp"), 0);
	assert_int_equal(commit_and_close(w, d), 0);
}

static int remove_index(void *arg, const char *name, bool is_dir)
{
	char path[64];

	(void)is_dir;
	snprintf(path, sizeof(path), "index/%s", name);
	return env_unlink(arg, path);
}

/* No index, and power loss has taken the ends of drafts but not the drafts: history says that they are over. */
static void test_no_phantom_without_an_index(void **state)
{
	size_t open_ones = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct env *env = env_mem_new(seed), *after;
		struct world w = {.env = env, .e = fixture_open_ok(env)};
		struct draft *d;

		end_without_publishing(&w);
		d = create(&w, "open", DRAFT_WHOLE);
		put(&w, d, 0, "written, not published");
		assert_int_equal(fixture_save_text(w.e, "next", "x"), 0);
		after = env_mem_power_cycle(env, ENV_MEM_RANDOM, seed);
		fixture_kill(env, w.e);
		env_mem_free(env);
		(void)env_list(after, "index", remove_index, after);
		w.env = after;
		w.e = fixture_open_ok(after);
		assert_in_range(pending_count(&w), 0, 1);
		if (pending_count(&w)) {
			(void)assert_pending(&w, "open", "written, not published");
			open_ones++;
		}
		assert_int_equal(engine_close(w.e), 0);
		env_mem_free(after);
	}
	assert_true(open_ones > 0); /* what was open is told from them */
}

/* It died between the snapshot and the end of the draft. */
static void test_no_phantom_after_a_snapshot_and_death(void **state)
{
	struct world *w = *state;

	assert_int_equal(fixture_save_text(w->e, "a.log", "one\n"), 0);
	assert_int_equal(fixture_append(w->e, "a.log", "two\n", 4), 0);
	assert_int_equal(index_write(w->e), 0);
	kill_and_restart(w);
	assert_int_equal(pending_count(w), 0);
	assert_string_equal(fixture_text(w->e, "a.log"), "one\ntwo\n");
}

/* ---- an inode without a name ---- */

static void lose_name(struct world *w, const char *name)
{
	struct request q;

	fixture_request(&q);
	q.actor.pid = 1; /* somebody else */
	assert_int_equal(engine_unlink(w->e, &q, TREE_ROOT_INO, name), 0);
}

static void test_bytes_of_a_removed_file_are_kept_under_its_path(void **state)
{
	struct world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "old", "x"), 0);
	assert_int_equal(fixture_rename(w->e, "old", "f", 0), 0);
	d = open_draft(w, "f", DRAFT_WHOLE);
	put(w, d, 0, "typed");
	lose_name(w, "f");
	assert_int_equal(commit_and_close(w, d), 0);
	assert_kept(w, "f", "typed");
	assert_string_equal(fixture_text(w->e, "f"), "(none)");
}

/* As through /proc/PID/fd. */
static void test_bytes_for_a_file_removed_before_are_kept_under_its_path(void **state)
{
	struct world *w = *state;
	struct draft *d;
	uint64_t ino;

	assert_int_equal(fixture_save_text(w->e, "f", "x"), 0);
	ino = fixture_ino(w->e, "f");
	assert_int_equal(fixture_unlink(w->e, "f"), 0);
	fixture_request(&w->q);
	assert_int_equal(draft_open(w->e, ino, DRAFT_WHOLE, &w->q.actor, &d), 0);
	put(w, d, 0, "typed");
	assert_int_equal(commit_and_close(w, d), 0);
	assert_kept(w, "f", "typed");
}

static void test_bytes_of_a_removed_newborn_are_kept_under_its_path(void **state)
{
	struct world *w = *state;
	struct draft *d = create(w, "n", DRAFT_WHOLE);

	put(w, d, 0, "typed");
	lose_name(w, "n");
	assert_int_equal(commit_and_close(w, d), 0);
	assert_kept(w, "n", "typed");
}

static void test_bytes_of_a_replaced_newborn_are_kept_under_its_path(void **state)
{
	struct world *w = *state;
	struct draft *d = create(w, "n", DRAFT_WHOLE);

	put(w, d, 0, "typed");
	assert_int_equal(fixture_save_text(w->e, "tmp", "other"), 0);
	assert_int_equal(fixture_rename(w->e, "tmp", "n", 0), 0);
	assert_int_equal(commit_and_close(w, d), 0);
	assert_kept(w, "n", "typed");
	assert_string_equal(fixture_text(w->e, "n"), "other");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_two_savers_of_a_new_file_each_replace_it),
		TEST(test_unwritten_second_opener_of_a_new_file_changes_nothing),
		TEST(test_open_after_the_name_was_taken_back),
		TEST(test_orphan_is_one_file),
		TEST(test_refused_and_completed),
		TEST(test_refused_append_and_completed),
		TEST(test_refused_and_killed_at_once),
		TEST(test_refused_closed_and_killed_at_once),
		TEST(test_refused_and_the_copy_cannot_be_written),
		TEST(test_clean_draft_names_what_published_it),
		TEST(test_no_room_at_close),
		TEST(test_no_room_for_a_newborn_at_close),
		TEST(test_no_room_at_close_then_published),
		TEST(test_poisoned_at_close),
		TEST(test_ten_thousand_pieces_apart),
		TEST(test_20000_pieces_of_a_block),
		TEST(test_70000_pieces_of_a_block),
		TEST(test_append_after_a_long_unfinished_line),
		TEST(test_appender_appends_again_after_truncating),
		TEST(test_appender_appends_again_after_shortening),
		TEST(test_appender_fails_to_truncate),
		TEST(test_append_beyond_the_largest_file),
		TEST(test_appender_truncates_and_the_daemon_dies),
		TEST(test_appender_empties_and_the_daemon_dies),
		TEST(test_shared_draft_of_the_dead_and_of_the_living),
		cmocka_unit_test(test_no_phantom_after_a_snapshot),
		TEST(test_no_phantom_after_a_snapshot_and_death),
		cmocka_unit_test(test_no_phantom_without_an_index),
		TEST(test_bytes_for_a_file_removed_before_are_kept_under_its_path),
		TEST(test_bytes_of_a_removed_file_are_kept_under_its_path),
		TEST(test_bytes_of_a_removed_newborn_are_kept_under_its_path),
		TEST(test_bytes_of_a_replaced_newborn_are_kept_under_its_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
