/* SPDX-License-Identifier: MIT
 *
 * Short ways to change a tree in tests: each is one change, reserved and applied, and returns what tree_apply() said.
 */
#ifndef MILESTONEFS_TEST_TREE_FIXTURE_H
#define MILESTONEFS_TEST_TREE_FIXTURE_H

#include <string.h>
#include <sys/stat.h>

#include "tree.h"

static inline int fix_apply(struct tree *t, uint64_t seq, const struct change *changes, size_t count)
{
	int r = tree_reserve(t, changes, count);

	for (size_t i = 0; !r && i < count; i++)
		r = tree_apply(t, seq, (int64_t)seq * 1000, &changes[i]);
	return r;
}

static inline struct change fix_create(uint64_t ino, uint64_t parent, const char *name, mode_t mode)
{
	return (struct change){.type = CHANGE_CREATE, .ino = ino, .parent = parent, .name = name, .name_len = (uint32_t)strlen(name), .mode = mode};
}

static inline struct change fix_name(enum change_type type, uint64_t ino, uint64_t parent, const char *name)
{
	return (struct change){.type = type, .ino = ino, .parent = parent, .name = name, .name_len = (uint32_t)strlen(name)};
}

/* Content of one extent, raw; @e is the caller's. A whole file when @offset is 0 and @flags say so. */
static inline struct change fix_content(uint64_t ino, uint32_t flags, uint64_t offset, uint64_t len, uint64_t position, struct extent *e)
{
	*e = (struct extent){offset, len, position, (uint32_t)len, (uint32_t)len, 0};
	return (struct change){.type = CHANGE_CONTENT, .ino = ino, .content_flags = flags, .size = offset + len, .extents = e, .extent_count = len ? 1 : 0};
}

#endif
