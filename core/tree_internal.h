/* SPDX-License-Identifier: MIT
 *
 * Private to core/tree*.c: what a tree is made of, and the steps the parts share.
 *
 *   tree.c          the tree itself, nodes by number, names by (parent, name), stats
 *   tree_version.c  versions of a node, their times
 *   tree_attrs.c    interned attributes and extended attributes
 *   tree_content.c  write logs
 *   tree_reserve.c  memory ahead of apply
 *   tree_apply.c    changes      tree_newborn.c  names not in the journal yet
 *   tree_read.c     views        tree_dump.c, tree_load.c  the index snapshot
 *
 * Nothing here fails for memory but the *_reserve functions.
 */
#ifndef MILESTONEFS_TREE_INTERNAL_H
#define MILESTONEFS_TREE_INTERNAL_H

#include <string.h>
#include <sys/stat.h>

#include "pool.h"
#include "tree.h"
#include "util.h"

/* Inode numbers are 40 bits; nodes lie in a radix tree of four levels of 10 bits, the lowest holding them by value. */
#define TREE_INO_BITS 40
#define TREE_FANOUT_BITS 10
#define TREE_FANOUT (1u << TREE_FANOUT_BITS)
#define TREE_INO_MAX ((UINT64_C(1) << TREE_INO_BITS) - 1)

#define TREE_SYMLINK_MAX 4095
#define TREE_XATTR_VALUE_MAX 65536

struct tree_inner {
	void *slots[TREE_FANOUT];
};
struct tree_leaf {
	struct node nodes[TREE_FANOUT]; /* newest == NULL: no such node */
};

/* An interned sequence of bytes. */
struct blob {
	struct blob *hash_next;
	uint64_t hash;
	uint32_t len;
	_Alignas(8) char data[];
};

/* An extended attribute is a blob: u16 name length, name, value (memory only). A set is sorted by name. */
struct xattrs {
	size_t count;
	const struct blob *items[];
};

/* A content got ready by tree_reserve() for a node whose next change needs a new one. */
struct tree_spare {
	uint64_t ino;
	size_t extents; /* while reserving: that the log and the map must take */
	bool fresh;     /* while reserving: a new content may be begun */
	struct content *content;
};

/* Every so many-th version of a node points further back: see tree_version.c. */
#define TREE_FAR_STRIDE 8
struct version_far {
	struct version version; /* depth % TREE_FAR_STRIDE == TREE_FAR_STRIDE - 1 */
	struct version_far *jump;
};

struct tree {
	struct pool versions, far_versions, dentries, directories, attrs, contents;
	struct bump text; /* names, symlink targets, blobs */
	struct tree_inner *nodes;

	struct dentry **live; /* chains through hash_next */
	size_t live_slots, live_count;
	struct dentry **tombs; /* newest dead entry per (parent, name); open addressing */
	size_t tomb_slots, tomb_count;
	struct attrs **attrs_table;
	size_t attrs_slots, attrs_count;
	struct blob **blobs;
	size_t blob_slots, blob_count;

	struct content *all_contents;
	struct tree_spare *spares; /* sorted by ino */
	size_t spare_count, spare_capacity;
	uint64_t *relinks; /* inode numbers that the reserved transaction links, sorted */
	size_t relink_count, relink_capacity;

	uint64_t next_ino;
	uint64_t last_seq;
	uint32_t next_order;
	uint64_t node_bytes, content_bytes;
	struct tree_stats stats;
};

static inline bool node_is_dir(const struct node *n)
{
	return S_ISDIR(n->newest->attrs->mode);
}
static inline bool node_is_linked(const struct node *n)
{
	if (n->ino == TREE_ROOT_INO)
		return true;
	return node_is_dir(n) ? n->names && n->names->died == SEQ_NEVER : n->nlink > 0;
}

/* ---- nodes (tree.c) ---- */
int tree_node_reserve(struct tree *t, uint64_t ino);
/* The node's place, reserved; newest is NULL when it does not exist yet. */
struct node *tree_node_slot(const struct tree *t, uint64_t ino);
/* First node with a number >= @ino, or NULL. */
struct node *tree_node_next(const struct tree *t, uint64_t ino);
/* Largest number ever used or taken is at least @ino. */
void tree_ino_used(struct tree *t, uint64_t ino);

/* ---- entries (tree.c) ---- */
uint32_t tree_name_hash(const char *name, size_t len);
bool tree_name_ok(const char *name, size_t len);
int tree_live_reserve(struct tree *t, size_t more);
int tree_tombs_reserve(struct tree *t, size_t more);
struct dentry *tree_live_find(const struct tree *t, const struct node *parent, const char *name, size_t len);
struct dentry *tree_tomb_find(const struct tree *t, const struct node *parent, const char *name, size_t len);
/* A new live entry at the end of the directory; its text is shared with earlier ones of the same name. Updates nlink and stats. */
struct dentry *tree_entry_link(struct tree *t, struct node *parent, struct node *n, const char *name, size_t len, uint64_t born);
/* The entry leaves the live view; one that no view saw leaves the history too. Updates nlink and stats. */
void tree_entry_unlink(struct tree *t, struct dentry *d, uint64_t died);
/* A newborn's entry becomes real: last in its directory, as if it had been made now. */
void tree_entry_settle(struct tree *t, struct dentry *d, uint64_t born);
/* The parts of the above that loading uses. */
void tree_entry_insert_live(struct tree *t, struct dentry *d);
void tree_entry_insert_dead(struct tree *t, struct dentry *d);
const struct name *tree_name_new(struct tree *t, const char *text, size_t len);

/* ---- versions (tree_version.c) ---- */
/* Room for @count versions, of which @far may be far ones. */
int tree_versions_reserve(struct tree *t, size_t count, size_t far);
/* Push a version: links it, counts it. */
struct version *tree_version_push(struct tree *t, struct node *n, uint64_t born);
/* Attributes of a version with these times; @is_set: utimens gave mtime. */
void tree_attrs_set_mtime(struct attrs *a, int64_t mtime_ns, int64_t ctime_ns, bool is_set);
/* Alter times in place. May need a reserved attrs. */
void tree_version_set_times(struct tree *t, struct version *v, int64_t mtime_ns, int64_t ctime_ns, bool is_set);
/* A child came or went: times of the directory's newest version. May need a reserved attrs. */
void tree_dir_touch(struct tree *t, struct node *dir, int64_t time_ns);

/* ---- attributes (tree_attrs.c) ---- */
int tree_attrs_reserve(struct tree *t, size_t more);
int tree_blobs_reserve(struct tree *t, size_t more);
const struct attrs *tree_attrs_intern(struct tree *t, const struct attrs *want);
/* The same but for mtime? */
bool tree_attrs_same(const struct attrs *a, const struct attrs *b);
/* Bytes of text that setting an attribute of these sizes needs, when the set has @count others. */
size_t tree_xattr_bytes(size_t name_len, size_t value_len, size_t count);
bool tree_xattr_fits(const struct change *c, const struct attrs *a);
/* The set with @name set to @value, or without it when @value is NULL. */
const struct xattrs *tree_xattrs_with(struct tree *t, const struct xattrs *x, const char *name, size_t name_len, const char *value, size_t value_len);
static inline size_t xattrs_count(const struct xattrs *x)
{
	return x ? x->count : 0;
}

/* ---- contents (tree_content.c) ---- */
bool tree_extent_ok(const struct extent *e, uint64_t size);
bool tree_content_fits(const struct change *c);
/* Is this change a whole file of one block (or nothing), to be kept in the version itself? */
bool tree_content_is_inline(const struct change *c);
struct content *tree_content_new(struct tree *t);
int tree_content_reserve(struct tree *t, struct content *c, size_t extents);
void tree_content_append(struct content *c, const struct extent *e, uint64_t size);
/* The block of a version that has no log, as an extent. len 0: none. */
struct extent tree_inline_extent(const struct version *v);
void tree_content_change(struct tree *t, struct node *n, struct version *v, const struct change *c);
void tree_spares_clear(struct tree *t);

/* ---- changes (tree_apply.c) ---- */
bool tree_create_fits(const struct change *c);
/* Fill a node's first version from a CREATE. Keeps the symlink text or directory a newborn has. */
void tree_create_fill(struct tree *t, struct node *n, struct version *v, int64_t time_ns, const struct change *c);
/* ATTR or XATTR to @v, at @ctime_ns; they fit. */
void tree_attrs_change(struct tree *t, struct version *v, int64_t ctime_ns, const struct change *c);

#endif
