/* SPDX-License-Identifier: MIT
 *
 * See engine_script.h.
 */
#include "engine_script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint.h"
#include "env_mem.h"
#include "rng.h"
#include "upkeep.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

/* ---- steps ---- */

void script_draft_pattern(char *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (char)('a' + (i * 7 + i / 26) % 26);
}

static char *random_bytes(uint64_t n)
{
	char *data = malloc((size_t)n + 8);
	struct rng rng;

	rng_init(&rng, n);
	for (uint64_t i = 0; data && i < n; i += 8) {
		uint64_t x = rng_next(&rng);

		memcpy(data + i, &x, 8);
	}
	return data;
}

static int step_bytes(struct script_run *r, const struct step *s)
{
	cleanup_free char *data = random_bytes(s->n);

	if (!data)
		return -ENOMEM;
	return s->kind == STEP_SAVE_BYTES ? fixture_save(r->e, s->a, data, s->n) : fixture_append(r->e, s->a, data, s->n);
}

static int commit_and_close(struct script_run *r, struct draft *d, struct request *q, int err)
{
	if (!err)
		err = draft_commit(d, q, 0);
	draft_close(d);
	return err ? err : engine_wait(r->e, q->seq, JOURNAL_DURABLE);
}

static int step_resize(struct script_run *r, const struct step *s)
{
	struct request q;
	struct draft *d;
	int err;

	fixture_request(&q);
	err = draft_open(r->e, fixture_ino(r->e, s->a), DRAFT_PATCH, &q.actor, &d);
	if (err)
		return err;
	err = s->kind == STEP_PUNCH ? draft_punch(d, &q.actor, s->n, 64) : draft_truncate(d, &q.actor, s->n);
	return commit_and_close(r, d, &q, err);
}

/* A new file in a directory of the tree, still a newborn. */
static int make_newborn(struct script_run *r, const char *path, struct request *q, uint64_t *ret_ino)
{
	const char *slash = strrchr(path, '/');
	char dir[256];
	struct tree_attr attr;
	int err;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 0, path);
	err = engine_create(r->e, q, slash ? fixture_ino(r->e, dir) : TREE_ROOT_INO, slash ? slash + 1 : path, 0644, &attr);
	if (!err)
		*ret_ino = attr.ino;
	return err;
}

static int step_mknod(struct script_run *r, const struct step *s)
{
	const char *slash = strrchr(s->a, '/');
	char dir[256];
	struct request q;
	struct tree_attr attr;
	int err;

	fixture_request(&q);
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - s->a), s->a);
	err = engine_mknod(r->e, &q, fixture_ino(r->e, dir), slash + 1, (uint32_t)s->n, 0, &attr);
	return err ? err : engine_wait(r->e, q.seq, JOURNAL_DURABLE);
}

static int step_event(struct script_run *r, const struct step *s)
{
	struct request q;
	int err;

	fixture_request(&q);
	err = engine_log_event(r->e, &q, EVENT_CUSTOM, s->a, "", s->b, "\"custom\":{\"ok\":true}");
	return err ? err : engine_wait(r->e, q.seq, JOURNAL_DURABLE);
}

/* Somebody writes and something befalls him: killed, or his file is taken away. */
static int step_misfortune(struct script_run *r, const struct step *s)
{
	struct request q;
	struct draft *d;
	int err = 0;

	fixture_request(&q);
	if (s->kind == STEP_CONFLICT)
		err = fixture_save_text(r->e, s->a, "first");
	if (!err)
		err = draft_open(r->e, fixture_ino(r->e, s->a), DRAFT_WHOLE, &q.actor, &d);
	if (err)
		return err;
	err = draft_write(d, &q.actor, 0, s->b, strlen(s->b));
	if (s->kind == STEP_ROLLBACK) {
		if (!err)
			err = draft_rollback(d, &q, "the writer was killed");
	} else {
		struct request other;

		fixture_request(&other);
		other.actor.pid++;
		if (!err)
			err = engine_unlink(r->e, &other, fixture_ino(r->e, "state"), strrchr(s->a, '/') + 1);
		if (!err)
			err = draft_commit(d, &q, 0);
	}
	draft_close(d);
	return err ? err : engine_wait(r->e, q.seq, JOURNAL_DURABLE);
}

static int step_rename_open(struct script_run *r, const struct step *s)
{
	struct request q;
	struct draft *d;
	uint64_t ino = 0;
	int err;

	fixture_request(&q);
	err = make_newborn(r, s->a, &q, &ino);
	if (!err)
		err = draft_open(r->e, ino, DRAFT_WHOLE, &q.actor, &d);
	if (err)
		return err;
	err = draft_write(d, &q.actor, 0, s->b, strlen(s->b));
	if (!err)
		err = fixture_rename(r->e, s->a, s->s, 0);
	draft_close(d);
	return err;
}

/* ---- adoption ---- */

static const struct adopt_entry found[] = {
	{.path = "old", .mode = S_IFDIR | 0750, .uid = 5, .gid = 6, .mtime_ns = 1},
	{.path = "old/short", .mode = S_IFREG | 0644, .uid = 5, .gid = 6, .mtime_ns = 2, .arg = (void *)20},
	{.path = "old/empty", .mode = S_IFREG | 0600, .uid = 5, .gid = 6, .mtime_ns = 3, .arg = (void *)0},
	{.path = "old/long", .mode = S_IFREG | 0600, .uid = 5, .gid = 6, .mtime_ns = 4, .arg = (void *)100000},
	{.path = "old/link", .mode = S_IFLNK | 0777, .mtime_ns = 5, .symlink = "short"},
};

struct finding {
	size_t next, left;
};

static ssize_t found_read(struct adopt_entry *a, void *buf, size_t len)
{
	struct finding *f = a->arg;
	size_t n = MIN(len, f->left);

	memset(buf, 'o', n);
	f->left -= n;
	return (ssize_t)n;
}

static int found_next(void *arg, struct adopt_entry *ret)
{
	struct finding *f = arg;

	if (f->next == ARRAY_SIZE(found))
		return 0;
	*ret = found[f->next++];
	f->left = (size_t)ret->arg;
	ret->arg = f;
	ret->read = found_read;
	return 1;
}

static int step_adopt(struct script_run *r)
{
	struct finding f = {0};
	struct request q;
	uint64_t files;
	int err;

	fixture_request(&q);
	err = engine_adopt(r->e, &q, found_next, &f, &files);
	return err ? err : engine_wait(r->e, q.seq, JOURNAL_DURABLE);
}

/* ---- a draft over several steps ---- */

static int step_draft(struct script_run *r, const struct step *s)
{
	char bytes[SCRIPT_DRAFT_BYTES];
	struct request q;
	int err;

	fixture_request(&q);
	if (s->kind == STEP_DRAFT_OPEN) {
		err = draft_open(r->e, fixture_ino(r->e, s->a), DRAFT_WHOLE, &q.actor, &r->draft);
		if (err)
			return err;
		r->open_path = s->a;
		r->open_len = 0;
		return 0;
	}
	if (!r->draft)
		return -EBADF;
	if (s->kind == STEP_DRAFT_WRITE) {
		script_draft_pattern(bytes, sizeof(bytes));
		err = draft_write(r->draft, &q.actor, r->open_len, bytes + r->open_len, s->n);
		if (!err) { /* from now on it must not be lost; the one before has come through until here */
			r->open_len += s->n;
			r->draft_path = r->open_path;
			r->draft_len = r->open_len;
		}
		return err;
	}
	err = draft_commit(r->draft, &q, 0);
	draft_close(r->draft);
	r->draft = NULL;
	return err ? err : engine_wait(r->e, q.seq, JOURNAL_DURABLE);
}

static int step_restore(struct script_run *r, const struct step *s)
{
	struct restore_result result;
	struct request q;
	int err;

	fixture_request(&q);
	err = checkpoint_restore(r->e, &q, s->a, s->b, &result);
	return err ? err : engine_wait(r->e, q.seq, JOURNAL_DURABLE);
}

static int step_reopen(struct script_run *r)
{
	int err = engine_close(r->e), err2;

	r->e = NULL;
	r->draft = NULL; /* stays pending in the store */
	err2 = fixture_open(r->env, NULL, &r->e);
	return err ? err : err2;
}

static int pass_time(struct script_run *r, uint64_t seconds)
{
	env_mem_advance(r->env, (int64_t)seconds * NS_PER_S);
	(void)upkeep_run(r->e);
	return engine_sync(r->e);
}

static int step_do(struct script_run *r, const struct step *s)
{
	switch (s->kind) {
	case STEP_MKDIR:
		return fixture_mkdir(r->e, s->a);
	case STEP_SAVE:
		return fixture_save_text(r->e, s->a, s->b);
	case STEP_SAVE_BYTES:
	case STEP_APPEND_BYTES:
		return step_bytes(r, s);
	case STEP_APPEND:
		return fixture_append(r->e, s->a, s->b, strlen(s->b));
	case STEP_PATCH:
	case STEP_SHARED:
		return fixture_patch(r->e, s->a, s->kind == STEP_SHARED, s->n, s->b, strlen(s->b));
	case STEP_PUNCH:
	case STEP_TRUNCATE:
		return step_resize(r, s);
	case STEP_LINK:
		return fixture_link(r->e, s->a, s->b);
	case STEP_SYMLINK:
		return fixture_symlink(r->e, s->b, s->a);
	case STEP_CHMOD:
		return fixture_chmod(r->e, s->a, (uint32_t)s->n);
	case STEP_XATTR:
		return fixture_setxattr(r->e, s->a, s->b, s->b);
	case STEP_UNLINK:
		return fixture_unlink(r->e, s->a);
	case STEP_RMDIR:
		return fixture_rmdir(r->e, s->a);
	case STEP_RENAME:
	case STEP_EXCHANGE:
		return fixture_rename(r->e, s->a, s->b, s->kind == STEP_EXCHANGE ? RENAME_EXCHANGE : 0);
	case STEP_MKNOD:
		return step_mknod(r, s);
	case STEP_EVENT:
		return step_event(r, s);
	case STEP_ROLLBACK:
	case STEP_CONFLICT:
		return step_misfortune(r, s);
	case STEP_RENAME_OPEN:
		return step_rename_open(r, s);
	case STEP_DRAFT_OPEN:
	case STEP_DRAFT_WRITE:
	case STEP_DRAFT_COMMIT:
		return step_draft(r, s);
	case STEP_RESTORE:
		return step_restore(r, s);
	case STEP_TIME:
		return pass_time(r, s->n);
	case STEP_REOPEN:
		return step_reopen(r);
	case STEP_ADOPT:
		return step_adopt(r);
	}
	return -EINVAL;
}

void script_settle(struct script_run *r)
{
	for (int i = 0; r->e && i < 3; i++)
		(void)pass_time(r, 100); /* what fails is tried again */
	if (r->e)
		r->staged = MAX(r->staged, engine_head_seq(r->e));
}

int script_step(struct script_run *r, const struct step *s)
{
	uint64_t before = engine_head_seq(r->e), head;
	bool was_poisoned = engine_live_seq(r->e) != SEQ_LIVE;
	int err = step_do(r, s);

	if (!r->e)
		return err;
	head = engine_head_seq(r->e);
	r->staged = MAX(r->staged, head);
	r->poisoned = engine_live_seq(r->e) != SEQ_LIVE;
	if (!err && head > before && !was_poisoned)
		r->acked = head;
	if (was_poisoned && s->kind != STEP_REOPEN) {
		r->late_change = r->late_change || head != before;
		r->wrong_error = r->wrong_error || (err != -EROFS && err != -ENOENT && err != -EBADF && s->kind != STEP_DRAFT_OPEN);
	}
	return err;
}

void script_run(const struct script *s, struct env *env, struct script_run *r)
{
	*r = (struct script_run){.env = env};
	r->first_error = fixture_open(env, NULL, &r->e);
	if (r->first_error) {
		r->e = NULL;
		return;
	}
	r->acked = r->staged = engine_head_seq(r->e);
	for (size_t i = 0; i < s->count && r->e; i++) {
		int err = script_step(r, &s->steps[i]);

		if (err == s->steps[i].expect)
			continue;
		r->unexpected++;
		if (!r->first_error) {
			r->first_error = err ? err : -EUCLEAN; /* not refused as it should be */
			r->failed_step = i;
		}
	}
	script_settle(r);
}

void script_finish(struct script_run *r)
{
	if (r->draft && r->e)
		draft_close(r->draft);
	r->draft = NULL;
	(void)engine_close(r->e); /* what it could not do any more, recovery shows */
	r->e = NULL;
}
