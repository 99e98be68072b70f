/* SPDX-License-Identifier: MIT
 *
 * One thread and one epoll set: an eventfd by which it is woken, and a pidfd for each process whose end matters. A pidfd stays with its
 * process, so a number that is given to another one later deceives nobody; who had it before we looked is told by when it started.
 *
 * Left to others: what is due, and which processes matter (core/upkeep.c).
 *
 * Failure: a process that cannot be watched (no descriptors left) is tried again after RETRY_NS; a kernel without pidfds is asked at
 * that interval whether the process is still there.
 */
#include "upkeep_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "proc_read.h"
#include "process.h"
#include "upkeep.h"

enum { EVENTS_MAX = 64, TIMEOUT_MS_MAX = 24 * 3600 * 1000 };
#define RETRY_NS (10 * NS_PER_S)

struct watch {
	uint32_t pid;
	int fd; /* -1: ended; -2: it could not be opened */
};
enum { WATCH_ENDED = -1, WATCH_FAILED = -2 };

struct upkeep_thread {
	struct fs *fs;
	pthread_t thread;
	int epoll_fd, wake_fd;
	atomic_bool woken, stop;
	/* the thread's own */
	struct watch *watches; /* by pid */
	size_t watch_count;
	uint64_t generation;
	bool failed; /* some watches are */
};

static void wake(void *arg)
{
	struct upkeep_thread *t = arg;
	uint64_t one = 1;

	if (!atomic_exchange(&t->woken, true))
		(void)!write(t->wake_fd, &one, sizeof(one)); /* can only fail when it is readable already */
}

/* ---- processes ---- */

/* When a process started, by the wall clock as it is now. 0: not known. */
static int64_t started_ns(uint32_t pid)
{
	struct timespec now, boot;
	struct proc_stat st;
	long hz = sysconf(_SC_CLK_TCK);

	if (hz <= 0 || proc_stat_read_pid(pid, &st) < 0)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return ((int64_t)now.tv_sec - boot.tv_sec) * NS_PER_S + now.tv_nsec - boot.tv_nsec + (int64_t)(st.start_time / (uint64_t)hz) * NS_PER_S +
	       (int64_t)(st.start_time % (uint64_t)hz) * NS_PER_S / hz;
}

static int watch_open(struct upkeep_thread *t, uint32_t pid)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = pid};
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	int64_t since_ns;

	if (fd < 0) {
		if (errno != ESRCH && process_alive(pid))
			return WATCH_FAILED;
		upkeep_process_ended(t->fs->engine, pid);
		return WATCH_ENDED;
	}
	since_ns = started_ns(pid);
	if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		close(fd);
		return WATCH_FAILED;
	}
	if (since_ns)
		upkeep_process_seen(t->fs->engine, pid, since_ns);
	return fd;
}

static void watch_close(const struct watch *w)
{
	if (w->fd >= 0)
		close(w->fd); /* leaves the epoll set, too */
}

static int by_pid(const void *a, const void *b)
{
	const struct watch *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static struct watch *watch_find(struct upkeep_thread *t, uint32_t pid)
{
	struct watch key = {.pid = pid};

	return t->watch_count ? bsearch(&key, t->watches, t->watch_count, sizeof(*t->watches), by_pid) : NULL;
}

/* Another set: those in both keep their descriptor. */
static void watch_set(struct upkeep_thread *t, const struct watched_pid *pids, size_t count, struct watch *fresh)
{
	t->failed = false;
	for (size_t i = 0; i < count; i++) {
		struct watch *old = watch_find(t, pids[i].pid);

		fresh[i] = (struct watch){.pid = pids[i].pid, .fd = old ? old->fd : WATCH_FAILED};
		if (old)
			old->fd = WATCH_ENDED; /* taken over */
		if (fresh[i].fd == WATCH_FAILED)
			fresh[i].fd = watch_open(t, pids[i].pid);
		t->failed |= fresh[i].fd == WATCH_FAILED;
	}
	for (size_t i = 0; i < t->watch_count; i++)
		watch_close(&t->watches[i]);
	free(t->watches);
	t->watches = fresh;
	t->watch_count = count;
}

static void watch_again(struct upkeep_thread *t)
{
	struct watched_pid *pids;
	struct watch *fresh;
	size_t count;
	uint64_t generation;

	if (!t->failed && upkeep_watch_generation(t->fs->engine) == t->generation)
		return;
	if (upkeep_watched_pids(t->fs->engine, &pids, &count, &generation))
		return; /* no memory: at the next run */
	fresh = calloc(count + 1, sizeof(*fresh));
	if (fresh) {
		t->generation = generation;
		watch_set(t, pids, count, fresh);
	}
	free(pids);
}

static void process_ended(struct upkeep_thread *t, uint32_t pid)
{
	struct watch *w = watch_find(t, pid);

	if (!w || w->fd < 0)
		return;
	watch_close(w);
	w->fd = WATCH_ENDED;
	upkeep_process_ended(t->fs->engine, pid);
}

/* ---- the thread ---- */

static int timeout_ms(struct upkeep_thread *t, int64_t next_ns)
{
	int64_t left_ns;

	if (t->failed)
		next_ns = MIN(next_ns, env_monotonic_ns(engine_env(t->fs->engine)) + RETRY_NS);
	if (next_ns == INT64_MAX)
		return -1;
	left_ns = next_ns - env_monotonic_ns(engine_env(t->fs->engine));
	return left_ns <= 0 ? 0 : (int)MIN((left_ns + NS_PER_MS - 1) / NS_PER_MS, (int64_t)TIMEOUT_MS_MAX);
}

static void wait_for_something(struct upkeep_thread *t, int64_t next_ns)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(t->epoll_fd, events, EVENTS_MAX, timeout_ms(t, next_ns));
	uint64_t count;

	for (int i = 0; i < n; i++) {
		if (events[i].data.u64)
			process_ended(t, (uint32_t)events[i].data.u64);
		else
			(void)!read(t->wake_fd, &count, sizeof(count)); /* readable */
	}
}

static void *upkeep_thread_run(void *arg)
{
	struct upkeep_thread *t = arg;

	while (!atomic_load(&t->stop)) {
		int64_t next_ns;

		atomic_store(&t->woken, false); /* before looking: who wakes us after this look finds it false */
		next_ns = upkeep_run(t->fs->engine);
		watch_again(t);
		wait_for_something(t, next_ns);
	}
	return NULL;
}

static void upkeep_thread_free(struct upkeep_thread *t)
{
	for (size_t i = 0; i < t->watch_count; i++)
		watch_close(&t->watches[i]);
	free(t->watches);
	if (t->wake_fd >= 0)
		close(t->wake_fd);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	free(t);
}

int upkeep_thread_start(struct fs *fs, struct upkeep_thread **ret)
{
	struct upkeep_thread *t = calloc(1, sizeof(*t));
	struct epoll_event ev = {.events = EPOLLIN};
	int r;

	if (!t)
		return -ENOMEM;
	t->fs = fs;
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->epoll_fd < 0 || t->wake_fd < 0 || epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->wake_fd, &ev) < 0) {
		r = -errno;
		upkeep_thread_free(t);
		return r;
	}
	upkeep_set_waker(fs->engine, wake, t);
	r = pthread_create(&t->thread, NULL, upkeep_thread_run, t);
	if (r) {
		upkeep_set_waker(fs->engine, NULL, NULL);
		upkeep_thread_free(t);
		return -r;
	}
	*ret = t;
	return 0;
}

void upkeep_thread_stop(struct upkeep_thread *t)
{
	if (!t)
		return;
	atomic_store(&t->stop, true);
	atomic_store(&t->woken, false);
	wake(t);
	pthread_join(t->thread, NULL);
	upkeep_set_waker(t->fs->engine, NULL, NULL);
	upkeep_thread_free(t);
}
