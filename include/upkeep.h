/* SPDX-License-Identifier: MIT
 *
 * L8. Upkeep: everything the daemon does by itself, when it is due: heartbeats into files, health of agents, statuses, automatic
 * checkpoints, expiry, retention, ends of barriers, locks of the dead. One call does all that is due and says when to come again, so
 * that a thread (fs/upkeep_thread.c) needs no polling and a test needs no clock.
 *
 * A task is a row of the table in upkeep.c and one function. All transactions the daemon begins by itself are begun here, on the one thread that calls.
 */
#ifndef MILESTONEFS_UPKEEP_H
#define MILESTONEFS_UPKEEP_H

#include "engine.h"

/** Do what is due. One thread at a time, no lock held. Returns the monotonic time (env) to call again; INT64_MAX: when woken. */
int64_t upkeep_run(struct engine *e);
/** Who wants to hear that something became due before the time returned: called with or without the engine's lock; must only signal. NULL: nobody. */
void upkeep_set_waker(struct engine *e, void (*wake)(void *arg), void *arg);
/** Something became due, or may be due at another time. */
void upkeep_wake(struct engine *e);

/** A process whose end matters (an agent's pid, the owner of a lock). */
struct watched_pid {
	uint32_t pid;
};
/**
 * All of them as of the last upkeep_run(): sorted, each once. Caller frees. The generation changes with the set. 0 or -ENOMEM. Takes the lock.
 */
int upkeep_watched_pids(struct engine *e, struct watched_pid **ret, size_t *ret_count, uint64_t *ret_generation);
uint64_t upkeep_watch_generation(struct engine *e);
/** That process runs, since @started_ns (wall clock): whoever was last heard of before that was another of the same number, and has ended. Takes the lock. */
void upkeep_process_seen(struct engine *e, uint32_t pid, int64_t started_ns);
/** That process is gone (or was never there). Takes the lock; what follows happens at the next upkeep_run(), which is due at once. */
void upkeep_process_ended(struct engine *e, uint32_t pid);

/** A utimens with "now" on an agent's file: true when it was one and was counted as a heartbeat: nothing else is to be done. Takes the lock. */
bool upkeep_heartbeat(struct engine *e, uint64_t ino);
/** Can it be an agent's file? False: surely not. No lock needed. */
bool upkeep_may_be_agent(struct engine *e, uint64_t ino);
/** Newest sign of life of the agent whose file this is; 0: no agent's, or none later than the file's newest version. *@ret_agent (NULL allowed): it is an
 *  agent's. Lock held. */
int64_t upkeep_heartbeat_time(struct engine *e, uint64_t ino, bool *ret_agent);

#endif
