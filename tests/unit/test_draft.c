/* SPDX-License-Identifier: MIT
 *
 * Drafts that end without a plain transaction of their own: refused, without room, poisoned, two at once, in very many pieces.
 */
#include <errno.h>
#include <string.h>

#include "../../core/engine_internal.h"
#include "cmocka_all.h"
#include "draft_fixture.h"
#include "env_mem.h"

/* ---- two savers ---- */

static void test_two_savers_of_a_new_file_each_replace_it(void **state)
{
	struct draft_world *w = *state;
	struct draft *a = draft_world_create(w, "f", DRAFT_WHOLE), *b = draft_world_open(w, "f", DRAFT_WHOLE), *c = draft_world_open(w, "f", DRAFT_WHOLE);

	draft_world_write(w, a, 0, "first and long\n");
	draft_world_write(w, b, 0, "second\n");
	draft_world_write(w, c, 0, "not this\n");
	assert_int_equal(draft_world_commit(w, a, 0), 0);
	assert_string_equal(fixture_text(w->e, "f"), "first and long\n");
	assert_int_equal(draft_world_commit_and_close(w, b), 0);
	assert_string_equal(fixture_text(w->e, "f"), "second\n");
	assert_int_equal(draft_truncate(c, &w->q.actor, 0), 0);
	draft_world_write(w, c, 0, "3\n");
	assert_int_equal(draft_world_commit_and_close(w, c), 0);
	assert_string_equal(fixture_text(w->e, "f"), "3\n");
	draft_close(a);
}

static void test_unwritten_second_opener_of_a_new_file_changes_nothing(void **state)
{
	struct draft_world *w = *state;
	struct draft *a = draft_world_create(w, "f", DRAFT_WHOLE), *b = draft_world_open(w, "f", DRAFT_WHOLE);

	draft_world_write(w, a, 0, "text\n");
	assert_int_equal(draft_world_commit_and_close(w, a), 0);
	assert_int_equal(draft_world_commit_and_close(w, b), 0);
	assert_string_equal(fixture_text(w->e, "f"), "text\n");
}

static void test_open_after_the_name_was_taken_back(void **state)
{
	struct draft_world *w = *state;
	struct draft *d = draft_world_create(w, "f", DRAFT_SHARED), *late;
	uint64_t ino = fixture_ino(w->e, "f");

	draft_close(d); /* never committed */
	assert_int_equal(fixture_ino(w->e, "f"), 0);
	assert_int_equal(draft_open(w->e, ino, DRAFT_WHOLE, &w->q.actor, &late), -ESTALE);
	assert_int_equal(draft_open(w->e, ino, DRAFT_SHARED, &w->q.actor, &late), -ESTALE);
}

static void assert_orphan(struct draft_world *w, uint64_t ino, const char *text)
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
	struct draft_world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct draft *a = draft_world_create(w, "f", kinds[i]), *b, *c;
		uint64_t ino = fixture_ino(w->e, "f");

		draft_world_write(w, a, 0, "first");
		assert_int_equal(draft_read_orphan(w->e, ino, 0, &(char){0}, 1), -ENOENT); /* not yet */
		assert_int_equal(engine_unlink(w->e, &w->q, TREE_ROOT_INO, "f"), 0);
		assert_int_equal(draft_open(w->e, ino, DRAFT_SHARED, &w->q.actor, &b), 0);
		assert_orphan(w, ino, "first");
		draft_world_write(w, b, 0, "F");
		draft_world_write(w, a, 5, "+");
		assert_orphan(w, ino, "First+");
		assert_int_equal(draft_open(w->e, ino, DRAFT_APPEND, &w->q.actor, &c), 0);
		draft_set_append(c);
		draft_world_write(w, a, 0, "f");
		assert_orphan(w, ino, "first+");
		draft_close(a);
		assert_int_equal(draft_world_commit_and_close(w, c), 0);
		assert_orphan(w, ino, "first+");
		assert_int_equal(draft_open(w->e, ino, DRAFT_WHOLE, &w->q.actor, &c), 0);
		assert_orphan(w, ino, "");
		draft_world_write(w, c, 0, "new");
		assert_orphan(w, ino, "new");
		draft_close(b);
		draft_close(c);
		assert_int_equal(draft_open(w->e, ino, DRAFT_SHARED, &w->q.actor, &b), -ESTALE);
		assert_int_equal(draft_world_pending_count(w), 0);
	}
}

/* ---- refused ---- */

static void test_refused_and_completed(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "x.yaml", "x: 1\ny: 2\n"), 0);
	d = draft_world_open(w, "x.yaml", DRAFT_WHOLE);
	draft_world_write(w, d, 0, "a: [1,\n");
	assert_int_equal(draft_world_commit(w, d, 0), -EBADMSG);
	assert_string_equal(fixture_text(w->e, "x.yaml"), "x: 1\ny: 2\n");
	draft_world_expect_kept(w, "x.yaml", "a: [1,\n");
	draft_world_write(w, d, 7, " 2]\nb: 1\n");
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "x.yaml"), "a: [1,\n 2]\nb: 1\n");
	draft_world_expect_kept(w, "x.yaml", "a: [1,\n");
	assert_int_equal(draft_world_pending_count(w), 0);
}

static void test_refused_append_and_completed(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "x.yaml", "x: 1\n"), 0);
	d = draft_world_open(w, "x.yaml", DRAFT_APPEND);
	draft_world_write(w, d, 0, "l: [1,\n");
	assert_int_equal(draft_world_commit(w, d, 0), -EBADMSG);
	draft_world_write(w, d, 0, " 2]\n");
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	assert_string_equal(fixture_text(w->e, "x.yaml"), "x: 1\nl: [1,\n 2]\n");
}

static void test_refused_and_killed_at_once(void **state)
{
	struct draft_world *w = *state;

	(void)draft_world_refused(w);
	draft_world_kill(w);
	(void)draft_world_expect_pending(w, "x.yaml", "l: [1,\n");
}

static void test_refused_closed_and_killed_at_once(void **state)
{
	struct draft_world *w = *state;

	draft_close(draft_world_refused(w));
	draft_world_kill(w);
	draft_world_expect_kept(w, "x.yaml", "l: [1,\n");
	assert_int_equal(draft_world_pending_count(w), 0);
}

static void test_refused_and_the_copy_cannot_be_written(void **state)
{
	struct draft_world *w = *state;
	struct draft *d = draft_world_refused(w);

	env_mem_fail_syncs(w->env, EIO);
	draft_close(d);
	env_mem_fail_syncs(w->env, 0);
	draft_world_kill(w);
	(void)draft_world_expect_pending(w, "x.yaml", "l: [1,\n");
	assert_string_equal(fixture_text(w->e, "x.yaml"), "x: 1\n");
}

static void test_clean_draft_names_what_published_it(void **state)
{
	struct draft_world *w = *state;
	struct draft *d = draft_world_create(w, "d.log", DRAFT_APPEND);
	uint64_t seq;

	draft_world_write(w, d, 0, "x\n");
	assert_int_equal(draft_world_commit(w, d, DRAFT_STREAM), 0); /* autocommit: nobody waited for it */
	seq = w->q.seq;
	assert_int_not_equal(seq, 0);
	assert_int_equal(draft_last_seq(d), seq);
	assert_int_equal(fixture_save_text(w->e, "other", "x"), 0);
	assert_int_equal(draft_world_commit(w, d, 0), 0);
	assert_int_equal(w->q.seq, seq);
	draft_close(d);
	d = draft_world_open(w, "d.log", DRAFT_APPEND);
	assert_int_equal(draft_world_commit(w, d, 0), 0);
	assert_int_equal(w->q.seq, 0);
	draft_close(d);
}

/* ---- neither published nor kept ---- */

/* As much as no frame of the open segment has room for. */
static struct draft *write_much(struct draft_world *w, struct draft *d, char *text, size_t len)
{
	draft_world_letters(text, len);
	for (size_t at = 0; at < len; at += 60000)
		assert_int_equal(draft_write(d, &w->q.actor, at, text + at, MIN(len - at, (size_t)60000)), 0);
	return d;
}

static void no_room(struct draft_world *w, const char *name, struct draft *d)
{
	size_t bytes = 2400000, len;
	cleanup_free char *text = malloc(bytes), *back = NULL;
	struct draft_info *list;
	size_t count;

	write_much(w, d, text, bytes);
	env_mem_set_capacity(w->env, 1);
	assert_int_equal(draft_world_commit(w, d, 0), -ENOSPC);
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
			draft_world_kill(w);
		}
	}
	draft_world_publish_pending(w, list[0].id);
	draft_info_release(&list[0]);
	free(list);
	assert_int_equal(fixture_read(w->e, name, SEQ_LIVE, &back, &len), 0);
	assert_int_equal(len, bytes);
	assert_memory_equal(back, text, bytes);
}

static void test_no_room_at_close(void **state)
{
	struct draft_world *w = *state;

	assert_int_equal(fixture_save_text(w->e, "f", "old"), 0);
	no_room(w, "f", draft_world_open(w, "f", DRAFT_WHOLE));
}

static void test_no_room_for_a_newborn_at_close(void **state)
{
	no_room(*state, "n", draft_world_create(*state, "n", DRAFT_WHOLE));
}

/* Without a restart, and looked at again and again. */
static void test_no_room_at_close_then_published(void **state)
{
	struct draft_world *w = *state;
	cleanup_free char *text = malloc(2400000);
	struct draft *d = write_much(w, draft_world_create(w, "n", DRAFT_WHOLE), text, 2400000);
	struct draft_info *list, one;
	size_t count;

	env_mem_set_capacity(w->env, 1);
	assert_int_equal(draft_world_commit(w, d, 0), -ENOSPC);
	draft_close(d);
	assert_int_equal(fixture_ino(w->e, "n"), 0);
	env_mem_set_capacity(w->env, 0);
	assert_int_equal(draft_list(w->e, &list, &count), 0);
	assert_int_equal(count, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(draft_info_get(w->e, list[0].id, &one), 0);
		draft_info_release(&one);
	}
	draft_world_publish_pending(w, list[0].id);
	draft_info_release(&list[0]);
	free(list);
	assert_int_equal(strlen(fixture_text(w->e, "n")), 65535); /* what the static text has room for */
	draft_world_kill(w);
	assert_int_equal(draft_world_pending_count(w), 0);
}

static void test_poisoned_at_close(void **state)
{
	struct draft_world *w = *state;
	struct draft *d;
	uint64_t id;

	assert_int_equal(fixture_save_text(w->e, "f", "old"), 0);
	d = draft_world_open(w, "f", DRAFT_WHOLE);
	draft_world_write(w, d, 0, "typed");
	env_mem_fail_syncs(w->env, EIO);
	assert_int_equal(fixture_save_text(w->e, "other", "x"), -EIO);
	assert_int_equal(draft_world_commit(w, d, 0), -EROFS);
	draft_close(d);
	id = draft_world_expect_pending(w, "f", "typed");
	fixture_request(&w->q);
	assert_int_equal(draft_publish_recovered(w->e, id, &w->q), -EROFS);
	assert_int_equal(draft_world_expect_pending(w, "f", "typed"), id);
	env_mem_fail_syncs(w->env, 0);
	draft_world_kill(w);
	assert_string_equal(fixture_text(w->e, "f"), "old");
	draft_world_publish_pending(w, draft_world_expect_pending(w, "f", "typed"));
	assert_string_equal(fixture_text(w->e, "f"), "typed");
}

/* ---- in many pieces ---- */

/* A frame of the fixture holds half a MiB: 36 bytes an extent. */
static void test_ten_thousand_pieces_apart(void **state)
{
	enum { PIECES = 10000 };
	struct draft_world *w = *state;
	char *want = calloc(1, 2 * PIECES);
	struct draft *d;

	assert_int_equal(fixture_save(w->e, "db", want, 2 * PIECES), 0);
	d = draft_world_open(w, "db", DRAFT_SHARED);
	for (size_t i = 0; i < PIECES; i++) {
		want[2 * i] = 'x';
		draft_world_write(w, d, 2 * i, "x");
	}
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	draft_world_expect_content(w, "db", want, 2 * PIECES);
	draft_world_kill(w);
	draft_world_expect_content(w, "db", want, 2 * PIECES);
	free(want);
}

/* Small changes to one large block leave it in short pieces, each between two of its own. */
static void many_pieces_of_a_block(struct draft_world *w, size_t changes)
{
	size_t bytes = 1u << 20, step = bytes / changes;
	char *want = malloc(bytes);
	struct draft *d = draft_world_create(w, "db", DRAFT_SHARED);

	draft_world_letters(want, bytes);
	assert_int_equal(draft_write(d, &w->q.actor, 0, want, bytes), 0);
	for (size_t i = 0; i < changes; i++) {
		want[i * step + 1] = '!';
		draft_world_write(w, d, i * step + 1, "!");
	}
	assert_int_equal(draft_world_commit_and_close(w, d), 0);
	draft_world_expect_content(w, "db", want, bytes);
	draft_world_kill(w);
	draft_world_expect_content(w, "db", want, bytes);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRAFT_TEST(test_two_savers_of_a_new_file_each_replace_it),
		DRAFT_TEST(test_unwritten_second_opener_of_a_new_file_changes_nothing),
		DRAFT_TEST(test_open_after_the_name_was_taken_back),
		DRAFT_TEST(test_orphan_is_one_file),
		DRAFT_TEST(test_refused_and_completed),
		DRAFT_TEST(test_refused_append_and_completed),
		DRAFT_TEST(test_refused_and_killed_at_once),
		DRAFT_TEST(test_refused_closed_and_killed_at_once),
		DRAFT_TEST(test_refused_and_the_copy_cannot_be_written),
		DRAFT_TEST(test_clean_draft_names_what_published_it),
		DRAFT_TEST(test_no_room_at_close),
		DRAFT_TEST(test_no_room_for_a_newborn_at_close),
		DRAFT_TEST(test_no_room_at_close_then_published),
		DRAFT_TEST(test_poisoned_at_close),
		DRAFT_TEST(test_ten_thousand_pieces_apart),
		DRAFT_TEST(test_20000_pieces_of_a_block),
		DRAFT_TEST(test_70000_pieces_of_a_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
