/* SPDX-License-Identifier: MIT
 *
 * An engine over any environment, driven by paths: what a shell would do, without a kernel.
 * Functions ending in _ok assert; the others return what the engine says.
 */
#ifndef MILESTONEFS_ENGINE_FIXTURE_H
#define MILESTONEFS_ENGINE_FIXTURE_H

#include "draft.h"

/** Open with small segments and no threads. */
int fixture_open(struct env *env, struct reason *reason, struct engine **ret);
struct engine *fixture_open_ok(struct env *env);

/** The daemon dies now (kill -9): the memory of @e is freed, nothing more reaches the store, which can be opened again. @env is in-memory. */
void fixture_kill(struct env *env, struct engine *e);

void fixture_request(struct request *q);
/** Inode of a path in the live view; 0: none. */
uint64_t fixture_ino(struct engine *e, const char *path);
/** Save as `printf > path` does: create or truncate, write, close, wait until durable. */
int fixture_save(struct engine *e, const char *path, const void *data, size_t len);
int fixture_save_text(struct engine *e, const char *path, const char *text);
/** Append as `>>` does. */
int fixture_append(struct engine *e, const char *path, const void *data, size_t len);
/** Write in place through a patch (or, @shared, a shared draft) and commit. */
int fixture_patch(struct engine *e, const char *path, bool shared, uint64_t offset, const void *data, size_t len);
int fixture_mkdir(struct engine *e, const char *path);
int fixture_unlink(struct engine *e, const char *path);
int fixture_rmdir(struct engine *e, const char *path);
int fixture_rename(struct engine *e, const char *from, const char *to, uint32_t flags);
int fixture_link(struct engine *e, const char *from, const char *to);
int fixture_symlink(struct engine *e, const char *target, const char *path);
int fixture_chmod(struct engine *e, const char *path, uint32_t mode);
int fixture_setxattr(struct engine *e, const char *path, const char *name, const char *value);

/** Content at a sequence number (SEQ_LIVE: now); caller frees, NUL-terminated. -ENOENT when there is none. */
int fixture_read(struct engine *e, const char *path, uint64_t seq, char **ret, size_t *ret_len);
/** The live content as a string (static buffer of 64 KiB), "(none)" when there is no file, "(error)" otherwise. */
const char *fixture_text(struct engine *e, const char *path);
/** SHA-256 over every path, type, mode, owner, time, xattr, content and symlink of the view, in order of paths: equal trees, equal digests. */
void fixture_digest(struct engine *e, uint64_t seq, struct sha256 *ret);
/** The whole global event log; caller frees. */
char *fixture_events(struct engine *e, size_t *ret_len);

#endif
