/* SPDX-License-Identifier: MIT
 *
 * UNLINK and RMDIR: one transaction each, answered when acknowledged. Virtual names cannot be removed; everything else is the engine's to judge.
 *
 * `rm -r` removes all it sees before it removes the session, checkpoint or barrier that it is about. So there removing what goes with the
 * whole (virtual entries, directories of a session's skeleton, files that milestonefs keeps) succeeds without changing anything: it is hidden from
 * the process that asked (hidden.h), for everybody else it is there. What really removes it is the rmdir of the whole. Anything a user has made is
 * removed at once or not at all, and a directory with such a thing in it is not empty.
 *
 * The copies in a checkpoint hold any number of files. They are not hidden one by one: who has removed one of them, or checkpoint.yaml, has begun to
 * take the checkpoint apart and finds every directory of its copies empty from then on. Most of the time that spares rm all of their files.
 *
 * Of a process in another pid namespace nothing is known, so nothing can be hidden from it. Where others must have removed what is in a directory before
 * the directory itself, it need not.
 *
 * After a successful rmdir the kernel takes that directory's inode for dead. One that stays comes back under another generation, or, in a
 * view, under another number (view_slots.h).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "entry.h"
#include "layout.h"
#include "node_id.h"
#include "ops.h"
#include "publish.h"
#include "reply.h"
#include "session.h"

static void answer(fuse_req_t req, const char *operation, const char *name, struct request *q, int r)
{
	if (r < 0)
		log_refusal(operation, name, q, r);
	reply_error_after(fs_of(req), req, q->seq, JOURNAL_ACKNOWLEDGED, r);
}

static bool caller_is_known(fuse_req_t req)
{
	struct hidden_process p;

	entry_caller(fs_of(req), (uint32_t)fuse_req_ctx(req)->pid, &p);
	return p.tgid != 0;
}

static int hide(fuse_req_t req, uint64_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct hidden_process p;

	entry_caller(fs, (uint32_t)fuse_req_ctx(req)->pid, &p);
	return hidden_add(fs->hidden, &p, parent, name, env_monotonic_ns(engine_env(fs->engine)));
}

/* --- views ---------------------------------------------------------------------------- */

/* Directory @dir_id of a view goes, to who asks: it must look empty to him. */
static int hide_view_dir(fuse_req_t req, const struct view *view, uint64_t dir_id)
{
	struct fs *fs = fs_of(req);
	struct dentry **found = NULL;
	size_t count = 0;
	int r;

	engine_lock(fs->engine);
	r = tree_list(engine_tree(fs->engine), tree_node(engine_tree(fs->engine), node_id_view_ino(dir_id)), view->seq, &found, &count);
	engine_unlock(fs->engine);
	free(found);
	if (r == 0 && count && !entry_view_emptied(fs, (uint32_t)fuse_req_ctx(req)->pid, dir_id) && caller_is_known(req))
		r = -ENOTEMPTY;
	if (r == 0)
		view_slots_renew(fs->views, node_id_view_slot(dir_id));
	return r;
}

/* An entry of a directory of a view. */
static int hide_in_view(fuse_req_t req, uint64_t parent, const char *name, bool by_rmdir)
{
	struct fs *fs = fs_of(req);
	struct tree *tree = engine_tree(fs->engine);
	struct dentry *d = NULL;
	struct view view;
	struct node *dir;
	uint64_t ino = 0;
	int r = 0;

	if (!view_slots_get(fs->views, node_id_view_slot(parent), &view) || !view.above_ino)
		return -EROFS;
	engine_lock(fs->engine);
	dir = tree_node(tree, node_id_view_ino(parent));
	if (dir)
		d = tree_lookup(tree, dir, name, strlen(name), view.seq);
	if (d)
		ino = d->node->ino;
	if (d && S_ISDIR(d->node->newest->attrs->mode) != by_rmdir)
		r = by_rmdir ? -ENOTDIR : -EISDIR;
	engine_unlock(fs->engine);
	if (!ino)
		return -ENOENT;
	if (r == 0 && by_rmdir)
		r = hide_view_dir(req, &view, node_id_view(node_id_view_slot(parent), ino));
	return r < 0 ? r : hide(req, view.above_ino, HIDDEN_VIEWS);
}

/* --- virtual entries -------------------------------------------------------------------- */

/* Returns 1 when there is no such virtual entry. */
static int hide_virtual(fuse_req_t req, uint64_t parent, const char *name, bool by_rmdir)
{
	struct fs *fs = fs_of(req);
	const struct vnode *v = entry_virtual_child(fs, parent, name, NULL);
	struct view view;
	char session[129];
	uint64_t root;
	bool dir;
	int r = 0;

	if (!v)
		return node_id_is_live(parent) ? 1 : -EROFS;
	if (!layout_session_of(v->path, session))
		return -EROFS;
	dir = v->row->kind == VFILE_DIR || v->row->kind == VFILE_VIEW;
	if (dir != by_rmdir)
		return dir ? -EISDIR : -ENOTDIR;
	if (v->row->kind == VFILE_DIR) {
		r = hidden_renew(fs->hidden, v->id, 0);
	} else if (v->row->kind == VFILE_VIEW) {
		root = entry_view_root(fs, v);
		if (!root || !view_slots_get(fs->views, node_id_view_slot(root), &view))
			return -ENOENT;
		r = hide_view_dir(req, &view, root);
	}
	return r < 0 ? r : hide(req, parent, name);
}

/* --- real entries ----------------------------------------------------------------------- */

/* What a name in a live directory stands for. */
struct target {
	uint64_t ino; /* 0: nothing */
	bool is_dir;
	uint32_t above, place; /* layout_flags of the directory and of the entry */
	struct buf path;       /* owned */
};

static int target_find(struct fs *fs, uint64_t parent, const char *name, struct target *ret)
{
	struct tree *tree = engine_tree(fs->engine);
	struct dentry *d = NULL;
	struct node *dir;
	uint64_t seq;

	*ret = (struct target){0};
	engine_lock(fs->engine);
	seq = engine_live_seq(fs->engine);
	dir = tree_node(tree, parent);
	if (dir && tree_path_at(tree, dir, seq, &ret->path) == 0)
		d = tree_lookup(tree, dir, name, strlen(name), seq);
	if (d) {
		ret->ino = d->node->ino;
		ret->is_dir = S_ISDIR(d->node->newest->attrs->mode);
	}
	engine_unlock(fs->engine);
	if (d && ret->path.len)
		ret->above = layout_flags_of(ret->path.data);
	buf_printf(&ret->path, "%s%s", ret->path.len ? "/" : "", name);
	if (d && !ret->path.error)
		ret->place = layout_flags_of(ret->path.data);
	return ret->path.error;
}

/* The directory of the session that a path is in; 0: in none. */
static uint64_t session_ino(struct fs *fs, const char *path)
{
	char session[129], session_path[160];
	struct node *n = NULL;

	if (!layout_session_of(path, session))
		return 0;
	(void)snprintf(session_path, sizeof(session_path), "state/sessions/%s", session);
	engine_lock(fs->engine);
	n = tree_resolve(engine_tree(fs->engine), session_path, engine_live_seq(fs->engine));
	engine_unlock(fs->engine);
	return n ? n->ino : 0;
}

/* Is nothing in a directory of the skeleton, at @path, but parts of the session that the process has removed already? Engine lock held. */
static bool seems_empty(struct fs *fs, const struct hidden_process *p, const struct node *dir, struct buf *path, int64_t now_ns)
{
	bool sealed = layout_flags_of(path->data) & LAYOUT_SEALED, empty = true;
	size_t len = path->len;

	for (const struct dentry *d = dir->dir->first; empty && d; d = d->next) {
		bool is_dir = S_ISDIR(d->node->newest->attrs->mode);

		buf_printf(path, "/%s", d->name->text);
		if (path->error)
			return false;
		if (p->tgid)
			empty = hidden_from(fs->hidden, p, dir->ino, d->name->text, now_ns);
		else
			empty = is_dir ? layout_flags_of(path->data) & LAYOUT_SKELETON : sealed;
		if (empty && is_dir)
			empty = seems_empty(fs, p, d->node, path, now_ns);
		path->len = len;
		path->data[len] = '\0';
	}
	return empty;
}

static int hide_skeleton(fuse_req_t req, uint64_t parent, const char *name, struct target *t)
{
	struct fs *fs = fs_of(req);
	int64_t now_ns = env_monotonic_ns(engine_env(fs->engine));
	struct hidden_process p;
	struct node *dir;
	bool empty;
	int r;

	entry_caller(fs, (uint32_t)fuse_req_ctx(req)->pid, &p);
	engine_lock(fs->engine);
	dir = tree_node(engine_tree(fs->engine), t->ino);
	empty = dir && seems_empty(fs, &p, dir, &t->path, now_ns);
	engine_unlock(fs->engine);
	if (!empty)
		return t->path.error ? t->path.error : -ENOTEMPTY;
	r = hidden_renew(fs->hidden, t->ino, session_ino(fs, t->path.data));
	return r < 0 ? r : hide(req, parent, name);
}

static int unlink_live(fuse_req_t req, struct request *q, uint64_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct target t;
	int r = target_find(fs, parent, name, &t);
	bool kept = r == 0 && t.ino && !t.is_dir && t.above & LAYOUT_SEALED && session_ino(fs, t.path.data);

	buf_release(&t.path);
	if (r == 0)
		r = kept ? hide(req, parent, name) : engine_unlink(fs->engine, q, parent, name);
	if (r == 0 && kept && t.above & LAYOUT_NAMED)
		r = hide(req, parent, HIDDEN_VIEWS);
	return r;
}

static int rmdir_live(fuse_req_t req, struct request *q, uint64_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct target t;
	int r = target_find(fs, parent, name, &t);

	if (r == 0 && t.is_dir && t.place & LAYOUT_SKELETON) {
		r = hide_skeleton(req, parent, name, &t);
	} else if (r == 0) {
		r = engine_rmdir(fs->engine, q, parent, name);
		if (r == 0 && t.place & (LAYOUT_SESSION | LAYOUT_NAMED))
			hidden_forget(fs->hidden, t.ino);
	}
	buf_release(&t.path);
	return r;
}

/* --- operations ------------------------------------------------------------------------- */

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct request q;
	int r;

	fs_order_wait(fs, req);
	fs_request_init(req, &q);
	r = node_id_is_view(parent) ? hide_in_view(req, parent, name, false) : hide_virtual(req, parent, name, false);
	if (r == 1)
		r = unlink_live(req, &q, parent, name);
	answer(req, "unlink", name, &q, r);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct request q;
	int r;

	fs_order_wait(fs, req);
	fs_request_init(req, &q);
	r = node_id_is_view(parent) ? hide_in_view(req, parent, name, true) : hide_virtual(req, parent, name, true);
	if (r == 1)
		r = rmdir_live(req, &q, parent, name);
	answer(req, "rmdir", name, &q, r);
}
