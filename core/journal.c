/* SPDX-License-Identifier: MIT
 *
 * A journal's life: open (list, recover, repair), start threads, close. The
 * order inside open matters: nothing may be appended before everything that
 * recovery decided is durable.
 */
#include "journal_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

static int check_options(const struct journal_options *opt, uint64_t *ret_bytes)
{
	uint64_t bytes = opt->segment_bytes ? opt->segment_bytes : JOURNAL_SEGMENT_BYTES_DEFAULT;

	if (bytes < JOURNAL_SEGMENT_BYTES_MIN || bytes > JOURNAL_SEGMENT_BYTES_MAX || bytes % FORMAT_BLOCK_BYTES)
		return -EINVAL;
	*ret_bytes = bytes;
	return 0;
}

/* The larger a frame may be, the more of each segment is kept free for it (invariant (I)): half is as far as that goes. */
static uint32_t payload_max(uint64_t segment_bytes)
{
	_Static_assert(2 * (FRAME_BYTES(JOURNAL_PAYLOAD_MAX) + FORMAT_BLOCK_BYTES) + FORMAT_BLOCK_BYTES <= JOURNAL_SEGMENT_BYTES_DEFAULT, "two fit");
	return segment_bytes >= JOURNAL_SEGMENT_BYTES_DEFAULT ? JOURNAL_PAYLOAD_MAX : (uint32_t)(segment_bytes / 4);
}

static void init_locks(struct journal *j)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&j->prepare_lock, NULL);
	pthread_mutex_init(&j->sync_lock, NULL);
	pthread_mutex_init(&j->write_lock, NULL);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->prepare, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&j->work, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static void batch_list_free(struct batch *b)
{
	while (b) {
		struct batch *next = b->next;

		journal_batch_free(b);
		b = next;
	}
}

static void journal_free(struct journal *j)
{
	batch_list_free(j->open);
	batch_list_free(j->queue);
	batch_list_free(j->writing);
	batch_list_free(j->spare);
	env_files_free(j->files);
	free(j->segments);
	pthread_cond_destroy(&j->work);
	pthread_cond_destroy(&j->prepare);
	pthread_mutex_destroy(&j->lock);
	pthread_mutex_destroy(&j->write_lock);
	pthread_mutex_destroy(&j->sync_lock);
	pthread_mutex_destroy(&j->prepare_lock);
	free(j);
}

int journal_open(
	struct store *store, const struct journal_options *opt, journal_replay_fn fn, void *arg, struct journal_recovery *ret_recovery, struct journal **ret)
{
	struct journal_recovery recovery = {0};
	struct journal *j;
	uint64_t bytes;
	int r = check_options(opt, &bytes);

	if (r < 0)
		return r;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	init_locks(j);
	j->store = store;
	j->env = store->env;
	j->segment_bytes = bytes;
	j->payload_max = payload_max(bytes);
	j->read_only = opt->read_only;
	j->before_sync = opt->before_sync;
	j->before_sync_arg = opt->before_sync_arg;
	j->poisoned = opt->poisoned;
	j->poisoned_arg = opt->poisoned_arg;
	j->no_room = opt->no_room;
	j->queue_end = &j->queue;
	j->waiters_end = &j->waiters;
	j->append_offset = FORMAT_BLOCK_BYTES;
	j->files = env_files_new(j->env, JOURNAL_DIR, ".seg", j->read_only ? ENV_READ : ENV_WRITE);
	r = j->files ? journal_segments_list(j) : -ENOMEM;
	if (!r)
		r = journal_recover(j, opt, fn, arg, &recovery);
	if (r) {
		journal_free(j);
		return r;
	}
	*ret_recovery = recovery;
	*ret = j;
	return 0;
}

int journal_start(struct journal *j)
{
	int r;

	if (j->read_only)
		return -EROFS;
	assert(!j->started);
	j->started = true; /* before there is a second thread */
	r = pthread_create(&j->commit_thread, NULL, journal_commit_main, j);
	if (r) {
		j->started = false;
		return -r;
	}
	r = pthread_create(&j->prepare_thread, NULL, journal_prepare_main, j);
	if (!r)
		return 0;
	pthread_mutex_lock(&j->lock);
	j->stopping = true;
	pthread_cond_broadcast(&j->work);
	pthread_mutex_unlock(&j->lock);
	pthread_join(j->commit_thread, NULL);
	j->started = j->stopping = false;
	return -r;
}

int journal_close(struct journal *j)
{
	int r;

	if (!j)
		return 0;
	if (j->started) {
		pthread_mutex_lock(&j->lock);
		j->stopping = true;
		pthread_cond_broadcast(&j->work);
		pthread_cond_broadcast(&j->prepare);
		pthread_mutex_unlock(&j->lock);
		pthread_join(j->commit_thread, NULL);
		pthread_join(j->prepare_thread, NULL);
	}
	r = atomic_load(&j->error);
	if (!r && !j->read_only)
		r = journal_flush(j);
	assert(!j->waiters);
	journal_free(j);
	return r;
}

uint64_t journal_durable_seq(struct journal *j)
{
	return atomic_load(&j->seq_durable);
}

int journal_error(struct journal *j)
{
	return atomic_load(&j->error);
}

void journal_get_stats(struct journal *j, struct journal_stats *ret)
{
	pthread_mutex_lock(&j->lock);
	*ret = j->stats;
	ret->segments = j->segment_count;
	ret->segment_bytes = 0;
	for (size_t i = 0; i < j->segment_count; i++)
		ret->segment_bytes += j->segments[i].size;
	ret->reserved_bytes = j->charged;
	ret->head_seq = j->seq_next - 1;
	ret->durable_seq = atomic_load(&j->seq_durable);
	ret->sync_interval_ms = j->interval_ms;
	pthread_mutex_unlock(&j->lock);
}
