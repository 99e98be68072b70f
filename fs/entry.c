/* SPDX-License-Identifier: MIT
 *
 * Attributes and entries. The tree is asked under the engine's lock, drafts and
 * virtual files after it (their locks come first), so an answer may mix two
 * moments; a file being written has timeout 0 and is simply asked about again.
 */
#include "entry.h"

#include <errno.h>
#include <string.h>

#include "handle.h"
#include "layout.h"
#include "node_id.h"
#include "process.h"
#include "registry.h"
#include "upkeep.h"
#include "view_slots.h"

enum { BLOCK_BYTES = 64 << 10 }; /* what programs should write at a time: one request */

static struct timespec timespec_of(int64_t ns)
{
	int64_t s = ns / NS_PER_S, rest = ns % NS_PER_S;

	if (rest < 0) {
		s--;
		rest += NS_PER_S;
	}
	return (struct timespec){.tv_sec = s, .tv_nsec = rest};
}

void entry_stat_fill(const struct tree_attr *a, uint64_t st_ino, struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = st_ino,
		.st_mode = a->mode,
		.st_nlink = a->nlink,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = a->rdev,
		.st_size = (off_t)a->size,
		.st_blksize = BLOCK_BYTES,
		.st_blocks = (blkcnt_t)a->blocks_512,
		.st_atim = timespec_of(a->atime_ns),
		.st_mtim = timespec_of(a->mtime_ns),
		.st_ctim = timespec_of(a->ctime_ns),
	};
}

int entry_live_attr(struct fs *fs, uint64_t ino, struct tree_attr *ret)
{
	struct node *node;
	int r = -ENOENT;

	engine_lock(fs->engine);
	node = tree_node(engine_tree(fs->engine), ino);
	if (node)
		r = tree_attr_at(engine_tree(fs->engine), node, engine_live_seq(fs->engine), INT64_MAX, ret);
	engine_unlock(fs->engine);
	return r;
}

/* An agent's newest sign of life shows at once as its file's time, and is in the tree later. False: it is no agent's file. */
static bool adjust_agent(struct fs *fs, struct stat *st)
{
	bool is_agent = false;
	int64_t heartbeat_ns;

	if (!upkeep_may_be_agent(fs->engine, st->st_ino))
		return false;
	engine_lock(fs->engine);
	heartbeat_ns = upkeep_heartbeat_time(fs->engine, st->st_ino, &is_agent);
	engine_unlock(fs->engine);
	if (heartbeat_ns)
		st->st_mtim = st->st_ctim = timespec_of(heartbeat_ns);
	return is_agent;
}

double entry_adjust_live(struct fs *fs, uint32_t tid, struct stat *st)
{
	bool is_agent = S_ISREG(st->st_mode) && adjust_agent(fs, st);
	uint64_t size;
	int64_t mtime_ns;

	if (!S_ISREG(st->st_mode) || !handles_writing(fs->handles, st->st_ino))
		return is_agent ? 0 : ATTR_TIMEOUT_S;
	if (!handles_draft_stat(fs, st->st_ino, tid, &size, &mtime_ns))
		return 0;
	if (st->st_size == 0 && st->st_blocks == 0)
		st->st_blocks = (blkcnt_t)((size + 511) / 512);
	st->st_size = (off_t)size;
	if (mtime_ns) {
		st->st_mtim = timespec_of(mtime_ns);
		st->st_ctim = st->st_mtim;
	}
	return 0;
}

bool entry_kept_by_us(struct fs *fs, uint64_t dir_ino)
{
	enum place_kind kind;

	engine_lock(fs->engine);
	kind = registry_place_of(fs->engine, dir_ino, NULL);
	engine_unlock(fs->engine);
	return kind == PLACE_LOCKS || kind == PLACE_CHECKPOINTS || kind == PLACE_SYNC || kind == PLACE_BARRIER || kind == PLACE_HEALTH;
}

/* By its newest name: a name in such a place is its inode's only one, or one that was just looked up. */
static bool kept_by_us(struct fs *fs, uint64_t ino)
{
	const struct node *node;
	uint64_t dir_ino = 0;

	engine_lock(fs->engine);
	node = tree_node(engine_tree(fs->engine), ino);
	if (node && node->names)
		dir_ino = node->names->parent->ino;
	engine_unlock(fs->engine);
	return dir_ino && entry_kept_by_us(fs, dir_ino);
}

void entry_fill_live(struct fs *fs, uint32_t tid, const struct tree_attr *a, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){.ino = a->ino, .entry_timeout = kept_by_us(fs, a->ino) ? 0 : ENTRY_TIMEOUT_S};
	if (S_ISDIR(a->mode))
		ret->generation = hidden_generation(fs->hidden, a->ino);
	entry_stat_fill(a, a->ino, &ret->attr);
	ret->attr_timeout = entry_adjust_live(fs, tid, &ret->attr);
}

bool entry_view(struct fs *fs, uint64_t node_id, uint64_t *ret_seq, uint64_t *ret_ino)
{
	struct view view;

	if (!view_slots_get(fs->views, node_id_view_slot(node_id), &view))
		return false;
	*ret_seq = view.seq;
	*ret_ino = node_id_view_ino(node_id);
	return true;
}

const struct version *entry_version(struct fs *fs, uint64_t node_id, struct node **ret_node)
{
	uint64_t seq = engine_live_seq(fs->engine), ino = node_id;
	struct version *v;
	struct node *node;

	if (node_id_is_virtual(node_id) || (node_id_is_view(node_id) && !entry_view(fs, node_id, &seq, &ino)))
		return NULL;
	node = tree_node(engine_tree(fs->engine), ino);
	v = node ? tree_version_at(node, seq) : NULL;
	if (v)
		*ret_node = node;
	return v;
}

/* The root of a part of the tree that is kept shows when it was. */
static int stat_view(struct fs *fs, uint64_t node_id, struct stat *ret)
{
	uint64_t ino = node_id_view_ino(node_id);
	struct view view;
	struct tree_attr a;
	struct node *node;
	int64_t time_ns;
	int r = -ENOENT;

	if (!view_slots_get(fs->views, node_id_view_slot(node_id), &view))
		return -ENOENT;
	engine_lock(fs->engine);
	time_ns = engine_seq_time(fs->engine, view.seq);
	node = tree_node(engine_tree(fs->engine), ino);
	if (node)
		r = tree_attr_at(engine_tree(fs->engine), node, view.seq, time_ns, &a);
	engine_unlock(fs->engine);
	if (r == 0 && view.above_ino && ino == view.root_ino)
		a.atime_ns = a.mtime_ns = a.ctime_ns = time_ns;
	if (r == 0)
		entry_stat_fill(&a, node_id, ret);
	return r;
}

uint64_t entry_view_root(struct fs *fs, const struct vnode *v)
{
	struct view view;
	uint32_t slot;

	if (!v->row->view(fs, v, &view) || view_slots_take(fs->views, &view, &slot) < 0)
		return 0;
	return node_id_view(slot, view.root_ino);
}

/* The root of a view instead of the virtual entry that names it; no inode when there is none (any more). */
static void fill_view(struct fs *fs, const struct vnode *v, struct fuse_entry_param *ret)
{
	ret->ino = entry_view_root(fs, v);
	if (ret->ino && stat_view(fs, ret->ino, &ret->attr) < 0)
		ret->ino = 0;
}

void entry_fill_virtual(struct fs *fs, const struct vnode *v, struct fuse_entry_param *ret)
{
	bool cached = !v->row->uncached && strncmp(v->path, "transactions/", strlen("transactions/"));

	*ret = (struct fuse_entry_param){
		.ino = v->id,
		.entry_timeout = cached ? ENTRY_TIMEOUT_S : 0,
		.attr_timeout = cached ? ATTR_TIMEOUT_S : 0,
	};
	if (v->row->kind == VFILE_VIEW) {
		fill_view(fs, v, ret);
		return;
	}
	vnode_stat(fs, v, &ret->attr);
	ret->attr.st_ino = v->id;
	if (v->row->kind == VFILE_DIR)
		ret->generation = hidden_generation(fs->hidden, v->id);
}

int entry_stat(struct fs *fs, uint64_t node_id, uint32_t tid, struct stat *ret, double *ret_timeout_s)
{
	struct fuse_entry_param e;
	const struct vnode *v;
	struct tree_attr a;
	int r;

	if (node_id_is_virtual(node_id)) {
		v = vnode_get(fs, node_id);
		if (!v)
			return -ENOENT;
		entry_fill_virtual(fs, v, &e);
		*ret = e.attr;
		*ret_timeout_s = e.attr_timeout;
		return 0;
	}
	if (node_id_is_view(node_id)) {
		*ret_timeout_s = ATTR_TIMEOUT_S;
		return stat_view(fs, node_id, ret);
	}
	r = entry_live_attr(fs, node_id, &a);
	if (r < 0)
		return r;
	entry_stat_fill(&a, node_id, ret);
	*ret_timeout_s = entry_adjust_live(fs, tid, ret);
	return 0;
}

int entry_live_path(struct fs *fs, uint64_t ino, struct buf *ret)
{
	struct node *node;
	int r = -ENOENT;

	engine_lock(fs->engine);
	node = tree_node(engine_tree(fs->engine), ino);
	if (node)
		r = tree_path_at(engine_tree(fs->engine), node, engine_live_seq(fs->engine), ret);
	engine_unlock(fs->engine);
	return r;
}

const struct vnode *entry_virtual_child(struct fs *fs, uint64_t parent, const char *name, bool *ret_reserved)
{
	cleanup_buf struct buf path = BUF_INIT;
	const struct vnode *dir;
	bool reserved = false;

	if (node_id_is_virtual(parent)) {
		reserved = true;
		dir = vnode_get(fs, parent);
		if (ret_reserved)
			*ret_reserved = reserved;
		return dir ? vnode_lookup(fs, dir->path, name) : NULL;
	}
	if (node_id_is_live(parent))
		reserved = vnode_directory(fs, parent);
	if (ret_reserved)
		*ret_reserved = reserved;
	if (!reserved || entry_live_path(fs, parent, &path) < 0)
		return NULL;
	return vnode_lookup(fs, path.data ? path.data : "", name);
}

void entry_caller(struct fs *fs, uint32_t tid, struct hidden_process *ret)
{
	struct proc_stat st;

	*ret = (struct hidden_process){.tgid = tid ? process_tgid_get(fs->processes, tid) : 0};
	if (ret->tgid && proc_stat_read_pid(ret->tgid, &st) == 0)
		ret->start_time = st.start_time;
}

enum entry_hidden entry_hidden(struct fs *fs, uint32_t tid, uint64_t parent, const char *name)
{
	int64_t now_ns = hidden_any(fs->hidden) ? env_monotonic_ns(engine_env(fs->engine)) : 0;
	struct hidden_process p;

	if (!hidden_in(fs->hidden, parent, name, now_ns))
		return ENTRY_SHOWN;
	entry_caller(fs, tid, &p);
	return hidden_from(fs->hidden, &p, parent, name, now_ns) ? ENTRY_HIDDEN : ENTRY_HIDDEN_FROM_OTHERS;
}

bool entry_view_emptied(struct fs *fs, uint32_t tid, uint64_t dir_id)
{
	struct view view;

	return node_id_is_view(dir_id) && hidden_any(fs->hidden) && view_slots_get(fs->views, node_id_view_slot(dir_id), &view) && view.above_ino &&
	       entry_hidden(fs, tid, view.above_ino, HIDDEN_VIEWS) == ENTRY_HIDDEN;
}

int entry_check_change(struct fs *fs, uint64_t parent, const char *name, int if_virtual)
{
	if (!node_id_is_live(parent))
		return entry_virtual_child(fs, parent, name, NULL) ? if_virtual : -EROFS;
	return entry_virtual_child(fs, parent, name, NULL) ? if_virtual : 0;
}

int entry_check_alter(struct fs *fs, uint64_t node_id)
{
	cleanup_buf struct buf path = BUF_INIT;

	if (!node_id_is_live(node_id))
		return -EROFS;
	return entry_live_path(fs, node_id, &path) == 0 && path.len && layout_is_sealed(path.data) ? -EROFS : 0;
}
