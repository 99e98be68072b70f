/* SPDX-License-Identifier: MIT
 *
 * L8. Sessions: what mkdir in state/sessions makes. What session.yaml may say is model.h's, what the daemon knows of sessions registry.h's.
 */
#ifndef MILESTONEFS_SESSION_MODEL_H
#define MILESTONEFS_SESSION_MODEL_H

#include <stdint.h>

#include "engine.h"

#define SESSION_TYPE_DEFAULT "general"

/** One transaction: the directory, its skeleton, session.yaml, the first checkpoint (reason initialization), and their events: session_initialized,
 *  checkpoint_created, session_status_changed to active. Errors as engine_mkdir(). */
int session_create(struct engine *e, struct request *q, uint64_t parent, const char *name, uint32_t mode, struct tree_attr *ret);
/** At start: sessions made before a directory belonged to the skeleton get it. 0 or -errno. No lock held. */
int sessions_complete(struct engine *e, struct request *q);
/** After adoption: each session without a checkpoint gets one (reason adoption), so that there is something to go back to, if there is room for it. No lock held. */
void sessions_take_first(struct engine *e, struct request *q);

#endif
