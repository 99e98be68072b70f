/* SPDX-License-Identifier: MIT
 *
 * OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR.
 *
 * A listing is taken at offset 0 and lives with the handle; cookies are places in it. So a reading of 100,000 entries neither
 * repeats nor loses an entry that was there all the time, whatever happens meanwhile.
 *
 * READDIRPLUS gives attributes only for a name that still means what the listing says: the kernel
 * enters what it is told into its name cache. What is hidden from the reading process (hidden.h) is not listed.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "entry.h"
#include "handle.h"
#include "node_id.h"
#include "ops.h"
#include "reply.h"
#include "session.h"

enum { PLUS_BATCH = 64 };

struct dir_entry {
	uint64_t node_id;
	size_t name; /* offset in names */
	mode_t mode;
};

struct handle_dir {
	struct dir_entry *entries;
	size_t count, capacity;
	struct buf names;
	int error; /* sticky -ENOMEM while it is made */
};

static void dir_free(struct handle_dir *d)
{
	if (!d)
		return;
	free(d->entries);
	buf_release(&d->names);
	free(d);
}

static void dir_add(struct handle_dir *d, uint64_t node_id, mode_t mode, const char *name)
{
	if (!d->error)
		d->error = array_reserve(&d->entries, &d->capacity, d->count + 1, sizeof(*d->entries));
	if (d->error)
		return;
	d->entries[d->count++] = (struct dir_entry){.node_id = node_id, .name = d->names.len, .mode = mode};
	buf_append(&d->names, name, strlen(name) + 1);
	if (d->names.error)
		d->error = d->names.error;
}

/* --- taking a listing -------------------------------------------------------------- */

static int add_virtual(void *arg, const struct vnode *v)
{
	const mode_t types[] = {[VFILE_TEXT] = S_IFREG, [VFILE_RANGE] = S_IFREG, [VFILE_DIR] = S_IFDIR, [VFILE_LINK] = S_IFLNK, [VFILE_VIEW] = S_IFDIR};
	const char *slash = strrchr(v->path, '/');

	dir_add(arg, v->id, types[v->row->kind], slash ? slash + 1 : v->path);
	return 0;
}

/* A node of the tree seen beside @dir_id: live, or in its view. */
static uint64_t number_beside(uint64_t dir_id, uint64_t ino)
{
	return node_id_is_live(dir_id) ? ino : node_id_view(node_id_view_slot(dir_id), ino);
}

/* Entries of a directory of the tree, live or in a view. */
static int list_tree(struct fs *fs, struct handle_dir *d, uint64_t dir_id)
{
	uint64_t ino = node_id_is_live(dir_id) ? dir_id : node_id_view_ino(dir_id);
	struct dentry **found = NULL;
	struct view view = {0};
	struct node *dir;
	size_t count = 0;
	int r = -ENOENT;

	if (node_id_is_view(dir_id) && !view_slots_get(fs->views, node_id_view_slot(dir_id), &view))
		return r;
	engine_lock(fs->engine);
	if (node_id_is_live(dir_id))
		view.seq = engine_live_seq(fs->engine);
	dir = tree_node(engine_tree(fs->engine), ino);
	if (dir && dir->newest && S_ISDIR(dir->newest->attrs->mode)) {
		struct dentry *name = tree_name_at(dir, view.seq);
		uint64_t parent = number_beside(dir_id, name ? name->parent->ino : TREE_ROOT_INO);

		dir_add(d, dir_id, S_IFDIR, ".");
		dir_add(d, view.above_ino && ino == view.root_ino ? view.above_ino : parent, S_IFDIR, "..");
		r = tree_list(engine_tree(fs->engine), dir, view.seq, &found, &count);
	}
	for (size_t i = 0; r == 0 && i < count; i++) {
		const struct node *n = found[i]->node;

		dir_add(d, number_beside(dir_id, n->ino), n->newest->attrs->mode & S_IFMT, found[i]->name->text);
	}
	engine_unlock(fs->engine);
	free(found);
	return r;
}

/* Virtual names are reserved, so they come once: the tree has none of them. */
static int list_live(struct fs *fs, struct handle_dir *d, uint64_t ino)
{
	cleanup_buf struct buf path = BUF_INIT;
	int r = list_tree(fs, d, ino);

	if (r < 0 || !vnode_directory(fs, ino) || entry_live_path(fs, ino, &path) < 0)
		return r;
	return vnode_list(fs, path.data ? path.data : "", add_virtual, d);
}

static int list_virtual(struct fs *fs, struct handle_dir *d, uint64_t node_id)
{
	const struct vnode *v = vnode_get(fs, node_id);

	if (!v)
		return -ENOENT;
	dir_add(d, node_id, S_IFDIR, ".");
	dir_add(d, FUSE_ROOT_ID, S_IFDIR, "..");
	return vnode_list(fs, v->path, add_virtual, d);
}

static bool something_hidden(struct fs *fs, uint64_t node_id)
{
	return hidden_any(fs->hidden) && hidden_in(fs->hidden, node_id, NULL, env_monotonic_ns(engine_env(fs->engine)));
}

static void drop_hidden(struct fs *fs, struct handle_dir *d, uint64_t node_id, uint32_t tid)
{
	size_t kept = MIN((size_t)2, d->count);

	if (entry_view_emptied(fs, tid, node_id))
		d->count = kept;
	if (!something_hidden(fs, node_id))
		return;
	for (size_t i = kept; i < d->count; i++)
		if (entry_hidden(fs, tid, node_id, d->names.data + d->entries[i].name) != ENTRY_HIDDEN)
			d->entries[kept++] = d->entries[i];
	d->count = kept;
}

static int dir_new(struct fs *fs, uint64_t node_id, uint32_t tid, struct handle_dir **ret)
{
	struct handle_dir *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	if (node_id_is_virtual(node_id))
		r = list_virtual(fs, d, node_id);
	else
		r = node_id_is_live(node_id) ? list_live(fs, d, node_id) : list_tree(fs, d, node_id);
	if (r >= 0)
		r = d->error;
	if (r < 0) {
		dir_free(d);
		return r;
	}
	drop_hidden(fs, d, node_id, tid);
	*ret = d;
	return 0;
}

/* The listing that a read at @offset goes on with. h->lock held. */
static int dir_get(fuse_req_t req, struct handle *h, off_t offset, struct handle_dir **ret)
{
	struct handle_dir *d;
	int r;

	if (offset == 0 || !h->dir) {
		r = dir_new(fs_of(req), h->node_id, (uint32_t)fuse_req_ctx(req)->pid, &d);
		if (r < 0)
			return r;
		dir_free(h->dir);
		h->dir = d;
	}
	*ret = h->dir;
	return 0;
}

/* --- operations ------------------------------------------------------------------------ */

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *h = handle_new(HANDLE_DIR, ino, fi->flags, (uint32_t)fuse_req_ctx(req)->pid);
	struct fs *fs = fs_of(req);

	if (!h) {
		reply_error(req, -ENOMEM);
		return;
	}
	fi->fh = (uintptr_t)h;
	if (fuse_reply_open(req, fi) == -ENOENT)
		handle_unref(fs, h);
}

/* What stat(2) will say: the name of a view stands for its root. */
static uint64_t shown_number(struct fs *fs, uint64_t node_id)
{
	const struct vnode *v = node_id_is_virtual(node_id) ? vnode_get(fs, node_id) : NULL;

	return v && v->row->kind == VFILE_VIEW ? entry_view_root(fs, v) : node_id;
}

/* Puts entries from @first on into @out as long as they fit. Returns the bytes used. */
typedef size_t fill_listing(fuse_req_t req, struct handle *h, const struct handle_dir *d, size_t first, char *out, size_t size);

static void reply_listing(fuse_req_t req, size_t size, off_t offset, const struct fuse_file_info *fi, fill_listing *fill)
{
	struct handle *h = handle_of(fi);
	cleanup_free char *out = malloc(size);
	struct handle_dir *d;
	size_t used = 0;
	int r;

	fs_order_wait(fs_of(req), req);
	pthread_mutex_lock(&h->lock);
	r = out ? dir_get(req, h, offset, &d) : -ENOMEM;
	if (r == 0)
		used = fill(req, h, d, (size_t)offset, out, size);
	pthread_mutex_unlock(&h->lock);
	if (r < 0)
		reply_error(req, r);
	else
		(void)fuse_reply_buf(req, out, used);
}

static size_t fill_names(fuse_req_t req, struct handle *h, const struct handle_dir *d, size_t first, char *out, size_t size)
{
	size_t used = 0;

	(void)h;
	for (size_t i = first; i < d->count; i++) {
		const struct dir_entry *e = &d->entries[i];
		struct stat st = {.st_ino = shown_number(fs_of(req), e->node_id), .st_mode = e->mode};
		size_t n = fuse_add_direntry(req, out + used, size - used, d->names.data + e->name, &st, (off_t)i + 1);

		if (n > size - used)
			break;
		used += n;
	}
	return used;
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)ino;
	reply_listing(req, size, offset, fi, fill_names);
}

/* Attributes of live entries [first, first + count), under one lock; ino 0 where the name means something else by now. */
static void batch_live(struct fs *fs, const struct handle *h, const struct handle_dir *d, size_t first, size_t count, struct tree_attr attrs[])
{
	struct tree *tree;
	struct node *dir;
	uint64_t seq;

	engine_lock(fs->engine);
	tree = engine_tree(fs->engine);
	seq = engine_live_seq(fs->engine);
	dir = tree_node(tree, h->node_id);
	for (size_t i = 0; i < count; i++) {
		const struct dir_entry *e = &d->entries[first + i];
		const char *name = d->names.data + e->name;
		struct dentry *entry;

		attrs[i].ino = 0;
		if (!dir || first + i < 2 || !node_id_is_live(e->node_id))
			continue;
		entry = tree_lookup(tree, dir, name, strlen(name), seq);
		if (!entry || entry->node->ino != e->node_id || tree_attr_at(tree, entry->node, seq, INT64_MAX, &attrs[i]) < 0)
			attrs[i].ino = 0;
	}
	engine_unlock(fs->engine);
}

static void entry_plus(struct fs *fs, uint32_t tid, const struct dir_entry *e, bool dots, const struct tree_attr *a, struct fuse_entry_param *ret)
{
	double timeout_s;

	*ret = (struct fuse_entry_param){.attr = {.st_ino = e->node_id, .st_mode = e->mode}};
	if (dots)
		return;
	if (a->ino) {
		entry_fill_live(fs, tid, a, ret);
	} else if (node_id_is_virtual(e->node_id)) {
		const struct vnode *v = vnode_get(fs, e->node_id);

		if (v)
			entry_fill_virtual(fs, v, ret);
	} else if (node_id_is_view(e->node_id) && entry_stat(fs, e->node_id, tid, &ret->attr, &timeout_s) == 0) {
		ret->ino = e->node_id;
		ret->attr_timeout = timeout_s;
		ret->entry_timeout = ENTRY_TIMEOUT_S;
	}
}

static size_t fill_plus(fuse_req_t req, struct handle *h, const struct handle_dir *d, size_t first, char *out, size_t size)
{
	uint32_t tid = (uint32_t)fuse_req_ctx(req)->pid;
	struct tree_attr attrs[PLUS_BATCH];
	struct fs *fs = fs_of(req);
	bool cached = !something_hidden(fs, h->node_id);
	struct fuse_entry_param e;
	size_t used = 0;

	for (size_t i = first; i < d->count; i++) {
		size_t at = (i - first) % PLUS_BATCH, n;

		if (at == 0)
			batch_live(fs, h, d, i, MIN((size_t)PLUS_BATCH, d->count - i), attrs);
		entry_plus(fs, tid, &d->entries[i], i < 2, &attrs[at], &e);
		if (!cached)
			e.entry_timeout = 0;
		n = fuse_add_direntry_plus(req, out + used, size - used, d->names.data + d->entries[i].name, &e, (off_t)i + 1);
		if (n > size - used)
			break;
		used += n;
	}
	return used;
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)ino;
	reply_listing(req, size, offset, fi, fill_plus);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);

	(void)ino;
	dir_free(h->dir);
	h->dir = NULL;
	handle_unref(fs_of(req), h);
	reply_error(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);

	(void)ino, (void)datasync, (void)fi;
	fs_order_wait(fs, req);
	reply_error_after(fs, req, engine_head_seq(fs->engine), JOURNAL_DURABLE, 0);
}
