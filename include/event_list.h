/* SPDX-License-Identifier: MIT
 *
 * L5. TABLE of event types. One row: EVENT(id, ENUM, "event_type"). Ids are
 * frozen: they are in the journal. A new event is one row here; who logs it passes its own
 * members of `data` as JSON.
 */
#ifndef EVENT
#error "define EVENT(id, enum_name, text) before including event_list.h"
#endif

/* what ordinary writes did to the tree */
EVENT(1, FILE_CREATED, "file_created")
EVENT(2, FILE_WRITTEN, "file_written")
EVENT(3, FILE_APPENDED, "file_appended")
EVENT(4, FILE_REMOVED, "file_removed")
EVENT(5, RENAMED, "renamed")
EVENT(6, EXCHANGED, "exchanged")
EVENT(7, LINKED, "linked")
EVENT(8, SYMLINK_CREATED, "symlink_created")
EVENT(9, NODE_CREATED, "node_created")
EVENT(10, DIRECTORY_CREATED, "directory_created")
EVENT(11, DIRECTORY_REMOVED, "directory_removed")
EVENT(12, ATTRIBUTES_CHANGED, "attributes_changed")
EVENT(13, XATTR_CHANGED, "xattr_changed")
/* what the rules and the daemon had to say */
EVENT(20, COMMIT_REFUSED, "commit_refused")
EVENT(21, MALFORMED_ACCEPTED, "malformed_accepted")
EVENT(22, SHRUNK_TO_EMPTY, "shrunk_to_empty")
EVENT(23, CONFLICT_DETECTED, "conflict_detected")
EVENT(24, WRITER_KILLED, "writer_killed")
EVENT(25, STORE_CREATED, "store_created")
EVENT(26, FILES_ADOPTED, "files_adopted")
EVENT(27, STORE_RECOVERED, "store_recovered")
EVENT(28, CONFIG_CHANGED, "config_changed")
EVENT(29, CUSTOM, "custom")
/* the state model's own */
EVENT(40, SESSION_INITIALIZED, "session_initialized")
EVENT(41, SESSION_STATUS_CHANGED, "session_status_changed")
EVENT(42, SESSION_RECOVERED, "session_recovered")
EVENT(43, SESSION_REMOVED, "session_removed")
EVENT(44, CHECKPOINT_CREATED, "checkpoint_created")
EVENT(45, AGENT_REGISTERED, "agent_registered")
EVENT(46, AGENTS_SYNCHRONIZED, "agents_synchronized")
EVENT(47, SYNC_FAILED, "sync_failed")
EVENT(48, AGENT_STATUS_CHANGED, "agent_status_changed")
EVENT(49, AGENT_DEREGISTERED, "agent_deregistered")
EVENT(50, CHECKPOINT_REMOVED, "checkpoint_removed")
EVENT(51, SYNC_STARTED, "sync_started")
EVENT(52, LOCK_RELEASED, "lock_released")
