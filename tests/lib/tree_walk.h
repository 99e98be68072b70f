/* SPDX-License-Identifier: MIT
 *
 * Call every reading function of the tree for everything it holds, whatever the answers: nothing may crash or hang.
 */
#ifndef MILESTONEFS_TEST_TREE_WALK_H
#define MILESTONEFS_TEST_TREE_WALK_H

#include <stdlib.h>
#include <sys/stat.h>

#include "tree.h"

static inline int walk_xattr(void *arg, const char *name, size_t len)
{
	const char *value;
	size_t value_len;

	return tree_xattr_get(arg, name, len, &value, &value_len);
}

static inline void walk_node(struct tree *t, struct node *n, uint64_t seq)
{
	struct version *v = tree_version_at(n, seq);
	struct version_extents scratch = {0};
	struct dentry **list = NULL;
	struct buf path = BUF_INIT;
	struct extent out[4];
	struct tree_attr a;
	uint64_t covered;
	size_t count = 0;

	(void)tree_attr_at(t, n, seq, INT64_MAX, &a);
	(void)tree_path_at(t, n, seq, &path);
	(void)tree_is_linked(t, n, seq);
	if (v) {
		(void)tree_xattr_list(v->attrs, walk_xattr, (void *)v->attrs);
		(void)tree_version_extends(v, n->newest);
		if (S_ISREG(v->attrs->mode))
			(void)tree_extents(v, &scratch, 0, UINT64_MAX, out, 4, &covered);
	}
	if (S_ISDIR(n->newest->attrs->mode) && !tree_list(t, n, seq, &list, &count))
		for (size_t i = 0; i < count; i++)
			(void)tree_lookup(t, n, list[i]->name->text, list[i]->name->len, seq);
	free(list);
	extent_map_release(&scratch.map);
	buf_release(&path);
}

static inline void walk_view(struct tree *t, uint64_t seq)
{
	for (uint64_t ino = 1; ino < 12; ino++)
		if (tree_node(t, ino))
			walk_node(t, tree_node(t, ino), seq);
}

#endif
