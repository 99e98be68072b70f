/* SPDX-License-Identifier: MIT
 *
 * OPEN and CREATE: which kind of handle and draft (file_kind.h says).
 *
 * Every handle is direct I/O, so that the page cache never shows what is not
 * published; read-only ones need no FLUSH, which costs each opening a round trip, and ask /proc nothing. But POSIX locks end with any close() of their process,
 * and only FLUSH tells of that (the kernel sends no unlocking for remote locks): so a file that was ever locked so has it from the next opening on. Locks
 * taken through a handle without it go with RELEASE.
 *
 * A created file is a newborn: visible at once, journaled with its first commit, at close at the latest. One that its opener
 * can't write (O_RDONLY | O_CREAT, as flock(1) does) is journaled before the answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "entry.h"
#include "file_kind.h"
#include "handle.h"
#include "inval.h"
#include "node_id.h"
#include "ops.h"
#include "publish.h"
#include "registry.h"
#include "reply.h"
#include "session.h"
#include "setid.h"

#define CREATED_ATTR_TIMEOUT_S 0.001

static bool for_writing(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static void answer(struct fs *fs, struct handle *h, struct fuse_file_info *fi)
{
	fi->fh = (uintptr_t)h;
	fi->direct_io = 1;
	fi->noflush = h->kind != HANDLE_WRITE && !h->is_lock && !(h->kind == HANDLE_READ && handles_locked(fs->handles, h->node_id));
}

/* The opener is gone (interrupted): nobody will release the handle. */
static void undo(struct fs *fs, struct handle *h)
{
	uint64_t seq;

	if (h->kind == HANDLE_WRITE)
		(void)handles_leave(fs->handles, h, false);
	pthread_mutex_lock(&h->lock);
	if (h->draft) {
		if (h->created)
			(void)handle_publish(fs, h, 0, &seq); /* the name is there; keep it */
		draft_close(h->draft);
		h->draft = NULL;
	}
	pthread_mutex_unlock(&h->lock);
	if (handle_registers(h))
		handles_remove(fs, h);
	handle_unref(fs, h);
}

/*
 * A newborn that vanished with its killed writer: the kernel came by it through a name that has gone meanwhile, and must look again, or
 * what is saved goes where nobody finds it. With a handle open, the inode itself may be meant (/proc/self/fd). A file that was
 * replaced between lookup and open is not stale: the kernel looks again once only, and a busy rename would make saves fail.
 */
static bool stale(struct fs *fs, uint64_t ino, bool vanished)
{
	return vanished && !handles_open(fs->handles, ino);
}

/* A removed version may still be read, as after any race with a rename; not a newborn that never was. */
static int file_state(struct fs *fs, uint64_t ino, bool *ret_gone)
{
	struct node *node;
	int r = -ENOENT;

	engine_lock(fs->engine);
	node = tree_node(engine_tree(fs->engine), ino);
	if (node && tree_version_at(node, engine_live_seq(fs->engine))) {
		*ret_gone = node->flags & NODE_NEWBORN && !node->nlink;
		r = 0;
	}
	engine_unlock(fs->engine);
	return r;
}

static int open_read(struct fs *fs, uint64_t ino, int flags, uint32_t tid, struct handle **ret)
{
	struct handle *h;
	bool gone;
	int r;

	r = file_state(fs, ino, &gone);
	if (r < 0 || stale(fs, ino, gone))
		return r < 0 ? r : -ESTALE;
	h = handle_new(HANDLE_READ, ino, flags, tid);
	if (!h)
		return -ENOMEM;
	handles_add(fs->handles, h);
	*ret = h;
	return 0;
}

static int open_write(struct fs *fs, uint64_t ino, int flags, bool created, const struct request *q, struct handle **ret)
{
	enum draft_kind kind;
	struct file_kind k;
	struct handle *h;
	int r;

	r = file_kind_get(fs, ino, &k);
	if (r < 0)
		return r;
	if (stale(fs, ino, k.newborn && k.nameless))
		return -ESTALE;
	h = handle_new(HANDLE_WRITE, ino, flags, q->actor.pid);
	if (!h)
		return -ENOMEM;
	kind = file_kind_draft(&k, flags, created);
	h->opener_tgid = q->actor.pid;
	h->actor = q->actor;
	h->rule = k.rule;
	h->created = created;
	atomic_store(&h->newborn, k.newborn);
	h->streams = file_kind_streams(&k, kind);
	atomic_store(&h->unsettled, created || kind == DRAFT_WHOLE);
	r = draft_open(fs->engine, ino, kind, &q->actor, &h->draft);
	if (r < 0) {
		h->draft = NULL;
		handle_unref(fs, h);
		return r;
	}
	if (flags & O_APPEND)
		draft_set_append(h->draft); /* with O_TRUNC it begins as a whole file */
	handles_add(fs->handles, h);
	*ret = h;
	return 0;
}

static int open_view(struct fs *fs, uint64_t node_id, int flags, uint32_t tid, struct handle **ret)
{
	const struct version *v;
	struct node *node;
	struct handle *h;

	if (for_writing(flags))
		return -EROFS;
	engine_lock(fs->engine);
	v = entry_version(fs, node_id, &node);
	engine_unlock(fs->engine);
	if (!v)
		return -ENOENT;
	h = handle_new(HANDLE_VIEW, node_id, flags, tid);
	if (!h)
		return -ENOMEM;
	h->snapshot = v;
	*ret = h;
	return 0;
}

static int open_virtual(struct fs *fs, uint64_t node_id, int flags, uint32_t tid, struct handle **ret)
{
	const struct vnode *v = vnode_get(fs, node_id);
	struct handle *h;
	int r = 0;

	if (!v)
		return -ENOENT;
	if (for_writing(flags) && !v->row->write)
		return -EROFS;
	h = handle_new(HANDLE_VIRTUAL, node_id, flags, tid);
	if (!h)
		return -ENOMEM;
	h->vnode = v;
	if (v->row->kind == VFILE_TEXT && v->row->render && (flags & O_ACCMODE) != O_WRONLY)
		r = vnode_render(fs, v, &h->text);
	if (v->row->begin)
		r = v->row->begin(fs, v, &h->subject);
	if (r == 0 && h->text.error)
		r = h->text.error;
	if (r < 0) {
		handle_unref(fs, h);
		return r;
	}
	handles_add(fs->handles, h);
	*ret = h;
	return 0;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	uint32_t tid = (uint32_t)fuse_req_ctx(req)->pid;
	struct fs *fs = fs_of(req);
	struct handle *h;
	struct request q;
	int r;

	fs_order_wait(fs, req);
	if (node_id_is_virtual(ino)) {
		r = open_virtual(fs, ino, fi->flags, tid, &h);
	} else if (node_id_is_view(ino)) {
		r = open_view(fs, ino, fi->flags, tid, &h);
	} else if (!for_writing(fi->flags)) {
		r = open_read(fs, ino, fi->flags, tid, &h);
	} else {
		fs_request_init(req, &q);
		r = open_write(fs, ino, fi->flags, false, &q, &h);
		if (r == 0 && fs_session_request()->kills_setid && setid_remove(fs, &q, ino) > 0)
			fs_inval_attr(fs, ino); /* the kernel expects no new mode from an open */
	}
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	answer(fs, h, fi);
	if (fuse_reply_open(req, fi) == -ENOENT)
		undo(fs, h);
}

/* Somebody else made the name between the kernel's lookup and now. */
static int open_existing(struct fs *fs, uint64_t parent, const char *name, int flags, const struct request *q, struct tree_attr *ret_attr, struct handle **ret)
{
	struct dentry *d = NULL;
	struct node *dir;
	int r = -ENOENT;

	engine_lock(fs->engine);
	dir = tree_node(engine_tree(fs->engine), parent);
	if (dir)
		d = tree_lookup(engine_tree(fs->engine), dir, name, strlen(name), engine_live_seq(fs->engine));
	if (d)
		r = tree_attr_at(engine_tree(fs->engine), d->node, engine_live_seq(fs->engine), INT64_MAX, ret_attr);
	engine_unlock(fs->engine);
	if (r < 0)
		return r;
	if (!S_ISREG(ret_attr->mode))
		return -ESTALE; /* the kernel looks it up again */
	return for_writing(flags) ? open_write(fs, ret_attr->ino, flags, false, q, ret) : open_read(fs, ret_attr->ino, flags, q->actor.pid, ret);
}

static bool takes_lock(struct fs *fs, uint64_t parent, int flags)
{
	bool takes = false;

	if (flags & O_EXCL) {
		engine_lock(fs->engine);
		takes = registry_place_of(fs->engine, parent, NULL) == PLACE_LOCKS;
		engine_unlock(fs->engine);
	}
	return takes;
}

static int create_new(
	struct fs *fs, uint64_t parent, const char *name, mode_t mode, int flags, struct request *q, struct tree_attr *ret_attr, struct handle **ret)
{
	int r;

	if (!for_writing(flags)) {
		r = engine_mknod(fs->engine, q, parent, name, S_IFREG | (mode & 07777), 0, ret_attr);
		if (r == 0)
			r = engine_wait(fs->engine, q->seq, JOURNAL_ACKNOWLEDGED);
		return r < 0 ? r : open_read(fs, ret_attr->ino, flags, q->actor.pid, ret);
	}
	r = engine_create(fs->engine, q, parent, name, S_IFREG | (mode & 07777), ret_attr);
	if (r < 0)
		return r;
	r = open_write(fs, ret_attr->ino, flags, true, q, ret);
	if (r == 0) {
		(*ret)->created_parent = parent;
		(*ret)->created_name = strdup(name); /* without memory a refused save shows late that the old version is back */
	} else
		(void)engine_unlink(fs->engine, q, parent, name); /* without memory for a handle there is no file */
	return r;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param e;
	struct tree_attr attr;
	struct handle *h = NULL;
	struct request q;
	int r;

	fs_order_wait(fs, req);
	fs_request_init(req, &q);
	r = entry_check_change(fs, parent, name, fi->flags & O_EXCL ? -EEXIST : -EROFS);
	if (r == 0)
		r = create_new(fs, parent, name, mode, fi->flags, &q, &attr, &h);
	if (r == -EEXIST && !(fi->flags & O_EXCL))
		r = open_existing(fs, parent, name, fi->flags, &q, &attr, &h);
	if (r < 0) {
		log_refusal("create", name, &q, r);
		reply_error(req, r);
		return;
	}
	entry_fill_live(fs, (uint32_t)fuse_req_ctx(req)->pid, &attr, &e);
	/* Nobody has written yet, and a write makes the kernel forget: this saves the question it asks for opening what it made. */
	if (h->created && !e.attr_timeout)
		e.attr_timeout = CREATED_ATTR_TIMEOUT_S;
	if (h->created || !for_writing(fi->flags)) {
		h->is_lock = takes_lock(fs, parent, fi->flags);
		h->opener_tgid = q.actor.pid;
	}
	answer(fs, h, fi);
	if (fuse_reply_create(req, &e, fi) == -ENOENT)
		undo(fs, h);
}
