/* SPDX-License-Identifier: MIT
 *
 * The state model as it is at one moment: what the registry knows of sessions and agents, copied under one hold of the engine's lock, so
 * that those who render it (vfile_sessions.c, vfile_agents.c, health, metrics) need neither the lock nor a file. Cheap: no I/O, a copy.
 */
#ifndef MILESTONEFS_VFILE_MODEL_H
#define MILESTONEFS_VFILE_MODEL_H

#include "lock_file.h"
#include "model.h"
#include "vfile.h"

#define SESSION_STATUS_COUNT (SESSION_EXPIRED + 1)
#define AGENT_STATUS_COUNT (AGENT_COMPLETED + 1)

struct moment_session {
	char id[ACTOR_ID_BYTES];
	enum session_status status;
	char *type;                     /**< owned */
	bool file_missing;              /**< session.yaml is not there */
	int64_t created_ns, changed_ns; /**< 0: not known */
	uint64_t heartbeat_interval_s, max_session_duration_s, checkpoint_interval_s;
	size_t agents[AGENT_STATUS_COUNT];
	char checkpoint[ACTOR_ID_BYTES]; /**< the newest; "" none */
	int64_t checkpoint_ns;
	size_t checkpoint_count;
	int64_t next_checkpoint_ns; /**< when the next automatic one is due; 0: nothing to keep, or none wanted */
	int64_t expires_ns;         /**< 0: it does not */
	uint64_t operations, events, refusals;
	int64_t refused_ns; /**< newest refusal of the mount, 0 none */
};

struct moment_agent {
	char id[ACTOR_ID_BYTES];
	size_t session; /**< index */
	enum agent_status status;
	char *type; /**< owned */
	int64_t registered_ns, heartbeat_ns;
	int64_t unhealthy_ns;        /**< when it becomes unhealthy without another sign of life; 0: it is not looked after (any more) */
	uint64_t operations, errors; /**< with those not yet in the file */
	uint32_t pid;
	bool watched; /**< its end would be noticed */
};

struct moment {
	int64_t now_ns;
	struct moment_session *sessions; /**< in order of creation */
	size_t session_count, session_capacity;
	struct moment_agent *agents; /**< by session, then id */
	size_t agent_count, agent_capacity;
	struct lock_info *locks; /**< by name */
	size_t lock_count;
};

/** Everything; or only session @session with its agents; or of that only agent @agent. -ENOENT when there is none such, -ENOMEM. */
int moment_take(struct fs *fs, const char *session, const char *agent, struct moment *ret);
void moment_release(struct moment *m);
/** All sessions and agents counted by status, and all checkpoints. Takes the engine's lock, copies nothing. */
void moment_count(struct fs *fs, size_t sessions[SESSION_STATUS_COUNT], size_t agents[AGENT_STATUS_COUNT], size_t *ret_checkpoints);

/** How many agents of @s are live, of whom unhealthy ones are some. */
size_t moment_live_agents(const struct moment_session *s);

/** Lines of YAML at an indentation: `key: "value"`, NULL is null; a time, 0 is null; whole seconds from @then to @now, null when there is no @then. */
void yaml_line_text(struct buf *out, int indent, const char *key, const char *value);
void yaml_line_time(struct buf *out, int indent, const char *key, int64_t time_ns);
void yaml_line_age(struct buf *out, int indent, const char *key, int64_t now_ns, int64_t then_ns);
void yaml_line_number(struct buf *out, int indent, const char *key, uint64_t value);
/** `total:` and a line for each status. */
void yaml_counts(struct buf *out, int indent, const char *(*name)(size_t status), const size_t *counts, size_t count);
const char *session_count_name(size_t status);
const char *agent_count_name(size_t status);

#endif
