/* SPDX-License-Identifier: MIT
 *
 * L1. An actor: who wrote. Plain data, recorded in every transaction.
 */
#ifndef MILESTONEFS_ACTOR_H
#define MILESTONEFS_ACTOR_H

#include <stdint.h>
#include <sys/types.h>

#define ACTOR_ID_BYTES 129 /* 128 characters of an id, and NUL */
#define ACTOR_COMM_BYTES 17

struct actor {
	char agent[ACTOR_ID_BYTES];   /**< MILESTONES_AGENT, or the agent with a registered ancestor pid, else "" */
	char session[ACTOR_ID_BYTES]; /**< MILESTONES_SESSION, or that of such an agent, else "" */
	uint32_t pid;                 /**< thread group id; 0 for the daemon itself or unknown */
	uint32_t uid;
	uint32_t gid;
	uint32_t leader_pid;         /**< POSIX session leader, 0 unknown */
	uint64_t leader_start;       /**< its start time in clock ticks since boot, 0 unknown */
	char comm[ACTOR_COMM_BYTES]; /**< "unknown" where /proc can't be read */
};

#endif
