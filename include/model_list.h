/* SPDX-License-Identifier: MIT
 *
 * L6. The TABLE of fields of the state model's files, in the order in which a new file shows them. A new field is one row. Included by
 * model_schema.c, which defines the words.
 *
 *   SESSION_FIELD("dotted.path", type, "default", OWNER)   of session.yaml
 *   AGENT_FIELD("dotted.path", type, "default", OWNER)     of agents/AID.yaml
 *
 * path     one or two names; what stands before the dot is a section, a mapping. Rows of a section stand together
 * type     TEXT(bytes) at most so many; ID an id; ONE_OF(words) a word of a list; WHOLE(unit, min, max) a whole number in plain digits,
 *          AT_LEAST(unit, min, max) one whose upper bound is only a matter of sanity; NUMBER(unit, min, max) with decimals, too; FLAG true or
 *          false; TIME; MAPPING of free content; TEXTS and IDS, lists. OR_NULL(type): null is a value, too. Null mappings and lists are empty
 * default  as YAML flow text: what a file that lacks the field is taken to say, and what is written into it
 * OWNER    USER      who saves the file
 *          OPTIONAL  likewise, but it is not written into a file that lacks it
 *          SHARED    a save says what it likes, and the daemon goes on from there; where a save says nothing, from what was there
 *          DAEMON    the daemon: what a save says does not count
 */
SESSION_FIELD("session.id", OR_NULL(ID), "null", DAEMON)
SESSION_FIELD("session.type", TEXT(WORD_BYTES_MAX), "\"general\"", USER)
SESSION_FIELD("session.status", ONE_OF(session_statuses), "\"active\"", USER)
SESSION_FIELD("session.created_at", OR_NULL(TIME), "null", DAEMON)
SESSION_FIELD("session.last_updated", OR_NULL(TIME), "null", DAEMON)
SESSION_FIELD("context", MAPPING, "{}", USER)
SESSION_FIELD("state.current_operation", OR_NULL(TEXT(SENTENCE_BYTES_MAX)), "null", USER)
SESSION_FIELD("state.progress_percentage", NUMBER("", 0, 100), "0", USER)
SESSION_FIELD("state.active_agents", IDS, "[]", DAEMON)
SESSION_FIELD("state.last_checkpoint", OR_NULL(ID), "null", DAEMON)
SESSION_FIELD("configuration.auto_checkpoint", FLAG, "true", USER)
SESSION_FIELD("configuration.checkpoint_interval", AT_LEAST(" of seconds", 1, SECONDS_MAX), "300", USER)
SESSION_FIELD("configuration.max_session_duration", AT_LEAST(" of seconds", 1, SECONDS_MAX), "14400", USER)
SESSION_FIELD("configuration.backup_retention", AT_LEAST(" of days", 0, DAYS_MAX), "7", USER)
SESSION_FIELD("configuration.heartbeat_interval", AT_LEAST(" of seconds", 1, SECONDS_MAX), TEXT_OF(SESSION_HEARTBEAT_INTERVAL_S), OPTIONAL)
SESSION_FIELD("configuration.sync_timeout", AT_LEAST(" of seconds", 1, SECONDS_MAX), TEXT_OF(SESSION_SYNC_TIMEOUT_S), OPTIONAL)
SESSION_FIELD("recovery.enabled", FLAG, "true", USER)
SESSION_FIELD("recovery.last_backup", OR_NULL(TEXT(SENTENCE_BYTES_MAX)), "null", DAEMON)
SESSION_FIELD("recovery.recovery_points", IDS, "[]", DAEMON)

AGENT_FIELD("agent.id", OR_NULL(ID), "null", DAEMON)
AGENT_FIELD("agent.type", TEXT(WORD_BYTES_MAX), "\"general\"", USER)
AGENT_FIELD("agent.session_id", OR_NULL(ID), "null", DAEMON)
AGENT_FIELD("agent.status", ONE_OF(agent_statuses), "\"initializing\"", USER)
AGENT_FIELD("agent.pid", OR_NULL(WHOLE("", 1, PID_MAX)), "null", OPTIONAL)
AGENT_FIELD("agent.registered_at", OR_NULL(TIME), "null", DAEMON)
AGENT_FIELD("agent.last_updated", OR_NULL(TIME), "null", DAEMON)
AGENT_FIELD("state", MAPPING, "{}", USER)
AGENT_FIELD("metrics.operations_completed", AT_LEAST("", 0, COUNT_MAX), "0", SHARED)
AGENT_FIELD("metrics.errors_encountered", AT_LEAST("", 0, COUNT_MAX), "0", SHARED)
AGENT_FIELD("metrics.total_execution_time", NUMBER(" of seconds", 0, COUNT_MAX), "0", USER)
AGENT_FIELD("metrics.last_heartbeat", OR_NULL(TIME), "null", SHARED)
AGENT_FIELD("coordination.dependencies", IDS, "[]", USER)
AGENT_FIELD("coordination.subscribers", IDS, "[]", USER)
AGENT_FIELD("coordination.event_subscriptions", TEXTS, "[]", USER)
