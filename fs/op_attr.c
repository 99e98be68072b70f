/* SPDX-License-Identifier: MIT
 *
 * GETATTR and SETATTR. fstat() carries no handle, so whose draft is meant goes by the process (entry.h).
 *
 * ftruncate changes the handle's draft; truncate by path is a transaction at once, unless the same process has a private draft of the file,
 * which it then means. Set-id bits: setid.h.
 */
#include <errno.h>

#include "entry.h"
#include "file_kind.h"
#include "handle.h"
#include "node_id.h"
#include "ops.h"
#include "publish.h"
#include "reply.h"
#include "session.h"
#include "setid.h"
#include "upkeep.h"

#define ABOUT_NOW_NS (2 * NS_PER_S)

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	double timeout_s;
	struct stat st;
	int r;

	(void)fi;
	fs_order_wait(fs, req);
	r = entry_stat(fs, ino, (uint32_t)fuse_req_ctx(req)->pid, &st, &timeout_s);
	if (r < 0)
		reply_error(req, r);
	else
		(void)fuse_reply_attr(req, &st, timeout_s);
}

static int truncate_handle(struct fs *fs, struct handle *h, const struct fuse_ctx *ctx, uint64_t size)
{
	const struct version *v = size ? NULL : handle_live_version(fs, h->node_id);
	struct actor actor;
	int r;

	handle_begin_change(fs, h, ctx, &actor);
	pthread_mutex_lock(&h->lock); /* so that no commit comes between the mark and what it is about */
	/* Emptying a file that is not begins a save, as O_TRUNC does: autocommit must not publish the empty file. */
	if (v && v->size && draft_kind_of(h->draft) != DRAFT_APPEND)
		atomic_store(&h->held, true);
	r = draft_truncate(h->draft, &actor, size);
	pthread_mutex_unlock(&h->lock);
	handle_end_change(fs, h);
	return r;
}

/* A private dirty draft of the calling process on the inode: truncate(2) means it. -ENOENT: there is none. */
static int truncate_own_draft(fuse_req_t req, uint64_t ino, uint64_t size)
{
	struct fs *fs = fs_of(req);
	struct handle *h = handles_own_draft(fs, ino, (uint32_t)fuse_req_ctx(req)->pid);
	int r = -ENOENT;

	if (!h)
		return r;
	pthread_mutex_lock(&h->lock);
	if (h->draft) {
		struct actor actor = h->actor;

		atomic_store(&h->written, true);
		r = draft_truncate(h->draft, &actor, size);
		handle_end_change(fs, h); /* commits of a handle's draft have its lock, or leave it clean */
	}
	pthread_mutex_unlock(&h->lock);
	handle_unref(fs, h);
	return r;
}

static int truncate_path(fuse_req_t req, uint64_t ino, uint64_t size, uint64_t *ret_seq)
{
	struct fs *fs = fs_of(req);
	struct file_kind kind;
	struct request q;
	struct draft *d;
	int r;

	r = truncate_own_draft(req, ino, size);
	if (r != -ENOENT)
		return r;
	r = file_kind_get(fs, ino, &kind);
	if (r < 0)
		return r;
	fs_request_init(req, &q);
	r = draft_open(fs->engine, ino, file_kind_truncate(&kind, size), &q.actor, &d);
	if (r < 0)
		return r;
	r = draft_truncate(d, &q.actor, size);
	if (r == 0)
		r = draft_commit(d, &q, 0);
	draft_close(d);
	*ret_seq = q.seq;
	if (r < 0)
		log_refusal("truncation of inode", "", &q, r);
	return r;
}

static int set_size(fuse_req_t req, uint64_t ino, struct handle *h, uint64_t size, uint64_t *ret_seq)
{
	struct fs *fs = fs_of(req);

	if (node_id_is_virtual(ino)) { /* `echo x > control`: emptying what is empty */
		const struct vnode *v = vnode_get(fs, ino);

		return v && v->row->write ? 0 : -EROFS;
	}
	if (!node_id_is_live(ino))
		return -EROFS;
	if (h && h->kind == HANDLE_WRITE)
		return truncate_handle(fs, h, fuse_req_ctx(req), size);
	return truncate_path(req, ino, size, ret_seq);
}

static int64_t time_given(const struct timespec *t)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)t->tv_sec, NS_PER_S, &ns) || __builtin_add_overflow(ns, t->tv_nsec, &ns))
		return t->tv_sec < 0 ? -INT64_MAX : INT64_MAX; /* the nearest there is: years 1677 and 2262 */
	return ns;
}

static int set_attrs(fuse_req_t req, uint64_t ino, const struct stat *st, int to_set, uint64_t *ret_seq)
{
	struct change c = {.type = CHANGE_ATTR, .ino = ino, .mode = st->st_mode & 07777, .uid = st->st_uid, .gid = st->st_gid};
	struct fs *fs = fs_of(req);
	struct tree_attr attr;
	struct request q;
	int64_t now_ns;
	int r;

	r = entry_check_alter(fs, ino);
	if (r < 0)
		return r;
	now_ns = env_time_ns(engine_env(fs->engine));
	c.attr_mask = (to_set & FUSE_SET_ATTR_MODE ? ATTR_MODE : 0) | (to_set & FUSE_SET_ATTR_UID ? ATTR_UID : 0) |
		      (to_set & FUSE_SET_ATTR_GID ? ATTR_GID : 0) | (to_set & FUSE_SET_ATTR_ATIME ? ATTR_ATIME : 0) |
		      (to_set & FUSE_SET_ATTR_MTIME ? ATTR_MTIME : 0);
	c.atime_ns = to_set & FUSE_SET_ATTR_ATIME_NOW ? now_ns : time_given(&st->st_atim);
	c.mtime_ns = to_set & FUSE_SET_ATTR_MTIME_NOW ? now_ns : time_given(&st->st_mtim);
	fs_request_init(req, &q);
	/* As long as nobody sets it, the time of reading shows that of the last change; setting the latter alone leaves it. */
	if ((c.attr_mask & (ATTR_ATIME | ATTR_MTIME)) == ATTR_MTIME && entry_live_attr(fs, ino, &attr) == 0) {
		c.attr_mask |= ATTR_ATIME;
		c.atime_ns = attr.atime_ns;
	}
	if (!(to_set & FUSE_SET_ATTR_MODE) && (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) && entry_live_attr(fs, ino, &attr) == 0 &&
		setid_mode(attr.mode) != attr.mode) {
		c.attr_mask |= ATTR_MODE;
		c.mode = setid_mode(attr.mode) & 07777;
	}
	r = engine_setattr(fs->engine, &q, ino, &c, &attr);
	if (r < 0)
		log_refusal("change of attributes of inode", "", &q, r);
	else
		*ret_seq = q.seq;
	return r;
}

/* What says "now" by a time of its own, as Go and Node do, which know no other way. */
static bool is_about_now(struct fs *fs, const struct timespec *t)
{
	int64_t age_ns;

	return !__builtin_sub_overflow(env_time_ns(engine_env(fs->engine)), time_given(t), &age_ns) && age_ns > -ABOUT_NOW_NS && age_ns < ABOUT_NOW_NS;
}

/* `touch` of an agent's file is a sign of life. True: it is that alone, and no transaction. */
static bool is_heartbeat(struct fs *fs, uint64_t ino, const struct stat *st, int to_set)
{
	const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW;
	bool atime_given = to_set & FUSE_SET_ATTR_ATIME && !(to_set & FUSE_SET_ATTR_ATIME_NOW);
	bool alone = to_set & FUSE_SET_ATTR_MTIME_NOW && !atime_given && !(to_set & ~(times | FUSE_SET_ATTR_CTIME));

	if (!(to_set & FUSE_SET_ATTR_MTIME) || !node_id_is_live(ino) || !upkeep_may_be_agent(fs->engine, ino))
		return false;
	if (!(to_set & FUSE_SET_ATTR_MTIME_NOW) && !is_about_now(fs, &st->st_mtim))
		return false;
	return upkeep_heartbeat(fs->engine, ino) && alone;
}

static int kill_setid(fuse_req_t req, uint64_t ino)
{
	struct request q;
	int r;

	fs_request_init(req, &q);
	r = setid_remove(fs_of(req), &q, ino);
	return r < 0 ? r : 0;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi)
{
	const int attrs = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME;
	struct fs *fs = fs_of(req);
	uint64_t seq = 0, attr_seq = 0;
	double timeout_s = 0;
	struct stat now;
	int r = 0;

	fs_order_wait(fs, req);
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		to_set |= FUSE_SET_ATTR_ATIME;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		to_set |= FUSE_SET_ATTR_MTIME;
	if (to_set & FUSE_SET_ATTR_SIZE) {
		r = st->st_size < 0 ? -EINVAL : set_size(req, ino, handle_of(fi), (uint64_t)st->st_size, &seq);
		if (to_set & FUSE_SET_ATTR_MTIME_NOW)
			to_set &= ~(FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW); /* the truncation does that itself */
	}
	if (r == 0 && (to_set & attrs) && !is_heartbeat(fs, ino, st, to_set))
		r = set_attrs(req, ino, st, to_set, &attr_seq);
	/* A SETATTR of nothing is sent for this alone. */
	if (r == 0 && node_id_is_live(ino) && (fs_session_request()->kills_setid || !(to_set & (attrs | FUSE_SET_ATTR_SIZE))))
		r = kill_setid(req, ino);
	if (r == 0)
		r = entry_stat(fs, ino, (uint32_t)fuse_req_ctx(req)->pid, &now, &timeout_s);
	if (r < 0)
		reply_error_after(fs, req, MAX(seq, attr_seq), JOURNAL_ACKNOWLEDGED, r);
	else
		reply_attr_after(fs, req, MAX(seq, attr_seq), &now, timeout_s);
}
