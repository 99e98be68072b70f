/* SPDX-License-Identifier: MIT
 *
 * Checkpoints.
 */
#include "checkpoint.h"

#include <errno.h>

int checkpoint_create(struct engine *e, struct request *q, const char *session, const char *name, const char *reason, const char *status, struct tree_attr *ret)
{
	(void)e; (void)q; (void)session; (void)name; (void)reason; (void)status; (void)ret;
	return -ENOSYS;
}
int checkpoint_remove(struct engine *e, struct request *q, const char *session, const char *name)
{
	(void)e; (void)q; (void)session; (void)name;
	return -ENOSYS;
}
