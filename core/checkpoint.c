/* SPDX-License-Identifier: MIT
 *
 * Taking and removing checkpoints. A checkpoint is a name for the sequence number of the transaction that made it, so taking one costs the
 * same whatever the session holds: a directory, a small file, and session.yaml's fields.
 *
 * Everything is gathered without the engine's lock: the state of the repository, open drafts, checksums of the agents' files. Under it is
 * checked that session.yaml and the agents' files are still those; if not, it is all done again. What is counted is counted under it.
 * Left to others: showing state/ and agents/ in the directory (fs/), which checkpoints there are (registry.c), what is removed when (upkeep.c).
 */
#include "checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint_internal.h"

/* ---- as a part of a transaction ---- */

static uint64_t add_create(struct txn *t, const struct checkpoint_new *n, uint64_t parent, const char *name, uint32_t mode)
{
	uint64_t ino = tree_take_ino(t->e->tree);

	*txn_add_change(t) = (struct change){.type = CHANGE_CREATE,
		.ino = ino,
		.parent = parent,
		.name = name,
		.name_len = (uint32_t)strlen(name),
		.mode = mode,
		.uid = n->uid,
		.gid = n->gid};
	return ino;
}

/* The two blocks of the text. NULL: an error, which is sticky in the transaction. */
static struct extent *add_text(struct txn *t, const struct checkpoint_new *n, uint64_t *ret_size)
{
	cleanup_buf struct buf head = BUF_INIT;
	struct extent *x = txn_alloc(t, 2 * sizeof(*x));

	checkpoint_render_head(&n->head, &head);
	if (!x || head.error || record_blocks_add(&t->blocks, head.data, head.len, &x[0])) {
		t->error = -ENOMEM;
		return NULL;
	}
	x[0].file_offset = 0;
	x[0].len = head.len;
	x[1] = n->rest;
	x[1].file_offset = head.len;
	*ret_size = head.len + n->rest.len;
	return x;
}

uint64_t checkpoint_add(struct txn *t, const struct checkpoint_new *n)
{
	cleanup_buf struct buf reason = BUF_INIT;
	const char *name = txn_strdup(t, n->head.id);
	uint64_t size = 0, dir, file;
	struct extent *x = add_text(t, n, &size);

	buf_put_json_string(&reason, n->head.reason, strnlen(n->head.reason, CHECKPOINT_REASON_BYTES_MAX - 1));
	if (!name || !x || reason.error) {
		t->error = -ENOMEM;
		return 0;
	}
	dir = add_create(t, n, n->parent, name, n->mode);
	file = add_create(t, n, dir, CHECKPOINT_FILE, S_IFREG | (n->mode & 0666));
	*txn_add_change(t) =
		(struct change){.type = CHANGE_CONTENT, .ino = file, .content_flags = CONTENT_REPLACE, .size = size, .extents = x, .extent_count = 2};
	txn_add_event(t, EVENT_CHECKPOINT_CREATED, n->path);
	txn_event_more(t, "\"checkpoint_id\":\"%s\",\"reason\":%s", name, reason.data);
	return dir;
}

/* ---- gathering ---- */

struct gathering {
	struct engine *e;
	const char *session, *status;
	char id[ACTOR_ID_BYTES];
	const char *reason;
	int64_t now_ns;
	char *branch, *commit;
	struct checkpoint_agent *agents;
	size_t agent_count;
	struct draft_info *drafts; /* of the session first */
	size_t draft_count;
	struct session_edit edit;
	struct extent rest;
	enum session_status status_before;
};

static void gathering_clear(struct gathering *g)
{
	for (size_t i = 0; i < g->draft_count; i++)
		draft_info_release(&g->drafts[i]);
	free(g->drafts);
	free(g->agents);
	g->drafts = NULL;
	g->agents = NULL;
	g->draft_count = g->agent_count = 0;
}

static bool name_is_taken(struct engine *e, const struct session *s, const char *id)
{
	struct node *dir = tree_node(e->tree, s->checkpoints_ino);

	return dir && tree_lookup(e->tree, dir, id, strlen(id), SEQ_LIVE);
}

/* Lock held. */
static int pick_name(struct engine *e, const struct session *s, const char *wanted, int64_t now_ns, char out[ACTOR_ID_BYTES])
{
	if (wanted) {
		if (!id_valid(wanted, strlen(wanted)))
			return -EINVAL;
		(void)snprintf(out, ACTOR_ID_BYTES, "%s", wanted);
		return name_is_taken(e, s, out) ? -EEXIST : 0;
	}
	for (unsigned i = 1;; i++) {
		int n = snprintf(out, ACTOR_ID_BYTES, CHECKPOINT_AUTOMATIC_PREFIX "%lld", now_ns / NS_PER_S);

		if (i > 1)
			(void)snprintf(out + n, ACTOR_ID_BYTES - (size_t)n, "-%u", i);
		if (!name_is_taken(e, s, out))
			return 0;
	}
}

static const struct version *agent_version(struct engine *e, const struct agent *a, const struct node **ret)
{
	const struct node *n = tree_node(e->tree, a->ino);

	*ret = n;
	return n && n->nlink && !(n->flags & NODE_NEWBORN) ? n->newest : NULL;
}

/* Lock held: which agents there are, by versions that stay valid. */
static int gather_agents(struct gathering *g, const struct session *s)
{
	g->agents = calloc(s->agent_count + 1, sizeof(*g->agents));
	if (!g->agents)
		return -ENOMEM;
	for (const struct agent *a = s->agents; a && g->agent_count < s->agent_count; a = a->next) {
		struct checkpoint_agent *c = &g->agents[g->agent_count];

		memcpy(c->id, a->id, sizeof(c->id));
		c->status = a->fields.status;
		c->version = agent_version(g->e, a, &c->node);
		if (c->version)
			g->agent_count++;
	}
	return 0;
}

/* Lock held: is the session as it was when it was looked at? */
static bool agents_hold(const struct gathering *g, const struct session *s)
{
	size_t i = 0;

	for (const struct agent *a = s->agents; a; a = a->next) {
		const struct node *n;
		const struct version *v = agent_version(g->e, a, &n);

		if (v && (i == g->agent_count || g->agents[i].node != n || g->agents[i++].version != v))
			return false;
	}
	return i == g->agent_count;
}

/* Drafts of other sessions go. */
static int gather_drafts(struct gathering *g)
{
	size_t all, kept = 0;
	int r = draft_list(g->e, &g->drafts, &all);

	for (size_t i = 0; !r && i < all; i++) {
		char session[ACTOR_ID_BYTES];

		if (layout_session_of(g->drafts[i].path, session) && !strcmp(session, g->session))
			g->drafts[kept++] = g->drafts[i];
		else
			draft_info_release(&g->drafts[i]);
	}
	g->draft_count = kept;
	return r;
}

static int render_rest(struct gathering *g, struct record_blocks *blocks)
{
	struct checkpoint_rest r = {.working_directory = g->e->options.project,
		.git_branch = g->branch,
		.git_commit = g->commit,
		.drafts = g->drafts,
		.draft_count = g->draft_count,
		.agents = g->agents,
		.agent_count = g->agent_count};
	cleanup_buf struct buf text = BUF_INIT;
	int err;

	checkpoint_render_rest(&r, &text);
	err = text.error ? text.error : record_blocks_add(blocks, text.data, text.len, &g->rest);
	g->rest.len = text.len;
	return err;
}

/* Everything that needs no lock for long. */
static int gather(struct gathering *g, const char *name, struct record_blocks *blocks)
{
	struct session *s;
	int r = -ENOENT;

	g->now_ns = env_time_ns(g->e->env);
	engine_lock(g->e);
	s = registry_session(g->e, g->session);
	if (s && s->checkpoints_ino) {
		g->status_before = s->fields.status;
		r = g->status && session_status_is_over(s->fields.status) ? -ESTALE : pick_name(g->e, s, name, g->now_ns, g->id);
		if (!r)
			r = gather_agents(g, s);
	}
	engine_unlock(g->e);
	if (!r)
		r = gather_drafts(g);
	for (size_t i = 0; !r && i < g->agent_count; i++)
		g->agents[i].have_sha = !engine_content_sha(g->e, g->agents[i].node, g->agents[i].version, &g->agents[i].sha);
	if (!r)
		r = render_rest(g, blocks);
	return r ? r : session_edit_prepare(g->e, g->session, g->id, NULL, g->status, blocks, &g->edit);
}

/* ---- taking one ---- */

/* A checkpoint somebody asks for by name is his; one the daemon names belongs to whom the session belongs to. */
static void own(const struct request *q, const struct node *dir, bool named, struct checkpoint_new *n)
{
	n->mode = S_IFDIR | (dir->newest->attrs->mode & 0777);
	n->uid = named ? q->uid : dir->newest->attrs->uid;
	n->gid = named ? q->gid : dir->newest->attrs->gid;
	if (named)
		engine_inherit(dir, q, &n->mode, &n->gid);
}

static int create_stage(struct gathering *g, struct txn *t, bool named, struct tree_attr *ret)
{
	struct engine *e = t->e;
	struct session *s = registry_session(e, g->session);
	bool ends = g->status && g->edit.edits;
	struct checkpoint_new n = {.rest = g->rest};
	struct node *dir;
	uint64_t ino;
	char *path;
	int r;

	if (!s || s->fields.status != g->status_before || !agents_hold(g, s))
		return s ? -EAGAIN : -ENOENT;
	r = engine_place_new(t, s->checkpoints_ino, g->id, S_IFDIR, &dir, &path);
	if (r == -EEXIST && !named)
		return -EAGAIN;
	if (!r)
		r = session_edit_add(&g->edit, g->session, t);
	if (r)
		return r;
	n.parent = dir->ino;
	n.path = path;
	n.head = (struct checkpoint_head){.id = g->id,
		.session = g->session,
		.reason = g->reason ? g->reason : g->id,
		.created_ns = g->now_ns,
		.session_file = g->edit.have_sha ? &g->edit.sha : NULL,
		.agent_count = g->agent_count,
		.operation_count = registry_operation_count(e, s) + 1,
		.event_count = registry_event_count(e, s) + 1 + ends};
	own(t->q, dir, named, &n);
	ino = checkpoint_add(t, &n);
	if (ends) {
		txn_add_event(t, EVENT_SESSION_STATUS_CHANGED, path);
		txn_event_more(t, "\"from\":\"%s\",\"to\":\"%s\"", session_status_name(g->status_before), g->status);
	}
	r = txn_stage(t);
	return r || !ret ? r : tree_attr_at(e->tree, tree_node(e->tree, ino), SEQ_LIVE, INT64_MAX, ret);
}

static int create_try(struct gathering *g, struct request *q, const char *name, struct tree_attr *ret)
{
	struct txn t;
	int r;

	txn_init(&t, g->e, q, OPERATION_CREATE_CHECKPOINT);
	r = engine_check_writable(g->e, q);
	if (!r)
		r = gather(g, name, &t.blocks);
	if (!r)
		r = txn_reserve(&t, CHECKPOINT_HEAD_BYTES_MAX);
	if (!r) {
		engine_lock(g->e);
		r = create_stage(g, &t, name != NULL, ret);
		engine_unlock(g->e);
	}
	txn_finish(&t);
	gathering_clear(g);
	return r;
}

int checkpoint_take(struct engine *e, struct request *q, const char *session, const char *name, const char *reason, const char *status,
	char ret_id[ACTOR_ID_BYTES], struct tree_attr *ret)
{
	struct gathering g = {.e = e, .session = session, .status = status, .reason = reason};
	int r = git_context_read(e->options.project, &g.branch, &g.commit);

	q->seq = 0;
	if (!reason && (!name || !strncmp(name, CHECKPOINT_AUTOMATIC_PREFIX, sizeof(CHECKPOINT_AUTOMATIC_PREFIX) - 1)))
		g.reason = CHECKPOINT_MANUAL;
	for (unsigned i = 0; !r && i < CHECKPOINT_TRIES; i++) {
		r = create_try(&g, q, name, ret);
		if (r != -EAGAIN)
			break;
		r = i + 1 < CHECKPOINT_TRIES ? 0 : -EBUSY;
	}
	free(g.branch);
	free(g.commit);
	if (!r)
		memcpy(ret_id, g.id, sizeof(g.id));
	return r == -EBUSY ? reason_set(&q->reason, r, "checkpoint", "%s changes all the time: try again", session) : r;
}

int checkpoint_create(struct engine *e, struct request *q, const char *session, const char *name, const char *reason, const char *status, struct tree_attr *ret)
{
	char id[ACTOR_ID_BYTES];

	if (name && !strcmp(name, CHECKPOINT_LATEST))
		return reason_set(&q->reason, -EINVAL, "checkpoint", "a checkpoint cannot be called \"" CHECKPOINT_LATEST "\": that is the newest one");
	return checkpoint_take(e, q, session, name, reason, status, id, ret);
}

bool checkpoint_is_manual(struct engine *e, uint64_t dir_ino)
{
	const struct dentry *file = NULL;
	const struct doc_node *reason;
	const struct version *v;
	const struct node *dir;
	cleanup_free char *text = NULL;
	struct doc *doc = NULL;
	size_t len;
	bool manual;

	engine_lock(e);
	dir = tree_node(e->tree, dir_ino);
	if (dir)
		file = tree_lookup(e->tree, dir, CHECKPOINT_FILE, strlen(CHECKPOINT_FILE), SEQ_LIVE);
	engine_unlock(e);
	if (!file || file_edit_read(e, file->node->ino, &v, &text, &len) || doc_parse_yaml(text, len, NULL, &doc))
		return false;
	reason = doc_get_path(doc_root(doc), "checkpoint.reason");
	manual = reason && reason->type == DOC_STRING && !strcmp(reason->text, CHECKPOINT_MANUAL);
	doc_free(doc);
	return manual;
}

/* ---- removing one ---- */

static void add_unlink(struct txn *t, const struct dentry *d)
{
	*txn_add_change(t) =
		(struct change){.type = CHANGE_UNLINK, .ino = d->node->ino, .parent = d->parent->ino, .name = d->name->text, .name_len = d->name->len};
}

int checkpoint_add_removal(struct txn *t, const struct dentry *d)
{
	for (const struct dentry *c = d->node->dir->first; c; c = c->next) {
		if (c->node->flags & NODE_NEWBORN || (S_ISDIR(c->node->newest->attrs->mode) && !tree_dir_is_empty(c->node)))
			return -ENOTEMPTY;
		add_unlink(t, c);
	}
	add_unlink(t, d);
	return 0;
}

static int remove_stage(struct txn *t, const char *session, const char *name, const struct session_edit *edit)
{
	const struct session *s = registry_session(t->e, session);
	struct node *dir = s ? tree_node(t->e->tree, s->checkpoints_ino) : NULL;
	const struct dentry *d = dir ? tree_lookup(t->e->tree, dir, name, strlen(name), engine_live_seq(t->e)) : NULL;
	char *path;
	int r;

	if (!d || d->born >= SEQ_NEWBORN)
		return -ENOENT;
	if (!S_ISDIR(d->node->newest->attrs->mode))
		return -ENOTDIR;
	r = session_edit_add(edit, session, t);
	path = r ? NULL : engine_child_path(t, dir, name);
	if (!path)
		return r ? r : t->error;
	t->path = path;
	r = checkpoint_add_removal(t, d);
	if (r)
		return r;
	txn_add_event(t, EVENT_CHECKPOINT_REMOVED, path);
	txn_event_more(t, "\"checkpoint_id\":\"%s\"", name);
	return txn_stage(t);
}

static int remove_try(struct engine *e, struct request *q, const char *session, const char *name)
{
	struct session_edit edit;
	struct txn t;
	int r;

	txn_init(&t, e, q, OPERATION_REMOVE_CHECKPOINT);
	r = session_edit_prepare(e, session, NULL, name, NULL, &t.blocks, &edit);
	if (!r)
		r = txn_reserve(&t, 0);
	if (!r) {
		engine_lock(e);
		r = remove_stage(&t, session, name, &edit);
		engine_unlock(e);
	}
	txn_finish(&t);
	return r;
}

int checkpoint_remove(struct engine *e, struct request *q, const char *session, const char *name)
{
	int r = -EAGAIN;

	q->seq = 0;
	for (unsigned i = 0; r == -EAGAIN && i < CHECKPOINT_TRIES; i++)
		r = remove_try(e, q, session, name);
	return r == -EAGAIN ? -EBUSY : r;
}
