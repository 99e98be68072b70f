/* SPDX-License-Identifier: MIT
 *
 * Files of an in-memory environment as texts (cmocka).
 */
#ifndef MILESTONEFS_TEST_ENV_MEM_FILES_H
#define MILESTONEFS_TEST_ENV_MEM_FILES_H

#include "env_mem.h"

/** Contents of @path as text (static buffer), "-" when it is not there. */
const char *env_mem_text(struct env *env, const char *path);
/** A new file, open for writing; its descriptor or -errno. */
int env_mem_create(struct env *env, const char *path, const char *text);
/** The same, synced with its name, and closed. */
void env_mem_create_durable(struct env *env, const char *path, const char *text);
/** After a loss of power the file would say this. */
void env_mem_expect_after(struct env *env, enum env_mem_mode mode, const char *path, const char *expected);

#endif
