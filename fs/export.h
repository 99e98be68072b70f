/* SPDX-License-Identifier: MIT
 *
 * Writing a view of the tree out: to a directory, or as a tar archive.
 */
#ifndef MILESTONEFS_EXPORT_H
#define MILESTONEFS_EXPORT_H

#include "engine.h"

/** Where an export goes. Called with parents before children; each returns 0 or -errno. */
struct export_sink {
	/** An entry: @path relative, @link_to (NULL: none) an earlier path of the same inode, @symlink the target of a symlink. */
	int (*entry)(
		struct export_sink *s, const char *path, const struct tree_attr *attr, const struct attrs *attrs, const char *symlink, const char *link_to);
	/** Bytes of the regular file just begun, in order; holes (@data NULL) too. */
	int (*data)(struct export_sink *s, const void *data, size_t len);
	/** The regular file is complete. */
	int (*end)(struct export_sink *s);
	/** Everything is written: settle what must come last (times and modes of directories), and flush. */
	int (*finish)(struct export_sink *s);
};

struct export_counts {
	uint64_t files, bytes;
	uint64_t damaged;         /**< files with bytes that could not be read: logged, zeros stand for them */
	uint64_t xattrs_left_out; /**< which the target does not take */
};

/** Write the tree as of @seq. 0, with damaged files too, or -errno with @reason. */
int export_run(struct engine *e, uint64_t seq, struct export_sink *s, struct reason *reason, struct export_counts *ret);

/** Into a directory that is absent or empty. 0 or -errno with @reason. */
int export_to_directory(struct engine *e, uint64_t seq, const char *path, struct reason *reason, struct export_counts *ret);
/** As a pax tar on @fd. */
int export_to_tar(struct engine *e, uint64_t seq, int fd, struct reason *reason, struct export_counts *ret);

#endif
