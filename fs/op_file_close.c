/* SPDX-License-Identifier: MIT
 *
 * FLUSH, RELEASE, FSYNC: when a draft is published.
 *
 *   FLUSH    at the writer's last close (last_close.h); its error is what close(2) returns
 *   RELEASE  the rest: what no FLUSH could be sure about. Nobody hears of errors, so they are logged
 *   FSYNC    now, and durable
 *
 * A killed writer's draft is kept aside, unless it is a shared one that others still have open: it stays theirs.
 *
 * What is unpublished the draft itself knows; handle.unsettled is a hint that saves asking. When a shared draft outlives the handle
 * that wrote it, the mark passes to the handles that are left, in the moment in which it is decided that some are.
 *
 * A writer's close also waits for what others published of its bytes before: autocommit, another handle of a shared draft, a rename.
 */
#include <errno.h>
#include <string.h>

#include "autocommit.h"
#include "handle.h"
#include "inval.h"
#include "last_close.h"
#include "lock_file.h"
#include "ops.h"
#include "process.h"
#include "publish.h"
#include "reply.h"
#include "session.h"

#include "op_lock.h"
#include "waiters.h"

/* --- who has it ------------------------------------------------------------------------ */

struct others {
	uint32_t of_process; /* handles the process opened and that are not known to be closed */
	uint32_t all;
	size_t sharing; /* have the same shared draft */
};

/* Other handles open for writing on the inode of @h. h->lock not held. */
static void others_count(struct fs *fs, struct handle *h, uint32_t tgid, struct others *ret)
{
	struct handle_list l;

	*ret = (struct others){0};
	(void)handles_find(fs->handles, h->node_id, HANDLE_WRITE, &l); /* without memory: those found */
	for (size_t i = 0; i < l.count; i++) {
		struct handle *o = l.items[i];

		if (o == h)
			continue;
		pthread_mutex_lock(&o->lock);
		ret->all++;
		ret->of_process += o->opener_tgid == tgid && !o->closed;
		pthread_mutex_unlock(&o->lock);
	}
	handle_list_release(fs, &l);
	ret->sharing = handles_sharing(fs->handles, h);
}

/* A shared draft was passed on to the other handles: the interval publishes it, or the close of one of them. */
static void arm_others(struct fs *fs, struct handle *h)
{
	struct handle_list l;

	(void)handles_find(fs->handles, h->node_id, HANDLE_WRITE, &l); /* without memory: those found */
	for (size_t i = 0; i < l.count; i++)
		if (l.items[i] != h && l.items[i]->streams && atomic_load(&l.items[i]->unsettled))
			autocommit_arm(fs, l.items[i]);
	handle_list_release(fs, &l);
}

/* Was everybody who wrote through it (the opener, if nobody did) killed? h->lock held. */
static bool writers_killed(const struct handle *h)
{
	if (!h->writer_count || h->writer_count == HANDLE_WRITERS_MAX)
		return h->opener_killed && !h->writer_count;
	for (uint32_t i = 0; i < h->writer_count; i++)
		if (!h->writers[i].killed)
			return false;
	return true;
}

/* Remember what a FLUSH brought to light. h->lock held. */
static void learn(struct handle *h, const struct last_close_result *found)
{
	bool known = false;

	if (found->killed) {
		h->opener_killed = h->opener_killed || found->tgid == h->opener_tgid;
		for (uint32_t i = 0; i < h->writer_count; i++)
			if (h->writers[i].tgid == found->tgid)
				h->writers[i].killed = true;
	}
	for (uint32_t i = 0; i < h->holder_count; i++)
		known = known || h->holders[i] == found->holder;
	if (found->holder && !known && h->holder_count < HANDLE_WRITERS_MAX)
		h->holders[h->holder_count++] = found->holder;
}

static void decide(struct fs *fs, struct handle *h, uint32_t tid, uint32_t other_handles, struct last_close_result *ret)
{
	uint32_t writers[HANDLE_WRITERS_MAX], holders[HANDLE_WRITERS_MAX];
	struct last_close_query q = {
		.tid = tid,
		.opener = h->opener_tgid,
		.writers = writers,
		.holders = holders,
		.written = atomic_load(&h->written),
		.ino = h->node_id,
		.other_handles = other_handles,
	};

	pthread_mutex_lock(&h->lock);
	for (; q.writer_count < h->writer_count; q.writer_count++)
		writers[q.writer_count] = h->writers[q.writer_count].tgid;
	for (; q.holder_count < h->holder_count; q.holder_count++)
		holders[q.holder_count] = h->holders[q.holder_count];
	q.opener_killed = h->opener_killed;
	pthread_mutex_unlock(&h->lock);
	last_close_decide(fs->processes, &q, ret);
}

/* --- FLUSH ------------------------------------------------------------------------------- */

static int flush_draft(struct fs *fs, struct handle *h, uint32_t tid, uint64_t *ret_seq)
{
	uint32_t tgid = process_tgid_get(fs->processes, tid);
	struct last_close_result found;
	struct others others;
	bool wanted;
	int r = 0;

	others_count(fs, h, tgid, &others);
	/* In this order: whoever is not counted any more has passed its bytes on. */
	wanted = atomic_load(&h->unsettled) || atomic_load(&h->written);
	/* Never written, and nobody's counting depends on whether this one is closed. */
	if (!wanted && !others.all)
		return 0;
	decide(fs, h, tid, others.of_process, &found);
	pthread_mutex_lock(&h->lock);
	learn(h, &found);
	if (found.verdict != LAST_CLOSE_NO)
		h->closed = true;
	if (!h->draft || !wanted || found.verdict == LAST_CLOSE_NO) {
		r = 0;
	} else if (found.verdict == LAST_CLOSE_KILLED) {
		if (!others.sharing)
			r = handle_discard(fs, h, found.tgid, ret_seq);
	} else if (!found.unwritten || h->created) {
		/* An empty newborn may be published even if its descriptor travels: it shows nothing that is not seen already. */
		if (draft_is_dirty(h->draft))
			atomic_fetch_add_explicit(&fs->commits_at_flush, 1, memory_order_relaxed);
		r = handle_publish(fs, h, 0, ret_seq); /* the save happens here, or is waited for */
	}
	pthread_mutex_unlock(&h->lock);
	return found.verdict == LAST_CLOSE_KILLED ? 0 : r;
}

/* A lock file whose creator ends while it holds it open: it may be released with it, now or when its draft is published. */
static void flush_lock(struct fs *fs, struct handle *h, uint32_t tid)
{
	if (process_tgid_get(fs->processes, tid) == h->opener_tgid && process_exiting(fs->processes, tid))
		atomic_store(&h->creator_died, true);
	if (atomic_load(&h->creator_died))
		lock_file_creator_died(fs->engine, h->node_id, h->opener_tgid);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	struct fs *fs = fs_of(req);
	uint64_t seq = 0;
	int r = 0;

	fs_order_wait(fs, req);
	atomic_fetch_add_explicit(&fs->flushes, 1, memory_order_relaxed);
	if (h && h->kind == HANDLE_WRITE)
		r = flush_draft(fs, h, (uint32_t)fuse_req_ctx(req)->pid, &seq);
	if (h && h->is_lock)
		flush_lock(fs, h, (uint32_t)fuse_req_ctx(req)->pid);
	if (r == -EBADMSG && h->created_name) /* the previous version of a name that was removed shortly before may be back at it (engine) */
		fs_inval_entry(fs, h->created_parent, h->created_name);
	fs_locks_drop_owner(fs, ino, fi->lock_owner); /* after publishing, so that who gets the lock sees it */
	reply_error_after(fs, req, seq, JOURNAL_ACKNOWLEDGED, r);
}

/* --- RELEASE --------------------------------------------------------------------------------- */

static void release_draft(struct fs *fs, struct handle *h)
{
	bool unpublished, passed_on;
	uint64_t seq;

	pthread_mutex_lock(&h->lock);
	unpublished = handle_has_unpublished(h);
	pthread_mutex_unlock(&h->lock);
	passed_on = handles_leave(fs->handles, h, unpublished) > 0;
	if (passed_on && unpublished)
		arm_others(fs, h);
	pthread_mutex_lock(&h->lock);
	if (!passed_on && handle_has_unpublished(h)) {
		if (writers_killed(h)) {
			(void)handle_discard(fs, h, h->writer_count ? h->writers[0].tgid : h->opener_tgid, &seq); /* logged */
		} else {
			(void)handle_publish(fs, h, 0, &seq); /* logged; there is nobody to tell */
			atomic_fetch_add_explicit(&fs->commits_at_release, 1, memory_order_relaxed);
		}
	}
	draft_close(h->draft);
	h->draft = NULL;
	pthread_mutex_unlock(&h->lock);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	struct fs *fs = fs_of(req);

	if (h->kind == HANDLE_WRITE)
		release_draft(fs, h);
	else if (h->kind == HANDLE_VIRTUAL)
		waiters_forget(fs, h);
	if (h->is_lock && atomic_load(&h->creator_died))
		lock_file_creator_died(fs->engine, h->node_id, h->opener_tgid);
	fs_locks_drop_handle(fs, ino, h, fi->flock_release ? fi->lock_owner : 0);
	if (handle_registers(h))
		handles_remove(fs, h);
	fs_order_release_done(fs, fi->fh);
	reply_error(req, 0);
	handle_unref(fs, h);
}

/* --- FSYNC ------------------------------------------------------------------------------------- */

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	struct fs *fs = fs_of(req);
	uint64_t seq = 0, before;
	int r = 0;

	(void)ino, (void)datasync;
	fs_order_wait(fs, req);
	before = engine_head_seq(fs->engine); /* what is not this draft's: attributes, names */
	if (h && h->kind == HANDLE_WRITE) {
		pthread_mutex_lock(&h->lock);
		/* A shared draft may have been written through another handle: fsync means the file. */
		if (h->draft && handle_has_unpublished(h))
			r = handle_publish(fs, h, 0, &seq);
		pthread_mutex_unlock(&h->lock);
	}
	if (r < 0)
		reply_error_after(fs, req, seq, JOURNAL_ACKNOWLEDGED, r);
	else
		reply_error_after(fs, req, MAX(seq, before), JOURNAL_DURABLE, 0);
}
