/* SPDX-License-Identifier: MIT
 *
 * A full disk. Whoever needs room is refused, the daemon like anybody else; it serves on, health is degraded, and this looks for room
 * every UPKEEP_ROOM_NS until there is some. Then what waits is due at once, not only when its own time to try again has come.
 *
 * Failure: looking costs a file that is made and removed again, and changes nothing else.
 */
#include "lock_file_internal.h"
#include "upkeep_private.h"

#define UPKEEP_ROOM_NS (2 * NS_PER_S)

/* Everything that could not be written is tried again now. */
static void all_due(struct engine *e, int64_t now_ns)
{
	engine_lock(e);
	if (e->upkeep->files_due_ns)
		e->upkeep->files_due_ns = now_ns;
	for (struct session *s = registry_first_session(e); s; s = s->next)
		s->retry_ns = 0;
	if (e->lock_files)
		e->lock_files->retry_ns = 0;
	engine_unlock(e);
}

int64_t upkeep_room(struct engine *e, int64_t now_ns)
{
	struct upkeep *u = e->upkeep;

	if (!journal_no_room(e->journal) && !arena_no_room(e->arena)) {
		if (u->no_room) /* somebody else found it */
			all_due(e, now_ns);
		u->no_room = false;
		return INT64_MAX;
	}
	if (now_ns < u->room_look_ns)
		return u->room_look_ns;
	u->room_look_ns = now_ns + UPKEEP_ROOM_NS;
	u->no_room = true;
	if (journal_find_room(e->journal) || arena_find_room(e->arena))
		return u->room_look_ns;
	return upkeep_room(e, now_ns);
}
