/* SPDX-License-Identifier: MIT
 *
 * agents/.sync/ID/wait: reading it waits until the barrier has ended and then says how. Found by name, never listed, so that nobody who walks
 * the tree waits. Which barrier is meant is decided when it is opened: one of the same name that is started later is another.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "barrier.h"
#include "vfile_rows.h"

/* The barrier's directory. Lock held. */
static struct node *directory_of(struct fs *fs, const struct vnode *v)
{
	cleanup_buf struct buf dir = BUF_INIT;
	struct node *n = NULL;

	buf_append(&dir, v->path, strlen(v->path) - strlen("/wait"));
	if (!dir.error)
		n = tree_resolve(engine_tree(fs->engine), dir.data, engine_live_seq(fs->engine));
	return n && S_ISDIR(n->newest->attrs->mode) ? n : NULL;
}

bool sync_wait_exists(struct fs *fs, const struct vnode *v)
{
	bool exists;

	engine_lock(fs->engine);
	exists = directory_of(fs, v) != NULL;
	engine_unlock(fs->engine);
	return exists;
}

int sync_wait_begin(struct fs *fs, const struct vnode *v, uint64_t *ret_subject)
{
	const struct node *n;

	engine_lock(fs->engine);
	n = directory_of(fs, v);
	if (n)
		*ret_subject = n->ino;
	engine_unlock(fs->engine);
	return n ? 0 : -ENOENT;
}

int sync_wait_ready(struct fs *fs, const struct vnode *v, uint64_t subject, struct buf *out)
{
	int r;

	(void)v;
	engine_lock(fs->engine);
	r = barrier_result(fs->engine, subject, out);
	engine_unlock(fs->engine);
	return r || !fs->read_only ? r : -EROFS; /* nothing ends it here */
}
