/* SPDX-License-Identifier: MIT
 *
 * Adoption: plain files found in the store's directory (from a time before milestonefs, or put there unmounted) become one
 * transaction; the originals are kept under adopted/TIME/ in the store.
 */
#ifndef MILESTONEFS_ADOPT_H
#define MILESTONEFS_ADOPT_H

#include "fs.h"

struct adopt_result {
	uint64_t entries;  /**< that became part of the tree; 0: there was nothing to adopt */
	uint64_t seq;      /**< the transaction */
	uint64_t moved;    /**< those whose name is the daemon's, now below moved_to */
	uint64_t skipped;  /**< sockets and the like, kept with the originals only */
	char moved_to[64]; /**< directory in the mount */
	char kept_in[64];  /**< directory in the store */
};

/** Adopt what lies in @dir_fd beside the store's own. fs->engine and fs->vnodes must be there; nothing may be mounted yet. 0 or -errno with @reason. */
int adopt_run(struct fs *fs, int dir_fd, struct reason *reason, struct adopt_result *ret);

#endif
