/* SPDX-License-Identifier: MIT
 *
 * A new session: its directory, skeleton, session.yaml and first checkpoint, in one transaction. So nobody ever finds half of a session,
 * and none is without something to go back to.
 *
 * The texts are prepared without the engine's lock; only the head of checkpoint.yaml, which counts, is made under it.
 */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint_internal.h"

#define REASON "initialization"
#define SKELETON_MAX 16
/* Directories that one transaction gives to sessions of earlier versions, about, and more than each takes in its record. */
#define COMPLETED_AT_ONCE 200
#define COMPLETED_DIR_BYTES 256

/** What is known of a session before it has a place. */
struct birth {
	const char *id;
	int64_t now_ns;
	char checkpoint[ACTOR_ID_BYTES];
	struct buf text; /* of session.yaml */
	struct extent text_block, rest_block;
	struct sha256 text_sha;
};

/** A session's directories so far, by their path within it. */
struct skeleton {
	struct txn *t;
	uint64_t session_ino;
	uint32_t mode, uid, gid;
	struct {
		const char *path;
		uint64_t ino;
	} made[SKELETON_MAX];
	size_t count;
};

/* 0: there is no such directory, and none is made. */
static uint64_t skeleton_ino(const struct skeleton *s, const char *path, size_t len)
{
	for (size_t i = 0; i < s->count; i++)
		if (strlen(s->made[i].path) == len && !memcmp(s->made[i].path, path, len))
			return s->made[i].ino;
	return 0;
}

static uint64_t add_create(struct skeleton *s, uint64_t parent, const char *name, uint32_t mode)
{
	uint64_t ino = tree_take_ino(s->t->e->tree);

	*txn_add_change(s->t) = (struct change){.type = CHANGE_CREATE,
		.ino = ino,
		.parent = parent,
		.name = name,
		.name_len = (uint32_t)strlen(name),
		.mode = mode,
		.uid = s->uid,
		.gid = s->gid};
	return ino;
}

/* Parents come first. */
static int skeleton_make_dir(void *arg, const char *path)
{
	struct skeleton *s = arg;
	const char *slash = strrchr(path, '/');
	uint64_t parent = slash ? skeleton_ino(s, path, (size_t)(slash - path)) : s->session_ino;

	if (s->count == SKELETON_MAX)
		return -EOVERFLOW;
	s->made[s->count].ino = add_create(s, parent, slash ? slash + 1 : path, s->mode);
	s->made[s->count++].path = path;
	return 0;
}

static void session_add_file(struct skeleton *s, struct birth *b)
{
	uint64_t ino = add_create(s, s->session_ino, "session.yaml", S_IFREG | (s->mode & 0666));

	*txn_add_change(s->t) = (struct change){
		.type = CHANGE_CONTENT, .ino = ino, .content_flags = CONTENT_REPLACE, .size = b->text.len, .extents = &b->text_block, .extent_count = 1};
}

static void session_add_checkpoint(struct skeleton *s, const struct birth *b, const char *path)
{
	struct event_log_key key = {.session = b->id};
	cleanup_buf struct buf own = BUF_INIT;
	struct checkpoint_new n = {.parent = skeleton_ino(s, "checkpoints", 11), .mode = s->mode, .uid = s->uid, .gid = s->gid, .rest = b->rest_block};
	uint64_t bytes, events;

	event_log_size(s->t->e->logs, &key, &bytes, &events); /* a session made anew under an id goes on with its log */
	n.head = (struct checkpoint_head){.id = b->checkpoint,
		.session = b->id,
		.reason = REASON,
		.created_ns = b->now_ns,
		.session_file = &b->text_sha,
		.operation_count = 1,
		.event_count = events + 3};
	buf_printf(&own, "%s/checkpoints/%s", path, b->checkpoint);
	n.path = txn_strdup(s->t, own.data ? own.data : "");
	if (own.error)
		s->t->error = own.error;
	(void)checkpoint_add(s->t, &n);
}

static int session_stage(struct txn *t, struct node *dir, const char *path, uint32_t mode, struct birth *b)
{
	struct skeleton s = {.t = t, .mode = mode, .uid = t->q->uid};
	int r;

	engine_inherit(dir, t->q, &s.mode, &s.gid);
	s.session_ino = add_create(&s, dir->ino, b->id, s.mode);
	r = layout_each_skeleton_dir(skeleton_make_dir, &s);
	if (r)
		return r;
	session_add_file(&s, b);
	txn_add_event(t, EVENT_SESSION_INITIALIZED, path);
	txn_event_more(t, "\"type\":\"%s\"", SESSION_TYPE_DEFAULT);
	session_add_checkpoint(&s, b, path);
	txn_add_event(t, EVENT_SESSION_STATUS_CHANGED, path);
	txn_event_more(t, "\"from\":\"initializing\",\"to\":\"active\"");
	return txn_stage(t);
}

static int birth_prepare_text(struct birth *b, struct record_blocks *blocks)
{
	char last[ACTOR_ID_BYTES + 4], points[ACTOR_ID_BYTES + 8];
	struct session_owned owned = {.id = b->id,
		.created_ns = b->now_ns,
		.last_updated_ns = b->now_ns,
		.active_agents = "[]",
		.last_checkpoint = last,
		.last_backup = "null",
		.recovery_points = points};
	int r;

	(void)snprintf(last, sizeof(last), "\"%s\"", b->checkpoint);
	(void)snprintf(points, sizeof(points), "[%s]", last);
	r = model_merge_session(NULL, 0, "", 0, &owned, NULL, &b->text);
	if (!r)
		r = record_blocks_add(blocks, b->text.data, b->text.len, &b->text_block);
	b->text_block.len = b->text.len;
	sha256_of(b->text.data, b->text.len, &b->text_sha);
	return r;
}

static int birth_prepare(struct engine *e, const char *name, struct record_blocks *blocks, struct birth *b)
{
	cleanup_free char *branch = NULL, *commit = NULL;
	cleanup_buf struct buf rest = BUF_INIT;
	struct checkpoint_rest r = {.working_directory = e->options.project};
	int err = git_context_read(e->options.project, &branch, &commit);

	*b = (struct birth){.id = name, .now_ns = env_time_ns(e->env)};
	(void)snprintf(b->checkpoint, sizeof(b->checkpoint), CHECKPOINT_AUTOMATIC_PREFIX "%lld", b->now_ns / NS_PER_S);
	if (!err)
		err = birth_prepare_text(b, blocks);
	if (err)
		return err;
	r.git_branch = branch;
	r.git_commit = commit;
	checkpoint_render_rest(&r, &rest);
	err = rest.error ? rest.error : record_blocks_add(blocks, rest.data, rest.len, &b->rest_block);
	b->rest_block.len = rest.len;
	return err;
}

int session_create(struct engine *e, struct request *q, uint64_t parent, const char *name, uint32_t mode, struct tree_attr *ret)
{
	struct birth b;
	struct node *dir;
	struct txn t;
	char *path;
	int r;

	if (!strcmp(name, "global"))
		return reason_set(&q->reason, -EINVAL, "layout", "a session cannot be called \"global\": events of no session bear that name");
	txn_init(&t, e, q, OPERATION_CREATE_SESSION);
	r = birth_prepare(e, name, &t.blocks, &b);
	if (!r)
		r = txn_reserve(&t, CHECKPOINT_HEAD_BYTES_MAX);
	if (!r) {
		engine_lock(e);
		r = engine_place_new(&t, parent, name, mode, &dir, &path);
		if (!r)
			r = session_stage(&t, dir, path, mode, &b);
		if (!r)
			r = tree_attr_at(e->tree, tree_node(e->tree, t.changes[0].ino), SEQ_LIVE, INT64_MAX, ret);
		engine_unlock(e);
	}
	txn_finish(&t);
	buf_release(&b.text);
	return r;
}

/* ---- sessions of earlier versions ---- */

/* What is there stays, whatever it is; what is missing is made, unless its place is no directory. */
static int skeleton_complete_dir(void *arg, const char *path)
{
	struct skeleton *s = arg;
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	uint64_t parent = slash ? skeleton_ino(s, path, (size_t)(slash - path)) : s->session_ino;
	const struct node *dir = tree_node(s->t->e->tree, parent); /* NULL: it is made by this transaction, too */
	const struct dentry *d = NULL;

	if (s->count == SKELETON_MAX)
		return -EOVERFLOW;
	if (!parent || (dir && !S_ISDIR(dir->newest->attrs->mode)))
		return 0;
	if (dir)
		d = tree_lookup(s->t->e->tree, dir, name, strlen(name), SEQ_LIVE);
	s->made[s->count].ino = d ? d->node->ino : add_create(s, parent, name, s->mode);
	s->made[s->count++].path = path;
	return 0;
}

/* Lock held. */
static int sessions_complete_some(struct txn *t)
{
	const struct node *top = tree_resolve(t->e->tree, "state/sessions", SEQ_LIVE);
	int r = 0;

	if (!top || !S_ISDIR(top->newest->attrs->mode))
		return 0;
	for (const struct dentry *d = top->dir->first; !r && d && t->change_count < COMPLETED_AT_ONCE; d = d->next) {
		const struct attrs *a = d->node->newest->attrs;
		struct skeleton s = {.t = t, .session_ino = d->node->ino, .mode = a->mode, .uid = a->uid, .gid = a->gid};

		if (S_ISDIR(a->mode))
			r = layout_each_skeleton_dir(skeleton_complete_dir, &s);
	}
	return r;
}

struct lack {
	struct engine *e;
	const char *session;
};

/* 1: skeleton_complete_dir() would make it. */
static int skeleton_lacks_dir(void *arg, const char *path)
{
	const struct lack *l = arg;
	char full[sizeof("state/sessions/") + TREE_NAME_MAX + 64], *slash;
	const struct node *parent;

	(void)snprintf(full, sizeof(full), "state/sessions/%s/%s", l->session, path);
	if (tree_resolve(l->e->tree, full, SEQ_LIVE))
		return 0;
	slash = strrchr(full, '/');
	*slash = '\0';
	parent = tree_resolve(l->e->tree, full, SEQ_LIVE);
	return parent && S_ISDIR(parent->newest->attrs->mode);
}

/* Mostly not; then nothing is reserved, so that a store on a full disk can be mounted. */
static bool sessions_lack_something(struct engine *e)
{
	const struct node *top;
	bool lack = false;

	engine_lock(e);
	top = tree_resolve(e->tree, "state/sessions", SEQ_LIVE);
	for (const struct dentry *d = top && S_ISDIR(top->newest->attrs->mode) ? top->dir->first : NULL; d && !lack; d = d->next)
		lack = S_ISDIR(d->node->newest->attrs->mode) && layout_each_skeleton_dir(skeleton_lacks_dir, &(struct lack){e, d->name->text});
	engine_unlock(e);
	return lack;
}

int sessions_complete(struct engine *e, struct request *q)
{
	size_t made = 1;
	int r = 0;

	while (!r && made && sessions_lack_something(e)) {
		struct txn t;

		txn_init(&t, e, q, OPERATION_FORMAT);
		r = txn_reserve(&t, COMPLETED_AT_ONCE * COMPLETED_DIR_BYTES);
		if (!r) {
			engine_lock(e);
			r = sessions_complete_some(&t);
			made = t.change_count;
			if (!r && made)
				r = txn_stage(&t);
			engine_unlock(e);
		}
		txn_finish(&t);
	}
	return r;
}

void sessions_take_first(struct engine *e, struct request *q)
{
	cleanup_buf struct buf ids = BUF_INIT;

	engine_lock(e);
	for (const struct session *s = registry_first_session(e); s; s = s->next)
		if (!s->newest_checkpoint && s->checkpoints_ino)
			buf_append(&ids, s->id, strlen(s->id) + 1);
	engine_unlock(e);
	for (size_t at = 0; !ids.error && at < ids.len; at += strlen(ids.data + at) + 1) {
		struct request own = *q;

		if (!checkpoint_create(e, &own, ids.data + at, NULL, "adoption", NULL, NULL)) /* else the first change will bring one */
			q->seq = own.seq;
	}
}
