/* SPDX-License-Identifier: MIT
 *
 * The thread that does upkeep (upkeep.h): it sleeps until something is due, somebody wakes it, or a process that matters ends (pidfds), and for
 * ever when there is nothing of the kind.
 */
#ifndef MILESTONEFS_UPKEEP_THREAD_H
#define MILESTONEFS_UPKEEP_THREAD_H

#include "fs.h"

struct upkeep_thread;

/** Start it. 0 or -errno. */
int upkeep_thread_start(struct fs *fs, struct upkeep_thread **ret);
/** Stop and free it, before the engine is closed; what is pending then is written by that. NULL allowed. */
void upkeep_thread_stop(struct upkeep_thread *t);

#endif
