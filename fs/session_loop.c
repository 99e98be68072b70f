/* SPDX-License-Identifier: MIT
 *
 * The loop: N equal threads. Each takes the next request under the read lock, which it holds only while a request that
 * is there already is copied, looks at the header, gives the request its place in the order, and carries it out. Who finds nothing waits
 * in an epoll of its own with EPOLLEXCLUSIVE, so that a request wakes one thread. (Blocking in read() under the lock instead costs a handing
 * over per request: measured, a third more CPU for a small read. This costs what unordered parallel reads do.)
 *
 * The thread that calls fs_session_loop() serves nothing; it waits for signals and the end.
 *
 * Ending: unmounted, read() says ENODEV and every thread finds that out. Told to stop, the mount is taken away first; if files
 * are still open so that ENODEV does not come, an eventfd ends the waiting. Either way a request that was read is carried out.
 *
 * Failure: any other error of read() ends the loop and is returned.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "handle.h"
#include "log.h"
#include "session_internal.h"

#define STOP_GRACE_MS 300 /* after unmounting, for files about to be closed */

struct worker {
	struct fs *fs;
	pthread_t thread;
	char *buffer; /* NULL: not running */
	int epoll_fd;
};

static _Thread_local struct fs_session_request current_request;

const struct fs_session_request *fs_session_request(void)
{
	return &current_request;
}

static void request_note(const void *request, size_t len)
{
	const struct fuse_in_header *h = request;
	bool two = h->opcode == FUSE_RENAME || h->opcode == FUSE_RENAME2 || h->opcode == FUSE_LINK;

	current_request = (struct fs_session_request){.node_id = h->nodeid, .opcode = h->opcode};
	if (two && len >= sizeof(*h) + sizeof(uint64_t)) /* the first field of each of their bodies */
		memcpy(&current_request.second, h + 1, sizeof(uint64_t));
}

/* Under the read lock: where in the order is the request? */
static void request_take(struct fs *fs, const void *request, size_t len, struct order_ticket *ret)
{
	const struct fuse_in_header *h = request;
	const struct fuse_release_in *release = (const void *)(h + 1);
	const struct fuse_init_in *init = (const void *)(h + 1);
	bool publishes = false;

	if (h->opcode == FUSE_RELEASE && len >= sizeof(*h) + sizeof(*release))
		publishes = handle_release_publishes(release->fh);
	else if (h->opcode == FUSE_INIT && len >= sizeof(*h) + sizeof(*init) && init->flags & FUSE_INIT_EXT)
		atomic_store(&fs->loop->init_unique, h->unique);
	fs_order_take(fs->order, h->nodeid, publishes ? release->fh : 0, publishes, ret);
	if ((h->opcode == FUSE_RELEASE && !publishes) || h->opcode == FUSE_FORGET || h->opcode == FUSE_BATCH_FORGET ||
		h->opcode == FUSE_INTERRUPT)
		ret->after = 0; /* these look at nothing a RELEASE changes */
}

static void loop_end(struct fs_loop *l, int error)
{
	int none = 0;

	if (error)
		atomic_compare_exchange_strong(&l->error, &none, error);
	atomic_store(&l->stopping, true);
}

/* Wait until there may be a request, or the end. */
static void request_wait(struct worker *w)
{
	struct epoll_event event;

	(void)epoll_wait(w->epoll_fd, &event, 1, -1); /* whatever it says, the next read() tells */
}

/* The next request: its bytes, or 0: none yet, or -1: no more. Sets @ret when there is one. */
static ssize_t request_read(struct worker *w, struct order_ticket *ret)
{
	struct fs_loop *l = w->fs->loop;
	ssize_t n = -1;

	pthread_mutex_lock(&l->read_lock);
	if (!atomic_load(&l->stopping)) {
		n = read(l->fuse_fd, w->buffer, l->buffer_bytes);
		if (n >= (ssize_t)sizeof(struct fuse_in_header)) {
			request_take(w->fs, w->buffer, (size_t)n, ret);
		} else if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) {
			n = 0; /* nothing there, or it was given up meanwhile */
		} else {
			loop_end(l, n < 0 && (errno == ENODEV || errno == ECONNABORTED) ? 0 : n < 0 ? -errno : -EIO);
			n = -1;
		}
	}
	pthread_mutex_unlock(&l->read_lock);
	return n;
}

static void request_serve(struct worker *w, size_t len, const struct order_ticket *t)
{
	const struct fuse_in_header *h = (const void *)w->buffer;
	struct fuse_buf buf = {.size = len, .mem = w->buffer};
	bool init = h->opcode == FUSE_INIT;

	request_note(h, len);
	fs_order_enter(w->fs->order, t);
	atomic_fetch_add_explicit(&w->fs->requests, 1, memory_order_relaxed);
	fuse_session_process_buf(w->fs->session, &buf);
	fs_order_leave(w->fs->order, t);
	current_request = (struct fs_session_request){0};
	if (init && w->fs->loop->calls && w->fs->loop->calls->ready)
		w->fs->loop->calls->ready(w->fs->loop->calls->arg);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct order_ticket ticket;
	ssize_t n;

	while ((n = request_read(w, &ticket)) >= 0) {
		if (!n) {
			request_wait(w);
			continue;
		}
		request_serve(w, (size_t)n, &ticket);
		if (fuse_session_exited(w->fs->session))
			loop_end(w->fs->loop, 0);
	}
	atomic_fetch_sub(&w->fs->loop->alive, 1);
	fs_session_stop(w->fs); /* wakes the waiting thread */
	return NULL;
}

static int worker_prepare(struct fs *fs, struct worker *w)
{
	struct epoll_event request = {.events = EPOLLIN | EPOLLEXCLUSIVE}, end = {.events = EPOLLIN};

	w->fs = fs;
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fs->loop->fuse_fd, &request) < 0 ||
		epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fs->loop->end_fd, &end) < 0)
		return -errno;
	w->buffer = malloc(fs->loop->buffer_bytes);
	return w->buffer ? 0 : -ENOMEM;
}

static void worker_release(struct worker *w)
{
	free(w->buffer);
	w->buffer = NULL;
	if (w->epoll_fd >= 0)
		(void)close(w->epoll_fd);
	w->epoll_fd = -1;
}

static int workers_start(struct fs *fs, struct worker *workers, unsigned count)
{
	int r = 0;

	for (unsigned i = 0; i < count && !r; i++) {
		r = worker_prepare(fs, &workers[i]);
		atomic_fetch_add(&fs->loop->alive, 1);
		if (!r)
			r = -pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]);
		if (!r)
			continue;
		atomic_fetch_sub(&fs->loop->alive, 1);
		worker_release(&workers[i]);
		if (i > 1) { /* fewer will do */
			log_warning("only %u of %u worker threads could be started: %s", i, count, strerror(-r));
			return 0;
		}
	}
	return r;
}

/* Until all have ended, or @timeout_ms (-1: for ever). Returns whether somebody asked to stop. */
static bool wait_for_end(struct fs *fs, int signal_fd, int timeout_ms)
{
	struct pollfd fds[2] = {{.fd = fs->loop->wake_fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};

	while (atomic_load(&fs->loop->alive)) {
		struct signalfd_siginfo info;
		uint64_t count;
		int n = poll(fds, 2, timeout_ms);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return true;
		if (fds[1].revents && read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
			log_info("stopping on signal %u", info.ssi_signo);
			return true;
		}
		if (fds[0].revents && read(fs->loop->wake_fd, &count, sizeof(count)) == sizeof(count) &&
			!atomic_load(&fs->loop->stopping))
			return true; /* fs_session_stop() */
	}
	return false;
}

static void workers_stop(struct fs *fs, struct worker *workers, unsigned count)
{
	uint64_t one = 1;

	atomic_store(&fs->loop->stopping, true);
	if (write(fs->loop->end_fd, &one, sizeof(one)) < 0)
		log_error("the worker threads cannot be told to end: %s", strerror(errno));
	for (unsigned i = 0; i < count; i++) {
		if (!workers[i].buffer)
			continue;
		pthread_join(workers[i].thread, NULL);
		worker_release(&workers[i]);
	}
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int fs_session_loop(struct fs *fs, unsigned count, const struct fs_session_calls *calls)
{
	cleanup_free struct worker *workers = calloc(count, sizeof(*workers));
	cleanup_fd int signal_fd = signals_open();
	int r;

	if (!workers || signal_fd < 0)
		return workers ? -errno : -ENOMEM;
	fs->loop->calls = calls;
	r = workers_start(fs, workers, count);
	if (!r && wait_for_end(fs, signal_fd, -1)) {
		if (calls && calls->unmount)
			calls->unmount(calls->arg);
		(void)wait_for_end(fs, signal_fd, STOP_GRACE_MS); /* a second signal shortens it */
	}
	workers_stop(fs, workers, count);
	return r ? r : atomic_load(&fs->loop->error);
}
