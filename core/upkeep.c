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
