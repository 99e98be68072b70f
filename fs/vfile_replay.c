/* SPDX-License-Identifier: MIT
 *
 * replay/SEQ and replay/TIME: names of views. The table only says which sequence number a name means; everything below is the view's own.
 *
 * A name means the same for ever, so a number that is not reached yet and a time that has not passed yet have no view.
 */
#include "vfile_rows.h"

uint64_t replay_seq(struct fs *fs, const struct vnode *v)
{
	uint64_t seq = 0, newest;
	int64_t time_ns;

	engine_lock(fs->engine);
	newest = MIN(engine_live_seq(fs->engine), engine_head_seq(fs->engine));
	if (parse_u64(v->params[0], &seq))
		seq = time_parse(v->params[0], &time_ns) || time_ns >= env_time_ns(engine_env(fs->engine)) ? 0 : engine_seq_at_time(fs->engine, time_ns);
	engine_unlock(fs->engine);
	return seq <= newest ? seq : 0;
}

bool replay_exists(struct fs *fs, const struct vnode *v)
{
	return replay_seq(fs, v) != 0;
}
