/* SPDX-License-Identifier: MIT
 *
 * L8. The registry: sessions, agents and checkpoints as the live tree has them, in memory, so that nobody parses a file to ask. Derived
 * from the tree: made at start, kept current with each transaction; what it holds beyond the tree is what has not been written yet
 * (heartbeats and counts, until the next upkeep).
 *
 * What is there (sessions, agents, checkpoints, places) changes in the transaction itself, under the lock; what a file says follows as
 * soon as it has been read, before the transaction's author hears of it.
 *
 * Locking: everything here is protected by the engine's lock, taken by the caller; pointers are valid while it is held.
 */
#ifndef MILESTONEFS_REGISTRY_H
#define MILESTONEFS_REGISTRY_H

#include "engine.h"
#include "model.h"

struct registry;

struct agent {
	struct agent *next;       /**< of its session, in order of id */
	struct agent *next_of_id; /**< of the same id, in other sessions */
	struct session *session;
	char id[ACTOR_ID_BYTES];
	uint64_t ino;                            /**< of its file; of the last one while it is removed */
	int64_t removed_ns;                      /**< monotonic: its file went away then, and has a while to come back; 0: it is there */
	struct agent_fields fields;              /**< as the file says */
	int64_t heartbeat_ns;                    /**< newest sign of life, wall clock; registration counts */
	uint64_t operations_added, errors_added; /**< not yet in the file */
	bool dirty;                              /**< something of it is not in the file yet */
	uint64_t user_seq;                       /**< newest transaction in which somebody else than the daemon saved the file */
	/* for upkeep_agents.c */
	int64_t alive_ns;                 /**< monotonic: silence counts from here */
	bool lived;                       /**< a sign of life since its status changed last */
	bool process_ended;               /**< fields.pid ended and that has not been acted upon */
	uint32_t ended_pid;               /**< the process that ended: not watched again; 0: none */
	uint32_t pid_said;                /**< as the file says it; fields.pid is what its writer meant by that (registry_set_numbers()) */
	int64_t pid_known_ns;             /**< wall clock: newest time at which fields.pid can have been the agent's, as far as the file tells */
	bool incomplete;                  /**< the file lacks fields that upkeep gives their defaults */
	uint64_t uneditable;              /**< the version (born) of the file that upkeep could not edit; 0: none */
	uint64_t written_pass;            /**< the pass over pending heartbeats in which it was written last */
	enum agent_status before_silence; /**< what an unhealthy one comes back as */
};

struct checkpoint {
	struct checkpoint *newer, *older; /**< of its session */
	char id[ACTOR_ID_BYTES];
	uint64_t dir_ino;
	uint64_t seq; /**< of the transaction that made it: it shows the tree as of then */
	int64_t time_ns;
	bool automatic; /**< named as the daemon names them: retention may remove it, unless checkpoint_is_manual() */
};

struct session {
	struct session *next; /**< in order of creation */
	char id[ACTOR_ID_BYTES];
	uint64_t dir_ino, file_ino;                                            /**< file_ino 0: session.yaml is missing */
	uint64_t state_ino, agents_ino, checkpoints_ino, sync_ino, health_ino; /**< 0: missing */
	struct session_fields fields;
	struct agent *agents;
	size_t agent_count;
	struct checkpoint *newest_checkpoint, *oldest_checkpoint;
	size_t checkpoint_count;
	uint64_t changed_seq; /**< newest transaction of somebody else than the daemon in it; 0: none known */
	int64_t changed_ns;
	uint64_t user_seq;  /**< as for agents, of session.yaml */
	uint64_t refusals;  /**< saves in it that were refused since the mount */
	int64_t refused_ns; /**< wall clock: the newest of them; 0: none */
	/* for upkeep_session.c and upkeep_health.c */
	int64_t unsaved_ns;    /**< monotonic: first such change since the newest checkpoint; 0: none */
	int64_t reopened_ns;   /**< wall clock: max_session_duration counts from here, when later than created_at; 0: not looked for yet */
	int64_t health_due_ns; /**< monotonic: next line of monitor.jsonl; 0: not monitored */
	int64_t retry_ns;      /**< monotonic: a checkpoint could not be made or removed: not before then */
	uint64_t uneditable;   /**< the version (born) of session.yaml that upkeep could not edit; 0: none */
};

/** What the directory with this inode number is. */
enum place_kind {
	PLACE_NONE,
	PLACE_STATUS,
	PLACE_SESSIONS,
	PLACE_SESSION,
	PLACE_AGENTS,
	PLACE_SYNC,
	PLACE_BARRIER,
	PLACE_HEALTH,
	PLACE_CHECKPOINTS,
	PLACE_LOCKS
};
enum place_kind registry_place_of(struct engine *e, uint64_t dir_ino, struct session **ret_session);

/** Whose process a number means that another process wrote just now (containers have numbers of their own): @meant(writer, number) is ours, 0 nobody's.
 *  To be set before anything changes; without it every number is ours. */
void registry_set_numbers(struct engine *e, uint32_t (*meant)(uint32_t writer, uint32_t number));

struct session *registry_session(struct engine *e, const char *id);
struct session *registry_first_session(struct engine *e);
/** Also one that was removed and may come back (removed_ns). */
struct agent *registry_agent(struct session *s, const char *id);
/** First of all agents of that id; go on with next_of_id. */
struct agent *registry_agents_of_id(struct engine *e, const char *id);
/** The agent whose file this is, or NULL. */
struct agent *registry_agent_of_file(struct engine *e, uint64_t ino);
struct checkpoint *registry_checkpoint(struct session *s, const char *id);
/** Transactions of the session so far, and events. */
uint64_t registry_operation_count(struct engine *e, const struct session *s);
uint64_t registry_event_count(struct engine *e, const struct session *s);

/** Flow texts for model.h: ["a", "b"]. */
void registry_put_active_agents(const struct session *s, struct buf *out);
void registry_put_recovery_points(const struct session *s, struct buf *out);
void registry_put_last_checkpoint(const struct session *s, struct buf *out);

#endif
