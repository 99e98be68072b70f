/* SPDX-License-Identifier: MIT
 *
 * L6. The state model's two files, session.yaml and agents/AID.yaml: their schema as a TABLE (model_list.h), their statuses, what they say, and
 * how a save of one is merged with what was there and with what the daemon knows. Pure functions of their arguments; thread-safe.
 *
 * Fields that a file lacks have their default; fields the schema does not know are the user's own and stay.
 * Fields the daemon owns are overwritten with what it knows, whatever a save says. Everything else a save says counts.
 */
#ifndef MILESTONEFS_MODEL_H
#define MILESTONEFS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor.h"
#include "buf.h"
#include "doc.h"
#include "rule.h"
#include "util.h"

/** A larger text is refused: the daemon rewrites these files, and what is large belongs beside them, in state/. */
#define MODEL_BYTES_MAX (1u << 20)

#define SESSION_HEARTBEAT_INTERVAL_S 30 /* configuration.heartbeat_interval, when the file has none */
#define SESSION_SYNC_TIMEOUT_S 300      /* configuration.sync_timeout, likewise */

enum model_kind { MODEL_NONE, MODEL_SESSION, MODEL_AGENT };

/** What a path (relative to the mount root) is; copies the session's id to @session (NULL allowed) and an agent's to @agent (NULL allowed). */
enum model_kind model_kind_of(const char *path, char session[ACTOR_ID_BYTES], char agent[ACTOR_ID_BYTES]);

/* ---- statuses ---- */

#define SESSION_STATUS_LIST(X)          \
	X(INITIALIZING, "initializing") \
	X(ACTIVE, "active")             \
	X(PAUSED, "paused")             \
	X(COMPLETED, "completed")       \
	X(FAILED, "failed")             \
	X(EXPIRED, "expired")
enum session_status {
#define X(name, text) SESSION_##name,
	SESSION_STATUS_LIST(X)
#undef X
};
#define AGENT_STATUS_LIST(X)            \
	X(INITIALIZING, "initializing") \
	X(ACTIVE, "active")             \
	X(IDLE, "idle")                 \
	X(UNHEALTHY, "unhealthy")       \
	X(DEAD, "dead")                 \
	X(COMPLETED, "completed")
enum agent_status {
#define X(name, text) AGENT_##name,
	AGENT_STATUS_LIST(X)
#undef X
};
const char *session_status_name(enum session_status s);
const char *agent_status_name(enum agent_status s);
/** False: no such status. */
bool session_status_parse(const char *text, enum session_status *ret);
bool agent_status_parse(const char *text, enum agent_status *ret);
/** May a user turn @from into @to? (Staying is allowed.) initializing → active, failed; active → paused, completed, failed, expired;
 *  paused → active, completed, failed, expired; completed, failed, expired → active (reopened). */
bool session_status_may_become(enum session_status from, enum session_status to);
/** active/ shows these: initializing, active, paused; completed/ the others. */
bool session_status_is_over(enum session_status s);
/** Counted as one of the session's active_agents: all but dead and completed. */
bool agent_status_is_live(enum agent_status s);

/* ---- what the files say ---- */

/** session.yaml; strings are owned. */
struct session_fields {
	enum session_status status;
	char *type;
	char *current_operation; /**< NULL: null */
	double progress_percentage;
	int64_t created_ns; /**< 0: not given */
	bool auto_checkpoint;
	uint64_t checkpoint_interval_s, max_session_duration_s, backup_retention_days;
	uint64_t heartbeat_interval_s, sync_timeout_s; /**< optional members of configuration */
	bool recovery_enabled;
};
void session_fields_release(struct session_fields *f);
/** Defaults where the text lacks a field or holds nonsense (it may be from before there was a schema). 0 or -ENOMEM. */
int session_fields_parse(const char *text, size_t len, struct session_fields *ret);
/** The same of a text that has been parsed; NULL: one that could not be. */
int session_fields_of(const struct doc_node *root, struct session_fields *ret);

/** agents/AID.yaml; strings are owned. */
struct agent_fields {
	enum agent_status status;
	char *type;
	uint32_t pid;                        /**< 0: none */
	int64_t registered_ns, heartbeat_ns; /**< 0: not given */
	uint64_t operations_completed, errors_encountered;
	char **event_subscriptions; /**< NULL-terminated, may be NULL */
};
void agent_fields_release(struct agent_fields *f);
int agent_fields_parse(const char *text, size_t len, struct agent_fields *ret);
int agent_fields_of(const struct doc_node *root, struct agent_fields *ret);

/* ---- saving ---- */

/** What the daemon owns in session.yaml. Flow texts are YAML (yaml_edit.h), borrowed. NULL and 0: not known; a merge then takes what @old says,
 *  an edit leaves what is there. */
struct session_owned {
	const char *id;
	int64_t created_ns, last_updated_ns;
	const char *active_agents;   /**< flow: ["a", "b"] */
	const char *last_checkpoint; /**< flow: "id" or null */
	const char *last_backup;     /**< flow */
	const char *recovery_points; /**< flow: ["id", …], newest first, at most SESSION_RECOVERY_POINTS_MAX */
	bool fill;                   /**< an edit gives every missing field its default */
};
#define SESSION_RECOVERY_POINTS_MAX 16

/** What the daemon owns in an agent's file. NULL and 0 as above. */
struct agent_owned {
	const char *id, *session_id;
	int64_t registered_ns, last_updated_ns;
	int64_t heartbeat_ns;                    /**< 0: as the save says, or @old */
	uint64_t operations_added, errors_added; /**< counted since the file was last written: added to what the save says, or @old */
	bool fill;                               /**< as above */
};

/**
 * What the text @text becomes when it is saved as session.yaml: checked against the schema and the transition of statuses (@old, NULL: none
 * before, nor is there with an @old without valid status: any but expired may be the first; missing is active), owned fields set, and what is
 * missing filled in: fields of the daemon and shared ones (model_list.h) from @old, a user's with their default, whatever @old says. Empty text is all
 * defaults. Comments, order and quoting stay. What is accepted can be kept current by model_edit_session() ever after.
 * 0 with @out appended; -EBADMSG with reason (field, line, what is allowed); -ENOMEM. @out is unchanged on failure.
 */
int model_merge_session(
	const char *old, size_t old_len, const char *text, size_t len, const struct session_owned *owned, struct reason *reason, struct buf *out);
/** The same for an agent's file. A missing status is initializing; unhealthy and dead are the daemon's to say: in a
 *  save over an older text they say nothing, and the status that holds stays; in a first one they are refused. */
int model_merge_agent(const char *old, size_t old_len, const char *text, size_t len, const struct agent_owned *owned, struct reason *reason, struct buf *out);

/** Only the owned fields (and defaults, if asked for), set in a text that holds already: the daemon's own upkeep. @status "" leaves it. 0, -EBADMSG (cannot be edited; reason), -ENOMEM. */
int model_edit_session(const char *text, size_t len, const struct session_owned *owned, const char *status, struct reason *reason, struct buf *out);
int model_edit_agent(const char *text, size_t len, const struct agent_owned *owned, const char *status, struct reason *reason, struct buf *out);

#endif
