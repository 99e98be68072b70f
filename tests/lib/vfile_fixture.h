/* SPDX-License-Identifier: MIT
 *
 * Virtual files over an engine in memory, without a mount (cmocka). Tests that use it are linked with fs/vfile*.c (Makefile).
 */
#ifndef MILESTONEFS_TEST_VFILE_FIXTURE_H
#define MILESTONEFS_TEST_VFILE_FIXTURE_H

#include "doc.h"
#include "engine_fixture.h"
#include "vfile.h"

struct vfile_world {
	struct env *env;
	struct fs fs;
};

/** A project with something of everything in it, and names that are hard to quote. */
int vfile_project_setup(void **state);
/** Two sessions, s1 and s2, and nothing else. */
int vfile_sessions_setup(void **state);
int vfile_world_teardown(void **state);

void vfile_world_put(struct vfile_world *w, const char *path, const char *text);
/** Spoil a byte of that text on the medium; the engine is opened anew. */
void vfile_world_spoil(struct vfile_world *w, const char *text);

bool vfile_is_there(struct vfile_world *w, const char *dir, const char *name);
/** The whole text, as a program would read it: rendered, or by ranges of odd sizes. */
struct buf vfile_read_node(struct fs *fs, const struct vnode *v);
struct buf vfile_read(struct vfile_world *w, const char *dir, const char *name);
/** The same as a string (caller frees), and parsed: the texts are YAML whatever they hold. */
char *vfile_text(struct vfile_world *w, const char *dir, const char *name);
struct doc *vfile_doc(struct vfile_world *w, const char *dir, const char *name);

/** The scalar at a dotted path, which is there; "(null)". */
const char *vfile_value(const struct doc_node *root, const char *path);
int64_t vfile_time(const struct doc_node *root, const char *path);
void vfile_expect(const struct doc_node *root, const char *path, const char *want);
void vfile_expect_in(struct vfile_world *w, const char *dir, const char *name, const char *path, const char *want);
/** The item of a list of mappings whose `id` (and, if not NULL, `session`) is that. */
const struct doc_node *vfile_item(const struct doc_node *list, const char *id, const char *session);

#endif
