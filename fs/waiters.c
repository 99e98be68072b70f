/* SPDX-License-Identifier: MIT
 *
 * Parked reads and polls of files that wait.
 *
 * What a file says is asked of its row (vfile.h) and kept in the handle once it is there, so that one handle never mixes two answers.
 *
 * A read is put on the list before it is asked whether it is ready, and whoever makes it ready wakes after that: no wake is lost. States of a
 * waiter: waiting → answered, changed under waiters.lock; who changed it answers, except that while the waiter is still being registered with
 * libfuse the registering thread does. The interrupt callback runs under the request's own lock, which fuse_req_interrupt_func() takes too: so that
 * function is never called with waiters.lock held, and calling it with NULL waits for a running callback, after which the waiter can be
 * freed. (As in op_lock.c.)
 *
 * A handle outlives its parked reads: the kernel releases a file only when all of them were answered. Of a poll it keeps one registration a handle.
 *
 * Failure: without memory a read that would have to wait fails with ENOMEM; a poll is not told, as if nothing happened.
 */
#include "waiters.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "handle.h"
#include "reply.h"
#include "vfile.h"

struct waiter {
	struct waiter *next;
	fuse_req_t req;
	struct handle *handle;
	size_t size;
	uint64_t offset;
	int result; /* once answered: 0 or -errno */
	struct buf out;
	bool answered, registering;
};

struct poller {
	struct poller *next;
	struct handle *handle;
	struct fuse_pollhandle *ph;
};

struct waiters {
	pthread_mutex_t lock;
	/* under lock */
	struct waiter *first;
	struct poller *pollers;
	bool stopped;
};

struct waiters *waiters_new(void)
{
	struct waiters *ws = calloc(1, sizeof(*ws));

	if (ws)
		pthread_mutex_init(&ws->lock, NULL);
	return ws;
}

void waiters_free(struct waiters *ws)
{
	if (!ws)
		return;
	while (ws->pollers) {
		struct poller *p = ws->pollers;

		ws->pollers = p->next;
		fuse_pollhandle_destroy(p->ph);
		free(p);
	}
	pthread_mutex_destroy(&ws->lock);
	free(ws);
}

/* ---- is it there? ---- */

/* 1: a slice of what the file says is in @out, empty at its end; 0: not yet; -errno. */
static int fetch(struct fs *fs, struct handle *h, uint64_t offset, size_t size, struct buf *out)
{
	int r = 1;

	pthread_mutex_lock(&h->lock);
	if (!h->text.data) {
		r = h->vnode->row->ready(fs, h->vnode, h->subject, &h->text);
		if (r <= 0 || h->text.error) {
			r = r > 0 ? h->text.error : r;
			buf_release(&h->text);
		}
	}
	if (r > 0 && offset < h->text.len)
		buf_append(out, h->text.data + offset, MIN(size, h->text.len - (size_t)offset));
	pthread_mutex_unlock(&h->lock);
	return out->error ? out->error : r;
}

/* Under the lock: is the waiter to be answered? Then it is off the list. */
static bool settle(struct fs *fs, struct waiters *ws, struct waiter **at)
{
	struct waiter *w = *at;
	int r = ws->stopped ? -ENOTCONN : fetch(fs, w->handle, w->offset, w->size, &w->out);

	if (!r)
		return false;
	w->result = r < 0 ? r : 0;
	w->answered = true;
	*at = w->next;
	return true;
}

static void answer(struct waiter *w)
{
	fuse_req_interrupt_func(w->req, NULL, NULL);
	if (w->result)
		reply_error(w->req, w->result);
	else
		(void)fuse_reply_buf(w->req, w->out.data, w->out.len); /* a request the kernel gave up needs no reply */
	buf_release(&w->out);
	free(w);
}

/* ---- reading ---- */

static void interrupted(fuse_req_t req, void *data)
{
	struct waiters *ws = fs_of(req)->waiters;
	struct waiter *w = data, **at;
	bool mine = false;

	pthread_mutex_lock(&ws->lock);
	if (!w->answered) {
		for (at = &ws->first; *at != w; at = &(*at)->next)
			;
		*at = w->next;
		w->answered = true;
		w->result = -EINTR;
		mine = !w->registering;
	}
	pthread_mutex_unlock(&ws->lock);
	if (mine) {
		reply_error(req, -EINTR);
		free(w);
	}
}

static struct waiter **find(struct waiters *ws, const struct waiter *w)
{
	struct waiter **at = &ws->first;

	while (*at != w)
		at = &(*at)->next;
	return at;
}

static void park(struct fs *fs, struct waiter *w)
{
	struct waiters *ws = fs->waiters;
	bool answered;

	pthread_mutex_lock(&ws->lock);
	w->next = ws->first;
	ws->first = w;
	pthread_mutex_unlock(&ws->lock);
	fuse_req_interrupt_func(w->req, interrupted, w);
	pthread_mutex_lock(&ws->lock);
	w->registering = false;
	answered = w->answered || settle(fs, ws, find(ws, w));
	pthread_mutex_unlock(&ws->lock);
	if (answered)
		answer(w);
}

void waiters_read(fuse_req_t req, struct handle *h, size_t size, uint64_t offset, int flags)
{
	cleanup_buf struct buf out = BUF_INIT;
	struct fs *fs = fs_of(req);
	struct waiter *w;
	int r = fetch(fs, h, offset, size, &out);

	if (!r && flags & O_NONBLOCK)
		r = -EAGAIN;
	w = r ? NULL : calloc(1, sizeof(*w));
	if (w) {
		*w = (struct waiter){.req = req, .handle = h, .size = size, .offset = offset, .registering = true};
		park(fs, w);
	} else if (r <= 0) {
		reply_error(req, r ? r : -ENOMEM);
	} else {
		(void)fuse_reply_buf(req, out.data, out.len);
	}
}

/* ---- polling ---- */

/* Under the lock: the handle's registration goes. */
static struct fuse_pollhandle *poller_take(struct waiters *ws, const struct handle *h)
{
	struct poller **at = &ws->pollers, *p;
	struct fuse_pollhandle *ph;

	while (*at && (*at)->handle != h)
		at = &(*at)->next;
	p = *at;
	if (!p)
		return NULL;
	*at = p->next;
	ph = p->ph;
	free(p);
	return ph;
}

void waiters_poll(fuse_req_t req, struct handle *h, struct fuse_pollhandle *ph)
{
	cleanup_buf struct buf none = BUF_INIT;
	struct fs *fs = fs_of(req);
	struct fuse_pollhandle *gone = NULL;
	struct poller *p = ph ? calloc(1, sizeof(*p)) : NULL;
	int r;

	pthread_mutex_lock(&fs->waiters->lock);
	if (p) {
		gone = poller_take(fs->waiters, h);
		*p = (struct poller){.next = fs->waiters->pollers, .handle = h, .ph = ph};
		fs->waiters->pollers = p;
	} else {
		gone = ph;
	}
	r = fs->waiters->stopped ? -ENOTCONN : fetch(fs, h, 0, 0, &none); /* after it was registered, so that no wake is lost */
	pthread_mutex_unlock(&fs->waiters->lock);
	if (gone)
		fuse_pollhandle_destroy(gone);
	(void)fuse_reply_poll(req, r > 0 ? POLLIN | POLLRDNORM : r < 0 ? POLLERR : 0);
}

/* Under the lock: registrations of what is readable now, off the list. */
static struct poller *pollers_ready(struct fs *fs, struct waiters *ws)
{
	struct poller **at = &ws->pollers, *ready = NULL, *p;

	while ((p = *at)) {
		cleanup_buf struct buf none = BUF_INIT;

		if (!ws->stopped && !fetch(fs, p->handle, 0, 0, &none)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		p->next = ready;
		ready = p;
	}
	return ready;
}

static void pollers_tell(struct poller *ready)
{
	while (ready) {
		struct poller *p = ready;

		ready = p->next;
		(void)fuse_lowlevel_notify_poll(p->ph); /* nobody may be there any more */
		fuse_pollhandle_destroy(p->ph);
		free(p);
	}
}

/* ---- waking ---- */

void waiters_wake(struct fs *fs)
{
	struct waiters *ws = fs->waiters;
	struct waiter **at = &ws->first, *ready = NULL, **end = &ready;
	struct poller *pollers;

	pthread_mutex_lock(&ws->lock);
	while (*at) {
		struct waiter *w = *at;

		if (!settle(fs, ws, at)) {
			at = &w->next;
		} else if (!w->registering) {
			w->next = NULL;
			*end = w;
			end = &w->next;
		}
	}
	pollers = pollers_ready(fs, ws);
	pthread_mutex_unlock(&ws->lock);
	while (ready) {
		struct waiter *w = ready;

		ready = w->next;
		answer(w);
	}
	pollers_tell(pollers);
}

void waiters_forget(struct fs *fs, struct handle *h)
{
	struct fuse_pollhandle *ph;

	pthread_mutex_lock(&fs->waiters->lock);
	ph = poller_take(fs->waiters, h);
	pthread_mutex_unlock(&fs->waiters->lock);
	if (ph)
		fuse_pollhandle_destroy(ph);
}

void waiters_stop(struct fs *fs)
{
	if (!fs->waiters)
		return;
	pthread_mutex_lock(&fs->waiters->lock);
	fs->waiters->stopped = true;
	pthread_mutex_unlock(&fs->waiters->lock);
	waiters_wake(fs);
}
