/* SPDX-License-Identifier: MIT
 *
 * What the load generators share: a crowd of threads (or processes) doing one operation for a while, each call timed,
 * and the JSON line that says how it went:
 *
 *	{"ops":N,"seconds":S,"per_s":R,"p50_us":P,"p99_us":Q}
 *
 * Workers start together and stop at the first operation that ends after the deadline. An operation that fails ends the program:
 * a benchmark that counts failures as work is worth nothing. The percentiles are of the first BENCH_SAMPLES_MAX calls of each worker.
 */
#ifndef MILESTONEFS_BENCH_H
#define MILESTONEFS_BENCH_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BENCH_THREADS_MAX 64
#define BENCH_SAMPLES_MAX (1u << 19)

struct bench_crowd;

struct bench_worker {
	struct bench_crowd *crowd;
	unsigned index;
	void *state;       /**< the operation's own */
	uint32_t *samples; /**< nanoseconds */
	uint64_t ops;
	int64_t end_ns;
	pthread_t thread;
	pid_t process;
};

/** Made by bench_crowd_new(). */
struct bench_crowd {
	unsigned threads;
	int processes; /**< workers are processes of one thread each */
	double seconds;
	void (*prepare)(struct bench_worker *w); /**< not timed; may be NULL */
	void (*op)(struct bench_worker *w, uint64_t i);
	void *arg;
	pthread_barrier_t start;
	int64_t begin_ns;
	struct bench_worker workers[BENCH_THREADS_MAX];
};

static inline int64_t bench_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

__attribute__((noreturn)) static inline void bench_die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

/** Memory that forked workers share. */
static inline void *bench_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_die("mmap");
	return p;
}

static inline struct bench_crowd *bench_crowd_new(void)
{
	return bench_shared(sizeof(struct bench_crowd));
}

static inline void *bench_main(void *arg)
{
	struct bench_worker *w = arg;
	struct bench_crowd *c = w->crowd;
	int64_t deadline, before, now;

	if (c->prepare)
		c->prepare(w);
	(void)pthread_barrier_wait(&c->start);
	now = bench_now_ns();
	if (!w->index)
		c->begin_ns = now;
	deadline = now + (int64_t)(c->seconds * 1e9);
	do {
		before = now;
		c->op(w, w->ops);
		now = bench_now_ns();
		if (w->ops < BENCH_SAMPLES_MAX)
			w->samples[w->ops] = (uint32_t)(now - before > UINT32_MAX ? UINT32_MAX : now - before);
		w->ops++;
	} while (now < deadline);
	w->end_ns = now;
	return NULL;
}

static inline int bench_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static inline void bench_report(const struct bench_crowd *c)
{
	uint64_t ops = 0, count = 0;
	int64_t end = 0;
	double seconds;
	uint32_t *all;

	for (unsigned i = 0; i < c->threads; i++) {
		const struct bench_worker *w = &c->workers[i];

		ops += w->ops;
		count += w->ops < BENCH_SAMPLES_MAX ? w->ops : BENCH_SAMPLES_MAX;
		end = w->end_ns > end ? w->end_ns : end;
	}
	all = malloc(count * sizeof(*all));
	if (!all)
		bench_die("malloc");
	count = 0;
	for (unsigned i = 0; i < c->threads; i++) {
		const struct bench_worker *w = &c->workers[i];
		uint64_t n = w->ops < BENCH_SAMPLES_MAX ? w->ops : BENCH_SAMPLES_MAX;

		memcpy(all + count, w->samples, n * sizeof(*all));
		count += n;
	}
	qsort(all, count, sizeof(*all), bench_compare);
	seconds = (double)(end - c->begin_ns) / 1e9;
	printf("{\"ops\":%llu,\"seconds\":%.4f,\"per_s\":%.1f,\"p50_us\":%.2f,\"p99_us\":%.2f}\n", (unsigned long long)ops, seconds, (double)ops / seconds,
		all[count / 2] / 1e3, all[count * 99 / 100] / 1e3);
	free(all);
}

static inline void bench_start(struct bench_worker *w)
{
	pid_t child;

	if (!w->crowd->processes) {
		errno = pthread_create(&w->thread, NULL, bench_main, w);
		if (errno)
			bench_die("pthread_create");
		return;
	}
	child = fork();
	if (child < 0)
		bench_die("fork");
	if (!child) {
		(void)bench_main(w);
		_exit(0);
	}
	w->process = child; /* by the parent only: the memory is shared */
}

static inline void bench_join(struct bench_worker *w)
{
	int status = 0;

	if (!w->crowd->processes)
		(void)pthread_join(w->thread, NULL);
	else if (waitpid(w->process, &status, 0) < 0 || status) {
		fprintf(stderr, "worker %u ended with status 0x%x\n", w->index, (unsigned)status);
		exit(1);
	}
}

/** Run @c->op in @c->threads workers for @c->seconds and print the line. */
static inline void bench_run(struct bench_crowd *c)
{
	pthread_barrierattr_t shared;

	errno = EINVAL;
	if (!c->threads || c->threads > BENCH_THREADS_MAX)
		bench_die("number of workers");
	(void)pthread_barrierattr_init(&shared);
	(void)pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	(void)pthread_barrier_init(&c->start, &shared, c->threads);
	for (unsigned i = 0; i < c->threads; i++) {
		struct bench_worker *w = &c->workers[i];

		w->crowd = c;
		w->index = i;
		w->samples = bench_shared(BENCH_SAMPLES_MAX * sizeof(*w->samples));
		bench_start(w);
	}
	for (unsigned i = 0; i < c->threads; i++)
		bench_join(&c->workers[i]);
	bench_report(c);
	for (unsigned i = 0; i < c->threads; i++)
		(void)munmap(c->workers[i].samples, BENCH_SAMPLES_MAX * sizeof(uint32_t));
}

/* ---- many callers, one committing thread: what raw group commit and grouped SQLite share ---- */

struct bench_group {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	uint64_t asked, finished; /**< tickets */
	int stop;
};

#define BENCH_GROUP_INIT                                                                               \
	{                                                                                              \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0 \
	}

/** Ask for one operation and wait until a batch with it is safe. */
static inline void bench_group_do(struct bench_group *g)
{
	uint64_t ticket;

	(void)pthread_mutex_lock(&g->lock);
	ticket = ++g->asked;
	(void)pthread_cond_signal(&g->work);
	while (g->finished < ticket)
		(void)pthread_cond_wait(&g->done, &g->lock);
	(void)pthread_mutex_unlock(&g->lock);
}

/** The committing thread's loop: @commit makes tickets first..last safe. */
static inline void bench_group_serve(struct bench_group *g, void (*commit)(void *arg, uint64_t first, uint64_t last), void *arg)
{
	(void)pthread_mutex_lock(&g->lock);
	for (;;) {
		uint64_t first, last;

		while (g->asked == g->finished && !g->stop)
			(void)pthread_cond_wait(&g->work, &g->lock);
		if (g->asked == g->finished)
			break;
		first = g->finished + 1;
		last = g->asked;
		(void)pthread_mutex_unlock(&g->lock);
		commit(arg, first, last);
		(void)pthread_mutex_lock(&g->lock);
		g->finished = last;
		(void)pthread_cond_broadcast(&g->done);
	}
	(void)pthread_mutex_unlock(&g->lock);
}

static inline void bench_group_stop(struct bench_group *g)
{
	(void)pthread_mutex_lock(&g->lock);
	g->stop = 1;
	(void)pthread_cond_signal(&g->work);
	(void)pthread_mutex_unlock(&g->lock);
}

#endif
