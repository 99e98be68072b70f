/* SPDX-License-Identifier: MIT
 *
 * L8. Barriers ("synchronisation" in the seed's words): agents/.sync/ID/ is a real directory, an acknowledgement a real (empty) file in it, its record
 * .sync/ID.yaml a real file the daemon writes: at the start, in_progress, and at the end, in one transaction with the event. So a barrier survives
 * everything the journal does.
 *
 *   mkdir → in_progress ─ all participants acknowledged → completed (agents_synchronized)
 *                       └ timeout, a participant dead, or removed while in progress → failed (sync_failed, who was missing)
 *
 * Participants: the lines of the file `participants` written into the directory before the first acknowledgement counts, else all live agents of
 * the session at mkdir. Timeout: seconds in the file `timeout`, else configuration.sync_timeout.
 */
#ifndef MILESTONEFS_BARRIER_H
#define MILESTONEFS_BARRIER_H

#include "registry.h"

struct barriers;

/** mkdir agents/.sync/NAME. Errors as engine_mkdir(). */
int barrier_start(struct engine *e, struct request *q, const char *session, const char *name, uint32_t mode, struct tree_attr *ret);
/** rmdir of it: acknowledgements, participants and timeout files go with it, the record stays; one in progress fails first. */
int barrier_remove(struct engine *e, struct request *q, const char *session, const char *name);
/** May the entry @name be made in a barrier's directory? `participants` and `timeout` while it is in progress, and a participant's id. 0, -EPERM, -EINVAL
 *  with reason. Lock held. */
int barrier_check_entry(struct engine *e, uint64_t dir_ino, const char *name, struct reason *reason);
/** Lock held. 0 while in progress; 1 ended, with the text for `wait` ("completed\n", "failed: missing coder-2\n") appended; -ENOENT. */
int barrier_result(struct engine *e, const char *session, const char *name, struct buf *out);
/** Called (any lock may be held: only signal) when a barrier ended or went away. */
void barriers_set_observer(struct engine *e, void (*fn)(void *arg), void *arg);

#endif
