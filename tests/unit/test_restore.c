/* SPDX-License-Identifier: MIT
 *
 * Restoring, case by case: what is refused, what is logged, what becomes of open files, agents and large files, how much fits, and that damage
 * is told. That the views are equal afterwards, whatever happened in between, is test_restore_prop.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint.h"
#include "cmocka_all.h"
#include "engine_fixture.h"
#include "env_mem.h"
#include "rng.h"

#define S1 "state/sessions/s1"
#define NOW_NS (1795341600 * NS_PER_S) /* 2026-11-22T10:00:00Z */
#define FIRST "checkpoint-1795341600"

static int setup(void **state)
{
	*state = env_mem_new(13);
	env_mem_set_clock(*state, NOW_NS, 1000);
	return 0;
}

static int teardown(void **state)
{
	env_mem_free(*state);
	return 0;
}

static struct engine *open_with_session(struct env *env)
{
	struct engine *e = fixture_open_ok(env);

	assert_int_equal(fixture_mkdir(e, S1), 0);
	return e;
}

static int restore(struct engine *e, const char *name, struct restore_result *ret)
{
	struct request q;
	int r;

	fixture_request(&q);
	*ret = (struct restore_result){0};
	r = checkpoint_restore(e, &q, "s1", name, ret);
	return r ? r : engine_wait(e, q.seq, JOURNAL_DURABLE);
}

/* Lines of the session's log with @what in them. */
static size_t events(struct engine *e, const char *what)
{
	struct event_log_key key = {.session = "s1"};
	uint64_t bytes, count;
	struct buf out = BUF_INIT;
	size_t n = 0;

	engine_lock(e);
	event_log_size(engine_event_logs(e), &key, &bytes, &count);
	engine_unlock(e);
	assert_int_equal(engine_read_events(e, &key, 0, (size_t)bytes, &out), 0);
	for (char *line = out.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		n += strstr(line, what) != NULL;
	}
	buf_release(&out);
	return n;
}

/* ---- what is refused ---- */

static void test_unknown_names(void **state)
{
	struct engine *e = open_with_session(*state);
	struct restore_result result;
	uint64_t head;
	struct request q;

	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/one"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/two"), 0);
	head = engine_head_seq(e);
	fixture_request(&q);
	assert_int_equal(checkpoint_restore(e, &q, "s1", "three", &result), -ENOENT);
	assert_string_equal(q.reason.text, "there is no checkpoint \"three\"; there are: two, one, " FIRST);
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
	assert_int_equal(engine_close(e), 0);
}

static void test_read_only(void **state)
{
	struct engine_options opt = {.segment_bytes = 2u << 20, .read_only = true};
	struct engine *e = open_with_session(*state);
	struct restore_result result;

	assert_int_equal(engine_close(e), 0);
	assert_int_equal(engine_open(*state, &opt, NULL, &e), 0);
	assert_int_equal(restore(e, FIRST, &result), -EROFS);
	assert_int_equal(engine_close(e), 0);
}

/* ---- what happens ---- */

static void test_there_and_back(void **state)
{
	struct engine *e = open_with_session(*state);
	struct restore_result result;
	uint64_t head, ino;
	char more[300];

	assert_int_equal(fixture_save_text(e, S1 "/state/plan", "one\n"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/state/gone", "still here\n"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	ino = fixture_ino(e, S1 "/state/gone");
	assert_int_equal(fixture_save_text(e, S1 "/state/plan", "two\n"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/state/new", "x\n"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/state/gone"), 0);
	head = engine_head_seq(e);
	assert_int_equal(restore(e, "latest", &result), 0);
	assert_int_equal(engine_head_seq(e), head + 2); /* a checkpoint, and all the rest */
	assert_string_equal(result.checkpoint, "good");
	assert_string_equal(result.pre_recovery, FIRST "-2");
	assert_int_equal(result.files_restored, 2);
	assert_int_equal(result.files_removed, 1);
	assert_int_equal(result.files_unreadable, 0);
	assert_string_equal(fixture_text(e, S1 "/state/plan"), "one\n");
	assert_string_equal(fixture_text(e, S1 "/state/gone"), "still here\n");
	assert_int_equal(fixture_ino(e, S1 "/state/gone"), ino);
	assert_string_equal(fixture_text(e, S1 "/state/new"), "(none)");
	assert_non_null(strstr(fixture_text(e, S1 "/session.yaml"), "last_checkpoint: \"" FIRST "-2\"\n"));
	assert_non_null(strstr(fixture_text(e, S1 "/session.yaml"), "recovery_points: [\"" FIRST "-2\", \"good\", \"" FIRST "\"]\n"));
	snprintf(more, sizeof(more), "\"checkpoint_id\":\"good\",\"files_restored\":2,\"files_removed\":1,\"pre_recovery\":\"" FIRST "-2\"");
	assert_int_equal(events(e, more), 1);
	assert_int_equal(events(e, "\"event_type\":\"session_recovered\""), 1);
	assert_int_equal(events(e, "\"reason\":\"pre_recovery\""), 1);
	assert_int_equal(events(e, "\"operation\":\"restore\""), 4);
	assert_int_equal(events(e, "\"file_removed\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\",\"path\":\"" S1 "/state/new\""), 1);
	assert_int_equal(events(e, "\"file_created\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\",\"path\":\"" S1 "/state/gone\""), 1);
	assert_int_equal(events(e, "\"file_written\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\",\"path\":\"" S1 "/state/plan\""), 1);
	assert_int_equal(events(e, "\"operation\":\"restore\",\"path\":\"" S1
				   "/state/plan\",\"actor\":{\"agent\":null,\"pid\":4242,\"uid\":1000,\"comm\":\"fixture\"},\"old_sha256\":\""),
		1);
	/* A restore is undone by another. */
	assert_int_equal(restore(e, FIRST "-2", &result), 0);
	assert_string_equal(fixture_text(e, S1 "/state/plan"), "two\n");
	assert_string_equal(fixture_text(e, S1 "/state/new"), "x\n");
	assert_string_equal(fixture_text(e, S1 "/state/gone"), "(none)");
	/* Where nothing differs, it is logged all the same. */
	assert_int_equal(restore(e, FIRST "-2", &result), 0);
	assert_int_equal(result.files_restored + result.files_removed, 0);
	assert_int_equal(events(e, "\"event_type\":\"session_recovered\""), 3);
	assert_int_equal(engine_close(e), 0);
}

/* A save that puts another file in place (sed -i, editors) is a written file, not a removed and a created one. */
static void test_replaced_files(void **state)
{
	struct engine *e = open_with_session(*state);
	struct restore_result result;

	assert_int_equal(fixture_save_text(e, S1 "/state/plan", "one\n"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/state/kind"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/state/tmp", "two\n"), 0);
	assert_int_equal(fixture_rename(e, S1 "/state/tmp", S1 "/state/plan", 0), 0);
	assert_int_equal(fixture_rmdir(e, S1 "/state/kind"), 0);
	assert_int_equal(fixture_symlink(e, "elsewhere", S1 "/state/kind"), 0);
	assert_int_equal(restore(e, "good", &result), 0);
	assert_string_equal(fixture_text(e, S1 "/state/plan"), "one\n");
	assert_int_equal(result.files_restored, 1);
	assert_int_equal(result.files_removed, 1); /* the symlink */
	assert_int_equal(events(e, "\"file_written\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\""), 1);
	assert_int_equal(events(e, "\"directory_created\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\",\"path\":\"" S1 "/state/kind\""), 1);
	assert_int_equal(events(e, "\"operation\":\"restore\""), 4);
	assert_int_equal(engine_close(e), 0);
}

static void test_agents_and_history(void **state)
{
	struct engine *e = open_with_session(*state);
	struct restore_result result;
	struct session *s;

	assert_int_equal(fixture_save_text(e, S1 "/agents/old.yaml", "agent: {type: coder}\n"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/agents/.sync/build"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/agents/old.yaml"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/agents/new.yaml", ""), 0);
	assert_int_equal(restore(e, "good", &result), 0);
	assert_int_not_equal(fixture_ino(e, S1 "/agents/.sync/build"), 0);
	assert_int_not_equal(fixture_ino(e, S1 "/agents/.sync/build.yaml"), 0);
	assert_int_equal(fixture_ino(e, S1 "/agents/new.yaml"), 0);
	engine_lock(e);
	s = registry_session(e, "s1");
	assert_non_null(registry_agent(s, "old"));
	assert_int_equal(registry_agent(s, "old")->removed_ns, 0);
	assert_string_equal(registry_agent(s, "old")->fields.type, "coder");
	engine_unlock(e);
	assert_int_equal(engine_close(e), 0);
}

/* Who is writing goes on; what is written to a file that is gone is kept. */
static void test_open_files(void **state)
{
	struct engine *e = open_with_session(*state);
	struct restore_result result;
	struct draft *stays, *goes, *born;
	struct tree_attr attr;
	struct request q;

	fixture_request(&q);
	assert_int_equal(fixture_save_text(e, S1 "/state/stays", "then\n"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/state/stays", "now\n"), 0);
	assert_int_equal(fixture_save_text(e, S1 "/state/goes", "now\n"), 0);
	assert_int_equal(engine_create(e, &q, fixture_ino(e, S1 "/state"), "born", 0644, &attr), 0);
	assert_int_equal(draft_open(e, fixture_ino(e, S1 "/state/stays"), DRAFT_APPEND, &q.actor, &stays), 0);
	assert_int_equal(draft_open(e, fixture_ino(e, S1 "/state/goes"), DRAFT_WHOLE, &q.actor, &goes), 0);
	assert_int_equal(draft_open(e, attr.ino, DRAFT_WHOLE, &q.actor, &born), 0);
	assert_int_equal(draft_write(stays, &q.actor, 0, "more\n", 5), 0);
	assert_int_equal(draft_write(goes, &q.actor, 0, "lost?\n", 6), 0);
	assert_int_equal(draft_write(born, &q.actor, 0, "lost?\n", 6), 0);
	assert_int_equal(restore(e, "good", &result), 0);
	assert_int_equal(fixture_ino(e, S1 "/state/born"), 0);
	assert_string_equal(fixture_text(e, S1 "/state/stays"), "then\n");
	assert_int_equal(draft_commit(stays, &q, 0), 0);
	assert_int_equal(draft_commit(goes, &q, 0), 0);
	assert_int_equal(draft_commit(born, &q, 0), 0);
	assert_string_equal(fixture_text(e, S1 "/state/stays"), "then\nmore\n");
	assert_int_equal(fixture_ino(e, S1 "/state/goes"), 0);
	assert_int_equal(events(e, "\"event_type\":\"conflict_detected\""), 2);
	draft_close(stays);
	draft_close(goes);
	draft_close(born);
	assert_int_equal(engine_close(e), 0);
}

/* ---- large files ---- */

static const struct change *content_change(const struct record *r, uint64_t ino)
{
	for (uint32_t i = 0; i < r->change_count; i++)
		if (r->changes[i].type == CHANGE_CONTENT && r->changes[i].ino == ino)
			return &r->changes[i];
	return NULL;
}

static void make_pieces(struct engine *e, const char *path)
{
	char line[200];

	for (int i = 0; i < 500; i++) {
		snprintf(line, sizeof(line), "line %d of a log that grows and grows\n", i);
		assert_int_equal(fixture_append(e, path, line, strlen(line)), 0);
	}
}

/* Restores the file of pieces and tells what of its content the transaction changed. */
static void restore_pieces(struct engine *e, const char *path, const char *want, uint32_t *ret_extents)
{
	struct restore_result result;
	const struct change *c;
	struct record *r;
	size_t len;
	char *is;

	assert_int_equal(restore(e, "good", &result), 0);
	assert_int_equal(engine_load_record(e, engine_head_seq(e), &r), 0);
	c = content_change(r, fixture_ino(e, path));
	assert_non_null(c);
	*ret_extents = c->extent_count;
	record_free(r);
	assert_int_equal(fixture_read(e, path, SEQ_LIVE, &is, &len), 0);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(is, want, len);
	free(is);
}

/* What a restore of a file of many pieces costs is what was changed of it. */
static void test_pieces(void **state)
{
	static const char log[] = S1 "/state/log", table[] = S1 "/state/table";
	struct engine *e = open_with_session(*state);
	uint32_t extents;
	size_t len;
	char *then;

	make_pieces(e, log);
	make_pieces(e, table);
	assert_int_equal(fixture_read(e, log, SEQ_LIVE, &then, &len), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(fixture_append(e, log, "later\n", 6), 0);
	restore_pieces(e, log, then, &extents);
	assert_int_equal(extents, 0); /* cut off */
	/* Written over in places: only those come back. */
	assert_int_equal(fixture_patch(e, table, true, 1000, "PATCHED", 7), 0);
	assert_int_equal(fixture_patch(e, table, true, 30000, "BEHIND", 6), 0);
	restore_pieces(e, table, then, &extents);
	assert_true(extents && extents < 4);
	/* Replaced whole: all of it. */
	assert_int_equal(fixture_save_text(e, table, "short\n"), 0);
	restore_pieces(e, table, then, &extents);
	assert_int_equal(extents, 500);
	free(then);
	assert_int_equal(engine_close(e), 0);
}

/* ---- how much ---- */

static void make_files(struct engine *e, int count, const char *text)
{
	char path[100];

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), S1 "/state/file-%05d", i);
		assert_int_equal(fixture_save_text(e, path, text), 0);
	}
}

/* More than what was reserved at first, and more than the log names one by one. */
static void test_many_files(void **state)
{
	struct engine *e = open_with_session(*state);
	struct restore_result result;
	uint64_t head;

	make_files(e, 3500, "then\n");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	make_files(e, 3500, "now\n");
	head = engine_head_seq(e);
	assert_int_equal(restore(e, "good", &result), 0);
	assert_int_equal(engine_head_seq(e), head + 2);
	assert_int_equal(result.files_restored, 3500);
	assert_string_equal(fixture_text(e, S1 "/state/file-03499"), "then\n");
	assert_int_equal(events(e, "\"operation\":\"restore\""), 1);
	assert_int_equal(events(e, "\"files_restored\":3500,\"files_removed\":0"), 1);
	assert_int_equal(engine_close(e), 0);
}

static int count_xattr(void *arg, const char *name, size_t len)
{
	size_t *n = arg;

	(void)name;
	(void)len;
	(*n)++;
	return 0;
}

static size_t xattrs_of(struct engine *e, const char *path)
{
	size_t n = 0;

	engine_lock(e);
	(void)tree_xattr_list(tree_resolve(engine_tree(e), path, SEQ_LIVE)->newest->attrs, count_xattr, &n);
	engine_unlock(e);
	return n;
}

static void test_many_xattrs(void **state)
{
	struct engine *e = open_with_session(*state);
	struct restore_result result;
	char path[100], name[24];

	make_files(e, 100, "then\n");
	for (int i = 0; i < 100; i++)
		for (int k = 0; k < 5; k++) {
			snprintf(path, sizeof(path), S1 "/state/file-%05d", i);
			snprintf(name, sizeof(name), "user.%d-%d", i, k);
			assert_int_equal(fixture_setxattr(e, path, name, path), 0);
		}
	for (int k = 0; k < 300; k++) { /* and one that has many */
		snprintf(name, sizeof(name), "user.%d", k);
		assert_int_equal(fixture_setxattr(e, S1 "/state", name, "x"), 0);
	}
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	for (int k = 0; k < 300; k++) {
		snprintf(name, sizeof(name), "user.%d", k);
		assert_int_equal(fixture_setxattr(e, S1 "/state", name, NULL), 0);
	}
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), S1 "/state/file-%05d", i);
		for (int k = 1; k < 5; k++) {
			snprintf(name, sizeof(name), "user.%d-%d", i, k);
			assert_int_equal(fixture_setxattr(e, path, name, NULL), 0);
		}
		assert_int_equal(fixture_setxattr(e, path, "user.new", "x"), 0);
		snprintf(name, sizeof(name), "notes-%d", i);
		if (i % 2) /* comes back as a copy */
			assert_int_equal(fixture_rename(e, path, name, 0), 0);
	}
	assert_int_equal(restore(e, "good", &result), 0);
	assert_int_equal(result.files_restored, 100);
	assert_int_equal(events(e, "\"event_type\":\"xattr_changed\",\"agent_id\":\"system\",\"data\":{\"operation\":\"restore\""), 50);
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), S1 "/state/file-%05d", i);
		assert_int_equal(xattrs_of(e, path), 5);
	}
	assert_int_equal(xattrs_of(e, S1 "/state"), 300);
	assert_int_equal(engine_close(e), 0);
}

static void test_too_many_files(void **state)
{
	struct engine *e = open_with_session(*state); /* whose frames hold at most 512 KiB */
	struct restore_result result;
	struct request q;
	uint64_t head;

	make_files(e, 6000, "then\n");
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/good"), 0);
	make_files(e, 6000, "now\n");
	head = engine_head_seq(e);
	fixture_request(&q);
	assert_int_equal(checkpoint_restore(e, &q, "s1", "good", &result), -EFBIG);
	assert_non_null(strstr(q.reason.text, "since good"));
	assert_int_equal(engine_head_seq(e), head + 1); /* the checkpoint before */
	assert_string_equal(fixture_text(e, S1 "/state/file-00000"), "now\n");
	assert_int_equal(engine_close(e), 0);
}

/* ---- damage ---- */

/* Finds bytes on the medium and spoils one of them. */
static bool spoil(struct env *env, const char *path, const char *bytes)
{
	static char data[2u << 20];
	ssize_t len = env_mem_read(env, path, data, sizeof(data), 0);
	size_t n = strlen(bytes);

	for (ssize_t i = 0; i + (ssize_t)n <= len; i++)
		if (!memcmp(data + i, bytes, n))
			return env_mem_patch(env, path, "#", 1, (uint64_t)i + n / 2) == 0;
	return false;
}

static void test_damage_is_told(void **state)
{
	static const char text[] = "remember me: a text that is found on the medium";
	struct engine *e = open_with_session(*state);
	struct restore_result result;
	struct request q;

	assert_int_equal(fixture_save_text(e, S1 "/state/bad", text), 0);
	assert_int_equal(fixture_save_text(e, S1 "/state/good", "fine"), 0);
	assert_int_equal(fixture_mkdir(e, S1 "/checkpoints/then"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/state/bad"), 0);
	assert_int_equal(fixture_unlink(e, S1 "/state/good"), 0);
	assert_int_equal(engine_close(e), 0);
	assert_true(spoil(*state, "journal/00000001.seg", text));
	e = fixture_open_ok(*state);
	fixture_request(&q);
	assert_int_equal(checkpoint_restore(e, &q, "s1", "then", &result), -EIO);
	assert_non_null(strstr(q.reason.text, S1 "/state/bad was put back"));
	assert_int_equal(result.files_restored, 2);
	assert_int_equal(result.files_unreadable, 1);
	assert_true(q.seq > 0);
	assert_string_equal(fixture_text(e, S1 "/state/good"), "fine");
	assert_string_equal(fixture_text(e, S1 "/state/bad"), "(error)");
	assert_int_equal(engine_close(e), 0);
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
		r = restore(e, i % 2 ? "latest" : FIRST, &result);
		if (r)
			fail_msg("restore: %s", strerror(-r));
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(writers); i++)
		assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
	assert_int_equal(engine_close(e), 0);
	e = fixture_open_ok(*state);
	engine_get_health(e, &health);
	assert_int_equal(health.status, ENGINE_HEALTHY);
	buf_release(&health.why);
	/* What was saved to session.yaml and what the daemon wrote there: neither is lost. */
	for (const char *p = fixture_text(e, S1 "/session.yaml"); (p = strstr(p, "# a note\n")); p++)
		found++;
	assert_true(found > 0);
	assert_int_equal(found, notes);
	assert_non_null(strstr(fixture_text(e, S1 "/session.yaml"), result.pre_recovery));
	assert_int_equal(engine_close(e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unknown_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_agents_and_history, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_xattrs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_while_others_write, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
