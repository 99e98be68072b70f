/* SPDX-License-Identifier: MIT
 *
 * Opening and closing the engine, its plain getters, and health.
 *
 * What it leaves to others: transactions (txn.c), names (engine_namespace.c …), content (draft_*.c), recovery
 * (engine_recover.c), index snapshots (index.c), reading (engine_read.c).
 *
 * Invariant: the tree, the event logs and the transaction index always stand at head_seq; each of them can be
 * rebuilt by replaying the journal from nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine_internal.h"
#include "upkeep.h"

#define CLOCK_BEHIND_NS (60 * NS_PER_S) /* smaller steps are everyday */

#define BLOCK_CACHE_BYTES (16u << 20)

static int engine_before_sync(void *arg)
{
	struct engine *e = arg;

	return e->arena ? arena_content_sync(e->arena) : 0;
}

/* Who waits for something that only a transaction can end hears of it from upkeep. */
static void engine_poisoned(void *arg)
{
	upkeep_wake(arg);
}

static struct engine *engine_new(struct env *env, const struct engine_options *opt)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->env = env;
	e->options = *opt;
	e->next_draft_id = 1;
	e->recovered_id_min = UINT64_MAX;
	util_mutex_init_brief(&e->lock);
	pthread_cond_init(&e->index_cond, NULL);
	pthread_cond_init(&e->scrub_cond, NULL);
	e->checked_blocks = calloc((size_t)1 << CHECKED_BLOCKS_BITS, sizeof(*e->checked_blocks));
	for (size_t i = 0; i < COMMIT_LOCKS; i++)
		pthread_mutex_init(&e->commit_locks[i], NULL);
	e->tree = tree_new(opt->root_uid, opt->root_gid, 0);
	e->logs = event_logs_new();
	e->blocks = block_cache_new(BLOCK_CACHE_BYTES);
	e->shas = sha_cache_new();
	e->hashes = hash_resume_new();
	return e;
}

static void engine_free(struct engine *e)
{
	for (size_t i = 0; i < DRAFT_BUCKETS; i++)
		while (e->drafts[i]) { /* left open: their bytes stay in the arena, pending */
			struct draft *d = e->drafts[i];

			e->drafts[i] = d->next;
			draft_free(d);
		}
	while (e->recovered) {
		struct draft *d = e->recovered;

		e->recovered = d->next;
		draft_free(d);
	}
	for (size_t i = 0; i < REMOVED_RECENTLY_MAX; i++)
		free(e->removed[i].path);
	upkeep_free(e->upkeep);
	lock_files_free(e->lock_files);
	barriers_free(e->barriers);
	registry_free(e->registry);
	tree_free(e->tree);
	event_logs_free(e->logs);
	block_cache_free(e->blocks);
	sha_cache_free(e->shas);
	hash_resume_free(e->hashes);
	for (size_t i = 0; i < e->retired_count; i++) {
		config_release(e->retired[i]);
		free(e->retired[i]);
	}
	free(e->retired);
	journal_recovery_release(&e->recovery);
	record_arena_release(&e->replay_memory);
	buf_release(&e->index_drafts);
	buf_release(&e->scratch);
	buf_release(&e->encoded);
	buf_release(&e->problems);
	free(e->txns);
	free(e->rollbacks.seqs);
	free(e->restores.seqs);
	free(e->over.seqs);
	free(e->damage);
	free(e->ended);
	for (size_t i = 0; i < COMMIT_LOCKS; i++)
		pthread_mutex_destroy(&e->commit_locks[i]);
	free(e->checked_blocks);
	pthread_cond_destroy(&e->scrub_cond);
	pthread_cond_destroy(&e->index_cond);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

/* Upkeep looks for room again (upkeep_room.c). */
static void engine_no_room(void *arg)
{
	upkeep_wake(arg);
}

/* The journal, from an index snapshot if there is a good one, else from its beginning. */
static int engine_open_journal(struct engine *e, journal_replay_fn fn)
{
	struct journal_options jo = {
		.segment_bytes = e->options.segment_bytes,
		.read_only = e->options.read_only,
		.before_sync = engine_before_sync,
		.before_sync_arg = e,
		.poisoned = engine_poisoned,
		.poisoned_arg = e,
		.no_room = engine_no_room,
	};
	int r = -ENOENT;

	if (!e->options.no_index)
		r = index_load(e, &jo.start_position, &jo.start_seq);
	jo.durable_seq = e->snapshot_seq = r ? e->options.durable_seq : jo.start_seq;
	if (!r)
		r = journal_open(e->store, &jo, fn, e, &e->recovery, &e->journal);
	if (r == -ENOMEM || !r)
		return r;
	/* No usable snapshot: forget whatever it half loaded and replay everything. */
	tree_free(e->tree);
	event_logs_free(e->logs);
	e->tree = tree_new(e->options.root_uid, e->options.root_gid, 0);
	e->logs = event_logs_new();
	e->head_seq = 0;
	e->rollbacks.count = e->restores.count = 0;
	e->last_time_ns = 0;
	e->index_seq = 0;
	e->index_draft_id = 0;
	e->replayed = 0;
	if (!e->tree || !e->logs)
		return -ENOMEM;
	jo.start_position = jo.start_seq = 0;
	return journal_open(e->store, &jo, fn, e, &e->recovery, &e->journal);
}

int engine_open_stores(struct engine *e, journal_replay_fn fn, struct reason *reason)
{
	int flags = e->options.read_only ? STORE_READ_ONLY : STORE_CREATE;
	int r = store_open(e->env, flags, reason, &e->store);

	if (r)
		return r;
	r = arena_open(e->store, e->options.read_only, draft_recover_record, e, &e->arena);
	if (r)
		return reason_set(reason, r, "arena", "the drafts of the store cannot be opened: %s", strerror(-r));
	arena_set_no_room(e->arena, engine_no_room, e);
	r = engine_open_journal(e, fn);
	if (!r)
		r = engine_note_lost(e, journal_next_seq(e->journal) - 1);
	if (r && (!reason || !reason->text[0]))
		return reason_set(reason, r, "journal", "the journal cannot be opened: %s", strerror(-r));
	return r;
}

int engine_open(struct env *env, const struct engine_options *opt, struct reason *reason, struct engine **ret)
{
	struct engine *e = engine_new(env, opt);
	int r;

	if (!e)
		return -ENOMEM;
	r = e->tree && e->logs && e->blocks && e->shas && e->hashes && e->checked_blocks ? engine_recover(e, reason) : -ENOMEM;
	if (r) {
		scrub_stop(e);
		index_stop(e);
		if (e->journal)
			(void)journal_close(e->journal); /* the first error is the one to tell */
		arena_close(e->arena);
		store_close(e->store);
		engine_free(e);
		return r;
	}
	*ret = e;
	return 0;
}

int engine_close(struct engine *e)
{
	int r;

	if (!e)
		return 0;
	upkeep_finish(e);
	scrub_stop(e);
	index_stop(e);
	r = e->options.read_only ? 0 : journal_sync(e->journal);
	if (!r && !e->options.read_only) {
		drafts_reap(e);
		if (e->head_seq > e->index_seq)
			(void)index_write(e); /* derived: without it the next start replays */
	}
	r = journal_close(e->journal);
	arena_close(e->arena);
	store_close(e->store);
	engine_free(e);
	return r;
}

void engine_lock(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
}

void engine_unlock(struct engine *e)
{
	pthread_mutex_unlock(&e->lock);
}

struct tree *engine_tree(struct engine *e)
{
	return e->tree;
}

struct event_logs *engine_event_logs(struct engine *e)
{
	uint64_t shown = engine_shown_seq(e);

	event_logs_show_before(e->logs, shown < e->head_seq ? e->txns[shown].position : UINT64_MAX);
	return e->logs;
}

const struct config *engine_config(struct engine *e)
{
	return __atomic_load_n(&e->config, __ATOMIC_ACQUIRE);
}

struct env *engine_env(struct engine *e)
{
	return e->env;
}

uint64_t engine_live_seq(struct engine *e)
{
	return journal_error(e->journal) ? journal_durable_seq(e->journal) : SEQ_LIVE;
}

uint64_t engine_head_seq(struct engine *e)
{
	return __atomic_load_n(&e->head_seq, __ATOMIC_ACQUIRE);
}

uint64_t engine_shown_seq(struct engine *e)
{
	return MIN(engine_live_seq(e), engine_head_seq(e));
}

int64_t engine_seq_time(struct engine *e, uint64_t seq)
{
	if (seq == SEQ_LIVE || seq > e->head_seq)
		return INT64_MAX;
	return seq ? e->txns[seq - 1].time_ns : 0;
}

uint64_t engine_seq_at_time(struct engine *e, int64_t time_ns)
{
	uint64_t low = 0, high = engine_shown_seq(e); /* the answer is in [low, high] */

	while (low < high) {
		uint64_t mid = low + (high - low + 1) / 2;

		if (e->txns[mid - 1].time_ns <= time_ns)
			low = mid;
		else
			high = mid - 1;
	}
	return low;
}

int engine_wait(struct engine *e, uint64_t seq, enum journal_level level)
{
	return seq ? journal_wait(e->journal, seq, level) : 0;
}

bool engine_notify(struct engine *e, struct journal_waiter *w)
{
	if (w->seq)
		return journal_notify(e->journal, w);
	w->fn(w, 0);
	return false;
}

int engine_sync(struct engine *e)
{
	return journal_sync(e->journal);
}

void engine_set_observer(struct engine *e, engine_observer_fn fn, void *arg)
{
	e->observer_arg = arg;
	e->observer = fn;
}

/* It was set back, or was ahead once: times of commits do not follow it before it gets there. */
static void health_of_clock(struct engine *e, struct engine_health *ret)
{
	char now[TIME_TEXT_BYTES], newest[TIME_TEXT_BYTES];
	int64_t now_ns = env_time_ns(e->env);

	if (e->last_time_ns - now_ns < CLOCK_BEHIND_NS)
		return;
	time_format(now_ns, now);
	time_format(e->last_time_ns, newest);
	ret->status = ENGINE_DEGRADED;
	buf_printf(&ret->why,
		"the clock says %s, but the newest transaction is of %s: until then times of changes stand still; look whether the clock is right\n", now,
		newest);
}

void engine_get_health(struct engine *e, struct engine_health *ret)
{
	*ret = (struct engine_health){.status = ENGINE_HEALTHY};
	if (journal_no_room(e->journal) || arena_no_room(e->arena)) {
		ret->status = ENGINE_DEGRADED;
		buf_append_str(&ret->why,
			"no space is left on the disk that holds the store: what needs more is refused until there is some, and what was saved is safe\n");
	}
	engine_lock(e);
	if (e->problems.len) {
		ret->status = ENGINE_DEGRADED;
		buf_append(&ret->why, e->problems.data, e->problems.len);
	}
	health_of_clock(e, ret);
	engine_unlock(e);
	if (journal_error(e->journal)) {
		ret->status = ENGINE_READ_ONLY;
		buf_printf(&ret->why, "the journal could not be written after transaction %llu; changes are refused until the mount is restarted\n",
			(unsigned long long)journal_durable_seq(e->journal));
	} else if (e->options.read_only) {
		ret->status = ENGINE_READ_ONLY;
		buf_append_str(&ret->why, "opened read-only\n");
	}
}

void engine_get_stats(struct engine *e, struct engine_stats *ret)
{
	*ret = (struct engine_stats){0};
	journal_get_stats(e->journal, &ret->journal);
	arena_get_stats(e->arena, &ret->arena);
	engine_lock(e);
	tree_get_stats(e->tree, &ret->tree);
	ret->recovery = e->recovery;
	ret->commits = e->commits;
	ret->refusals = e->refusals;
	ret->rollbacks = e->rollbacks.count;
	ret->conflicts = e->conflicts;
	ret->bytes_committed = e->bytes_committed;
	ret->drafts_open = e->draft_count;
	ret->drafts_pending = e->drafts_pending;
	ret->index_seq = e->index_seq;
	ret->snapshot_seq = e->snapshot_seq;
	ret->replayed = e->replayed;
	ret->opened_ns = e->opened_ns;
	ret->recovery_ns = e->recovery_ns;
	engine_unlock(e);
}

size_t engine_list_transactions(struct engine *e, bool rollbacks, uint64_t before, uint64_t *out, size_t max)
{
	size_t found = 0, r = e->rollbacks.count;

	before = before ? MIN(before, engine_shown_seq(e) + 1) : engine_shown_seq(e) + 1;
	while (r && e->rollbacks.seqs[r - 1] >= before)
		r--;
	if (rollbacks) {
		while (r && found < max)
			out[found++] = e->rollbacks.seqs[--r];
		return found;
	}
	for (uint64_t seq = before - 1; seq && found < max; seq--) {
		while (r && e->rollbacks.seqs[r - 1] > seq)
			r--;
		if (!(r && e->rollbacks.seqs[r - 1] == seq) && !engine_seq_lost(e, seq))
			out[found++] = seq;
	}
	return found;
}

size_t engine_list_restores(struct engine *e, uint64_t before, uint64_t *out, size_t max)
{
	size_t found = 0, r = e->restores.count;

	before = before ? MIN(before, engine_shown_seq(e) + 1) : engine_shown_seq(e) + 1;
	while (r && e->restores.seqs[r - 1] >= before)
		r--;
	while (r && found < max)
		out[found++] = e->restores.seqs[--r];
	return found;
}

size_t engine_list_damaged_blocks(struct engine *e, uint64_t out[ENGINE_DAMAGED_BLOCKS_MAX])
{
	size_t count;

	engine_lock(e);
	count = e->damaged_block_count;
	memcpy(out, e->damaged_blocks, count * sizeof(*out));
	engine_unlock(e);
	return count;
}

int engine_list_damage(struct engine *e, struct journal_damage **ret, size_t *ret_count)
{
	struct journal_damage *all;
	size_t count;

	engine_lock(e);
	count = e->recovery.damage_count + e->damage_count;
	all = malloc((count + 1) * sizeof(*all));
	if (all && e->recovery.damage_count)
		memcpy(all, e->recovery.damage, e->recovery.damage_count * sizeof(*all));
	if (all && e->damage_count)
		memcpy(all + e->recovery.damage_count, e->damage, e->damage_count * sizeof(*all));
	engine_unlock(e);
	if (!all)
		return -ENOMEM;
	*ret = all;
	*ret_count = count;
	return 0;
}
