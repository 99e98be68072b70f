/* SPDX-License-Identifier: MIT
 *
 * Signs of life of agents, and what follows from them and from their absence:
 *
 *   initializing ── first sign after registration ──► active
 *   initializing, active, idle ── silent for UPKEEP_SILENT_INTERVALS intervals ──► unhealthy ── sign of life ──► as before (idle or active)
 *   any of these ── its process ended ──► dead ── sign of life ──► active
 *
 * A completed agent is not watched, and only its user ends that. An unhealthy agent may be working: nothing is taken from it. One whose file
 * was removed has two seconds to come back (tools replace files so), then it is gone.
 *
 * A sign of life is a transaction of the agent, or a utimens with "now" on its file. Silence is measured by the monotonic clock, so
 * that setting the clock, or a sleeping machine, kills nobody; and from the mount on, since nobody could be heard before.
 */
#include "upkeep_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- signs of life ---- */

void upkeep_agent_lived(struct engine *e, struct agent *a, int64_t now_ns)
{
	a->heartbeat_ns = MAX(a->heartbeat_ns, now_ns);
	a->alive_ns = env_monotonic_ns(e->env);
	a->dirty = true;
	upkeep_arm_files(e);
	if (a->lived)
		return;
	a->lived = true;
	if (a->fields.status == AGENT_INITIALIZING || a->fields.status == AGENT_UNHEALTHY || a->fields.status == AGENT_DEAD)
		upkeep_wake(e);
}

void upkeep_agent_changed(struct engine *e, struct agent *a, enum agent_status before)
{
	if (a->fields.status == AGENT_DEAD && before != AGENT_DEAD) {
		barriers_agent_ended(e, a->session, a->id, true);
		lock_files_agent_died(e, a->session->id, a->id);
	} else if (a->fields.status == AGENT_COMPLETED && before != AGENT_COMPLETED) {
		barriers_agent_ended(e, a->session, a->id, false); /* a completed one may be taken up again, and holds its locks */
	}
	upkeep_wake(e);
}

bool upkeep_may_be_agent(struct engine *e, uint64_t ino)
{
	uint32_t bit = agent_bit(ino);

	return e->registry && __atomic_load_n(&e->registry->agent_bits[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1;
}

bool upkeep_heartbeat(struct engine *e, uint64_t ino)
{
	struct agent *a;

	if (e->options.read_only || journal_error(e->journal))
		return false;
	engine_lock(e);
	a = registry_agent_of_file(e, ino);
	if (a)
		upkeep_agent_lived(e, a, env_time_ns(e->env));
	engine_unlock(e);
	return a != NULL;
}

int64_t upkeep_heartbeat_time(struct engine *e, uint64_t ino, bool *ret_agent)
{
	const struct agent *a = registry_agent_of_file(e, ino);
	const struct node *n = a ? tree_node(e->tree, ino) : NULL;

	if (ret_agent)
		*ret_agent = a != NULL;
	return n && a->heartbeat_ns > engine_seq_time(e, n->newest->born) ? a->heartbeat_ns : 0;
}

/* ---- judging ---- */

static void verdict_set(struct verdict *v, enum agent_status to, const char *reason)
{
	v->to = to;
	(void)snprintf(v->reason, sizeof(v->reason), "%s", reason); /* ours, and short */
}

static bool is_silent(const struct agent *a, const struct judging *j)
{
	if (!j->silence || a->fields.status > AGENT_IDLE)
		return false;
	return j->now_ns - a->alive_ns >= UPKEEP_SILENT_INTERVALS * j->interval_ns;
}

bool agent_judge(const struct agent *a, const struct judging *j, struct verdict *ret)
{
	enum agent_status status = a->fields.status;
	struct verdict v = {.to = status};

	if (a->removed_ns) {
		v.leaves = j->ends || j->now_ns - a->removed_ns >= REMOVED_RECENTLY_NS;
	} else if (a->process_ended && agent_status_is_live(status)) {
		verdict_set(&v, AGENT_DEAD, "");
		(void)snprintf(v.reason, sizeof(v.reason), "process %" PRIu32 " ended", a->fields.pid);
	} else if (a->lived && status == AGENT_INITIALIZING) {
		verdict_set(&v, AGENT_ACTIVE, "first sign of life");
	} else if (a->lived && status == AGENT_UNHEALTHY) {
		verdict_set(&v, a->before_silence, "sign of life");
	} else if (a->lived && status == AGENT_DEAD) {
		verdict_set(&v, AGENT_ACTIVE, "sign of life");
	} else if (is_silent(a, j)) {
		verdict_set(&v, AGENT_UNHEALTHY, "");
		(void)snprintf(v.reason, sizeof(v.reason), "no sign of life for %lld s", (long long)((j->now_ns - a->alive_ns) / NS_PER_S));
	}
	*ret = v;
	return v.leaves || v.to != status;
}

void agent_become(struct engine *e, struct agent *a, const struct verdict *v, int64_t now_ns)
{
	enum agent_status from = a->fields.status;

	a->fields.status = v->to;
	if (v->leaves || v->to == AGENT_DEAD) {
		barriers_agent_ended(e, a->session, a->id, true);
		lock_files_agent_died(e, a->session->id, a->id);
	}
	if (v->leaves) {
		agent_free(e->registry, a);
		return;
	}
	if (v->to == AGENT_DEAD) {
		a->ended_pid = a->fields.pid;
		a->process_ended = false;
	}
	if (v->to == AGENT_UNHEALTHY)
		a->before_silence = from == AGENT_IDLE ? AGENT_IDLE : AGENT_ACTIVE;
	else
		a->alive_ns = MAX(a->alive_ns, now_ns);
	a->lived = false;
}

bool agent_is_watched(const struct agent *a)
{
	return !a->removed_ns && agent_status_is_live(a->fields.status);
}
