/* SPDX-License-Identifier: MIT
 *
 * L1. A bounded cache of open descriptors for families of numbered files
 * ("journal/%08x.seg"), so that neither reads of old segments nor many drafts
 * use up the process's descriptors. Thread-safe.
 */
#ifndef MILESTONEFS_ENV_FILES_H
#define MILESTONEFS_ENV_FILES_H

#include <stdint.h>

#include "env.h"

/** Descriptors kept open when nobody uses them; more may be open while in use. */
#define ENV_FILES_MAX 32
#define ENV_FILES_PATH_BYTES 48

struct env_files;

/** A use of one descriptor. Give it back with env_files_put(). */
struct env_file {
	int fd;
	int slot; /* private */
};

/** Files are named @dir "/" %08x @suffix; both strings are kept, not copied. @flags as env_open(). NULL: out of memory. */
struct env_files *env_files_new(struct env *env, const char *dir, const char *suffix, int flags);
/** No use may be left. Accepts NULL. */
void env_files_free(struct env_files *f);
void env_files_path(const struct env_files *f, uint32_t number, char out[ENV_FILES_PATH_BYTES]);
/** Open or find; 0 or -errno (-ENOENT: no such file). */
int env_files_get(struct env_files *f, uint32_t number, struct env_file *ret);
void env_files_put(struct env_files *f, struct env_file *use);
/** Forget a file that was or will be unlinked; uses that last keep the old one. */
void env_files_drop(struct env_files *f, uint32_t number);

#endif
