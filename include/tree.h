/* SPDX-License-Identifier: MIT
 *
 * L4. The multi-version tree: what every name and every file was at each sequence number.
 *
 * Each directory entry and each file version holds in a half-open interval
 * [born, died) of sequence numbers. A *view* is a sequence number; every reading function takes one:
 *   - a number N: the tree after transaction N;
 *   - SEQ_LIVE: the newest state, newborns included.
 * A *newborn* is a created name that has not reached the journal yet (born == SEQ_NEWBORN): the live view
 * shows it, no other does, and a crash forgets it.
 *
 * Objects are never freed before the tree (history is kept), so pointers stay valid; fields may
 * change under the owner's lock only.
 *
 * Locking: none here. The engine's lock protects everything, for reading too.
 *
 * Memory: a file costs a node (40 bytes), a version (56), a dentry (80) and its name (6 + its length); a further version 56, every eighth
 * of a node's 64. An mtime that is not the ctime is an attribute, 48 bytes of their own where no other version has the same.
 * Versions of a node and dead entries of a name are chains with jump pointers, so finding the one of a
 * sequence number is O(log n) (E. W. Myers, "An applicative random-access stack", 1983).
 */
#ifndef MILESTONEFS_TREE_H
#define MILESTONEFS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "change.h"
#include "extent.h"

#define SEQ_NEVER UINT64_MAX
#define SEQ_NEWBORN (UINT64_MAX - 1)
#define SEQ_LIVE (UINT64_MAX - 1)

#define TREE_ROOT_INO 1
#define TREE_NAME_MAX 255

struct tree;
struct xattrs;

/** Attributes versions share: immutable, interned. */
struct attrs {
	uint32_t mode; /**< type and permission bits */
	uint32_t uid, gid;
	bool atime_set; /**< utimens gave an access time; else it is the version's mtime */
	bool mtime_set; /**< utimens gave an mtime, not a commit */
	bool mtime_own; /**< mtime_ns holds; else mtime is the version's ctime */
	int64_t atime_ns, mtime_ns;
	const struct xattrs *xattrs; /**< NULL: none */
	struct attrs *hash_next;
};

/** A write log: all extents since the file was last replaced whole. A version is a prefix of it. */
struct content {
	struct extent *log;
	uint32_t count;
	uint32_t appends_from; /**< each log entry from this one on lies at or behind the end the file then had */
	size_t capacity;
	struct extent_map map; /**< the whole log, resolved */
	struct content *next;  /**< all contents of the tree */
};

/** A file (or directory) version: most of the tree's memory, hence the unions. */
struct version {
	struct version *older; /**< next older version of the node */
	uint64_t born;
	uint64_t size;
	int64_t ctime_ns; /**< and mtime, see version_mtime() */
	const struct attrs *attrs;
	union {
		struct content *content; /**< has_log */
		uint64_t position;       /**< else: one block from offset 0, whole size; 0 when size is 0 or all hole */
	};
	union {
		uint32_t log_count;  /**< has_log: the first so many of the log; > 0 */
		uint32_t stored_len; /**< else: of the block */
	};
	uint32_t depth : 31; /**< 0 for the oldest */
	uint32_t has_log : 1;
};
_Static_assert(sizeof(void *) > 4 ? sizeof(struct version) == 56 : 1, "as the header comment says");

/** Under the lock, like all attributes: a name that comes or goes alters times of the newest version in place. */
static inline int64_t version_mtime(const struct version *v)
{
	return v->attrs->mtime_own ? v->attrs->mtime_ns : v->ctime_ns;
}
/** How many extents of its content's log it is made of; 0: a single block or nothing. */
static inline uint32_t version_log_count(const struct version *v)
{
	return v->has_log ? v->log_count : 0;
}

struct dentry;
struct directory;

/** An inode. */
struct node {
	uint64_t ino;
	struct version *newest;
	struct dentry *names; /**< every entry that ever named it, newest first */
	union {
		struct directory *dir; /**< S_ISDIR */
		const char *symlink;   /**< S_ISLNK; NUL-terminated */
		uint64_t rdev;         /**< devices */
	};
	uint32_t nlink; /**< live names (a directory: 2 + live subdirectories) */
	uint32_t flags; /**< enum node_flags */
};

enum node_flags {
	NODE_NEWBORN = 1, /**< not in the journal yet */
};

struct name {
	uint32_t hash;
	uint8_t len; /**< at most TREE_NAME_MAX */
	char text[]; /**< NUL-terminated too */
};

/** A directory entry: live (in the table and the directory's list) or dead (in the history). */
struct dentry {
	struct dentry *hash_next;  /**< live: table chain; dead: next dead entry of the directory */
	struct dentry *next;       /**< live: directory's list, oldest first; dead: older dead entry of the same name */
	struct dentry *prev;       /**< live: likewise; dead: jump pointer */
	struct dentry *names_next; /**< next older entry of the same node */
	struct node *node;
	struct node *parent;
	const struct name *name;
	uint64_t born, died;
	uint32_t depth; /**< dead: length of the chain below */
	uint32_t order; /**< of creation, among entries born at the same sequence number */
};

struct directory {
	struct dentry *first, *last; /**< live entries in order of creation */
	struct dentry *dead;         /**< dead entries, newest first */
	uint32_t live_count;
	uint32_t subdirs;
};

struct tree_attr {
	uint64_t ino;
	uint32_t mode, uid, gid, nlink;
	uint64_t rdev, size, blocks_512;
	int64_t atime_ns, mtime_ns, ctime_ns;
	uint64_t born; /**< of the version: changes whenever anything but a child's name did */
};

/** An empty tree: a root directory (ino 1, mode 0755) born at sequence 0. NULL: out of memory. */
struct tree *tree_new(uint32_t root_uid, uint32_t root_gid, int64_t now_ns);
void tree_free(struct tree *t);

/* ---- reading, all O(1) or O(log versions) ---- */

/** The node of an inode number that ever existed, else NULL. */
struct node *tree_node(const struct tree *t, uint64_t ino);
/** The entry of @name in @parent at @seq, else NULL. */
struct dentry *tree_lookup(const struct tree *t, const struct node *parent, const char *name, size_t len, uint64_t seq);
/** The newest entry of @name in @parent that held at @seq or later and is in the journal, else NULL. */
struct dentry *tree_lookup_since(const struct tree *t, const struct node *parent, const char *name, size_t len, uint64_t seq);
/** The newest entry of @name in @parent that was born by @seq, whether or not it still holds then, else NULL. */
struct dentry *tree_lookup_until(const struct tree *t, const struct node *parent, const char *name, size_t len, uint64_t seq);
/** The version of @node that holds at @seq; NULL when it did not exist yet. (Not: whether it still has a name.) */
struct version *tree_version_at(const struct node *node, uint64_t seq);
/** Has the node a name at @seq? (The root always.) */
bool tree_is_linked(const struct tree *t, const struct node *node, uint64_t seq);
/** Attributes at @seq; times of directories never exceed @seq_time_ns (that sequence number's time; INT64_MAX for live). 0 or -ENOENT. */
int tree_attr_at(const struct tree *t, const struct node *node, uint64_t seq, int64_t seq_time_ns, struct tree_attr *ret);
/** Newest of the entries naming the node at @seq, or NULL. */
struct dentry *tree_name_at(const struct node *node, uint64_t seq);
/** Append the path relative to the root without leading '/', "" for the root. 0, -ENOENT when it has no name at @seq, -ENOMEM. */
int tree_path_at(const struct tree *t, const struct node *node, uint64_t seq, struct buf *ret);
/** The same for an entry: its directory's path and its own name. */
int tree_dentry_path(const struct tree *t, const struct dentry *d, uint64_t seq, struct buf *ret);
/** Follow a relative path (no symlinks followed, "" is the root). NULL when a component is missing. */
struct node *tree_resolve(const struct tree *t, const char *path, uint64_t seq);
/** All entries of @dir at @seq in order of creation; caller frees the array (not the entries). 0 or -ENOMEM. */
int tree_list(const struct tree *t, const struct node *dir, uint64_t seq, struct dentry ***ret, size_t *ret_count);
bool tree_dir_is_empty(const struct node *dir);

/** Extended attributes: value of @name (borrowed) or -ENODATA; the list calls @fn for each name. */
int tree_xattr_get(const struct attrs *a, const char *name, size_t name_len, const char **ret_value, size_t *ret_len);
int tree_xattr_list(const struct attrs *a, int (*fn)(void *arg, const char *name, size_t len), void *arg);

/** Extents of @v (a version of a regular file) within a range, as extent_map_range(). @scratch: a caller's map for older
 *  versions, filled on first use and reused while it asks about the same version; release it afterwards. May return -ENOMEM. */
struct version_extents {
	const struct version *version;
	struct extent_map map;
};
ssize_t tree_extents(
	const struct version *v, struct version_extents *scratch, uint64_t offset, uint64_t len, struct extent *out, size_t max, uint64_t *ret_covered);
/** Does @newer hold every byte of @older unchanged, and only more after its end? (Then a reader may go on in it.) */
bool tree_version_extends(const struct version *older, const struct version *newer);
/** Is content of both the same (attributes may differ)? */
bool tree_version_same_content(const struct version *a, const struct version *b);

struct tree_stats {
	uint64_t nodes, versions, dentries, names_bytes, total_bytes;
	uint64_t live_files, live_dirs, live_bytes;
};
void tree_get_stats(const struct tree *t, struct tree_stats *ret);

/* ---- changing ---- */

/** The inode number the next CREATE must carry; taking it reserves it. Numbers are never used twice. */
uint64_t tree_take_ino(struct tree *t);
uint64_t tree_next_ino(const struct tree *t);

/**
 * Get all memory that applying these changes, a whole transaction, needs. 0 or -ENOMEM (nothing changed). Reservations do not add up:
 * reserve, then apply all of it, before the next reserve. A directory that is not empty can be unlinked
 * only when the transaction given here links it again (a rename).
 */
int tree_reserve(struct tree *t, const struct change *changes, size_t count);
/**
 * Apply one change of transaction @seq (greater than or equal to all before) made at @time_ns. Pure in (tree, change): no clock, no I/O, no
 * failing allocation after tree_reserve(). A CREATE of an existing newborn turns it into a full node.
 * Returns 0, or -EIO when the change does not fit the tree (only possible with a damaged journal); the tree is then unchanged.
 */
int tree_apply(struct tree *t, uint64_t seq, int64_t time_ns, const struct change *c);

/** Make a newborn node under a name that is free in the live view. 0, -ENOMEM, -EEXIST, -EIO (does not fit, as in tree_apply()). */
int tree_newborn_create(struct tree *t, const struct change *create, int64_t time_ns, struct node **ret);
/** chmod, chown, utimens, xattr of a newborn: alter it in place. 0, -ENOMEM, -ENOSPC (more xattrs than
 *  tree_newborn_describe() could tell), -EIO (does not fit). */
int tree_newborn_change(struct tree *t, struct node *n, int64_t time_ns, const struct change *c);
/** Move it to another name that is free in the live view. 0, -ENOMEM, -EEXIST, -EIO (no such place). */
int tree_newborn_rename(struct tree *t, struct node *n, struct node *new_parent, const char *name, size_t len);
/** The name goes; the node stays readable by number as an unlinked newborn until tree_free(). */
void tree_newborn_unlink(struct tree *t, struct node *n);
/** Describe a newborn as the CREATE (+ATTR/XATTR) changes that make it: at most TREE_NEWBORN_CHANGES, pointing into the tree. Returns the count. */
#define TREE_NEWBORN_CHANGES 20
int tree_newborn_describe(const struct tree *t, const struct node *n, struct change *out, size_t max);

/* ---- index snapshot ---- */

/** Walk all nodes with numbers >= *@cursor, at most @max of them, writing what was born <= @seq into @out (format: tree_dump.c);
 *  *@cursor, 0 at first, moves on. The tree may change between calls. Returns 1 while there is more, 0 at the end, -ENOMEM. */
int tree_dump(const struct tree *t, uint64_t seq, uint64_t *cursor, size_t max, struct buf *out);
/** Rebuild a tree just made from the concatenated dumps. 0, -EBADMSG malformed, -ENOMEM; on failure it is only good for tree_free(). */
int tree_load(struct tree *t, const uint8_t *data, size_t len);

#endif
