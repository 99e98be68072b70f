/* SPDX-License-Identifier: MIT
 *
 * Rename: the atomic save of most tools. One transaction: what stood at the target goes, the source's entry moves, and a draft still open on
 * the source is committed with it, under the rules of the target. Content is read and checked outside the engine lock; if the names or versions moved
 * meanwhile, it starts again.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "barrier.h"
#include "engine_internal.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

#define RENAME_TRIES 16
#define COMMIT_REFUSED_EXTENTS_MAX 4096

/* What a rename is about; found under the lock, used outside, found again. */
struct renaming {
	struct engine *e;
	struct request *q;
	uint64_t parent, new_parent;
	const char *name, *new_name;
	uint32_t flags;
	struct dentry *from, *to;
	struct node *node;
	const struct version *version, *to_version;
	bool is_file, to_is_file; /* regular ones */
	struct draft *draft;      /* with a holder, dirty, of the source */
	bool refused_back;        /* of an exchange: what was to come to the source's name is what the rules refuse */
	char *from_path, *to_path;
	struct model_save *model; /* the target is a file of the state model, and no draft is open: what the source becomes there */
	struct extent merged;
	uint64_t merged_size;
	struct sha256 merged_sha;
};

static void renaming_release(struct renaming *x)
{
	if (x->draft)
		draft_unref(x->draft);
	x->draft = NULL;
	model_save_free(x->model);
	x->model = NULL;
	free(x->from_path);
	free(x->to_path);
	x->from_path = x->to_path = NULL;
}

static char *child_path(struct engine *e, const struct node *dir, const char *name)
{
	struct buf path = BUF_INIT;

	if (tree_path_at(e->tree, dir, SEQ_LIVE, &path)) {
		buf_release(&path);
		return NULL;
	}
	if (path.len)
		buf_append_str(&path, "/");
	buf_append_str(&path, name);
	if (path.error) {
		buf_release(&path);
		return NULL;
	}
	return buf_take(&path, NULL);
}

static bool is_below(const struct node *dir, const struct node *ancestor)
{
	while (dir) {
		struct dentry *up;

		if (dir == ancestor)
			return true;
		up = tree_name_at(dir, SEQ_LIVE);
		dir = up ? up->parent : NULL;
	}
	return false;
}

/* What stands at the target must be replaceable. */
static int check_target(struct renaming *x)
{
	bool dir = S_ISDIR(x->node->newest->attrs->mode), to_dir;

	if (!x->to)
		return x->flags & RENAME_EXCHANGE ? -ENOENT : 0;
	if (x->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (x->flags & RENAME_EXCHANGE)
		return 0;
	to_dir = S_ISDIR(x->to->node->newest->attrs->mode);
	if (to_dir && !dir)
		return -EISDIR;
	if (!to_dir && dir)
		return -ENOTDIR;
	return to_dir && !tree_dir_is_empty(x->to->node) ? -ENOTEMPTY : 0;
}

static int check_layout(struct renaming *x)
{
	struct reason *why = &x->q->reason;
	int r = layout_check_rename(x->from_path, why);

	if (!r)
		r = layout_check_rename_to(x->to_path, x->node->newest->attrs->mode, x->to && !(x->flags & RENAME_EXCHANGE), why);
	if (!r && x->flags & RENAME_EXCHANGE)
		r = layout_check_rename(x->to_path, why);
	if (!r && x->flags & RENAME_EXCHANGE)
		r = layout_check_rename_to(x->from_path, x->to->node->newest->attrs->mode, false, why);
	if (!r && layout_flags_of(x->to_path) & LAYOUT_NO_LINK && x->node->nlink > 1 && !S_ISDIR(x->node->newest->attrs->mode))
		r = reason_set(why, -EPERM, "layout", "%s cannot have hard links: it has one identity", x->to_path);
	return r;
}

/* What comes into a barrier's directory must belong there. */
static int check_barrier(struct renaming *x, const struct node *dir, const char *name, const struct node *comes)
{
	if (registry_place_of(x->e, dir->ino, NULL) != PLACE_BARRIER)
		return 0;
	return barrier_check_entry(x->e, dir->ino, name, comes->newest->attrs->mode, &x->q->reason);
}

/* Lock held. */
static int renaming_find(struct renaming *x)
{
	struct engine *e = x->e;
	uint64_t live = engine_live_seq(e);
	int r = 0;
	struct node *dir = engine_live_dir(e, x->parent, &r), *new_dir = dir ? engine_live_dir(e, x->new_parent, &r) : NULL;

	if (!new_dir)
		return r;
	if (strlen(x->new_name) > TREE_NAME_MAX)
		return -ENAMETOOLONG;
	x->from = tree_lookup(e->tree, dir, x->name, strlen(x->name), live);
	x->to = tree_lookup(e->tree, new_dir, x->new_name, strlen(x->new_name), live);
	if (!x->from)
		return -ENOENT;
	x->node = x->from->node;
	x->from_path = child_path(e, dir, x->name);
	x->to_path = child_path(e, new_dir, x->new_name);
	if (!x->from_path || !x->to_path)
		return -ENOMEM;
	if (!x->to && x->flags & RENAME_EXCHANGE)
		return -ENOENT;
	if (is_below(new_dir, x->node) || (x->flags & RENAME_EXCHANGE && x->to && is_below(dir, x->to->node)))
		return -EINVAL;
	r = check_layout(x);
	if (!r)
		r = check_barrier(x, new_dir, x->new_name, x->node);
	if (!r && x->flags & RENAME_EXCHANGE)
		r = check_barrier(x, dir, x->name, x->to->node);
	if (!r)
		r = check_target(x);
	x->version = x->node->newest;
	x->to_version = x->to ? x->to->node->newest : NULL;
	x->is_file = S_ISREG(x->version->attrs->mode);
	x->to_is_file = x->to_version && S_ISREG(x->to_version->attrs->mode);
	x->draft = !r && x->is_file ? draft_of_node(e, x->node) : NULL;
	return r;
}

static int renaming_check_rules(struct renaming *x, bool *ret_malformed)
{
	struct node *to = x->to ? x->to->node : NULL;
	int r = 0;

	if (!x->draft && x->is_file)
		r = engine_check_content(x->e, x->q, x->to_path, x->version, to, ret_malformed);
	if (!r && x->flags & RENAME_EXCHANGE && x->to_is_file) {
		r = engine_check_content(x->e, x->q, x->from_path, x->to_version, x->node, ret_malformed);
		x->refused_back = r == -EBADMSG;
	}
	return r;
}

/* A file that becomes one of the state model is merged as if it had been saved there. */
static int renaming_merge(struct renaming *x, struct record_blocks *blocks)
{
	const struct version *base;
	cleanup_free char *text = NULL;
	size_t len;
	int r;

	if (x->draft || x->flags & RENAME_EXCHANGE || !x->is_file || x->node->flags & NODE_NEWBORN || model_kind_of(x->to_path, NULL, NULL) == MODEL_NONE)
		return 0;
	r = file_edit_read(x->e, x->node->ino, &base, &text, &len);
	if (!r && base != x->version)
		r = -EAGAIN;
	if (!r)
		r = model_save_prepare(x->e, x->to_path, x->to ? x->to->node : NULL, &text, &len, blocks, &x->q->reason, &x->model);
	if (r)
		return r == -ENOENT ? 0 : r;
	if (len > COMMIT_INLINE_MAX)
		return reason_set(
			&x->q->reason, -EBADMSG, "size", "%s: more than %u bytes cannot be moved there; save them in place", x->to_path, COMMIT_INLINE_MAX);
	x->merged_size = len;
	sha256_of(text, len, &x->merged_sha);
	r = len ? record_blocks_add(blocks, text, len, &x->merged) : 0;
	x->merged.len = len;
	return r;
}

/* ---- staging ---- */

static int stage_merged(struct renaming *x, struct txn *t)
{
	*txn_add_change(t) = (struct change){.type = CHANGE_CONTENT,
		.ino = x->node->ino,
		.content_flags = CONTENT_REPLACE | CONTENT_KEEP_MTIME,
		.size = x->merged_size,
		.extents = &x->merged,
		.extent_count = x->merged_size ? 1 : 0};
	return model_save_add(x->model, t, x->to_path);
}

static void add_unlink(struct txn *t, uint64_t ino, uint64_t parent, const char *name)
{
	*txn_add_change(t) = (struct change){.type = CHANGE_UNLINK, .ino = ino, .parent = parent, .name = name, .name_len = (uint32_t)strlen(name)};
}

static void add_link(struct txn *t, uint64_t ino, uint64_t parent, const char *name)
{
	*txn_add_change(t) = (struct change){.type = CHANGE_LINK, .ino = ino, .parent = parent, .name = name, .name_len = (uint32_t)strlen(name)};
}

static void stage_replace(struct renaming *x, struct txn *t)
{
	struct node *old = x->to ? x->to->node : NULL;

	if (!old)
		return;
	if (old->nlink == 1 || S_ISDIR(old->newest->attrs->mode))
		drafts_note_unlinked(x->e, old, UINT32_MAX); /* whoever has it open did not ask for this */
	if (old->flags & NODE_NEWBORN)
		engine_newborn_unlink(x->e, old);
	else
		add_unlink(t, old->ino, x->new_parent, x->new_name);
}

static void stage_events(struct renaming *x, struct txn *t, const struct draft_plan *plan, bool malformed)
{
	struct event *ev = txn_add_event(t, x->flags & RENAME_EXCHANGE ? EVENT_EXCHANGED : EVENT_RENAMED, x->from_path);
	char session[129];

	if (layout_session_of(x->to_path, session)) { /* a file moved into a session is that session's news */
		char *copy = txn_strdup(t, session);

		if (copy)
			ev->session = copy;
	}
	ev->new_path = x->to_path;
	t->base_sha = (struct sha256){0};
	if (plan) { /* what the draft brings along is what stands there now */
		ev->flags |= EVENT_HAS_SIZE;
		ev->size = x->draft->kind == DRAFT_APPEND && !plan->model ? (plan->base ? plan->base->size : 0) + plan->append_len : plan->size;
		if (plan->have_sha)
			event_set_new_sha(ev, &plan->sha);
	} else if (x->model) {
		ev->flags |= EVENT_HAS_SIZE;
		ev->size = x->merged_size;
		event_set_new_sha(ev, &x->merged_sha);
	} else if (S_ISREG(x->node->newest->attrs->mode)) {
		ev->flags |= EVENT_HAS_SIZE;
		ev->size = x->node->newest->size;
		if (sha_cache_get(x->e->shas, x->node->ino, x->node->newest->born, &ev->new_sha))
			ev->flags |= EVENT_HAS_NEW_SHA;
	}
	if (x->to_version && x->to && sha_cache_get(x->e->shas, x->to->node->ino, x->to_version->born, &ev->old_sha)) {
		ev->flags |= EVENT_HAS_OLD_SHA;
		t->base_sha = ev->old_sha;
	}
	if (malformed) {
		struct buf text = BUF_INIT;

		buf_put_json_string(&text, x->q->reason.text, strlen(x->q->reason.text));
		txn_add_event(t, EVENT_MALFORMED_ACCEPTED, x->to_path);
		txn_event_more(t, "\"line\":%u,\"column\":%u,\"rule\":\"%s\",\"message\":%s", x->q->reason.line, x->q->reason.column, x->q->reason.rule,
			text.data ? text.data : "\"\"");
		buf_release(&text);
	}
}

/* Lock held; names were found again and are the same. */
static int renaming_stage(struct renaming *x, struct txn *t, struct draft_plan *plan, bool malformed)
{
	bool newborn = x->node->flags & NODE_NEWBORN;
	int r = 0;

	if (plan && !draft_plan_holds(x->draft, plan))
		return -EAGAIN;
	if (x->flags & RENAME_EXCHANGE) {
		if (newborn || x->to->node->flags & NODE_NEWBORN)
			return -EBUSY;
		add_unlink(t, x->node->ino, x->parent, x->name);
		add_unlink(t, x->to->node->ino, x->new_parent, x->new_name);
		add_link(t, x->to->node->ino, x->parent, x->name);
		add_link(t, x->node->ino, x->new_parent, x->new_name);
	} else if (newborn && !plan) {
		if (x->to) /* what was to be in it was refused: the last good version stays */
			return reason_set(&x->q->reason, -EBADMSG, "rename", "%s has no content: what was written to it was refused", x->from_path);
		restores_note_entry(x->e, x->new_parent, x->node->ino);
		r = tree_newborn_rename(x->e->tree, x->node, tree_node(x->e->tree, x->new_parent), x->new_name, strlen(x->new_name));
	} else {
		stage_replace(x, t);
	}
	if (!r && plan) /* a newborn enters the tree under its old name, in the same transaction, so that nothing changes if staging fails */
		r = draft_add_to_txn(x->draft, plan, t, x->to_path);
	if (!(x->flags & RENAME_EXCHANGE) && !(newborn && !plan)) {
		add_unlink(t, x->node->ino, x->parent, x->name);
		add_link(t, x->node->ino, x->new_parent, x->new_name);
		if (!newborn)
			engine_note_removed(x->e, x->from_path, x->node->ino);
	}
	t->path = x->to_path;
	t->base = x->to_version;
	stage_events(x, t, plan, malformed);
	if (!r && x->model)
		r = stage_merged(x, t);
	if (!r)
		r = txn_stage(t);
	if (!r && x->model)
		model_save_staged(x->model, x->e, t->seq);
	if (!r && plan && plan->model)
		model_save_staged(plan->model, x->e, t->seq);
	return r;
}

static enum operation wanted_operation(const struct renaming *x)
{
	return x->flags & RENAME_EXCHANGE ? OPERATION_EXCHANGE : OPERATION_RENAME;
}

/* The refused bytes are an existing version: the record refers to where they are. */
static int refused_extents(struct renaming *x, const struct version *v, struct txn *t, struct record_rollback *rb)
{
	struct version_extents scratch = {0};
	uint64_t covered;
	ssize_t n;

	rb->draft = txn_alloc(t, (size_t)COMMIT_REFUSED_EXTENTS_MAX * sizeof(*rb->draft));
	if (!rb->draft)
		return -ENOMEM;
	engine_lock(x->e);
	n = tree_extents(v, &scratch, 0, v->size, rb->draft, COMMIT_REFUSED_EXTENTS_MAX, &covered);
	engine_unlock(x->e);
	extent_map_release(&scratch.map);
	rb->draft_extents = (uint32_t)MAX(n, 0);
	rb->draft_size = v->size;
	return n < 0 ? (int)n : 0;
}

static int renaming_refused(struct renaming *x)
{
	struct record_rollback rb = {.wanted = wanted_operation(x),
		.error = EBADMSG,
		.line = x->q->reason.line,
		.column = x->q->reason.column,
		.rule = x->q->reason.rule,
		.text = x->q->reason.text};
	struct reason why = x->q->reason;
	const char *path = x->refused_back ? x->from_path : x->to_path;
	struct txn t;
	struct buf more = BUF_INIT;
	int r;

	txn_init(&t, x->e, x->q, OPERATION_ROLLBACK);
	r = refused_extents(x, x->refused_back ? x->to_version : x->version, &t, &rb);
	if (!r)
		r = txn_reserve(&t, (size_t)(rb.draft_extents + 1024) * RECORD_EXTENT_BYTES);
	buf_put_json_string(&more, why.text, strlen(why.text));
	if (!r)
		r = more.error;
	if (!r) {
		engine_lock(x->e);
		t.rollback = &rb;
		t.path = path;
		t.base = x->refused_back ? x->version : x->to_version;
		txn_add_event(&t, EVENT_COMMIT_REFUSED, path);
		txn_event_more(&t, "\"wanted\":\"%s\",\"rule\":\"%s\",\"line\":%u,\"column\":%u,\"message\":%s", operation_name(rb.wanted), why.rule, why.line,
			why.column, more.data);
		engine_put_back(&t, path);
		r = txn_stage(&t);
		if (!r)
			x->e->refusals++;
		engine_unlock(x->e);
	}
	buf_release(&more);
	txn_finish(&t);
	return r ? r : -EBADMSG;
}

static int rename_plan(struct renaming *x, struct draft_plan *plan)
{
	int r = draft_prepare(x->draft, &x->to_path, 1, x->to ? x->to->node : NULL, 0, plan);

	if (!r && plan->refuse) {
		r = plan->text ? 0 : draft_own_extents(x->draft, plan);
		if (!r)
			r = draft_keep_refused(x->draft, x->q, plan, EVENT_COMMIT_REFUSED, wanted_operation(x), EBADMSG, x->to_path);
		x->q->reason = plan->reason;
		return r ? r : -EBADMSG;
	}
	return r;
}

/* One try: -EAGAIN when something moved between looking and staging. */
static int rename_once(struct renaming *x)
{
	struct renaming again;
	struct draft_plan plan = {0};
	struct txn t;
	bool malformed = false;
	int r;

	engine_lock(x->e);
	r = renaming_find(x);
	engine_unlock(x->e);
	if (r || (x->to && x->to->node == x->node))
		return r; /* two names of one file: nothing to do */
	if (x->draft) {
		pthread_mutex_lock(&x->draft->lock);
		r = x->draft->dirty ? 0 : -EAGAIN; /* committed meanwhile: its content must be looked at */
	}
	if (!r)
		r = renaming_check_rules(x, &malformed);
	if (!r)
		r = renaming_merge(x, &plan.blocks);
	if (r == -EBADMSG && !x->draft)
		r = renaming_refused(x);
	if (!r && x->draft && x->draft->dirty)
		r = rename_plan(x, &plan);
	txn_init(&t, x->e, x->q, wanted_operation(x));
	t.blocks = plan.blocks;
	plan.blocks = (struct record_blocks){0};
	if (!r)
		r = txn_reserve(&t, plan.extent_count * RECORD_EXTENT_BYTES + (x->draft ? draft_newborn_bytes(x->draft) : 0));
	if (!r) {
		again = (struct renaming){
			.e = x->e, .q = x->q, .parent = x->parent, .new_parent = x->new_parent, .name = x->name, .new_name = x->new_name, .flags = x->flags};
		engine_lock(x->e);
		r = renaming_find(&again);
		if (!r && (again.from != x->from || again.to != x->to || again.version != x->version || again.to_version != x->to_version))
			r = -EAGAIN;
		if (!r)
			r = renaming_stage(x, &t, x->draft && x->draft->dirty ? &plan : NULL, malformed);
		engine_unlock(x->e);
		renaming_release(&again);
	}
	if (!r && x->draft && x->draft->dirty)
		draft_committed(x->draft, &plan, &t);
	if (x->draft)
		pthread_mutex_unlock(&x->draft->lock);
	txn_finish(&t);
	draft_plan_release(&plan);
	return r;
}

int engine_rename(struct engine *e, struct request *q, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name, uint32_t flags)
{
	int r = -EAGAIN;

	q->seq = 0;
	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE) || (flags & RENAME_NOREPLACE && flags & RENAME_EXCHANGE))
		return -EINVAL;
	r = engine_check_writable(e, q);
	if (r)
		return r;
	r = -EAGAIN;
	for (int tries = 0; tries < RENAME_TRIES && r == -EAGAIN; tries++) {
		struct renaming x = {.e = e, .q = q, .parent = parent, .new_parent = new_parent, .name = name, .new_name = new_name, .flags = flags};

		r = rename_once(&x);
		renaming_release(&x);
	}
	return r == -EAGAIN ? -EBUSY : r;
}
