/* SPDX-License-Identifier: MIT
 *
 * A naive model of the tree, to hold the real one against: plain arrays, a file's content byte by byte, and a
 * full copy of everything after each transaction. It shares no code with core/tree*.c. Small numbers only.
 */
#ifndef MILESTONEFS_TEST_TREE_MODEL_H
#define MILESTONEFS_TEST_TREE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "change.h"

#define MODEL_FILES 96
#define MODEL_ENTRIES 160
#define MODEL_SIZE 96 /* bytes of a file */
#define MODEL_XATTRS 6
#define MODEL_TEXT 24

struct model_xattr {
	char name[MODEL_TEXT], value[MODEL_TEXT];
	uint32_t value_len;
};

struct model_file {
	uint64_t ino; /* 0: unused */
	uint32_t mode, uid, gid;
	uint64_t rdev, size, born;
	bool atime_set, mtime_set, newborn;
	int64_t atime, mtime, ctime;
	int64_t older_ctime; /* of the version before, when there is one */
	bool has_older;
	uint64_t bytes[MODEL_SIZE]; /* block position * 1000 + offset in it; 0: zero */
	struct model_xattr xattrs[MODEL_XATTRS];
	uint32_t xattr_count;
	char target[MODEL_TEXT];
};

struct model_entry {
	uint64_t parent, ino;
	char name[MODEL_TEXT];
	bool newborn;
};

struct model_state {
	struct model_file files[MODEL_FILES];
	struct model_entry entries[MODEL_ENTRIES]; /* in order of creation */
	uint32_t file_count, entry_count;
	int64_t time;
};

void model_init(struct model_state *m, uint32_t uid, uint32_t gid, int64_t time);
struct model_file *model_file(struct model_state *m, uint64_t ino);
struct model_entry *model_entry(struct model_state *m, uint64_t parent, const char *name, size_t len);
/** Names of @ino; for a directory 2 and its subdirectories, 0 when it has no name. */
uint32_t model_nlink(const struct model_state *m, uint64_t ino);
bool model_dir_has_entries(const struct model_state *m, uint64_t ino);
/** Apply change @at of a transaction of @count: 0 or -EIO. */
int model_apply(struct model_state *m, uint64_t seq, int64_t time, const struct change *changes, size_t count, size_t at);
/** What the newborn functions of tree.h do. 0 or the same errors. */
int model_newborn_create(struct model_state *m, int64_t time, const struct change *c);
int model_newborn_change(struct model_state *m, uint64_t ino, int64_t time, const struct change *c);
int model_newborn_rename(struct model_state *m, uint64_t ino, uint64_t parent, const char *name, size_t len);
void model_newborn_unlink(struct model_state *m, uint64_t ino);
/** Copy without newborns. */
void model_snapshot(const struct model_state *m, struct model_state *to);
/** Path of an entry; false when its directory is not reachable. */
bool model_path(struct model_state *m, const struct model_entry *e, char *out, size_t bytes);

#endif
