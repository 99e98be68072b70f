/* SPDX-License-Identifier: MIT
 *
 * replay/SEQ and replay/TIME: names of views. The table only says which sequence number a name means; everything below is the view's own.
 *
 * A name means the same for ever, so a number that is not reached yet and a time that has not passed yet have no view.
 */
#include "vfile_rows.h"

bool replay_view(struct fs *fs, const struct vnode *v, struct view *ret)
{
	uint64_t seq = 0, newest;
	int64_t time_ns;

	engine_lock(fs->engine);
	newest = engine_shown_seq(fs->engine);
	if (parse_u64(v->params[0], &seq))
		seq = time_parse(v->params[0], &time_ns) || time_ns >= env_time_ns(engine_env(fs->engine)) ? 0 : engine_seq_at_time(fs->engine, time_ns);
	engine_unlock(fs->engine);
	*ret = (struct view){.seq = seq, .root_ino = TREE_ROOT_INO};
	return seq && seq <= newest;
}

bool replay_exists(struct fs *fs, const struct vnode *v)
{
	struct view view;

	return replay_view(fs, v, &view);
}
