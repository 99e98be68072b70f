/* SPDX-License-Identifier: MIT
 *
 * A naive model of the file system a user sees: a list of paths, each with a file. It shares no code with core/. What is
 * at a path, what an operation answers, and whether a rule refuses it. A copy is cheap (contents are shared), so a test keeps many.
 *
 * The rule it knows: a name ending in .json holds {"v": NUMBER} and a newline (well-formed), or is empty, or is refused
 * once there was something well-formed in the file; the test writes no other well-formed JSON.
 */
#ifndef MILESTONEFS_TEST_FS_MODEL_H
#define MILESTONEFS_TEST_FS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_MODEL_XATTRS 3
#define FS_MODEL_ENTRIES 256
#define FS_MODEL_PATH 512

struct fs_blob {
	uint32_t refs;
	size_t size;
	char data[];
};

struct fs_file {
	bool used;
	uint32_t mode, uid, gid; /**< mode with type */
	struct fs_blob *content; /**< NULL: empty; a symlink's target */
	bool was_valid;          /**< the newest content that was not empty is well-formed */
	bool mtime_known;
	int64_t mtime_ns;
	struct {
		bool set;
		char value[40];
	} xattrs[FS_MODEL_XATTRS]; /**< user.0, user.1 … */
};

struct fs_entry {
	char path[FS_MODEL_PATH]; /**< "" unused */
	uint32_t file;            /**< index */
};

struct fs_model {
	struct fs_entry entries[FS_MODEL_ENTRIES];
	struct fs_file files[FS_MODEL_ENTRIES];
};

struct fs_model *fs_model_new(void);
void fs_model_free(struct fs_model *m);
struct fs_model *fs_model_copy(const struct fs_model *m);

struct fs_entry *fs_model_find(struct fs_model *m, const char *path);
struct fs_file *fs_model_file(struct fs_model *m, const char *path); /* NULL: nothing there */
size_t fs_model_names(const struct fs_model *m, uint32_t file);
size_t fs_model_count(const struct fs_model *m);
size_t fs_model_size(const struct fs_file *f);

/** May something new be made at @path? 0, -ENOENT, -ENOTDIR, -EEXIST. */
int fs_model_check_new(struct fs_model *m, const char *path);
/** New file, directory or node; -ENOSPC: the model is full (the test then does something else). */
int fs_model_make(struct fs_model *m, const char *path, uint32_t mode, const char *target);
/** Would a commit of this content (@size 0: empty) to the file be refused? */
bool fs_model_refuses(struct fs_model *m, const char *path, const char *data, size_t size);
/** Replace the content. */
void fs_model_set(struct fs_file *f, const char *data, size_t size);
/** Write over it, zeros in between; NULL @data: zeros. */
void fs_model_write(struct fs_file *f, size_t offset, const char *data, size_t size);
void fs_model_truncate(struct fs_file *f, size_t size);
int fs_model_link(struct fs_model *m, const char *from, const char *to);
int fs_model_unlink(struct fs_model *m, const char *path);
int fs_model_rmdir(struct fs_model *m, const char *path);
/** @flags as renameat2(2). -EBADMSG when the rule refuses. */
int fs_model_rename(struct fs_model *m, const char *from, const char *to, uint32_t flags);
bool fs_model_is_json(const char *path);

#endif
