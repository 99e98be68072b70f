/* SPDX-License-Identifier: MIT
 *
 * From memory to disk: writing batches, making them durable, telling who waits.
 *
 * Two steps, each by one thread at a time: write_out (write_lock) puts batches into
 * the segment with one pwrite each; sync_out (sync_lock) makes what was written
 * durable and publishes it. With sync=commit the commit thread does both for all
 * that came together while it was busy: that is the group. With sync=interval a
 * caller does the first itself and the commit thread the second now and then.
 *
 * Who asks with `leads` and finds nothing on its way does both himself; whoever comes meanwhile is the commit thread's.
 *
 * Any failure poisons: the bytes since the last good sync are in an unknown
 * state, and trying again could only hide that. Only a new recovery can tell.
 * The commit thread sleeps without a timer when nothing is unsynced.
 */
#include "journal_internal.h"

#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

/* Call everyone on @list. Without locks, because they may append again. */
static void tell(struct journal_waiter *list, int error)
{
	while (list) {
		struct journal_waiter *w = list;

		list = w->next;
		w->next = NULL;
		w->fn(w, error);
	}
}

/* Unlink the waiters up to @seq, keeping their order. Under lock. */
static struct journal_waiter *waiters_take(struct journal *j, uint64_t seq)
{
	struct journal_waiter *taken = NULL, **end = &taken, **at = &j->waiters;

	while (*at) {
		struct journal_waiter *w = *at;

		if (w->seq > seq) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = NULL;
		*end = w;
		end = &w->next;
	}
	j->waiters_end = at;
	return taken;
}

int journal_poison(struct journal *j)
{
	struct journal_waiter *list;

	pthread_mutex_lock(&j->lock);
	atomic_store(&j->error, -EIO);
	list = waiters_take(j, UINT64_MAX);
	pthread_cond_broadcast(&j->work);
	pthread_cond_broadcast(&j->prepare);
	pthread_mutex_unlock(&j->lock);
	tell(list, -EIO);
	if (j->poisoned)
		j->poisoned(j->poisoned_arg);
	return -EIO;
}

static int content_sync(struct journal *j)
{
	return j->before_sync ? j->before_sync(j->before_sync_arg) : 0;
}

static int batch_write(struct journal *j, struct batch *b)
{
	size_t len = ALIGN_UP(b->len, FORMAT_BLOCK_BYTES);
	struct env_file file;
	int r;

	assert(len <= b->cap && b->offset % FORMAT_BLOCK_BYTES == 0 && b->offset >= FORMAT_BLOCK_BYTES);
	memset(b->buf + b->len, 0, len - b->len); /* nobody reads there but this write */
	r = env_files_get(j->files, b->segment, &file);
	if (r < 0)
		return r;
	r = env_pwrite(j->env, file.fd, b->buf, len, b->offset);
	env_files_put(j->files, &file);
	return r;
}

/* Under lock: @list is in the file now. */
static void written(struct journal *j, struct batch *list)
{
	for (const struct batch *b = list; b; b = b->next) {
		if (atomic_load(&j->seq_written) == atomic_load(&j->seq_durable))
			j->dirty_from = b->segment;
		j->written_segment = b->segment;
		j->stats.batches++;
		j->stats.bytes_written += ALIGN_UP(b->len, FORMAT_BLOCK_BYTES);
		atomic_store(&j->seq_written, b->seq_last);
	}
	j->writing = NULL;
	journal_retire(j, list);
}

/* Under write_lock. */
static int write_taken(struct journal *j, struct batch *list, bool content_first)
{
	uint64_t seq_last = 0;
	int r = 0;

	for (const struct batch *b = list; b; b = b->next)
		seq_last = b->seq_last;
	if (content_first && list) {
		r = content_sync(j);
		if (!r) {
			pthread_mutex_lock(&j->lock);
			j->seq_content = seq_last;
			pthread_mutex_unlock(&j->lock);
		}
	}
	for (struct batch *b = list; b && !r; b = b->next)
		r = batch_write(j, b);
	return r;
}

int journal_write_out(struct journal *j, bool content_first)
{
	struct batch *list;
	int r = 0;

	pthread_mutex_lock(&j->write_lock);
	if (!atomic_load(&j->error)) {
		pthread_mutex_lock(&j->lock);
		list = journal_take(j);
		pthread_mutex_unlock(&j->lock);
		r = write_taken(j, list, content_first);
		if (!r) {
			pthread_mutex_lock(&j->lock);
			written(j, list);
			pthread_mutex_unlock(&j->lock);
		} else {
			atomic_store(&j->error, -EIO); /* before the next writer comes; what was taken stays readable */
		}
	}
	r = atomic_load(&j->error);
	pthread_mutex_unlock(&j->write_lock);
	return r ? journal_poison(j) : 0;
}

static int segments_sync(struct journal *j, uint32_t from, uint32_t to)
{
	for (uint32_t n = from; n <= to; n++) {
		struct env_file file;
		int r = env_files_get(j->files, n, &file);

		if (r < 0)
			return r;
		r = env_fdatasync(j->env, file.fd);
		env_files_put(j->files, &file);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Under sync_lock. Publish that frames up to @seq are durable; who waited for that is returned. */
static struct journal_waiter *publish(struct journal *j, uint64_t seq, uint32_t segment, int64_t took_ns)
{
	struct journal_waiter *list;

	pthread_mutex_lock(&j->lock);
	atomic_store(&j->seq_durable, seq); /* the transactions commit here */
	j->dirty_from = segment;
	j->stats.syncs++;
	j->stats.sync_ns_total += took_ns;
	j->stats.sync_ns_max = MAX(j->stats.sync_ns_max, took_ns);
	list = waiters_take(j, seq);
	pthread_mutex_unlock(&j->lock);
	return list;
}

static int sync_out(struct journal *j)
{
	struct journal_waiter *list = NULL;
	uint32_t from, to;
	uint64_t seq, content;
	int64_t start;
	int r = 0;

	pthread_mutex_lock(&j->sync_lock);
	pthread_mutex_lock(&j->lock);
	j->syncing = true;
	seq = atomic_load(&j->seq_written);
	content = j->seq_content;
	from = j->dirty_from;
	to = j->written_segment;
	pthread_mutex_unlock(&j->lock);
	if (!atomic_load(&j->error) && seq > atomic_load(&j->seq_durable)) {
		start = env_monotonic_ns(j->env);
		if (content < seq)
			r = content_sync(j);
		if (!r)
			r = segments_sync(j, from, to);
		if (r)
			atomic_store(&j->error, -EIO);
		if (!atomic_load(&j->error))
			list = publish(j, seq, to, env_monotonic_ns(j->env) - start);
	}
	r = atomic_load(&j->error);
	pthread_mutex_lock(&j->lock);
	j->syncing = false;
	pthread_mutex_unlock(&j->lock);
	pthread_mutex_unlock(&j->sync_lock);
	tell(list, 0);
	return r ? journal_poison(j) : 0;
}

int journal_flush(struct journal *j)
{
	int r = journal_write_out(j, true);

	return r ? r : sync_out(j);
}

/* Under lock: is there anything that must become durable some time? */
static bool is_unsynced(const struct journal *j)
{
	return j->seq_next - 1 > atomic_load(&j->seq_durable);
}

static bool must_flush(const struct journal *j, bool late)
{
	return is_unsynced(j) && !atomic_load(&j->error) && (late || j->waiters || j->sync_wanted || j->stopping || j->queue);
}

static int64_t lazy_ns(const struct journal *j)
{
	return (j->interval_ms ? j->interval_ms : JOURNAL_LAZY_SYNC_MS) * NS_PER_MS;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* for pthread_cond_timedwait(), not for anything stored */
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* Under lock. Sleep until woken or the deadline; afterwards true when that passed. */
static bool commit_sleep(struct journal *j)
{
	struct timespec ts;

	if (!j->lazy_deadline_ns) {
		pthread_cond_wait(&j->work, &j->lock);
		return false;
	}
	if (j->lazy_deadline_ns < 0)
		j->lazy_deadline_ns = now_ns() + lazy_ns(j);
	ts.tv_sec = j->lazy_deadline_ns / NS_PER_S;
	ts.tv_nsec = j->lazy_deadline_ns % NS_PER_S;
	if (pthread_cond_timedwait(&j->work, &j->lock, &ts) != ETIMEDOUT)
		return now_ns() >= j->lazy_deadline_ns;
	return true;
}

void *journal_commit_main(void *arg)
{
	struct journal *j = arg;
	bool late = false;

	pthread_mutex_lock(&j->lock);
	while (!j->stopping || must_flush(j, late)) {
		if (must_flush(j, late)) {
			j->sync_wanted = false;
			pthread_mutex_unlock(&j->lock);
			(void)journal_flush(j); /* a failure has reached all waiters */
			pthread_mutex_lock(&j->lock);
			/* Look once more after the delay, then sleep without limit: appends in between need not wake us. */
			j->lazy_deadline_ns = -1;
			late = false;
			continue;
		}
		if (late || atomic_load(&j->error))
			j->lazy_deadline_ns = 0;
		late = commit_sleep(j);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

void *journal_prepare_main(void *arg)
{
	struct journal *j = arg;
	int r = 0;

	pthread_mutex_lock(&j->lock);
	while (!j->stopping) {
		/* After a failure (no room) wait for the next append instead of trying at once again. */
		if (r < 0 || !journal_wants_segment(j))
			pthread_cond_wait(&j->prepare, &j->lock);
		r = 0;
		if (j->stopping || !journal_wants_segment(j))
			continue;
		pthread_mutex_unlock(&j->lock);
		r = journal_prepare(j, 0, true);
		pthread_mutex_lock(&j->lock);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

/* Under lock: is nothing on its way to the disk, and nobody else waiting for it? */
static bool is_idle(const struct journal *j)
{
	return !j->waiters && !j->queue && !j->writing && !j->syncing;
}

/* What @w has to wait for now: 1 nothing, 0 queued for the commit thread, else an error; -EAGAIN: do it yourself. */
static int enqueue(struct journal *j, struct journal_waiter *w)
{
	int r = -EAGAIN;

	pthread_mutex_lock(&j->lock);
	if (atomic_load(&j->error)) {
		r = -EIO;
	} else if (w->seq <= atomic_load(&j->seq_durable) || (w->level == JOURNAL_ACKNOWLEDGED && j->interval_ms && w->seq <= atomic_load(&j->seq_written))) {
		r = 1;
	} else if (j->started && !(w->level == JOURNAL_ACKNOWLEDGED && j->interval_ms) && !(w->leads && is_idle(j))) {
		w->next = NULL;
		*j->waiters_end = w;
		j->waiters_end = &w->next;
		pthread_cond_signal(&j->work);
		r = 0;
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

bool journal_notify(struct journal *j, struct journal_waiter *w)
{
	int r = enqueue(j, w);
	bool only_written = true;

	if (!r)
		return false;
	if (r == -EAGAIN) {
		pthread_mutex_lock(&j->lock);
		only_written = w->level == JOURNAL_ACKNOWLEDGED && j->interval_ms;
		pthread_mutex_unlock(&j->lock);
		r = only_written ? journal_write_out(j, false) : journal_flush(j);
	}
	w->fn(w, r < 0 ? -EIO : 0);
	return !only_written;
}

struct blocked {
	struct journal_waiter waiter;
	sem_t done;
	int error;
};

static void wake_blocked(struct journal_waiter *w, int error)
{
	struct blocked *b = (struct blocked *)w;

	b->error = error;
	sem_post(&b->done);
}

int journal_wait(struct journal *j, uint64_t seq, enum journal_level level)
{
	struct blocked b = {.waiter = {.seq = seq, .level = level, .fn = wake_blocked}};

	sem_init(&b.done, 0, 0);
	(void)journal_notify(j, &b.waiter);
	while (sem_wait(&b.done) < 0)
		; /* interrupted by a signal */
	sem_destroy(&b.done);
	return b.error;
}

int journal_sync(struct journal *j)
{
	uint64_t seq = journal_next_seq(j) - 1;

	return journal_wait(j, seq, JOURNAL_DURABLE);
}

void journal_set_sync_interval(struct journal *j, uint32_t interval_ms)
{
	pthread_mutex_lock(&j->lock);
	j->interval_ms = interval_ms;
	if (j->lazy_deadline_ns)
		j->lazy_deadline_ns = -1; /* counted anew */
	pthread_cond_signal(&j->work);
	pthread_mutex_unlock(&j->lock);
}
