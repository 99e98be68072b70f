/* SPDX-License-Identifier: MIT
 *
 * Private to fs/adopt*.c: the list of what is to be adopted.
 */
#ifndef MILESTONEFS_ADOPT_WALK_H
#define MILESTONEFS_ADOPT_WALK_H

#include "fs.h"

struct adopt_item {
	char *from; /**< path below the staging directory */
	char *to;   /**< path in the tree */
	char *symlink;
	char *link_to; /**< name in the tree of an earlier item that is the same inode; NULL */
	bool filled;   /**< a directory again, after its entries */
	uint32_t mode, uid, gid;
	int64_t mtime_ns;
};

struct adopt_list {
	struct adopt_item *items;
	size_t count, capacity;
	uint64_t moved, skipped;
};

/**
 * List everything below @stage_fd, parents first. What cannot have its name in the mount gets one below @aside, which is
 * made when needed. 0 or -errno with @reason.
 */
int adopt_list_make(struct fs *fs, int stage_fd, const char *aside, struct reason *reason, struct adopt_list *ret);
void adopt_list_release(struct adopt_list *l);

#endif
