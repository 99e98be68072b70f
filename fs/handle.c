/* SPDX-License-Identifier: MIT
 *
 * The registry of open handles, and reading and writing through one.
 *
 * Leaves to others: which kind a handle is (op_file_open.c), when a draft is
 * published (publish.c). Invariant: a handle in the registry has a reference; a HANDLE_WRITE has its draft until
 * RELEASE cleared it under the handle's lock, so everyone but the kernel's own operations on it looks under that lock.
 *
 * The registry is a fixed table of buckets, each with its lock and a count of
 * writers readable without it, so that stat of a file nobody writes costs one load.
 */
#include "handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "autocommit.h"
#include "inval.h"
#include "process.h"
#include "vfile.h"

enum {
	BUCKETS = 1024,
	MAPPED_BITS = 1 << 16,
};

struct bucket {
	pthread_mutex_t lock;
	struct handle *first;
	atomic_uint writers;
};

struct fs_handles {
	struct bucket buckets[BUCKETS];
	/* One bit for many inodes: a wrong "mapped" costs an invalidation, nothing else. */
	atomic_uchar mapped[MAPPED_BITS / 8];
};

static uint64_t ino_hash(uint64_t ino)
{
	return ino * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

static struct bucket *bucket_of(struct fs_handles *t, uint64_t ino)
{
	return &t->buckets[ino_hash(ino) % BUCKETS];
}

struct fs_handles *fs_handles_new(void)
{
	struct fs_handles *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	for (size_t i = 0; i < BUCKETS; i++)
		pthread_mutex_init(&t->buckets[i].lock, NULL);
	return t;
}

void fs_handles_free(struct fs_handles *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		pthread_mutex_destroy(&t->buckets[i].lock);
	free(t);
}

struct handle *handle_new(enum handle_kind kind, uint64_t node_id, int open_flags, uint32_t tid)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->kind = kind;
	h->node_id = node_id;
	h->open_flags = open_flags;
	h->opener_tid = tid;
	h->refs = 1;
	pthread_mutex_init(&h->lock, NULL);
	return h;
}

static void handle_free(struct handle *h)
{
	if (h->draft)
		draft_close(h->draft); /* an open that failed half-way */
	extent_map_release(&h->extents.map);
	buf_release(&h->text);
	free(h->created_name);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

void handle_unref(struct fs *fs, struct handle *h)
{
	struct bucket *b;
	uint32_t left;

	if (!h)
		return;
	b = bucket_of(fs->handles, h->node_id);
	pthread_mutex_lock(&b->lock);
	left = --h->refs;
	pthread_mutex_unlock(&b->lock);
	if (!left)
		handle_free(h);
}

void handles_add(struct fs_handles *t, struct handle *h)
{
	struct bucket *b = bucket_of(t, h->node_id);

	pthread_mutex_lock(&b->lock);
	h->refs++;
	h->next = b->first;
	if (b->first)
		b->first->prev = h;
	b->first = h;
	if (h->kind == HANDLE_WRITE)
		atomic_fetch_add(&b->writers, 1);
	pthread_mutex_unlock(&b->lock);
}

void handles_remove(struct fs *fs, struct handle *h)
{
	struct bucket *b = bucket_of(fs->handles, h->node_id);

	pthread_mutex_lock(&b->lock);
	if (h->prev)
		h->prev->next = h->next;
	else
		b->first = h->next;
	if (h->next)
		h->next->prev = h->prev;
	h->prev = h->next = NULL;
	if (h->kind == HANDLE_WRITE)
		atomic_fetch_sub(&b->writers, 1);
	pthread_mutex_unlock(&b->lock);
	handle_unref(fs, h);
}

bool handles_writing(struct fs_handles *t, uint64_t ino)
{
	struct bucket *b = bucket_of(t, ino);
	bool found = false;

	if (!atomic_load(&b->writers))
		return false;
	pthread_mutex_lock(&b->lock);
	for (struct handle *h = b->first; h && !found; h = h->next)
		found = h->node_id == ino && h->kind == HANDLE_WRITE;
	pthread_mutex_unlock(&b->lock);
	return found;
}

bool handles_mapped(struct fs_handles *t, uint64_t ino)
{
	uint64_t bit = ino_hash(ino) % MAPPED_BITS;

	return atomic_load_explicit(&t->mapped[bit / 8], memory_order_acquire) & 1u << bit % 8;
}

void handles_set_mapped(struct fs_handles *t, uint64_t ino)
{
	uint64_t bit = ino_hash(ino) % MAPPED_BITS;

	if (!handles_mapped(t, ino))
		atomic_fetch_or(&t->mapped[bit / 8], (unsigned char)(1u << bit % 8));
}

static int bucket_collect(struct bucket *b, uint64_t ino, enum handle_kind kind, struct handle_list *l, size_t *capacity)
{
	int r = 0;

	pthread_mutex_lock(&b->lock);
	for (struct handle *h = b->first; h; h = h->next) {
		if (h->kind != kind || (ino && h->node_id != ino))
			continue;
		r = array_reserve(&l->items, capacity, l->count + 1, sizeof(*l->items));
		if (r < 0)
			break;
		h->refs++;
		l->items[l->count++] = h;
	}
	pthread_mutex_unlock(&b->lock);
	return r;
}

int handles_find(struct fs_handles *t, uint64_t ino, enum handle_kind kind, struct handle_list *ret)
{
	size_t capacity = 0;
	int r = 0;

	*ret = (struct handle_list){ 0 };
	if (ino)
		return bucket_collect(bucket_of(t, ino), ino, kind, ret, &capacity);
	for (size_t i = 0; i < BUCKETS && r == 0; i++)
		if (kind != HANDLE_WRITE || atomic_load(&t->buckets[i].writers))
			r = bucket_collect(&t->buckets[i], 0, kind, ret, &capacity);
	return r;
}

void handle_list_release(struct fs *fs, struct handle_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		handle_unref(fs, l->items[i]);
	free(l->items);
	*l = (struct handle_list){ 0 };
}

/* --- who ---------------------------------------------------------------------------- */

bool handle_used_by(struct handle *h, uint32_t tgid)
{
	bool used;

	pthread_mutex_lock(&h->lock);
	used = h->opener_tgid == tgid;
	for (uint32_t i = 0; i < h->writer_count && !used; i++)
		used = h->writers[i].tgid == tgid;
	pthread_mutex_unlock(&h->lock);
	return used;
}

/* Has it a private draft with something in it? */
static bool draft_private(struct handle *h)
{
	bool found;

	pthread_mutex_lock(&h->lock);
	found = h->draft && draft_kind_of(h->draft) != DRAFT_SHARED && draft_is_dirty(h->draft);
	pthread_mutex_unlock(&h->lock);
	return found;
}

struct handle *handles_own_draft(struct fs *fs, uint64_t ino, uint32_t tid)
{
	struct handle *found = NULL;
	struct handle_list l;
	uint32_t tgid;

	if (!tid || !handles_writing(fs->handles, ino))
		return NULL;
	(void)handles_find(fs->handles, ino, HANDLE_WRITE, &l); /* without memory: those found so far */
	tgid = process_tgid_get(fs->processes, tid);
	for (size_t i = 0; i < l.count; i++) {
		if (!found && handle_used_by(l.items[i], tgid) && draft_private(l.items[i]))
			found = l.items[i];
		else
			handle_unref(fs, l.items[i]);
	}
	free(l.items);
	return found;
}

bool handles_draft_stat(struct fs *fs, uint64_t ino, uint32_t tid, uint64_t *ret_size, int64_t *ret_mtime_ns)
{
	struct handle *h = handles_own_draft(fs, ino, tid);
	bool found = false;

	if (!h)
		return draft_shared_size(fs->engine, ino, ret_size, ret_mtime_ns);
	pthread_mutex_lock(&h->lock);
	if (h->draft) {
		*ret_size = draft_size(h->draft);
		*ret_mtime_ns = draft_mtime(h->draft);
		found = true;
	}
	pthread_mutex_unlock(&h->lock);
	handle_unref(fs, h);
	return found;
}

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
		h->writers[h->writer_count++] = (struct handle_writer){ .tgid = tgid };
}

/*
 * Direct I/O skips the kernel's removal of set-user-ID and set-group-ID bits on
 * write, so it is done here, by the kernel's own rule: whoever lacks CAP_FSETID
 * (taken to be everyone but root) removes them, the owner too. On chown and path truncation the kernel sends the new mode itself.
 */
static void setid_bits_remove(struct fs *fs, uint64_t ino, const struct fuse_ctx *ctx, const struct actor *actor)
{
	struct request q = { .actor = *actor, .uid = ctx->uid, .gid = ctx->gid };
	struct change c = { .type = CHANGE_ATTR, .ino = ino, .attr_mask = ATTR_MODE };
	struct tree_attr attr;
	struct node *node;
	uint32_t strip = 0;

	engine_lock(fs->engine);
	node = tree_node(engine_tree(fs->engine), ino);
	if (node && tree_attr_at(engine_tree(fs->engine), node, engine_live_seq(fs->engine), INT64_MAX, &attr) == 0)
		strip = (attr.mode & S_ISUID) | ((attr.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ? S_ISGID : 0);
	engine_unlock(fs->engine);
	if (!strip)
		return;
	c.mode = attr.mode & 07777 & ~strip;
	(void)engine_setattr(fs->engine, &q, ino, &c, &attr); /* a poisoned store refuses the write itself too */
	fs_inval_attr(fs, ino); /* the kernel expects no new mode from a write */
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
	if (check && ctx->uid != 0)
		setid_bits_remove(fs, h->node_id, ctx, ret_actor);
	atomic_store(&h->written, true);
	atomic_store(&h->unsettled, true);
	if (h->streams && !atomic_load(&h->held))
		autocommit_arm(fs, h);
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
 * reading (none yet, offset 0, a lock obtained); later only one that holds the
 * old one unchanged and more after its end, so that nobody gets an old head and a new tail.
 */
static void snapshot_choose(struct fs *fs, struct handle *h, uint64_t offset, size_t len)
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
		snapshot_choose(fs, h, offset, len);
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
	struct version_extents extents = { 0 };
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
	if (done)
		return n;
	v = handle_live_version(fs, ino);
	if (v)
		n = engine_read(fs->engine, v, &extents, offset, buf, len);
	extent_map_release(&extents.map);
	return n;
}

/* -ENOENT: its process has no draft of the file. */
static ssize_t read_own_draft(struct fs *fs, uint64_t ino, uint32_t tid, uint64_t offset, void *buf, size_t len)
{
	struct handle *h = handles_own_draft(fs, ino, tid);
	ssize_t n = -ENOENT;

	if (!h)
		return n;
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

int handle_write(struct fs *fs, struct handle *h, const struct fuse_ctx *ctx, int flags, uint64_t offset, const void *data,
		 size_t len)
{
	struct actor actor;
	int r;

	handle_begin_change(fs, h, ctx, &actor);
	if (!(flags & O_APPEND) || draft_kind_of(h->draft) == DRAFT_APPEND)
		return draft_write(h->draft, &actor, offset, data, len);
	/* O_APPEND on another kind (with O_TRUNC, or set by fcntl): at the end of what this handle sees. */
	pthread_mutex_lock(&h->lock);
	r = draft_write(h->draft, &actor, draft_size(h->draft), data, len);
	pthread_mutex_unlock(&h->lock);
	return r;
}

bool handle_release_publishes(uint64_t fh)
{
	struct handle *h = (struct handle *)(uintptr_t)fh;

	if (!h)
		return false;
	if (h->kind == HANDLE_WRITE && atomic_load(&h->unsettled))
		return true;
	return atomic_load(&h->locks) != 0;
}
