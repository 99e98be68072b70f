/* SPDX-License-Identifier: MIT
 *
 * L8. Private to core/upkeep*.c:
 *
 *   upkeep.c          the table of tasks, waking, processes that are watched
 *   upkeep_agents.c   signs of life, and what follows from them
 *   upkeep_records.c  what is due of agents and sessions, written in one transaction (upkeep_gather.c: its first step)
 *   upkeep_health.c   lines of monitor.jsonl, as parts of that transaction
 *   upkeep_session.c  expiry, automatic checkpoints, retention
 *   upkeep_room.c     a full disk: looking for room, and for what waits for it
 */
#ifndef MILESTONEFS_UPKEEP_PRIVATE_H
#define MILESTONEFS_UPKEEP_PRIVATE_H

#include "registry_private.h"
#include "upkeep.h"

/** Heartbeats, counts and last_updated reach the files at most this late, and at most this often. */
#define UPKEEP_FILES_NS (30 * NS_PER_S)
/** What failed (no memory, or no room on the disk; then also once there is some) is tried again after this. */
#define UPKEEP_RETRY_NS (30 * NS_PER_S)
/** An agent is unhealthy after so many intervals of silence. */
#define UPKEEP_SILENT_INTERVALS 3
/** A longer file of the model is not edited by upkeep. */
#define UPKEEP_TEXT_BYTES_MAX (1u << 20)

struct upkeep {
	void (*wake)(void *arg); /**< atomic; with wake_arg set before it */
	void *wake_arg;
	/* engine lock */
	int64_t files_due_ns;           /**< monotonic: pending heartbeats, counts and times go into files then; 0: there are none */
	uint64_t files_passes;          /**< how often they were */
	bool no_room;                   /**< upkeep's own, like the next: somebody was refused room since all was due */
	int64_t room_look_ns;           /**< monotonic: not before then */
	bool ends;                      /**< the mount ends: whatever is pending is due */
	struct watched_pid *agent_pids; /**< what agents added to these */
	size_t agent_pid_count;
	bool pids_missed; /**< there was no memory for those that matter now */
	struct watched_pid *pids;
	size_t pid_count, pid_capacity;
	uint64_t pid_generation; /**< atomic */
};

/** The next multiple of @interval_ns after @now_ns: what has the same interval is due at the same moment. */
int64_t upkeep_next(int64_t now_ns, int64_t interval_ns);
/** @from + @seconds, at most INT64_MAX. */
int64_t upkeep_after(int64_t from_ns, uint64_t seconds);
/** The daemon as the author of a transaction. */
void upkeep_request(struct engine *e, struct request *q);

/* ---- tasks: do what is due, return when to come again (monotonic); upkeep.c has the table ---- */
int64_t upkeep_room(struct engine *e, int64_t now_ns);
int64_t upkeep_records(struct engine *e, int64_t now_ns);
int64_t upkeep_expiry(struct engine *e, int64_t now_ns);
int64_t upkeep_checkpoints(struct engine *e, int64_t now_ns);
int64_t upkeep_retention(struct engine *e, int64_t now_ns);

/* ---- upkeep_agents.c ---- */

/** What is to become of an agent. */
struct verdict {
	enum agent_status to;
	bool leaves; /**< it was removed and did not come back */
	char reason[80];
};
struct judging {
	int64_t now_ns;      /**< monotonic */
	int64_t interval_ns; /**< the session's heartbeat_interval */
	bool silence;        /**< it is time to ask who is silent */
	bool ends;           /**< the mount ends: who is away stays away */
};
/** False: it stays as it is (to is its status). */
bool agent_judge(const struct agent *a, const struct judging *j, struct verdict *ret);
/** It became so: the transaction that says so was staged. Lock held. May free it. */
void agent_become(struct engine *e, struct agent *a, const struct verdict *v, int64_t now_ns);
/** Is it counted when asking for whom health is watched? */
bool agent_is_watched(const struct agent *a);

/* ---- upkeep_health.c ---- */

/** One line of a session's monitor.jsonl. */
struct monitor_line {
	bool due;
	uint64_t dir_ino;           /**< agents/.health; 0: missing, no line is written */
	const struct version *base; /**< of the file; NULL: it is to be made */
	uint64_t ino;
	uint32_t uid, gid;
	struct buf text; /**< the line; or, replacing, the newer half and the line */
	bool replaces;
	struct extent extent;
};
/** The line about @s as it is now. Lock held. 0 or -ENOMEM. */
int monitor_line_make(struct engine *e, const struct session *s, int64_t time_ns, struct monitor_line *ret);
/** Its bytes. No lock held. 0, -ENOMEM, -EIO. */
int monitor_line_prepare(struct engine *e, struct monitor_line *l, struct record_blocks *blocks);
/** Lock held. 0; -EAGAIN: make it again. */
int monitor_line_add(const struct monitor_line *l, struct txn *t);
void monitor_line_release(struct monitor_line *l);

#endif
