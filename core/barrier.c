/* SPDX-License-Identifier: MIT
 *
 * Barriers.
 */
#include "barrier.h"

#include <errno.h>

#include "engine_internal.h"

int barriers_start(struct engine *e) { (void)e; return 0; }
void barriers_free(struct barriers *b) { (void)b; }
int barrier_start(struct engine *e, struct request *q, const char *session, const char *name, uint32_t mode, struct tree_attr *ret)
{
	(void)e; (void)q; (void)session; (void)name; (void)mode; (void)ret;
	return -ENOSYS;
}
int barrier_remove(struct engine *e, struct request *q, const char *session, const char *name)
{
	(void)e; (void)q; (void)session; (void)name;
	return -ENOSYS;
}
int barrier_check_entry(struct engine *e, uint64_t dir_ino, const char *name, struct reason *reason) { (void)e; (void)dir_ino; (void)name; (void)reason; return 0; }
void barriers_changed(struct engine *e, struct session *s, uint64_t dir_ino) { (void)e; (void)s; (void)dir_ino; }
void barriers_agent_died(struct engine *e, const struct session *s, const char *agent) { (void)e; (void)s; (void)agent; }
int64_t barriers_upkeep(struct engine *e, int64_t now_ns) { (void)e; (void)now_ns; return INT64_MAX; }
