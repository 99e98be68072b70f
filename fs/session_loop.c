/* SPDX-License-Identifier: MIT
 *
 * The loop: N equal threads. Each takes the next request under the read lock, which it holds only while a request that
 * is there already is copied, looks at the header, gives the request its place in the order, and carries it out. Who finds nothing waits
 * in the pool (session_pool.h).
 *
 * The thread that calls fs_session_loop() serves nothing; it waits for signals and the end, and ticks for the pool.
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
#include <sys/signalfd.h>
#include <unistd.h>

#include "handle.h"
#include "log.h"
#include "session_internal.h"
#include "tsan.h"

#define STOP_GRACE_MS 300 /* after unmounting, for files about to be closed */
#define ALONE_RUN 16      /* requests of one thread in a row: several saves' worth */

struct worker {
	struct fs *fs;
	pthread_t thread;
	char *buffer; /* NULL: not running */
	struct pool_worker pool;
};

static _Thread_local struct fs_session_request current_request;

const struct fs_session_request *fs_session_request(void)
{
	return &current_request;
}

/* libfuse 3.14 knows none of these flags. */
static bool kills_setid(const struct fuse_in_header *h, size_t len)
{
	const union {
		struct fuse_open_in open;
		struct fuse_create_in create;
		struct fuse_write_in write;
		struct fuse_setattr_in setattr;
	} *in = (const void *)(h + 1);

	switch (h->opcode) {
	case FUSE_OPEN:
		return len >= sizeof(*h) + sizeof(in->open) && in->open.open_flags & FUSE_OPEN_KILL_SUIDGID;
	case FUSE_CREATE:
		return len >= sizeof(*h) + sizeof(in->create) && in->create.open_flags & FUSE_OPEN_KILL_SUIDGID;
	case FUSE_WRITE:
		return len >= sizeof(*h) + sizeof(in->write) && in->write.write_flags & FUSE_WRITE_KILL_SUIDGID;
	case FUSE_SETATTR:
		return len >= sizeof(*h) + sizeof(in->setattr) && in->setattr.valid & FATTR_KILL_SUIDGID;
	default:
		return false;
	}
}

static void request_note(const void *request, size_t len, const struct order_ticket *t)
{
	const struct fuse_in_header *h = request;
	bool two = h->opcode == FUSE_RENAME || h->opcode == FUSE_RENAME2 || h->opcode == FUSE_LINK;

	current_request = (struct fs_session_request){.node_id = h->nodeid, .opcode = h->opcode, .kills_setid = kills_setid(h, len), .alone = t->alone};
	if (two && len >= sizeof(*h) + sizeof(uint64_t)) /* the first field of each of their bodies */
		memcpy(&current_request.second, h + 1, sizeof(uint64_t));
}

void fs_session_slept(struct fs *fs)
{
	fs_pool_slept(fs->loop->pool);
}

/* Under the read lock: has only this thread asked lately? What the kernel sends by itself (RELEASE, FORGET) says nothing. */
static bool caller_alone(struct fs_loop *l, uint32_t tid)
{
	if (tid && tid != l->caller) {
		l->caller = tid;
		l->caller_run = 0;
	}
	l->caller_run += tid && l->caller_run < ALONE_RUN;
	return tid && l->caller_run == ALONE_RUN;
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
	else if (h->opcode == FUSE_INIT && len >= sizeof(*h) + sizeof(*init)) {
		atomic_store(&fs->loop->init_flags, init->flags);
		atomic_store(&fs->loop->init_unique, h->unique);
	}
	fs_order_take(fs->order, h->nodeid, publishes ? release->fh : 0, publishes, ret);
	ret->alone = caller_alone(fs->loop, h->pid);
	if ((h->opcode == FUSE_RELEASE && !publishes) || h->opcode == FUSE_FORGET || h->opcode == FUSE_BATCH_FORGET || h->opcode == FUSE_INTERRUPT)
		ret->after = 0; /* these look at nothing a RELEASE changes */
}

static void loop_end(struct fs_loop *l, int error)
{
	int none = 0;

	if (error)
		atomic_compare_exchange_strong(&l->error, &none, error);
	atomic_store(&l->stopping, true);
	fs_pool_end(l->pool);
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
			tsan_after_request(w->fs);
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

	request_note(h, len, t);
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
			fs_pool_wait(w->fs->loop->pool, &w->pool);
			continue;
		}
		fs_pool_took(w->fs->loop->pool, &w->pool, ((const struct fuse_in_header *)w->buffer)->opcode);
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
	w->fs = fs;
	w->buffer = malloc(fs->loop->buffer_bytes);
	return w->buffer ? 0 : -ENOMEM;
}

static void worker_release(struct worker *w)
{
	free(w->buffer);
	w->buffer = NULL;
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

/* How long to sleep until the next tick or the deadline. */
static int sleep_ms(bool ticking, int64_t left_ms)
{
	return ticking && (left_ms < 0 || left_ms > POOL_TICK_MS) ? POOL_TICK_MS : (int)left_ms;
}

/* Until all have ended, or @timeout_ms (-1: for ever). Returns whether somebody asked to stop. */
static bool wait_for_end(struct fs *fs, int signal_fd, int timeout_ms)
{
	struct pollfd fds[3] = {
		{.fd = fs->loop->wake_fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}, {.fd = fs_pool_busy_fd(fs->loop->pool), .events = POLLIN}};
	bool ticking = true;

	while (atomic_load(&fs->loop->alive)) {
		struct signalfd_siginfo info;
		uint64_t count;
		int slept_ms = sleep_ms(ticking, timeout_ms), n = poll(fds, 3, slept_ms);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return true;
		if (fds[1].revents && read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
			log_info("stopping on signal %u", info.ssi_signo);
			return true;
		}
		if (fds[0].revents && read(fs->loop->wake_fd, &count, sizeof(count)) == sizeof(count) && !atomic_load(&fs->loop->stopping))
			return true; /* fs_session_stop() */
		if (fds[2].revents && read(fds[2].fd, &count, sizeof(count)) == sizeof(count))
			ticking = true;
		if (n)
			continue;
		if (timeout_ms >= 0 && (timeout_ms -= slept_ms) <= 0)
			return true;
		ticking = fs_pool_tick(fs->loop->pool);
	}
	return false;
}

static void workers_stop(struct fs *fs, struct worker *workers, unsigned count)
{
	uint64_t one = 1;

	atomic_store(&fs->loop->stopping, true);
	fs_pool_end(fs->loop->pool);
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
	fs->loop->pool = fs_pool_new(fs->loop->fuse_fd, fs->loop->end_fd, count);
	if (!fs->loop->pool)
		return -ENOMEM;
	fs->loop->calls = calls;
	r = workers_start(fs, workers, count);
	if (!r && wait_for_end(fs, signal_fd, -1)) {
		if (calls && calls->unmount)
			calls->unmount(calls->arg);
		(void)wait_for_end(fs, signal_fd, STOP_GRACE_MS); /* a second signal shortens it */
	}
	workers_stop(fs, workers, count);
	fs_pool_free(fs->loop->pool);
	fs->loop->pool = NULL;
	return r ? r : atomic_load(&fs->loop->error);
}
