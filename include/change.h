/* SPDX-License-Identifier: MIT
 *
 * L4. Changes: the few primitives every transaction is made of. The journal
 * stores them, apply() interprets them, nothing else alters the tree.
 * A rename is UNLINK + LINK, an exchange two of each, an undo whatever differs.
 */
#ifndef MILESTONEFS_CHANGE_H
#define MILESTONEFS_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "extent.h"

/** Frozen ids: they are on disk. */
enum change_type {
	CHANGE_CREATE = 1,  /**< a new inode under its first name */
	CHANGE_LINK = 2,    /**< one more name for an inode */
	CHANGE_UNLINK = 3,  /**< a name goes away (rmdir too) */
	CHANGE_ATTR = 4,    /**< mode, owner, times */
	CHANGE_XATTR = 5,   /**< one extended attribute set or removed */
	CHANGE_CONTENT = 6, /**< bytes of a regular file */
};

enum change_attr_mask {
	ATTR_MODE = 1,
	ATTR_UID = 2,
	ATTR_GID = 4,
	ATTR_ATIME = 8,
	ATTR_MTIME = 16,
	ATTR_KEEP_CTIME = 32, /**< daemon upkeep: leave ctime alone */
};

enum change_content_flags {
	CONTENT_REPLACE = 1,    /**< the extents are the whole file; else they lie over what was there */
	CONTENT_KEEP_MTIME = 2, /**< mtime stays (utimens came before, or daemon upkeep) */
};

/** One change. Pointers are borrowed for the duration of the call it is passed to. */
struct change {
	enum change_type type;
	uint64_t ino;
	uint64_t parent;  /**< CREATE LINK UNLINK */
	const char *name; /**< CREATE LINK UNLINK: last component; XATTR: attribute name; not NUL-terminated */
	uint32_t name_len;
	/* CREATE, ATTR */
	uint32_t mode; /**< CREATE: with the type bits; ATTR: permission bits */
	uint32_t uid, gid;
	uint64_t rdev; /**< CREATE of devices */
	uint32_t attr_mask;
	int64_t atime_ns, mtime_ns;
	/* CREATE: a symlink's target; XATTR: the value (NULL removes) */
	const char *value;
	uint32_t value_len;
	/* CONTENT */
	uint32_t content_flags;
	uint64_t size; /**< of the file afterwards; smaller than before truncates */
	const struct extent *extents;
	uint32_t extent_count;
};

#endif
