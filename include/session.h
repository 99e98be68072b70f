/* SPDX-License-Identifier: MIT
 *
 * L8. Sessions: what mkdir in state/sessions makes. The schema of session.yaml and what the daemon keeps current in it
 * belong here too.
 */
#ifndef MILESTONEFS_SESSION_MODEL_H
#define MILESTONEFS_SESSION_MODEL_H

#include <stdint.h>

#include "engine.h"

#define SESSION_TYPE_DEFAULT "general"

/** session.yaml of a new, active session with every field of the model. */
void session_render(const char *id, int64_t now_ns, struct buf *out);
/** One transaction: the directory, its skeleton, session.yaml, session_initialized, the change to `active`. Errors as engine_mkdir(). */
int session_create(struct engine *e, struct request *q, uint64_t parent, const char *name, uint32_t mode, struct tree_attr *ret);

#endif
