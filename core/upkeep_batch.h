/* SPDX-License-Identifier: MIT
 *
 * L8. Private to core/upkeep_gather.c and core/upkeep_records.c: what is due, on its way into one transaction.
 */
#ifndef MILESTONEFS_UPKEEP_BATCH_H
#define MILESTONEFS_UPKEEP_BATCH_H

#include "upkeep_private.h"

#define BATCH_AGENTS_MAX 1024
#define BATCH_SESSIONS_MAX 256
#define BATCH_TEXT_BYTES_MAX (1u << 20)

struct agent_work {
	char id[ACTOR_ID_BYTES];
	uint64_t ino;
	enum agent_status from;
	struct verdict verdict;
	bool changes;            /**< status or presence: an event */
	bool writes, unwritable; /**< its file is to be edited; it cannot be */
	bool fills;              /**< its file lacks fields, which get their defaults */
	bool pending;            /**< there is something to write but these */
	bool lived;              /**< a sign of life is to be written */
	int64_t heartbeat_ns, registered_ns;
	uint64_t operations, errors;
	struct file_edit edit; /**< base NULL: none */
};

struct session_work {
	char id[ACTOR_ID_BYTES];
	uint64_t file_ino;
	size_t first, count; /**< its agents */
	bool lists, times;   /**< session.yaml's lists may be other than they should be; its last_updated is */
	bool fills;          /**< as of agents */
	bool unwritable;
	uint64_t owned_hash; /**< of the lists as they will be */
	struct session_owned_text owned;
	struct file_edit edit;
	struct monitor_line line;
};

struct batch {
	struct engine *e;
	int64_t now_ns, time_ns; /**< monotonic, wall clock */
	uint64_t files;          /**< pending heartbeats, counts and times are due: number of this pass over them; 0: they are not */
	bool ends;
	size_t agents_max;
	struct agent_work *agents;
	struct session_work *sessions;
	size_t agent_count, agent_capacity, session_count, session_capacity;
	int64_t next_ns; /**< monotonic: what is not due yet is then */
	int error;
	struct request q;
	struct txn t;
};

/** Who is due, and what is known of him. Takes the lock. Sets error: -ENOMEM. */
void batch_gather(struct batch *b);
/** Let the agents of a session's work have the statuses they are to get, or have them again. Lock held. */
void batch_swap_statuses(struct batch *b, const struct session_work *w, struct session *s);
/** Does its file not say everything yet, and can it be made to? Lock held. */
bool agent_has_pending(const struct engine *e, const struct agent *a);

#endif
