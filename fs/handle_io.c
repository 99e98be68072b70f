/* SPDX-License-Identifier: MIT
 *
 * Reading and writing through one handle: which version or draft a read shows, who counts as a writer, and where the page cache's
 * reads come from.
 *
 * A write-open handle's own operations use its draft without the handle's lock: RELEASE, which takes the
 * draft away, comes after the last of them. Reads of a snapshot hold the lock, for the list of extents that goes with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "autocommit.h"
#include "handle.h"
#include "inval.h"
#include "process.h"
#include "session.h"
#include "setid.h"
#include "vfile.h"

/* --- changing ----------------------------------------------------------------------- */

/* Note the thread as a writer. Caller holds h->lock. */
static void writer_note(struct fs *fs, struct handle *h, const struct fuse_ctx *ctx)
{
	struct actor a;
	bool exiting = process_actor_fill(fs->processes, (uint32_t)ctx->pid, ctx->uid, ctx->gid, &a) == PROCESS_EXITING;
	uint32_t tgid = a.pid ? a.pid : (uint32_t)ctx->pid, i;

	if (exiting) { /* its environment is gone: keep what was learned at open */
		if (!a.agent[0])
			memcpy(a.agent, h->actor.agent, sizeof(a.agent));
		if (!a.session[0])
			memcpy(a.session, h->actor.session, sizeof(a.session));
	}
	h->actor = a;
	h->last_tid = (uint32_t)ctx->pid;
	h->killpriv_checked = false;
	for (i = 0; i < h->writer_count; i++)
		if (h->writers[i].tgid == tgid)
			return;
	if (h->writer_count < HANDLE_WRITERS_MAX)
		h->writers[h->writer_count++] = (struct handle_writer){.tgid = tgid};
}

/*
 * Whoever lacks CAP_FSETID removes set-id bits by a write, the owner too. The kernel says who that is; an old one, which
 * does not, is helped by taking it to be everyone but root.
 */
static void setid_bits_remove(struct fs *fs, uint64_t ino, const struct fuse_ctx *ctx, const struct actor *actor)
{
	struct request q = {.actor = *actor, .uid = ctx->uid, .gid = ctx->gid};

	if (setid_remove(fs, &q, ino) > 0) /* a poisoned store refuses the write itself too */
		fs_inval_attr(fs, ino);    /* the kernel expects no new mode from a write */
}

void handle_begin_change(struct fs *fs, struct handle *h, const struct fuse_ctx *ctx, struct actor *ret_actor)
{
	bool check;

	pthread_mutex_lock(&h->lock);
	if (ctx->pid && (uint32_t)ctx->pid != h->last_tid)
		writer_note(fs, h, ctx);
	check = !h->killpriv_checked;
	h->killpriv_checked = true;
	h->closed = false;
	*ret_actor = h->actor;
	pthread_mutex_unlock(&h->lock);
	if (fs_session_request()->kills_setid || (check && ctx->uid != 0))
		setid_bits_remove(fs, h->node_id, ctx, ret_actor);
	atomic_store(&h->written, true);
	handle_end_change(fs, h);
}

void handle_end_change(struct fs *fs, struct handle *h)
{
	atomic_store(&h->unsettled, true);
	if (h->streams && !atomic_load(&h->held))
		autocommit_arm(fs, h);
}

bool handle_has_unpublished(struct handle *h)
{
	return atomic_load(&h->unsettled) || (draft_is_dirty(h->draft) && draft_is_written(h->draft));
}

/* --- reading ------------------------------------------------------------------------ */

const struct version *handle_live_version(struct fs *fs, uint64_t ino)
{
	const struct version *v = NULL;
	struct node *node;

	engine_lock(fs->engine);
	node = tree_node(engine_tree(fs->engine), ino);
	if (node)
		v = tree_version_at(node, engine_live_seq(fs->engine));
	engine_unlock(fs->engine);
	return v;
}

/*
 * Which version does a read at @offset see? The newest at the beginning of a
 * reading (none yet, offset 0, a lock obtained, its process published); later only one that holds the
 * old one unchanged and more after its end, so that nobody gets an old head and a new tail.
 */
void handle_snapshot_choose(struct fs *fs, struct handle *h, uint64_t offset, size_t len)
{
	bool begin = !h->snapshot || offset == 0 || atomic_exchange(&h->refresh, false);
	struct node *node;

	if (!begin && offset + len <= h->snapshot->size)
		return;
	engine_lock(fs->engine);
	node = tree_node(engine_tree(fs->engine), h->node_id);
	if (node) {
		const struct version *v = tree_version_at(node, engine_live_seq(fs->engine));

		if (v && v != h->snapshot && (begin || tree_version_extends(h->snapshot, v)))
			h->snapshot = v;
	}
	engine_unlock(fs->engine);
}

static ssize_t read_snapshot(struct fs *fs, struct handle *h, uint64_t offset, void *buf, size_t len)
{
	ssize_t n = 0;

	pthread_mutex_lock(&h->lock);
	if (h->kind == HANDLE_READ)
		handle_snapshot_choose(fs, h, offset, len);
	if (h->snapshot)
		n = engine_read(fs->engine, h->snapshot, &h->extents, offset, buf, len);
	pthread_mutex_unlock(&h->lock);
	return n;
}

static ssize_t read_virtual(struct fs *fs, struct handle *h, uint64_t offset, void *buf, size_t len)
{
	cleanup_buf struct buf out = BUF_INIT;
	int r;

	if (!h->vnode->row->range) {
		if (offset >= h->text.len)
			return 0;
		len = MIN(len, h->text.len - offset);
		memcpy(buf, h->text.data + offset, len);
		return (ssize_t)len;
	}
	r = h->vnode->row->range(fs, h->vnode, offset, len, &out);
	if (r < 0 || out.error)
		return r < 0 ? r : out.error;
	len = MIN(len, out.len);
	if (len)
		memcpy(buf, out.data, len);
	return (ssize_t)len;
}

/* The page cache belongs to the inode: it gets the live file, or the shared draft if one is open. */
static ssize_t read_page(struct fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len)
{
	struct version_extents extents = {0};
	const struct version *v;
	struct handle_list l;
	bool done = false;
	ssize_t n = 0;

	handles_set_mapped(fs->handles, ino);
	if (handles_writing(fs->handles, ino) && handles_find(fs->handles, ino, HANDLE_WRITE, &l) == 0) {
		for (size_t i = 0; i < l.count && !done; i++) {
			struct handle *h = l.items[i];

			pthread_mutex_lock(&h->lock);
			if (h->draft && draft_kind_of(h->draft) == DRAFT_SHARED) {
				n = draft_read(h->draft, offset, buf, len);
				done = true;
			}
			pthread_mutex_unlock(&h->lock);
		}
		handle_list_release(fs, &l);
	}
	if (!done && handles_writing(fs->handles, ino)) {
		n = draft_read_orphan(fs->engine, ino, offset, buf, len);
		done = n != -ENOENT;
	}
	if (done)
		return n;
	v = handle_live_version(fs, ino);
	if (v)
		n = engine_read(fs->engine, v, &extents, offset, buf, len);
	extent_map_release(&extents.map);
	return n;
}

/* -ENOENT: its process has no draft of the file, and the file's name was not taken back while it was being written. */
static ssize_t read_own_draft(struct fs *fs, uint64_t ino, uint32_t tid, uint64_t offset, void *buf, size_t len)
{
	struct handle *h = handles_seen_draft(fs, ino, tid);
	ssize_t n = -ENOENT;

	if (!h)
		return handles_writing(fs->handles, ino) ? draft_read_orphan(fs->engine, ino, offset, buf, len) : n;
	pthread_mutex_lock(&h->lock);
	if (h->draft)
		n = draft_read(h->draft, offset, buf, len);
	pthread_mutex_unlock(&h->lock);
	handle_unref(fs, h);
	return n;
}

ssize_t handle_read(struct fs *fs, struct handle *h, const struct handle_reader *reader, uint64_t offset, void *buf, size_t len)
{
	ssize_t n;

	switch (h->kind) {
	case HANDLE_VIRTUAL:
		return read_virtual(fs, h, offset, buf, len);
	case HANDLE_WRITE:
		if (reader->paged)
			handles_set_mapped(fs->handles, h->node_id);
		return draft_read(h->draft, offset, buf, len);
	case HANDLE_READ:
		if (reader->paged)
			return read_page(fs, h->node_id, offset, buf, len);
		n = read_own_draft(fs, h->node_id, reader->tid, offset, buf, len);
		return n == -ENOENT ? read_snapshot(fs, h, offset, buf, len) : n;
	case HANDLE_VIEW:
		return read_snapshot(fs, h, offset, buf, len);
	case HANDLE_DIR:
		break;
	}
	return -EISDIR;
}

/* --- writing ------------------------------------------------------------------------ */

int handle_write(struct fs *fs, struct handle *h, const struct fuse_ctx *ctx, int flags, uint64_t offset, const void *data, size_t len)
{
	struct actor actor;
	int r;

	handle_begin_change(fs, h, ctx, &actor);
	if (!(flags & O_APPEND) || draft_kind_of(h->draft) == DRAFT_APPEND) {
		r = draft_write(h->draft, &actor, offset, data, len);
	} else { /* O_APPEND on another kind (with O_TRUNC, or set by fcntl): at the end of what this handle sees */
		pthread_mutex_lock(&h->lock);
		r = draft_write(h->draft, &actor, draft_size(h->draft), data, len);
		pthread_mutex_unlock(&h->lock);
	}
	handle_end_change(fs, h);
	return r;
}
