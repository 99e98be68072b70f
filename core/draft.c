/* SPDX-License-Identifier: MIT
 *
 * Drafts: opening, closing, finding. What is written into them is draft_io.c, how they are published draft_commit.c, how they are
 * listed draft_list.c, what survives a dead daemon draft_recover.c.
 *
 * A draft is on the list of its inode while it has holders. A newborn whose last draft closes without having been committed
 * loses its name: nobody wrote it.
 *
 * A newborn that lost its name while open is an orphan: it will never be published, and only those who have a descriptor come by it, so it
 * has one draft, which is the file to all of them.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "engine_internal.h"

static struct draft **draft_bucket(struct engine *e, uint64_t ino)
{
	return &e->drafts[ino % DRAFT_BUCKETS];
}

void draft_free(struct draft *d)
{
	if (!d)
		return;
	extent_map_release(&d->map);
	extent_map_release(&d->base_extents.map);
	sha256_free(d->sha);
	free(d->path);
	free(d->lost_path);
	free(d->base_text);
	free(d->recent);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static bool is_orphan(const struct node *n)
{
	return n->flags & NODE_NEWBORN && !n->nlink;
}

/* The draft that everybody has a part in who opens the inode: the shared one; an orphan's (there may be several from before it was one). */
static struct draft *draft_find_common(struct engine *e, uint64_t ino)
{
	struct draft *found = NULL;

	for (struct draft *d = *draft_bucket(e, ino); d; d = d->next)
		if (d->ino == ino && (d->kind == DRAFT_SHARED || is_orphan(d->node)) && (!found || (d->written && !found->written)))
			found = d;
	return found;
}

static struct draft *draft_new(struct engine *e, struct node *n, enum draft_kind kind, const struct actor *actor)
{
	struct draft *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	d->e = e;
	d->node = n;
	d->ino = n->ino;
	d->kind = kind;
	d->holders = 1;
	d->actor = *actor;
	d->writer_pid = actor->pid;
	d->started_ns = env_time_ns(e->env);
	d->base = n->newest;
	d->created = n->flags & NODE_NEWBORN;
	d->append = kind == DRAFT_APPEND;
	d->dirty = kind == DRAFT_WHOLE || d->created;
	return d;
}

/* Several handles write into it now, and each says where. */
static int orphan_join(struct draft *d, enum draft_kind kind, const struct actor *actor)
{
	pthread_mutex_lock(&d->lock);
	d->append = false;
	if (d->kind == DRAFT_APPEND)
		d->kind = DRAFT_PATCH; /* an orphan's base is empty, so everything is where it was */
	pthread_mutex_unlock(&d->lock);
	return kind == DRAFT_WHOLE ? draft_truncate(d, actor, 0) : 0;
}

int draft_open(struct engine *e, uint64_t ino, enum draft_kind kind, const struct actor *actor, struct draft **ret)
{
	struct draft *d;
	struct node *n;
	bool orphan = false;
	int r = 0;

	engine_lock(e);
	n = tree_node(e->tree, ino);
	if (n)
		orphan = is_orphan(n);
	if (!n || !S_ISREG(n->newest->attrs->mode)) {
		r = -ENOENT;
	} else if ((orphan || kind == DRAFT_SHARED) && (d = draft_find_common(e, ino))) {
		d->holders++;
		*ret = d;
	} else if (orphan) {
		r = -ESTALE; /* its name was taken back; whoever came by it must look again */
	} else if (!(d = draft_new(e, n, kind, actor))) {
		r = -ENOMEM;
	} else {
		d->next = *draft_bucket(e, ino);
		*draft_bucket(e, ino) = d;
		__atomic_store_n(&e->draft_count, e->draft_count + 1, __ATOMIC_RELAXED);
		*ret = d;
	}
	engine_unlock(e);
	if (r || !orphan)
		return r;
	r = orphan_join(d, kind, actor);
	if (r)
		draft_unref(d);
	return r;
}

/* Engine lock held: is any draft left on the inode? */
static bool drafts_on(struct engine *e, uint64_t ino)
{
	for (struct draft *d = *draft_bucket(e, ino); d; d = d->next)
		if (d->ino == ino)
			return true;
	return false;
}

void draft_last_path(struct draft *d, struct buf *ret)
{
	const struct dentry *name = d->node->names;

	if (!tree_path_at(d->e->tree, d->node, SEQ_LIVE, ret))
		return;
	if (d->lost_path)
		buf_append_str(ret, d->lost_path);
	else if (name && tree_dentry_path(d->e->tree, name, SEQ_LIVE, ret))
		buf_append_str(ret, name->name->text); /* its directory is gone, too */
	if (ret->error)
		buf_release(ret);
}

/* Its holder is gone and could neither publish nor keep it (no room, poison): it waits in pending/. Engine lock held. 0 or -ENOMEM. */
static int draft_leave_pending(struct draft *d)
{
	struct engine *e = d->e;
	struct buf path = BUF_INIT;

	draft_last_path(d, &path);
	d->path = path.len ? buf_take(&path, NULL) : NULL;
	buf_release(&path);
	if (!d->path)
		return -ENOMEM;
	d->mode = d->node->newest->attrs->mode;
	d->uid = d->node->newest->attrs->uid;
	d->gid = d->node->newest->attrs->gid;
	d->base_seq = d->node->flags & NODE_NEWBORN ? 0 : d->node->newest->born;
	d->node = NULL;
	d->base = NULL;
	d->recovered = true;
	d->holders = 1; /* the list's */
	d->next = e->recovered;
	e->recovered = d;
	e->drafts_pending++;
	return 0;
}

void draft_unref(struct draft *d)
{
	struct engine *e = d->e;
	struct change gone = {.type = CHANGE_UNLINK};
	struct dentry *name = NULL;
	bool last, kept = false, over = false;

	engine_lock(e);
	last = --d->holders == 0;
	if (last && !d->recovered) {
		struct draft **at = draft_bucket(e, d->ino);
		struct node *n = d->node;

		while (*at != d)
			at = &(*at)->next;
		*at = d->next;
		__atomic_store_n(&e->draft_count, e->draft_count - 1, __ATOMIC_RELAXED);
		over = d->id && (d->unlinked_by_own || !d->written || (!d->dirty && !journal_error(e->journal)));
		kept = d->dirty && d->written && d->id && !d->unlinked_by_own && draft_leave_pending(d) == 0;
		if (n->flags & NODE_NEWBORN && n->nlink && !drafts_on(e, d->ino)) {
			name = tree_name_at(n, SEQ_LIVE);
			if (name)
				gone = (struct change){.type = CHANGE_UNLINK,
					.ino = d->ino,
					.parent = name->parent->ino,
					.name = name->name->text,
					.name_len = name->name->len};
			engine_newborn_unlink(e, n);
		}
	}
	engine_unlock(e);
	if (!last)
		return;
	if (kept) {
		if (name && e->observer)
			e->observer(e->observer_arg, 0, &gone, 1);
		return;
	}
	if (d->recovered) { /* whoever took it off the list said what becomes of its bytes */
		draft_free(d);
		return;
	}
	if (name && e->observer)
		e->observer(e->observer_arg, 0, &gone, 1);
	if (over)
		draft_end(e, d->id);
	draft_free(d);
}

/* A refused draft ends when the copy of it is safe. */
static void draft_await_copy(struct draft *d)
{
	uint64_t seq;

	pthread_mutex_lock(&d->lock);
	seq = d->id && !d->dirty ? d->last_seq : 0;
	pthread_mutex_unlock(&d->lock);
	(void)engine_wait(d->e, seq, JOURNAL_ACKNOWLEDGED); /* when it failed the journal is poisoned, and the draft is not ended */
}

void draft_close(struct draft *d)
{
	if (!d)
		return;
	draft_await_copy(d);
	draft_unref(d);
}

enum draft_kind draft_kind_of(const struct draft *d)
{
	return d->kind;
}

bool draft_is_dirty(struct draft *d)
{
	bool dirty;

	pthread_mutex_lock(&d->lock);
	dirty = d->dirty;
	pthread_mutex_unlock(&d->lock);
	return dirty;
}

void draft_set_append(struct draft *d)
{
	pthread_mutex_lock(&d->lock);
	engine_lock(d->e);
	d->append = !is_orphan(d->node);
	engine_unlock(d->e);
	pthread_mutex_unlock(&d->lock);
}

uint64_t draft_last_seq(struct draft *d)
{
	uint64_t seq;

	pthread_mutex_lock(&d->lock);
	seq = d->last_seq;
	pthread_mutex_unlock(&d->lock);
	return seq;
}

bool draft_is_written(struct draft *d)
{
	bool written;

	pthread_mutex_lock(&d->lock);
	written = d->written;
	pthread_mutex_unlock(&d->lock);
	return written;
}

struct draft *draft_of_node(struct engine *e, const struct node *n)
{
	struct draft *found = NULL;

	for (struct draft *d = *draft_bucket(e, n->ino); d; d = d->next)
		if (d->node == n && d->dirty && (!found || d->written))
			found = d;
	if (found)
		found->holders++;
	return found;
}

bool drafts_of_newborn(struct engine *e, const struct node *n, uint32_t *ret_pid, int64_t *ret_started_ns)
{
	const struct draft *first = NULL;

	for (const struct draft *d = *draft_bucket(e, n->ino); d; d = d->next)
		if (d->node == n && (!first || d->started_ns < first->started_ns))
			first = d;
	if (!first)
		return false;
	*ret_pid = first->writer_pid;
	*ret_started_ns = first->started_ns;
	return true;
}

void drafts_note_unlinked(struct engine *e, const struct node *n, uint32_t pid)
{
	for (struct draft *d = *draft_bucket(e, n->ino); d; d = d->next) {
		struct buf path = BUF_INIT;

		if (d->node != n)
			continue;
		if (d->writer_pid == pid)
			d->unlinked_by_own = true;
		draft_last_path(d, &path); /* a newborn takes its name with it */
		free(d->lost_path);
		d->lost_path = path.len ? buf_take(&path, NULL) : NULL;
		buf_release(&path);
	}
}

void drafts_note_utimens(struct engine *e, const struct node *n)
{
	for (struct draft *d = *draft_bucket(e, n->ino); d; d = d->next)
		if (d->node == n)
			d->keep_mtime = true;
}

bool draft_exists(struct engine *e, uint64_t ino)
{
	bool found;

	if (!__atomic_load_n(&e->draft_count, __ATOMIC_RELAXED))
		return false;
	engine_lock(e);
	found = drafts_on(e, ino);
	engine_unlock(e);
	return found;
}

/* With a holder, or NULL. */
static struct draft *common_draft(struct engine *e, uint64_t ino, bool orphans_only)
{
	struct draft *d;

	if (!__atomic_load_n(&e->draft_count, __ATOMIC_RELAXED))
		return NULL;
	engine_lock(e);
	d = draft_find_common(e, ino);
	if (d && orphans_only && !is_orphan(d->node))
		d = NULL;
	if (d)
		d->holders++;
	engine_unlock(e);
	return d;
}

bool draft_shared_size(struct engine *e, uint64_t ino, uint64_t *ret_size, int64_t *ret_mtime_ns)
{
	struct draft *d = common_draft(e, ino, false);

	if (!d)
		return false;
	*ret_size = draft_size(d);
	*ret_mtime_ns = draft_mtime(d);
	draft_unref(d);
	return true;
}

ssize_t draft_read_orphan(struct engine *e, uint64_t ino, uint64_t offset, void *buf, size_t len)
{
	struct draft *d = common_draft(e, ino, true);
	ssize_t n;

	if (!d)
		return -ENOENT;
	n = draft_read(d, offset, buf, len);
	draft_unref(d);
	return n;
}
