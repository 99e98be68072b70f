/* SPDX-License-Identifier: MIT
 *
 * Few threads are awake. At most one waits for requests; the others serve or are parked. So a request wakes one thread or, when a worker
 * has just answered and comes back for more, none. Measured, waking threads was half of what a small request cost.
 *
 * Who waits may read again and again for a moment before it sleeps, if that was worth it lately after a request of the same kind: a program
 * that got its answer mostly asks at once for the next thing, but not after a close that waits for the disk.
 *
 * It does not while a lone caller's saves wait for the disk in the worker itself: a worker that sleeps is woken on the caller's own processor then,
 * where the switch is cheapest, and one that is awake keeps both processors busy with each other.
 *
 * A parked worker is woken (1) when requests are found waiting several times in a row and there are processors left, (2) by the tick, when
 * nobody waits and nothing was read for a millisecond: whoever serves is held up, perhaps by something that only another request can
 * end. The tick stops while nothing is going on, so that an idle mount costs nothing.
 *
 * Locks: none is held while waiting for requests. `lock` is innermost. Nothing here can fail.
 */
#include "session_pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

enum {
	SPIN_NS = 15000,
	SPIN_SCORE_MAX = 8,
	SPIN_MISS = 2,   /* so more than two of three must hit */
	SPIN_PROBE = 32, /* so many waits without it, and it is tried again: asleep one cannot tell, since waking both sides up takes longer */
	CALM = 64,       /* requests after a wait for the disk, without trying again and again */
	BACKLOG = 32,    /* requests found without waiting, until another thread is called */
	IDLE_TICKS = 20,
	KINDS = 64, /* opcodes; larger ones share 0 */
};

struct fs_pool {
	int epoll_fd, busy_fd;
	bool spins;                   /* there is a processor for it */
	unsigned workers, active_max; /* more than that are not called because of backlog */
	atomic_bool waiting;          /* a worker waits for requests: the owner of `score` */
	int8_t score[KINDS];
	uint8_t asleep[KINDS];      /* waits without it since it was tried, the same owner's */
	atomic_uint calm;           /* so many requests still to come without reading again and again */
	atomic_uint_fast64_t taken; /* requests */
	atomic_bool idle;           /* nobody ticks */
	uint64_t taken_at_tick;     /* the ticking thread's */
	unsigned idle_ticks;        /* the same */

	pthread_mutex_t lock;
	pthread_cond_t called;
	atomic_uint parked; /* written under lock */
	unsigned calls;     /* under lock: not yet followed */
	bool ended;         /* under lock */
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static unsigned processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1024;
}

struct fs_pool *fs_pool_new(int fuse_fd, int end_fd, unsigned workers)
{
	struct epoll_event readable = {.events = EPOLLIN};
	struct fs_pool *p = calloc(1, sizeof(*p));
	unsigned cpus = processors();

	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->called, NULL);
	p->spins = cpus > 1;
	p->workers = workers;
	p->active_max = cpus;
	p->busy_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->busy_fd >= 0 && p->epoll_fd >= 0 && epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fuse_fd, &readable) == 0 &&
		epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, end_fd, &readable) == 0)
		return p;
	fs_pool_free(p);
	return NULL;
}

void fs_pool_free(struct fs_pool *p)
{
	if (!p)
		return;
	util_close_fd(&p->epoll_fd);
	util_close_fd(&p->busy_fd);
	pthread_cond_destroy(&p->called);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* --- calling and parking -------------------------------------------------------------- */

static void park(struct fs_pool *p)
{
	pthread_mutex_lock(&p->lock);
	atomic_fetch_add(&p->parked, 1);
	while (!p->calls && !p->ended)
		pthread_cond_wait(&p->called, &p->lock);
	if (p->calls)
		p->calls--;
	pthread_mutex_unlock(&p->lock);
}

static void call(struct fs_pool *p)
{
	pthread_mutex_lock(&p->lock);
	if (atomic_load(&p->parked)) {
		atomic_fetch_sub(&p->parked, 1);
		p->calls++;
		pthread_cond_signal(&p->called);
	}
	pthread_mutex_unlock(&p->lock);
}

void fs_pool_end(struct fs_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->ended = true;
	pthread_cond_broadcast(&p->called);
	pthread_mutex_unlock(&p->lock);
}

/* --- workers ----------------------------------------------------------------------------- */

/* Some 0.1 µs outside of the read lock, for others who want it. */
static void breathe(void)
{
#if defined(__x86_64__) || defined(__i386__)
	for (int i = 0; i < 4; i++)
		__builtin_ia32_pause();
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

static int8_t *score_of(struct fs_pool *p, const struct pool_worker *w)
{
	return &p->score[w->opcode < KINDS ? w->opcode : 0];
}

static bool worth_spinning(struct fs_pool *p, const struct pool_worker *w)
{
	uint8_t *asleep = &p->asleep[w->opcode < KINDS ? w->opcode : 0];

	if (!p->spins || atomic_load_explicit(&p->calm, memory_order_relaxed))
		return false;
	if (*score_of(p, w) <= 0 && ++*asleep < SPIN_PROBE)
		return false;
	*asleep = 0;
	return true;
}

void fs_pool_wait(struct fs_pool *p, struct pool_worker *w)
{
	struct epoll_event event;

	w->in_a_row = 0;
	if (!w->waiting) {
		if (atomic_exchange(&p->waiting, true)) {
			park(p);
			return;
		}
		w->waiting = true;
		w->idle_since_ns = now_ns();
		w->spin_until_ns = worth_spinning(p, w) ? w->idle_since_ns + SPIN_NS : 0;
	}
	if (w->spin_until_ns && now_ns() < w->spin_until_ns) {
		breathe();
		return;
	}
	if (w->spin_until_ns)
		*score_of(p, w) = (int8_t)MAX(*score_of(p, w) - SPIN_MISS, -SPIN_SCORE_MAX);
	w->spin_until_ns = 0;
	(void)epoll_wait(p->epoll_fd, &event, 1, -1); /* whatever it says, the next read tells */
}

/* The request came while @w waited: was it soon enough to be worth it? */
static void waiting_end(struct fs_pool *p, struct pool_worker *w)
{
	int8_t *score = score_of(p, w);

	if (w->spin_until_ns)
		*score = (int8_t)MIN(MAX(*score, 0) + 1, SPIN_SCORE_MAX);
	else if (now_ns() - w->idle_since_ns < 2 * SPIN_NS) /* waking up takes time, too */
		*score = (int8_t)MIN(*score + 1, SPIN_SCORE_MAX);
	w->waiting = false;
	atomic_store(&p->waiting, false);
}

void fs_pool_slept(struct fs_pool *p)
{
	atomic_store_explicit(&p->calm, CALM, memory_order_relaxed);
}

void fs_pool_took(struct fs_pool *p, struct pool_worker *w, uint32_t opcode)
{
	unsigned calm = atomic_load_explicit(&p->calm, memory_order_relaxed);
	uint64_t one = 1;

	if (calm) /* whatever another does to it meanwhile: it is a guess */
		atomic_compare_exchange_strong_explicit(&p->calm, &calm, calm - 1, memory_order_relaxed, memory_order_relaxed);

	if (w->waiting)
		waiting_end(p, w);
	w->opcode = opcode;
	atomic_fetch_add(&p->taken, 1);
	if (atomic_load(&p->idle) && atomic_exchange(&p->idle, false) && write(p->busy_fd, &one, sizeof(one)) < 0)
		return; /* full: it was told */
	if (++w->in_a_row < BACKLOG)
		return;
	w->in_a_row = 0;
	if (atomic_load_explicit(&p->parked, memory_order_relaxed) + p->active_max > p->workers)
		call(p);
}

/* --- the tick -------------------------------------------------------------------------------- */

int fs_pool_busy_fd(const struct fs_pool *p)
{
	return p->busy_fd;
}

bool fs_pool_tick(struct fs_pool *p)
{
	uint64_t taken = atomic_load(&p->taken);
	bool quiet = taken == p->taken_at_tick, waiting = atomic_load(&p->waiting);

	p->taken_at_tick = taken;
	p->idle_ticks = quiet && waiting ? p->idle_ticks + 1 : 0;
	if (quiet && !waiting)
		call(p);
	if (p->idle_ticks < IDLE_TICKS)
		return true;
	p->idle_ticks = 0;
	atomic_store(&p->idle, true);
	/* Who took one before it could see that did not tell. */
	return atomic_load(&p->taken) != taken && atomic_exchange(&p->idle, false);
}
