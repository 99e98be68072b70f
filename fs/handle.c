/* SPDX-License-Identifier: MIT
 *
 * The registry of open handles.
 *
 * Leaves to others: which kind a handle is (op_file_open.c), reading and writing through it (handle_io.c), when a draft is
 * published (publish.c). Invariant: a handle in the registry has a reference; a HANDLE_WRITE has its draft until
 * RELEASE cleared it under the handle's lock, so everyone but the kernel's own operations on it looks under that lock.
 *
 * The registry is a fixed table of buckets, each with its lock and a count of
 * writers readable without it, so that stat of a file nobody writes costs one load.
 */
#include "handle.h"

#include <errno.h>
#include <stdlib.h>

#include "process.h"

enum {
	BUCKETS = 1024,
	INODE_BITS = 1 << 16,
};

struct bucket {
	pthread_mutex_t lock;
	struct handle *first;
	atomic_uint writers;
};

struct fs_handles {
	struct bucket buckets[BUCKETS];
	/* One bit for many inodes: a wrong "mapped" costs an invalidation, a wrong "locked" a FLUSH, nothing else. */
	atomic_uchar mapped[INODE_BITS / 8], locked[INODE_BITS / 8];
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

void fs_handles_free(struct fs_handles *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		struct handle *next;

		for (struct handle *h = t->buckets[i].first; h; h = next) { /* the connection ended before their RELEASE */
			next = h->next;
			h->draft = NULL; /* the engine's by now: it waits in pending/ */
			handle_free(h);
		}
		pthread_mutex_destroy(&t->buckets[i].lock);
	}
	free(t);
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

/* Bucket lock held. A draft is taken away after `left` was set, so it may be looked at. */
static size_t bucket_share(struct bucket *b, const struct handle *h, bool mark)
{
	size_t count = 0;

	for (struct handle *o = b->first; o && h->draft; o = o->next) {
		if (o == h || o->kind != HANDLE_WRITE || o->left || o->draft != h->draft)
			continue;
		count++;
		if (mark)
			atomic_store(&o->unsettled, true);
	}
	return count;
}

size_t handles_sharing(struct fs_handles *t, struct handle *h)
{
	struct bucket *b = bucket_of(t, h->node_id);
	size_t count;

	pthread_mutex_lock(&b->lock);
	count = bucket_share(b, h, false);
	pthread_mutex_unlock(&b->lock);
	return count;
}

size_t handles_leave(struct fs_handles *t, struct handle *h, bool unpublished)
{
	struct bucket *b = bucket_of(t, h->node_id);
	size_t count;

	pthread_mutex_lock(&b->lock);
	h->left = true;
	count = bucket_share(b, h, unpublished);
	pthread_mutex_unlock(&b->lock);
	return count;
}

bool handles_open(struct fs_handles *t, uint64_t ino)
{
	struct bucket *b = bucket_of(t, ino);
	bool found = false;

	pthread_mutex_lock(&b->lock);
	for (struct handle *h = b->first; h && !found; h = h->next)
		found = h->node_id == ino;
	pthread_mutex_unlock(&b->lock);
	return found;
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

static bool bit_get(const atomic_uchar *bits, uint64_t ino)
{
	uint64_t bit = ino_hash(ino) % INODE_BITS;

	return atomic_load_explicit(&bits[bit / 8], memory_order_acquire) & 1u << bit % 8;
}

static void bit_set(atomic_uchar *bits, uint64_t ino)
{
	uint64_t bit = ino_hash(ino) % INODE_BITS;

	if (!bit_get(bits, ino))
		atomic_fetch_or(&bits[bit / 8], (unsigned char)(1u << bit % 8));
}

bool handles_mapped(struct fs_handles *t, uint64_t ino)
{
	return bit_get(t->mapped, ino);
}

void handles_set_mapped(struct fs_handles *t, uint64_t ino)
{
	bit_set(t->mapped, ino);
}

bool handles_locked(struct fs_handles *t, uint64_t ino)
{
	return bit_get(t->locked, ino);
}

void handles_set_locked(struct fs_handles *t, uint64_t ino)
{
	bit_set(t->locked, ino);
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

	*ret = (struct handle_list){0};
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
	*l = (struct handle_list){0};
}

/* --- who ---------------------------------------------------------------------------- */

/* h->lock held. */
static bool used_by(const struct handle *h, uint32_t tgid)
{
	bool used = h->opener_tgid == tgid;

	for (uint32_t i = 0; i < h->writer_count && !used; i++)
		used = h->writers[i].tgid == tgid;
	return used;
}

bool handle_used_by(struct handle *h, uint32_t tgid)
{
	bool used;

	pthread_mutex_lock(&h->lock);
	used = used_by(h, tgid);
	pthread_mutex_unlock(&h->lock);
	return used;
}

/* Does its draft show something that is not published: a private one with something in it, or a shared one? */
static bool draft_shows(struct handle *h, bool shared)
{
	bool found;

	pthread_mutex_lock(&h->lock);
	found = h->draft && (draft_kind_of(h->draft) == DRAFT_SHARED ? shared : !shared && draft_is_dirty(h->draft));
	pthread_mutex_unlock(&h->lock);
	return found;
}

static struct handle *own_draft(struct fs *fs, uint64_t ino, uint32_t tid, bool shared)
{
	struct handle *found = NULL;
	struct handle_list l;
	uint32_t tgid;

	if (!tid || !handles_writing(fs->handles, ino))
		return NULL;
	(void)handles_find(fs->handles, ino, HANDLE_WRITE, &l); /* without memory: those found so far */
	tgid = process_tgid_get(fs->processes, tid);
	for (size_t i = 0; i < l.count; i++) {
		if (!found && handle_used_by(l.items[i], tgid) && draft_shows(l.items[i], shared))
			found = l.items[i];
		else
			handle_unref(fs, l.items[i]);
	}
	free(l.items);
	return found;
}

struct handle *handles_own_draft(struct fs *fs, uint64_t ino, uint32_t tid)
{
	return own_draft(fs, ino, tid, false);
}

struct handle *handles_seen_draft(struct fs *fs, uint64_t ino, uint32_t tid)
{
	struct handle *h = own_draft(fs, ino, tid, false);

	return h ? h : own_draft(fs, ino, tid, true);
}

uint32_t handle_reader_tgid(struct fs *fs, struct handle *h)
{
	uint32_t tgid = atomic_load(&h->reader_tgid);

	if (!tgid) {
		tgid = process_tgid_get(fs->processes, h->opener_tid);
		atomic_store(&h->reader_tgid, tgid);
	}
	return tgid;
}

void handles_refresh(struct fs *fs, struct handle *h)
{
	struct handle_list l;

	(void)handles_find(fs->handles, h->node_id, HANDLE_READ, &l); /* without memory: those found */
	for (size_t i = 0; i < l.count; i++)
		if (used_by(h, handle_reader_tgid(fs, l.items[i])))
			atomic_store(&l.items[i]->refresh, true);
	handle_list_release(fs, &l);
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

bool handle_release_publishes(uint64_t fh)
{
	struct handle *h = (struct handle *)(uintptr_t)fh;

	if (!h)
		return false;
	if (h->kind == HANDLE_WRITE && (atomic_load(&h->unsettled) || atomic_load(&h->newborn)))
		return true;
	return atomic_load(&h->locks) != 0;
}
