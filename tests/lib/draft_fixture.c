/* SPDX-License-Identifier: MIT
 *
 * See draft_fixture.h.
 */
#include "draft_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "env_mem.h"

int draft_world_setup(void **state)
{
	struct draft_world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->env = env_mem_new(7);
	w->e = fixture_open_ok(w->env);
	*state = w;
	return 0;
}

int draft_world_teardown(void **state)
{
	struct draft_world *w = *state;

	assert_int_equal(engine_close(w->e), 0);
	env_mem_free(w->env);
	free(w);
	return 0;
}

void draft_world_kill(struct draft_world *w)
{
	fixture_kill(w->env, w->e);
	w->e = fixture_open_ok(w->env);
}

struct draft *draft_world_open(struct draft_world *w, const char *name, enum draft_kind kind)
{
	struct draft *d;

	fixture_request(&w->q);
	assert_int_equal(draft_open(w->e, fixture_ino(w->e, name), kind, &w->q.actor, &d), 0);
	return d;
}

struct draft *draft_world_create(struct draft_world *w, const char *name, enum draft_kind kind)
{
	struct tree_attr attr;

	fixture_request(&w->q);
	assert_int_equal(engine_create(w->e, &w->q, TREE_ROOT_INO, name, 0644, &attr), 0);
	return draft_world_open(w, name, kind);
}

void draft_world_write(struct draft_world *w, struct draft *d, uint64_t offset, const char *text)
{
	fixture_request(&w->q);
	assert_int_equal(draft_write(d, &w->q.actor, offset, text, strlen(text)), 0);
}

int draft_world_commit(struct draft_world *w, struct draft *d, int flags)
{
	fixture_request(&w->q);
	return draft_commit(d, &w->q, flags);
}

int draft_world_commit_and_close(struct draft_world *w, struct draft *d)
{
	int r = draft_world_commit(w, d, 0);

	if (w->q.seq)
		assert_int_equal(engine_wait(w->e, w->q.seq, JOURNAL_DURABLE), 0);
	draft_close(d);
	return r;
}

size_t draft_world_pending_count(struct draft_world *w)
{
	struct draft_info *list;
	size_t count;

	assert_int_equal(draft_list(w->e, &list, &count), 0);
	for (size_t i = 0; i < count; i++)
		draft_info_release(&list[i]);
	free(list);
	return count;
}

uint64_t draft_world_expect_pending(struct draft_world *w, const char *path, const char *text)
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

void draft_world_publish_pending(struct draft_world *w, uint64_t id)
{
	fixture_request(&w->q);
	assert_int_equal(draft_publish_recovered(w->e, id, &w->q), 0);
	assert_int_equal(engine_wait(w->e, w->q.seq, JOURNAL_DURABLE), 0);
	assert_int_equal(draft_world_pending_count(w), 0);
}

enum operation draft_world_expect_kept(struct draft_world *w, const char *path, const char *text)
{
	char bytes[256] = "";
	enum operation wanted;
	struct record *r;
	uint64_t seq;

	assert_int_equal(engine_list_transactions(w->e, true, 0, &seq, 1), 1);
	assert_int_equal(engine_load_record(w->e, seq, &r), 0);
	assert_string_equal(r->path, path);
	assert_int_equal(engine_read_rollback(w->e, r, 0, bytes, sizeof(bytes) - 1), strlen(text));
	assert_string_equal(bytes, text);
	wanted = r->rollback->wanted;
	record_free(r);
	return wanted;
}

void draft_world_expect_content(struct draft_world *w, const char *name, const char *want, size_t len)
{
	cleanup_free char *text = NULL;
	size_t n;

	assert_int_equal(fixture_read(w->e, name, SEQ_LIVE, &text, &n), 0);
	assert_int_equal(n, len);
	assert_memory_equal(text, want, len);
}

void draft_world_letters(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + (i * 2654435761u >> 13) % 26);
}

struct draft *draft_world_refused(struct draft_world *w)
{
	struct draft *d;

	assert_int_equal(fixture_save_text(w->e, "x.yaml", "x: 1\n"), 0);
	d = draft_world_open(w, "x.yaml", DRAFT_WHOLE);
	draft_world_write(w, d, 0, "l: [1,\n");
	assert_int_equal(draft_world_commit(w, d, 0), -EBADMSG);
	return d;
}
