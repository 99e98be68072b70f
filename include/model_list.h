/* SPDX-License-Identifier: MIT
 *
 * L6. The TABLE of fields of the state model's files, in the order in which a new file shows them. A new field is one row.
 *
 *   FIELD("dotted.path", type, "default", OWNER)
 *
 * path     one or two names; what stands before the dot is a section, a mapping
 * type     TEXT(bytes) at most so many; ID an id; ONE_OF(words) a word of a list; WHOLE(unit, min, max) a whole number in plain digits,
 *          AT_LEAST(unit, min, max) one whose upper bound is only a matter of sanity; NUMBER(unit, min, max) with decimals, too; FLAG true or
 *          false; TIME; MAPPING of free content; TEXTS and IDS, lists. OR_NULL(type): null is a value, too. Null mappings and lists are empty.
 * default  as YAML flow text: what a file that lacks the field is taken to say, and what is written into it
 * OWNER    USER      who saves the file
 *          OPTIONAL  likewise, but it is not written into a file that lacks it
 *          SHARED    a save says what it likes, and the daemon goes on from there; where a save says nothing, from what was there
 *          DAEMON    the daemon: what a save says does not count
 */
#ifndef MILESTONEFS_MODEL_LIST_H
#define MILESTONEFS_MODEL_LIST_H

#define MODEL_SECONDS_MAX 1000000000	    /* 31 years: in nanoseconds it fits 64 bits */
#define MODEL_DAYS_MAX 100000		    /* likewise */
#define MODEL_COUNT_MAX 9007199254740991    /* 2^53 - 1: what every tool reads exactly */
#define MODEL_WORD_BYTES_MAX 128	    /* of a type, of an event type */
#define MODEL_SENTENCE_BYTES_MAX 4096	    /* of what a person says */
#define MODEL_PID_MAX 4194304

#define SESSION_HEARTBEAT_INTERVAL_S 30 /* configuration.heartbeat_interval, when the file has none */
#define SESSION_SYNC_TIMEOUT_S 300	/* configuration.sync_timeout, likewise */

#define MODEL_TEXT_OF(x) MODEL_TEXT_OF_(x)
#define MODEL_TEXT_OF_(x) #x

#define SESSION_FIELD_LIST(FIELD)                                                                                          \
	FIELD("session.id", OR_NULL(ID), "null", DAEMON)                                                                   \
	FIELD("session.type", TEXT(MODEL_WORD_BYTES_MAX), "\"general\"", USER)                                             \
	FIELD("session.status", ONE_OF(session_statuses), "\"active\"", USER)                                              \
	FIELD("session.created_at", OR_NULL(TIME), "null", DAEMON)                                                         \
	FIELD("session.last_updated", OR_NULL(TIME), "null", DAEMON)                                                       \
	FIELD("context", MAPPING, "{}", USER)                                                                              \
	FIELD("state.current_operation", OR_NULL(TEXT(MODEL_SENTENCE_BYTES_MAX)), "null", USER)                            \
	FIELD("state.progress_percentage", NUMBER("", 0, 100), "0", USER)                                                  \
	FIELD("state.active_agents", IDS, "[]", DAEMON)                                                                    \
	FIELD("state.last_checkpoint", OR_NULL(ID), "null", DAEMON)                                                        \
	FIELD("configuration.auto_checkpoint", FLAG, "true", USER)                                                         \
	FIELD("configuration.checkpoint_interval", AT_LEAST(" of seconds", 1, MODEL_SECONDS_MAX), "300", USER)             \
	FIELD("configuration.max_session_duration", AT_LEAST(" of seconds", 1, MODEL_SECONDS_MAX), "14400", USER)          \
	FIELD("configuration.backup_retention", AT_LEAST(" of days", 0, MODEL_DAYS_MAX), "7", USER)                        \
	FIELD("configuration.heartbeat_interval", AT_LEAST(" of seconds", 1, MODEL_SECONDS_MAX),                           \
	      MODEL_TEXT_OF(SESSION_HEARTBEAT_INTERVAL_S), OPTIONAL)                                                       \
	FIELD("configuration.sync_timeout", AT_LEAST(" of seconds", 1, MODEL_SECONDS_MAX),                                 \
	      MODEL_TEXT_OF(SESSION_SYNC_TIMEOUT_S), OPTIONAL)                                                             \
	FIELD("recovery.enabled", FLAG, "true", USER)                                                                      \
	FIELD("recovery.last_backup", OR_NULL(TEXT(MODEL_SENTENCE_BYTES_MAX)), "null", DAEMON)                             \
	FIELD("recovery.recovery_points", IDS, "[]", DAEMON)

#define AGENT_FIELD_LIST(FIELD)                                                                                            \
	FIELD("agent.id", OR_NULL(ID), "null", DAEMON)                                                                     \
	FIELD("agent.type", TEXT(MODEL_WORD_BYTES_MAX), "\"general\"", USER)                                               \
	FIELD("agent.session_id", OR_NULL(ID), "null", DAEMON)                                                             \
	FIELD("agent.status", ONE_OF(agent_statuses), "\"initializing\"", USER)                                            \
	FIELD("agent.pid", OR_NULL(WHOLE("", 1, MODEL_PID_MAX)), "null", OPTIONAL)                                         \
	FIELD("agent.registered_at", OR_NULL(TIME), "null", DAEMON)                                                        \
	FIELD("agent.last_updated", OR_NULL(TIME), "null", DAEMON)                                                         \
	FIELD("state", MAPPING, "{}", USER)                                                                                \
	FIELD("metrics.operations_completed", AT_LEAST("", 0, MODEL_COUNT_MAX), "0", SHARED)                               \
	FIELD("metrics.errors_encountered", AT_LEAST("", 0, MODEL_COUNT_MAX), "0", SHARED)                                 \
	FIELD("metrics.total_execution_time", NUMBER(" of seconds", 0, MODEL_COUNT_MAX), "0", USER)                        \
	FIELD("metrics.last_heartbeat", OR_NULL(TIME), "null", SHARED)                                                     \
	FIELD("coordination.dependencies", IDS, "[]", USER)                                                                \
	FIELD("coordination.subscribers", IDS, "[]", USER)                                                                 \
	FIELD("coordination.event_subscriptions", TEXTS, "[]", USER)

#endif
