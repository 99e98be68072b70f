/* SPDX-License-Identifier: MIT
 *
 * Virtual files: rows in a table (vfile_list.h), each a path pattern and the function that renders it.
 *
 * A row's pattern is a path relative to the mount root where `*` stands for one component, captured as a parameter.
 * Directories of the live tree (state/events, status, …) show their virtual children beside their real ones;
 * a virtual directory (a row of kind VDIR) has only virtual children.
 * A vnode is a row with its parameters: created at first lookup, numbered, kept while mounted.
 *
 * Rendered text is consistent for the life of a handle: rendered at open, from one moment. Rows with a `size` function (the
 * event logs) are not rendered but read by range and may grow under an open handle.
 *
 * Adding a virtual file: one row in vfile_list.h and one function.
 */
#ifndef MILESTONEFS_VFILE_H
#define MILESTONEFS_VFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "buf.h"
#include "fs.h"
#include "view_slots.h"

/** VFILE_VIEW: a directory of the tree as it was at a sequence number; everything below it is the view's (node_id.h), not the table's. */
/** VFILE_WAIT: a text that is there only once something has happened; reading waits for it (waiters.h). */
enum vfile_kind { VFILE_TEXT, VFILE_RANGE, VFILE_DIR, VFILE_LINK, VFILE_VIEW, VFILE_WAIT };

#define VFILE_PARAMS_MAX 3

struct vfile_row;

struct vnode {
	uint64_t id; /**< node id, NODE_ID_VIRTUAL set */
	const struct vfile_row *row;
	char *path;                           /**< relative to the mount root, owned */
	const char *params[VFILE_PARAMS_MAX]; /**< what each `*` stood for; owned with path */
};

/** Fill @out with the text. 0 or -errno. */
typedef int (*vfile_render_fn)(struct fs *fs, const struct vnode *v, struct buf *out);
/** VFILE_RANGE: true size now; bytes of a range appended to @out. VFILE_TEXT may have a size function too, when rendering for its size costs too much. */
typedef int (*vfile_size_fn)(struct fs *fs, const struct vnode *v, uint64_t *ret_bytes);
typedef int (*vfile_range_fn)(struct fs *fs, const struct vnode *v, uint64_t offset, size_t len, struct buf *out);
/** For a `*` as last component: is there such an entry (lookup), and which to list. NULL list: found by name, never listed. */
typedef bool (*vfile_exists_fn)(struct fs *fs, const struct vnode *v);
typedef int (*vfile_each_fn)(void *arg, const char *name);
typedef int (*vfile_list_fn)(struct fs *fs, const struct vnode *directory, vfile_each_fn each, void *arg);
/** Writable rows (control files): called within write(2), one call a write. 0 or -errno. */
typedef int (*vfile_write_fn)(struct fs *fs, const struct vnode *v, struct request *q, const char *text, size_t len);

/** Time of its last change; rows without it show when the file system was mounted. */
typedef int64_t (*vfile_time_fn)(struct fs *fs, const struct vnode *v);
/** VFILE_VIEW: what it shows. False: nothing (any more). */
typedef bool (*vfile_view_fn)(struct fs *fs, const struct vnode *v, struct view *ret);
/** VFILE_WAIT: what an opening of it is about, kept in its handle and passed on. 0 or -errno. */
typedef int (*vfile_begin_fn)(struct fs *fs, const struct vnode *v, uint64_t *ret_subject);
/** VFILE_WAIT: 1 with the whole text in @out; 0: not yet; -errno. May be asked at any time under the handle's lock; takes the engine's. */
typedef int (*vfile_ready_fn)(struct fs *fs, const struct vnode *v, uint64_t subject, struct buf *out);

struct vfile_row {
	const char *pattern;
	enum vfile_kind kind;
	uint32_t mode; /**< permission bits, 0444 or 0555 usually */
	vfile_render_fn render;
	vfile_size_fn size;
	vfile_range_fn range;
	vfile_exists_fn exists;
	vfile_list_fn list;
	vfile_write_fn write;
	vfile_time_fn time;
	vfile_view_fn view;
	vfile_begin_fn begin;
	vfile_ready_fn ready;
	bool unlisted; /**< found by name, never listed */
	bool uncached; /**< entry and attribute timeouts 0 */
	bool settles;  /**< control files that change the tree: when the writer goes on, the kernel has forgotten what was changed */
	bool constant; /**< the text of a vnode never changes: its size is remembered */
};

/** The rows, for those who walk them. Of two rows that match, the first whose `exists` says so counts. */
const struct vfile_row *vfile_table(size_t *ret_count);

struct vnode_table *vnode_table_new(void);
void vnode_table_free(struct vnode_table *t);

/** The vnode of a number; NULL when unknown. Stays valid while mounted. */
const struct vnode *vnode_get(struct fs *fs, uint64_t id);
/** Virtual entry @name of the directory with the path @dir_path. NULL: none. */
const struct vnode *vnode_lookup(struct fs *fs, const char *dir_path, const char *name);
/** Virtual entries of that directory: calls @fn(arg, vnode). */
int vnode_list(struct fs *fs, const char *dir_path, int (*fn)(void *arg, const struct vnode *v), void *arg);
/** Could that directory have virtual entries at all? Cheap enough for each lookup: keyed by the live inode's number, cached. */
bool vnode_directory(struct fs *fs, uint64_t live_ino);
void vnode_stat(struct fs *fs, const struct vnode *v, struct stat *ret);
/** Text of a VFILE_TEXT or VFILE_LINK row. */
int vnode_render(struct fs *fs, const struct vnode *v, struct buf *out);

#endif
