/* SPDX-License-Identifier: MIT
 *
 * MKDIR, MKNOD, SYMLINK, LINK, RENAME: one transaction each, answered when acknowledged. (UNLINK and RMDIR are op_remove.c.)
 *
 * Virtual names are reserved: nothing is made or replaced over them. Everything else is
 * the engine's to judge; why it refused is logged.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "entry.h"
#include "layout.h"
#include "node_id.h"
#include "ops.h"
#include "publish.h"
#include "reply.h"
#include "session.h"
#include "vfile_transactions.h"

/* What every request that makes an entry begins with: 0, or why there may be none of that name. */
static int begin_made(fuse_req_t req, uint64_t parent, const char *name, struct request *q)
{
	fs_order_wait(fs_of(req), req);
	fs_request_init(req, q);
	return entry_check_change(fs_of(req), parent, name, -EEXIST);
}

/* Answer a request that made an entry, or did not. */
static void answer_made(fuse_req_t req, const char *operation, const char *name, struct request *q, int r, const struct tree_attr *attr)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param e;

	if (r < 0) {
		log_refusal(operation, name, q, r);
		reply_error_after(fs, req, q->seq, JOURNAL_ACKNOWLEDGED, r);
		return;
	}
	entry_fill_live(fs, (uint32_t)fuse_req_ctx(req)->pid, attr, &e);
	reply_entry_after(fs, req, q->seq, &e);
}

static void answer_done(fuse_req_t req, const char *operation, const char *name, struct request *q, int r)
{
	if (r < 0)
		log_refusal(operation, name, q, r);
	reply_error_after(fs_of(req), req, q->seq, JOURNAL_ACKNOWLEDGED, r);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct fs *fs = fs_of(req);
	struct tree_attr attr;
	struct request q;
	int r = begin_made(req, parent, name, &q);

	if (r == 0)
		r = engine_mknod(fs->engine, &q, parent, name, mode, rdev, &attr);
	answer_made(req, "mknod", name, &q, r, &attr);
}

/* To the process that removed it a directory that stays is made anew by showing it again. 0, or -EEXIST. */
static int show_again(fuse_req_t req, uint64_t parent, const char *name, struct tree_attr *ret)
{
	struct fs *fs = fs_of(req);
	struct hidden_process p;
	struct dentry *d = NULL;
	struct node *dir;
	int r = -EEXIST;

	if (!hidden_any(fs->hidden))
		return -EEXIST;
	entry_caller(fs, (uint32_t)fuse_req_ctx(req)->pid, &p);
	if (!hidden_remove(fs->hidden, &p, parent, name, env_monotonic_ns(engine_env(fs->engine))))
		return -EEXIST;
	engine_lock(fs->engine);
	dir = tree_node(engine_tree(fs->engine), parent);
	if (dir)
		d = tree_lookup(engine_tree(fs->engine), dir, name, strlen(name), engine_live_seq(fs->engine));
	if (d && S_ISDIR(d->node->newest->attrs->mode))
		r = tree_attr_at(engine_tree(fs->engine), d->node, engine_live_seq(fs->engine), INT64_MAX, ret);
	engine_unlock(fs->engine);
	return r;
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fs *fs = fs_of(req);
	struct tree_attr attr;
	struct request q;
	int r = begin_made(req, parent, name, &q);

	if (r == 0)
		r = engine_mkdir(fs->engine, &q, parent, name, mode, &attr);
	if (r == -EEXIST)
		r = show_again(req, parent, name, &attr);
	answer_made(req, "mkdir", name, &q, r, &attr);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct tree_attr attr;
	struct request q;
	int r = begin_made(req, parent, name, &q);

	if (r == 0)
		r = engine_symlink(fs->engine, &q, parent, name, target, &attr);
	answer_made(req, "symlink", name, &q, r, &attr);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	struct fs *fs = fs_of(req);
	struct tree_attr attr;
	struct request q;
	int r = begin_made(req, new_parent, new_name, &q);

	if (!node_id_is_live(ino))
		r = -EROFS;
	if (r == 0)
		r = engine_link(fs->engine, &q, ino, new_parent, new_name, &attr);
	answer_made(req, "link", new_name, &q, r, &attr);
}

/* --- drafts that a dead daemon left: mv pending/ID.draft to committed/ or rollbacks/ ------------------------------- */

/* The draft that a virtual entry of transactions/pending stands for; 0 none. */
static uint64_t pending_draft(struct fs *fs, uint64_t parent, const char *name)
{
	const struct vnode *v = entry_virtual_child(fs, parent, name, NULL);
	uint64_t id;

	if (!v || strncmp(v->path, "transactions/pending/", strlen("transactions/pending/")))
		return 0;
	id = tx_name_number(name, ".yaml", true);
	return id ? id : tx_name_number(name, ".draft", true);
}

/* Returns 1 when the rename is none of these. */
static int rename_pending(struct fs *fs, struct request *q, uint64_t parent, const char *name, uint64_t new_parent)
{
	uint64_t id = node_id_is_live(parent) && node_id_is_live(new_parent) ? pending_draft(fs, parent, name) : 0;
	cleanup_buf struct buf to = BUF_INIT;

	if (!id || entry_live_path(fs, new_parent, &to) < 0 || !to.data)
		return 1;
	if (!strcmp(to.data, "transactions/committed"))
		return draft_publish_recovered(fs->engine, id, q);
	if (!strcmp(to.data, "transactions/rollbacks"))
		return draft_discard_recovered(fs->engine, id, q);
	return 1;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name, unsigned int flags)
{
	struct fs *fs = fs_of(req);
	struct request q;
	int r;

	fs_order_wait(fs, req);
	fs_request_init(req, &q);
	r = rename_pending(fs, &q, parent, name, new_parent);
	if (r == 1) {
		r = entry_check_change(fs, parent, name, -EROFS);
		if (r == 0)
			r = entry_check_change(fs, new_parent, new_name, -EROFS);
		if (r == 0)
			r = engine_rename(fs->engine, &q, parent, name, new_parent, new_name, flags);
	}
	answer_done(req, "rename", name, &q, r);
}
