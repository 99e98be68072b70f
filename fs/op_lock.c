/* SPDX-License-Identifier: MIT
 *
 * GETLK, SETLK, SETLKW, FLOCK: locks between processes, and what they mean for saves.
 *
 * Obtaining a lock refreshes the process's snapshots of the file; releasing one first publishes the process's draft of
 * it. So read-modify-write under a lock is correct.
 *
 * A request that has to wait is put on a list and holds no worker. It is answered by whoever releases the lock in its way, or
 * with EINTR when the kernel interrupts it. States of a waiter: waiting → granted or interrupted, changed under fs_locks.lock; who changed
 * it answers, except that while the waiter is still being registered with libfuse the registering thread answers.
 *
 * The interrupt callback runs under the request's own lock, which fuse_req_interrupt_func() takes too:
 * so that function is never called with fs_locks.lock held, and calling it with NULL waits for a running callback, after which the
 * waiter can be freed.
 */
#include "op_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "handle.h"
#include "lock_file.h"
#include "lock_table.h"
#include "node_id.h"
#include "ops.h"
#include "process.h"
#include "publish.h"
#include "reply.h"
#include "session.h"

enum { DEADLOCK_DEPTH_MAX = 64 };

enum waiter_state { WAITING, GRANTED, INTERRUPTED };

struct waiter {
	struct waiter *next;
	struct fs *fs;
	fuse_req_t req;
	uint64_t ino;
	struct lock want;
	struct handle *handle; /* open as long as its request */
	uint32_t tid;
	enum waiter_state state;
	bool registering;
};

struct fs_locks {
	pthread_mutex_t lock;
	/* under lock */
	struct lock_table table;
	struct waiter *first, **last; /* waiting, oldest first */
};

struct fs_locks *fs_locks_new(void)
{
	struct fs_locks *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	l->last = &l->first;
	return l;
}

void fs_locks_free(struct fs_locks *l)
{
	if (!l)
		return;
	lock_table_release(&l->table);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* --- obtaining --------------------------------------------------------------------------- */

/* The process has a lock now: what it reads next is the newest. */
static void refresh(struct fs *fs, uint64_t ino, struct handle *via, uint32_t tid)
{
	uint32_t tgid = process_tgid_get(fs->processes, tid);
	struct handle_list l;

	if (!node_id_is_live(ino))
		return;
	if (via && !atomic_exchange(&via->locks, 1))
		lock_file_shared(fs->engine, ino);
	(void)handles_find(fs->handles, ino, HANDLE_READ, &l); /* without memory: those found */
	for (size_t i = 0; i < l.count; i++) {
		uint32_t opener = l.items[i]->opener_tid;

		if (l.items[i] == via || opener == tid || opener == tgid || handle_reader_tgid(fs, l.items[i]) == tgid)
			atomic_store(&l.items[i]->refresh, true);
	}
	handle_list_release(fs, &l);
	(void)handles_find(fs->handles, ino, HANDLE_WRITE, &l); /* as above */
	for (size_t i = 0; i < l.count; i++) {
		struct handle *h = l.items[i];

		if (h != via && !handle_used_by(h, tgid))
			continue;
		pthread_mutex_lock(&h->lock);
		if (h->draft)
			draft_refresh(h->draft);
		pthread_mutex_unlock(&h->lock);
	}
	handle_list_release(fs, &l);
}

static void waiter_unlink(struct fs_locks *locks, struct waiter *w)
{
	struct waiter **at = &locks->first;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (locks->last == &w->next)
		locks->last = at;
	w->next = NULL;
}

static void waiter_answer(struct waiter *w)
{
	fuse_req_interrupt_func(w->req, NULL, NULL);
	if (w->state == GRANTED)
		refresh(w->fs, w->ino, w->handle, w->tid);
	reply_error(w->req, w->state == GRANTED ? 0 : -EINTR);
	free(w);
}

/* Locks of the file went: who can go on? Lock held; the answers are given by waiters_answer() without it. */
static struct waiter *waiters_grant(struct fs_locks *locks, uint64_t ino)
{
	struct waiter *granted = NULL, **end = &granted, *next;

	for (struct waiter *w = locks->first; w; w = next) {
		next = w->next;
		if (w->ino != ino || lock_conflict(&locks->table, ino, &w->want) || lock_set(&locks->table, ino, &w->want) < 0)
			continue;
		waiter_unlink(locks, w);
		w->state = GRANTED;
		if (w->registering)
			continue;
		*end = w;
		end = &w->next;
	}
	return granted;
}

static void waiters_answer(struct waiter *granted)
{
	while (granted) {
		struct waiter *w = granted;

		granted = w->next;
		waiter_answer(w);
	}
}

/* Does @owner wait, over others, for a POSIX lock of @target? */
static bool waits_for(const struct fs_locks *locks, uint64_t owner, uint64_t target, unsigned depth)
{
	for (const struct waiter *w = locks->first; w && depth; w = w->next) {
		if (w->want.flock || w->want.owner != owner)
			continue;
		for (const struct lock *l = lock_conflict(&locks->table, w->ino, &w->want); l; l = lock_conflict_next(&locks->table, w->ino, &w->want, l))
			if (l->owner == target || waits_for(locks, l->owner, target, depth - 1))
				return true;
	}
	return false;
}

static bool deadlocks(const struct fs_locks *locks, uint64_t ino, const struct lock *want)
{
	for (const struct lock *l = lock_conflict(&locks->table, ino, want); l; l = lock_conflict_next(&locks->table, ino, want, l))
		if (waits_for(locks, l->owner, want->owner, DEADLOCK_DEPTH_MAX))
			return true;
	return false;
}

/* --- waiting ------------------------------------------------------------------------------- */

static void interrupted(fuse_req_t req, void *data)
{
	struct waiter *w = data;
	struct fs_locks *locks = w->fs->locks;
	bool answer = false;

	pthread_mutex_lock(&locks->lock);
	if (w->state == WAITING) {
		waiter_unlink(locks, w);
		w->state = INTERRUPTED;
		answer = !w->registering;
	}
	pthread_mutex_unlock(&locks->lock);
	if (answer) {
		reply_error(req, -EINTR);
		free(w);
	}
}

/* @w is on the list. May be granted or interrupted at any moment from now on. */
static void waiter_register(struct fs_locks *locks, struct waiter *w)
{
	bool answer;

	fuse_req_interrupt_func(w->req, interrupted, w);
	pthread_mutex_lock(&locks->lock);
	w->registering = false;
	answer = w->state != WAITING;
	pthread_mutex_unlock(&locks->lock);
	if (answer)
		waiter_answer(w);
}

static struct waiter *waiter_new(fuse_req_t req, uint64_t ino, struct handle *h, const struct lock *want)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (w)
		*w = (struct waiter){
			.fs = fs_of(req), .req = req, .ino = ino, .want = *want, .handle = h, .tid = (uint32_t)fuse_req_ctx(req)->pid, .registering = true};
	return w;
}

/* Obtain, or wait (then the answer comes later). */
static void obtain(fuse_req_t req, uint64_t ino, struct handle *h, const struct lock *want, bool wait)
{
	struct fs *fs = fs_of(req);
	struct fs_locks *locks = fs->locks;
	struct waiter *w = NULL, *granted = NULL;
	int r;

	pthread_mutex_lock(&locks->lock);
	if (!lock_conflict(&locks->table, ino, want)) {
		r = lock_set(&locks->table, ino, want);
		if (r == 0)
			granted = waiters_grant(locks, ino); /* a write lock that became a read lock */
	} else if (!wait) {
		r = -EAGAIN;
	} else if (!want->flock && deadlocks(locks, ino, want)) {
		r = -EDEADLK;
	} else {
		w = waiter_new(req, ino, h, want);
		r = w ? 0 : -ENOMEM;
	}
	if (w) {
		if (want->flock) { /* converting gives up the old lock first, as flock(2) says */
			struct lock gone = *want;

			gone.type = F_UNLCK;
			if (lock_set(&locks->table, ino, &gone) == 0)
				granted = waiters_grant(locks, ino);
		}
		*locks->last = w;
		locks->last = &w->next;
	}
	pthread_mutex_unlock(&locks->lock);
	waiters_answer(granted);
	if (w) {
		waiter_register(locks, w);
		return;
	}
	if (r == 0)
		refresh(fs, ino, h, (uint32_t)fuse_req_ctx(req)->pid);
	reply_error(req, r);
}

/* --- releasing ------------------------------------------------------------------------------ */

static void release(fuse_req_t req, uint64_t ino, const struct lock *want)
{
	struct fs *fs = fs_of(req);
	struct fs_locks *locks = fs->locks;
	struct waiter *granted;
	bool held;
	int r;

	pthread_mutex_lock(&locks->lock);
	held = lock_held(&locks->table, ino, want->owner, want->flock);
	pthread_mutex_unlock(&locks->lock);
	if (held && node_id_is_live(ino) && handles_writing(fs->handles, ino))
		handles_publish_of(fs, ino, process_tgid_get(fs->processes, (uint32_t)fuse_req_ctx(req)->pid));
	pthread_mutex_lock(&locks->lock);
	r = lock_set(&locks->table, ino, want);
	granted = waiters_grant(locks, ino);
	pthread_mutex_unlock(&locks->lock);
	waiters_answer(granted);
	reply_error(req, r);
}

struct drop {
	uint64_t posix_owner, flock_owner;
	const struct handle *handle;
};

static bool drop_match(const struct lock *l, const void *arg)
{
	const struct drop *d = arg;

	if (l->flock)
		return d->flock_owner && l->owner == d->flock_owner;
	return (d->posix_owner && l->owner == d->posix_owner) || (d->handle && l->handle == d->handle);
}

static void drop(struct fs *fs, uint64_t ino, const struct drop *what)
{
	struct waiter *granted = NULL;

	pthread_mutex_lock(&fs->locks->lock);
	if (lock_drop(&fs->locks->table, ino, drop_match, what))
		granted = waiters_grant(fs->locks, ino);
	pthread_mutex_unlock(&fs->locks->lock);
	waiters_answer(granted);
}

void fs_locks_drop_owner(struct fs *fs, uint64_t ino, uint64_t owner)
{
	drop(fs, ino, &(struct drop){.posix_owner = owner});
}

void fs_locks_drop_handle(struct fs *fs, uint64_t ino, struct handle *h, uint64_t flock_owner)
{
	if (flock_owner || atomic_load(&h->locks))
		drop(fs, ino, &(struct drop){.flock_owner = flock_owner, .handle = h});
}

/* --- the operations ---------------------------------------------------------------------------- */

static struct lock lock_of(const struct flock *f, const struct fuse_file_info *fi)
{
	return (struct lock){
		.owner = fi->lock_owner,
		.start = (uint64_t)f->l_start,
		.end = f->l_len ? (uint64_t)f->l_start + (uint64_t)f->l_len - 1 : (uint64_t)INT64_MAX,
		.handle = handle_of(fi),
		.pid = (uint32_t)f->l_pid,
		.type = f->l_type,
	};
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
	struct fs_locks *locks = fs_of(req)->locks;
	struct lock want = lock_of(lock, fi);
	const struct lock *l;

	pthread_mutex_lock(&locks->lock);
	l = lock_conflict(&locks->table, ino, &want);
	if (!l) {
		lock->l_type = F_UNLCK;
	} else {
		lock->l_type = l->type;
		lock->l_whence = SEEK_SET;
		lock->l_start = (off_t)l->start;
		lock->l_len = l->end == (uint64_t)INT64_MAX ? 0 : (off_t)(l->end - l->start + 1);
		lock->l_pid = (pid_t)l->pid;
	}
	pthread_mutex_unlock(&locks->lock);
	(void)fuse_reply_lock(req, lock);
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int sleep)
{
	struct lock want = lock_of(lock, fi);

	fs_order_wait(fs_of(req), req);
	if (want.type == F_UNLCK) {
		release(req, ino, &want);
	} else {
		handles_set_locked(fs_of(req)->handles, ino);
		obtain(req, ino, handle_of(fi), &want, sleep);
	}
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct lock want = {.owner = fi->lock_owner, .end = UINT64_MAX, .handle = handle_of(fi), .flock = true};
	int what = op & ~LOCK_NB;

	fs_order_wait(fs_of(req), req);
	want.type = what == LOCK_UN ? F_UNLCK : what == LOCK_EX ? F_WRLCK : F_RDLCK;
	if (what == LOCK_UN)
		release(req, ino, &want);
	else
		obtain(req, ino, handle_of(fi), &want, !(op & LOCK_NB));
}
