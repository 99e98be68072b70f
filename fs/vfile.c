/* SPDX-License-Identifier: MIT
 *
 * The table of virtual files and the vnodes made from it: finding a row for a path, numbering, listing, attributes. What a row
 * shows is its own functions' affair (vfile_*.c); whether a name is looked up here at all is entry.c's.
 *
 * Invariants: a path has one vnode and one number while mounted, made at its first lookup and never freed before the table; but
 * whether the entry is there *now* is asked of the row each time. No row's function is called with the table's lock held.
 *
 * Directories with virtual entries are fixed places or parts of a session: none of them is ever renamed and nothing can be renamed to become
 * one (layout.h), so what vnode_directory() found out about an inode stays true.
 */
#include "vfile.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
#include "node_id.h"
#include "vfile_rows.h"

static const struct vfile_row rows[] = {
#define VFILE(pattern_, kind_, mode_, ...) {.pattern = pattern_, .kind = kind_, .mode = mode_, __VA_ARGS__},
#include "vfile_list.h"
#undef VFILE
};

#define BUCKETS 4096
#define DIRECTORY_CACHE 4096

struct vnode_item {
	struct vnode v;
	struct vnode_item *next; /* of its bucket */
	_Atomic uint64_t size;   /* plus 1, once known, of a constant row */
};

struct vnode_table {
	pthread_mutex_t lock;
	struct vnode_item *buckets[BUCKETS];           /* lock; items themselves are immutable but for size */
	struct vnode_item **items;                     /* lock; by index */
	size_t count, capacity;                        /* lock */
	_Atomic uint64_t directories[DIRECTORY_CACHE]; /* inode number << 1 | answer, by the number's low bits; 0: none */
};

const struct vfile_row *vfile_table(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(rows);
	return rows;
}

struct vnode_table *vnode_table_new(void)
{
	struct vnode_table *t = calloc(1, sizeof(*t));

	if (t)
		pthread_mutex_init(&t->lock, NULL);
	return t;
}

static void item_free(struct vnode_item *item)
{
	if (!item)
		return;
	free((void *)item->v.params[0]);
	free(item->v.path);
	free(item);
}

void vnode_table_free(struct vnode_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		item_free(t->items[i]);
	free(t->items);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* ---- matching ---- */

/* What the `*` of a pattern stood for, as places in the path. */
struct capture {
	size_t count;
	struct {
		const char *text;
		size_t len;
	} params[VFILE_PARAMS_MAX];
};

/* Does @pattern (of @pattern_len bytes) match the whole of @path? */
static bool match(const char *pattern, size_t pattern_len, const char *path, struct capture *ret)
{
	const char *end = pattern + pattern_len;

	ret->count = 0;
	while (pattern < end) {
		if (*pattern == '*') {
			size_t len = strcspn(path, "/");

			if (!len)
				return false;
			assert(ret->count < VFILE_PARAMS_MAX);
			ret->params[ret->count].text = path;
			ret->params[ret->count++].len = len;
			path += len;
			pattern++;
		} else if (*pattern++ != *path++) {
			return false; /* also at the end of the path */
		}
	}
	return !*path;
}

static size_t directory_len(const char *pattern)
{
	const char *slash = strrchr(pattern, '/');

	return slash ? (size_t)(slash - pattern) : 0;
}

/* One vnode in the caller's hands: path and params in one piece of memory each. */
static int vnode_fill(struct vnode *v, const struct vfile_row *row, const char *path, const struct capture *c)
{
	size_t bytes = 1;
	char *params;

	for (size_t i = 0; i < c->count; i++)
		bytes += c->params[i].len + 1;
	params = malloc(bytes);
	*v = (struct vnode){.row = row, .path = strdup(path)};
	if (!params || !v->path) {
		free(params);
		free(v->path);
		return -ENOMEM;
	}
	v->params[0] = params;
	for (size_t i = 0; i < VFILE_PARAMS_MAX; i++) {
		size_t len = i < c->count ? c->params[i].len : 0;

		if (i < c->count)
			memcpy(params, c->params[i].text, len);
		else if (i)
			continue;
		params[len] = '\0';
		v->params[i] = params;
		params += len + 1;
	}
	return 0;
}

/* ---- the table ---- */

static size_t bucket_of(const char *path)
{
	return checksum_xxh3(path, strlen(path), 0) % BUCKETS;
}

/* Lock held. A path can have matched two rows at different times (a record and a draft), so the row counts too. */
static struct vnode_item *table_find(struct vnode_table *t, const struct vfile_row *row, const char *path)
{
	for (struct vnode_item *i = t->buckets[bucket_of(path)]; i; i = i->next)
		if (i->v.row == row && !strcmp(i->v.path, path))
			return i;
	return NULL;
}

/* Takes the item, or frees it when another thread was first. NULL: no memory. */
static struct vnode_item *table_add(struct vnode_table *t, struct vnode_item *item)
{
	struct vnode_item *found, **bucket = &t->buckets[bucket_of(item->v.path)];

	pthread_mutex_lock(&t->lock);
	found = table_find(t, item->v.row, item->v.path);
	if (!found && !array_reserve(&t->items, &t->capacity, t->count + 1, sizeof(*t->items))) {
		item->v.id = NODE_ID_VIRTUAL | t->count;
		t->items[t->count++] = item;
		item->next = *bucket;
		*bucket = found = item;
	}
	pthread_mutex_unlock(&t->lock);
	if (found != item)
		item_free(item);
	return found;
}

const struct vnode *vnode_get(struct fs *fs, uint64_t id)
{
	struct vnode_table *t = fs->vnodes;
	uint64_t index = id & ~NODE_ID_VIRTUAL;
	const struct vnode *v = NULL;

	pthread_mutex_lock(&t->lock);
	if (node_id_is_virtual(id) && index < t->count)
		v = &t->items[index]->v;
	pthread_mutex_unlock(&t->lock);
	return v;
}

static const struct vnode *lookup_row(struct fs *fs, const struct vfile_row *row, const char *path)
{
	struct vnode_table *t = fs->vnodes;
	struct vnode_item *item;
	struct capture c;

	if (!match(row->pattern, strlen(row->pattern), path, &c))
		return NULL;
	pthread_mutex_lock(&t->lock);
	item = table_find(t, row, path);
	pthread_mutex_unlock(&t->lock);
	if (item)
		return !row->exists || row->exists(fs, &item->v) ? &item->v : NULL;
	item = calloc(1, sizeof(*item));
	if (!item)
		return NULL;
	if (vnode_fill(&item->v, row, path, &c)) {
		free(item);
		return NULL;
	}
	if (row->exists && !row->exists(fs, &item->v)) {
		item_free(item);
		return NULL;
	}
	item = table_add(t, item);
	return item ? &item->v : NULL;
}

const struct vnode *vnode_lookup(struct fs *fs, const char *dir_path, const char *name)
{
	cleanup_buf struct buf path = BUF_INIT;
	const struct vnode *v = NULL;

	buf_printf(&path, "%s%s%s", dir_path, *dir_path ? "/" : "", name);
	for (size_t i = 0; !path.error && !v && i < ARRAY_SIZE(rows); i++)
		v = lookup_row(fs, &rows[i], path.data);
	return v;
}

/* ---- listing ---- */

struct listing {
	struct fs *fs;
	const struct vfile_row *row;
	const char *dir_path;
	int (*fn)(void *arg, const struct vnode *v);
	void *arg;
};

static int list_name(void *arg, const char *name)
{
	struct listing *l = arg;
	cleanup_buf struct buf path = BUF_INIT;
	const struct vnode *v;

	buf_printf(&path, "%s%s%s", l->dir_path, *l->dir_path ? "/" : "", name);
	if (path.error)
		return path.error;
	v = lookup_row(l->fs, l->row, path.data);
	return v ? l->fn(l->arg, v) : 0; /* gone since it was listed */
}

static int list_row(struct listing *l, const struct capture *c)
{
	const char *slash = strrchr(l->row->pattern, '/');
	const char *last = slash ? slash + 1 : l->row->pattern;
	struct vnode dir;
	int r;

	if (strcmp(last, "*"))
		return l->row->unlisted ? 0 : list_name(l, last);
	if (!l->row->list)
		return 0;
	r = vnode_fill(&dir, l->row, l->dir_path, c);
	if (r)
		return r;
	r = l->row->list(l->fs, &dir, list_name, l);
	free((void *)dir.params[0]);
	free(dir.path);
	return r;
}

int vnode_list(struct fs *fs, const char *dir_path, int (*fn)(void *arg, const struct vnode *v), void *arg)
{
	struct listing l = {.fs = fs, .dir_path = dir_path, .fn = fn, .arg = arg};
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(rows); i++) {
		struct capture c;

		l.row = &rows[i];
		if (match(rows[i].pattern, directory_len(rows[i].pattern), dir_path, &c))
			r = list_row(&l, &c);
	}
	return r;
}

/* ---- which directories ---- */

static bool path_has_entries(const char *path)
{
	struct capture c;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (match(rows[i].pattern, directory_len(rows[i].pattern), path, &c))
			return true;
	return false;
}

bool vnode_directory(struct fs *fs, uint64_t live_ino)
{
	_Atomic uint64_t *slot = &fs->vnodes->directories[live_ino % DIRECTORY_CACHE];
	uint64_t known = atomic_load_explicit(slot, memory_order_relaxed);
	cleanup_buf struct buf path = BUF_INIT;
	struct node *node;
	bool answer;
	int r = -ENOENT;

	if (known >> 1 == live_ino)
		return known & 1;
	engine_lock(fs->engine);
	node = tree_node(engine_tree(fs->engine), live_ino);
	if (node)
		r = tree_path_at(engine_tree(fs->engine), node, engine_live_seq(fs->engine), &path);
	engine_unlock(fs->engine);
	if (r)
		return false;
	answer = path_has_entries(path.data ? path.data : "");
	atomic_store_explicit(slot, live_ino << 1 | answer, memory_order_relaxed);
	return answer;
}

/* ---- text and attributes ---- */

int vnode_render(struct fs *fs, const struct vnode *v, struct buf *out)
{
	int r = v->row->render ? v->row->render(fs, v, out) : -EINVAL;

	return r ? r : out->error;
}

/* A file that cannot be rendered now has size 0: reading it tells the error. */
static uint64_t vnode_size(struct fs *fs, const struct vnode *v)
{
	struct vnode_item *item = (struct vnode_item *)(uintptr_t)v; /* its first member */
	cleanup_buf struct buf text = BUF_INIT;
	uint64_t size = 0;

	if (v->row->size)
		return v->row->size(fs, v, &size) ? 0 : size;
	if (!v->row->render)
		return 0;
	if (v->row->constant)
		size = atomic_load_explicit(&item->size, memory_order_relaxed);
	if (size)
		return size - 1;
	if (vnode_render(fs, v, &text))
		return 0;
	if (v->row->constant)
		atomic_store_explicit(&item->size, text.len + 1, memory_order_relaxed);
	return text.len;
}

static uint32_t mode_of(const struct vfile_row *row)
{
	switch (row->kind) {
	case VFILE_DIR:
	case VFILE_VIEW:
		return S_IFDIR | row->mode;
	case VFILE_LINK:
		return S_IFLNK | row->mode;
	default:
		return S_IFREG | row->mode;
	}
}

/* A file with write permission (one that can be written to, or that rm should not ask about) belongs to who owns its directory; others to who mounted. */
static void owner_of(struct fs *fs, const struct vnode *v, struct stat *ret)
{
	bool by_directory = v->row->mode & 0222 && v->row->kind != VFILE_LINK;
	cleanup_free char *dir = by_directory ? strndup(v->path, directory_len(v->path)) : NULL;
	struct node *node = NULL;
	struct tree_attr a;

	ret->st_uid = geteuid();
	ret->st_gid = getegid();
	if (!dir)
		return;
	engine_lock(fs->engine);
	node = tree_resolve(engine_tree(fs->engine), dir, engine_live_seq(fs->engine));
	if (node && !tree_attr_at(engine_tree(fs->engine), node, engine_live_seq(fs->engine), INT64_MAX, &a)) {
		ret->st_uid = a.uid;
		ret->st_gid = a.gid;
	}
	engine_unlock(fs->engine);
}

void vnode_stat(struct fs *fs, const struct vnode *v, struct stat *ret)
{
	int64_t time_ns = v->row->time ? v->row->time(fs, v) : fs->started_ns;
	uint32_t mode = mode_of(v->row);
	uint64_t size = vnode_size(fs, v);

	*ret = (struct stat){
		.st_ino = v->id,
		.st_mode = mode,
		.st_nlink = S_ISDIR(mode) ? 2 : 1,
		.st_size = (off_t)size,
		.st_blksize = 4096,
		.st_blocks = (blkcnt_t)((size + 511) / 512),
	};
	owner_of(fs, v, ret);
	ret->st_mtim = (struct timespec){.tv_sec = time_ns / NS_PER_S, .tv_nsec = time_ns % NS_PER_S};
	ret->st_atim = ret->st_ctim = ret->st_mtim;
}
