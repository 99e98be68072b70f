/* SPDX-License-Identifier: MIT
 *
 * LOOKUP, READLINK, STATFS, FORGET.
 *
 * In a live directory virtual names win: they are reserved. A missing name is cached by the kernel too, where no virtual entry
 * can appear; a name that is hidden from some process (hidden.h) is not cached at all. Nodes are never freed, so FORGET does nothing.
 */
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "entry.h"
#include "log.h"
#include "node_id.h"
#include "ops.h"
#include "reply.h"
#include "session.h"

static void lookup_view(fuse_req_t req, uint64_t parent, const char *name)
{
	struct fuse_entry_param e = {.entry_timeout = ENTRY_TIMEOUT_S, .attr_timeout = ATTR_TIMEOUT_S};
	struct fs *fs = fs_of(req);
	struct dentry *d = NULL;
	struct tree_attr a;
	struct node *dir;
	uint64_t seq, ino;
	int r = -ENOENT;

	if (!entry_view(fs, parent, &seq, &ino)) {
		reply_error(req, -ENOENT);
		return;
	}
	engine_lock(fs->engine);
	dir = tree_node(engine_tree(fs->engine), ino);
	if (dir)
		d = tree_lookup(engine_tree(fs->engine), dir, name, strlen(name), seq);
	if (d)
		r = tree_attr_at(engine_tree(fs->engine), d->node, seq, engine_seq_time(fs->engine, seq), &a);
	engine_unlock(fs->engine);
	if (r == 0) {
		e.ino = node_id_view(node_id_view_slot(parent), a.ino);
		entry_stat_fill(&a, e.ino, &e.attr);
	}
	(void)fuse_reply_entry(req, &e); /* without one: never to come into being, so the kernel may remember that */
}

static void lookup_live(fuse_req_t req, uint64_t parent, const char *name, bool reserved, bool cached)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param e = {.entry_timeout = ENTRY_TIMEOUT_S};
	struct dentry *d = NULL;
	struct tree_attr a;
	struct node *dir;
	int r = -ENOENT;

	engine_lock(fs->engine);
	dir = tree_node(engine_tree(fs->engine), parent);
	if (dir)
		d = tree_lookup(engine_tree(fs->engine), dir, name, strlen(name), engine_live_seq(fs->engine));
	if (d)
		r = tree_attr_at(engine_tree(fs->engine), d->node, engine_live_seq(fs->engine), INT64_MAX, &a);
	engine_unlock(fs->engine);
	if (r == 0)
		entry_fill_live(fs, (uint32_t)fuse_req_ctx(req)->pid, &a, &e);
	else if (reserved || !dir) {
		reply_error(req, -ENOENT);
		return;
	}
	if (!cached || (r < 0 && entry_kept_by_us(fs, parent)))
		e.entry_timeout = 0;
	(void)fuse_reply_entry(req, &e);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param e;
	enum entry_hidden hidden;
	const struct vnode *v;
	bool reserved;

	fs_order_wait(fs, req);
	if (strlen(name) > TREE_NAME_MAX) {
		reply_error(req, -ENAMETOOLONG);
		return;
	}
	if (node_id_is_view(parent)) {
		lookup_view(req, parent, name);
		return;
	}
	hidden = entry_hidden(fs, (uint32_t)fuse_req_ctx(req)->pid, parent, name);
	if (hidden == ENTRY_HIDDEN) {
		reply_error(req, -ENOENT);
		return;
	}
	v = entry_virtual_child(fs, parent, name, &reserved);
	if (v) {
		entry_fill_virtual(fs, v, &e);
		if (hidden != ENTRY_SHOWN)
			e.entry_timeout = 0;
		(void)fuse_reply_entry(req, &e);
	} else if (node_id_is_virtual(parent)) {
		reply_error(req, -ENOENT);
	} else {
		lookup_live(req, parent, name, reserved, hidden == ENTRY_SHOWN);
	}
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	(void)ino, (void)count;
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	(void)count, (void)forgets;
	fuse_reply_none(req);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct fs *fs = fs_of(req);
	const char *target = NULL;
	struct node *node;
	int r = -EINVAL;

	fs_order_wait(fs, req);
	if (node_id_is_virtual(ino)) {
		const struct vnode *v = vnode_get(fs, ino);

		r = v ? vnode_render(fs, v, &text) : -ENOENT;
		if (r == 0)
			target = text.data ? text.data : "";
	} else {
		const struct version *v;

		engine_lock(fs->engine);
		v = entry_version(fs, ino, &node);
		if (v && S_ISLNK(v->attrs->mode))
			target = node->symlink; /* immutable, and kept as long as the tree */
		engine_unlock(fs->engine);
	}
	if (target)
		(void)fuse_reply_readlink(req, target);
	else
		reply_error(req, r);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = fs_of(req);
	struct tree_stats tree;
	struct env_space space;
	struct statvfs st;
	int r;

	(void)ino;
	r = env_space(engine_env(fs->engine), &space);
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	engine_lock(fs->engine);
	tree_get_stats(engine_tree(fs->engine), &tree);
	engine_unlock(fs->engine);
	st = (struct statvfs){
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_blocks = space.total_bytes / 4096,
		.f_bfree = space.free_bytes / 4096,
		.f_bavail = space.free_bytes / 4096,
		.f_files = tree.live_files + tree.live_dirs + space.files_free,
		.f_ffree = space.files_free,
		.f_favail = space.files_free,
		.f_namemax = TREE_NAME_MAX,
	};
	(void)fuse_reply_statfs(req, &st);
}
