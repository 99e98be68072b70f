/* SPDX-License-Identifier: MIT
 *
 * The files of floor_fs.c and what is open of them: nodes in memory, each directory a hash table of names. The caller holds a lock around all of it.
 *
 * A node lives until it has no name and the kernel, which holds on to it while it is open, has forgotten it. Failure: of memory, ends the program.
 */
#ifndef MILESTONEFS_FLOOR_TREE_H
#define MILESTONEFS_FLOOR_TREE_H

#include "bench.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <uthash.h>

#define FLOOR_KEPT_S 3600.0 /**< nobody changes anything behind the kernel's back */

struct floor_node {
	UT_hash_handle hh; /**< in the children of @parent, by @name */
	struct floor_node *parent, *children;
	struct stat attr; /**< st_nlink: 0 when it has no name */
	char *data;
	size_t capacity;
	uint64_t lookups; /**< that the kernel has not given back */
	char name[NAME_MAX + 1];
};

static inline void *floor_memory(void *p)
{
	if (!p)
		bench_die("memory");
	return p;
}

/** Room for @want elements in @p, doubled so that appending stays cheap. */
static inline void *floor_reserve(void *p, size_t *capacity, size_t want, size_t element)
{
	if (want <= *capacity)
		return p;
	*capacity = want > 2 * *capacity ? want : 2 * *capacity;
	return floor_memory(realloc(p, *capacity * element));
}

static inline void floor_node_init(struct floor_node *n, mode_t mode, uint64_t ino)
{
	n->attr = (struct stat){.st_ino = ino, .st_mode = mode, .st_nlink = 1, .st_uid = getuid(), .st_gid = getgid()};
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &n->attr.st_mtim);
}

/** NULL: there is none. */
static inline struct floor_node *floor_node_find(const struct floor_node *dir, const char *name)
{
	struct floor_node *n;

	HASH_FIND_STR(dir->children, name, n);
	return n;
}

static inline void floor_node_link(struct floor_node *n, struct floor_node *dir, const char *name)
{
	n->parent = dir;
	(void)snprintf(n->name, sizeof(n->name), "%s", name);
	HASH_ADD_STR(dir->children, name, n);
}

static inline struct floor_node *floor_node_make(struct floor_node *dir, const char *name, mode_t mode, uint64_t ino)
{
	struct floor_node *n = floor_memory(calloc(1, sizeof(*n)));

	floor_node_init(n, mode, ino);
	floor_node_link(n, dir, name);
	return n;
}

static inline void floor_node_forget(struct floor_node *n, uint64_t lookups)
{
	n->lookups -= lookups;
	if (n->attr.st_nlink || n->lookups)
		return;
	free(n->data);
	free(n);
}

static inline void floor_node_unlink(struct floor_node *n)
{
	HASH_DEL(n->parent->children, n);
	n->attr.st_nlink = 0;
	floor_node_forget(n, 0);
}

static inline void floor_node_move(struct floor_node *n, struct floor_node *dir, const char *name)
{
	struct floor_node *over = floor_node_find(dir, name);

	HASH_DEL(n->parent->children, n);
	if (over)
		floor_node_unlink(over);
	floor_node_link(n, dir, name);
}

static inline void floor_node_resize(struct floor_node *n, off_t size)
{
	n->data = floor_reserve(n->data, &n->capacity, (size_t)size, 1);
	if (size > n->attr.st_size)
		memset(n->data + n->attr.st_size, 0, (size_t)(size - n->attr.st_size));
	n->attr.st_size = size;
}

/** What the kernel is told; it knows the node from then on. */
static inline struct fuse_entry_param floor_node_entry(struct floor_node *n)
{
	n->lookups++;
	return (struct fuse_entry_param){.ino = (fuse_ino_t)n, .attr = n->attr, .attr_timeout = FLOOR_KEPT_S, .entry_timeout = FLOOR_KEPT_S};
}

/* ---- what is open ---- */

/** Of those who may write; readers have none. */
struct floor_handle {
	off_t from, to; /**< written since the last record */
	bool changed;
};

/** Set @fi, of a file just made (@made) or of one that was there. */
static inline void floor_handle_open(struct floor_node *n, struct fuse_file_info *fi, bool made)
{
	struct floor_handle *h;

	fi->direct_io = 1;
	fi->noflush = !made && (fi->flags & (O_ACCMODE | O_TRUNC)) == O_RDONLY;
	if (fi->noflush)
		return;
	h = floor_memory(calloc(1, sizeof(*h)));
	h->changed = made || fi->flags & O_TRUNC;
	if (fi->flags & O_TRUNC)
		floor_node_resize(n, 0);
	fi->fh = (uintptr_t)h;
}

static inline void floor_handle_write(struct floor_handle *h, struct floor_node *n, const char *data, size_t bytes, off_t at)
{
	off_t end = at + (off_t)bytes;

	if (end > n->attr.st_size)
		floor_node_resize(n, end);
	memcpy(n->data + at, data, bytes);
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &n->attr.st_mtim);
	h->from = h->to && h->from < at ? h->from : at;
	h->to = h->to > end ? h->to : end;
	h->changed = true;
}

/** An open directory: entries as readdir sends them, each with the offset of the next. */
struct floor_listing {
	size_t bytes;
	char entries[];
};

static inline struct floor_listing *floor_list(const struct floor_node *dir)
{
	struct floor_listing *l;
	size_t bytes = 0, end;

	for (const struct floor_node *n = dir->children; n; n = n->hh.next)
		bytes += fuse_add_direntry(NULL, NULL, 0, n->name, NULL, 0);
	l = floor_memory(malloc(sizeof(*l) + bytes));
	l->bytes = 0;
	for (const struct floor_node *n = dir->children; n; n = n->hh.next) {
		end = l->bytes + fuse_add_direntry(NULL, NULL, 0, n->name, NULL, 0);
		(void)fuse_add_direntry(NULL, l->entries + l->bytes, bytes - l->bytes, n->name, &n->attr, (off_t)end);
		l->bytes = end;
	}
	return l;
}

#endif
