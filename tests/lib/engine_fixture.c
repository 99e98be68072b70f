/* SPDX-License-Identifier: MIT
 *
 * See engine_fixture.h.
 */
#include "engine_fixture.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "env_mem.h"

#define SEGMENT_BYTES (2u << 20) /* the least that lets a frame carry COMMIT_INLINE_MAX */

int fixture_open(struct env *env, struct reason *reason, struct engine **ret)
{
	struct engine_options opt = {.segment_bytes = SEGMENT_BYTES, .root_uid = 1000, .root_gid = 1000};

	return engine_open(env, &opt, reason, ret);
}

struct engine *fixture_open_ok(struct env *env)
{
	struct reason why = {0};
	struct engine *e = NULL;
	int r = fixture_open(env, &why, &e);

	if (r) {
		fprintf(stderr, "engine_open: %s: %s\n", strerror(-r), why.text);
		abort();
	}
	return e;
}

void fixture_kill(struct env *env, struct engine *e)
{
	struct env_mem_stats now;

	env_mem_stats(env, &now);
	env_mem_kill_at(env, now.ops + 1);
	(void)engine_close(e);
	env_mem_kill(env);
}

void fixture_request(struct request *q)
{
	*q = (struct request){.uid = 1000, .gid = 1000};
	q->actor.uid = 1000;
	q->actor.pid = 4242;
	snprintf(q->actor.comm, sizeof(q->actor.comm), "fixture");
}

uint64_t fixture_ino(struct engine *e, const char *path)
{
	struct node *n;

	engine_lock(e);
	n = tree_resolve(engine_tree(e), path, engine_live_seq(e));
	engine_unlock(e);
	return n ? n->ino : 0;
}

static uint64_t split(struct engine *e, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char dir[4096];

	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return TREE_ROOT_INO;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	return fixture_ino(e, dir);
}

static int finish(struct engine *e, struct request *q, int r)
{
	return r ? r : engine_wait(e, q->seq, JOURNAL_DURABLE);
}

static int write_through(struct engine *e, uint64_t ino, enum draft_kind kind, uint64_t offset, const void *data, size_t len)
{
	struct request q;
	struct draft *d;
	int r;

	fixture_request(&q);
	r = draft_open(e, ino, kind, &q.actor, &d);
	if (r)
		return r;
	for (size_t at = 0; at < len && !r; at += 1u << 20)
		r = draft_write(d, &q.actor, offset + at, (const char *)data + at, MIN(len - at, (size_t)1 << 20));
	if (!r)
		r = draft_commit(d, &q, 0);
	draft_close(d);
	return finish(e, &q, r);
}

static int open_or_create(struct engine *e, const char *path, uint64_t *ret_ino)
{
	struct request q;
	struct tree_attr attr;
	const char *name;
	uint64_t parent;
	int r;

	*ret_ino = fixture_ino(e, path);
	if (*ret_ino)
		return 0;
	fixture_request(&q);
	parent = split(e, path, &name);
	r = engine_create(e, &q, parent, name, 0644, &attr);
	*ret_ino = r ? 0 : attr.ino;
	return r;
}

int fixture_save(struct engine *e, const char *path, const void *data, size_t len)
{
	uint64_t ino;
	int r = open_or_create(e, path, &ino);

	return r ? r : write_through(e, ino, DRAFT_WHOLE, 0, data, len);
}

int fixture_save_text(struct engine *e, const char *path, const char *text)
{
	return fixture_save(e, path, text, strlen(text));
}

int fixture_append(struct engine *e, const char *path, const void *data, size_t len)
{
	uint64_t ino;
	int r = open_or_create(e, path, &ino);

	return r ? r : write_through(e, ino, DRAFT_APPEND, 0, data, len);
}

int fixture_patch(struct engine *e, const char *path, bool shared, uint64_t offset, const void *data, size_t len)
{
	uint64_t ino;
	int r = open_or_create(e, path, &ino);

	return r ? r : write_through(e, ino, shared ? DRAFT_SHARED : DRAFT_PATCH, offset, data, len);
}

int fixture_mkdir(struct engine *e, const char *path)
{
	struct request q;
	struct tree_attr attr;
	const char *name;
	uint64_t parent = split(e, path, &name);

	fixture_request(&q);
	return finish(e, &q, engine_mkdir(e, &q, parent, name, 0755, &attr));
}

int fixture_unlink(struct engine *e, const char *path)
{
	struct request q;
	const char *name;
	uint64_t parent = split(e, path, &name);

	fixture_request(&q);
	return finish(e, &q, engine_unlink(e, &q, parent, name));
}

int fixture_rmdir(struct engine *e, const char *path)
{
	struct request q;
	const char *name;
	uint64_t parent = split(e, path, &name);

	fixture_request(&q);
	return finish(e, &q, engine_rmdir(e, &q, parent, name));
}

int fixture_rename(struct engine *e, const char *from, const char *to, uint32_t flags)
{
	struct request q;
	const char *name, *new_name;
	uint64_t parent = split(e, from, &name), new_parent = split(e, to, &new_name);

	fixture_request(&q);
	return finish(e, &q, engine_rename(e, &q, parent, name, new_parent, new_name, flags));
}

int fixture_link(struct engine *e, const char *from, const char *to)
{
	struct request q;
	struct tree_attr attr;
	const char *name;
	uint64_t parent = split(e, to, &name);

	fixture_request(&q);
	return finish(e, &q, engine_link(e, &q, fixture_ino(e, from), parent, name, &attr));
}

int fixture_symlink(struct engine *e, const char *target, const char *path)
{
	struct request q;
	struct tree_attr attr;
	const char *name;
	uint64_t parent = split(e, path, &name);

	fixture_request(&q);
	return finish(e, &q, engine_symlink(e, &q, parent, name, target, &attr));
}

int fixture_chmod(struct engine *e, const char *path, uint32_t mode)
{
	struct change c = {.type = CHANGE_ATTR, .ino = fixture_ino(e, path), .attr_mask = ATTR_MODE, .mode = mode};
	struct request q;
	struct tree_attr attr;
	int r;

	fixture_request(&q);
	r = engine_setattr(e, &q, c.ino, &c, &attr);
	return r ? r : engine_sync(e);
}

int fixture_setxattr(struct engine *e, const char *path, const char *name, const char *value)
{
	struct request q;
	int r;

	fixture_request(&q);
	r = engine_setxattr(e, &q, fixture_ino(e, path), name, value, value ? strlen(value) : 0, 0);
	return r ? r : engine_sync(e);
}

static int read_version(struct engine *e, const struct version *v, char **ret, size_t *ret_len)
{
	struct version_extents scratch = {0};
	char *text = malloc((size_t)v->size + 1);
	ssize_t n;

	assert(text);
	n = engine_read(e, v, &scratch, 0, text, (size_t)v->size);
	extent_map_release(&scratch.map);
	if (n < 0) {
		free(text);
		return (int)n;
	}
	text[n] = '\0';
	*ret = text;
	*ret_len = (size_t)n;
	return 0;
}

int fixture_read(struct engine *e, const char *path, uint64_t seq, char **ret, size_t *ret_len)
{
	const struct version *v = NULL;
	struct node *n;

	engine_lock(e);
	n = tree_resolve(engine_tree(e), path, seq);
	v = n ? tree_version_at(n, seq) : NULL;
	engine_unlock(e);
	return v ? read_version(e, v, ret, ret_len) : -ENOENT;
}

const char *fixture_text(struct engine *e, const char *path)
{
	static char text[65536];
	cleanup_free char *data = NULL;
	size_t len;
	int r = fixture_read(e, path, SEQ_LIVE, &data, &len);

	snprintf(text, sizeof(text), "%s", r == -ENOENT ? "(none)" : r ? "(error)" : data);
	return text;
}

/* ---- digest ---- */

static int by_name(const void *a, const void *b)
{
	const struct dentry *const *x = a, *const *y = b;

	return strcmp((*x)->name->text, (*y)->name->text);
}

static int digest_xattr(void *arg, const char *name, size_t len)
{
	struct buf *out = ((void **)arg)[0];
	const struct attrs *a = ((void **)arg)[1];
	const char *value;
	size_t value_len;

	buf_append(out, name, len);
	if (!tree_xattr_get(a, name, len, &value, &value_len))
		buf_append(out, value, value_len);
	return 0;
}

static void digest_node(struct engine *e, struct node *n, uint64_t seq, const char *path, struct sha256_state *s)
{
	struct tree_attr attr;
	struct buf line = BUF_INIT;
	struct version *v = tree_version_at(n, seq);
	void *args[2] = {&line, (void *)v->attrs};

	assert(!tree_attr_at(engine_tree(e), n, seq, INT64_MAX, &attr));
	buf_printf(&line, "%s %o %u %u %llu", path, attr.mode, attr.uid, attr.gid, (unsigned long long)attr.ino);
	if (!S_ISDIR(attr.mode))
		buf_printf(&line, " %llu %lld", (unsigned long long)attr.size, (long long)attr.mtime_ns);
	if (S_ISLNK(attr.mode))
		buf_append_str(&line, n->symlink);
	(void)tree_xattr_list(v->attrs, digest_xattr, args);
	sha256_update(s, line.data, line.len);
	if (S_ISREG(attr.mode)) {
		char *text = NULL;
		size_t len = 0;
		int r = read_version(e, v, &text, &len);

		if (r)
			sha256_update(s, "(unreadable)", 12);
		else
			sha256_update(s, text, len);
		free(text);
	}
	buf_release(&line);
}

static void digest_dir(struct engine *e, struct node *dir, uint64_t seq, const char *path, struct sha256_state *s)
{
	struct dentry **list;
	size_t count;
	char child[4096];

	engine_lock(e);
	assert(!tree_list(engine_tree(e), dir, seq, &list, &count));
	engine_unlock(e);
	if (count)
		qsort(list, count, sizeof(*list), by_name);
	for (size_t i = 0; i < count; i++) {
		snprintf(child, sizeof(child), "%s/%s", path, list[i]->name->text);
		digest_node(e, list[i]->node, seq, child, s);
		if (S_ISDIR(list[i]->node->newest->attrs->mode))
			digest_dir(e, list[i]->node, seq, child, s);
	}
	free(list);
}

void fixture_digest(struct engine *e, uint64_t seq, struct sha256 *ret)
{
	struct sha256_state *s = sha256_new();

	digest_dir(e, tree_node(engine_tree(e), TREE_ROOT_INO), seq, "", s);
	sha256_peek(s, ret);
	sha256_free(s);
}

char *fixture_events(struct engine *e, size_t *ret_len)
{
	struct event_log_key key = {0};
	struct buf out = BUF_INIT;
	uint64_t bytes, events;

	engine_lock(e);
	event_log_size(engine_event_logs(e), &key, &bytes, &events);
	engine_unlock(e);
	assert(!engine_read_events(e, &key, 0, (size_t)bytes, &out));
	assert(out.len == bytes);
	return buf_take(&out, ret_len);
}
