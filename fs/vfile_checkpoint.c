/* SPDX-License-Identifier: MIT
 *
 * checkpoints/NAME/state and agents: the session's directories as they were when the checkpoint was made. checkpoint.yaml beside them is a real file.
 * Everything below the two is the view's own (entry.c); removing it is op_remove.c's.
 */
#include <string.h>

#include "registry.h"
#include "vfile_rows.h"

/* Directory @name of the session as of its checkpoint. */
static bool part_view(struct fs *fs, const struct vnode *v, const char *name, struct view *ret)
{
	struct tree *tree = engine_tree(fs->engine);
	const struct checkpoint *c = NULL;
	struct dentry *d = NULL;
	struct session *s;
	struct node *dir;

	engine_lock(fs->engine);
	s = registry_session(fs->engine, v->params[0]);
	if (s)
		c = registry_checkpoint(s, v->params[1]);
	if (c && c->seq <= engine_live_seq(fs->engine)) {
		dir = tree_node(tree, s->dir_ino);
		d = dir ? tree_lookup(tree, dir, name, strlen(name), c->seq) : NULL;
	}
	if (d)
		*ret = (struct view){.seq = c->seq, .root_ino = d->node->ino, .above_ino = c->dir_ino};
	engine_unlock(fs->engine);
	return d;
}

bool checkpoint_state_view(struct fs *fs, const struct vnode *v, struct view *ret)
{
	return part_view(fs, v, "state", ret);
}

bool checkpoint_agents_view(struct fs *fs, const struct vnode *v, struct view *ret)
{
	return part_view(fs, v, "agents", ret);
}

bool checkpoint_part_exists(struct fs *fs, const struct vnode *v)
{
	struct view view;

	return v->row->view(fs, v, &view);
}
