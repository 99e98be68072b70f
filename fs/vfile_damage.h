/* SPDX-License-Identifier: MIT
 *
 * Which files damage is about, where that is still known: an index snapshot remembers which transaction made a version or a name though its record cannot
 * be read any more, and a block of content that could not be read is part of versions that name it.
 */
#ifndef MILESTONEFS_VFILE_DAMAGE_H
#define MILESTONEFS_VFILE_DAMAGE_H

#include "vfile.h"

/** What is known to be damaged. */
struct damage {
	struct journal_damage *records; /**< transactions whose records are lost; owned */
	size_t record_count;
	uint64_t blocks[ENGINE_DAMAGED_BLOCKS_MAX]; /**< positions of content */
	size_t block_count;
};
/** 0 or -ENOMEM. Takes the engine's lock. */
int damage_take(struct fs *fs, struct damage *ret);
void damage_release(struct damage *d);

/** Called without the lock; @first and @last: the transactions. False: enough. */
typedef bool (*damage_path_fn)(void *arg, const char *path, uint64_t first, uint64_t last);
/** Each file whose newest content, or version or name of that time, is damaged, once, and whose path begins with @prefix ("": all). Walks all inodes in slices: only for when there is
 *  damage. Of many records it looks for the first DAMAGE_RECORDS_MAX. 0 or -ENOMEM. */
int damage_each_path(struct fs *fs, const struct damage *d, const char *prefix, damage_path_fn fn, void *arg);
#define DAMAGE_RECORDS_MAX 64

#endif
