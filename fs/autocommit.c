/* SPDX-License-Identifier: MIT
 *
 * The autocommit thread. A handle is due autocommit_ms after its first unpublished write; the time of that is in the
 * handle, the thread only remembers whether it sleeps for ever. All wait for the same interval, so no new one is due before
 * those that the thread sleeps for, unless the setting changes: that wakes it.
 *
 * A save that is over before it is due costs the thread nothing but, once in autocommit_ms, a look at the table of handles.
 *
 * Failure: a commit that is refused or finds no room stays a draft and is tried again at the next write
 * (refused) or after the interval (no room).
 */
#include "autocommit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "handle.h"
#include "publish.h"

struct autocommit {
	struct fs *fs;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	atomic_bool asleep;          /* for ever: somebody must wake it */
	_Atomic int64_t interval_ns; /* what it goes by; set under lock */
	bool changed;                /* under lock: the interval, since it looked */
	bool stop;                   /* under lock */
};

static int64_t interval_ns(struct fs *fs)
{
	return (int64_t)engine_config(fs->engine)->autocommit_ms * NS_PER_MS;
}

void autocommit_settings(struct autocommit *a)
{
	if (!a || atomic_load(&a->interval_ns) == interval_ns(a->fs))
		return;
	pthread_mutex_lock(&a->lock);
	atomic_store(&a->interval_ns, interval_ns(a->fs));
	a->changed = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
}

void autocommit_arm(struct fs *fs, struct handle *h)
{
	struct autocommit *a = fs->autocommit;
	int64_t none = 0;

	if (!a || atomic_load(&h->since_ns))
		return;
	atomic_compare_exchange_strong(&h->since_ns, &none, env_monotonic_ns(engine_env(fs->engine)));
	if (!atomic_exchange(&a->asleep, false))
		return;
	pthread_mutex_lock(&a->lock);
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
}

/* Publish one handle that is due. */
static void handle_autocommit(struct fs *fs, struct handle *h, int64_t now_ns)
{
	uint64_t seq;
	int r = 0;

	pthread_mutex_lock(&h->lock);
	atomic_store(&h->since_ns, 0); /* before the commit: a write during it arms again */
	if (h->draft && atomic_load(&h->unsettled) && !atomic_load(&h->held))
		r = handle_publish(fs, h, DRAFT_STREAM, &seq);
	pthread_mutex_unlock(&h->lock);
	if (r == -ENOSPC || r == -ENOMEM)
		atomic_store(&h->since_ns, now_ns);
}

int64_t handles_autocommit(struct fs *fs, int64_t now_ns)
{
	int64_t next_ns = INT64_MAX, interval = interval_ns(fs);
	struct handle_list l;

	if (handles_find(fs->handles, 0, HANDLE_WRITE, &l) < 0)
		next_ns = now_ns + interval; /* no memory: those found are served, the rest then */
	for (size_t i = 0; i < l.count; i++) {
		int64_t since_ns = atomic_load(&l.items[i]->since_ns);

		if (since_ns && since_ns + interval <= now_ns) {
			handle_autocommit(fs, l.items[i], now_ns);
			since_ns = atomic_load(&l.items[i]->since_ns);
		}
		if (since_ns)
			next_ns = MIN(next_ns, since_ns + interval);
	}
	handle_list_release(fs, &l);
	return next_ns;
}

static void wait_until(struct autocommit *a, int64_t due_ns)
{
	struct timespec at = {.tv_sec = due_ns / NS_PER_S, .tv_nsec = due_ns % NS_PER_S};

	if (due_ns != INT64_MAX) {
		pthread_cond_timedwait(&a->wake, &a->lock, &at);
		return;
	}
	while (atomic_load(&a->asleep) && !a->changed && !a->stop)
		pthread_cond_wait(&a->wake, &a->lock);
}

static void *autocommit_run(void *arg)
{
	struct autocommit *a = arg;
	struct fs *fs = a->fs;
	int64_t next_ns;

	pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		a->changed = false;
		pthread_mutex_unlock(&a->lock);
		/* Said before looking: who arms after the look finds it true and wakes us. */
		atomic_store(&a->asleep, true);
		next_ns = handles_autocommit(fs, env_monotonic_ns(engine_env(fs->engine)));
		pthread_mutex_lock(&a->lock);
		if (next_ns != INT64_MAX)
			atomic_store(&a->asleep, false);
		if (!a->stop && !a->changed)
			wait_until(a, next_ns);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

int autocommit_start(struct fs *fs, struct autocommit **ret)
{
	struct autocommit *a = calloc(1, sizeof(*a));
	pthread_condattr_t attr;
	int r;

	if (!a)
		return -ENOMEM;
	a->fs = fs;
	atomic_init(&a->interval_ns, interval_ns(fs));
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->wake, &attr);
	pthread_condattr_destroy(&attr);
	r = pthread_create(&a->thread, NULL, autocommit_run, a);
	if (r) {
		pthread_cond_destroy(&a->wake);
		pthread_mutex_destroy(&a->lock);
		free(a);
		return -r;
	}
	*ret = a;
	return 0;
}

void autocommit_stop(struct autocommit *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
