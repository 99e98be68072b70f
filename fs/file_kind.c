/* SPDX-License-Identifier: MIT
 *
 * The table of DESIGN section 3:
 *
 *   O_TRUNC                              WHOLE (with O_APPEND too: writes go to its end)
 *   O_APPEND                             APPEND, also of a file made by this open
 *   made by this open, O_WRONLY          WHOLE
 *   a rule applies to the path           PATCH
 *   else (databases, shared mappings)    SHARED
 */
#include "file_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "layout.h"

int file_kind_get(struct fs *fs, uint64_t ino, struct file_kind *ret)
{
	cleanup_buf struct buf path = BUF_INIT;
	struct rule_options rules;
	const struct config *config;
	struct file_kind k = {.rule = RULE_KIND_NONE};
	struct tree *tree;
	struct node *node;
	uint64_t seq;
	int r = -ENOENT;

	engine_lock(fs->engine);
	tree = engine_tree(fs->engine);
	seq = engine_live_seq(fs->engine);
	config = engine_config(fs->engine); /* stays valid when replaced */
	node = tree_node(tree, ino);
	if (node)
		r = tree_attr_at(tree, node, seq, INT64_MAX, &k.attr);
	if (r == 0) {
		k.newborn = node->flags & NODE_NEWBORN;
		k.nameless = !tree_is_linked(tree, node, seq);
		r = tree_path_at(tree, node, seq, &path);
	}
	engine_unlock(fs->engine);
	if (r == -ENOENT && k.attr.ino)
		r = 0; /* unlinked but open: no rule */
	if (r == 0 && !S_ISREG(k.attr.mode))
		r = S_ISDIR(k.attr.mode) ? -EISDIR : -EINVAL;
	if (r < 0)
		return r;
	if (path.len && (layout_is_sealed(path.data) || layout_flags_of(path.data) & LAYOUT_BARRIER))
		return -EROFS;
	if (path.len) {
		config_rule_options(config, &rules);
		k.rule = rule_kind_of(&rules, path.data);
		k.stream_glob = globs_match(&config->stream, path.data);
	}
	*ret = k;
	return 0;
}

enum draft_kind file_kind_draft(const struct file_kind *k, int open_flags, bool created)
{
	if (open_flags & O_TRUNC)
		return DRAFT_WHOLE;
	if (open_flags & O_APPEND)
		return DRAFT_APPEND;
	if (created && (open_flags & O_ACCMODE) == O_WRONLY)
		return DRAFT_WHOLE;
	return k->rule == RULE_KIND_NONE ? DRAFT_SHARED : DRAFT_PATCH;
}

enum draft_kind file_kind_truncate(const struct file_kind *k, uint64_t size)
{
	if (size == 0)
		return DRAFT_WHOLE;
	return k->rule == RULE_KIND_NONE ? DRAFT_SHARED : DRAFT_PATCH;
}

bool file_kind_streams(const struct file_kind *k, enum draft_kind kind)
{
	if (k->rule > RULE_KIND_LINES)
		return false; /* only whole and valid, at close or fsync */
	switch (kind) {
	case DRAFT_APPEND:
	case DRAFT_SHARED:
		return true;
	case DRAFT_WHOLE:
		return k->attr.size == 0 || k->stream_glob;
	case DRAFT_PATCH:
		break;
	}
	return false;
}
