/* SPDX-License-Identifier: MIT
 *
 * What the daemon does by itself: the table of tasks, being woken, and which processes matter.
 *
 * Each task looks at what the registry knows, does what is due and says when it is due next. Nothing polls: between two calls nothing
 * happens but through others, who wake whoever calls when that makes something due earlier. Time that passes is the monotonic clock's; only
 * what files say in dates (created_at, a checkpoint's age) goes by the wall clock.
 *
 * Failure: what could not be written is tried again after UPKEEP_RETRY_NS; once the journal is poisoned nothing is done any more.
 */
#include "upkeep_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A process's start is known by a clock that ticks a hundred times a second, and the wall clock may have been set since. */
#define STARTED_SLACK_NS (2 * NS_PER_S)

typedef int64_t (*upkeep_task_fn)(struct engine *e, int64_t now_ns);

/* In this order: what one finds out, the next may act upon. */
static const upkeep_task_fn tasks[] = {
	upkeep_room,
	upkeep_records,
	upkeep_expiry,
	upkeep_checkpoints,
	upkeep_retention,
	barriers_upkeep,
	lock_files_upkeep,
};

/* ---- times ---- */

int64_t upkeep_next(int64_t now_ns, int64_t interval_ns)
{
	return (now_ns / interval_ns + 1) * interval_ns;
}

int64_t upkeep_after(int64_t from_ns, uint64_t seconds)
{
	int64_t ns;

	if (__builtin_mul_overflow(seconds, NS_PER_S, &ns) || __builtin_add_overflow(from_ns, ns, &ns))
		return INT64_MAX;
	return ns;
}

void upkeep_request(struct engine *e, struct request *q)
{
	*q = (struct request){.uid = e->options.root_uid, .gid = e->options.root_gid};
	q->actor.uid = q->uid;
	q->actor.gid = q->gid;
	snprintf(q->actor.comm, sizeof(q->actor.comm), "milestonefs");
}

/* ---- beginning, waking, end ---- */

int upkeep_start(struct engine *e)
{
	e->upkeep = calloc(1, sizeof(*e->upkeep));
	return e->upkeep ? 0 : -ENOMEM;
}

void upkeep_free(struct upkeep *u)
{
	if (u) {
		free(u->pids);
		free(u->agent_pids);
	}
	free(u);
}

void upkeep_set_waker(struct engine *e, void (*wake)(void *arg), void *arg)
{
	__atomic_store_n(&e->upkeep->wake_arg, arg, __ATOMIC_RELAXED);
	__atomic_store_n(&e->upkeep->wake, wake, __ATOMIC_RELEASE);
}

void upkeep_wake(struct engine *e)
{
	void (*wake)(void *arg) = e->upkeep ? __atomic_load_n(&e->upkeep->wake, __ATOMIC_ACQUIRE) : NULL;

	if (wake)
		wake(__atomic_load_n(&e->upkeep->wake_arg, __ATOMIC_RELAXED));
}

void upkeep_arm_files(struct engine *e)
{
	if (!e->upkeep || e->upkeep->files_due_ns)
		return;
	e->upkeep->files_due_ns = upkeep_next(env_monotonic_ns(e->env), UPKEEP_FILES_NS);
	upkeep_wake(e);
}

void upkeep_session_changed(struct engine *e, struct session *s)
{
	upkeep_arm_files(e);
	if (s->unsaved_ns)
		return;
	s->unsaved_ns = env_monotonic_ns(e->env);
	upkeep_wake(e);
}

void upkeep_finish(struct engine *e)
{
	if (!e->upkeep || e->options.read_only || journal_error(e->journal))
		return;
	e->upkeep->ends = true;
	(void)upkeep_records(e, env_monotonic_ns(e->env)); /* what cannot be written now is lost: heartbeats and counts since the last time */
}

/* ---- processes ---- */

struct pid_list {
	struct watched_pid *items;
	size_t count, capacity;
	int error;
};

static void pid_list_add(void *arg, uint32_t pid)
{
	struct pid_list *l = arg;

	if (!pid)
		return;
	if (array_reserve(&l->items, &l->capacity, l->count + 1, sizeof(*l->items)))
		l->error = -ENOMEM;
	else
		l->items[l->count++] = (struct watched_pid){.pid = pid};
}

static int by_pid(const void *a, const void *b)
{
	const struct watched_pid *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static bool agent_pid_matters(const struct agent *a)
{
	return a->fields.pid && a->fields.pid != a->ended_pid && !a->process_ended && !a->removed_ns && agent_status_is_live(a->fields.status);
}

static void pid_list_add_agents(struct engine *e, struct pid_list *l)
{
	for (const struct session *s = registry_first_session(e); s; s = s->next)
		for (const struct agent *a = s->agents; a; a = a->next)
			if (agent_pid_matters(a))
				pid_list_add(l, a->fields.pid);
}

/* In order, each once. */
static void pid_list_sort(struct pid_list *l)
{
	size_t n = 0;

	if (l->count)
		qsort(l->items, l->count, sizeof(*l->items), by_pid);
	for (size_t i = 0; i < l->count; i++)
		if (!n || l->items[n - 1].pid != l->items[i].pid)
			l->items[n++] = l->items[i];
	l->count = n;
}

/* The list becomes @l's, which is freed. Returns whether it is another than before. */
static bool pids_become(struct watched_pid **pids, size_t *count, struct pid_list *l)
{
	if (l->count == *count && (!l->count || !memcmp(l->items, *pids, l->count * sizeof(*l->items)))) {
		free(l->items);
		return false;
	}
	free(*pids);
	*pids = l->items;
	*count = l->count;
	return true;
}

/* Of agents there are few, and their processes matter or not for many reasons; of locks there may be many, and they say when they change. */
static bool pids_gather(struct engine *e, struct pid_list *ret)
{
	struct upkeep *u = e->upkeep;
	struct pid_list agents = {0};
	bool changed;

	pid_list_add_agents(e, &agents);
	pid_list_sort(&agents);
	changed = agents.error || u->pids_missed || lock_files_pids_changed(e);
	changed = pids_become(&u->agent_pids, &u->agent_pid_count, &agents) || changed;
	if (!changed)
		return false;
	pid_list_add_agents(e, ret);
	lock_files_each_pid(e, pid_list_add, ret);
	u->pids_missed = ret->error; /* without memory: at the next call */
	return !ret->error;
}

/* Many are sorted without the lock: only this thread alters the list. */
static void watch_again(struct engine *e)
{
	struct upkeep *u = e->upkeep;
	struct pid_list l = {0};
	bool changed;

	engine_lock(e);
	changed = pids_gather(e, &l);
	engine_unlock(e);
	if (!changed) {
		free(l.items);
		return;
	}
	pid_list_sort(&l);
	engine_lock(e);
	if (pids_become(&u->pids, &u->pid_count, &l))
		__atomic_store_n(&u->pid_generation, u->pid_generation + 1, __ATOMIC_RELEASE);
	engine_unlock(e);
}

int upkeep_watched_pids(struct engine *e, struct watched_pid **ret, size_t *ret_count, uint64_t *ret_generation)
{
	const struct upkeep *u = e->upkeep;
	struct watched_pid *copy;

	engine_lock(e);
	copy = malloc((u->pid_count + 1) * sizeof(*copy));
	if (copy) {
		if (u->pid_count)
			memcpy(copy, u->pids, u->pid_count * sizeof(*copy));
		*ret = copy;
		*ret_count = u->pid_count;
		*ret_generation = u->pid_generation;
	}
	engine_unlock(e);
	return copy ? 0 : -ENOMEM;
}

uint64_t upkeep_watch_generation(struct engine *e)
{
	return __atomic_load_n(&e->upkeep->pid_generation, __ATOMIC_ACQUIRE);
}

/* Those with that process who were last heard of before. */
static void agents_process_ended(struct engine *e, uint32_t pid, int64_t known_before_ns)
{
	for (struct session *s = registry_first_session(e); s; s = s->next)
		for (struct agent *a = s->agents; a; a = a->next)
			if (a->fields.pid == pid && agent_pid_matters(a) && a->pid_known_ns < known_before_ns)
				a->process_ended = true;
}

void upkeep_process_seen(struct engine *e, uint32_t pid, int64_t started_ns)
{
	engine_lock(e);
	agents_process_ended(e, pid, started_ns - STARTED_SLACK_NS);
	lock_files_process_seen(e, pid, started_ns);
	engine_unlock(e);
	upkeep_wake(e);
}

void upkeep_process_ended(struct engine *e, uint32_t pid)
{
	engine_lock(e);
	agents_process_ended(e, pid, INT64_MAX);
	lock_files_process_ended(e, pid);
	engine_unlock(e);
	upkeep_wake(e);
}

/* ---- one call ---- */

int64_t upkeep_run(struct engine *e)
{
	int64_t next_ns = INT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(tasks) && !e->options.read_only && !journal_error(e->journal); i++)
		next_ns = MIN(next_ns, tasks[i](e, env_monotonic_ns(e->env)));
	if (journal_error(e->journal))
		barriers_tell(e); /* who waits for one waits in vain */
	watch_again(e);
	return next_ns;
}
