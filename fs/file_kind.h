/* SPDX-License-Identifier: MIT
 *
 * How a file is to be written: DESIGN section 3's table, from the flags of open and from what the path means.
 */
#ifndef MILESTONEFS_FILE_KIND_H
#define MILESTONEFS_FILE_KIND_H

#include "fs.h"
#include "rule.h"

struct file_kind {
	struct tree_attr attr;
	enum rule_kind rule; /**< NONE also for a file without a name */
	bool stream_glob;    /**< its path matches the `stream` globs */
	bool newborn;        /**< not in the journal yet */
	bool nameless;       /**< unlinked */
};

/** 0, -ENOENT, -EISDIR or -EINVAL (not a regular file), -EROFS (milestonefs keeps it itself), -ENOMEM. Takes the engine's lock. */
int file_kind_get(struct fs *fs, uint64_t ino, struct file_kind *ret);
/** The draft that an open for writing gets; @created: by this very open. */
enum draft_kind file_kind_draft(const struct file_kind *k, int open_flags, bool created);
/** The draft of a truncation by path. */
enum draft_kind file_kind_truncate(const struct file_kind *k, uint64_t size);
/** May autocommit publish such a draft while the handle is open? */
bool file_kind_streams(const struct file_kind *k, enum draft_kind kind);

#endif
