/* SPDX-License-Identifier: MIT
 *
 * READ, WRITE, FALLOCATE, LSEEK, COPY_FILE_RANGE, IOCTL. What a handle shows and where its writes go is handle.c.
 *
 * Bytes are copied once: between the request's buffer and the store. The kernel's page cache (mappings)
 * reads without a lock owner, read(2) with one; so the two are told apart. Written-back pages (fi->writepage) come through any handle
 * of the inode and carry no process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "entry.h"
#include "handle.h"
#include "inval.h"
#include "node_id.h"
#include "ops.h"
#include "publish.h"
#include "reply.h"
#include "session.h"
#include "waiters.h"

enum {
	STACK_READ_MAX = 128 << 10,
	COPY_PIECE = 1 << 20,
	COPY_REQUEST_MAX = 16 << 20, /* a longer one is answered short: no worker is busy for long */
	SEEK_EXTENTS = 64,
};

static bool waits(const struct handle *h)
{
	return h->kind == HANDLE_VIRTUAL && h->vnode->row->kind == VFILE_WAIT;
}

void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
	(void)ino;
	if (waits(handle_of(fi))) {
		waiters_poll(req, handle_of(fi), ph);
		return;
	}
	if (ph)
		fuse_pollhandle_destroy(ph);
	(void)fuse_reply_poll(req, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct handle_reader reader = {.tid = (uint32_t)fuse_req_ctx(req)->pid, .paged = fi->lock_owner == 0};
	struct handle *h = handle_of(fi);
	struct fs *fs = fs_of(req);
	cleanup_free char *large = NULL;
	char small[STACK_READ_MAX], *data = small;
	ssize_t n;

	(void)ino;
	fs_order_wait(fs, req);
	if (waits(h)) {
		waiters_read(req, h, size, (uint64_t)offset, fi->flags);
		return;
	}
	if (size > sizeof(small)) {
		large = malloc(size);
		data = large;
		if (!large) {
			reply_error(req, -ENOMEM);
			return;
		}
	}
	n = handle_read(fs, h, &reader, (uint64_t)offset, data, size);
	if (n < 0) {
		reply_error(req, (int)n);
		return;
	}
	atomic_fetch_add_explicit(&fs->reads, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&fs->bytes_read, (uint_fast64_t)n, memory_order_relaxed);
	(void)fuse_reply_buf(req, data, (size_t)n);
}

/* --- writing ---------------------------------------------------------------------- */

/* The handle whose draft a written-back page belongs to: the shared draft's, else the only one's. A reference, or NULL. */
static struct handle *page_handle(struct fs *fs, uint64_t ino)
{
	struct handle *found = NULL;
	struct handle_list l;

	(void)handles_find(fs->handles, ino, HANDLE_WRITE, &l); /* without memory: those found */
	for (size_t i = 0; i < l.count && !found; i++) {
		pthread_mutex_lock(&l.items[i]->lock);
		if (l.items[i]->draft && draft_kind_of(l.items[i]->draft) == DRAFT_SHARED)
			found = l.items[i];
		pthread_mutex_unlock(&l.items[i]->lock);
	}
	if (!found && l.count == 1)
		found = l.items[0];
	for (size_t i = 0; i < l.count; i++)
		if (l.items[i] != found)
			handle_unref(fs, l.items[i]);
	free(l.items);
	return found;
}

/* A page without an open draft: a commit of its own. */
static int write_page_alone(struct fs *fs, uint64_t ino, uint64_t offset, const void *data, size_t len, uint64_t *ret_seq)
{
	struct request q = {.actor = {.comm = "mmap"}};
	struct draft *d;
	int r;

	r = draft_open(fs->engine, ino, DRAFT_SHARED, &q.actor, &d);
	if (r < 0)
		return r;
	r = draft_write(d, &q.actor, offset, data, len);
	if (r == 0)
		r = draft_commit(d, &q, 0);
	draft_close(d);
	if (r < 0)
		log_refusal("write-back of a mapping of inode", "", &q, r);
	*ret_seq = q.seq;
	return r;
}

static int write_page(struct fs *fs, uint64_t ino, uint64_t offset, const void *data, size_t len, uint64_t *ret_seq)
{
	struct handle *h = page_handle(fs, ino);
	bool done = false;
	int r = 0;

	handles_set_mapped(fs->handles, ino);
	if (h) {
		pthread_mutex_lock(&h->lock);
		if (h->draft) {
			struct actor actor = h->actor;

			done = true;
			atomic_store(&h->written, true);
			r = draft_write(h->draft, &actor, offset, data, len);
			handle_end_change(fs, h);
		}
		pthread_mutex_unlock(&h->lock);
		handle_unref(fs, h);
	}
	return done ? r : write_page_alone(fs, ino, offset, data, len, ret_seq);
}

static int write_virtual(fuse_req_t req, struct handle *h, const char *data, size_t len)
{
	struct request q;
	int r;

	if (!h->vnode->row->write)
		return -EROFS;
	fs_request_init(req, &q);
	r = h->vnode->row->write(fs_of(req), h->vnode, &q, data, len);
	if (r < 0)
		log_refusal("write to", h->vnode->path, &q, r);
	if (h->vnode->row->settles)
		fs_inval_wait(fs_of(req));
	return r < 0 || !q.seq ? r : engine_wait(fs_of(req)->engine, q.seq, JOURNAL_ACKNOWLEDGED);
}

/* O_SYNC and O_DSYNC: what may be published while it is open is published, and write(2) returns when *@ret_seq (0: nothing) is on the disk. */
static int write_through(struct fs *fs, struct handle *h, uint64_t *ret_seq)
{
	int r = 0;

	if (!h->streams)
		return 0;
	pthread_mutex_lock(&h->lock);
	if (handle_has_unpublished(h) && !atomic_load(&h->held))
		r = handle_publish(fs, h, DRAFT_STREAM, ret_seq);
	else
		*ret_seq = draft_last_seq(h->draft); /* somebody else has published it, and perhaps not waited */
	pthread_mutex_unlock(&h->lock);
	return r;
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	struct fs *fs = fs_of(req);
	enum journal_level level = JOURNAL_ACKNOWLEDGED;
	uint64_t seq = 0;
	int r;

	fs_order_wait(fs, req);
	if (fi->writepage && node_id_is_live(ino)) {
		r = write_page(fs, ino, (uint64_t)offset, data, size, &seq);
	} else if (h->kind == HANDLE_VIRTUAL) {
		r = write_virtual(req, h, data, size);
	} else if (h->kind == HANDLE_WRITE) {
		r = handle_write(fs, h, fuse_req_ctx(req), fi->flags, (uint64_t)offset, data, size);
		if (r == 0 && (fi->flags & O_DSYNC)) {
			r = write_through(fs, h, &seq);
			level = JOURNAL_DURABLE;
		}
	} else {
		r = -EBADF;
	}
	if (r < 0) {
		reply_error(req, r);
		return;
	}
	atomic_fetch_add_explicit(&fs->writes, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&fs->bytes_written, size, memory_order_relaxed);
	reply_write_after(fs, req, seq, level, size);
}

/* --- allocation --------------------------------------------------------------------- */

/* Space is not promised for the future: content is journaled, so a later write may still meet ENOSPC. */
static int allocate(struct draft *d, const struct actor *actor, int mode, uint64_t offset, uint64_t len)
{
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	uint64_t end = offset + len;
	int r = 0;

	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		r = draft_punch(d, actor, offset, len);
	if (r == 0 && !keep && end > draft_size(d))
		r = draft_truncate(d, actor, end);
	return r;
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t len, struct fuse_file_info *fi)
{
	const int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	struct handle *h = handle_of(fi);
	struct fs *fs = fs_of(req);
	struct actor actor;
	int r = 0;

	(void)ino;
	fs_order_wait(fs, req);
	if (offset < 0 || len <= 0 || len > INT64_MAX - offset)
		r = -EINVAL;
	else if ((mode & ~known) || ((mode & FALLOC_FL_PUNCH_HOLE) && mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)))
		r = -EOPNOTSUPP;
	else if (!h || h->kind != HANDLE_WRITE)
		r = -EBADF;
	else if (mode != FALLOC_FL_KEEP_SIZE) {
		handle_begin_change(fs, h, fuse_req_ctx(req), &actor);
		r = allocate(h->draft, &actor, mode, (uint64_t)offset, (uint64_t)len);
		handle_end_change(fs, h);
	}
	reply_error(req, r);
}

/* --- seeking ------------------------------------------------------------------------- */

/* Next data, or hole, of a version at or after @at. Engine lock and h->lock held. */
static int64_t version_seek(struct handle *h, uint64_t at, bool data)
{
	const struct version *v = h->snapshot;
	struct extent found[SEEK_EXTENTS];

	while (at < v->size) {
		uint64_t covered = 0;
		ssize_t n = tree_extents(v, &h->extents, at, v->size - at, found, SEEK_EXTENTS, &covered);

		if (n < 0)
			return n;
		for (ssize_t i = 0; i < n; i++) {
			if (found[i].position == 0)
				continue;
			if (data)
				return (int64_t)MAX(at, found[i].file_offset);
			if (found[i].file_offset > at)
				return (int64_t)at;
			at = found[i].file_offset + found[i].len;
		}
		if (!data && at < covered)
			return (int64_t)at;
		if (covered <= at && n == 0)
			break;
		at = MAX(at, covered);
	}
	return data ? -ENXIO : (int64_t)v->size;
}

/* In the draft that the process of thread @tid sees. -ENOENT: it sees none. */
static int64_t seek_seen_draft(struct fs *fs, uint64_t ino, uint32_t tid, uint64_t offset, bool data)
{
	struct handle *h = handles_seen_draft(fs, ino, tid);
	int64_t found = -ENOENT;

	if (!h)
		return found;
	pthread_mutex_lock(&h->lock);
	if (h->draft)
		found = draft_seek(h->draft, offset, data);
	pthread_mutex_unlock(&h->lock);
	handle_unref(fs, h);
	return found;
}

static int64_t seek(struct fs *fs, struct handle *h, uint32_t tid, uint64_t offset, bool data)
{
	int64_t found;

	if (h->kind == HANDLE_WRITE)
		return draft_seek(h->draft, offset, data);
	if (h->kind == HANDLE_VIRTUAL) {
		struct stat st;

		vnode_stat(fs, h->vnode, &st);
		return offset >= (uint64_t)st.st_size ? -ENXIO : data ? (int64_t)offset : st.st_size;
	}
	if (h->kind == HANDLE_READ) {
		found = seek_seen_draft(fs, h->node_id, tid, offset, data);
		if (found != -ENOENT)
			return found;
	}
	pthread_mutex_lock(&h->lock);
	if (h->kind == HANDLE_READ)
		handle_snapshot_choose(fs, h, offset, 0);
	engine_lock(fs->engine);
	found = !h->snapshot || offset >= h->snapshot->size ? -ENXIO : version_seek(h, offset, data);
	engine_unlock(fs->engine);
	pthread_mutex_unlock(&h->lock);
	return found;
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	int64_t found;

	(void)ino;
	fs_order_wait(fs, req);
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		found = -EINVAL;
	else
		found = offset < 0 ? -ENXIO : seek(fs, handle_of(fi), (uint32_t)fuse_req_ctx(req)->pid, (uint64_t)offset, whence == SEEK_DATA);
	if (found < 0)
		reply_error(req, (int)found);
	else
		(void)fuse_reply_lseek(req, found);
}

/* --- copying -------------------------------------------------------------------------- */

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t offset_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t offset_out,
	struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct handle_reader reader = {.tid = (uint32_t)fuse_req_ctx(req)->pid};
	struct handle *from = handle_of(fi_in), *to = handle_of(fi_out);
	size_t done = 0, want = MIN(len, (size_t)COPY_REQUEST_MAX);
	struct fs *fs = fs_of(req);
	cleanup_free char *piece = NULL;
	ssize_t n = 0;
	int r = 0;

	(void)ino_in, (void)ino_out;
	fs_order_wait(fs, req);
	if (flags || from->kind == HANDLE_DIR || waits(from) || to->kind != HANDLE_WRITE)
		r = flags ? -EINVAL : -EXDEV; /* EXDEV: the caller copies by reading and writing */
	else if (!(piece = malloc(MIN(want, (size_t)COPY_PIECE) + 1)))
		r = -ENOMEM;
	while (r == 0 && done < want) {
		n = handle_read(fs, from, &reader, (uint64_t)offset_in + done, piece, MIN(want - done, (size_t)COPY_PIECE));
		if (n <= 0)
			break;
		r = handle_write(fs, to, fuse_req_ctx(req), 0, (uint64_t)offset_out + done, piece, (size_t)n);
		if (r == 0)
			done += (size_t)n;
	}
	if (n < 0 && r == 0)
		r = (int)n;
	if (r < 0 && !done)
		reply_error(req, r);
	else
		(void)fuse_reply_write(req, done);
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int command, void *arg, struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_bytes,
	size_t out_bytes)
{
	(void)ino, (void)command, (void)arg, (void)fi, (void)flags, (void)in, (void)in_bytes, (void)out_bytes;
	reply_error(req, -ENOTTY);
}
