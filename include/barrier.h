/* SPDX-License-Identifier: MIT
 *
 * L8. Barriers ("synchronisation" in the seed's words): agents/.sync/ID/ is a real directory, an acknowledgement a real (empty) file in it, its record
 * .sync/ID.yaml a real file the daemon writes: at the start, while it goes on, and at the end, in one transaction with the event. So a barrier
 * survives everything the journal does.
 *
 *   mkdir → in_progress ─ all participants acknowledged → completed (agents_synchronized)
 *                       └ timeout, a participant dead or completed, or removed while in progress → failed (sync_failed, who was missing)
 *
 * Participants: the ids in the file `participants` of the directory, from its commit on (how they are written: barrier_text.h; what
 * is no id is refused by a rule; one without any counts as absent); without it all live agents of the session at mkdir. Ids of agents nobody registered are waited for like any
 * other, and the record lists them as `unregistered`. Nobody to wait for: it completes BARRIER_EMPTY_GRACE_S after its start, which is the starter's
 * time to name somebody.
 * Timeout: whole seconds (1 … BARRIER_TIMEOUT_MAX_S) in the file `timeout`, else configuration.sync_timeout; both count from the start.
 * An acknowledgement counts from its commit on, and no longer when it is removed before the end. An agent that has acknowledged may die, or complete.
 */
#ifndef MILESTONEFS_BARRIER_H
#define MILESTONEFS_BARRIER_H

#include "barrier_text.h"
#include "registry.h"

struct barriers;

#define BARRIER_PARTICIPANTS_FILE "participants"
#define BARRIER_TIMEOUT_FILE "timeout"
#define BARRIER_EMPTY_GRACE_S 1

/** mkdir agents/.sync/NAME. Errors as engine_mkdir(); -EINVAL also for names in .yaml, which are records. */
int barrier_start(struct engine *e, struct request *q, const char *session, const char *name, uint32_t mode, struct tree_attr *ret);
/** rmdir of it: acknowledgements, participants and timeout files go with it, the record stays; one in progress fails. One transaction.
 *  -ENOENT, -ENOTDIR, -ENOTEMPTY (a file in it is just being made). */
int barrier_remove(struct engine *e, struct request *q, const char *session, const char *name);
/** May the entry @name of type @mode be made in a barrier's directory? Regular files, while it is in progress: `participants`, `timeout`, and
 *  the ids of participants. 0, or -EPERM with the reason. Lock held. */
int barrier_check_entry(struct engine *e, uint64_t dir_ino, const char *name, uint32_t mode, struct reason *reason);
/** By the directory's inode number, so that one removed and started again is another one. 0 while in progress; 1 ended, with the text for `wait`
 *  appended: "completed\n", "failed: missing a b\n", "failed: removed\n"; -EIO: it can't end, the journal is poisoned. Lock held. */
int barrier_result(struct engine *e, uint64_t dir_ino, struct buf *out);
/** @fn is called whenever a barrier ended, went away or cannot end. No lock is held. NULL: nobody (any more). */
void barriers_set_observer(struct engine *e, void (*fn)(void *arg), void *arg);

#endif
