/* SPDX-License-Identifier: MIT
 *
 * Upkeep.
 */
#include "upkeep.h"

#include "engine_internal.h"

int upkeep_start(struct engine *e) { (void)e; return 0; }
void upkeep_free(struct upkeep *u) { (void)u; }
int64_t upkeep_run(struct engine *e) { (void)e; return INT64_MAX; }
void upkeep_wake(struct engine *e) { (void)e; }
void upkeep_finish(struct engine *e) { (void)e; }
void upkeep_agent_lived(struct engine *e, struct agent *a, int64_t now_ns)
{
	(void)e;
	a->heartbeat_ns = now_ns;
	a->alive_ns = env_monotonic_ns(e->env);
	a->lived = a->dirty = true;
}
void upkeep_agent_changed(struct engine *e, struct agent *a, enum agent_status before) { (void)e; (void)a; (void)before; }
void upkeep_session_changed(struct engine *e, struct session *s)
{
	if (!s->unsaved_ns)
		s->unsaved_ns = env_monotonic_ns(e->env);
}
